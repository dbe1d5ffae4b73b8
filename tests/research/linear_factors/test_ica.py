"""Independent components: known mixtures, densities against their formulas, derivatives, and real pictures mixed."""

import numpy as np
import pytest
from scipy import stats
from sklearn import decomposition
from sklearn.datasets import load_digits, load_sample_images
from sklearn.exceptions import ConvergenceWarning

from gradus.core.errors import InputError
from gradus.research.linear_factors import ICA, amari_index
from gradus.research.linear_factors.fastica import nonlinearity
from gradus.research.linear_factors.ica_density import learn_densities
from gradus.research.linear_factors.ica_likelihood import _curvature, _solve


def sources(n, rng):
    """Laplace, uniform, t with 5 degrees of freedom, two humps, exponential."""
    humps = np.where(rng.random(n) < 0.5, -1.0, 1.0) + 0.4 * rng.normal(size=n)
    return np.stack(
        [rng.laplace(size=n), rng.uniform(-1, 1, n), rng.standard_t(5, n), humps, rng.exponential(size=n)], 1
    )


def indices(n, seeds, **settings):
    found = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        S, mixing = sources(n, rng), rng.normal(size=(5, 5))
        found.append(amari_index(ICA(random_state=seed, **settings).fit(S @ mixing.T).components_, mixing))
    return found


# ---- separation ----


@pytest.mark.parametrize(("n", "most"), [(1000, 0.028), (10_000, 0.0085)])
def test_sources_of_all_kinds_separate_with_default_settings(n, most):
    found = indices(n, range(20))
    assert np.mean(found) <= most
    assert max(found) <= 2 * most


@pytest.mark.parametrize("method", ["symmetric", "deflation"])
@pytest.mark.parametrize("contrast", ["logcosh", "exp", "cube"])
def test_fastica_separates(method, contrast):
    assert np.mean(indices(10_000, range(3), method=method, contrast=contrast)) < 0.04


def test_a_density_of_the_wrong_kind_would_be_seen():
    """Planted bug: every source taken for peaked, as with one fixed density. Flat sources stay mixed."""
    rng = np.random.default_rng(0)
    S, mixing = rng.uniform(-1, 1, (10_000, 3)), rng.normal(size=(3, 3))
    X = S @ mixing.T
    white = np.linalg.solve(np.linalg.cholesky(np.cov(X.T)), (X - X.mean(0)).T)
    W = np.eye(3)
    for _ in range(300):
        y = W @ white
        W = W - 0.1 * (np.tanh(y) * np.sqrt(2) @ y.T / len(X) - np.eye(3)) @ W
    wrong = amari_index(W @ np.linalg.inv(np.linalg.cholesky(np.cov(X.T))), mixing)
    assert wrong > 0.1 > 10 * amari_index(ICA(random_state=0).fit(X).components_, mixing)


def test_more_features_than_sources():
    rng = np.random.default_rng(0)
    S, mixing = sources(5000, rng)[:, :3], rng.normal(size=(8, 3))
    X = S @ mixing.T + 5.0
    model = ICA(random_state=0).fit(X)
    assert model.n_components_ == 3  # the rank
    assert amari_index(model.components_, mixing) < 0.02
    np.testing.assert_allclose(model.inverse_transform(model.transform(X)), X, atol=1e-8)
    with pytest.raises(InputError, match="vary in every direction, got rank 3 of 8"):
        model.score_samples(X)


def test_wide_tables():
    rng = np.random.default_rng(0)
    X = sources(60, rng)[:, :2] @ rng.normal(size=(2, 100))
    model = ICA(n_components=2, random_state=0).fit(X)
    np.testing.assert_allclose(np.cov(model.transform(X).T, bias=True), np.eye(2), atol=0.1)
    np.testing.assert_allclose(model.inverse_transform(model.transform(X)), X, atol=1e-8)


@pytest.mark.parametrize("contrast", ["logcosh", "exp", "cube"])
def test_fastica_ends_where_scikit_learns_does(contrast):
    """The same fixed point, in every contrast: to the tolerance of both."""
    rng = np.random.default_rng(1)
    X = sources(20_000, rng) @ rng.normal(size=(5, 5))
    ours = ICA(method="symmetric", contrast=contrast, tol=1e-12, max_iter=1000, random_state=0).fit(X)
    theirs = decomposition.FastICA(
        whiten="unit-variance", fun=contrast, tol=1e-12, max_iter=1000, random_state=0, whiten_solver="eigh"
    ).fit(X)
    assert amari_index(ours.components_, np.linalg.inv(theirs.components_)) < 1e-6


def test_the_sample_changes_nothing_but_the_time(monkeypatch):
    from gradus.research.linear_factors import fastica

    rng = np.random.default_rng(1)
    X = sources(20_000, rng) @ rng.normal(size=(5, 5))
    settings = {"method": "symmetric", "tol": 1e-12, "max_iter": 1000, "random_state": 0}
    with_sample = ICA(**settings).fit(X)
    monkeypatch.setattr(fastica, "LEAST", 10**9)
    without = ICA(**settings).fit(X)
    np.testing.assert_allclose(with_sample.components_, without.components_, atol=1e-5)


def test_mixed_photographs_separate():
    """Two real pictures, mixed: each comes back, where principal components leave them mixed."""
    photos = [photo[::4, ::4].mean(2).ravel() for photo in load_sample_images().images]
    S = np.stack(photos, 1)
    S = (S - S.mean(0)) / S.std(0)
    X = S @ np.array([[1.0, 0.6], [0.5, 1.0]]).T

    def agreement(found):
        return np.abs(np.corrcoef(np.concatenate([found, S], 1).T)[:2, 2:]).max(0).min()

    assert agreement(ICA(random_state=0).fit_transform(X)) > 0.97
    assert agreement(decomposition.PCA(2).fit_transform(X)) < 0.9


# ---- pieces ----


def test_nonlinearities_and_their_slopes():
    s = np.random.default_rng(0).normal(size=(3, 50))
    formulas = {"logcosh": np.tanh, "exp": lambda s: s * np.exp(-(s**2) / 2), "cube": lambda s: s**3}
    for contrast, g in formulas.items():
        value, slopes = nonlinearity(s.copy(), contrast)
        np.testing.assert_allclose(value, g(s), atol=1e-14)
        np.testing.assert_allclose(slopes, ((g(s + 1e-6) - g(s - 1e-6)) / 2e-6).sum(1), rtol=1e-6)


@pytest.mark.parametrize(
    ("law", "most"),
    [
        (stats.norm(), 0.002),
        (stats.laplace(scale=np.sqrt(0.5)), 0.006),
        (stats.t(5, scale=np.sqrt(3 / 5)), 0.004),
        (stats.uniform(-np.sqrt(3), 2 * np.sqrt(3)), 0.03),
        (stats.expon(-1), 0.05),
    ],
    ids=lambda v: v.dist.name if hasattr(v, "dist") else "",
)
def test_learned_densities_are_near_the_true_ones(law, most):
    """Kullback-Leibler divergence on fresh draws, in nats; a Gaussian in their place is off by more."""
    rng = np.random.default_rng(0)
    s, fresh = law.rvs(20_000, random_state=rng), law.rvs(100_000, random_state=rng)
    found = learn_densities(s[None])
    log_p = found.log_density(fresh[None])[0]
    truth = law.logpdf(fresh)
    assert -0.002 < (truth - log_p).mean() < most
    if law.dist.name != "norm":
        assert (truth - stats.norm.logpdf(fresh)).mean() > 2 * most
    grid = np.linspace(-60, 60, 2_000_001)
    assert np.trapezoid(np.exp(found.log_density(grid[None])[0]), grid) == pytest.approx(1, abs=2e-3)


def test_scores_and_slopes_are_derivatives():
    s = np.random.default_rng(0).laplace(size=(1, 5000))
    found = learn_densities(s)
    at = np.linspace(-3, 3, 41)[None]
    h = 1e-3
    score, slope = found.at(at, found.score, found.slope)
    numeric = -(found.log_density(at + h) - found.log_density(at - h)) / (2 * h)
    np.testing.assert_allclose(score, numeric, atol=5e-3)
    ahead, behind = (found.at(at + step, found.score)[0] for step in (h, -h))
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * h), atol=2e-2)


def test_the_blocks_are_those_of_the_hessian():
    """Of independent sources, against second differences of the exact loss for logistic sources."""
    rng = np.random.default_rng(0)
    S = rng.logistic(size=(2, 400_000))

    def loss(e):
        E = np.eye(2) + np.array([[0, e[0]], [e[1], 0]])
        return 2 * np.logaddexp(0, E @ S).sum(0).mean() - (E @ S).sum(0).mean() - np.linalg.slogdet(E)[1]

    h, unit = 1e-2, np.eye(2)
    hessian = [
        [(loss(h * (a + b)) - loss(h * (a - b)) - loss(h * (b - a)) + loss(-h * (a + b))) / (4 * h * h) for b in unit]
        for a in unit
    ]
    slope = 0.5 / np.cosh(S / 2) ** 2
    found = _curvature(slope, S)
    np.testing.assert_allclose([[found[0, 1], 1], [1, found[1, 0]]], hessian, atol=0.02)
    gradient = np.array([[0.0, 0.3], [-0.2, 0.0]])
    step = _solve(gradient, found)
    expected = np.linalg.solve([[found[0, 1], 1], [1, found[1, 0]]], [0.3, -0.2])
    np.testing.assert_allclose([step[0, 1], step[1, 0]], expected)


def test_amari_index():
    p = np.array([[1.0, 0.5], [0.0, 2.0]])
    assert amari_index(p, np.eye(2)) == pytest.approx((0.5 + 0 + 0 + 0.25) / 4)
    assert amari_index(np.diag([3.0, -2.0])[::-1], np.eye(2)) == 0
    with pytest.raises(InputError):
        amari_index(np.ones((2, 3)), np.ones((3, 3)))


# ---- the estimator ----


def test_likelihood_is_that_of_fresh_rows_and_samples_come_from_it():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(5, 5))
    X, fresh = sources(10_000, rng) @ mixing.T, sources(10_000, rng) @ mixing.T
    model = ICA(random_state=0).fit(X)
    laws = [stats.laplace(), stats.uniform(-1, 2), stats.t(5), None, stats.expon()]
    S = np.linalg.solve(mixing, fresh.T)
    humps = np.log(0.5 * (stats.norm(-1, 0.4).pdf(S[3]) + stats.norm(1, 0.4).pdf(S[3])))
    with np.errstate(divide="ignore"):
        each = [np.where(S[i] == S[i], laws[i].logpdf(S[i]), 0) if laws[i] else humps for i in range(5)]
    truth = sum(each) - np.linalg.slogdet(mixing)[1]
    truth = truth[np.isfinite(truth)].mean()  # a unit of rounding below zero, and an exponential has no density
    assert truth - 0.25 < model.score(fresh) < truth + 0.01
    gaussian = stats.multivariate_normal(X.mean(0), np.cov(X.T)).logpdf(fresh).mean()
    assert model.score(fresh) > gaussian + 0.5
    drawn = model.sample(10_000, random_state=1)
    # two-sample Kolmogorov-Smirnov at 1e-6, source by source; mixtures of the sources are told apart
    found, given = model.transform(drawn), model.transform(fresh)
    assert min(stats.ks_2samp(a, b).pvalue for a, b in zip(found.T, given.T, strict=True)) > 1e-6
    turned = decomposition.PCA(whiten=True).fit_transform(fresh)
    assert min(stats.ks_2samp(a, b).pvalue for a, b in zip(found.T, turned.T, strict=True)) < 1e-6


def test_fewer_sources_than_directions_leave_a_gaussian():
    """The density integrates to 1 over two features, one direction a source; samples have the covariance of rows."""
    rng = np.random.default_rng(0)
    X = np.stack([3 * rng.laplace(size=20_000), rng.normal(size=20_000)], 1) @ np.array([[0.8, 0.6], [-0.6, 0.8]])
    model = ICA(n_components=1, random_state=0).fit(X)
    assert model.noise_variance_ == pytest.approx(1, rel=0.05)
    axis = np.linspace(-60, 60, 601)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    assert np.exp(model.score_samples(grid)).sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=0.01)
    drawn = model.sample(100_000, random_state=0)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(X.T), atol=0.5)


def test_kept_and_shown(tmp_path):
    X = load_digits().data.reshape(-1, 8, 8)[:, 2:6, 2:6]
    model = ICA(n_components=6, random_state=0).fit(X)
    again = ICA.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    np.testing.assert_array_equal(again.sample(3, random_state=0), model.sample(3, random_state=0))
    assert model.sample(3, random_state=0).shape == (3, 4, 4)
    titles = [e.title for e in model.exhibits(X)]
    assert titles == ["Densities of the sources", "Components", "Latent map", "Reconstructions"]
    assert not hasattr(ICA(method="symmetric"), "sample")


def test_bad_input():
    with pytest.raises(InputError, match="rows that vary"):
        ICA().fit(np.ones((10, 2)))
    with pytest.warns(ConvergenceWarning, match="not settled after 2 steps"):
        ICA(method="symmetric", max_iter=2, tol=1e-12, random_state=0).fit(sources(500, np.random.default_rng(0)))
