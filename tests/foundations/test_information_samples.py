"""Information from samples: against closed forms, scikit-learn and enumeration; each check shown to reject bugs.

Statistical checks fail by chance at a rate of 1e-5 or less; seeds are fixed.
"""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from sklearn.datasets import load_wine
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression
from torch import distributions as td

from gradus.core.errors import InputError, SettingError
from gradus.foundations.information import (
    barber_agakov,
    cross_entropy,
    donsker_varadhan,
    entropy,
    info_nce,
    js_divergence,
    kl_divergence,
    knn_entropy,
    knn_kl,
    knn_mutual_information,
    knn_mutual_information_discrete,
    monte_carlo,
    mutual_information,
    neighbours,
    nwj,
    sampled_cross_entropy,
    sampled_entropy,
    sampled_js,
    sampled_kl,
)
from gradus.foundations.information.monte_carlo import Estimate

SIDE = scipy.stats.norm.isf(0.5e-5)  # two sides of 1e-5


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# -- Monte Carlo --------------------------------------------------------------------------------------------------

P, Q = (td.Gamma(torch.tensor(a).double(), torch.tensor(b).double()) for a, b in ((2.0, 1.0), (3.0, 2.5)))
COIN, OTHER = (td.Categorical(torch.tensor(p).double()) for p in ((0.2, 0.5, 0.3), (0.6, 0.3, 0.1)))
CASES = {
    "entropy": (lambda g: sampled_entropy(P, 4000, generator=g), entropy(P)),
    "cross-entropy": (lambda g: sampled_cross_entropy(P, Q, 4000, generator=g), cross_entropy(P, Q)),
    "divergence": (lambda g: sampled_kl(P, Q, 4000, generator=g), kl_divergence(P, Q)),
    "JS": (lambda g: sampled_js(COIN, OTHER, 4000, generator=g), js_divergence(COIN, OTHER)),
    "weighted JS": (
        lambda g: sampled_js(COIN, OTHER, 4000, weight=0.2, generator=g),
        js_divergence(COIN, OTHER, weight=0.2),
    ),
}


def scores(name, runs=200):
    """z-scores of many estimates: standard normal, if both estimate and standard error are right."""
    estimate, truth = CASES[name]
    found = [estimate(generator(seed)) for seed in range(runs)]
    return np.array([float((one.estimate - truth) / one.standard_error) for one in found])


def calibrated(z):
    """Whether z-scores are standard normal in mean and variance, at a failure rate of 1e-5 for each."""
    low, high = scipy.stats.chi2.ppf([0.5e-5, 1 - 0.5e-5], len(z) - 1) / (len(z) - 1)
    return abs(z.mean()) < SIDE / len(z) ** 0.5 and low < z.var(ddof=1) < high


@pytest.mark.parametrize("name", CASES)
def test_monte_carlo_is_unbiased_and_knows_its_error(name):
    assert calibrated(scores(name))


def test_the_calibration_rejects_planted_bugs(monkeypatch):
    mean = monte_carlo._mean
    bugs = {
        "an error without the square root of n": lambda v: Estimate(v.mean(0), v.std(0)),
        "the variance for the error": lambda v: Estimate(v.mean(0), v.var(0) / len(v)),
        "a half too many draws": lambda v: Estimate(v.mean(0), mean(v).standard_error / 1.5**0.5),
        "a sum over n - 1 numbers": lambda v: Estimate(v.sum(0) / (len(v) * 0.99), mean(v).standard_error),
    }
    for bug in bugs.values():
        monkeypatch.setattr(monte_carlo, "_mean", bug)
        assert not calibrated(scores("entropy"))
    monkeypatch.undo()
    monkeypatch.setitem(CASES, "reverse", (lambda g: sampled_kl(Q, P, 4000, generator=g), kl_divergence(P, Q)))
    monkeypatch.setitem(
        CASES, "other mixture", (lambda g: sampled_js(COIN, OTHER, 4000, generator=g), CASES["weighted JS"][1])
    )
    assert not calibrated(scores("reverse")) and not calibrated(scores("other mixture"))


def test_divergence_of_mixtures_against_an_integral():
    def mixture(*means):
        return td.MixtureSameFamily(
            td.Categorical(torch.ones(len(means)).double()), td.Normal(torch.tensor(means), 1.0)
        )

    p, q = mixture(-2.0, 2.0), mixture(-1.0, 0.0, 3.0)
    grid = torch.linspace(-12, 13, 20_001, dtype=torch.float64)
    a, b = p.log_prob(grid), q.log_prob(grid)
    m = torch.logaddexp(a, b) - math.log(2)
    truths = {
        sampled_kl: torch.trapezoid(a.exp() * (a - b), grid),
        sampled_js: 0.5 * torch.trapezoid(a.exp() * (a - m) + b.exp() * (b - m), grid),
    }
    for estimator, truth in truths.items():
        found = estimator(p, q, 50_000, generator=generator())
        assert abs(found.estimate - truth) < SIDE * found.standard_error < 0.1 * truth


def test_draws_follow_the_generator_and_nothing_else():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = sampled_entropy(P, 10, generator=generator(1))
    assert torch.equal(torch.get_rng_state(), before)
    assert first == sampled_entropy(P, 10, generator=generator(1))
    assert first != sampled_entropy(P, 10, generator=generator(2))
    g = generator(1)
    assert sampled_entropy(P, 10, generator=g) != sampled_entropy(P, 10, generator=g)


def test_batches_and_what_cannot_be():
    p = td.Normal(torch.zeros(3, 2), 1.0)
    found = sampled_kl(p, td.Normal(torch.tensor(1.0), 1.0), 100, generator=generator())
    assert found.estimate.shape == found.standard_error.shape == (3, 2)
    apart = sampled_kl(
        td.Uniform(0.0, 1.0, validate_args=False), td.Uniform(0.5, 1.0, validate_args=False), 100, generator=generator()
    )
    assert apart.estimate == math.inf
    with pytest.raises(SettingError, match="n_samples"):
        sampled_entropy(p, 1, generator=generator())
    with pytest.raises(SettingError, match="weight"):
        sampled_js(p, p, 10, weight=0.0, generator=generator())


# -- nearest neighbours -------------------------------------------------------------------------------------------

RUNS, ROWS = 40, 400
T_SIDE = scipy.stats.t.isf(0.5e-5, RUNS - 1)
COVARIANCE = np.array([[1.0, 0.4, 0.7], [0.4, 2.0, 0.3], [0.7, 0.3, 1.0]])
JOINT = td.MultivariateNormal(torch.zeros(3).double(), torch.from_numpy(COVARIANCE))
MOVED = td.MultivariateNormal(torch.tensor([0.5, 0.0, -0.5]).double(), 1.5 * torch.eye(3).double())


def gaussian(rng, n=ROWS):
    return rng.multivariate_normal(np.zeros(3), COVARIANCE, n)


def labelled(rng):
    labels = rng.integers(0, 2, ROWS)
    return 1.5 * labels + rng.normal(size=ROWS), labels


def of_two_gaussians():
    """Information between a label and a mixture of two unit Gaussians 1.5 apart, by an integral."""
    x = np.linspace(-10, 12, 20_001)
    each = [scipy.stats.norm.pdf(x, 1.5 * k) for k in (0, 1)]
    middle = 0.5 * (each[0] + each[1])
    return float(np.trapezoid(sum(0.5 * p * np.log(p / middle) for p in each), x))


# estimate of one data set, truth, bias that the method is allowed at this size (measured: two thirds of it or less)
KNN = {
    "entropy": (lambda rng: knn_entropy(gaussian(rng)), entropy(JOINT).item(), 0.1),
    "divergence": (
        lambda rng: knn_kl(gaussian(rng), MOVED.mean.numpy() + 1.5**0.5 * rng.normal(size=(700, 3))),
        kl_divergence(JOINT, MOVED).item(),
        0.08,
    ),
    "information": (
        lambda rng: (lambda z: knn_mutual_information(z[:, :1], z[:, 1:]))(gaussian(rng)),
        mutual_information(JOINT, split=1).item(),
        0.03,
    ),
    "information of two numbers": (
        lambda rng: (lambda z: knn_mutual_information(z[:, 0], z[:, 2]))(gaussian(rng)),
        -0.5 * math.log1p(-0.49),
        0.015,
    ),
    "no information": (lambda rng: knn_mutual_information(rng.normal(size=ROWS), rng.normal(size=ROWS)), 0.0, 0.006),
    "labels": (lambda rng: knn_mutual_information_discrete(*labelled(rng)), of_two_gaussians(), 0.02),
}


def strays(name):
    """How far the mean over data sets lies from the truth, and how far it may: bias allowed and chance."""
    estimate, truth, bias = KNN[name]
    found = np.array([estimate(np.random.default_rng(seed)) for seed in range(RUNS)])
    return abs(found.mean() - truth), bias + T_SIDE * found.std(ddof=1) / RUNS**0.5


@pytest.mark.parametrize("name", KNN)
def test_neighbours_find_the_truth(name):
    off, allowed = strays(name)
    assert off < allowed < 0.25 * max(KNN[name][1], 0.3)


def test_the_checks_reject_planted_bugs(monkeypatch):
    def rejects(*names):
        for name in names:
            off, allowed = strays(name)
            assert off > allowed, name
        monkeypatch.undo()

    digamma, within, gamma = neighbours.digamma, neighbours._within, math.lgamma
    monkeypatch.setattr(neighbours, "digamma", lambda x: np.log(x))  # the logarithm of k for its average
    rejects("entropy", "information", "no information", "labels")
    monkeypatch.setattr(neighbours, "_within", lambda rows, radii: within(rows, radii) + 1)  # n_x + 2
    rejects("information", "no information", "labels")
    monkeypatch.setattr(neighbours, "_within", lambda rows, radii: within(rows, np.nextafter(radii, np.inf)))  # closed
    rejects("information", "no information")
    monkeypatch.setattr(neighbours.math, "lgamma", lambda x: gamma(x + 0.5))  # the ball of another dimension
    rejects("entropy")
    tree = neighbours.cKDTree

    class Itself(tree):
        def query(self, rows, k, **options):
            return tree.query(self, rows, [max(1, k[0] - 1)], **options)  # a row taken for a neighbour of its own

    monkeypatch.setattr(neighbours, "cKDTree", Itself)
    rejects("entropy", "information")
    monkeypatch.setattr(neighbours, "digamma", lambda x: digamma(x) + 0.0)
    assert np.less(*strays("no information"))  # the check of the checks: nothing planted, nothing found


def test_numbers_of_scikit_learn():
    """Its estimates are clipped at zero, and its tables broken by noise of 1e-10: the rest is the same."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(700, 3))
    y = x[:, 0] + 0.5 * rng.normal(size=700)
    labels = np.where(y > 0, "up", "down")
    for k in (1, 3, 10):
        expected = mutual_info_regression(x, y, n_neighbors=k, random_state=0)
        found = [knn_mutual_information(column, y, k=k) for column in x.T]
        np.testing.assert_allclose(np.maximum(found, 0), expected, atol=1e-6)
        expected = mutual_info_classif(x, labels, n_neighbors=k, random_state=0)
        found = [knn_mutual_information_discrete(column, labels, k=k) for column in x.T]
        np.testing.assert_allclose(np.maximum(found, 0), expected, atol=1e-6)
    assert expected[0] > 0.3


def test_neighbours_of_real_columns():
    """Columns of real tables repeat values: all that tie are counted, and come near what noise makes of them."""
    wine = load_wine()
    expected = mutual_info_classif(wine.data, wine.target, random_state=0)
    found = [knn_mutual_information_discrete(column, wine.target) for column in wine.data.T]
    np.testing.assert_allclose(np.maximum(found, 0), expected, atol=0.08)


def test_copies_are_tables():
    """Of discrete values alone, the estimate is that of the table, up to digamma for the logarithm."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, 5000)
    y = np.where(rng.random(5000) < 0.7, x, rng.integers(0, 3, 5000))
    counts = np.histogram2d(x, y, bins=3)[0]
    table = mutual_information(torch.from_numpy(counts / 5000)).item()
    assert knn_mutual_information(x, y) == pytest.approx(table, abs=2e-3)
    assert knn_mutual_information_discrete(x, y) == pytest.approx(table, abs=2e-3)
    assert table > 0.2


def test_counting_within_a_radius_is_exact():
    """Sorted sums round otherwise than differences; the count must be that of every pair compared."""
    rng = np.random.default_rng(0)
    for values in (rng.normal(size=300), np.round(rng.normal(size=300), 1), 1e6 + rng.normal(size=300)):
        apart = np.abs(values[:, None] - values)
        radii = np.sort(apart, 1)[:, 4] + 1e-300
        expected = (apart < radii[:, None]).sum(1)
        assert np.array_equal(neighbours._within(values[:, None], radii), expected)
        assert np.array_equal(neighbours._within(np.stack([values, values], 1), radii), expected)


def test_three_samples_by_hand():
    x, y = [0.0, 1.0, 3.0], [0.5, 2.0, 7.0]
    digamma = scipy.special.digamma
    expected = digamma(3) - digamma(1) + math.log(2) + math.log(2) / 3  # nearest at 1, 1 and 2; a ball is 2 long
    assert knn_entropy(x, k=1) == pytest.approx(expected)
    assert knn_kl(x, y, k=1) == pytest.approx(-math.log(2) + math.log(3 / 2))  # of the others at 0.5, 0.5 and 1
    labels = [0, 0, 0, 0, 1, 1, 1, 1]
    z = np.random.default_rng(0).normal(size=8)
    alone = knn_mutual_information_discrete(np.append(z, 5.0) * 2, [*labels, 2], k=2)
    assert alone == pytest.approx(knn_mutual_information_discrete(z, labels, k=2))  # a label of one row is left out


def test_units_change_entropy_and_nothing_else():
    rng = np.random.default_rng(0)
    z = gaussian(rng)
    units = np.array([10.0, 0.1, 3.0])
    assert knn_entropy(2.0 * z) == pytest.approx(knn_entropy(z) + 3 * math.log(2.0))
    assert knn_kl(2.0 * z[:200], 2.0 * z[200:]) == pytest.approx(knn_kl(z[:200], z[200:]))
    w = z * units + 5
    assert knn_mutual_information(w[:, 0], w[:, 1:]) == pytest.approx(knn_mutual_information(z[:, 0], z[:, 1:]))
    assert knn_entropy(torch.from_numpy(z)) == knn_entropy(z)


def test_bad_samples():
    x = np.arange(10.0)
    for wrong, words in (
        (lambda: knn_entropy(np.zeros(10)), "10 with k copies"),
        (lambda: knn_entropy(x[:3]), "more than k=3 samples"),
        (lambda: knn_entropy(np.zeros((2, 2, 2))), r"\(n,\) or \(n, features\)"),
        (lambda: knn_entropy(np.array([1.0, np.nan, 2.0, 3.0, 4.0])), "finite"),
        (lambda: knn_kl(x, np.zeros((10, 2))), "1 features"),
        (lambda: knn_kl(x, x), "k copies|continuous"),
        (lambda: knn_mutual_information(x, x[:4]), "10 rows"),
        (lambda: knn_mutual_information_discrete(x, x[:4]), "labels of shape"),
        (lambda: knn_mutual_information_discrete(x, x), "two samples"),
    ):
        if words == "k copies|continuous":
            assert np.isfinite(wrong())  # the same rows on both sides: copies across, none within
            continue
        with pytest.raises(InputError, match=words):
            wrong()
    with pytest.raises(SettingError, match="k, an integer"):
        knn_entropy(x, k=0)


# -- bounds -------------------------------------------------------------------------------------------------------

RHO = 0.8
TRUTH = -0.5 * math.log(1 - RHO**2)


def pairs(n, seed):
    g = generator(seed)
    x = torch.randn(n, generator=g, dtype=torch.float64)
    return x, RHO * x + (1 - RHO**2) ** 0.5 * torch.randn(n, generator=g, dtype=torch.float64)


def log_ratio(x, y):
    """log p(x, y) / (p(x) p(y)) of every pair."""
    x, y = x[:, None], y[None]
    return TRUTH - (RHO**2 * (x**2 + y**2) - 2 * RHO * x * y) / (2 * (1 - RHO**2))


def test_bounds_are_their_definitions():
    f = torch.randn(5, 5, generator=generator(), dtype=torch.float64)
    joint = sum(f[i, i].item() for i in range(5)) / 5
    off = sum(math.exp(f[i, j]) for i in range(5) for j in range(5) if i != j) / 20
    assert nwj(f).item() == pytest.approx(joint - off / math.e)
    assert donsker_varadhan(f).item() == pytest.approx(joint - math.log(off))
    picked = [math.log(math.exp(f[i, i]) / (sum(math.exp(f[i, j]) for j in range(5)) / 5)) for i in range(5)]
    assert info_nce(f).item() == pytest.approx(sum(picked) / 5)
    assert barber_agakov(f[0], 2.0).item() == pytest.approx(f[0].mean().item() + 2.0)


def averaged(bound, critic, n=64, runs=400):
    values = np.array([float(bound(critic(*pairs(n, seed)))) for seed in range(runs)])
    return values.mean(), values.std(ddof=1) / runs**0.5


def test_the_best_critic_makes_nwj_exact_and_others_lie_below():
    mean, error = averaged(nwj, lambda x, y: log_ratio(x, y) + 1)
    assert abs(mean - TRUTH) < SIDE * error < 0.1 * TRUTH
    for worse in (log_ratio, lambda x, y: 0.5 * log_ratio(x, y) + 1, lambda x, y: log_ratio(x, y) + 2):
        mean, error = averaged(nwj, worse)
        assert mean < TRUTH - SIDE * error  # shows that a wrong constant or factor is noticed, too


def test_donsker_varadhan_forgets_constants_and_info_nce_those_of_x():
    x, y = pairs(50, 0)
    f = log_ratio(x, y)
    assert donsker_varadhan(f + 3.0).item() == pytest.approx(donsker_varadhan(f).item())
    assert info_nce(f + x[:, None] ** 2).item() == pytest.approx(info_nce(f).item())
    assert abs(info_nce(f + y**2) - info_nce(f)) > 0.1
    mean, error = averaged(donsker_varadhan, log_ratio, n=512, runs=100)
    assert abs(mean - TRUTH) < SIDE * error + 0.02


def test_info_nce_lies_below_the_information_and_below_log_n():
    means = [averaged(info_nce, log_ratio, n=n)[0] for n in (2, 8, 64)]
    assert means[0] < means[1] < means[2] < TRUTH
    assert TRUTH - means[2] < 0.03
    for seed in range(50):
        wild = 10 * torch.randn(6, 6, generator=generator(seed))
        assert info_nce(wild) <= math.log(6)


def test_barber_agakov_is_exact_with_the_true_conditional():
    joint = torch.tensor([[4, 1, 1], [0, 2, 4]])  # as many pairs as the table says: means are expectations
    cells = [(i, j) for i in range(2) for j in range(3) for _ in range(int(joint[i, j]))]
    conditional = joint.double() / joint.sum(0)
    table = joint.double() / joint.sum()
    logs = torch.stack([conditional[i, j].log() for i, j in cells])
    prior = entropy(table.sum(1))
    assert barber_agakov(logs, prior).item() == pytest.approx(mutual_information(table).item())
    worse = torch.stack([(0.9 * conditional[i, j] + 0.05).log() for i, j in cells])
    assert barber_agakov(worse, prior) < mutual_information(table)


def test_slopes_of_bounds_and_bad_scores():
    f = torch.randn(4, 4, generator=generator(), dtype=torch.float64, requires_grad=True)
    for bound in (nwj, donsker_varadhan, info_nce):
        assert torch.autograd.gradcheck(bound, f)
        assert bound(1e4 * torch.eye(4)).isfinite() or bound is nwj
        with pytest.raises(InputError, match=r"\(n, n\)"):
            bound(torch.zeros(3, 4))
        with pytest.raises(InputError, match="2 or more"):
            bound(torch.zeros(1, 1))
    with pytest.raises(InputError, match="log_conditional"):
        barber_agakov(torch.zeros(2, 2), 1.0)
