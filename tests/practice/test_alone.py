"""Contests of rows without a target, against scipy and closed forms; ladders that fit their rows."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm
from sklearn.datasets import load_iris, load_wine
from sklearn.decomposition import PCA as Peer
from sklearn.preprocessing import StandardScaler

from gradus.practice.alone import (
    ALONE,
    CodeContest,
    DensityContest,
    Independent,
    SampleContest,
    drawn,
    log_density,
    rebuilt,
    rungs_for,
    takes_gaps,
    top_for,
)
from gradus.practice.ladder import Rung, climb
from gradus.research.autoregressive import NeuralSplineFlow, RealNVP
from gradus.research.inference.mixtures import GaussianMixture

WINE = load_wine().data
PARTS = WINE[::2], WINE[1::4], WINE[3::4]


def rung(task, name, X=PARTS[0], components=4):
    return next(r for r in rungs_for(task, X, components, 0) if r.name.startswith(name))


def test_independent_columns_are_normal_and_pass_over_gaps():
    model = Independent().fit(PARTS[0])
    expected = norm(PARTS[0].mean(0), PARTS[0].std(0)).logpdf(PARTS[1]).sum(1)
    assert np.allclose(model.score_samples(PARTS[1]), expected)
    gap = PARTS[1].copy()
    gap[:, 3] = np.nan
    without = norm(PARTS[0].mean(0), PARTS[0].std(0)).logpdf(PARTS[1])
    assert np.allclose(model.score_samples(gap), np.delete(without, 3, axis=1).sum(1))


def test_densities_are_in_the_units_of_the_data_also_behind_a_scaling():
    """Probabilistic PCA with all but one direction, on standardized columns, as one normal distribution."""
    fitted = rung("density", "probabilistic", components=5).estimator.fit(PARTS[0])
    scaler, last = fitted.steps[0][1], fitted.steps[1][1]
    Z = scaler.transform(PARTS[0])
    values, vectors = np.linalg.eigh(np.cov(Z.T, bias=True))
    noise = values[:-5].mean()
    wide = vectors[:, -5:] * (values[-5:] - noise) @ vectors[:, -5:].T + noise * np.eye(13)
    unscaled = wide * np.outer(scaler.scale_, scaler.scale_)
    expected = multivariate_normal(scaler.mean_, unscaled).logpdf(PARTS[1])
    assert np.allclose(log_density(fitted, PARTS[1]), expected, atol=1e-6)
    assert not np.allclose(last.score_samples(scaler.transform(PARTS[1])), expected, atol=0.1)
    _, score = DensityContest(*PARTS, seed=0).judge(fitted, "valid")
    assert np.isclose(score.value, expected.mean()) and score.low < score.value < score.high


def test_the_share_that_a_code_loses_is_what_pca_leaves():
    fitted = rung("compress", "PCA").estimator.fit(PARTS[0])
    contest = CodeContest(PARTS[0], PARTS[0], PARTS[2], seed=0)
    Z = StandardScaler().fit_transform(PARTS[0])
    left = 1 - Peer(4).fit(Z).explained_variance_ratio_.sum()
    assert np.isclose(contest.judge(fitted, "valid")[1].value, left)
    assert np.isclose(contest.judge(Independent().fit(PARTS[0]), "valid")[1].value, 1)
    assert rebuilt(fitted, PARTS[1]).shape == PARTS[1].shape


def test_samples_of_the_data_cover_more_than_samples_without_correlation():
    rng = np.random.default_rng(0)
    rows = rng.multivariate_normal([0, 5], [[1, 0.95], [0.95, 1]], 2000)
    parts = rows[:1000], rows[1000:1500], rows[1500:]
    contest = SampleContest(*parts, seed=0)
    plane = rung("generate", "probabilistic", rows, 1).estimator.fit(parts[0])
    near, near_score = contest.judge(plane, "test")
    far, far_score = contest.judge(Independent().fit(parts[0]), "test")
    assert near_score.value > far_score.value + 0.05
    assert contest.compare(near, far).better == "first" and contest.compare(far, near).better == "second"
    again = contest.judge(plane, "test")[0]
    assert np.array_equal(near, again)


@pytest.mark.parametrize("task", ALONE)
def test_every_rung_answers(task):
    X = load_iris().data
    parts = X[::2], X[1::4], X[3::4]
    kinds = {"compress": CodeContest, "generate": SampleContest}
    contest = kinds.get(task, DensityContest)(*parts, seed=0)
    ladder = climb(rungs_for(task, parts[0], 2, 0), contest)
    assert all(row.status == "done" for row in ladder.rows), [row.error for row in ladder.rows]
    if task != "compress":
        assert drawn(ladder.fitted[ladder.chosen], 5, 0).shape == (5, 4)
    assert ladder.row(ladder.chosen).kind != "trivial" or task == "cluster"


def test_rows_with_gaps_get_models_that_take_them():
    X = WINE.copy()
    X[::7, 2] = np.nan
    for task in ("density", "factors", "compress", "generate"):
        names = [r.name for r in rungs_for(task, X, 3, 0)]
        assert not any("mixture" in name or name == "ICA" for name in names)
        cls = top_for(task, X)[1]
        assert np.isfinite(cls(n_components=3).fit(X).transform(X)).all()


def test_gaps_are_taken_where_every_step_takes_them():
    gaps = np.where(np.random.default_rng(0).random(PARTS[0].shape) < 0.1, np.nan, PARTS[0])
    plane = rung("density", "probabilistic", gaps).estimator.fit(gaps)
    assert takes_gaps(plane) and np.isfinite(log_density(plane, gaps)).all()
    assert not takes_gaps(rung("density", "mixture").estimator.fit(PARTS[0]))


@pytest.mark.parametrize("cls", [RealNVP, NeuralSplineFlow])
def test_a_flow_s_density_is_in_the_units_of_the_data(cls):
    """Its integral over a plane in those units is one, and a change of units moves it by the logarithm of the unit."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, np.pi, 700)
    rows = np.stack([3000 * np.cos(angle), 0.02 * np.sin(angle)], 1) + rng.normal(size=(700, 2)) * [300, 0.002]
    train, valid, test = rows[:500], rows[500:600], rows[600:]
    flow = cls(layers=4, hidden=(32,), max_epochs=30, learning_rate=5e-3, random_state=0)
    contest = DensityContest(train, valid, test, seed=0)
    fitted = contest.fit(flow, Rung("flow", "network", flow, ""))
    scores, score = contest.judge(fitted, "test")
    assert len(fitted.history_) <= 30 and fitted.best_epoch_ is not None  # the validation part is watched
    across, up = np.linspace(-9000, 9000, 400), np.linspace(-0.06, 0.06, 400)
    plane = np.stack(np.meshgrid(across, up), -1).reshape(-1, 2)
    cell = (across[1] - across[0]) * (up[1] - up[0])
    assert np.isclose(np.exp(log_density(fitted, plane)).sum() * cell, 1, atol=0.02)
    gauss = Independent().fit(train)
    assert score.value > gauss.score_samples(test).mean() + 0.5  # half a circle is no ellipse
    assert np.isclose(scores.mean(), score.value)


def test_bits_of_pixels_are_those_of_their_levels():
    """A uniform density on 0 to 1 has nought nats, and takes log2 of the levels a pixel."""
    rows = np.random.default_rng(0).random((50, 6))
    plain, pixels = (DensityContest(rows, rows, rows, 0, (2, 3), levels) for levels in (0, 16))
    found = {measure.name: score.value for measure, score in plain.others(np.zeros(50))}
    assert found == {"log_likelihood": 0.0, "bits_per_column": 0.0}
    found = {measure.name: score.value for measure, score in pixels.others(np.full(50, 6 * np.log(2)))}
    assert np.isclose(found["bits_per_pixel"], 3) and "bits_per_column" not in found


def test_the_floor_of_variances_is_the_same_on_every_rung_of_mixtures():
    """One cloud on a line: its variance across is the floor's alone, and must not tell one mixture from another."""
    line = np.random.default_rng(0).normal(size=(500, 1)) @ np.array([[1.0, 1.0, 2.0]])
    parts = line[:300], line[300:400], line[400:]
    _, cls, _, given = top_for("cluster", line)
    mixtures = [rung.estimator for rung in rungs_for("cluster", line, 2, 0)]
    assert given["floor"] > 0 and {one.floor for one in mixtures} == {given["floor"]}
    assert top_for("density", line[:, :1])[3]["floor"] == given["floor"]
    top = Rung("top", "classical", cls(**given, random_state=0), "")
    ladder = climb([*rungs_for("cluster", parts[0], 2, 0), top], DensityContest(*parts, seed=0))
    assert abs(ladder.row("top").valid.value - ladder.row("one group").valid.value) < 0.1


def test_generators_are_judged_by_samples_as_they_are_given_out():
    coins = np.random.default_rng(0).integers(0, 2, (600, 6)).astype(float)
    parts = coins[:300], coins[300:450], coins[450:]
    fair = Independent().fit(parts[0])
    rough = SampleContest(*parts, seed=0).judge(fair, "test")[1].value
    whole = SampleContest(*parts, seed=0, given_out=lambda rows: np.clip(np.round(rows), 0, 1))
    assert whole.judge(fair, "test")[1].value > rough + 0.1


def test_samples_are_compared_with_whole_rows_only():
    gaps = WINE.copy()
    gaps[::11, 2] = np.nan
    contest = SampleContest(gaps[::2], gaps[1::2], gaps[1::2], seed=0)
    each, score = contest.judge(Independent().fit(gaps[::2]), "test")
    assert np.isfinite(each).all() and score.n == np.isfinite(gaps[1::2]).all(1).sum() < 89


def test_flows_stand_on_the_ladder_of_densities_and_wide_rows_are_spared_them():
    X = np.random.default_rng(0).normal(size=(300, 130))
    narrow = [type(r.estimator).__name__ for r in rungs_for("density", X[:, :5], 2, 0)]
    assert "RealNVP" in narrow and top_for("density", X[:, :5])[1] is NeuralSplineFlow
    wide = [type(r.estimator).__name__ for r in rungs_for("density", X, 2, 0)]
    assert "RealNVP" not in wide and top_for("density", X)[1].__name__ == "VAE"
    one = rungs_for("density", X[:, :1], 1, 0)
    assert [r.name for r in one] == ["independent columns"] and top_for("density", X[:, :1])[1] is GaussianMixture
