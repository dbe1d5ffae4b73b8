"""What a recording of PyTorch says, beside what PyTorch says itself; and that the network is left as it was."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradus.core.errors import InputError
from gradus.foundations.graph import recording
from gradus.foundations.graph.recording import picture_of_function, picture_of_network


class Residual(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x):
        return x + torch.relu(self.norm(self.linear(x)))


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), Residual(), nn.Dropout(0.3), nn.Linear(4, 2))


def named(picture, title):
    return [node for node in picture.nodes if node.title == title]


def sources(picture, node):
    return [picture.nodes[e.source] for e in picture.edges if e.target == node.number]


def test_values_and_gradients_are_those_of_autograd():
    torch.manual_seed(1)
    W, b, x = torch.randn(4, 3), torch.randn(4), torch.randn(5, 3)

    def f(x, W, b):
        hidden = torch.tanh(x @ W.T + b)
        return (hidden * hidden).mean()

    picture = picture_of_function(f, x, W, b)
    x, W, b = (t.clone().requires_grad_() for t in (x, W, b))
    product = x @ W.T
    hidden = torch.tanh(product + b)
    answer = (hidden * hidden).mean()
    truth = torch.autograd.grad(answer, [x, W, b, product, hidden])
    for title, values, gradient in zip(
        ("input 0", "input 1", "input 2", "matmul", "tanh"), (x, W, b, product, hidden), truth, strict=True
    ):
        (node,) = named(picture, title)
        np.testing.assert_allclose(node.value.values, values.detach().numpy(), rtol=1e-6)
        np.testing.assert_allclose(node.gradient.values, gradient.numpy(), rtol=1e-5, atol=1e-8)
        assert node.gradient.mean == pytest.approx(gradient.mean().item(), rel=1e-4, abs=1e-8)
    (end,) = named(picture, "mean")
    assert end.gradient.values == 1.0 and end.value.values == pytest.approx(answer.item())


def test_parameters_and_modules_have_their_names():
    picture = picture_of_network(small(), torch.randn(5, 3))
    assert {n.detail for n in picture.nodes if n.kind == "parameter"} == dict(small().named_parameters()).keys()
    assert [g.path for g in picture.groups] == ["0", "1", "1.linear", "1.norm", "2", "3"]
    assert [g.kind for g in picture.groups] == ["Linear", "Residual", "Linear", "BatchNorm1d", "Dropout", "Linear"]
    assert [g.parent for g in picture.groups] == ["", "", "/1#1", "/1#1", "", ""]
    assert [g.parameters for g in picture.groups] == [16, 28, 20, 8, 0, 10]
    (add,) = named(picture, "add")
    assert add.group == "/1#1" and [n.title for n in sources(picture, add)] == ["linear", "relu"]
    assert add.where.startswith("test_recording.py:")
    assert {n.detail for n in picture.nodes if n.kind == "buffer"} == {"1.norm.running_mean", "1.norm.running_var"}
    for node in picture.nodes:
        assert all(edge.source < edge.target for edge in picture.edges)
        assert (node.gradient is not None) == (node.kind != "buffer")


def test_gradients_of_parameters_are_those_of_a_backward_pass():
    network, x, y = small(), torch.randn(5, 3), torch.tensor([0, 1, 1, 0, 1])
    picture = picture_of_network(network, x, loss=lambda out: F.cross_entropy(out, y))
    F.cross_entropy(network(x), y).backward()  # draws the same dropout: the recording gave its random numbers back
    for name, parameter in network.named_parameters():
        (node,) = [n for n in picture.nodes if n.detail == name]
        np.testing.assert_allclose(node.gradient.values, parameter.grad.numpy(), rtol=1e-5, atol=1e-8)


def test_the_network_is_left_as_it_was():
    network, x = small(), torch.randn(5, 3)
    network[0].weight.grad = torch.full((4, 3), 7.0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    dice = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    modes = [m.training for m in network.modules()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()]
    picture_of_network(network, x)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert torch.equal(network[0].weight.grad, torch.full((4, 3), 7.0)) and network[3].weight.grad is None
    assert torch.equal(dice[0], torch.get_rng_state()) and dice[1] == random.getstate()
    assert (dice[2] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert modes == [m.training for m in network.modules()]
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()]
    assert not x.requires_grad
    assert not nn.modules.module._global_forward_hooks and not nn.modules.module._global_forward_pre_hooks


def test_it_is_left_so_too_when_the_run_fails():
    class Broken(Residual):
        def forward(self, x):
            super().forward(x)
            raise ValueError("on purpose")

    network = Broken(3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match="on purpose"):
        picture_of_network(network, torch.randn(5, 3))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not nn.modules.module._global_forward_hooks and not nn.modules.module._global_forward_pre_hooks


def test_a_module_called_twice_is_two_groups():
    layer = nn.Linear(3, 3)

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer(self.layer(x))

    picture = picture_of_network(Twice(), torch.ones(2, 3))
    assert [g.title for g in picture.groups] == ["layer", "layer (call 2)"]
    first, second = named(picture, "linear")
    assert first.group != second.group
    assert len([n for n in picture.nodes if n.kind == "parameter"]) == 2  # shared: drawn once
    assert {n.title for n in sources(picture, second)} == {"linear", "weight", "bias"}


def test_loops_and_branches_are_what_ran():
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.GRUCell(3, 4)

        def forward(self, x):
            h = torch.zeros(len(x), 4)
            for t in range(x.shape[1]):
                h = self.cell(x[:, t], h)
            return -h if h.sum() > 1e9 else h

    picture = picture_of_network(Loop(), torch.randn(2, 5, 3))
    assert len(named(picture, "gru_cell")) == 5 and not named(picture, "neg")


def test_changes_in_place_and_views_are_followed():
    def f(x):
        y = x * 2
        first = y[0]
        first.mul_(10)  # changes y as well
        y[1] = 0
        return y.sum()

    picture = picture_of_function(f, torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    (x,) = named(picture, "input")
    assert x.gradient.values == [[20.0, 20.0], [0.0, 0.0]]
    (change,) = [n for n in picture.nodes if n.detail.startswith("mul_")]
    (assignment,) = named(picture, "set entries")
    (total,) = named(picture, "sum")
    assert change.number in [n.number for n in sources(picture, assignment)]  # by the memory they share
    assert assignment.value.values == [[20.0, 40.0], [0.0, 0.0]]
    assert [n.title for n in sources(picture, total)] == ["set entries"]
    assert assignment.memory == 0 and change.memory == 0


def test_recurrent_and_attention_layers_are_recorded():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(3, 4, num_layers=2, batch_first=True)
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x):
            states, (last, _) = self.lstm(x)
            return self.attention(states, states, states)[0].sum() + last.mean()

    network = Both()
    picture = picture_of_network(network, torch.randn(2, 6, 3))
    (lstm,) = named(picture, "lstm")
    assert lstm.value.shape == (2, 6, 4) and [s.shape for s in lstm.others] == [(2, 2, 4), (2, 2, 4)]
    reached = {n.detail for n in picture.nodes if n.kind == "parameter" and n.gradient}
    assert reached == dict(network.named_parameters()).keys()


def test_own_functions_detached_parts_and_no_grad_are_recorded():
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, gradient):
            return gradient * 2

    def f(x):
        with torch.no_grad():
            scale = x.abs().max()
        return Double.apply(x / scale).sum() + x.detach().sum()

    picture = picture_of_function(f, torch.tensor([1.0, -4.0]))
    (x,) = named(picture, "input")
    assert x.gradient.values == [0.5, 0.5]
    (largest,) = named(picture, "max")
    (detached,) = named(picture, "detach")
    assert largest.gradient is None and detached.gradient is None


def test_several_outputs_and_inputs_by_name():
    class Two(nn.Module):
        def forward(self, left, right):
            return {"sum": left + right, "parts": (left * 2, right)}

    picture = picture_of_network(Two(), {"left": torch.ones(2), "right": torch.ones(2)})
    assert [n.title for n in picture.nodes[:2]] == ["left", "right"]
    assert picture.nodes[0].gradient.values == [3.0, 3.0]
    assert picture.notes == ["gradients are those of the sum of all outputs"]


def test_inputs_that_bear_no_gradient_get_none():
    class Embedded(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(5, 2)

        def forward(self, x):
            return self.embedding(x)

    picture = picture_of_network(Embedded(), torch.tensor([[0, 1, 1]]))
    assert picture.nodes[0].gradient is None
    (weight,) = named(picture, "weight")
    assert weight.gradient.values == [[1.0, 1.0], [2.0, 2.0]] + [[0.0, 0.0]] * 3

    def to_numpy(x):
        return torch.tensor(x.numpy().sum()) * torch.ones(2, requires_grad=True)

    assert picture_of_function(to_numpy, torch.ones(3)).nodes  # run again with inputs as they were given


def test_a_graph_without_gradients_says_so():
    picture = picture_of_function(lambda x: x.argmax(), torch.tensor([1.0, 2.0]))
    assert picture.notes == ["nothing in this graph has a gradient"]


def test_parameters_made_on_the_way_are_parameters():
    def f():
        w = torch.zeros(3, requires_grad=True)
        v = torch.ones(3).requires_grad_()
        return ((w + 2) * v).sum()

    picture = picture_of_function(f)
    found = [n for n in picture.nodes if n.kind == "parameter"]
    assert [n.gradient.values for n in found] == [[1.0] * 3, [2.0] * 3]


def test_what_the_answer_does_not_need_is_left_out_of_functions():
    def f():
        torch.ones(3) + 5
        layer = nn.Linear(2, 1)
        return layer(torch.ones(4, 2)).mean()

    titles = [n.title for n in picture_of_function(f).nodes]
    assert sorted(titles) == ["linear", "mean", "ones", "parameter", "parameter"]


def test_times_and_memory_are_those_of_the_operations():
    network = nn.Sequential(nn.Linear(200, 2000), nn.ReLU(inplace=True), nn.Linear(2000, 2))
    picture = picture_of_network(network, torch.randn(64, 200))
    first, last = named(picture, "linear")
    (relu,) = named(picture, "relu")
    assert (first.memory, relu.memory, last.memory) == (64 * 2000 * 4, 0, 64 * 2 * 4)
    assert all(0 < n.seconds < 5 and 0 < n.backward_seconds < 5 for n in (first, relu, last))


def test_too_many_operations_are_refused(monkeypatch):
    monkeypatch.setattr(recording, "LARGEST", 50)
    with pytest.raises(InputError, match="at most 50 operations"):
        picture_of_function(lambda x: sum(x + i for i in range(60)), torch.ones(1))


def test_gradients_that_blow_up_are_counted():
    picture = picture_of_function(lambda x: torch.sqrt(x).sum(), torch.tensor([0.0, 4.0]))
    assert picture.nodes[0].gradient.broken == 1 and picture.nodes[0].gradient.mean == 0.25


def test_a_backward_pass_that_fails_is_a_note():
    def f(x):
        y = torch.exp(x)
        z = (y * y).sum()
        y.add_(1)
        return z

    picture = picture_of_function(f, torch.ones(2))
    assert len(picture.notes) == 1 and "modified by an inplace operation" in picture.notes[0]
