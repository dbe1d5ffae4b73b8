"""Scores against scikit-learn and scipy, intervals against coverage, comparisons against the exact test."""

from functools import cache

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk
from sklearn.linear_model import LinearRegression, LogisticRegression

from gradus.core.errors import InputError, SettingError
from gradus.practice.intervals import bca, influence_of_auc, perfect_share
from gradus.practice.metrics import METRICS, Prediction, compare, default_metric, metric_named, predict, score


def classification(n=400, k=3, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), y] += 1.5
    q = np.exp(logits)
    q /= q.sum(1, keepdims=True)
    names = np.array(["ant", "bee", "cow", "dog"])[:k]
    return names[y], Prediction(labels=names[q.argmax(1)], probabilities=q, classes=names)


def regression(n=300, seed=0):
    rng = np.random.default_rng(seed)
    y = 1000 + rng.normal(size=n)
    return y, Prediction(values=y + 0.5 * rng.normal(size=n))


def written(n=300, wrong=0.1, seed=0):
    """Texts, and answers of which a share of the characters is another, missing, or said twice."""
    rng = np.random.default_rng(seed)
    y = np.array(["".join(rng.choice(list("abcd"), rng.integers(1, 9))) for _ in range(n)], dtype=object)
    said = ["".join(rng.choice(["", "x", c, c + c]) if rng.random() < wrong else c for c in text) for text in y]
    return y, Prediction(texts=np.array(said, dtype=object))


def edits(a, b):
    """The fewest edits, by the definition: the best of putting in, taking out, exchanging, at every pair of ends."""

    @cache
    def until(i, j):
        if i == 0 or j == 0:
            return i + j
        return min(until(i - 1, j) + 1, until(i, j - 1) + 1, until(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    return until(len(a), len(b))


def made_for(metric, k):
    made = {"values": regression, "texts": written}
    return made[metric.needs]() if metric.needs in made else classification(k=k)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", METRICS)
def test_values_are_scikit_learns(name, weighted):
    metric = METRICS[name]
    y, p = made_for(metric, 2 if name == "average_precision" else 3)
    w = np.random.default_rng(1).uniform(0.1, 3, len(y)) if weighted else None
    q, labels = p.probabilities, p.labels
    one = None if q is None else np.eye(q.shape[1])[np.searchsorted(p.classes, y)]
    each = np.ones(len(y)) if w is None else w
    oracle = {
        "character_error": lambda: (
            sum(v * edits(a, b) for v, a, b in zip(each, y, p.texts, strict=True)) / sum(each * [len(a) for a in y])
        ),
        "exact": lambda: sk.accuracy_score(y.astype(str), p.texts.astype(str), sample_weight=w),
        "accuracy": lambda: sk.accuracy_score(y, labels, sample_weight=w),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(y, labels, sample_weight=w),
        "f1": lambda: sk.f1_score(y, labels, average="macro", sample_weight=w),
        "log_loss": lambda: sk.log_loss(y, q, sample_weight=w),
        "brier": lambda: np.average(np.sum((q - one) ** 2, 1), weights=w),
        "roc_auc": lambda: sk.roc_auc_score(one, q, average="macro", sample_weight=w),
        "average_precision": lambda: sk.average_precision_score(y == "bee", q[:, 1], sample_weight=w),
        "r2": lambda: sk.r2_score(y, p.values, sample_weight=w),
        "rmse": lambda: sk.root_mean_squared_error(y, p.values, sample_weight=w),
        "mae": lambda: sk.mean_absolute_error(y, p.values, sample_weight=w),
    }[name]()
    found = score(name, y, p, w)
    assert found.value == pytest.approx(oracle, abs=1e-10)
    assert found.low < found.value < found.high
    assert found.n == len(y) and found.how
    assert score(name, y, p, w) == found  # resampling is seeded
    if metric.combine and metric.rows and not weighted:  # what is resampled is what is scored
        from gradus.practice.answers import answers_of
        from gradus.practice.metrics import _columns

        columns = _columns(metric, answers_of(metric.needs, y, p, None))
        assert float(metric.combine(columns.sum(0))) == pytest.approx(oracle, abs=1e-10)


def test_binary_brier_is_half_the_distance_as_in_scikit_learn():
    y, p = classification(k=2)
    assert score("brier", y, p).value == pytest.approx(sk.brier_score_loss(y == "bee", p.probabilities[:, 1]))


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 30), (7, 30), (30, 30), (481, 500)])
def test_accuracy_interval_is_scipys_wilson(hits, n):
    y, said = np.ones(n, dtype=int), np.repeat([1, 0], [hits, n - hits])
    found = score("accuracy", y, said)
    oracle = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=1e-12)


@pytest.mark.parametrize("n", [1, 5, 100])
def test_perfect_share_is_clopper_pearson(n):
    assert perfect_share(n) == pytest.approx(stats.binomtest(n, n).proportion_ci(method="exact").low)


def test_bca_agrees_with_scipy():
    x = np.random.default_rng(3).exponential(size=80) ** 1.5
    columns = np.stack([np.ones_like(x), x], axis=1)
    low, high, how = bca(columns, lambda s: s[..., 1] / s[..., 0])
    oracle = stats.bootstrap((x,), np.mean, n_resamples=20_000, rng=np.random.default_rng(0)).confidence_interval
    width = oracle.high - oracle.low
    assert abs(low - oracle.low) < 0.08 * width and abs(high - oracle.high) < 0.08 * width
    assert how.startswith("BCa")
    # the skew must be felt: a symmetric interval would not reach as far up
    assert high - x.mean() > 1.2 * (x.mean() - low)


def test_large_samples_take_the_normal_interval_with_the_right_width():
    rng = np.random.default_rng(0)
    y = rng.normal(size=40_000)
    found = score("mae", y, y + rng.normal(size=40_000))
    width = 2 * 1.959964 * np.sqrt(1 - 2 / np.pi) / 200
    assert found.high - found.low == pytest.approx(width, rel=0.03)
    assert "normal" in found.how


def covered(draw, truth, repeats):
    hits = 0
    for seed in range(repeats):
        found = draw(np.random.default_rng(seed))
        hits += found.low <= truth <= found.high
    return hits


COVERAGE = 250
# At a true coverage of 0.92 or more fewer hits happen once in 1e5; half the width (0.67) fails always.
# At 0.95, all of 250 hit with probability 2.7e-6; at twice the width (coverage 0.9999) they nearly always do.
FEWEST = int(stats.binom.ppf(1e-5, COVERAGE, 0.92))


def draw_log_loss(rng):
    y = rng.random(150) < 0.3
    return score("log_loss", y, np.full(150, 0.2))


def draw_balanced(rng):
    y = rng.integers(0, 3, 200)
    return score("balanced_accuracy", y, np.where(rng.random(200) < 0.8, y, (y + 1) % 3))


def draw_area(rng):
    y = np.arange(120) % 3 == 0
    return score("roc_auc", y, stats.norm.cdf(rng.normal(size=120) + 1.5 * y))


def draw_rmse(rng):
    return score("rmse", np.zeros(150), rng.normal(size=150) * 2)


def draw_r2(rng):
    x = rng.normal(size=150)
    return score("r2", x + rng.normal(size=150), x)


def draw_accuracy(rng):
    return score("accuracy", np.ones(60), (rng.random(60) < 0.9).astype(float))


@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        (draw_log_loss, -0.3 * np.log(0.2) - 0.7 * np.log(0.8)),
        (draw_balanced, 0.8),
        (draw_area, stats.norm.cdf(1.5 / np.sqrt(2))),
        (draw_rmse, 2.0),
        (draw_r2, 0.5),
        (draw_accuracy, 0.9),
    ],
)
def test_intervals_cover_the_truth_about_95_times_in_a_hundred(draw, truth):
    hits = covered(draw, truth, COVERAGE)
    assert FEWEST <= hits < COVERAGE


def test_roc_area_counts_integer_weights_as_repeated_rows():
    rng = np.random.default_rng(0)
    y, s, w = rng.random(60) < 0.4, rng.integers(0, 8, 60) / 8.0, rng.integers(1, 4, 60)
    area, influence = influence_of_auc(y, s, w.astype(float))
    again, _ = influence_of_auc(np.repeat(y, w), np.repeat(s, w), None)
    assert area == pytest.approx(again, abs=1e-12) == pytest.approx(sk.roc_auc_score(y, s, sample_weight=w))
    assert influence[y].sum() == pytest.approx(0, abs=1e-12) == pytest.approx(influence[~y].sum(), abs=1e-12)


def test_delongs_variance_is_the_spread_of_the_area():
    rng = np.random.default_rng(0)
    y = np.arange(200) % 4 == 0
    drawn = [influence_of_auc(y, rng.normal(size=200) + y, None) for _ in range(600)]
    spread = np.std([area for area, _ in drawn])
    said = np.sqrt(np.mean([np.sum(i**2) for _, i in drawn]))
    # the standard deviation of 600 draws is known to 2.9 %; five of these fail once in 1e6
    assert said == pytest.approx(spread, rel=0.15)


@pytest.mark.parametrize("name", ["balanced_accuracy", "f1", "roc_auc", "average_precision"])
def test_a_perfect_score_is_not_certain(name):
    y = np.array([0, 1] * 20)
    found = score(name, y, y if METRICS[name].needs == "labels" else y.astype(float))
    assert found.value == found.high == 1.0
    assert 0.5 < found.low < 0.98
    if name == "balanced_accuracy":  # all unseen errors in one class of 20
        assert found.low == pytest.approx(1 - (1 - perfect_share(20)) / 2)


def test_scores_that_say_nothing_have_area_one_half():
    assert score("roc_auc", [0, 1, 1, 0], [0.3] * 4)[:3] == (0.5, 0.5, 0.5)


def test_a_class_never_seen_costs_36_nats_and_counts_as_wrong():
    p = Prediction(labels=np.array(["a", "b"]), probabilities=np.eye(2), classes=np.array(["a", "b"]))
    assert score("log_loss", ["a", "c"], p).value == pytest.approx(36.04 / 2, abs=0.01)
    assert score("accuracy", ["a", "c"], p).value == 0.5
    assert score("balanced_accuracy", ["a", "c"], p).value == 0.5


def test_r2_far_from_zero_keeps_its_digits():
    rng = np.random.default_rng(0)
    y, e = rng.normal(size=200), 0.3 * rng.normal(size=200)
    near, far = score("r2", y, y + e), score("r2", y + 1e7, y + e + 1e7)
    assert (far.low, far.high) == pytest.approx((near.low, near.high), abs=1e-5)


def test_comparison_of_accuracies_is_mcnemars():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    a = np.where(rng.random(300) < 0.9, y, 1 - y)
    b = np.where(rng.random(300) < 0.8, y, 1 - y)
    found = compare("accuracy", y, a, b)
    only_a, only_b = int(np.sum((a == y) & (b != y))), int(np.sum((a != y) & (b == y)))
    assert found.difference == pytest.approx((only_a - only_b) / 300)
    assert found.p_value == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue)
    assert found.better == "first" and found.low < found.difference < found.high


@pytest.mark.parametrize("name", METRICS)
def test_comparisons_are_antisymmetric_and_know_the_direction(name):
    metric = METRICS[name]
    y, good = made_for(metric, 2)
    if metric.needs == "texts":
        bad = written(wrong=0.6)[1]
    elif metric.needs == "values":
        bad = Prediction(values=y + 2 * (good.values - y))
    else:
        q = 0.2 * good.probabilities + 0.8 * np.random.default_rng(5).dirichlet([1, 1], len(y))
        bad = Prediction(labels=good.classes[q.argmax(1)], probabilities=q, classes=good.classes)
    one, two = compare(name, y, good, bad), compare(name, y, bad, good)
    assert (one.better, two.better) == ("first", "second")
    assert one.difference == pytest.approx(-two.difference)
    assert one.difference == pytest.approx(score(name, y, good).value - score(name, y, bad).value)
    assert one.low == pytest.approx(-two.high, abs=0.1 * (one.high - one.low))
    same = compare(name, y, good, good)
    assert same.better is None and same.low <= 0 <= same.high


def test_pairing_tells_apart_what_separate_intervals_cannot():
    rng = np.random.default_rng(0)
    y = rng.normal(size=500)
    noise = rng.normal(size=500)
    a, b = y + noise, y + 1.03 * noise
    assert score("rmse", y, a).high > score("rmse", y, b).low
    assert compare("rmse", y, a, b).better == "first"


def test_noise_is_not_called_better():
    """Of 200 pairs of equally good models about 5 % may be told apart: more than 24 happen once in 1e5."""
    told = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 2, 200)
        a, b = (np.where(rng.random(200) < 0.8, y, 1 - y) for _ in range(2))
        told += compare("accuracy", y, a, b).better is not None
    assert 0 < told <= int(stats.binom.ppf(1 - 1e-5, 200, 0.055))


def test_predict_asks_for_everything():
    X = np.arange(20.0)[:, None]
    p = predict(LogisticRegression().fit(X, X[:, 0] > 9), X)
    assert p.labels.shape == (20,) and p.probabilities.shape == (20, 2) and p.classes.tolist() == [False, True]
    assert predict(LinearRegression().fit(X, X[:, 0]), X).values == pytest.approx(X[:, 0])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: score("rmse", [1.0, 2.0], [[1.0], [2.0]]), "broadcast"),
        (lambda: score("rmse", [1.0, 2.0], [1.0]), "2 predictions"),
        (lambda: score("rmse", [1.0, np.nan], [1.0, 2.0]), "finite"),
        (lambda: score("accuracy", [], []), "n >= 1"),
        (lambda: score("accuracy", [1, 0], [1, 0], [1.0, -1.0]), "none negative"),
        (lambda: score("log_loss", [0, 1], [[0.2, 0.2], [0.5, 0.5]]), "sum to 1"),
        (lambda: score("log_loss", [0, 1, 2], [[0.5, 0.5]] * 3), "3 classes"),
        (lambda: score("log_loss", [0, 1], Prediction(labels=np.array([0, 1]))), "probabilities"),
        (lambda: score("roc_auc", [1, 1], [[0.5, 0.5]] * 2), "column"),
    ],
)
def test_bad_input_is_one_sentence(call, words):
    with pytest.raises(InputError) as caught:
        call()
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_metric_suggests_the_nearest():
    with pytest.raises(SettingError, match="did you mean 'log_loss'"):
        metric_named("logloss")
    assert default_metric("classification").name == "accuracy" and default_metric("regression").name == "r2"
