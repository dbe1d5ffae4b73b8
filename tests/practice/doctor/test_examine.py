"""Faults planted in one small program on real data, each found by its name; without one the verdict is healthy."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from doctor_patients import patient
from gradus.core.errors import InputError
from gradus.practice.doctor import causes
from gradus.practice.doctor.examination import examine, examine_build
from gradus.practice.doctor.patient import Kept

SOURCE = Path(causes.__file__).parent


def rows():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))[:900]
    X, y = torch.tensor(X[order] / 16, dtype=torch.float32), torch.tensor(y[order])
    return (X[:600], y[:600]), (X[600:], y[600:])


def network(*more):
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10), *more)


def program(change=None):
    """Return a build function, its parts changed by ``change(parts)``."""

    def build(seed=0):
        torch.manual_seed(seed)
        train, valid = rows()
        parts = {
            "network": network(), "loss": nn.CrossEntropyLoss(), "train": train, "valid": valid,
            "batch_size": 32, "epochs": 6, "make": lambda net: torch.optim.Adam(net.parameters(), lr=3e-3),
        }  # fmt: skip
        if change is not None:
            change(parts)
        parts["optimizer"] = parts.pop("make")(parts["network"])
        return parts

    return build


def plain(network, batch, optimizer, loss):
    optimizer.zero_grad()
    value = loss(network(batch[0]), batch[1])
    value.backward()
    optimizer.step()
    return value


def step_of(order):
    """Return a training step that does what is named, in that order."""

    def step(network, batch, optimizer, loss):
        value = loss(network(batch[0]), batch[1])
        acts = {"zero": optimizer.zero_grad, "backward": value.backward, "step": optimizer.step}
        for name in order:
            acts[name]()

    return step


def no_gradient_through(parts):
    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(64, 32), nn.Linear(32, 10)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)).detach())

    parts["network"] = Cut()


def mixing(parts):
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = network()

        def forward(self, x):
            return self.body((x - x.mean(0)) / (x.std(0) + 1e-3))

    parts["network"] = Mixed()


def hidden_layers(parts):
    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(64, 32), nn.Linear(32, 32)]
            self.last = nn.Linear(32, 10)

        def forward(self, x):
            for layer in self.layers:
                x = torch.relu(layer(x))
            return self.last(x)

    parts["network"] = Listed()


def same_weights(parts):
    nn.init.constant_(parts["network"][0].weight, 0.1)


def in_validation(parts):
    (X, y), (X_val, y_val) = parts["train"], parts["valid"]
    parts["valid"] = torch.cat([X[:150], X_val[150:]]), torch.cat([y[:150], y_val[150:]])


def scaled_otherwise(parts):
    parts["valid"] = (parts["valid"][0] * 16, parts["valid"][1])


def nothing_belongs_together(parts):
    X, y = parts["train"]
    parts["train"] = X, y[torch.randperm(len(y), generator=torch.Generator().manual_seed(3))]


def sorted_rows(parts):
    X, y = parts["train"]
    order = y.argsort(stable=True)
    parts["train"] = DataLoader(TensorDataset(X[order], y[order]), batch_size=32)


def training_mode_score(net, valid):
    with torch.no_grad():
        return float((net(valid[0]).argmax(1) == valid[1]).float().mean())


def wrong_axis_score(net, valid):
    net.eval()
    with torch.no_grad():
        return float((net(valid[0]).argmax(0) == valid[1][:10]).float().mean())


def right_score(net, valid):
    net.eval()
    return training_mode_score(net, valid)


FAULTS = {
    "loss_activation_mismatch": lambda p: p.update(network=network(nn.Softmax(1))),
    "learning_rate_too_high": lambda p: p.update(make=lambda n: torch.optim.SGD(n.parameters(), lr=30.0)),
    "learning_rate_too_low": lambda p: p.update(make=lambda n: torch.optim.Adam(n.parameters(), lr=1e-6)),
    "not_in_optimizer": lambda p: p.update(make=lambda n: torch.optim.Adam(network().parameters(), lr=3e-3)),
    "missing_zero_grad": lambda p: p.update(step=step_of(["backward", "step"])),
    "missing_step": lambda p: p.update(step=step_of(["zero", "backward"])),
    "missing_backward": lambda p: p.update(step=step_of(["zero", "step"])),
    "wrong_step_order": lambda p: p.update(step=step_of(["backward", "zero", "step"])),
    "no_gradient": no_gradient_through,
    "mixed_examples": mixing,
    "unregistered_layers": hidden_layers,
    "symmetric_initialization": same_weights,
    "leaking_rows": in_validation,
    "inconsistent_preparation": scaled_otherwise,
    "shuffled_pairs": nothing_belongs_together,
    "label_order": sorted_rows,
    "misplaced_layer": lambda p: p.update(network=network(nn.Dropout(0.5))),
    "excessive_regularization": lambda p: p.update(
        make=lambda n: torch.optim.SGD(n.parameters(), lr=0.1, weight_decay=0.5)
    ),
    "wrong_evaluation": lambda p: p.update(evaluate=wrong_axis_score),
    "train_in_evaluation": lambda p: p.update(
        network=nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 10)),
        evaluate=training_mode_score,
    ),
    "output_width": lambda p: p.update(network=nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8))),
    "wrong_loss": lambda p: p.update(loss=lambda o, t: -nn.functional.cross_entropy(o, t)),
}


@pytest.mark.parametrize("cause", FAULTS)
def test_a_planted_fault_is_named_first(cause):
    found = examine_build(program(FAULTS[cause]), max_time=30)
    assert found.verdict == "faulty"
    assert found.findings[0].cause == cause, [(f.cause, f.evidence) for f in found.findings]
    assert found.findings[0].evidence and found.findings[0].place


HEALTHY = {
    "plain": None,
    "own step": lambda p: p.update(step=plain),
    "own evaluation": lambda p: p.update(evaluate=right_score),
    "dropout": lambda p: p.update(
        network=nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.4), nn.Linear(64, 10)), evaluate=right_score
    ),
    "log-probabilities": lambda p: p.update(network=network(nn.LogSoftmax(1)), loss=nn.NLLLoss()),
    "cross-entropy of log-probabilities": lambda p: p.update(network=network(nn.LogSoftmax(1))),
    "linear": lambda p: p.update(network=nn.Linear(64, 10), make=lambda n: torch.optim.SGD(n.parameters(), lr=0.5)),
    "batch normalization": lambda p: p.update(
        network=nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))
    ),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_found_where_nothing_is_wrong(name):
    found = examine_build(program(HEALTHY[name]), max_time=30)
    assert found.verdict == "healthy", [(f.cause, f.evidence) for f in found.findings]


def test_an_examined_network_is_as_it_was():
    """Parameters, gradients, buffers, modes, the optimizer's memory, the data and every random state."""
    parts = program(HEALTHY["batch normalization"])()
    network, optimizer = parts["network"], parts["optimizer"]
    plain(network, (parts["train"][0][:32], parts["train"][1][:32]), optimizer, parts["loss"])
    network[1].eval()
    before = [t.clone() for t in (*network.state_dict().values(), *(p.grad for p in network.parameters()))]
    memory = [s["exp_avg"].clone() for s in optimizer.state.values()]
    data = [t.clone() for t in (*parts["train"], *parts["valid"])]
    modes = [m.training for m in network.modules()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()]
    torch.manual_seed(11)
    np.random.seed(11)  # noqa: NPY002 - the global generator must not move
    states = torch.get_rng_state(), str(np.random.get_state(legacy=False))  # noqa: NPY002
    backward = torch.Tensor.backward
    clearing, own = (nn.Module.zero_grad, torch.optim.Optimizer.zero_grad), set(vars(optimizer))
    found = examine(**{k: v for k, v in parts.items() if k != "network"}, network=network, max_time=15)
    assert found.verdict == "healthy"
    after = [*network.state_dict().values(), *(p.grad for p in network.parameters())]
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))
    assert all(torch.equal(s["exp_avg"], m) for s, m in zip(optimizer.state.values(), memory, strict=True))
    assert all(torch.equal(a, b) for a, b in zip((*parts["train"], *parts["valid"]), data, strict=True))
    assert [m.training for m in network.modules()] == modes
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()] == hooks
    assert torch.equal(torch.get_rng_state(), states[0])
    assert str(np.random.get_state(legacy=False)) == states[1]  # noqa: NPY002
    assert torch.Tensor.backward is backward and "zero_grad" not in vars(optimizer)
    assert (nn.Module.zero_grad, torch.optim.Optimizer.zero_grad) == clearing
    assert set(vars(optimizer)) == own  # no other way of stepping is left in it


@pytest.mark.parametrize("rate", [3e-3, 3e-5])
def test_one_network_is_examined_as_networks_made_anew_are(rate):
    """Each experiment begins with the weights that the user's training would begin with."""
    build = program(lambda p: p.update(make=lambda n: torch.optim.Adam(n.parameters(), lr=rate)))
    parts = build()
    one, anew = examine(parts.pop("network"), **parts), examine_build(build)
    assert [f.as_dict() for f in one.findings] == [f.as_dict() for f in anew.findings]
    skills = [{row["treatment"]: row["skill"] for row in found.tables["treatments"]} for found in (one, anew)]
    tried = skills[0].keys() & skills[1].keys()  # time may end before the last
    assert tried and all(skills[0][name] == skills[1][name] for name in tried)
    assert one.measures["skill"] == anew.measures["skill"]


def test_a_network_that_keeps_what_it_computed_can_be_set_apart():
    class Keeps(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = network()

        def forward(self, x):
            self.scores = self.body(x)
            return self.scores

    parts = program(lambda p: p.update(network=Keeps()))()
    assert examine(parts.pop("network"), **parts, max_time=15).verdict == "healthy"


def test_findings_say_what_they_are_made_of():
    found = examine_build(program(FAULTS["misplaced_layer"]), max_time=20).as_dict()
    assert set(found) == {"verdict", "findings", "measures", "tables", "seconds"}
    first = found["findings"][0]
    assert {"cause", "place", "evidence", "confidence", "mend", "confirm", "section"} <= set(first)
    assert 0.5 <= first["confidence"] <= 1


def test_every_code_that_is_raised_is_published():
    raised = set()
    for file in SOURCE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Finding", "Treatment"):
                raised |= {a.value for a in node.args[:1] if isinstance(a, ast.Constant)}
    assert raised <= set(causes.CAUSES)
    assert len(raised) > 35


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"network": None}, "network"), ({"network": 3}, "nn.Module"), ({"train": None}, "train"),
        ({"loss": None}, "loss"), ({"loss": 7}, "callable"), ({"optimizer": "adam"}, "optimizer"),
        ({"train": {"x": 1}}, "tensors"), ({"train": (torch.zeros(3), torch.zeros(4))}, "same number"),
    ],
)  # fmt: skip
def test_wrong_parts_are_refused_in_one_sentence(change, word):
    parts = program()() | change
    with pytest.raises(InputError, match=word) as caught:
        examine_build(lambda seed=0: parts, max_time=5)
    assert "\n" not in str(caught.value)


def test_a_group_that_an_examination_adds_is_taken_away_again():
    """A program that returns the same network each time is put back, also where an optimizer got another group."""
    p = patient()
    p.network[0].requires_grad_(False)
    kept = Kept(p)
    p.optimizers[0].add_param_group({"params": [nn.Parameter(torch.zeros(2))]})
    kept.restore()
    assert len(p.optimizers[0].param_groups) == 1
