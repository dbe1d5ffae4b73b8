"""How the error falls with the number of training rows, and what more of them would bring.

The error is measured on nested subsets of growing size, repeated over splits; a power law is fitted to its means and
read off beyond the rows there are. Its interval is drawn from what could have been otherwise: other splits, a law with
or without a floor, small sizes that are not yet on the law.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone, is_classifier
from sklearn.model_selection import train_test_split

from gradus.core.errors import InputError
from gradus.estimators.exhibit import Exhibit, axis, floats

__all__ = ["LearningCurve", "PowerLaw", "fit_power_law", "learning_curve"]

Floats = NDArray[np.float64]

SLOPES = np.concatenate([np.linspace(0.02, 1.0, 50), np.linspace(1.05, 2.0, 20)])
DRAWS = 400
BARE = 0.35  # share of draws without a floor where the means do not speak against it
MIN_SIZES = 4
SMALLEST = 10  # rows below it, no curve begins


@dataclass(frozen=True)
class PowerLaw:
    """error(n) = floor + scale · n^(-slope), many times over: one for each draw.

    Attributes
    ----------
    floor, scale, slope : ndarray, shape (draws,)
        The first draw is the fit to all the means; the others are the bootstrap's.
    noise : ndarray, shape (draws,)
        Standard errors of a mean, in units of the error: what a measured mean lies off the law.
    """

    floor: Floats
    scale: Floats
    slope: Floats
    noise: Floats

    def at(self, rows: float) -> Floats:
        """Return the law at a number of rows, one value a draw.

        Examples
        --------
        >>> one = np.ones(1)
        >>> float(PowerLaw(0.1 * one, 2 * one, 0.5 * one, 0 * one).at(100)[0])
        0.30000000000000004
        """
        return self.floor + self.scale * float(rows) ** -self.slope

    def interval(self, rows: float, level: float = 0.9) -> tuple[float, float]:
        """Return the interval in which the mean error at a number of rows is expected."""
        ends = (1 - level) / 2
        # symmetric quantiles of the noise keep the interval the same from call to call
        middle = self.at(rows)[1:]
        spread = self.noise[1:] * _normal(len(middle))
        low, high = np.quantile(middle + spread, [ends, 1 - ends])
        return max(0.0, float(low)), max(0.0, float(high))


def fit_power_law(sizes: ArrayLike, errors: ArrayLike, *, random_state: int = 0, draws: int = DRAWS) -> PowerLaw:
    """Fit floor + scale · n^(-slope) to repeated measurements of an error, with its uncertainty.

    For each slope of a grid, floor and scale are least squares with both at least zero; the slope is the best of the
    grid. Each draw of the bootstrap takes other repeats, and by chance leaves out the smallest sizes and holds the
    floor at zero: what cannot be known from the measurements widens the interval.

    Parameters
    ----------
    sizes : array_like, shape (k,)
        Numbers of rows, rising; at least 4.
    errors : array_like, shape (repeats, k)
        At least 2 repeats.
    random_state : int
        Of the bootstrap.
    draws : int
        How many.

    Returns
    -------
    PowerLaw

    Raises
    ------
    InputError
        If there are too few sizes or repeats, or errors that are not finite.

    Examples
    --------
    >>> sizes = np.array([50, 100, 200, 400, 800])
    >>> law = fit_power_law(sizes, [0.05 + 2.0 / sizes**0.5] * 2)
    >>> round(float(law.at(3200)[0]), 3)
    0.085

    References
    ----------
    Goodfellow et al. 2016, §11.3; Hestness et al. 2017, Deep Learning Scaling is Predictable, Empirically.
    """
    n, e = np.asarray(sizes, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    if n.ndim != 1 or e.ndim != 2 or e.shape[1] != len(n) or len(n) < MIN_SIZES or len(e) < 2:
        received = f"sizes of shape {n.shape} and errors of shape {e.shape}"
        raise InputError(f"at least {MIN_SIZES} sizes, and errors of shape (repeats, sizes)", received, "measure more")
    if not np.isfinite(e).all() or (np.diff(n) <= 0).any() or n[0] <= 0:
        raise InputError("rising sizes and finite errors", "others", "leave out what failed")
    rng = np.random.default_rng(random_state)
    repeats, k = e.shape
    taken = rng.integers(0, repeats, (draws, repeats))
    means = np.concatenate([e.mean(0)[None], e[taken].mean(1)])
    # a mean of few repeats tells its own spread badly: shared over sizes, in proportion to the error
    spread = e.std(0, ddof=1) / math.sqrt(repeats)
    level = np.maximum(e.mean(0), 1e-12)
    ratio = math.sqrt(float(np.mean((spread / level) ** 2)))
    sigma = np.maximum(np.sqrt(0.5 * spread**2 + 0.5 * (ratio * level) ** 2), 1e-9)
    keep = np.ones_like(means)
    most = min(2, k - MIN_SIZES)
    left = rng.integers(0, most + 1, draws)
    keep[1:] = np.arange(k)[None] >= left[:, None]
    floor, scale, slope = _fitted(n, means, keep / sigma**2)
    bare, bare_scale, bare_slope = _fitted(n, means, keep / sigma**2, floored=False)
    # a law without floor is drawn as often as the means allow it
    worse = _misfit(n, means[:1], sigma, bare, bare_scale, bare_slope) - _misfit(
        n, means[:1], sigma, floor, scale, slope
    )
    chance = BARE * min(1.0, math.exp(-0.5 * (worse - 1)))
    without = np.concatenate([[False], rng.random(draws) < chance])
    floor, scale = np.where(without, bare, floor), np.where(without, bare_scale, scale)
    slope = np.where(without, bare_slope, slope)
    return PowerLaw(floor, scale, slope, np.full(draws + 1, float(sigma[-1])))


def _fitted(n: Floats, means: Floats, weights: Floats, *, floored: bool = True) -> tuple[Floats, Floats, Floats]:
    """Weighted least squares with floor and scale at least zero, for each row of means, over the grid of slopes."""
    u = n[None, :] ** -SLOPES[:, None]
    W, Wy = weights, weights * means
    s0, sy = W.sum(1)[:, None], Wy.sum(1)[:, None]
    su, suu, suy = W @ u.T, W @ (u * u).T, Wy @ u.T
    alone = suy / suu  # no floor
    if floored:
        gram = np.maximum(s0 * suu - su**2, 1e-300)
        scale = (s0 * suy - su * sy) / gram
        floor = (sy - scale * su) / s0
        flat = scale < 0
        floor = np.where(flat, sy / s0, floor)
        scale = np.where(flat, 0.0, scale)
        below = floor < 0
        floor, scale = np.where(below, 0.0, floor), np.where(below, alone, scale)
    else:
        floor, scale = np.zeros_like(alone), alone
    # sum of squares, up to what does not depend on the fit
    loss = floor**2 * s0 + scale**2 * suu + 2 * floor * scale * su - 2 * floor * sy - 2 * scale * suy
    best = loss.argmin(1)
    rows = np.arange(len(means))
    return floor[rows, best], scale[rows, best], SLOPES[best]


def _misfit(n: Floats, means: Floats, sigma: Floats, floor: Floats, scale: Floats, slope: Floats) -> float:
    """Return chi squared of the first fit."""
    return float((((means[0] - floor[0] - scale[0] * n ** -slope[0]) / sigma) ** 2).sum())


def _normal(count: int) -> Floats:
    """Return standard normal quantiles in a fixed, shuffled order."""
    from scipy.special import ndtri

    return np.random.default_rng(1).permutation(ndtri((np.arange(count) + 0.5) / count))


@dataclass
class LearningCurve:
    """Errors by number of training rows, and the law through them.

    Attributes
    ----------
    sizes : ndarray, shape (k,)
        Numbers of training rows.
    errors, training_errors : ndarray, shape (repeats, k)
        On rows that were held out, and on the rows learned from: one less the score.
    law : PowerLaw
        Fitted to ``errors``.
    kind : str
        ``error`` of a classifier, ``unexplained variance`` of a regressor.
    """

    sizes: NDArray[np.int64]
    errors: Floats
    training_errors: Floats
    law: PowerLaw = field(repr=False)
    kind: str = "error"

    @property
    def error(self) -> float:
        """Mean error with all the rows."""
        return float(self.errors[:, -1].mean())

    @property
    def training_error(self) -> float:
        """Mean error on the rows learned from, with all of them."""
        return float(self.training_errors[:, -1].mean())

    def expected(self, rows: float, level: float = 0.9) -> tuple[float, float]:
        """Return the interval in which the error with so many training rows is expected."""
        return self.law.interval(rows, level)

    @property
    def gains(self) -> bool:
        """Whether more rows are worth more than tuning: most of the error is the gap that rows close."""
        low, high = self.expected(2 * int(self.sizes[-1]))
        gap = self.error - self.training_error
        return gap > 0.5 * self.error and (low + high) / 2 < 0.9 * self.error

    def sentence(self) -> str:
        """Say what twice the rows would bring."""
        low, high = self.expected(2 * int(self.sizes[-1]))
        words = f"twice the data ({2 * int(self.sizes[-1]):,} rows) would bring the {self.kind}"
        words += f" from {_percent(self.error)} to {_span(low, high)}"
        if self.gains:
            return f"{words}; more data pay"
        if self.error - self.training_error <= 0.5 * self.error:
            return f"{words}; tuning first pays more: on the rows it learned from it is {_percent(self.training_error)}"
        return f"{words}; more data bring little"

    def exhibit(self) -> Exhibit:
        """Return the curve to look at: means with their spread, the law, and its interval up to four times the rows."""
        last = int(self.sizes[-1])
        grid = np.geomspace(self.sizes[0], 4 * last, 60)
        bounds = np.array([self.expected(g) for g in grid])
        ahead = grid >= last
        data: list[dict[str, Any]] = [
            {"type": "scatter", "x": [*floats(grid[ahead]), *floats(grid[ahead][::-1])], "fill": "toself",
             "y": [*floats(bounds[ahead, 1]), *floats(bounds[ahead, 0][::-1])], "mode": "lines", "opacity": 0.35,
             "line": {"width": 0}, "name": "expected, 90 % interval", "hoverinfo": "skip"},
            {"type": "scatter", "mode": "lines", "x": floats(grid), "name": "power law", "line": {"dash": "dot"},
             "y": floats(np.array([self.law.at(g)[0] for g in grid]))},
        ]  # fmt: skip
        for name, values in (("held-out rows", self.errors), ("rows learned from", self.training_errors)):
            data.append(
                {"type": "scatter", "mode": "lines+markers", "x": self.sizes.tolist(), "y": floats(values.mean(0)),
                 "error_y": {"type": "data", "array": floats(values.std(0, ddof=1))}, "name": name}
            )  # fmt: skip
        layout = {
            "height": 440, "xaxis": axis("training rows", type="log"),
            "yaxis": axis(self.kind, rangemode="tozero", tickformat=".0%"),
        }  # fmt: skip
        table = pd.DataFrame(
            {"training rows": self.sizes, "held-out rows": self.errors.mean(0), "spread": self.errors.std(0, ddof=1),
             "rows learned from": self.training_errors.mean(0)}
        )  # fmt: skip
        said = self.sentence()
        return Exhibit(
            "Learning curve", f"{said[0].upper()}{said[1:]}.", "learning", {"data": data, "layout": layout}, table
        )


def learning_curve(
    estimator: Any,
    X: ArrayLike | pd.DataFrame,
    y: ArrayLike,
    *,
    sizes: int | Sequence[int] = 8,
    repeats: int = 8,
    held_out: float = 0.25,
    random_state: int = 0,
) -> LearningCurve:
    """Measure the error against the number of training rows, and fit a power law to it.

    Parameters
    ----------
    estimator : object
        With ``fit`` and ``score``; a classifier's score is accuracy, a regressor's R squared. It is cloned.
    X : array_like or DataFrame, shape (rows, ...)
        Inputs.
    y : array_like, shape (rows,)
        Targets.
    sizes : int or sequence of int
        How many sizes, spread evenly by ratio from a sixteenth of the training rows to all; or the sizes.
    repeats : int
        How often rows are split and grown anew, at least 2.
    held_out : float
        Share of the rows that the error is measured on, in (0, 1).
    random_state : int
        Of the splits and of the bootstrap.

    Returns
    -------
    LearningCurve

    Raises
    ------
    InputError
        If there are too few rows, sizes or repeats, or the estimator cannot be scored.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> curve = learning_curve(GaussianNB(), *load_iris(return_X_y=True), repeats=4)
    >>> curve.errors.shape, curve.kind
    ((4, 8), 'error')

    References
    ----------
    Goodfellow et al. 2016, §11.3.
    """
    if not hasattr(estimator, "fit") or not hasattr(estimator, "score"):
        raise InputError("an estimator with fit and score", type(estimator).__name__, "pass a classifier or regressor")
    if repeats < 2 or not 0 < held_out < 1:
        received = f"repeats={repeats}, held_out={held_out}"
        raise InputError("repeats of at least 2 and a share held out in (0, 1)", received, "change them")
    y, classes = np.asarray(y), is_classifier(estimator)
    rows = np.arange(len(y))
    steps: NDArray[np.int64] | None = None
    errors, learned = [], []
    for repeat in range(repeats):
        train, test = train_test_split(
            rows, test_size=held_out, random_state=random_state + repeat, stratify=y if classes else None
        )
        train = _spread_classes(train, y) if classes else train
        steps = _steps(sizes, len(train)) if steps is None else steps
        pairs = [_measure(estimator, X, y, train[:k], test, random_state + repeat) for k in steps]
        errors.append([pair[0] for pair in pairs])
        learned.append([pair[1] for pair in pairs])
    found = np.asarray(errors)
    law = fit_power_law(steps if steps is not None else [], found, random_state=random_state)
    kind = "error" if classes else "unexplained variance"
    return LearningCurve(np.asarray(steps), found, np.asarray(learned), law, kind)


def _steps(sizes: int | Sequence[int], most: int) -> NDArray[np.int64]:
    """Return rising numbers of rows."""
    if isinstance(sizes, int | np.integer):
        if sizes < MIN_SIZES or most < 4 * SMALLEST:
            received = f"{sizes} sizes and {most} training rows"
            raise InputError(f"at least {MIN_SIZES} sizes and {4 * SMALLEST} training rows", received, "get more")
        found = np.geomspace(max(SMALLEST, most / 16), most, int(sizes)).round().astype(np.int64)
    else:
        found = np.array(sorted(set(sizes)), dtype=np.int64)
        if len(found) < MIN_SIZES or found[0] < 1 or found[-1] > most:
            mend = "name at least four"
            raise InputError(f"{MIN_SIZES} or more sizes from 1 to {most} training rows", f"{list(sizes)}", mend)
    return np.unique(found)


def _spread_classes(rows: NDArray[np.int64], y: NDArray[Any]) -> NDArray[np.int64]:
    """Order rows so that each beginning holds the classes in their shares: its k-th row of m comes at (k + 1/2) / m."""
    place = np.empty(len(rows))
    for label in np.unique(y[rows]):
        own = np.flatnonzero(y[rows] == label)
        place[own] = (np.arange(len(own)) + 0.5) / len(own)
    return rows[np.argsort(place, kind="stable")]


def _measure(
    estimator: Any, X: Any, y: NDArray[Any], train: NDArray[np.int64], test: NDArray[np.int64], seed: int
) -> tuple[float, float]:
    model = clone(estimator)
    if "random_state" in getattr(model, "get_params", dict)():
        model.set_params(random_state=seed)
    take = X.iloc if isinstance(X, pd.DataFrame | pd.Series) else np.asarray(X)
    model.fit(take[train], y[train])
    return 1 - float(model.score(take[test], y[test])), 1 - float(model.score(take[train], y[train]))


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _span(low: float, high: float) -> str:
    return f"{100 * low:.1f}-{100 * high:.1f} %"
