"""Bounds and their gradients: against quadrature, closed forms and the linear model whose optimum is known."""

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch.distributions import Normal, kl_divergence

from gradus.foundations.log_space import log_mean_exp
from gradus.research.generative import VAE
from gradus.research.generative.bounds import (
    ElboLoss,
    ImportanceWeightedLoss,
    elbo_parts,
    gaussian_kl,
    log_weights,
)
from gradus.research.generative.likelihoods import BernoulliLikelihood, GaussianLikelihood
from gradus.research.generative.networks import Body, Decoder, Encoder, LatentVariableNetwork, Shape
from gradus.training.losses import Loss

NODES = 60


def quadrature(count=NODES):
    """Return nodes and weights of the standard normal distribution."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum())


def small_network(seed=0, features=3, likelihood=None):
    """A model of one latent number, smooth enough for quadrature, whose q is not the posterior."""
    torch.manual_seed(seed)
    shape = Shape("mlp", (5,), (), "tanh")
    likelihood = BernoulliLikelihood(torch.full((features,), 0.4)) if likelihood is None else likelihood
    decoder = Decoder(1, likelihood.outputs, shape, (features,), likelihood.start())
    network = LatentVariableNetwork(Encoder(Body(features, shape, (features,)), 1), decoder, likelihood).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.4 * torch.randn(parameter.shape, dtype=torch.float64))
    return network


def exact(network, rows):
    """log p(x) by quadrature over the prior."""
    nodes, weights = quadrature(120)
    outputs = network.decoder(nodes[:, None, None].expand(-1, len(rows), -1))
    return torch.logsumexp(network.likelihood.log_prob(outputs, rows) + weights.log()[:, None], 0)


def expected_bound(network, row, k):
    """E log (1/k) Σ w by quadrature over k draws, of one row."""
    nodes, weights = quadrature(100 if k < 3 else 30)
    noise = torch.cartesian_prod(*[nodes] * k).view(-1, k).T.unsqueeze(-1)
    product = torch.cartesian_prod(*[weights] * k).view(-1, k).prod(1)
    logs = log_weights(network, row.expand(noise.shape[1], -1), noise)
    return (product * log_mean_exp(logs)).sum()


def gradient_of(network, value):
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(network.parameters()))])


def expected_gradient(network, row, loss_of):
    """The expectation of a loss's gradient: its draws are the nodes of a quadrature over two of them."""
    nodes, weights = quadrature(100)
    pairs = torch.cartesian_prod(nodes, nodes)
    product = torch.cartesian_prod(weights, weights).prod(1)

    def noise(shape, like, generator):
        assert shape == (2, len(pairs), 1)
        return pairs.T.unsqueeze(-1)

    loss = loss_of(noise)(network, {"inputs": row.expand(len(pairs), -1), "weights": product}, torch.Generator())
    assert isinstance(loss, Loss)
    return gradient_of(network, loss.total), loss.total.item()


ROW = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)


def test_divergence_equals_torch():
    mean, scale = torch.tensor([0.3, -2.0]), torch.tensor([0.5, 1.7])
    oracle = kl_divergence(Normal(mean, scale), Normal(torch.zeros(2), torch.ones(2)))
    torch.testing.assert_close(gaussian_kl(mean, scale), oracle)


def test_weights_equal_the_densities_they_are_made_of():
    network, noise = small_network(), torch.randn(4, 1, 1, dtype=torch.float64, generator=torch.Generator())
    mean, scale = network(ROW)
    latent = mean + scale * noise
    p = Normal(0.0, 1.0).log_prob(latent).sum(-1) + network.likelihood.log_prob(network.decoder(latent), ROW)
    torch.testing.assert_close(log_weights(network, ROW, noise), p - Normal(mean, scale).log_prob(latent).sum(-1))


def test_elbo_gap_is_the_divergence_from_the_posterior():
    network = small_network()
    nodes, weights = quadrature(200)
    fit, divergence = elbo_parts(network, ROW.expand(200, -1), nodes[None, :, None])
    elbo = (weights * fit).sum() - divergence[0].sum()
    # the posterior over a fine grid, from the exact likelihood
    grid = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    step = grid[1] - grid[0]
    joint = network.likelihood.log_prob(network.decoder(grid[:, None]), ROW.expand(len(grid), -1))
    posterior = joint + Normal(0.0, 1.0).log_prob(grid) - exact(network, ROW)
    mean, scale = network(ROW)
    q = Normal(mean.squeeze(), scale.squeeze()).log_prob(grid)
    gap = (q.exp() * (q - posterior)).sum() * step
    assert gap > 0.01
    assert exact(network, ROW).item() - elbo.item() == pytest.approx(gap.item(), abs=1e-7)


def test_bound_rises_with_the_draws_and_stays_below_the_likelihood():
    network = small_network()
    with torch.no_grad():
        bounds = [expected_bound(network, ROW, k).item() for k in (1, 2, 3)]
        truth = exact(network, ROW).item()
        source = torch.Generator().manual_seed(0)
        many = log_weights(network, ROW.expand(2000, -1), torch.randn(50, 2000, 1, generator=source).double())
        fifty = log_mean_exp(many)
    assert bounds[0] + 1e-3 < bounds[1] < bounds[2] - 1e-4 < truth
    assert bounds[2] < fifty.mean().item() < truth + 4.5 * fifty.std().item() / 2000**0.5
    # the unbiased mean of the weights themselves
    shares = (many - truth).exp().mean(0)
    assert abs(shares.mean().item() - 1) < 4.5 * shares.std().item() / 2000**0.5
    with torch.no_grad():  # planted: the density of the draws left out of the weights
        noise = torch.randn(50, 2000, 1, generator=source).double()
        wrong = (
            log_weights(network, ROW.expand(2000, -1), noise) + Normal(0.0, 1.0).log_prob(noise).sum(-1) - truth
        ).exp()
    assert abs(wrong.mean(0).mean().item() - 1) > 4.5 * wrong.mean(0).std().item() / 2000**0.5


def test_gradient_of_the_elbo_equals_finite_differences_of_its_expectation():
    network = small_network()
    nodes, weights = quadrature(40)

    def elbo():
        fit, divergence = elbo_parts(network, ROW.expand(len(nodes), -1), nodes[None, :, None])
        return (weights * (fit - divergence.sum(-1))).sum()

    loss = ElboLoss(noise=lambda shape, like, generator: nodes[None, :, None])(
        network, {"inputs": ROW.expand(len(nodes), -1), "weights": weights}, torch.Generator()
    )
    gradient = -gradient_of(network, loss.total)
    parameters, index = list(network.parameters()), 0
    for parameter in parameters:
        flat = parameter.data.view(-1)
        for i in (0, flat.numel() - 1):
            kept = flat[i].item()
            values = []
            for change in (1e-5, -1e-5):
                flat[i] = kept + change
                values.append(elbo().item())
            flat[i] = kept
            assert gradient[index + i].item() == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-8)
        index += flat.numel()


@pytest.mark.parametrize("kind", ["reparameterized", "doubly_reparameterized"])
def test_gradient_of_the_importance_weighted_bound_is_right(kind):
    network = small_network()
    truth = gradient_of(network, -expected_bound(network, ROW, 2))
    found, value = expected_gradient(network, ROW, lambda noise: ImportanceWeightedLoss(2, kind, noise=noise))
    torch.testing.assert_close(found, truth, rtol=0, atol=2e-6)  # at gradients of 0.6
    assert value == pytest.approx(-expected_bound(network, ROW, 2).item(), abs=1e-9)


def test_the_check_sees_shares_that_are_not_squared(monkeypatch):
    network = small_network()
    truth = gradient_of(network, -expected_bound(network, ROW, 2))
    monkeypatch.setattr(torch.Tensor, "register_hook", lambda self, hook: None)
    found, _ = expected_gradient(
        network, ROW, lambda noise: ImportanceWeightedLoss(2, "doubly_reparameterized", noise=noise)
    )
    assert (found - truth).abs().max() > 1e-3


def test_doubly_reparameterized_gradient_of_the_encoder_has_less_noise():
    network = small_network()
    encoder, noises = list(network.encoder.parameters()), {}
    for kind in ("reparameterized", "doubly_reparameterized"):
        loss, each = ImportanceWeightedLoss(50, kind), []
        for seed in range(100):
            total = loss(network, {"inputs": ROW}, torch.Generator().manual_seed(seed)).total
            each.append(torch.cat([g.flatten() for g in torch.autograd.grad(total, encoder)]))
        noises[kind] = torch.stack(each).var(0).sum().item()
    assert noises["doubly_reparameterized"] < 0.5 * noises["reparameterized"]


def test_beta_and_free_bits():
    network, batch = small_network(), {"inputs": ROW.expand(4, -1)}

    def total(**settings):
        return ElboLoss(**settings)(network, batch, torch.Generator().manual_seed(3)).total.item()

    with torch.no_grad():
        divergence = gaussian_kl(*network(ROW)).sum().item()
    assert total(beta=3.0) - total() == pytest.approx(4 * 2 * divergence)
    assert total(free_bits=divergence / 2) == pytest.approx(total())
    assert total(free_bits=divergence + 1) - total() == pytest.approx(4.0)


def test_products_of_bfloat16_leave_logarithms_in_single_precision():
    """On the processor softplus, logarithms and sums of bfloat16 numbers stay in it, with three digits of a bound."""
    torch.manual_seed(0)
    shape, likelihood = Shape("mlp", (16,), ()), BernoulliLikelihood(torch.full((784,), 0.3))
    network = LatentVariableNetwork(
        Encoder(Body(784, shape, (784,)), 4), Decoder(4, 784, shape, (784,), likelihood.start()), likelihood
    )
    rows, noise = torch.bernoulli(torch.full((64, 784), 0.3)), torch.randn(1, 64, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        mean, scale = network(rows)
        outputs = network.decoder(torch.addcmul(mean, scale, noise))
        fit, divergence = elbo_parts(network, rows, noise)
    assert torch.equal(outputs, outputs.bfloat16().float())  # the products are of bfloat16
    exact = likelihood.double().log_prob(outputs.double(), rows.double()).mean(0)
    torch.testing.assert_close(fit.double(), exact, rtol=1e-6, atol=0)
    torch.testing.assert_close(divergence.double(), gaussian_kl(mean.double(), scale.double()), rtol=1e-5, atol=1e-6)


def test_several_draws_of_a_row_are_averaged():
    network, batch = small_network(), {"inputs": ROW.expand(4, -1)}
    noise = torch.randn(3, 4, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def total(draws):
        loss = ElboLoss(samples=len(draws), noise=lambda shape, like, generator: draws)
        return loss(network, batch, torch.Generator()).total.item()

    apart = [total(draw[None]) for draw in noise]
    assert total(noise) == pytest.approx(np.mean(apart)) and np.ptp(apart) > 0.1
    bounds = [
        ImportanceWeightedLoss(3, kind, noise=lambda *_: noise)
        for kind in ("reparameterized", "doubly_reparameterized")
    ]
    logs = log_weights(network, batch["inputs"], noise)
    for bound in bounds:
        assert bound(network, batch, torch.Generator()).total.item() == pytest.approx(-log_mean_exp(logs).sum().item())


# -- linear model ---------------------------------------------------------------------------------------------------


def linear_data(n=400, seed=0):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(2, 5)) * [[3.0], [1.5]]
    return rng.normal(size=(n, 2)) @ mixing + 0.5 * rng.normal(size=(n, 5)) + 7


def at_the_optimum(X):
    """A linear VAE with the maximum likelihood weights of probabilistic PCA and its posterior."""
    model = VAE(n_components=2, hidden=(), likelihood="gaussian", scale="whole", max_epochs=0, random_state=0).fit(X)
    truth = PCA(n_components=2).fit(X)
    n = len(X)
    lam, sigma2 = truth.explained_variance_ * (n - 1) / n, truth.noise_variance_ * (n - 1) / n
    network, unit = model.network_.double(), float(model.scale_[0])
    stretch = np.sqrt(lam - sigma2)
    with torch.no_grad():
        shift = torch.from_numpy(truth.mean_ - model.location_)
        likelihood = network.likelihood
        likelihood.location += shift
        network.decoder.last.weight.copy_(torch.from_numpy(truth.components_.T * stretch / unit))
        network.decoder.last.bias.zero_()
        likelihood.raw_spread.fill_(math.log(math.expm1(math.sqrt(sigma2) / unit - 1e-3)))
        weight = network.encoder.head.weight
        weight.zero_()
        weight[:2] = torch.from_numpy(truth.components_ * (stretch / lam)[:, None] * unit)
        network.encoder.head.bias.zero_()
        deviation = np.sqrt(sigma2 / lam) - 1e-5
        network.encoder.head.bias[2:] = torch.from_numpy(np.log(np.expm1(deviation)))
    rescaled = PCA(n_components=2).fit(X)
    rescaled.explained_variance_, rescaled.noise_variance_ = lam, sigma2
    return model, network, rescaled


def test_linear_optimum_is_the_likelihood_of_probabilistic_pca():
    X = linear_data()
    _, network, truth = at_the_optimum(X)
    rows = torch.from_numpy(X.astype(np.float32)).double()
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        logs = log_weights(network, rows, torch.randn(3, len(rows), 2, generator=source).double()).numpy()
    # q is the posterior there, so every weight of every draw is the likelihood itself
    np.testing.assert_allclose(logs, np.broadcast_to(truth.score_samples(X.astype(np.float32)), logs.shape), atol=1e-4)


def test_linear_optimum_is_stationary():
    X = linear_data()
    _, network, _ = at_the_optimum(X)
    rows = torch.from_numpy(X)
    nodes, weights = quadrature(12)
    pairs, product = torch.cartesian_prod(nodes, nodes), torch.cartesian_prod(weights, weights).prod(1)

    def gradient():
        total = 0.0
        for pair, weight in zip(pairs, product, strict=True):
            noise = pair.expand(1, len(rows), 2)
            total = (
                total
                + weight
                * ElboLoss(noise=lambda *_, noise=noise: noise)(network, {"inputs": rows}, torch.Generator()).total
            )
        return gradient_of(network, total / len(rows))

    assert gradient().abs().max() < 1e-4
    with torch.no_grad():
        network.decoder.last.weight.mul_(1.1)  # planted: off the optimum
    assert gradient().abs().max() > 1e-2


@pytest.mark.slow
def test_training_reaches_the_linear_optimum():
    X = linear_data()
    model = VAE(
        n_components=2, hidden=(), likelihood="gaussian", scale="whole", batch_size=400, max_epochs=4000,
        learning_rate=0.01, schedule="cosine", random_state=0,
    ).fit(X)  # fmt: skip
    found = model.score_samples(X, samples=50).mean()
    assert found == pytest.approx(PCA(n_components=2).fit(X).score(X), abs=0.01)


def test_gaussian_elbo_of_an_encoder_that_ignores_the_row():
    """With q the prior and a decoder that ignores the code, the bound is the likelihood of the decoder's constant."""
    network = small_network(likelihood=GaussianLikelihood(torch.zeros(3), torch.ones(3)))
    with torch.no_grad():
        for parameter in network.encoder.parameters():
            parameter.zero_()
        network.encoder.head.bias[1:] = math.log(math.expm1(1 - 1e-5))
        network.decoder.last.weight.zero_()
        fit, divergence = elbo_parts(network, ROW, torch.zeros(1, 1, 1).double())
    assert divergence.abs().max() < 1e-12
    outputs = network.decoder.last.bias[None]
    assert fit.item() == pytest.approx(network.likelihood.log_prob(outputs, ROW).item())
