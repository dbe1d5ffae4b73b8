import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn
from torch.nn import functional as F

from gradus.core.errors import SettingError
from gradus.core.randomness import isolated
from gradus.networks import MLP
from gradus.networks.feedforward import ACTIVATIONS, INITIALIZATIONS, ResidualMLP, activation_gain, initialize

FUNCTIONAL = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "prelu": lambda z: F.leaky_relu(z, 0.25),
    "absolute": torch.abs,
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "silu": F.silu,
    "mish": F.mish,
    "tanh": torch.tanh,
    "hard_tanh": F.hardtanh,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "identity": lambda z: z,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_the_function_of_its_name_and_its_gain_is_the_integral(name):
    z = torch.linspace(-3, 3, 13)
    torch.testing.assert_close(ACTIVATIONS[name]()(z), FUNCTIONAL[name](z))
    power, _ = integrate.quad(
        lambda z: FUNCTIONAL[name](torch.tensor(z, dtype=torch.float64)).item() ** 2 * stats.norm.pdf(z),
        -10, 10, points=[-1, 0, 1], limit=200,
    )  # fmt: skip
    assert activation_gain(name) == pytest.approx(power**-0.5, rel=1e-4)


def power_of_last_preactivations(activation, initialization, depth=8, width=256, seeds=6):
    powers = []
    for seed in range(seeds):
        with isolated(seed), torch.no_grad():
            network = MLP(width, (width,) * depth, activation=activation, initialization=initialization)
            last = [layer for layer in network.layers if isinstance(layer, nn.Linear)][-1]
            seen = []
            last.register_forward_hook(lambda *call, seen=seen: seen.append(call[2]))
            network(torch.randn(64, width))
        powers.append(seen[0].square().mean().log().item())
    return math.exp(sum(powers) / seeds)


@pytest.mark.parametrize("initialization", ["auto", "orthogonal"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_signal_keeps_its_power_through_eight_layers(activation, initialization):
    # Six seeds of 256 units: the mean of the logarithm has a standard deviation below 0.1.
    assert 0.7 < power_of_last_preactivations(activation, initialization) < 1.4


def test_gains_matter_glorot_starves_a_deep_rectifier_and_he_does_not():
    assert power_of_last_preactivations("relu", "glorot") == pytest.approx(2.0**-7, rel=0.4)
    # He's gain doubles what the first layer receives from data that no rectifier has halved.
    assert power_of_last_preactivations("relu", "he") == pytest.approx(2.0, rel=0.4)


@pytest.mark.parametrize(
    ("method", "variance"),
    [("auto", 2 / 300), ("he", 2 / 300), ("lecun", 1 / 300), ("glorot", 2 / 500), ("orthogonal", 2 / 300)],
)
def test_weights_have_the_variance_stated(method, variance):
    with isolated(3):
        layer = nn.Linear(300, 200)
        initialize(layer, method, "relu")
    # 60,000 draws: the relative standard error of a variance is 0.6 per cent.
    assert layer.weight.var().item() == pytest.approx(variance, rel=0.03)
    assert layer.bias.abs().max() == 0


def test_orthogonal_rows_are_orthogonal():
    layer = nn.Linear(60, 40)
    initialize(layer, "orthogonal", "identity")
    torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(40), atol=1e-5, rtol=0)


def test_forward_is_the_chain_of_affine_maps_and_activations():
    network = MLP(5, (7, 3), activation="tanh")
    first, second = (layer for layer in network.layers if isinstance(layer, nn.Linear))
    x = torch.randn(4, 5)
    chain = np.tanh(x.numpy() @ first.weight.detach().numpy().T + first.bias.detach().numpy())
    chain = np.tanh(chain @ second.weight.detach().numpy().T + second.bias.detach().numpy())
    np.testing.assert_allclose(network(x).detach().numpy(), chain, atol=1e-6)
    assert network.out_features == 3


def test_without_hidden_layers_it_is_the_identity():
    x = torch.randn(4, 5)
    assert MLP(5, ())(x) is x and MLP(5, ()).out_features == 5


def test_residual_blocks_of_zero_weights_pass_their_input_on():
    network = MLP(6, (6, 6, 4), residual=True)
    x = torch.randn(3, 6)
    seen = []
    next(m for m in network.layers if isinstance(m, nn.Linear)).register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0])
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert network(x).shape == (3, 4)
    torch.testing.assert_close(seen[0], x)  # the two blocks before the layer that narrows changed nothing


@pytest.mark.parametrize("where", ["dropout", "input_dropout"])
def test_dropout_drops_at_its_rate_rescales_and_rests_in_evaluation(where):
    network = MLP(1000, (1000,), activation="identity", **{where: 0.3})
    with torch.no_grad():
        linear = next(m for m in network.layers if isinstance(m, nn.Linear))
        linear.weight.copy_(torch.eye(1000))
        linear.bias.zero_()
    x = torch.ones(20, 1000)
    with isolated(1):
        out = network(x)
    assert out.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    # Failure rate below 1e-5 for a binomial of 20,000 draws.
    assert stats.binomtest(int((out == 0).sum()), 20_000, 0.3).pvalue > 1e-5
    network.eval()
    torch.testing.assert_close(network(x), x)


def test_normalization_standardizes_preactivations():
    x = 5 + 3 * torch.randn(200, 8)
    by_batch = MLP(8, (16,), activation="identity", normalization="batch")(x)
    torch.testing.assert_close(by_batch.mean(0), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(by_batch.var(0, unbiased=False), torch.ones(16), atol=1e-3, rtol=0)
    by_layer = MLP(8, (16,), activation="identity", normalization="layer")(x)
    torch.testing.assert_close(by_layer.mean(1), torch.zeros(200), atol=1e-5, rtol=0)


def test_construction_is_a_function_of_the_seed_and_spares_the_global_generator():
    before = torch.get_rng_state()
    made = []
    for seed in (1, 1, 2):
        with isolated(seed):
            made.append(MLP(4, (5,)).state_dict()["layers.0.weight"])
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"activation": "rellu"}, "did you mean 'relu'"),
        ({"normalization": "bach"}, "did you mean 'batch'"),
        ({"initialization": "xavier"}, ", ".join(INITIALIZATIONS)),
        ({"dropout": 1.0}, r"dropout in \[0, 1\)"),
        ({"input_dropout": -0.1}, r"input_dropout in \[0, 1\)"),
        ({"hidden": (4, 0)}, "1 unit or more"),
    ],
)
def test_settings_out_of_range_are_refused_with_a_mend(settings, words):
    with pytest.raises(SettingError, match=words):
        MLP(3, **settings)


def test_orthogonal_pieces_are_orthogonal_each():
    network = MLP(40, (40, 40), activation="maxout", pieces=3, initialization="orthogonal")
    for block in network.layers[2].weight.detach().chunk(3):
        torch.testing.assert_close(block @ block.T, torch.eye(40) * block[0].square().sum(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("normalization", ["layer", "batch", "rms", "group"])
@pytest.mark.parametrize("activation", ["relu", "maxout", "swiglu"])
def test_residual_blocks_start_as_the_identity_and_then_all_move(activation, normalization):
    with isolated(0):
        network = ResidualMLP(6, 32, 3, activation=activation, normalization=normalization)
        x, target = torch.randn(64, 6), torch.randn(64, 32)
    torch.testing.assert_close(network(x), network.norm(network.stem(x)))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        F.mse_loss(network(x), target).backward()
        gradients = [p.grad.abs().sum().item() for p in network.parameters()]
        optimizer.step()
    assert min(gradients) > 0


def test_a_residual_block_is_the_formula():
    network = ResidualMLP(5, 8, 1, expansion=3.0, activation="gelu")
    _, widen, _, narrow = network.blocks[0].block
    with torch.no_grad():
        narrow.weight.normal_()
        narrow.bias.normal_()
    assert widen.weight.shape == (24, 8)
    x = torch.randn(4, 5)
    h = F.linear(x, network.stem.weight, network.stem.bias)
    g = F.gelu(F.linear(F.layer_norm(h, (8,)), widen.weight, widen.bias))
    expected = F.layer_norm(h + F.linear(g, narrow.weight, narrow.bias), (8,))
    torch.testing.assert_close(network(x), expected)


def test_a_gradient_reaches_the_first_of_two_hundred_blocks_as_it_left_the_last():
    with isolated(0):
        network = ResidualMLP(16, 16, 200)
        for block in network.blocks:
            nn.init.normal_(block.block[-1].weight, std=0.2 / 32**0.5 / 200**0.5)
        h = network.stem(torch.randn(32, 16)).detach().requires_grad_()
        out = network.blocks(h)
        out.backward(torch.ones_like(out))
    assert 0.5 < h.grad.square().mean().item() < 2.0


def test_dropout_inside_residual_blocks_acts_in_training_only():
    network = ResidualMLP(4, 8, 2, dropout=0.5)
    with torch.no_grad():
        for block in network.blocks:
            block.block[-2].weight.normal_()
    x = torch.randn(3, 4)
    with isolated(0):
        assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"depth": 0}, "depth"),
        ({"width": 0}, "width"),
        ({"expansion": 0.0}, "expansion"),
        ({"dropout": 1.0}, "dropout"),
        ({"activation": "relo"}, "did you mean 'relu'"),
        ({"normalization": "rsm"}, "did you mean 'rms'"),
    ],
)
def test_settings_of_residual_blocks_out_of_range_are_refused(settings, words):
    with pytest.raises(SettingError, match=words):
        ResidualMLP(3, **{"width": 8, **settings})
