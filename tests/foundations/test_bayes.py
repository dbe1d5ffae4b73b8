"""Bayesian linear regression, modes, Laplace's Gaussian: against integrals, marginal Gaussians and scikit-learn."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from scipy.integrate import quad
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import BayesianRidge, LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from torch import distributions as td
from torch.nn.functional import logsigmoid

from gradus.core.errors import InputError, SettingError
from gradus.foundations.bayes import (
    Belief,
    isotropic_prior,
    linear_posterior,
    linear_statistics,
    log_evidence,
    merged,
    predictive,
    squared_error,
)
from gradus.foundations.evidence import EvidenceState, evidence_init, evidence_step
from gradus.foundations.laplace import laplace_approximation, map_estimate

ALPHA, BETA = 0.7, 2.5


def rows(n=12, d=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g, dtype=torch.float64)
    return x, x @ torch.arange(1.0, d + 1, dtype=torch.float64) + torch.randn(n, generator=g, dtype=torch.float64)


def normal(mean, precision):
    return td.Normal(torch.as_tensor(mean, dtype=torch.float64), torch.tensor(precision**-0.5, dtype=torch.float64))


@pytest.fixture(scope="module")
def diabetes():
    x, y = load_diabetes(return_X_y=True)
    return torch.from_numpy(x), torch.from_numpy(y - y.mean())


# -- posterior ----------------------------------------------------------------------------------------------------


def test_posterior_mean_is_ridge_and_covariance_is_of_the_joint_gaussian():
    x, y = rows()
    posterior = linear_posterior(isotropic_prior(3, ALPHA), linear_statistics(x, y), BETA)
    ridge = Ridge(alpha=ALPHA / BETA, fit_intercept=False).fit(x, y)
    np.testing.assert_allclose(posterior.mean, ridge.coef_, rtol=1e-9)
    # Weights and targets are jointly Gaussian: conditioning on the targets by the other formula, that of covariances.
    marginal = x @ x.T / ALPHA + torch.eye(12) / BETA
    gain = x.T / ALPHA @ marginal.inverse()
    torch.testing.assert_close(posterior.mean, gain @ y)
    torch.testing.assert_close(posterior.covariance(), torch.eye(3) / ALPHA - gain @ x / ALPHA)
    torch.testing.assert_close(posterior.distribution().covariance_matrix, posterior.covariance())


def test_a_posterior_is_the_next_prior():
    x, y = rows(20)
    whole = linear_posterior(isotropic_prior(3, ALPHA), linear_statistics(x, y), BETA)
    belief = isotropic_prior(3, ALPHA)
    for part in (slice(0, 1), slice(1, 13), slice(13, 20)):
        belief = linear_posterior(belief, linear_statistics(x[part], y[part]), BETA)
    torch.testing.assert_close(belief, whole)
    both = merged(linear_statistics(x[:7], y[:7]), linear_statistics(x[7:], y[7:]))
    torch.testing.assert_close(both, linear_statistics(x, y))


def test_weights_count_rows():
    x, y = rows(5)
    often = torch.tensor([1.0, 0.0, 2.0, 3.0, 1.0], dtype=torch.float64)
    again = torch.repeat_interleave(torch.arange(5), often.long())
    torch.testing.assert_close(linear_statistics(x, y, often), linear_statistics(x[again], y[again]))


def test_predictions_are_conditionals_of_the_joint_gaussian():
    x, y = rows()
    new = rows(4, seed=1)[0]
    belief = linear_posterior(isotropic_prior(3, ALPHA), linear_statistics(x, y), BETA)
    every = torch.cat([x, new])
    joint = every @ every.T / ALPHA + torch.eye(16) / BETA
    gain = joint[12:, :12] @ joint[:12, :12].inverse()
    covariance = joint[12:, 12:] - gain @ joint[:12, 12:]
    found = predictive(belief, new, BETA)
    torch.testing.assert_close(found.mean, gain @ y)
    torch.testing.assert_close(found.variance, covariance.diagonal())
    quiet = predictive(belief, new, None)
    torch.testing.assert_close(found.variance - quiet.variance, torch.full((4,), 1 / BETA).double())


def test_squared_error_from_sums():
    x, y = rows()
    w = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(squared_error(w, linear_statistics(x, y)), (y - x @ w).square().sum())


# -- evidence -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 12])
def test_evidence_is_the_marginal_density_of_the_targets(n):
    x, y = rows(n)
    root = torch.randn(3, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    prior = Belief(torch.tensor([1.0, -1.0, 0.5]).double(), root @ root.T + torch.eye(3).double())
    marginal = x @ prior.covariance() @ x.T + torch.eye(n).double() / BETA
    expected = scipy.stats.multivariate_normal.logpdf(y, x @ prior.mean, marginal)
    assert log_evidence(prior, linear_statistics(x, y), BETA).item() == pytest.approx(float(expected), rel=1e-10)


def test_evidence_is_the_integral_over_weights():
    x, y = rows(4, 2)

    side = torch.linspace(-8, 10, 601, dtype=torch.float64)
    w = torch.cartesian_prod(side, side)
    logs = normal(w @ x.T, BETA).log_prob(y).sum(1) + normal(0.0, ALPHA).log_prob(w).sum(1)
    integral = logs.exp().sum() * (side[1] - side[0]) ** 2  # of a smooth function that vanishes at the ends
    found = log_evidence(isotropic_prior(2, ALPHA), linear_statistics(x, y), BETA)
    assert found.item() == pytest.approx(integral.log().item(), abs=1e-8)


def test_evidence_by_the_chain_rule():
    """log p(y) = Σ log p(y_i | y_<i): predictions, posterior and evidence hang together."""
    x, y = rows()
    belief, total = isotropic_prior(3, ALPHA), 0.0
    for i in range(12):
        total += predictive(belief, x[i : i + 1], BETA).log_prob(y[i : i + 1]).item()
        belief = linear_posterior(belief, linear_statistics(x[i : i + 1], y[i : i + 1]), BETA)
    assert log_evidence(isotropic_prior(3, ALPHA), linear_statistics(x, y), BETA).item() == pytest.approx(total)


def maximized(statistics, steps=200, **known):
    state = evidence_init(statistics, **known)
    for _ in range(steps):
        state, info = evidence_step(
            state, statistics, fit_prior="prior_precision" not in known, fit_noise="noise_precision" not in known
        )
    return state, info


def test_evidence_maximization_ends_where_both_slopes_are_zero(diabetes):
    statistics = linear_statistics(*diabetes)
    state, info = maximized(statistics)
    logs = torch.stack([p.log() for p in state]).requires_grad_()
    prior = Belief(torch.zeros(10).double(), logs[0].exp() * torch.eye(10).double())
    (slopes,) = torch.autograd.grad(log_evidence(prior, statistics, logs[1].exp()), logs)
    assert slopes.abs().max() < 1e-6 and info.change < 1e-9
    assert 5 < info.effective < 10
    higher = [EvidenceState(state[0] * a, state[1] * b) for a, b in ((2, 1), (0.5, 1), (1, 1.1), (1, 0.9))]
    best = log_evidence(isotropic_prior(10, float(state[0])), statistics, state[1])
    assert all(log_evidence(isotropic_prior(10, float(s[0])), statistics, s[1]) < best for s in higher)


def test_precisions_of_scikit_learn(diabetes):
    x, y = diabetes
    flat = {"alpha_1": 0, "alpha_2": 0, "lambda_1": 0, "lambda_2": 0}  # it has hyperpriors; these are none
    other = BayesianRidge(fit_intercept=False, tol=1e-10, max_iter=2000, compute_score=True, **flat).fit(x, y)
    state, info = maximized(linear_statistics(x, y))
    assert state.prior_precision.item() == pytest.approx(other.lambda_, rel=1e-6)
    assert state.noise_precision.item() == pytest.approx(other.alpha_, rel=1e-6)
    np.testing.assert_allclose(info.posterior.mean, other.coef_, rtol=1e-6)
    np.testing.assert_allclose(info.posterior.covariance(), other.sigma_, rtol=1e-5)
    found = log_evidence(isotropic_prior(10, state.prior_precision.item()), linear_statistics(x, y), state[1])
    assert found.item() == pytest.approx(other.scores_[-1], rel=1e-9)


def test_a_known_precision_stays():
    statistics = linear_statistics(*rows(30))
    state, _ = maximized(statistics, noise_precision=2.0)
    assert state.noise_precision == 2.0 and state.prior_precision != evidence_init(statistics).prior_precision
    state, _ = maximized(statistics, prior_precision=2.0)
    assert state.prior_precision == 2.0


def test_no_effect_and_no_noise_end_at_a_bound():
    x, _ = rows(30)
    state, info = maximized(linear_statistics(x, torch.zeros(30).double()))
    assert all(p.isfinite() and p > 0 for p in state) and info.posterior.mean.abs().max() == 0
    state, info = maximized(linear_statistics(x, x @ torch.ones(3).double()))
    torch.testing.assert_close(info.posterior.mean, torch.ones(3).double(), atol=1e-6, rtol=0)
    assert 1e6 < state.noise_precision < 1e9
    state, _ = maximized(linear_statistics(torch.zeros(30, 2).double(), rows(30)[1]))
    assert all(p.isfinite() and p > 0 for p in state)


def test_bad_rows():
    x, y = rows(2)
    with pytest.raises(InputError, match="neither settles"):
        linear_posterior(isotropic_prior(3, 0.0), linear_statistics(x, y), BETA)
    with pytest.raises(InputError, match="one target"):
        linear_statistics(x, y[:1])
    with pytest.raises(SettingError, match="precision"):
        isotropic_prior(3, -1.0)


# -- modes --------------------------------------------------------------------------------------------------------


def test_the_mode_of_a_regression_is_its_posterior_mean():
    x, y = rows()
    posterior = linear_posterior(isotropic_prior(3, ALPHA), linear_statistics(x, y), BETA)

    def log_joint(w):
        return normal(x @ w, BETA).log_prob(y).sum() + normal(0.0, ALPHA).log_prob(w).sum()

    mode = map_estimate(log_joint, torch.zeros(3).double())
    assert mode.converged and mode.gradient < 1e-6
    torch.testing.assert_close(mode.values, posterior.mean, atol=1e-6, rtol=0)
    assert mode.log_density == pytest.approx(log_joint(posterior.mean).item())
    laid = laplace_approximation(log_joint, mode.values)
    torch.testing.assert_close(laid.distribution.covariance_matrix, posterior.covariance())
    evidence = log_evidence(isotropic_prior(3, ALPHA), linear_statistics(x, y), BETA)
    assert laid.log_evidence.item() == pytest.approx(evidence.item(), rel=1e-9)  # exact: the posterior is Gaussian


def test_the_mode_of_logistic_regression_is_scikit_learns():
    x, y = load_breast_cancer(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    other = LogisticRegression(C=1 / ALPHA, fit_intercept=False, tol=1e-10, max_iter=5000).fit(x, y)
    rows, labels = torch.from_numpy(x), torch.from_numpy(y).double()

    def log_posterior(w):
        return td.Bernoulli(logits=rows @ w).log_prob(labels).sum() - 0.5 * ALPHA * w.square().sum()

    mode = map_estimate(log_posterior, torch.zeros(30).double())
    assert mode.converged
    np.testing.assert_allclose(mode.values, other.coef_[0], atol=1e-5)
    p = (rows @ mode.values).sigmoid()
    hessian = rows.T @ (rows * (p * (1 - p))[:, None]) + ALPHA * torch.eye(30)
    precision = laplace_approximation(log_posterior, mode.values).distribution.precision_matrix
    torch.testing.assert_close(precision, hessian, rtol=1e-8, atol=1e-8)


def test_laplace_nears_the_integral_as_rows_come():
    """A coin with a prior Beta(2, 2): the evidence is a ratio of Beta functions, the posterior a Beta."""
    errors = []
    for n in (10, 100, 1000):
        heads, tails = 0.7 * n + 2, 0.3 * n + 2

        def log_joint(logit, heads=heads, tails=tails):  # of the logit, with the change of variables
            return (heads * logsigmoid(logit) + tails * logsigmoid(-logit)).sum()

        mode = map_estimate(log_joint, torch.zeros(1).double())
        assert mode.values.sigmoid().item() == pytest.approx(heads / (heads + tails), abs=1e-7)
        laid = laplace_approximation(log_joint, mode.values)
        exact = math.lgamma(heads) + math.lgamma(tails) - math.lgamma(heads + tails)
        errors.append(abs(laid.log_evidence.item() - exact))
        top = mode.log_density
        numeric = quad(lambda t, top=top: math.exp(log_joint(torch.tensor([t]).double()) - top), -10, 10)[0]
        assert math.log(numeric) + top == pytest.approx(exact, abs=1e-6)
    assert errors[0] < 0.05 and errors[1] < errors[0] / 5 and errors[2] < errors[1] / 5  # an error of order 1 / n


def test_modes_that_are_none():
    assert not map_estimate(lambda w: w.sum(), torch.zeros(2).double(), max_steps=5).converged
    with pytest.raises(InputError, match="falls in every direction"):
        laplace_approximation(lambda w: w.square().sum(), torch.zeros(2).double())
    with pytest.raises(InputError, match="falls in every direction"):
        laplace_approximation(lambda w: -w[0].square(), torch.zeros(2).double())
    with torch.no_grad():
        mode = map_estimate(lambda w: -(w - 3.0).square().sum(), torch.zeros(1).double())
        assert mode.values.item() == pytest.approx(3.0)
        laid = laplace_approximation(lambda w: -(w - 3.0).square().sum(), mode.values)
        assert laid.distribution.variance.item() == pytest.approx(0.5)
