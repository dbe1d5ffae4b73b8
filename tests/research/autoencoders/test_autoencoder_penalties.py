"""Penalties, noise and outputs against autograd, scipy and torch.distributions."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import generator, isolated
from gradus.research.autoencoders.corruption import Corruption, gaussian_noise, masking_noise, salt_and_pepper
from gradus.research.autoencoders.losses import ContractiveLoss, ReconstructionLoss, SparseLoss
from gradus.research.autoencoders.networks import (
    AutoencoderNetwork,
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    DenseDecoder,
    DenseEncoder,
    KLargest,
    SharedScale,
    TransposedLinear,
)
from gradus.research.autoencoders.outputs import BernoulliOutput, GaussianOutput, ScaledGaussianOutput
from gradus.research.autoencoders.penalties import (
    contractive_penalty,
    curvature_estimate,
    jacobian,
    jacobian_norm_estimate,
    rate_divergence,
)

RARE = 1e-5  # of a sound program to fail
Z = stats.norm.isf(RARE / 2)


def encoder(hidden=(), unit="sigmoid", features=6, code=4):
    with isolated(1):
        return DenseEncoder(features, hidden, code, activation="tanh", code_activation=unit).double()


def rows(n=5, features=6):
    return torch.randn(n, features, generator=generator(2), dtype=torch.float64)


def exact_norm(function, inputs):
    each = [torch.autograd.functional.jacobian(lambda x: function(x[None])[0], row) for row in inputs]
    return torch.stack([j.square().sum() for j in each])


@pytest.mark.parametrize("unit", ["sigmoid", "tanh", "relu", "softplus", "identity"])
def test_the_contractive_penalty_is_the_norm_of_autograds_jacobian(unit):
    layer, x = encoder(unit=unit), rows()
    linear, f = layer.layers
    found = contractive_penalty(linear.weight, linear(x), f)
    assert torch.allclose(found, exact_norm(layer, x), rtol=1e-12)
    assert torch.allclose(jacobian(layer, x).square().sum((1, 2)), found, rtol=1e-12)


def test_the_contractive_penalty_refuses_a_unit_it_does_not_know():
    layer = encoder()
    with pytest.raises(InputError, match="GELU"):
        contractive_penalty(layer.layers[0].weight, rows() @ layer.layers[0].weight.T, nn.GELU())


def estimates(function, x, n=20_000, probe=jacobian_norm_estimate, **settings):
    return probe(function, x.expand(n, -1), generator(5), **settings).detach().numpy()


def unlikely(values, truth):
    """Whether a mean is further from the truth than chance allows at a rate of 1e-5."""
    return abs(values.mean() - truth) > Z * values.std(ddof=1) / len(values) ** 0.5


def test_the_estimate_of_the_norm_is_unbiased():
    deep, x = encoder(hidden=(5,)), rows(1)
    truth = exact_norm(deep, x).item()
    drawn = estimates(deep, x)
    assert not unlikely(drawn, truth)
    assert drawn.std() > 0.05 * truth  # it is an estimate
    assert estimates(deep, x, probes=8).std() < 0.5 * drawn.std()
    # planted bugs: signs of 0 and 1, and a norm that is not squared
    coins = torch.randint(2, (20_000, 4), generator=generator(5)).double()
    wrong = (coins @ jacobian(deep, x)[0]).square().sum(1).numpy()
    assert unlikely(wrong, truth) and unlikely(np.sqrt(drawn), truth)
    assert unlikely(drawn, truth * 1.05)


def test_the_change_of_the_jacobian_nearby_is_unbiased():
    layer, x = encoder(), rows(1)
    linear, _ = layer.layers
    noise = 0.5
    moved = x + noise * torch.randn(20_000, 6, generator=generator(9), dtype=torch.float64)
    slope = lambda z: z.sigmoid() * (1 - z.sigmoid())  # noqa: E731
    change = (slope(linear(x)) - slope(linear(moved))).square() @ linear.weight.square().sum(1)
    drawn = estimates(layer, x, probe=curvature_estimate, noise=noise)
    expected, spread = change.mean().item(), change.std().item() / 20_000**0.5
    error = (drawn.std(ddof=1) ** 2 / len(drawn) + spread**2) ** 0.5
    assert abs(drawn.mean() - expected) < Z * error
    other = estimates(layer, x, probe=curvature_estimate, noise=noise / 2)
    assert abs(other.mean() - expected) > Z * error


def test_the_loss_takes_the_closed_form_where_it_can_and_trains_through_both():
    for hidden in ((), (5,)):
        layer = encoder(hidden=hidden)
        network = AutoencoderNetwork(nn.Identity(), layer, DenseDecoder(layer).double())
        batch = {"inputs": rows()}
        plain = ReconstructionLoss(GaussianOutput())(network, batch, generator(0)).total
        loss = ContractiveLoss(GaussianOutput(), weight=0.3, probes=200)(network, batch, generator(0))
        expected = plain + 0.3 * exact_norm(layer, rows()).sum()
        assert torch.allclose(loss.total, expected, rtol=1e-12 if not hidden else 0.1)
        loss.total.backward()
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in network.parameters())


def test_gradients_of_the_penalty_are_those_of_autograd():
    layer, x = encoder(), rows()
    linear, f = layer.layers
    contractive_penalty(linear.weight, linear(x), f).sum().backward()
    found = linear.weight.grad.clone()
    linear.weight.grad = None
    columns = torch.func.vmap(torch.func.jacrev(lambda row: f(linear(row))))(x)
    columns.square().sum().backward()
    assert torch.allclose(found, linear.weight.grad, rtol=1e-10)


# -- sparse ---------------------------------------------------------------------------------------------------------


def test_the_divergence_of_rates_is_scipys():
    rates, target = np.array([0.02, 0.3, 0.9]), 0.05
    expected = sum(stats.entropy([target, 1 - target], [p, 1 - p]) for p in rates)
    assert rate_divergence(torch.from_numpy(rates), target).item() == pytest.approx(expected, rel=1e-12)
    assert rate_divergence(torch.full((4,), target), target).item() == pytest.approx(0, abs=1e-7)
    assert bool(rate_divergence(torch.tensor([0.0, 1.0]), target).isfinite())


@pytest.mark.parametrize("k", [1, 3, 7, 9])
def test_k_largest_keeps_exactly_the_k_largest(k):
    codes = torch.randn(50, 7, generator=generator(0))
    kept = KLargest(k)(codes)
    order = np.argsort(-codes.numpy(), axis=1)[:, :k]
    expected = np.zeros((50, 7), dtype=np.float32)
    np.put_along_axis(expected, order, np.take_along_axis(codes.numpy(), order, 1), 1)
    assert np.array_equal(kept.numpy(), expected)
    assert bool((KLargest(2)(torch.ones(1, 5)) != 0).sum() == 2)  # of equal ones too


def test_parts_of_a_batch_add_up_unless_the_loss_says_they_do_not():
    layer = encoder()
    network = AutoencoderNetwork(nn.Identity(), layer, DenseDecoder(layer).double())
    whole, parts = {"inputs": rows(6)}, [{"inputs": part} for part in rows(6).split(2)]
    for loss, adds in [
        (SparseLoss(GaussianOutput(), "l1", 0.3), True),
        (ContractiveLoss(GaussianOutput(), 0.3), True),
        (SparseLoss(GaussianOutput(), "kl", 0.3), False),
    ]:
        once = loss(network, whole, generator(0)).total
        summed = sum(loss(network, part, generator(0)).total for part in parts)
        assert torch.allclose(once, summed, rtol=1e-12) == adds == getattr(loss, "decomposes", True)


def test_a_weight_is_a_repetition():
    layer = encoder()
    network = AutoencoderNetwork(nn.Identity(), layer, DenseDecoder(layer).double())
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    weighted = {"inputs": rows(3), "weights": weights}
    repeated = {"inputs": rows(3).repeat_interleave(weights.long(), 0)}
    for loss in (SparseLoss(GaussianOutput(), "kl", 0.3), SparseLoss(GaussianOutput(), "l1", 0.3)):
        one, other = (loss(network, batch, generator(0)) for batch in (weighted, repeated))
        assert torch.allclose(one.total, other.total) and float(one.count) == float(other.count) == 6


# -- noise ----------------------------------------------------------------------------------------------------------


def test_gaussian_noise_has_its_deviation():
    drawn = gaussian_noise(torch.full((200, 100), 3.0), 0.5, generator(0)).numpy().ravel()
    assert stats.kstest(drawn, stats.norm(3.0, 0.5).cdf).pvalue > RARE
    assert stats.kstest(drawn, stats.norm(3.0, 0.5**0.5).cdf).pvalue < RARE


def test_masking_and_salt_and_pepper_hit_as_often_as_they_should():
    ones = torch.full((200, 100), 0.5)
    hit = int((masking_noise(ones, 0.3, generator(0)) == 0).sum())
    assert stats.binomtest(hit, 20_000, 0.3).pvalue > RARE
    assert stats.binomtest(hit, 20_000, 0.33).pvalue < RARE
    low, high = torch.arange(100.0) - 200, torch.arange(100.0) + 200
    drawn = salt_and_pepper(ones, 0.3, generator(1), low=low, high=high)
    lows, highs = int((drawn == low).sum()), int((drawn == high).sum())
    assert lows + highs + int((drawn == 0.5).sum()) == 20_000
    assert all(stats.binomtest(count, 20_000, 0.15).pvalue > RARE for count in (lows, highs))


@pytest.mark.parametrize(("kind", "level"), [("masking", 1.2), ("gaussian", -0.1), ("salt_and_pepper", -1.0)])
def test_a_level_out_of_range_is_refused(kind, level):
    with pytest.raises(SettingError, match="noise level"):
        Corruption(kind, level)


# -- outputs --------------------------------------------------------------------------------------------------------


def test_outputs_are_torchs_distributions():
    draws = generator(0)
    parameters, targets = torch.randn(4, 6, generator=draws), torch.randn(4, 6, generator=draws)
    normal = torch.distributions.Normal(parameters, 1.0)
    assert torch.allclose(GaussianOutput().log_likelihood(parameters, targets), normal.log_prob(targets).sum(1))
    bits = (targets > 0).float()
    coin = torch.distributions.Bernoulli(logits=parameters)
    assert torch.allclose(BernoulliOutput().log_likelihood(parameters, bits), coin.log_prob(bits).sum(1), atol=1e-5)
    scale = nn.functional.softplus(parameters[:, 3:]) + 1e-3
    scaled = torch.distributions.Normal(parameters[:, :3], scale)
    found = ScaledGaussianOutput().log_likelihood(parameters, targets[:, :3])
    assert torch.allclose(found, scaled.log_prob(targets[:, :3]).sum(1), atol=1e-5)
    with pytest.raises(InputError, match="parameters of shape"):
        GaussianOutput().losses(parameters[:, :1], targets)


@pytest.mark.parametrize("output", [GaussianOutput(), ScaledGaussianOutput()])
def test_draws_follow_the_distribution(output):
    parameters = torch.tensor([[1.0, 0.3]])[:, : output.per_feature].expand(20_000, -1)
    drawn = output.sample(parameters, generator(0)).numpy().ravel()
    scale = 1.0 if output.per_feature == 1 else np.log1p(np.exp(0.3)) + 1e-3
    assert stats.kstest(drawn, stats.norm(1.0, scale).cdf).pvalue > RARE
    assert stats.kstest(drawn, stats.norm(1.0, scale * 1.1).cdf).pvalue < RARE


# -- networks -------------------------------------------------------------------------------------------------------


def test_tied_decoders_are_transposes():
    dense = DenseEncoder(6, (5,), 3, activation="tanh")
    tied = DenseDecoder(dense, activation="tanh", tied=True)
    first, last = dense.affine
    codes = torch.randn(4, 3)
    expected = torch.tanh(codes @ last.weight) @ first.weight
    assert torch.allclose(tied(codes), expected, atol=1e-6)
    own = {name for name, _ in tied.named_parameters() if "linear" not in name}
    assert len(own) == 2  # two biases and nothing else
    assert TransposedLinear(first).bias.shape == (6,)
    seen = ConvolutionalEncoder((8, 8, 2), (4, 6), 3)
    both = nn.ModuleList([seen, ConvolutionalDecoder(seen, tied=True)])
    assert sum(p.numel() for p in both.parameters()) == sum(p.numel() for p in seen.parameters()) + 24 + 2 + 4


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("picture", [(8, 8, 1), (7, 9, 3), (3, 5, 2), (28, 28, 1)])
def test_convolutional_decoders_give_back_pictures_of_any_size(picture, tied):
    seen = ConvolutionalEncoder(picture, (4, 6), 5)
    decoder = ConvolutionalDecoder(seen, tied=tied)
    size = int(np.prod(picture))
    flat = torch.randn(2, size, requires_grad=True)
    assert decoder(seen(flat)).shape == (2, size)
    corner = decoder.layers[-1]  # each pixel of the answer lies where the picture's does: channels last
    assert corner.bias.shape == (picture[2],)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.zero_()
        corner.bias.copy_(torch.arange(picture[2]))
    answer = decoder(torch.zeros(1, 5)).view(picture)
    assert torch.equal(answer, torch.arange(picture[2]).float().expand(picture))


def test_two_parameters_a_feature_come_in_two_halves():
    seen = ConvolutionalEncoder((8, 8, 3), (4,), 5)
    decoder = ConvolutionalDecoder(seen, per_feature=2)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.zero_()
        decoder.layers[-1].bias.copy_(torch.tensor([1.0, 1.0, 1.0, 2.0, 2.0, 2.0]))
    first, second = decoder(torch.zeros(1, 5)).chunk(2, 1)
    assert bool((first == 1).all()) and bool((second == 2).all())
    shared = SharedScale(nn.Linear(2, 5), 5)(torch.randn(4, 2))
    assert torch.equal(shared[0, 5:], shared[3, 5:]) and not torch.equal(shared[0, :5], shared[3, :5])
    with pytest.raises(SettingError, match="tied"):
        DenseDecoder(DenseEncoder(4, (), 2), tied=True, per_feature=2)
