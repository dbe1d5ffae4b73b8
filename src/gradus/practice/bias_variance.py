"""Where a model's error comes from: what it cannot say, what it says by chance, and noise (§5.2, §5.4.4).

A model is fitted to many training sets, drawn from the rows there are. What its predictions of a row have in common is
off the truth by the bias; how they scatter is the variance. Both are measured in the units of the loss, row by row, and
add up with the noise to the mean error, to the last digit.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from gradus.core.errors import InputError, SettingError
from gradus.estimators.exhibit import Exhibit, axis, floats, plain

__all__ = ["BiasVariance", "bias_variance", "capacity_curve", "capacity_exhibit"]

Floats = NDArray[np.float64]
LossName = Literal["squared", "zero_one"]
PARTS = ("noise", "bias", "variance")


@dataclass(frozen=True)
class BiasVariance:
    """The parts of an error, as means over test rows: ``error = noise + bias + variance``.

    Attributes
    ----------
    loss : {"squared", "zero_one"}
        In squared units of the target, or in shares of wrong answers.
    error : float
        Mean loss over test rows and training sets.
    bias : float
        Of squared loss, the squared distance of the mean prediction from the target; of zero-one loss, the share of
        rows that the most frequent answer gets wrong.
    variance : float
        Of squared loss, the variance of predictions. Of zero-one loss, what their scatter adds to the error: the share
        of odd answers where the most frequent one is right, less the share of right ones where it is wrong.
    noise : float
        What no model can avoid. Zero where it was not said: then it is part of the bias.
    training_error : float
        Mean loss on the rows that each model was fitted to.
    rows : DataFrame
        ``error``, ``noise``, ``bias``, ``variance`` of each test row.
    predictions : ndarray of shape (sets, rows)
        What each model said.
    """

    loss: LossName
    error: float
    bias: float
    variance: float
    noise: float
    training_error: float
    rows: pd.DataFrame = field(repr=False)
    predictions: NDArray[Any] = field(repr=False)


def bias_variance(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    X_test: Any,
    y_test: ArrayLike,
    *,
    loss: Literal["auto", "squared", "zero_one"] = "auto",
    sets: int = 50,
    train_size: int | None = None,
    replace: bool = True,
    noise: ArrayLike | None = None,
    random_state: int = 0,
) -> BiasVariance:
    r"""Fit an estimator to many training sets and take its error apart.

    .. math:: E[(y - \hat f)^2] = \sigma^2 + (f - E \hat f)^2 + \operatorname{Var} \hat f

    for squared loss, with the variance corrected for the number of sets, and the squared bias for the variance that is
    left in a mean of so many; of a single row it may fall below zero, by chance. For zero-one loss, the decomposition
    of Domingos: there, scatter helps where the most frequent answer is wrong.

    Parameters
    ----------
    estimator : estimator
        scikit-learn's or Gradus's; cloned for each set. What it draws itself adds to the variance, unless its
        ``random_state`` is set.
    X, y : array-like
        Rows that training sets are drawn from, and their targets.
    X_test, y_test : array-like
        Rows to judge by, other ones; with ``noise``, y_test of squared loss is the expected target of each row.
    loss : {"auto", "squared", "zero_one"}
        By default that of the estimator's kind.
    sets : int
        Training sets, 2 or more.
    train_size : int, optional
        Rows in each; as many as there are by default, or half of them without replacement.
    replace : bool
        Draw rows with replacement (the bootstrap). Without, each set is a part of the rows.
    noise : float or array-like, optional
        Where it is known. Of squared loss: the variance of the target given the row, of shape () or (rows,). Of
        zero-one loss: the probability of each class given the row, of shape (rows, classes), classes in sorted order;
        y_test is then not asked.
    random_state : int
        Draws the sets: the same ones for each estimator, so that two can be compared.

    Returns
    -------
    BiasVariance

    Raises
    ------
    InputError
        If rows and targets differ in number, or the noise does not fit.
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> data = (X[:300], y[:300], X[300:], y[300:])
    >>> stump, tree = (
    ...     bias_variance(DecisionTreeRegressor(max_depth=d, random_state=0), *data) for d in (1, None)
    ... )
    >>> stump.bias > tree.bias, stump.variance < tree.variance
    (True, True)

    References
    ----------
    Goodfellow et al. 2016, §5.4.4, eq. 5.53-5.54 and figure 5.6; Domingos 2000, A Unified Bias-Variance Decomposition,
    §2 and theorem 3.
    """
    n = _num_samples(X)
    targets, truth = np.asarray(y), np.asarray(y_test)
    if targets.shape != (n,) or (noise is None and truth.shape != (_num_samples(X_test),)):
        received = f"{targets.shape} for {n} rows, {truth.shape} for {_num_samples(X_test)} test rows"
        raise InputError("one target for each row", received, "pass y of shape (n,)")
    kind = _kind(estimator, loss)
    size = train_size if train_size is not None else (n if replace else n // 2)
    if sets < 2 or size < 1 or (not replace and size >= n):
        expected = f"2 sets or more, of 1 to {n - 1} rows where they are drawn without replacement"
        raise SettingError(expected, f"sets={sets}, train_size={size}", "correct it, or set replace=True")
    drawing, answers, trained = np.random.default_rng(random_state), [], []
    for _ in range(sets):
        rows = drawing.choice(n, size, replace=replace)
        own, labels = _safe_indexing(X, rows), targets[rows]
        with warnings.catch_warnings():  # a fit that would go on falling is one of those to be judged
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = clone(estimator).fit(own, labels)
        answers.append(np.asarray(model.predict(X_test)))
        trained.append(_mean_loss(kind, np.asarray(model.predict(own)), labels))
    predictions = np.stack(answers)
    if predictions.ndim != 2:
        raise InputError("one prediction a row", f"shape {predictions.shape[1:]}", "pass an estimator of one target")
    parts = _squared(predictions, truth, noise) if kind == "squared" else _zero_one(predictions, truth, noise, targets)
    means = {name: float(parts[name].mean()) for name in ("error", *PARTS)}
    return BiasVariance(kind, **means, training_error=float(np.mean(trained)), rows=parts, predictions=predictions)


def _kind(estimator: Any, loss: str) -> LossName:
    if loss == "auto":
        return "zero_one" if is_classifier(estimator) else "squared"
    if loss not in ("squared", "zero_one"):
        raise SettingError("loss squared, zero_one or auto", repr(loss), "leave loss out")
    return cast(LossName, loss)


def _mean_loss(kind: LossName, predictions: NDArray[Any], targets: NDArray[Any]) -> float:
    if kind == "zero_one":
        return float((predictions != targets).mean())
    return float(np.square(predictions - targets.astype(np.float64)).mean())


def _squared(predictions: NDArray[Any], truth: NDArray[Any], noise: ArrayLike | None) -> pd.DataFrame:
    sets, n = predictions.shape
    spread = np.zeros(n) if noise is None else np.asarray(noise, dtype=np.float64)
    if spread.shape not in ((), (n,)) or (spread < 0).any() or truth.shape != (n,):
        expected = f"noise, a variance of 0 or more, of shape () or ({n},), and {n} targets"
        raise InputError(expected, f"noise of shape {spread.shape}", "leave noise out where it is not known")
    off = predictions - truth.astype(np.float64)
    variance = off.var(0, ddof=1)
    bias = np.square(off.mean(0)) - variance / sets
    parts = {"noise": np.broadcast_to(spread, n), "bias": bias, "variance": variance}
    return pd.DataFrame({"error": np.square(off).mean(0) + spread, **parts})


def _zero_one(
    predictions: NDArray[Any], truth: NDArray[Any], noise: ArrayLike | None, targets: NDArray[Any]
) -> pd.DataFrame:
    n = predictions.shape[1]
    seen = np.unique(targets)
    classes = seen if noise is not None else np.unique(np.concatenate([seen, truth]))
    if noise is None:
        chances = (truth[:, None] == classes).astype(np.float64)
    else:
        chances = np.asarray(noise, dtype=np.float64)
        bad = chances.shape != (n, len(classes)) or (chances < 0).any() or (abs(chances.sum(1) - 1) > 1e-6).any()
        if bad:
            expected = f"noise, the probabilities of {len(classes)} classes for each of {n} rows"
            raise InputError(expected, f"shape {chances.shape}", "leave noise out where it is not known")
    votes = np.stack([(predictions == c).mean(0) for c in classes], 1)  # how often each answer was given
    each = np.arange(n)
    best, main = chances.argmax(1), votes.argmax(1)
    error = 1 - (votes * chances).sum(1)
    missed = 1 - votes[each, best]  # by an answer other than the best possible
    bias = (main != best).astype(np.float64)
    return pd.DataFrame({"error": error, "noise": error - missed, "bias": bias, "variance": missed - bias})


def capacity_curve(
    estimator: Any,
    name: str,
    values: Sequence[Any],
    X: Any,
    y: ArrayLike,
    X_test: Any,
    y_test: ArrayLike,
    **options: Any,
) -> pd.DataFrame:
    """Take the error apart for each value of a setting: underfitting on one side, overfitting on the other.

    Parameters
    ----------
    estimator : estimator
        To be cloned.
    name : str
        A setting of it that moves its capacity; inside a pipeline, ``step__setting``.
    values : sequence
        Its values, the least capacity first.
    X, y, X_test, y_test
        As in `bias_variance`.
    **options
        Further ones of `bias_variance`; every value meets the same training sets.

    Returns
    -------
    DataFrame
        A row for each value: the setting, ``training_error``, ``error``, ``noise``, ``bias``, ``variance``.

    Raises
    ------
    SettingError
        If there is no such setting, or no value.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.neighbors import KNeighborsRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> curve = capacity_curve(
    ...     KNeighborsRegressor(), "n_neighbors", [200, 20, 1], X[:300], y[:300], X[300:], y[300:], sets=20
    ... )
    >>> int(curve.n_neighbors[curve.error.idxmin()]), bool(curve.training_error.is_monotonic_decreasing)
    (20, True)

    References
    ----------
    Goodfellow et al. 2016, §5.2, figure 5.3, and §5.4.4, figure 5.6.
    """
    if name not in estimator.get_params():
        mend = f"choose one of get_params(), such as {sorted(estimator.get_params())[0]}"
        raise SettingError(f"a setting of {type(estimator).__name__}", repr(name), mend)
    if len(values) == 0:
        raise SettingError(f"a value of {name} or more", "none", "pass for example (1, 2, 4, 8)")
    table = []
    for value in values:
        found = bias_variance(clone(estimator).set_params(**{name: value}), X, y, X_test, y_test, **options)
        parts = {part: getattr(found, part) for part in ("training_error", "error", *PARTS)}
        table.append({name: value, **parts})
    return pd.DataFrame(table)


def capacity_exhibit(curve: pd.DataFrame) -> Exhibit:
    """Draw the parts of the error by capacity, stacked up to the error, with the training error beside them.

    Parameters
    ----------
    curve : DataFrame
        What :func:`capacity_curve` returned.

    Examples
    --------
    >>> parts = {"noise": [0.0], "bias": [1.0], "variance": [0.5]}
    >>> curve = pd.DataFrame({"degree": [1], "training_error": [1.2], "error": [1.5], **parts})
    >>> [trace["name"] for trace in capacity_exhibit(curve).figure["data"]]
    ['bias', 'variance', 'error', 'training error']
    """
    name = str(curve.columns[0])
    values = [plain(value) for value in curve[name]]
    drawn = [part for part in PARTS if curve[part].abs().max() > 0]
    bars = [{"type": "bar", "x": values, "y": floats(curve[part]), "name": part} for part in drawn]
    lines = [
        {"type": "scatter", "mode": "lines+markers", "x": values, "y": floats(curve[column]), "name": label}
        for column, label in (("error", "error"), ("training_error", "training error"))
    ]
    layout = {
        "height": 400,
        "barmode": "relative",
        "xaxis": axis(plain(name), type="category"),
        "yaxis": axis("mean loss on test rows"),
    }
    caption = "Bars add up to the error on test rows. Where the bias makes most of it, the model is too simple "
    caption += "(underfitting); where the variance does, it follows its training rows by chance (overfitting), and the "
    caption += "training error lies far below."
    return Exhibit(
        "Bias and variance by capacity", caption, "errors", {"data": [*bars, *lines], "layout": layout}, curve
    )
