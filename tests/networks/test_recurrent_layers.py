import numpy as np
import pytest
import torch
from torch import nn

from gradus.networks.recurrent import LeakyLayer, MultiscaleLayer


def as_torch(layer):
    """Torch's plain recurrent layer with the same weights."""
    oracle = nn.RNN(layer.in_features, layer.width, batch_first=True).to(layer.bias.dtype)
    with torch.no_grad():
        oracle.weight_ih_l0.copy_(layer.input_weight)
        oracle.weight_hh_l0.copy_(layer.recurrent_weight)
        oracle.bias_ih_l0.copy_(layer.bias)
        oracle.bias_hh_l0.zero_()
    return oracle


@pytest.mark.parametrize(
    "layer",
    [
        lambda: LeakyLayer(3, 6, alpha=0.0, learn_alpha=False),
        lambda: MultiscaleLayer(3, 6, periods=(1,)),
    ],
)
def test_without_time_scales_they_are_torchs_plain_network(layer):
    layer = layer()
    nn.init.normal_(layer.bias)
    oracle = as_torch(layer)
    x, begin = torch.randn(4, 9, 3), torch.randn(4, 6)
    state = (begin, *layer.begin(x)[1:])
    outputs, ended = layer(x, None, state)
    wanted, last = oracle(x, begin[None])
    torch.testing.assert_close(outputs, wanted, atol=1e-6, rtol=0)
    torch.testing.assert_close(ended[0], last[0], atol=1e-6, rtol=0)
    gradients = torch.autograd.grad(outputs.square().sum(), list(layer.parameters()))
    theirs = torch.autograd.grad(wanted.square().sum(), [oracle.weight_ih_l0, oracle.weight_hh_l0, oracle.bias_ih_l0])
    for one, other in zip(gradients, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_a_leaky_unit_is_the_running_average_written_out():
    layer = LeakyLayer(2, 3, alpha=[0.0, 0.5, 0.9], learn_alpha=False).double()
    W, U, b = (p.detach().numpy() for p in (layer.input_weight, layer.recurrent_weight, layer.bias))
    x = torch.randn(1, 4, 2, dtype=torch.float64)
    kept, u, wanted = np.array([0.0, 0.5, 0.9]), np.zeros(3), []
    for t in range(4):
        v = np.tanh(W @ x[0, t].numpy() + U @ u + b)
        u = kept * u + (1 - kept) * v
        wanted.append(u)
    # alpha was rounded to single precision when the layer was made
    np.testing.assert_allclose(layer(x, None, layer.begin(x))[0][0].detach().numpy(), wanted, atol=1e-7)


def test_a_leaky_unit_forgets_at_its_own_rate():
    layer = LeakyLayer(1, 4, alpha=[0.1, 0.5, 0.9, 0.99])
    nn.init.zeros_(layer.recurrent_weight)
    x = torch.zeros(1, 5, 1)
    outputs, _ = layer(x, None, (torch.ones(1, 4),))
    powers = torch.tensor([0.1, 0.5, 0.9, 0.99])[None] ** torch.arange(1, 6)[:, None]
    torch.testing.assert_close(outputs[0], powers)


def test_default_time_constants_spread_evenly_in_their_logarithm():
    alpha = LeakyLayer(1, 5).alpha.detach()
    constants = (1 / (1 - alpha)).log()
    torch.testing.assert_close(constants.diff(), torch.full((4,), float(constants.diff().mean())))
    torch.testing.assert_close(alpha[[0, -1]], torch.tensor([0.1, 0.98]))


def test_a_learned_alpha_stays_inside_and_has_the_true_gradient():
    layer = LeakyLayer(2, 3, alpha=0.7).double()
    x = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)

    def run(x, logit, U):
        names = {"alpha_logit": logit, "recurrent_weight": U}
        return torch.func.functional_call(layer, names, (x, None, layer.begin(x)))[0]

    assert torch.autograd.gradcheck(run, (x, layer.alpha_logit, layer.recurrent_weight))
    optimizer = torch.optim.SGD([layer.alpha_logit], lr=50.0)
    for _ in range(20):
        optimizer.zero_grad()
        (layer.alpha.sum()).backward()
        optimizer.step()
    assert ((layer.alpha > 0) & (layer.alpha < 0.1)).all()


def test_groups_move_at_their_periods_only_and_listen_to_slower_ones():
    layer = MultiscaleLayer(2, 7, periods=(1, 2, 3)).double()
    assert layer.sizes == (3, 2, 2)
    group = np.repeat([0, 1, 2], [3, 2, 2])
    period = np.array([1, 2, 3])[group]
    W, b = layer.input_weight.detach().numpy(), layer.bias.detach().numpy()
    U = layer.recurrent_weight.detach().numpy().copy()
    for i in range(7):
        for j in range(7):
            if group[j] < group[i]:
                U[i, j] = 0
    x = torch.randn(1, 13, 2, dtype=torch.float64)
    h, wanted = np.zeros(7), []
    for t in range(13):
        h = np.where(t % period == 0, np.tanh(W @ x[0, t].numpy() + U @ h + b), h)
        wanted.append(h)
    outputs, (_, clock) = layer(x, None, layer.begin(x))
    np.testing.assert_allclose(outputs[0].detach().numpy(), wanted, atol=1e-12)
    assert clock.tolist() == [13]


def test_slow_groups_are_not_disturbed_by_fast_ones():
    layer = MultiscaleLayer(2, 4, periods=(1, 2))
    x = torch.randn(3, 6, 2)
    begin, clock = layer.begin(x)
    outputs, _ = layer(x, None, (begin.requires_grad_(), clock))
    (gradient,) = torch.autograd.grad(outputs[:, -1, 2:].sum(), begin)
    assert gradient[:, :2].abs().max() == 0 and gradient[:, 2:].abs().max() > 0


def test_examples_at_different_steps_are_each_at_their_own():
    layer = MultiscaleLayer(2, 6, periods=(1, 2, 4))
    x, hidden = torch.randn(3, 5, 2), torch.randn(3, 6)
    clocks = torch.tensor([0, 1, 3])
    together, (last, ended) = layer(x, None, (hidden, clocks))
    for i in range(3):  # alone, a batch of one takes the way that leaves waiting groups out
        alone, (end, clock) = layer(x[i : i + 1], None, (hidden[i : i + 1], clocks[i : i + 1]))
        torch.testing.assert_close(together[i], alone[0], atol=1e-6, rtol=0)
        torch.testing.assert_close(last[i], end[0], atol=1e-6, rtol=0)
        assert ended[i] == clock[0] == clocks[i] + 5


def test_diagonal_blocks_begin_orthogonal():
    layer = MultiscaleLayer(3, 12, periods=(1, 2, 4))
    U = (layer.recurrent_weight * layer.connected).detach()
    torch.testing.assert_close(torch.linalg.eigvals(U).abs(), torch.ones(12), atol=1e-4, rtol=0)
