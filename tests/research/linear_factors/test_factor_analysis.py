"""Probabilistic PCA and factor analysis against closed forms, scipy's Gaussian and scikit-learn; gaps too."""

import itertools

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn import decomposition
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning

from gradus.core.errors import InputError, SettingError
from gradus.research.linear_factors import PCA, FactorAnalysis, ProbabilisticPCA
from gradus.research.linear_factors.em import climb, init, step
from gradus.research.linear_factors.gaussian import LowRankGaussian, log_density, posterior_means
from gradus.research.linear_factors.moments import moments, patterns

IRIS, WINE, DIGITS = load_iris().data, load_wine().data, load_digits().data
BOTH = pytest.mark.parametrize("isotropic", [True, False])


def holed(X, share, seed=0):
    """X with a share of its values missing, but no row or column without any."""
    gaps = np.random.default_rng(seed).random(X.shape) < share
    gaps[np.arange(len(X)), np.arange(len(X)) % X.shape[1]] = False
    return np.where(gaps, np.nan, X)


def model(d=5, k=2, seed=0):
    rng = np.random.default_rng(seed)
    return LowRankGaussian(rng.normal(size=d), rng.normal(size=(d, k)), rng.uniform(0.1, 2.0, d))


# ---- the density ----


def test_log_density_and_posterior_are_those_of_the_dense_gaussian():
    """Of every pattern of gaps, against scipy's density of the marginal and the rule for conditional Gaussians."""
    m = model()
    rng = np.random.default_rng(1)
    full = rng.normal(size=(32, 5)) * 2
    X = np.where(np.array(list(itertools.product([0, 1], repeat=5)), dtype=bool), full, np.nan)
    found, means = log_density(m, X), posterior_means(m, X)
    for row, value, mean in zip(X, found, means, strict=True):
        o = ~np.isnan(row)
        if not o.any():
            assert value == 0 and not mean.any()
            continue
        covariance = m.covariance()[np.ix_(o, o)]
        assert value == pytest.approx(multivariate_normal(m.mean[o], covariance).logpdf(row[o]), abs=1e-10)
        expected = m.loadings[o].T @ np.linalg.solve(covariance, row[o] - m.mean[o])
        np.testing.assert_allclose(mean, expected, atol=1e-10)


def test_densities_of_many_patterns_go_through_in_parts(monkeypatch):
    from gradus.research.linear_factors import gaussian

    m, X = model(), holed(np.random.default_rng(0).normal(size=(300, 5)), 0.4)
    whole = log_density(m, X)
    monkeypatch.setattr(gaussian, "CHUNK", 64)
    np.testing.assert_allclose(log_density(m, X), whole, rtol=1e-12)


# ---- the closed form ----


@pytest.mark.parametrize(("X", "k"), [(IRIS, 1), (IRIS, 3), (WINE, 4), (DIGITS[:40], 5)])
def test_closed_form_against_scipy_and_scikit_learn(X, k):
    ours = ProbabilisticPCA(n_components=k).fit(X)
    covariance = ours.components_.T @ ours.components_ + ours.noise_variance_ * np.eye(X.shape[1])
    scipys = multivariate_normal(X.mean(0), covariance).logpdf(X)
    np.testing.assert_allclose(ours.score_samples(X), scipys, rtol=1e-9, atol=1e-7)
    assert ours.log_likelihood_ == pytest.approx(scipys.mean(), rel=1e-10)
    # scikit-learn's covariance is over n - 1; on rows doubled n times the two meet
    many = np.tile(X, (2000, 1))
    theirs = decomposition.PCA(k, svd_solver="covariance_eigh").fit(many)
    assert ProbabilisticPCA(n_components=k).fit(many).score(X) == pytest.approx(theirs.score(X), rel=1e-4)


@pytest.mark.parametrize(("X", "k"), [(IRIS, 2), (WINE / WINE.std(0), 3), (DIGITS[:30], 4)])
@pytest.mark.parametrize("accelerated", [True, False])
def test_em_climbs_to_the_closed_form(X, k, accelerated):
    closed = ProbabilisticPCA(n_components=k).fit(X)
    em = ProbabilisticPCA(n_components=k, method="em", tol=1e-13, max_iter=20_000, accelerated=accelerated).fit(X)
    assert em.log_likelihood_ == pytest.approx(closed.log_likelihood_, abs=1e-8)
    assert em.noise_variance_ == pytest.approx(closed.noise_variance_, rel=1e-4)
    np.testing.assert_allclose(em.components_, closed.components_, atol=1e-3 * np.abs(closed.components_).max())


def test_the_maximum_is_one():
    """Steps away from the closed form, in every direction tried, lower the likelihood."""
    best = ProbabilisticPCA(n_components=2).fit(IRIS)
    m = LowRankGaussian(best.mean_, best.components_.T, np.full(4, best.noise_variance_))
    rng = np.random.default_rng(0)
    for _ in range(50):
        way = rng.normal(size=(4, 2)) * 0.02
        assert log_density(m._replace(loadings=m.loadings + way), IRIS).mean() < best.log_likelihood_
    for factor in (0.97, 1.03):
        assert log_density(m._replace(noise=m.noise * factor), IRIS).mean() < best.log_likelihood_


def test_its_subspace_is_that_of_pca():
    ours, plane = ProbabilisticPCA(n_components=5).fit(DIGITS), PCA(n_components=5).fit(DIGITS)
    cosines = np.linalg.svd(np.linalg.qr(ours.components_.T)[0].T @ plane.components_.T, compute_uv=False)
    np.testing.assert_allclose(cosines, 1, atol=1e-10)


# ---- factor analysis ----


PLANTED = np.random.default_rng(0)
PLANTED = PLANTED.normal(size=(400, 3)) @ PLANTED.normal(size=(3, 12)) + PLANTED.normal(size=(400, 12))
DEQUANTIZED = (DIGITS + np.random.default_rng(0).random(DIGITS.shape))[:, DIGITS.std(0) > 1]


@pytest.mark.parametrize(
    ("X", "k"), [(PLANTED, 3), (WINE / WINE.std(0), 1), (WINE / WINE.std(0), 2), (DEQUANTIZED, 4), (DEQUANTIZED, 8)]
)
def test_likelihood_is_scikit_learns_at_the_optimum(X, k):
    """Of tables whose optimum has no vanishing noise: towards one that has, scikit-learn creeps."""
    ours = FactorAnalysis(n_components=k, tol=1e-11, max_iter=100_000).fit(X)
    theirs = decomposition.FactorAnalysis(k, svd_method="lapack", tol=1e-7, max_iter=3000).fit(X)
    assert ours.log_likelihood_ == pytest.approx(theirs.score(X), abs=1e-5)
    assert ours.score(X) == pytest.approx(ours.log_likelihood_, abs=1e-10)
    np.testing.assert_allclose(ours.noise_variance_, theirs.noise_variance_, rtol=1e-3)
    covariance = ours.components_.T @ ours.components_ + np.diag(ours.noise_variance_)
    np.testing.assert_allclose(covariance, theirs.get_covariance(), atol=1e-3 * np.abs(covariance).max())


@pytest.mark.parametrize(("X", "k"), [(IRIS, 1), (WINE, 3)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning:sklearn")
def test_likelihood_is_no_lower_where_noise_vanishes(X, k):
    theirs = decomposition.FactorAnalysis(k, svd_method="lapack", tol=1e-7, max_iter=1000).fit(X)
    assert FactorAnalysis(n_components=k).fit(X).log_likelihood_ > theirs.score(X)


def test_more_beginnings_end_no_lower():
    """Of eight factors of these digits there is a second, lower optimum: beginnings end in both."""
    ends = [
        FactorAnalysis(n_components=8, n_init=i, random_state=0).fit(DEQUANTIZED).log_likelihood_ for i in (1, 2, 5)
    ]
    assert ends[0] <= ends[1] <= ends[2]
    data, options = moments(DEQUANTIZED), {"isotropic": False, "floor": 1e-6}

    def take(state):
        return step(state, data, expanded=True, **options)

    second = init(data, 8, noise=data.variances, rounds=3, **options)
    assert climb(second, take, max_iter=500, tol=1e-7, floor=1e-6).log_likelihoods[-1] < ends[0] - 0.1


def test_planted_factors_are_found():
    rng = np.random.default_rng(0)
    W, noise = rng.normal(size=(20, 3)), rng.uniform(0.2, 3.0, 20)
    X = rng.normal(size=(50_000, 3)) @ W.T + rng.normal(size=(50_000, 20)) * np.sqrt(noise)
    found = FactorAnalysis(n_components=3).fit(X)
    # relative deviation of a variance: sqrt(2 / n) and the loss of three directions; 6 of them pass 2e-9 of the time
    np.testing.assert_allclose(found.noise_variance_, noise, rtol=6 * np.sqrt(2 / 5e4) * 1.5)
    np.testing.assert_allclose(found.components_.T @ found.components_, W @ W.T, atol=0.25)


def test_wide_tables_go_through_their_rows():
    """Fewer rows than features: no covariance is made, and nothing else changes."""
    X = DIGITS[:40]
    data = moments(X)
    assert data.covariance is None
    tall = moments(DIGITS)  # whose rows are not looked at again
    assert tall.rows is None and tall.covariance.shape == (64, 64)
    full = data._replace(covariance=data.rows.T @ data.rows, rows=None)
    options = {"isotropic": False, "floor": 1e-3}
    a, b = (init(each, 3, isotropic=True, floor=1e-3) for each in (data, full))
    np.testing.assert_allclose(a.loadings @ a.loadings.T, b.loadings @ b.loadings.T, atol=1e-8)
    for _ in range(3):
        (a, said), (b, also) = step(a, data, **options), step(b, full, **options)
        assert said.log_likelihood == pytest.approx(also.log_likelihood)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 6, 13])
def test_as_many_factors_by_default_as_can_be_identified(d):
    """Free numbers of ``W Wᵀ + diag ψ``, no more than those of a covariance; one more factor has too many."""
    k = FactorAnalysis()._default_width(d)
    free = [d * each + d - each * (each - 1) // 2 for each in (k, k + 1)]
    assert free[0] <= d * (d + 1) // 2 < free[1]
    assert FactorAnalysis(max_iter=1).fit(WINE[:, :d]).n_components_ == max(k, 1)


# ---- EM ----


def climbing(data, *, isotropic, expanded, accelerated, steps=60):
    options = {"isotropic": isotropic, "floor": 1e-9}

    def take(state):
        return step(state, data, expanded=expanded, **options)

    return climb(init(data, 2, **options), take, max_iter=steps, tol=-1.0, floor=1e-9, accelerated=accelerated)


@BOTH
@pytest.mark.parametrize("gaps", [0.0, 0.3])
@pytest.mark.parametrize(("expanded", "accelerated"), [(False, False), (True, False), (True, True)])
def test_em_never_lowers_the_likelihood(isotropic, gaps, expanded, accelerated):
    data = patterns(holed(WINE, gaps)) if gaps else moments(WINE)
    found = climbing(data, isotropic=isotropic, expanded=expanded, accelerated=accelerated)
    assert all(b >= a - 1e-9 * abs(a) for a, b in itertools.pairwise(found.log_likelihoods))
    assert found.log_likelihoods[-1] > found.log_likelihoods[0] + 0.05


@BOTH
def test_a_wrong_step_would_be_seen(isotropic):
    """Planted bug: posterior covariances left out of the M-step, as in alternating least squares."""
    data, options = moments(WINE), {"isotropic": isotropic, "floor": 1e-9}
    state, reached = init(data, 2, **options), []
    for _ in range(60):
        scaled = state.loadings / state.noise[:, None]
        spread = np.linalg.inv(np.eye(2) + state.loadings.T @ scaled)
        cross = data.covariance @ scaled @ spread
        wrong = np.linalg.solve(spread @ scaled.T @ cross, cross.T).T
        right, info = step(state, data, **options)
        reached.append(info.log_likelihood)
        state = right._replace(loadings=wrong)
    assert min(b - a for a, b in itertools.pairwise(reached)) < -1e-6


@BOTH
def test_leaps_reach_the_same_place_sooner(isotropic):
    data = moments(DIGITS + np.random.default_rng(0).random(DIGITS.shape))
    plain = climbing(data, isotropic=isotropic, expanded=False, accelerated=False, steps=3000).log_likelihoods
    leaping = climbing(data, isotropic=isotropic, expanded=True, accelerated=True, steps=300).log_likelihoods
    assert leaping[-1] == pytest.approx(plain[-1], abs=1e-6)


@BOTH
def test_patterns_without_gaps_are_moments(isotropic):
    """Two ways to the same step, and to the same likelihood."""
    options = {"isotropic": isotropic, "floor": 1e-9}
    start = model(13, 2, seed=3)._replace(mean=WINE.mean(0))
    start = start._replace(noise=np.full(13, 2.0)) if isotropic else start
    for expanded in (False, True):
        a, said = step(start, moments(WINE), expanded=expanded, **options)
        b, also = step(start, patterns(WINE), expanded=False, **options)
        assert said.log_likelihood == pytest.approx(also.log_likelihood, rel=1e-10)
        assert said.log_likelihood == pytest.approx(log_density(start, WINE).mean(), rel=1e-10)
        np.testing.assert_allclose(a.noise, b.noise, rtol=2e-2)


@BOTH
def test_a_step_says_the_likelihood_of_the_state_it_was_given(isotropic):
    """Also of one whose mean is not the rows'; with gaps and without, expanded or not."""
    options = {"isotropic": isotropic, "floor": 1e-9}
    start = model(13, 2, seed=3)._replace(mean=WINE.mean(0) + 0.3)
    start = start._replace(noise=np.full(13, 2.0)) if isotropic else start
    for X, data in ((WINE, moments(WINE)), (WINE, patterns(WINE)), (holed(WINE, 0.3), patterns(holed(WINE, 0.3)))):
        for expanded in (False, True):
            said = step(start, data, expanded=expanded, **options)[1].log_likelihood
            assert said == pytest.approx(log_density(start, X).mean(), rel=1e-10)


def test_an_expanded_step_is_the_plain_one_with_the_factors_own_moments():
    """``x = μ + W h`` with ``h`` of mean c and covariance S is ``μ + W c`` and ``W S W`` transposed."""
    options = {"isotropic": False, "floor": 1e-9}
    start = model(13, 2, seed=3)._replace(mean=WINE.mean(0) + 0.3)
    plain, wide = (step(start, patterns(WINE), expanded=each, **options)[0] for each in (False, True))
    h = posterior_means(start, WINE)
    spread = np.linalg.inv(np.eye(2) + start.loadings.T @ (start.loadings / start.noise[:, None]))
    centre, own = h.mean(0), spread + np.cov(h.T, bias=True)
    np.testing.assert_allclose(wide.mean, plain.mean + plain.loadings @ centre)
    np.testing.assert_allclose(wide.loadings @ wide.loadings.T, plain.loadings @ own @ plain.loadings.T)
    np.testing.assert_allclose(wide.noise, plain.noise)


@BOTH
@pytest.mark.parametrize("share", [0.1, 0.4])
def test_with_gaps_the_gradient_vanishes_where_em_ends(isotropic, share):
    """Of the observed-data likelihood itself, by differences: the M-step with gaps is exact, not one of filled rows."""
    X = holed(WINE / WINE.std(0), share)
    cls = ProbabilisticPCA if isotropic else FactorAnalysis
    found = cls(n_components=2, tol=1e-13, max_iter=50_000).fit(X)
    m = found._model
    assert found.log_likelihood_ == pytest.approx(log_density(m, X).mean(), abs=1e-12)
    rng = np.random.default_rng(0)
    for _ in range(10):
        way = LowRankGaussian(rng.normal(size=13), rng.normal(size=(13, 2)), rng.normal(size=1 if isotropic else 13))
        at = [
            log_density(
                LowRankGaussian(m.mean + h * way.mean, m.loadings + h * way.loadings, m.noise * np.exp(h * way.noise)),
                X,
            ).mean()
            for h in (-1e-4, 1e-4)
        ]
        slope = (at[1] - at[0]) / 2e-4
        assert abs(slope) < 1e-4  # slopes at a tenth of a deviation from the optimum are of the order 1
        assert max(at) < found.log_likelihood_ + 1e-9


def test_gaps_are_filled_better_than_by_means():
    """Held-out values of real tables, at random: conditional means against column means."""
    X = (DIGITS - DIGITS.mean(0))[:, DIGITS.std(0) > 1]
    gaps = np.isnan(holed(X, 0.2))
    filled = []
    for cls in (ProbabilisticPCA, FactorAnalysis):
        m = cls(n_components=10, tol=1e-4).fit(np.where(gaps, np.nan, X))
        again = m.inverse_transform(m.transform(np.where(gaps, np.nan, X)))
        filled.append(np.square(again - X)[gaps].mean() / np.square(X)[gaps].mean())
    assert max(filled) < 0.55


# ---- the estimators ----


@pytest.mark.parametrize("cls", [ProbabilisticPCA, FactorAnalysis])
def test_samples_have_the_models_moments_and_a_wrong_model_is_rejected(cls):
    """Mahalanobis distances of draws are chi-squared: a mean of n misses d by 5 sqrt(2 d / n) once in a million."""
    fitted = cls(n_components=2).fit(IRIS)
    covariance = fitted.components_.T @ fitted.components_ + np.diag(np.broadcast_to(fitted.noise_variance_, 4))
    n = 100_000
    drawn = fitted.sample(n, random_state=1)

    def distance(covariance):
        off = drawn - fitted.mean_
        return abs(np.einsum("ij,jk,ik->i", off, np.linalg.inv(covariance), off).mean() - 4)

    bound = 5 * np.sqrt(2 * 4 / n)
    assert distance(covariance) < bound
    assert distance(fitted.components_.T @ fitted.components_ * 0.5 + np.diag(np.diag(covariance) * 0.5)) > bound
    assert distance(covariance * 1.03) > bound
    assert np.abs(np.cov(drawn.T) - covariance).max() < 6 * covariance.max() * np.sqrt(2 / n)


@pytest.mark.parametrize("cls", [ProbabilisticPCA, FactorAnalysis])
def test_kept_and_shown(cls, tmp_path):
    X = DIGITS.reshape(-1, 8, 8)[:200]
    fitted = cls(n_components=6).fit(X)
    again = cls.load(fitted.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.score_samples(X), fitted.score_samples(X))
    assert (
        fitted.sample(3, random_state=0).shape == fitted.inverse_transform(fitted.transform(X[:3])).shape == (3, 8, 8)
    )
    assert [e.title for e in fitted.exhibits(X)] == ["Manifold", "Components", "Latent map", "Reconstructions"]
    scaled = fitted.components_ / np.sqrt(np.broadcast_to(fitted.noise_variance_, 64))
    inner = scaled @ scaled.T
    np.testing.assert_allclose(inner - np.diag(np.diag(inner)), 0, atol=1e-6 * inner.max())
    assert (np.diff(np.diag(inner)) <= 0).all()


def test_bad_input():
    with pytest.raises(SettingError, match="n_components from 1 to 4"):
        ProbabilisticPCA(n_components=5).fit(IRIS)
    with pytest.raises(SettingError, match="method='em' where values are missing"):
        ProbabilisticPCA(n_components=2, method="closed").fit(holed(IRIS, 0.2))
    with pytest.raises(InputError, match="value in every column"):
        FactorAnalysis(n_components=1).fit(np.where(np.arange(4) == 2, np.nan, IRIS))
    with pytest.warns(ConvergenceWarning, match="not settled after 3 steps"):
        FactorAnalysis(n_components=2, max_iter=3, tol=1e-12).fit(WINE)
    fitted = FactorAnalysis(n_components=1).fit(IRIS)
    with pytest.raises(InputError, match=r"factors of shape \(n, 1\)"):
        fitted.inverse_transform(np.zeros((2, 3)))
    with pytest.raises(InputError, match="n_samples"):
        fitted.sample(0)


def test_constant_features_do_no_harm():
    X = np.concatenate([IRIS, np.full((150, 1), 3.0)], 1)
    fitted = FactorAnalysis(n_components=1).fit(X)
    assert np.isfinite(fitted.log_likelihood_)
    np.testing.assert_allclose(fitted.sample(5, random_state=0)[:, 4], 3.0, atol=0.02)


@pytest.mark.parametrize("unit", [1e-120, 1e-60, 1e100])
def test_units_do_not_matter(unit):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2)) @ rng.normal(size=(2, 8)) + rng.normal(size=(500, 8)) * np.linspace(0.1, 2, 8)
    plain, other = FactorAnalysis(n_components=2).fit(X), FactorAnalysis(n_components=2).fit(X * unit)
    assert other.n_iter_ == plain.n_iter_ < 200  # as many steps and leaps
    assert other.score(X * unit) + 8 * np.log(unit) == pytest.approx(plain.score(X), abs=1e-6)
