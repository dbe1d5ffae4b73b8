"""Metrics that never come without an interval, and comparisons that keep the pairing.

A test score is measured on finitely many rows; the interval says how far off it may be. Two models are tested
on the same rows, so their difference is known better than either score, and `compare` uses that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import binomtest
from sklearn import metrics as sk

from gradus.core.errors import InputError, SettingError, nearest
from gradus.estimators.reliability import Reliability, reliability_curve, wilson
from gradus.practice.answers import Answers, Prediction, answers_of, predict
from gradus.practice.intervals import Z, bca, influence_of_auc, perfect_share, resampled_cells, sums_by_class
from gradus.practice.measures import Comparison, Measure, Metric, Score
from gradus.practice.written import character_error, edit_rate, edit_rows, exact, same_rows

__all__ = [
    "METRICS",
    "Comparison",
    "Measure",
    "Metric",
    "Prediction",
    "Reliability",
    "Score",
    "compare",
    "default_metric",
    "metric_named",
    "predict",
    "reliability_curve",
    "score",
    "wilson",
]

Floats = NDArray[np.float64]
TINY = np.finfo(np.float64).eps  # probability 0 costs 36 nats, as in scikit-learn


# ---- the metrics: values by scikit-learn, what the intervals need beside them ----


def _present(a: Answers) -> NDArray[np.int64]:
    return np.unique(a.truth)


def _accuracy(a: Answers) -> float:
    return float(sk.accuracy_score(a.truth, a.labels, sample_weight=a.weight))


def _balanced_accuracy(a: Answers) -> float:
    # recall over the classes that occur: balanced_accuracy_score without its warning
    kwargs: dict[str, Any] = {"average": "macro", "zero_division": 0.0, "labels": _present(a)}
    return float(sk.recall_score(a.truth, a.labels, sample_weight=a.weight, **kwargs))


def _f1(a: Answers) -> float:
    return float(sk.f1_score(a.truth, a.labels, average="macro", sample_weight=a.weight, zero_division=0.0))


def _log_loss(a: Answers) -> float:
    return float(sk.log_loss(a.truth, a.probabilities, labels=np.arange(a.n_classes), sample_weight=a.weight))


def _brier(a: Answers) -> float:
    return float(np.average(_brier_rows(a)[:, 0], weights=a.weight))


def _areas(a: Answers) -> tuple[float, Floats]:
    """Mean one-against-rest area, and each row's influence on it."""
    present = _present(a)
    if len(present) < 2:
        raise InputError(
            "rows of at least two classes", f"{len(present)} class", "split the data stratified by the target"
        )
    chosen = present[-1:] if a.n_classes == 2 else present
    pairs = [influence_of_auc(a.truth == k, _given(a)[:, k], a.weight) for k in chosen]
    return float(np.mean([area for area, _ in pairs])), np.mean([influence for _, influence in pairs], axis=0)


def _roc_auc(a: Answers) -> float:
    return _areas(a)[0]


def _average_precision(a: Answers) -> float:
    if a.n_classes != 2:
        raise InputError("two classes", f"{a.n_classes}", "score roc_auc or f1 instead")
    if not np.any(a.truth == 1):
        raise InputError("rows of both classes", "one class", "split the data stratified by the target")
    return float(sk.average_precision_score(a.truth == 1, _given(a)[:, 1], sample_weight=a.weight))


def _true_probability(a: Answers) -> Floats:
    return _given(a)[np.arange(len(a.truth)), a.truth]


def _given(a: Answers) -> Floats:
    if a.probabilities is None:
        raise InputError("probabilities", "none", "pass predict_proba(X)")
    return a.probabilities


def _log_loss_rows(a: Answers) -> Floats:
    return -np.log(np.clip(_true_probability(a), TINY, 1 - TINY))[:, None]


def _brier_rows(a: Answers) -> Floats:
    rows = np.sum(_given(a) ** 2, axis=1) - 2 * _true_probability(a) + 1
    return (rows / 2 if a.n_classes == 2 else rows)[:, None]


def _errors(a: Answers) -> Floats:
    return a.truth - (a.values if a.values is not None else np.nan)


def _r2_rows(a: Answers) -> Floats:
    # the truth is centred first: sums of squares far from zero cancel badly
    y = a.truth - a.truth.mean()
    return np.stack([_errors(a) ** 2, y, y * y], axis=1)


def _r2_combine(s: Floats) -> Any:
    spread = s[..., 3] - s[..., 2] ** 2 / s[..., 0]
    return 1 - s[..., 1] / np.where(spread > 0, spread, np.nan)


def _mean(s: Floats) -> Any:
    return s[..., 1] / s[..., 0]


def _root_mean(s: Floats) -> Any:
    return np.sqrt(s[..., 1] / s[..., 0])


def _mean_recall(hits: Floats, truths: Floats, labels: Floats) -> Any:
    return _over(hits, truths)


def _mean_f1(hits: Floats, truths: Floats, labels: Floats) -> Any:
    return _over(2 * hits, truths + labels)


def _over(above: Floats, below: Floats) -> Any:
    some = below > 0
    return np.sum(np.where(some, above / np.where(some, below, 1), 0.0), axis=-1) / some.sum(-1)


def _sklearn_values(function: Callable[..., float]) -> Callable[[Answers], float]:
    def value(a: Answers) -> float:
        return float(function(a.truth, a.values, sample_weight=a.weight))

    return value


def _r2(a: Answers) -> float:
    if len(a.truth) < 2:
        raise InputError("two rows or more for R squared", "one", "score rmse or mae instead")
    return float(sk.r2_score(a.truth, a.values, sample_weight=a.weight))


METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric(
            "accuracy",
            True,
            "",
            "share of rows given the right class",
            "labels",
            _accuracy,
            "accuracy",
            rows=lambda a: (a.truth == a.labels).astype(np.float64)[:, None],
            combine=_mean,
        ),
        Metric(
            "balanced_accuracy",
            True,
            "",
            "share of right answers, every class counting the same",
            "labels",
            _balanced_accuracy,
            "counts",
            combine=_mean_recall,
        ),
        Metric(
            "f1",
            True,
            "",
            "harmonic mean of precision and recall, mean over the classes",
            "labels",
            _f1,
            "counts",
            combine=_mean_f1,
        ),
        Metric(
            "log_loss",
            False,
            "nats",
            "surprise at the true class, the mean of -log of its probability",
            "probabilities",
            _log_loss,
            "sums",
            rows=_log_loss_rows,
            combine=_mean,
        ),
        Metric(
            "brier",
            False,
            "",
            "squared distance between the probabilities and what happened",
            "probabilities",
            _brier,
            "sums",
            rows=_brier_rows,
            combine=_mean,
        ),
        Metric(
            "roc_auc",
            True,
            "",
            "how often a row of a class is ranked above one that is not",
            "probabilities",
            _roc_auc,
            "ranks",
        ),
        Metric(
            "average_precision",
            True,
            "",
            "mean precision along the recall of the second class",
            "probabilities",
            _average_precision,
            "curve",
        ),
        Metric(
            "r2",
            True,
            "",
            "share of the target's variance explained",
            "values",
            _r2,
            "sums",
            rows=_r2_rows,
            combine=_r2_combine,
        ),
        Metric(
            "rmse",
            False,
            "target",
            "root of the mean squared error",
            "values",
            _sklearn_values(sk.root_mean_squared_error),
            "sums",
            rows=lambda a: _errors(a)[:, None] ** 2,
            combine=_root_mean,
        ),
        Metric(
            "mae",
            False,
            "target",
            "mean distance from the true value",
            "values",
            _sklearn_values(sk.mean_absolute_error),
            "sums",
            rows=lambda a: np.abs(_errors(a))[:, None],
            combine=_mean,
        ),
        Metric(
            "character_error",
            False,
            "",
            "characters to put in, take out or exchange until the answers are right, over those of the truth",
            "texts",
            character_error,
            "sums",
            rows=edit_rows,
            combine=edit_rate,
        ),
        Metric(
            "exact",
            True,
            "",
            "share of answers that are right from the first character to the last",
            "texts",
            exact,
            "sums",
            rows=same_rows,
            combine=_mean,
        ),
    )
}
"""Every metric by name."""


def metric_named(name: str | Metric) -> Metric:
    """Return the metric of that name.

    Raises
    ------
    SettingError
        If there is none; the nearest name is suggested.

    Examples
    --------
    >>> metric_named("log_loss").unit
    'nats'
    """
    if isinstance(name, Metric):
        return name
    if name not in METRICS:
        mend = f"{nearest(name, METRICS)}choose one of {', '.join(METRICS)}"
        raise SettingError("the name of a metric", repr(name), mend)
    return METRICS[name]


def default_metric(task: Literal["classification", "regression"]) -> Metric:
    """Return the metric a task is scored by when none is asked for: accuracy, or R squared."""
    return METRICS["accuracy" if task == "classification" else "r2"]


# ---- scores and comparisons ----


def score(
    metric: str | Metric,
    y_true: ArrayLike,
    prediction: Prediction | ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> Score:
    """Score predictions and say within what interval the true performance lies.

    Parameters
    ----------
    metric : str or Metric
        A name in `METRICS`.
    y_true : array_like, shape (rows,)
        True classes or values.
    prediction : Prediction or array_like
        An array is taken for what the metric needs: labels, probabilities (columns in the sorted order of the
        classes in ``y_true``; one column is the second class's), or values.
    sample_weight : array_like, shape (rows,), optional
        What a row counts.

    Returns
    -------
    Score
        The value and its 95 % interval. Accuracy: Wilson's; sums over rows: BCa bootstrap; class counts:
        percentile bootstrap; ROC area: DeLong's on the logit scale. At a perfect score, where no resample
        differs, the lower end is the exact binomial limit.

    Raises
    ------
    InputError
        If the prediction does not fit the truth, or lacks what the metric needs.
    SettingError
        If there is no such metric.

    Examples
    --------
    >>> print(score("accuracy", ["a", "b", "b", "a"], ["a", "b", "a", "a"]))
    0.75 (0.3006 to 0.9544)
    """
    metric = metric_named(metric)
    a = answers_of(metric.needs, y_true, prediction, sample_weight)
    value = metric.function(a)
    low, high, how = _INTERVALS[metric.statistic](metric, a, value)
    # the resampled ends of a skewed statistic may pass the point by a rounding error, never by more
    return Score(value, float(min(low, value)), float(max(high, value)), len(a.truth), how)


def _interval_of_accuracy(metric: Metric, a: Answers, value: float) -> tuple[float, float, str]:
    if a.weight is not None:
        return _interval_of_sums(metric, a, value)
    hits = int(np.sum(a.truth == a.labels))
    low, high = wilson(hits, len(a.truth))
    return float(low), float(high), "Wilson score interval"


def _columns(metric: Metric, a: Answers) -> Floats:
    if metric.rows is None:
        raise SettingError("a metric that is a sum over rows", metric.name, "define its rows")
    rows = np.concatenate([np.ones((len(a.truth), 1)), metric.rows(a)], axis=1)
    return rows if a.weight is None else rows * a.weight[:, None]


def _interval_of_sums(metric: Metric, a: Answers, value: float) -> tuple[float, float, str]:
    combine = metric.combine or _mean
    low, high, how = bca(_columns(metric, a), combine)
    if not (np.isfinite(low) and np.isfinite(high)):
        return -np.inf, np.inf, "too few rows for an interval"
    return low, high, how


def _interval_of_counts(metric: Metric, a: Answers, value: float) -> tuple[float, float, str]:
    if value == 1.0:
        return _perfect_counts(metric, a), 1.0, "exact binomial limit at a perfect score"
    drawn = _drawn_counts(metric, a.n_classes, a.weight, a.truth, _labels(a))
    low, high = np.quantile(drawn[0], [0.025, 0.975])
    return float(low), float(high), f"percentile bootstrap, {len(drawn[0])} resamples"


def _labels(a: Answers) -> NDArray[np.int64]:
    if a.labels is None:
        raise InputError("labels", "none", "pass predict(X)")
    return a.labels


def _drawn_counts(
    metric: Metric, k: int, weight: Floats | None, truth: NDArray[np.int64], *labels: NDArray[np.int64]
) -> list[Floats]:
    """Resampled values of a counts metric for each array of labels, rows drawn once for all."""
    combine = metric.combine or _mean_recall
    codes, drawn = resampled_cells(np.ravel_multi_index((truth, *labels), (k,) * (1 + len(labels))), weight)
    parts = np.unravel_index(codes, (k,) * (1 + len(labels)))
    t = parts[0].astype(np.int64)
    truths = sums_by_class(drawn, t, k)
    values = []
    for part in parts[1:]:
        hits = sums_by_class(drawn, np.where(part == t, t, -1), k)
        values.append(combine(hits, truths, sums_by_class(drawn, part.astype(np.int64), k)))
    return values


def _perfect_counts(metric: Metric, a: Answers) -> float:
    """Lowest value had as many errors hidden in the two rarest classes as no error seen allows."""
    combine = metric.combine or _mean_recall
    truths = np.bincount(a.truth, minlength=a.n_classes).astype(np.float64)
    rare = [k for k in np.argsort(truths, kind="stable") if truths[k] > 0][:2]
    if len(rare) == 1:
        return perfect_share(int(truths[rare[0]]))
    lowest = 1.0
    for k, j in (rare, rare[::-1]):
        missed = truths[k] * (1 - perfect_share(int(truths[k])))
        hits, labels = truths.copy(), truths.copy()
        hits[k] -= missed
        labels[k] -= missed
        labels[j] += missed
        lowest = min(lowest, float(combine(hits, truths, labels)))
    return lowest


def _interval_of_ranks(metric: Metric, a: Answers, value: float) -> tuple[float, float, str]:
    _, influence = _areas(a)
    error = float(np.sqrt(np.sum(influence**2)))
    if error == 0 and 0 < value < 1:
        return value, value, "the scores do not depend on the row"
    if not 0 < value < 1:
        fewest = int(np.bincount(a.truth)[_present(a)].min())
        limit = perfect_share(min(fewest, len(a.truth) - fewest))
        ends = (min(limit, value), 1.0) if value > 0.5 else (0.0, max(value, 1 - limit))
        return *ends, "exact binomial limit at a perfect score"
    half = Z * error / (value * (1 - value))
    return float(expit(logit(value) - half)), float(expit(logit(value) + half)), "DeLong, logit scale"


def _interval_of_curve(metric: Metric, a: Answers, value: float) -> tuple[float, float, str]:
    if value == 1.0:
        low = perfect_share(int(np.sum(a.truth == 1)))
        return low, 1.0, "exact binomial limit at a perfect score"
    drawn = _drawn_precision(a.truth, a.weight, _given(a)[:, 1])[0]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high), f"percentile bootstrap, {len(drawn)} resamples"


def _drawn_precision(truth: NDArray[np.int64], weight: Floats | None, *scores: Floats) -> list[Floats]:
    """Resampled average precision for each score, thinned to 500 thresholds where there are more."""
    bins = [np.searchsorted(np.unique(np.quantile(s, np.linspace(0, 1, 501)))[1:-1], s) for s in scores]
    sizes = (2, *(int(b.max()) + 1 for b in bins))
    codes, drawn = resampled_cells(np.ravel_multi_index((truth, *bins), sizes), weight)
    parts = np.unravel_index(codes, sizes)
    values = []
    for size, part in zip(sizes[1:], parts[1:], strict=True):
        falling = (size - 1 - part).astype(np.int64)
        positive = np.cumsum(sums_by_class(drawn, np.where(parts[0] == 1, falling, -1), size), axis=1)
        called = np.cumsum(sums_by_class(drawn, falling, size), axis=1)
        gained = np.diff(positive, axis=1, prepend=0.0)
        precision = positive / np.maximum(called, TINY)
        values.append(np.sum(gained * precision, axis=1) / np.maximum(positive[:, -1], TINY))
    return values


_INTERVALS: dict[str, Callable[[Metric, Answers, float], tuple[float, float, str]]] = {
    "accuracy": _interval_of_accuracy,
    "sums": _interval_of_sums,
    "counts": _interval_of_counts,
    "ranks": _interval_of_ranks,
    "curve": _interval_of_curve,
}


def compare(
    metric: str | Metric,
    y_true: ArrayLike,
    first: Prediction | ArrayLike,
    second: Prediction | ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> Comparison:
    """Compare two models on the same rows: the difference ``first - second`` and its 95 % interval.

    Accuracy: Bonett and Price's interval of a paired difference and McNemar's exact test. Other metrics: the
    same methods as in `score`, with rows drawn once for both models.

    Parameters
    ----------
    metric : str or Metric
        A name in `METRICS`.
    y_true : array_like, shape (rows,)
        True classes or values.
    first, second : Prediction or array_like
        As in `score`.
    sample_weight : array_like, shape (rows,), optional
        What a row counts.

    Examples
    --------
    >>> y = [0, 1] * 50
    >>> compare("accuracy", y, y, [0] * 100).better
    'first'

    References
    ----------
    Bonett and Price 2012, Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on
    Paired Data; McNemar 1947.
    """
    metric = metric_named(metric)
    a, b = (answers_of(metric.needs, y_true, p, sample_weight) for p in (first, second))
    difference = metric.function(a) - metric.function(b)
    p_value: float | None = None
    if metric.statistic == "accuracy" and a.weight is None:
        low, high, p_value = _paired_accuracy(a.truth == a.labels, b.truth == b.labels)
        how = "Bonett-Price paired interval, McNemar's exact test"
    elif metric.statistic in ("accuracy", "sums"):
        ca, cb = _columns(metric, a), _columns(metric, b)
        k, combine = ca.shape[1], metric.combine or _mean
        low, high, how = bca(np.concatenate([ca, cb], axis=1), lambda s: combine(s[..., :k]) - combine(s[..., k:]))
        how = f"paired {how}"
    else:
        low, high, how = _paired_interval(metric, y_true, (first, second), a, b, difference)
    higher = "first" if metric.higher_is_better else "second"
    lower = "second" if metric.higher_is_better else "first"
    better: Any = higher if low > 0 else lower if high < 0 else None
    return Comparison(difference, float(low), float(high), len(a.truth), how, better, p_value)


def _paired_accuracy(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[float, float, float]:
    n, only_first, only_second = len(first), int(np.sum(first & ~second)), int(np.sum(second & ~first))
    p1, p2 = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    half = Z * np.sqrt((p1 + p2 - (p1 - p2) ** 2) / (n + 2))
    discordant = only_first + only_second
    p_value = float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
    return float(max(-1.0, p1 - p2 - half)), float(min(1.0, p1 - p2 + half)), p_value


def _paired_interval(
    metric: Metric, y_true: ArrayLike, pair: Sequence[Any], a: Answers, b: Answers, difference: float
) -> tuple[float, float, str]:
    if metric.statistic == "ranks":
        half = Z * float(np.sqrt(np.sum((_areas(a)[1] - _areas(b)[1]) ** 2)))
        return difference - half, difference + half, "paired DeLong"
    if metric.statistic == "counts":
        # codes of classes only predicted depend on the model: number them anew over both
        names = [np.asarray(x).tolist() for x in (y_true, *(_names(p) for p in pair))]
        code: dict[Any, int] = {}
        for name in (n for part in names for n in part):
            code.setdefault(name, len(code))
        truth, la, lb = (np.array([code[n] for n in part], dtype=np.int64) for part in names)
        one, two = _drawn_counts(metric, len(code), a.weight, truth, la, lb)
    else:
        one, two = _drawn_precision(a.truth, a.weight, _given(a)[:, 1], _given(b)[:, 1])
    low, high = np.quantile(one - two, [0.025, 0.975])
    return float(low), float(high), f"paired percentile bootstrap, {len(one)} resamples"


def _names(prediction: Any) -> Any:
    if not isinstance(prediction, Prediction):
        return prediction
    if prediction.labels is None and prediction.probabilities is not None and prediction.classes is not None:
        return prediction.classes[np.argmax(prediction.probabilities, axis=1)]
    return prediction.labels
