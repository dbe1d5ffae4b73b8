"""Sparse codes against scikit-learn's LARS and the optimality conditions; dictionaries planted and of photographs."""

import itertools

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import DictionaryLearning, sparse_encode
from sklearn.exceptions import ConvergenceWarning

from gradus.core.errors import InputError, SettingError
from gradus.networks.convolutional.gabor import fit_gabor
from gradus.research.linear_factors import SparseCoding, lasso_objective, sparse_codes
from gradus.research.linear_factors.sparse_coding import Sums, improved
from gradus.research.linear_factors.sparse_inference import Lasso

ALGORITHMS = pytest.mark.parametrize("algorithm", ["fista", "ista", "coordinate"])


def problem(n=60, d=20, k=40, seed=0):
    rng = np.random.default_rng(seed)
    D = rng.normal(size=(k, d))
    D /= np.linalg.norm(D, axis=1, keepdims=True)
    return rng.normal(size=(n, d)) * 2, D


def patches(data_home, n, size, seed=0):
    """Patches of grey photographs, each centred; a few tenths of them flat, as in nature."""
    rng, cut = np.random.default_rng(seed), []
    with np.load(data_home / "vision" / "photos.npz", allow_pickle=False) as photos:
        for name in photos.files:
            photo = photos[name].astype(np.float64)
            photo = photo.mean(2) if photo.ndim == 3 else photo
            top = rng.integers(0, photo.shape[0] - size, n // len(photos.files))
            left = rng.integers(0, photo.shape[1] - size, len(top))
            cut += [photo[i : i + size, j : j + size] for i, j in zip(top, left, strict=True)]
    rows = np.stack(cut)
    return rows - rows.mean((1, 2), keepdims=True)


# ---- inference ----


@ALGORITHMS
@pytest.mark.parametrize("penalty", [0.4, 2.0])
def test_optimum_is_that_of_lars(algorithm, penalty):
    X, D = problem(n=30)
    found = sparse_codes(X, D, penalty, algorithm=algorithm, tol=1e-13, max_iter=100_000)
    expected = sparse_encode(X, D, algorithm="lasso_lars", alpha=penalty, max_iter=10_000)
    np.testing.assert_allclose(found.codes, expected, atol=1e-5)
    np.testing.assert_array_equal(found.codes[np.abs(expected) > 1e-4] != 0, True)


@ALGORITHMS
def test_optimality_conditions(algorithm):
    """``D r`` is λ sign(z) where z is not zero, and no larger than λ where it is: nothing but the optimum has that."""
    X, D = problem(n=30, seed=1)
    codes = sparse_codes(X, D, 0.7, algorithm=algorithm, tol=1e-13, max_iter=100_000).codes
    slopes = (X - codes @ D) @ D.T
    np.testing.assert_allclose(slopes[codes != 0], 0.7 * np.sign(codes[codes != 0]), atol=1e-5)
    assert np.abs(slopes).max() < 0.7 + 1e-5
    assert 0.05 < (codes != 0).mean() < 0.6


def test_the_gap_bounds_the_distance_to_the_minimum():
    X, D = problem()
    least = lasso_objective(X, D, sparse_codes(X, D, 0.5, tol=1e-13, max_iter=100_000).codes, 0.5)
    gram = D @ D.T
    lasso = Lasso(X @ D.T, np.square(X).sum(1), gram, 1.0, 0.5)
    for steps in (1, 3, 10, 30, 100):
        codes = sparse_codes(X, D, 0.5, tol=0, max_iter=steps).codes
        above = lasso_objective(X, D, codes, 0.5) - least
        gap = lasso.gaps(codes, X @ D.T - codes @ gram) * 0.5 * np.square(X).sum(1)
        assert (gap >= above - 1e-9).all()
        assert (above >= -1e-9).all()
    assert sparse_codes(X, D, 0.5, tol=1e-3).gap <= 1e-3 < sparse_codes(X, D, 0.5, tol=0, max_iter=3).gap


def test_momentum_is_worth_it():
    X, D = problem()
    least = lasso_objective(X, D, sparse_codes(X, D, 0.1, tol=1e-13, max_iter=100_000).codes, 0.1).mean()
    above = {
        a: lasso_objective(X, D, sparse_codes(X, D, 0.1, algorithm=a, tol=0, max_iter=50).codes, 0.1).mean() - least
        for a in ("ista", "fista")
    }
    assert above["fista"] < 0.3 * above["ista"]


@ALGORITHMS
def test_going_on_from_codes_and_rows_apart(algorithm, monkeypatch):
    from gradus.research.linear_factors import sparse_inference

    X, D = problem()
    settings = {"algorithm": algorithm, "tol": 1e-7, "max_iter": 100_000}
    whole = sparse_codes(X, D, 0.5, **settings)
    assert sparse_codes(X, D, 0.5, start=whole.codes, **settings).steps <= 1
    monkeypatch.setattr(sparse_inference, "CHUNK", 7)
    np.testing.assert_allclose(sparse_codes(X, D, 0.5, **settings).codes, whole.codes, atol=2e-2)
    zero = sparse_codes(np.zeros((2, 20)), D, 0.5, **settings)
    assert not zero.codes.any() and zero.gap == 0


def test_bad_input():
    X, D = problem()
    with pytest.raises(SettingError, match="penalty above 0"):
        sparse_codes(X, D, 0.0)
    with pytest.raises(SettingError, match="algorithm among"):
        sparse_codes(X, D, 1.0, algorithm="lars")
    with pytest.raises(InputError, match="same width"):
        sparse_codes(X[:, :3], D, 1.0)


# ---- dictionaries ----


def test_an_improved_dictionary_is_no_worse_and_within_the_ball():
    X, D = problem()
    codes = sparse_codes(X, D, 0.5).codes
    sums = Sums(codes.T @ codes / len(X), codes.T @ X / len(X))
    lost = [np.square(X - codes @ D).sum()]
    for _ in range(5):
        D, _ = improved(D, sums, X)
        assert np.linalg.norm(D, axis=1).max() <= 1 + 1e-12
        lost.append(np.square(X - codes @ D).sum())
    assert all(b <= a + 1e-9 for a, b in itertools.pairwise(lost)) and lost[-1] < 0.97 * lost[0]
    wrong = Sums(sums.codes, -sums.rows)  # planted bug: the wrong sign
    assert np.square(X - codes @ improved(D, wrong, X)[0]).sum() > lost[-1]


def test_atoms_that_nothing_uses_are_replaced():
    X, D = problem()
    codes = sparse_codes(X, D, 0.5).codes
    codes[:, 3] = 0
    found, replaced = improved(D, Sums(codes.T @ codes / len(X), codes.T @ X / len(X)), X[:1])
    assert replaced == 1
    np.testing.assert_allclose(found[3], X[0] / np.linalg.norm(X[0]))


@pytest.mark.parametrize("batch_size", [None, 60])
@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_units_of_the_rows_change_nothing(batch_size, unit):
    """With the penalty in the same units: what counts as an atom that nothing uses has none of its own."""
    X = load_digits().data[:200]
    settings = {"n_components": 20, "batch_size": batch_size, "max_iter": 60, "tol": 1e-2, "random_state": 0}
    one = SparseCoding(**settings, penalty=10.0).fit(X)
    other = SparseCoding(**settings, penalty=10.0 * unit).fit(X * unit)
    np.testing.assert_allclose(other.components_, one.components_, atol=1e-3)
    assert other.score(X * unit) / unit**2 == pytest.approx(one.score(X), rel=1e-4)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("batch_size", [None, 200])
def test_a_planted_dictionary_is_found(batch_size):
    rng = np.random.default_rng(0)
    D = rng.normal(size=(30, 20))
    D /= np.linalg.norm(D, axis=1, keepdims=True)
    codes = rng.laplace(size=(4000, 30)) * 3 * (rng.random((4000, 30)) < 0.1)
    X = codes @ D + 0.02 * rng.normal(size=(4000, 20))
    model = SparseCoding(n_components=30, penalty=0.3, batch_size=batch_size, max_iter=100, tol=1e-5, random_state=1)
    model.fit(X)
    atoms = model.components_ / np.linalg.norm(model.components_, axis=1, keepdims=True)
    agreement = np.abs(atoms @ D.T).max(0)
    assert (agreement > 0.95).mean() >= 0.9  # of two sets of 30 random directions the best agree at 0.6 or so
    assert (np.abs(D @ np.roll(D, 1, 1).T).max(0) > 0.95).mean() == 0


def test_objective_is_no_higher_than_scikit_learns():
    X = load_digits().data[:400]
    X = X - X.mean(0)
    theirs = DictionaryLearning(
        40, alpha=10.0, fit_algorithm="cd", transform_algorithm="lasso_cd", max_iter=30, tol=0, random_state=0
    ).fit(X)
    ours = SparseCoding(n_components=40, penalty=10.0, max_iter=200, random_state=0, tol=1e-4).fit(X)
    reached = [
        lasso_objective(X, D, sparse_codes(X, D, 10.0, tol=1e-6).codes, 10.0).mean()
        for D in (ours.components_, theirs.components_)
    ]
    assert reached[0] <= reached[1] * 1.005
    assert ours.score(X) == pytest.approx(-reached[0], rel=1e-4)
    assert ours.objectives_[-1] == pytest.approx(reached[0], rel=0.01)


@pytest.mark.slow
def test_atoms_of_photographs_are_localized_and_oriented(data_home):
    """As Gabor functions go: half of the atoms fit better than any of as many directions of noise."""
    X = patches(data_home, 20_000, 10)
    X = X / X.std()
    model = SparseCoding(n_components=64, penalty=1.0, max_iter=60, tol=0, random_state=0).fit(X)
    noise = np.random.default_rng(0).normal(size=(20, 10, 10))
    fits, of_noise = fit_gabor(model.components_.reshape(-1, 10, 10)[:40]).r2, fit_gabor(noise).r2
    assert np.median(fits) > max(0.6, of_noise.max())


# ---- the estimator ----


def test_samples_have_the_scales_of_the_codes():
    X = load_digits().data[:300]
    model = SparseCoding(n_components=10, penalty=20.0, max_iter=30, tol=1e-2, random_state=0).fit(X)
    drawn = model.sample(100_000, random_state=0)
    covariance = (model.components_.T * 2 * model.scales_**2) @ model.components_  # Laplace: twice the squared scale
    covariance += model.noise_variance_ * np.eye(64)
    spread = np.sqrt(np.diag(covariance).max())
    np.testing.assert_allclose(drawn.mean(0), model.mean_, atol=6 * spread / np.sqrt(1e5))
    found = np.cov(drawn.T)
    np.testing.assert_allclose(found, covariance, atol=0.05 * covariance.max())
    halved = covariance / 2  # planted: Gaussian codes of the same scale
    assert np.abs(found - halved).max() > 0.05 * covariance.max()


def test_kept_and_shown(tmp_path):
    X = load_digits().data.reshape(-1, 8, 8)[:200]
    model = SparseCoding(n_components=10, penalty=20.0, max_iter=30, tol=1e-2, random_state=0).fit(X)
    same = SparseCoding(n_components=10, penalty=20.0, max_iter=30, tol=1e-2, random_state=0).fit(X)
    np.testing.assert_array_equal(same.components_, model.components_)
    again = SparseCoding.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    assert model.inverse_transform(model.transform(X)).shape == X.shape
    titles = [e.title for e in model.exhibits(X)]
    assert titles == ["Learning curves", "Components", "Latent map", "Reconstructions"]
    with pytest.warns(ConvergenceWarning, match="not settled after 7 rounds"):
        SparseCoding(n_components=10, max_iter=7, tol=1e-9, random_state=0).fit(X)
