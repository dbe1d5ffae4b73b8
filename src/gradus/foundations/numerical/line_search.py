"""Line searches: how far to go along a direction (§4.3, §8.6)."""

from __future__ import annotations

from math import isfinite
from typing import NamedTuple

import torch

from gradus.core.errors import InputError, SettingError
from gradus.foundations.numerical.points import Function, Point, Vector, evaluate

__all__ = ["LineSearch", "armijo", "wolfe"]

# Values this many times the precision apart cannot be told from equal ones: they are sums with rounding of their own.
ROUNDING = 100


class LineSearch(NamedTuple):
    """What a line search found.

    Attributes
    ----------
    size : float
        Length along the direction; 0 if no lower point was found.
    point : Point
        Where that leads, with value and gradient there.
    evaluations : int
        Values with gradients computed.
    met : bool
        Whether the conditions hold there.
    """

    size: float
    point: Point
    evaluations: int
    met: bool


class _Trial(NamedTuple):
    """One length: the value and the slope there."""

    size: float
    value: float
    slope: float
    point: Point


class _Line:
    """A function along a direction, and the conditions on a length."""

    def __init__(self, function: Function, start: Point, direction: Vector, decrease: float) -> None:
        self.function, self.direction, self.decrease, self.evaluations = function, direction, decrease, 0
        self.start = _Trial(0.0, start.value, float(start.gradient.dot(direction)), start)
        self.slack = ROUNDING * torch.finfo(direction.dtype).eps * abs(start.value)
        if not self.start.slope < 0 or not isfinite(self.start.slope):
            received = f"a slope of {self.start.slope:g}"
            mend = "pass minus the gradient, or its product with a positive definite matrix"
            raise InputError("a direction of descent, along which the slope is negative", received, mend)

    def at(self, size: float) -> _Trial:
        """Return value and slope at a length."""
        self.evaluations += 1
        point = evaluate(self.function, self.start.point.vector + size * self.direction)
        return _Trial(size, point.value, float(point.gradient.dot(self.direction)), point)

    def falls(self, trial: _Trial) -> bool:
        """Whether the value is low enough.

        By Armijo's condition; or, where rounding hides the difference of values, by the slopes (Hager & Zhang 2005):
        a parabola meets the condition where its slope is at most ``(2 decrease - 1)`` times the first.
        """
        if not isfinite(trial.value) or not isfinite(trial.slope):
            return False
        if trial.value <= self.start.value + self.decrease * trial.size * self.start.slope:
            return True
        level = abs(trial.value - self.start.value) <= self.slack
        return level and trial.slope <= (2 * self.decrease - 1) * self.start.slope

    def end(self, trial: _Trial, met: bool) -> LineSearch:
        """Return the result; of a length that is not low enough, the start."""
        if trial.size == 0 or not self.falls(trial):
            return LineSearch(0.0, self.start.point, self.evaluations, False)
        return LineSearch(trial.size, trial.point, self.evaluations, met)


def armijo(
    function: Function,
    start: Point,
    direction: Vector,
    *,
    first: float = 1.0,
    decrease: float = 1e-4,
    max_evaluations: int = 30,
) -> LineSearch:
    """Return the first of falling lengths at which the function is low enough.

    ``f(x + a d) <= f(x) + c a ∇f(x)ᵀ d``. Each length is the lowest point of the parabola through what is known, kept
    between a tenth and a half of the one before.

    Parameters
    ----------
    function : callable
        ``vector -> one number``, differentiable by torch; where it is not finite, the length is too long.
    start : Point
        Where, of :func:`evaluate`.
    direction : Tensor of shape (n,)
        ``d``, downhill.
    first : float
        Length tried first, above 0, in units of ``d``.
    decrease : float
        ``c``, inside (0, 1/2).
    max_evaluations : int
        Lengths tried at most, 1 or more.

    Returns
    -------
    LineSearch

    Raises
    ------
    InputError
        If the direction does not lead downhill.
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> from gradus.foundations.numerical import evaluate
    >>> f = lambda x: x.square().sum()
    >>> start = evaluate(f, torch.tensor([1.0]))
    >>> armijo(f, start, torch.tensor([-8.0])).size  # 1 leads to 49, the parabola's lowest point is at 1/8
    0.125

    References
    ----------
    Goodfellow et al. 2016, §4.3 (line search); Nocedal & Wright 2006, algorithm 3.1 and §3.5.
    """
    _check(first, decrease, 1.0, max_evaluations)
    line = _Line(function, start, direction, decrease)
    trial = line.at(first)
    while not line.falls(trial) and line.evaluations < max_evaluations:
        bend = trial.value - line.start.value - trial.size * line.start.slope
        lowest = -line.start.slope * trial.size**2 / (2 * bend) if isfinite(bend) and bend > 0 else 0.5 * trial.size
        trial = line.at(min(max(lowest, 0.1 * trial.size), 0.5 * trial.size))
    return line.end(trial, met=True)


def wolfe(
    function: Function,
    start: Point,
    direction: Vector,
    *,
    first: float = 1.0,
    decrease: float = 1e-4,
    curvature: float = 0.9,
    max_evaluations: int = 30,
) -> LineSearch:
    """Return a length at which the function is low enough and flat enough: the strong Wolfe conditions.

    ``f(x + a d) <= f(x) + c₁ a ∇f(x)ᵀ d`` and ``|∇f(x + a d)ᵀ d| <= c₂ |∇f(x)ᵀ d|``. Lengths grow until a good one lies
    between two of them, then the interval is cut at the lowest point of the cubic that has the values and slopes of
    its ends.

    Parameters
    ----------
    function, start, direction, first
        As in :func:`armijo`.
    decrease : float
        ``c₁``, inside (0, 1/2).
    curvature : float
        ``c₂``, between ``c₁`` and 1: 0.9 for methods of Newton's kind, 0.1 for conjugate gradients.
    max_evaluations : int
        Lengths tried at most, 1 or more.

    Returns
    -------
    LineSearch
        ``met`` is False where the search ended before both conditions held; the point then is the lowest known.

    Raises
    ------
    InputError
        If the direction does not lead downhill.
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> from gradus.foundations.numerical import evaluate
    >>> f = lambda x: x.square().sum()
    >>> found = wolfe(f, evaluate(f, torch.tensor([1.0])), torch.tensor([-0.01]), curvature=0.1)
    >>> found.met, 90 < found.size < 110  # the lowest point is at 100
    (True, True)

    References
    ----------
    Goodfellow et al. 2016, §4.3, §8.6.3; Nocedal & Wright 2006, algorithms 3.5 and 3.6, eq. 3.59; Moré & Thuente 1994,
    Line search algorithms with guaranteed sufficient decrease (how far to go beyond).
    """
    _check(first, decrease, curvature, max_evaluations)
    line = _Line(function, start, direction, decrease)
    flat = -curvature * line.start.slope
    before, trial = line.start, line.at(first)
    while True:
        if not line.falls(trial) or (before.size > 0 and trial.value > before.value + line.slack):
            return _zoom(line, before, trial, flat, max_evaluations)
        if abs(trial.slope) <= flat:
            return line.end(trial, met=True)
        if trial.slope >= 0:
            return _zoom(line, trial, before, flat, max_evaluations)
        if line.evaluations >= max_evaluations:
            return line.end(trial, met=False)
        step = trial.size - before.size
        size = _cubic(before, trial)
        longest = trial.size + 4 * step
        ahead = longest if size is None or size < trial.size else min(max(size, trial.size + 1.1 * step), longest)
        before, trial = trial, line.at(ahead)


def _zoom(line: _Line, low: _Trial, high: _Trial, flat: float, most: int) -> LineSearch:
    """Shrink an interval that holds a good length; ``low`` is its end with the lower value, ``high`` the other."""
    widths = [abs(high.size - low.size)]
    precision = torch.finfo(line.direction.dtype).eps
    while line.evaluations < most and widths[-1] > precision * max(low.size, high.size):
        a, b = sorted((low.size, high.size))
        size = _cubic(low, high)
        slow = len(widths) > 2 and widths[-1] > 0.66 * widths[-3]  # two cuts took less than a third away
        if size is None or slow:
            size = 0.5 * (a + b)
        margin = 0.1 * (b - a) if not isfinite(high.value) else 0.01 * (b - a)
        trial = line.at(min(max(size, a + margin), b - margin))
        if not line.falls(trial) or trial.value > low.value + line.slack:
            high = trial
        else:
            if abs(trial.slope) <= flat:
                return line.end(trial, met=True)
            if trial.slope * (high.size - low.size) >= 0:
                high = low
            low = trial
        widths.append(abs(high.size - low.size))
    return line.end(low, met=False)


def _cubic(one: _Trial, other: _Trial) -> float | None:
    """Return where the cubic with the values and slopes of two lengths is lowest, if it is anywhere."""
    if not all(map(isfinite, (one.value, one.slope, other.value, other.slope))):
        return None
    width = other.size - one.size
    bend = one.slope + other.slope - 3 * (other.value - one.value) / width
    square = bend**2 - one.slope * other.slope
    if not square >= 0:
        return None
    root = square**0.5 if width > 0 else -(square**0.5)
    below = other.slope - one.slope + 2 * root
    size = other.size - width * (other.slope + root - bend) / below if below else float("nan")
    return size if isfinite(size) else None


def _check(first: float, decrease: float, curvature: float, most: int) -> None:
    if not 0 < first < float("inf"):
        raise SettingError("a first length above 0", f"first={first}", "set for example first=1.0")
    if not 0 < decrease < 0.5 or not decrease < curvature <= 1:
        received = f"decrease={decrease}, curvature={curvature}"
        raise SettingError("decrease inside (0, 1/2) and curvature between it and 1", received, "leave them out")
    if most < 1:
        raise SettingError("1 evaluation or more", f"max_evaluations={most}", "raise it")
