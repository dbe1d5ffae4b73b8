"""Weights of averaged models against scipy's optimizer, closed forms, and the bound on what is left to gain."""

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar

from gradus.applications.language.mixing import mix, mixture_weights
from gradus.core.errors import InputError


def drawn(models, n, seed=0):
    """Log-probabilities of models that are right in different places."""
    rng = np.random.default_rng(seed)
    return np.log(rng.beta(0.5, 1.5, (models, n)).clip(1e-6))


def likelihood(log_p, weights):
    return float(np.log(weights @ np.exp(log_p)).mean())


def test_each_group_gets_the_weights_that_scipy_finds_for_it_alone():
    log_p, groups = drawn(2, 3000), np.random.default_rng(1).integers(3, size=3000)
    log_p[0, groups == 1] += 0.5  # (no distribution any more; the weights do not ask)
    found = mixture_weights(log_p, groups, 3, tolerance=1e-10)
    for group in range(3):
        part = log_p[:, groups == group]
        wanted = minimize_scalar(
            lambda share, part=part: -likelihood(part, np.array([share, 1 - share])), bounds=(0, 1), method="bounded"
        )
        assert found.weights[group, 0] == pytest.approx(wanted.x, abs=1e-4)
        assert likelihood(part, found.weights[group]) >= -wanted.fun - 1e-9
    assert found.weights[1, 0] > found.weights[0, 0] + 0.05


def test_three_models_against_scipy_and_the_bound_holds():
    log_p = drawn(3, 500)
    wanted = minimize(
        lambda x: -likelihood(log_p, np.exp(x) / np.exp(x).sum()), np.zeros(3), method="BFGS", options={"gtol": 1e-9}
    )
    for tolerance in (1e-2, 1e-3, 1e-5):
        found = mixture_weights(log_p, np.zeros(500, int), 1, tolerance=tolerance)
        missing = -wanted.fun - likelihood(log_p, found.weights[0])
        assert -1e-9 <= missing <= found.gap <= tolerance
    np.testing.assert_allclose(found.weights.sum(1), 1, rtol=1e-12)


def test_a_model_that_only_harms_is_left_out_altogether():
    better = drawn(1, 200)[0]
    found = mixture_weights(np.stack([better - 0.1, better]), np.zeros(200, int), 1)
    assert found.weights.tolist() == [[0.0, 1.0]]


def test_sharing_by_hand_and_a_group_without_tokens():
    # Two sure models, each right on its own tokens: the likelihood is sum n_m log(w_m), so that w_m = n_m / n.
    log_p = np.log(np.array([[1, 1, 1, 0], [0, 0, 0, 1]]) + 1e-300)
    found = mixture_weights(log_p, np.ones(4, int), 2)
    np.testing.assert_allclose(found.weights, [[0.5, 0.5], [0.75, 0.25]], rtol=1e-9)


def test_tokens_hardly_possible_do_not_underflow():
    log_p = np.array([[-2000.0, -2000.0], [-2001.0, -1999.0]])
    found = mixture_weights(log_p, np.zeros(2, int), 1)
    # By symmetry both count the same; the mean of 1 and 1/e is left of each token's best.
    np.testing.assert_allclose(found.weights, [[0.5, 0.5]], atol=1e-3)
    np.testing.assert_allclose(mix(log_p, found.weights[[0, 0]])[0], -2000 + np.log((1 + np.exp(-1)) / 2), atol=1e-3)


def test_mixing_is_a_sum_of_probabilities_also_with_zeros():
    log_p = drawn(3, 50)
    weights = np.random.default_rng(2).dirichlet(np.ones(3), 50)
    np.testing.assert_allclose(np.exp(mix(log_p, weights)), (weights.T * np.exp(log_p)).sum(0), rtol=1e-12)
    alone = mix(np.array([[-1.0], [-np.inf]]), np.array([[1.0, 0.0]]))
    assert alone.tolist() == [-1.0]


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(InputError, match="a token or more"):
        mixture_weights(np.empty((2, 0)), np.empty(0, int), 1)
    with pytest.raises(InputError, match="holds for possible"):
        mixture_weights(np.full((2, 1), -np.inf), np.zeros(1, int), 1)
