"""What is measured, what was found, and how far off it may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradus.practice.answers import Answers, Needs
from gradus.practice.wording import show_value

__all__ = ["Comparison", "Measure", "Metric", "Score"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """What is measured: as much of a metric as a ladder and a report need.

    Attributes
    ----------
    name : str
        As in settings and reports.
    higher_is_better : bool
        Direction.
    unit : str
        ``""`` for a share or a ratio, ``"nats"``, ``"bits"``, or ``"target"`` for the target's own unit.
    meaning : str
        One line for someone who never heard of it.
    """

    name: str
    higher_is_better: bool
    unit: str
    meaning: str

    def show(self, value: float) -> str:
        """Write a value for people: shares with three decimals, the rest with four digits, thousands apart.

        Examples
        --------
        >>> Measure("accuracy", True, "", "").show(0.96111), Measure("rmse", False, "target", "").show(24863.4)
        ('0.961', '24,863')
        """
        return show_value(value, self.unit)


@dataclass(frozen=True)
class Metric(Measure):
    """One way to score predictions of rows.

    Attributes
    ----------
    name, higher_is_better, unit, meaning
        As of every `Measure`.
    needs : {"labels", "probabilities", "values", "texts"}
        What it reads of a `Prediction`.
    function : callable
        Maps `Answers` to a number.
    statistic : {"accuracy", "sums", "counts", "ranks", "curve"}
        What kind of statistic it is; decides how its interval is found.
    rows : callable, optional
        For ``"sums"``: what each row adds, shape (rows, k).
    combine : callable, optional
        For ``"sums"``: maps (total weight, sums...) to the value; for ``"counts"``: (hits, truths, labels) a
        class.
    """

    needs: Needs
    function: Callable[[Answers], float]
    statistic: Literal["accuracy", "sums", "counts", "ranks", "curve"]
    rows: Callable[[Answers], Floats] | None = None
    combine: Callable[..., Any] | None = None


class Score(NamedTuple):
    """A metric's value with its 95 % interval, the number of rows, and the interval's method."""

    value: float
    low: float
    high: float
    n: int
    how: str

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


class Comparison(NamedTuple):
    """A difference ``first - second`` on the same rows, with its 95 % interval.

    ``better`` is "first" or "second" where the interval leaves zero out, in the metric's direction; else
    None. ``p_value`` is McNemar's exact one, for accuracy only.
    """

    difference: float
    low: float
    high: float
    n: int
    how: str
    better: Literal["first", "second"] | None
    p_value: float | None = None
