import math

import pytest
import torch
from scipy import integrate, stats
from torch import nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import isolated
from gradus.networks.feedforward import MLP
from gradus.networks.hidden_units import HIDDEN_UNITS, Gated, Maxout, hidden_unit
from gradus.networks.initialization import activation_gain

GATE_FUNCTIONS = {
    "glu": torch.sigmoid,
    "reglu": F.relu,
    "geglu": F.gelu,
    "swiglu": F.silu,
    "bilinear": lambda z: z,
}


@pytest.mark.parametrize("pieces", [2, 3, 5])
@pytest.mark.parametrize("dim", [-1, 1])
def test_maxout_takes_the_largest_piece_of_each_unit(pieces, dim):
    z = torch.randn(4, 3 * pieces, 6 * pieces)
    out = Maxout(pieces, dim)(z)
    width = z.shape[dim] // pieces
    for i in range(width):
        candidates = torch.stack([z.select(dim, p * width + i) for p in range(pieces)])
        assert torch.equal(out.select(dim, i), candidates.amax(0))


def test_maxout_of_linear_pieces_is_the_convex_function_they_touch():
    network = MLP(1, (1,), activation="maxout", pieces=3)
    with torch.no_grad():  # tangents of z² at -1, 0, 1
        network.layers[0].weight.copy_(torch.tensor([[-2.0], [0.0], [2.0]]))
        network.layers[0].bias.copy_(torch.tensor([-1.0, 0.0, -1.0]))
    x = torch.linspace(-2, 2, 41)[:, None]
    out = network(x)
    torch.testing.assert_close(out, torch.maximum(2 * x.abs() - 1, torch.zeros_like(x)), atol=1e-6, rtol=0)
    assert bool((out <= x**2 + 1e-6).all())


@pytest.mark.parametrize("name", GATE_FUNCTIONS)
def test_a_gated_unit_is_a_value_times_a_function_of_its_gate(name):
    z = torch.randn(5, 8)
    module, pieces = hidden_unit(name)
    assert pieces == 2
    torch.testing.assert_close(module(z), z[:, :4] * GATE_FUNCTIONS[name](z[:, 4:]))
    torch.testing.assert_close(Gated(nn.Sigmoid())(z), F.glu(z))


def test_units_along_the_channels_of_an_image():
    z = torch.randn(2, 6, 4, 5)
    torch.testing.assert_close(hidden_unit("swiglu", dim=1).module(z), z[:, :3] * F.silu(z[:, 3:]))
    torch.testing.assert_close(hidden_unit("glu", dim=1).module(z), F.glu(z, 1))


@pytest.mark.parametrize("name", GATE_FUNCTIONS)
def test_the_gain_of_a_gate_is_the_integral(name):
    power, _ = integrate.quad(
        lambda z: GATE_FUNCTIONS[name](torch.tensor(z, dtype=torch.float64)).item() ** 2 * stats.norm.pdf(z),
        -10, 10, points=[0], limit=200,
    )  # fmt: skip
    assert activation_gain(name) == pytest.approx(power**-0.5, rel=1e-4)


def test_the_gain_of_maxout_is_that_of_the_largest_of_normals():
    # E[max²] in closed form: of two 1 (the least has the same power, and both sum to 2), of three 1 + √3 / (2π).
    assert activation_gain("maxout", 2) == pytest.approx(1.0, abs=1e-6)
    assert activation_gain("maxout", 3) == pytest.approx((1 + math.sqrt(3) / (2 * math.pi)) ** -0.5, abs=1e-6)


@pytest.mark.parametrize("name", HIDDEN_UNITS)
def test_an_mlp_of_every_unit_has_the_width_asked_for_and_trains_all_its_weights(name):
    with isolated(0):
        network = MLP(6, (8, 8), activation=name, pieces=3, normalization="layer")
        x = torch.randn(32, 6)
        out = network(x)
    assert out.shape == (32, 8) and network.out_features == 8
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    reads = 3 if name == "maxout" else 2 if name in GATE_FUNCTIONS else 1
    assert network.layers[0].out_features == 8 * reads


def test_wrong_units_and_widths_are_refused_with_a_mend():
    with pytest.raises(SettingError, match="did you mean 'swiglu'"):
        hidden_unit("swiglo")
    with pytest.raises(SettingError, match="pieces of 2 or more"):
        Maxout(1)
    with pytest.raises(InputError, match="multiple of 3"):
        Maxout(3)(torch.zeros(2, 4))
    with pytest.raises(InputError, match="multiple of 2"):
        Gated(nn.ReLU())(torch.zeros(2, 3))
