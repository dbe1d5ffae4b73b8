"""Mean field against enumeration, and its bound against the divergence that is left."""

import itertools

import numpy as np
import pytest
import torch

from gradus.core.errors import InputError
from gradus.research.inference.mean_field import (
    BinarySparseCodingState,
    MeanFieldState,
    PairwisePosterior,
    binary_sparse_coding_posterior,
    binary_sparse_coding_step,
    enumerate_pairwise,
    iterated_modes_step,
    mean_field_elbo,
    mean_field_init,
    mean_field_step,
)

UNITS = 6


def pairwise(strength: float = 1.0, rows: int = 4, seed: int = 0) -> PairwisePosterior:
    rng = np.random.default_rng(seed)
    coupling = np.triu(rng.normal(size=(UNITS, UNITS)) * strength, 1)
    arrays = rng.normal(size=rows), rng.normal(size=(rows, UNITS)), coupling + coupling.T
    return PairwisePosterior(*map(torch.from_numpy, arrays))


def coder(features: int = 5, seed: int = 0) -> BinarySparseCodingState:
    rng = np.random.default_rng(seed)
    arrays = rng.normal(size=(features, UNITS)), rng.normal(size=UNITS), rng.uniform(0.5, 3, features)
    return BinarySparseCodingState(*map(torch.from_numpy, arrays))


STATES = torch.tensor(list(itertools.product((0.0, 1.0), repeat=UNITS)), dtype=torch.float64)


def pairs_of(posterior: PairwisePosterior) -> torch.Tensor:
    """What the ties add to each state."""
    return 0.5 * torch.einsum("si,ij,sj->s", STATES, posterior.coupling, STATES)


def test_the_pairwise_form_is_the_joint_density():
    model, V = coder(), torch.randn(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    form = binary_sparse_coding_posterior(model, V)
    prior = torch.distributions.Bernoulli(logits=model.bias).log_prob(STATES).sum(1)
    seen = torch.distributions.Normal(STATES @ model.weights.T, model.precision.rsqrt())
    for row in range(3):
        wanted = prior + seen.log_prob(V[row]).sum(1)
        found = form.constant[row] + STATES @ form.bias[row] + pairs_of(form)
        np.testing.assert_allclose(found, wanted, rtol=1e-10)
    np.testing.assert_allclose(form.coupling.diag(), 0, atol=1e-12)


def test_the_bound_falls_short_by_the_divergence():
    posterior = pairwise()
    q = torch.rand(4, UNITS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    log_z, marginals = enumerate_pairwise(posterior)
    for row in range(4):
        logs = posterior.constant[row] + STATES @ posterior.bias[row] + pairs_of(posterior)
        assert float(log_z[row]) == pytest.approx(float(logs.logsumexp(0)), rel=1e-12)
        exact = logs.softmax(0)
        np.testing.assert_allclose(marginals[row], exact @ STATES, atol=1e-12)
        guess = torch.where(STATES == 1, q[row], 1 - q[row]).prod(1)
        divergence = (guess * (guess.log() - exact.log())).sum()
        assert float(log_z[row] - mean_field_elbo(MeanFieldState(q), posterior)[row]) == pytest.approx(
            float(divergence), rel=1e-10
        )


@pytest.mark.parametrize("strength", [0.3, 1.0, 4.0])
def test_the_bound_never_falls_and_ends_where_its_gradient_is_zero(strength):
    posterior = pairwise(strength, rows=8)
    state = mean_field_init(posterior, torch.Generator().manual_seed(0))
    bounds = [mean_field_elbo(state, posterior)]
    for _ in range(300):
        state, info = mean_field_step(state, posterior)
        bounds.append(info.elbo)
    gains = torch.stack(bounds).diff(dim=0)
    assert gains.min() > -1e-10 and gains[0].min() > 0.01
    assert info.change < 1e-6
    log_z, _ = enumerate_pairwise(posterior)
    assert (info.elbo < log_z).all()
    logits = torch.logit(state.probabilities).requires_grad_()
    slope = torch.autograd.grad(mean_field_elbo(MeanFieldState(logits.sigmoid()), posterior).sum(), logits)[0]
    assert slope.abs().max() < 1e-5


def test_units_that_do_not_interact_are_exact_and_weak_ties_are_close():
    posterior = pairwise(0.0)
    state, info = mean_field_step(mean_field_init(posterior), posterior)
    log_z, marginals = enumerate_pairwise(posterior)
    np.testing.assert_allclose(info.elbo, log_z, atol=1e-12)
    np.testing.assert_allclose(state.probabilities, marginals, atol=1e-12)
    errors = []
    for strength in (0.1, 0.2, 0.4):  # the divergence grows with the square of the ties
        posterior = pairwise(strength)
        state = mean_field_init(posterior)
        for _ in range(100):
            state, info = mean_field_step(state, posterior)
        errors.append(float((enumerate_pairwise(posterior)[0] - info.elbo).mean()))
    assert 3 < errors[1] / errors[0] < 5 and 3 < errors[2] / errors[1] < 5


def test_iterated_modes_climb_to_a_mode():
    posterior = pairwise(2.0, rows=30, seed=3)
    logs = posterior.constant + STATES @ posterior.bias.T + pairs_of(posterior)[:, None]
    best, found = logs.max(0).values, []
    for seed in range(10):
        state = MeanFieldState(mean_field_init(posterior, torch.Generator().manual_seed(seed)).probabilities.round())
        past = [mean_field_elbo(state, posterior)]
        for _ in range(10):
            state, info = iterated_modes_step(state, posterior)
            past.append(info.elbo)
        assert torch.stack(past).diff(dim=0).min() >= 0 and float(info.change) == 0
        assert (info.elbo <= best + 1e-12).all()
        for unit in range(UNITS):  # no single flip is better
            flipped = state.probabilities.clone()
            flipped[:, unit] = 1 - flipped[:, unit]
            assert (mean_field_elbo(MeanFieldState(flipped), posterior) <= info.elbo + 1e-12).all()
        found.append(info.elbo)
    np.testing.assert_allclose(torch.stack(found).amax(0), best, rtol=1e-12)  # from ten starts, the best of all states


def test_variational_learning_never_lowers_the_bound_and_finds_the_causes():
    rng = torch.Generator().manual_seed(2)
    planted = torch.randn(16, 4, generator=rng, dtype=torch.float64)
    h = (torch.rand(800, 4, generator=rng, dtype=torch.float64) < 0.3).double()
    V = h @ planted.T + 0.2 * torch.randn(800, 16, generator=rng, dtype=torch.float64)
    start = BinarySparseCodingState(
        planted + 0.7 * torch.randn(16, 4, generator=rng, dtype=torch.float64),
        torch.zeros(4).double(),
        torch.ones(16).double(),
    )
    state, factors, bounds = start, None, []
    for _ in range(150):
        state, info = binary_sparse_coding_step(state, V, factors, ridge=0.0)
        factors = info.posterior
        bounds.append(float(info.elbo.mean()))
    assert np.diff(bounds).min() > -1e-9 and bounds[-1] - bounds[0] > 3
    unit = torch.nn.functional.normalize
    match = (unit(planted, dim=0).T @ unit(state.weights, dim=0)).max(1).values
    assert match.min() > 0.98
    assert (state.precision.rsqrt() - 0.2).abs().max() < 0.05


def test_parameters_are_the_best_for_a_posterior_that_is_unsure():
    """The bound's gradient by weights, biases and precisions is zero where the step ends, whatever the posterior."""
    source = torch.Generator().manual_seed(0)
    V = torch.randn(50, 5, generator=source, dtype=torch.float64)
    factors = MeanFieldState(torch.rand(50, UNITS, generator=source, dtype=torch.float64))

    def slopes(model: BinarySparseCodingState) -> torch.Tensor:
        free = BinarySparseCodingState(*(part.clone().requires_grad_() for part in model))
        bound = mean_field_elbo(factors, binary_sparse_coding_posterior(free, V)).mean()
        return torch.cat([slope.flatten() for slope in torch.autograd.grad(bound, free)])

    new, _ = binary_sparse_coding_step(coder(), V, factors, sweeps=0, ridge=0.0)
    assert slopes(new).abs().max() < 1e-9 < 1e-2 < slopes(coder()).abs().max()
    # planted: the units' own variance left out of the noise
    sure = 1 / (
        1 / new.precision - (factors.probabilities * (1 - factors.probabilities)).mean(0) @ new.weights.square().T
    )
    assert slopes(new._replace(precision=sure)).abs().max() > 1e-3


def test_too_many_units_are_not_enumerated():
    many = PairwisePosterior(torch.zeros(1), torch.zeros(1, 21), torch.zeros(21, 21))
    with pytest.raises(InputError, match="at most 20 units"):
        enumerate_pairwise(many)
