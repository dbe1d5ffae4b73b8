"""PCA against scikit-learn, LAPACK and its defining property, with and without gaps."""

import itertools

import numpy as np
import pytest
from sklearn import decomposition
from sklearn.datasets import load_digits

from gradus.core.errors import InputError, SettingError
from gradus.research.linear_factors import PCA, pca_solvers
from gradus.research.linear_factors.base import signed

DIGITS = load_digits().data


def rows(n=400, d=30, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ np.diag(1 / np.arange(1, d + 1)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


@pytest.mark.parametrize("solver", ["exact", "covariance", "mixed", "randomized", "auto"])
@pytest.mark.parametrize("shape", [(400, 30), (30, 80)])
def test_every_solver_finds_what_scikit_learn_finds(solver, shape):
    X = rows(*shape)
    ours = PCA(n_components=5, solver=solver, random_state=0, power_iterations=20).fit(X)
    theirs = decomposition.PCA(5, svd_solver="full").fit(X)
    np.testing.assert_allclose(ours.mean_, theirs.mean_)
    exact = {"rtol": 3e-7 if solver == "mixed" else 1e-9}  # products in single precision differ from machine to machine
    np.testing.assert_allclose(ours.explained_variance_, theirs.explained_variance_, **exact)
    np.testing.assert_allclose(ours.explained_variance_ratio_, theirs.explained_variance_ratio_, **exact)
    np.testing.assert_allclose(ours.components_, signed(theirs.components_), atol=2e-5)
    np.testing.assert_allclose(ours.noise_variance_, theirs.noise_variance_, rtol=1e-6)
    np.testing.assert_allclose(ours.transform(X), (X - ours.mean_) @ ours.components_.T)
    np.testing.assert_allclose(ours.components_ @ ours.components_.T, np.eye(5), atol=1e-10)


def test_mixed_gives_up_where_single_precision_would_lose_directions():
    """Variances over twelve orders: the fifth is far below what a float32 covariance resolves."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 20)) * np.logspace(0, -6, 20)
    found = PCA(n_components=12, solver="mixed").fit(X)
    exact = PCA(n_components=12, solver="exact").fit(X)
    np.testing.assert_allclose(found.explained_variance_, exact.explained_variance_, rtol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 3e4])
def test_mixed_refines(offset):
    """A mean far off would drown in single precision what varies about it."""
    X = rows(3000, 40) + offset
    exact = PCA(n_components=4, solver="exact").fit(X)
    mixed = PCA(n_components=4, solver="mixed").fit(X)
    assert np.abs(mixed.explained_variance_ / exact.explained_variance_ - 1).max() < 1e-7
    lost = [((X - X.mean(0) - (X - X.mean(0)) @ m.components_.T @ m.components_) ** 2).sum() for m in (mixed, exact)]
    assert lost[1] <= lost[0] < lost[1] * (1 + 1e-10)
    single = np.linalg.eigvalsh(np.cov(X.astype(np.float32).T, dtype=np.float32))[::-1][:4]
    assert not offset or np.abs(single / exact.explained_variance_ - 1).max() > 1e-6


def test_auto_takes_the_solver_for_the_shape():
    assert pca_solvers.choose(60_000, 784, 50) == "mixed"
    assert pca_solvers.choose(60_000, 784, 784) == "covariance"
    assert pca_solvers.choose(100, 20, 3) == "exact"
    assert pca_solvers.choose(20_000, 20_000, 10) == "randomized"
    assert pca_solvers.choose(20_000, 20_000, 20_000) == "exact"


def test_a_share_of_the_variance():
    model = PCA(n_components=0.9).fit(DIGITS)
    total = np.cumsum(PCA().fit(DIGITS).explained_variance_ratio_)
    assert total[model.n_components_ - 1] >= 0.9 > total[model.n_components_ - 2]
    assert model.n_components_ == decomposition.PCA(0.9).fit(DIGITS).n_components_


def test_score_is_the_share_of_the_variance_kept():
    for k in (1, 5, 20):
        model = PCA(n_components=k).fit(DIGITS)
        assert model.score(DIGITS) == pytest.approx(model.explained_variance_ratio_.sum(), rel=1e-9)
    assert 0.1 < PCA(n_components=1).fit(DIGITS).score(DIGITS) < 0.2


def test_whitened_factors_have_unit_covariance_and_come_back():
    X = rows()
    model = PCA(n_components=6, whiten=True).fit(X)
    Z = model.transform(X)
    np.testing.assert_allclose(np.cov(Z.T), np.eye(6), atol=1e-10)
    plain = PCA(n_components=6).fit(X)
    np.testing.assert_allclose(model.inverse_transform(Z), plain.inverse_transform(plain.transform(X)))


def test_samples_have_the_variances_of_the_plane():
    X = rows(2000, 8)
    model = PCA(n_components=3).fit(X)
    drawn = model.sample(200_000, random_state=0)
    np.testing.assert_allclose(drawn.mean(0), model.mean_, atol=6 * np.sqrt(model.explained_variance_[0] / 2e5))
    inside = model.transform(drawn)
    # a variance from n draws has a relative deviation of sqrt(2 / n); 5 of them are passed in 3 of 10 million tries
    bound = 5 * np.sqrt(2 / 2e5)
    np.testing.assert_allclose(inside.var(0), model.explained_variance_, rtol=bound)
    for wrong in (inside.var(0) * 1.02, inside.std(0)):  # planted: a scale off by a hundredth, a root forgotten
        assert np.abs(wrong / model.explained_variance_ - 1).max() > bound
    np.testing.assert_allclose(model.inverse_transform(inside), drawn, atol=1e-9)
    assert not np.array_equal(model.sample(2), model.sample(2))
    assert np.array_equal(model.sample(2, random_state=3), model.sample(2, random_state=3))


def test_gaps_of_a_table_of_low_rank_are_filled_exactly():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 12)) + rng.normal(size=12)
    holed = np.where(rng.random(X.shape) < 0.2, np.nan, X)
    model = PCA(n_components=3, tol=0.0, max_iter=2000).fit(holed)
    np.testing.assert_allclose(model.inverse_transform(model.transform(holed)), X, atol=1e-5)
    assert model.score(holed) > 1 - 1e-10


def observed_error(model, X):
    return float(np.nansum((X - model.inverse_transform(model.transform(X))) ** 2))


def test_filling_never_raises_the_error_and_beats_means():
    rng = np.random.default_rng(0)
    X = rows(150, 10)
    holed = np.where(rng.random(X.shape) < 0.3, np.nan, X)
    errors = [observed_error(PCA(n_components=2, max_iter=i, tol=0.0).fit(holed), holed) for i in (1, 2, 4, 8, 16, 64)]
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in itertools.pairwise(errors))
    filled = np.where(np.isnan(holed), np.nanmean(holed, 0), holed)
    assert errors[-1] < observed_error(PCA(n_components=2).fit(filled), holed)


def test_transform_of_a_row_with_gaps_is_least_squares():
    model = PCA(n_components=3).fit(DIGITS)
    row = DIGITS[:1].copy()
    row[0, :30] = np.nan
    seen = ~np.isnan(row[0])
    expected = np.linalg.lstsq(model.components_[:, seen].T, (row - model.mean_)[0, seen], rcond=None)[0]
    np.testing.assert_allclose(model.transform(row)[0], expected)
    both = np.concatenate([row, DIGITS[1:2]])
    np.testing.assert_allclose(model.transform(both)[1], model.transform(DIGITS[1:2])[0])


def test_pictures_keep_their_shape(tmp_path):
    X = DIGITS.reshape(-1, 8, 8)
    model = PCA(n_components=4).fit(X)
    assert model.inverse_transform(model.transform(X[:3])).shape == (3, 8, 8)
    assert model.sample(2, random_state=0).shape == (2, 8, 8)
    titles = {e.title: e for e in model.exhibits(X[:50])}
    assert set(titles) == {"Explained variance", "Manifold", "Walks", "Components", "Latent map", "Reconstructions"}
    assert len(titles["Components"].pictures) == 4 and len(titles["Walks"].pictures) == 20
    again = PCA.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    with pytest.raises(InputError, match="rows of shape"):
        model.transform(X.reshape(-1, 4, 16))


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"n_components": 99}, SettingError, "n_components from 1 to 8"),
        ({"n_components": 2.5}, SettingError, "below 1 as a share"),
        ({"solver": "arpack"}, SettingError, "solver"),
    ],
)
def test_wrong_settings(settings, error, said):
    with pytest.raises(error, match=said):
        PCA(**settings).fit(rows(20, 8))


def test_empty_columns_and_rows_are_refused():
    X = rows(20, 8)
    X[:, 3] = np.nan
    with pytest.raises(InputError, match="value in every column, got column 3"):
        PCA(n_components=2).fit(X)
    with pytest.raises(SettingError, match="any filling fits"):
        PCA(n_components=8).fit(np.where(np.eye(20, 8) > 0, np.nan, rows(20, 8)))
    model = PCA(n_components=2).fit(rows(20, 8))
    with pytest.raises(InputError, match="observed value in every row"):
        model.transform(np.full((1, 8), np.nan))
