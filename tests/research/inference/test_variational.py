"""Gradients of the bound against enumeration, quadrature and automatic differentiation; what they climb to."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression
from torch.distributions import Independent, MultivariateNormal, Normal

from gradus.core.errors import InputError
from gradus.foundations.laplace import map_estimate
from gradus.research.inference.amortization import amortization_gap
from gradus.research.inference.guides import BernoulliGuide, FullGaussianGuide, MeanFieldGaussianGuide
from gradus.research.inference.mean_field import (
    MeanFieldState,
    PairwisePosterior,
    mean_field_elbo,
    mean_field_init,
    mean_field_step,
)
from gradus.research.inference.variational import (
    elbo_estimate,
    importance_log_likelihood,
    reparameterized_gradient,
    score_function_gradient,
    svi_init,
    svi_step,
)

FAILURE = 1e-5
DRAWS = 20_000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def parameters_of(guide, seed: int = 3) -> torch.Tensor:
    size = {BernoulliGuide: guide.dimensions, MeanFieldGaussianGuide: 2 * guide.dimensions}.get(
        type(guide), guide.dimensions + guide.dimensions * (guide.dimensions + 1) // 2
    )
    return 0.7 * torch.randn(size, generator=seeded(seed), dtype=torch.float64)


def surprise(draws: torch.Tensor, exact: torch.Tensor) -> float:
    """Largest standardized distance of the mean over draws from the exact gradient."""
    error = draws.std(0) / len(draws) ** 0.5
    return float(((draws.mean(0) - exact).abs() / error.clamp(min=1e-12)).max())


LIMIT = float(stats.norm.isf(FAILURE / 20))


# ---- guides ----


@pytest.mark.parametrize("guide", [MeanFieldGaussianGuide(3), FullGaussianGuide(3), BernoulliGuide(3)], ids=repr)
def test_guides_are_what_torch_says(guide):
    parameters = parameters_of(guide)
    noise = guide.noise(parameters, 50, seeded())
    z = guide.draw(parameters, noise)
    if isinstance(guide, BernoulliGuide):
        peer = Independent(torch.distributions.Bernoulli(logits=parameters), 1)
    else:
        peer = MultivariateNormal(*guide.moments(parameters))
    np.testing.assert_allclose(guide.log_prob(parameters, z), peer.log_prob(z), rtol=1e-10)
    assert float(guide.entropy(parameters)) == pytest.approx(float(peer.entropy()), rel=1e-10)
    moved = parameters.clone().requires_grad_()
    slopes = [torch.autograd.grad(guide.log_prob(moved, z[i : i + 1]).sum(), moved)[0] for i in range(5)]
    np.testing.assert_allclose(guide.score(parameters, z)[:5], torch.stack(slopes), rtol=1e-8, atol=1e-10)
    if not isinstance(guide, BernoulliGuide):
        outer = torch.randn(50, 3, generator=seeded(1), dtype=torch.float64)
        whole = torch.autograd.grad((outer * guide.draw(moved, noise)).sum(), moved)[0]
        np.testing.assert_allclose(guide.pull_back(parameters, noise, outer).sum(0), whole, rtol=1e-10)


# ---- gradients on a smooth density, against quadrature ----


def crooked(z: torch.Tensor) -> torch.Tensor:
    """A log-density with a quartic, a wave and an interaction."""
    return -0.1 * z.pow(4).sum(1) + torch.sin(2 * z[:, 0]) + 0.5 * z[:, 0] * z[:, 1]


def quadrature(guide, parameters: torch.Tensor) -> torch.Tensor:
    """The bound's exact gradient: Gauss and Hermite's nodes in both dimensions."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    grid = torch.from_numpy(np.array(list(itertools.product(nodes, repeat=2))))
    share = torch.from_numpy(np.outer(weights, weights).ravel() / (2 * math.pi))
    moved = parameters.clone().requires_grad_()
    bound = (share * crooked(guide.draw(moved, grid))).sum() + guide.entropy(moved)
    return torch.autograd.grad(bound, moved)[0]


@pytest.mark.parametrize("guide", [MeanFieldGaussianGuide(2), FullGaussianGuide(2)], ids=repr)
def test_three_gradients_agree_on_a_smooth_density(guide):
    parameters = parameters_of(guide)
    exact = quadrature(guide, parameters)
    through = reparameterized_gradient(crooked, guide, parameters, DRAWS, seeded(1))
    plain = score_function_gradient(crooked, guide, parameters, DRAWS, seeded(2), "none")
    held = score_function_gradient(crooked, guide, parameters, DRAWS, seeded(3))
    for found in (through, plain, held):
        assert surprise(found.draws, exact) < LIMIT
        np.testing.assert_allclose(found.gradient, found.draws.mean(0))
    assert float(through.draws.var(0).sum()) < 0.5 * float(held.draws.var(0).sum())
    # planted bugs: the entropy's slope forgotten, the sign turned, a factor of two
    for wrong in (through.draws - quadrature_of_entropy(guide, parameters), -plain.draws, 2 * held.draws):
        assert surprise(wrong, exact) > LIMIT


def quadrature_of_entropy(guide, parameters: torch.Tensor) -> torch.Tensor:
    moved = parameters.clone().requires_grad_()
    return torch.autograd.grad(guide.entropy(moved), moved)[0]


# ---- gradients on discrete units, against enumeration ----

UNITS = 5
STATES = torch.tensor(list(itertools.product((0.0, 1.0), repeat=UNITS)), dtype=torch.float64)


@pytest.fixture(scope="module")
def tied():
    rng = np.random.default_rng(0)
    coupling = np.triu(rng.normal(size=(UNITS, UNITS)), 1)
    bias, coupling = torch.from_numpy(rng.normal(size=UNITS)), torch.from_numpy(coupling + coupling.T)

    def log_joint(z: torch.Tensor) -> torch.Tensor:
        return -1.0 + z @ bias + 0.5 * ((z @ coupling) * z).sum(1)

    return log_joint, PairwisePosterior(torch.full((1,), -1.0).double(), bias[None], coupling)


def enumerated(log_joint, parameters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The bound and its gradient, state by state."""
    moved = parameters.clone().requires_grad_()
    p = torch.distributions.Bernoulli(logits=moved)
    logs = p.log_prob(STATES).sum(1)
    bound = (logs.exp() * (log_joint(STATES) - logs)).sum()
    return bound.detach(), torch.autograd.grad(bound, moved)[0]


@pytest.mark.parametrize("control", ["none", "leave-one-out", "rao-blackwell"])
def test_score_functions_agree_with_enumeration(tied, control):
    log_joint, pairwise = tied
    guide = BernoulliGuide(UNITS)
    parameters = parameters_of(guide)
    bound, exact = enumerated(log_joint, parameters)
    assert float(bound) == pytest.approx(
        float(mean_field_elbo(MeanFieldState(parameters.sigmoid()[None]), pairwise)), rel=1e-12
    )
    found = score_function_gradient(log_joint, guide, parameters, DRAWS, seeded(), control)
    assert surprise(found.draws, exact) < LIMIT
    assert surprise(found.draws * 1.1, exact) > LIMIT or control == "none"
    assert surprise(-found.draws, exact) > LIMIT
    assert float(found.elbo) == pytest.approx(float(bound), abs=0.1)


def test_controls_take_noise_out(tied):
    log_joint, _ = tied
    guide = BernoulliGuide(UNITS)
    parameters = parameters_of(guide)
    shifted = lambda z: log_joint(z) + 10.0  # noqa: E731
    noise = {
        control: float(score_function_gradient(shifted, guide, parameters, 4000, seeded(), control).draws.var(0).sum())
        for control in ("none", "leave-one-out", "rao-blackwell")
    }
    assert noise["leave-one-out"] < 0.1 * noise["none"]
    assert noise["rao-blackwell"] < 0.5 * noise["leave-one-out"]


def test_the_baseline_of_few_draws_has_no_bias(tied):
    log_joint, _ = tied
    guide = BernoulliGuide(UNITS)
    parameters = parameters_of(guide)
    _, exact = enumerated(log_joint, parameters)
    source = seeded(5)
    twice = torch.stack(
        [score_function_gradient(log_joint, guide, parameters, 2, source).gradient for _ in range(6000)]
    )
    assert surprise(twice, exact) < LIMIT
    assert surprise(twice / 2, exact) > LIMIT  # the draw itself left in the mean: a planted bias of one half


# ---- climbing ----


def test_a_full_gaussian_becomes_the_posterior_and_mean_field_its_precisions():
    covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
    target = MultivariateNormal(torch.tensor([1.0, -2.0], dtype=torch.float64), covariance)
    log_joint = lambda z: target.log_prob(z) - 7.0  # noqa: E731
    wanted = {FullGaussianGuide: covariance, MeanFieldGaussianGuide: (1 - 0.64) * torch.eye(2, dtype=torch.float64)}
    bounds = {}
    for kind, spread in wanted.items():
        guide, source = kind(2), seeded()
        state = svi_init(guide.init(torch.zeros(2, dtype=torch.float64), scale=1.0))
        for step in range(1200):
            rate = 0.05 * (1 - step / 1200)
            state, _ = svi_step(state, log_joint, guide, source, learning_rate=rate, draws=20)
        mean, found = guide.moments(state.parameters)
        np.testing.assert_allclose(mean, target.mean, atol=0.03)
        np.testing.assert_allclose(found, spread, atol=0.04)
        bounds[kind] = float(elbo_estimate(log_joint, guide, state.parameters, 4000, seeded(9)).mean())
        evidence = importance_log_likelihood(log_joint, guide, state.parameters, 4000, seeded(9))
        assert float(evidence) == pytest.approx(-7, abs=0.01 if kind is FullGaussianGuide else 0.2)
    assert bounds[FullGaussianGuide] == pytest.approx(-7, abs=0.01)
    # KL of the best factorial Gaussian: half the log of the ratio of the determinants
    assert bounds[MeanFieldGaussianGuide] == pytest.approx(-7 + 0.5 * math.log(1 - 0.64), abs=0.05)


def test_score_function_steps_reach_what_coordinate_ascent_does(tied):
    log_joint, pairwise = tied
    guide, source = BernoulliGuide(UNITS), seeded()
    mean_field = mean_field_init(pairwise)
    for _ in range(200):
        mean_field, info = mean_field_step(mean_field, pairwise)
    begun = torch.logit(mean_field.probabilities[0]) + 0.5  # one of several optima
    for control, draws, tolerance in (("rao-blackwell", 4, 0.02), ("leave-one-out", 40, 0.03)):
        state = svi_init(begun)
        for step in range(800):
            rate = 0.05 * (1 - step / 800)
            state, _ = svi_step(
                state, log_joint, guide, source, learning_rate=rate, draws=draws, gradient="score", control=control
            )
        np.testing.assert_allclose(state.parameters.sigmoid(), mean_field.probabilities[0], atol=tolerance)
        assert float(enumerated(log_joint, state.parameters)[0]) == pytest.approx(float(info.elbo), abs=0.01)


def test_steps_are_those_of_adam():
    guide = MeanFieldGaussianGuide(2)
    state = svi_init(guide.init(torch.ones(2, dtype=torch.float64)))
    peer = state.parameters.clone().requires_grad_()
    adam = torch.optim.Adam([peer], lr=0.1, maximize=True)
    for step in range(5):
        gradient = reparameterized_gradient(crooked, guide, state.parameters, 3, seeded(step)).gradient
        peer.grad = gradient
        state, info = svi_step(state, crooked, guide, seeded(step), learning_rate=0.1, draws=3)
        adam.step()
        np.testing.assert_allclose(state.parameters, peer.detach(), rtol=1e-10)
        assert float(info.gradient_norm) == pytest.approx(float(gradient.norm()))


def test_wrong_requests_get_a_sentence():
    bits, z = BernoulliGuide(2), torch.zeros(2)
    with pytest.raises(InputError, match="draws move smoothly, got BernoulliGuide"):
        reparameterized_gradient(lambda z: z.sum(1), bits, z, 2, seeded())
    with pytest.raises(InputError, match="units have two values"):
        score_function_gradient(crooked, MeanFieldGaussianGuide(2), torch.zeros(4), 2, seeded(), "rao-blackwell")
    with pytest.raises(InputError, match="2 draws or more"):
        score_function_gradient(lambda z: z.sum(1), bits, z, 1, seeded())
    with pytest.raises(InputError, match="one number a draw"):
        score_function_gradient(lambda z: z.sum(), bits, z, 2, seeded())


# ---- amortization, MAP ----


def test_the_gaps_of_a_linear_gaussian_model_are_exact():
    rng = torch.Generator().manual_seed(0)
    W = torch.randn(5, 2, generator=rng, dtype=torch.float64)
    noise, X = 0.5, 2 * torch.randn(6, 5, generator=rng, dtype=torch.float64)

    def log_joint(z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return Normal(0.0, 1.0).log_prob(z).sum(-1) + Normal(z @ W.T, noise).log_prob(x).sum(-1)

    precision = torch.eye(2, dtype=torch.float64) + W.T @ W / noise**2
    posterior = torch.linalg.solve(precision, W.T @ X.T / noise**2).T
    exact = MultivariateNormal(torch.zeros(5).double(), W @ W.T + noise**2 * torch.eye(5).double()).log_prob(X)
    approximation = 0.5 * (precision.diag().log().sum() - torch.logdet(precision))  # KL of the best factorial one
    off = torch.linspace(0.0, 0.4, 6, dtype=torch.float64)[:, None]

    def encoder(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return posterior + off, -0.5 * precision.diag().log().expand(6, 2)

    found = amortization_gap(log_joint, encoder, X, seeded(), learning_rate=0.01, draws=20_000)
    np.testing.assert_allclose(found.log_likelihood, exact, atol=0.03)
    np.testing.assert_allclose(found.approximation, approximation.expand(6), atol=0.06)
    # a mean that is off by d costs d P d / 2
    cost = 0.5 * (off.expand(6, 2) @ precision * off).sum(1)
    np.testing.assert_allclose(found.amortization, cost, atol=0.08 + 0.02 * float(cost.max()))
    with pytest.raises(InputError, match="log-deviations of shape"):
        amortization_gap(log_joint, lambda x: (x, x[:, :1]), X, seeded())


def test_the_mode_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    y = (X @ [1.0, -2.0, 0.5, 0.0] + rng.logistic(size=200) > 0).astype(float)
    peer = LogisticRegression(C=0.5, fit_intercept=False, tol=1e-10, max_iter=10_000).fit(X, y)
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y)

    def log_joint(w: torch.Tensor) -> torch.Tensor:
        fit = torch.distributions.Bernoulli(logits=inputs @ w).log_prob(targets).sum()
        return fit + Normal(0.0, math.sqrt(0.5)).log_prob(w).sum()

    found = map_estimate(log_joint, torch.zeros(4, dtype=torch.float64), tolerance=1e-9)
    np.testing.assert_allclose(found.values, peer.coef_[0], atol=1e-6)
    assert found.gradient < 1e-5
    assert float(found.log_density) == pytest.approx(float(log_joint(found.values)))


def test_modes_of_many_examples_are_found_at_once():
    centres = torch.tensor([[1.0, 2.0], [-3.0, 0.5]], dtype=torch.float64)
    found = map_estimate(lambda z: -(z - centres).square().sum(1) + 7, torch.zeros_like(centres), tolerance=1e-9)
    torch.testing.assert_close(found.values, centres, atol=1e-8, rtol=0)
    assert found.log_density.tolist() == pytest.approx([7.0, 7.0])
