"""Columns whose values are rounded: noise of one step makes their density finite, and honest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["snapped", "spread_out", "steps_of"]

Rows = NDArray[np.float64]
DECIMALS = 6
CLOSE = 1e-9  # share of a column's largest value by which a rounded one may be off in binary


def steps_of(rows: Rows) -> Rows:
    """Return the step that each column is rounded to: 1, 0.1 and so on; 0 where it is not rounded.

    A column of whole numbers is rounded to 1. One of decimals is taken for rounded where it has half as many
    different values as rows, or fewer: a density of such columns could be made as large as one likes, by spikes on the
    values.

    Parameters
    ----------
    rows : ndarray of shape (n, columns)
        Numbers, with gaps (NaN).

    Returns
    -------
    ndarray of shape (columns,)

    Examples
    --------
    >>> steps_of(np.array([[1.0, 0.1, 0.123], [2.0, 0.2, 0.456], [2.0, 0.1, 0.789], [4.0, 0.2, 0.012]])).tolist()
    [1.0, 0.1, 0.0]
    """
    return np.array([_step(column[np.isfinite(column)]) for column in rows.T])


def _step(values: Rows) -> float:
    largest = float(np.abs(values).max(initial=0.0))
    for decimals in range(DECIMALS + 1):
        scaled = values * 10.0**decimals
        if np.abs(scaled - np.round(scaled)).max(initial=0.0) <= CLOSE * 10.0**decimals * max(1.0, largest):
            often = 2 * len(np.unique(values)) <= len(values)
            return 10.0**-decimals if decimals == 0 or often else 0.0
    return 0.0


def spread_out(rows: Rows, steps: Rows, drawing: np.random.Generator) -> Rows:
    """Return rows with uniform noise of one step around each value of a rounded column.

    ``x + s u`` with ``u`` uniform on [-1/2, 1/2). The mean log-density of such rows, plus ``log s`` for each rounded
    column, is a lower bound on the log-probability of the rounded values.

    Parameters
    ----------
    rows : ndarray of shape (n, columns)
    steps : ndarray of shape (columns,)
        From `steps_of`.
    drawing : numpy.random.Generator

    References
    ----------
    Theis et al. 2016, A note on the evaluation of generative models, eq. 1.
    """
    return rows + steps * (drawing.random(rows.shape) - 0.5)


def snapped(rows: Rows, steps: Rows) -> Rows:
    """Return rows with the values of rounded columns rounded again: the samples of a model of spread-out rows.

    Examples
    --------
    >>> snapped(np.array([[1.6, 0.234, 5.55]]), np.array([1.0, 0.1, 0.0])).tolist()
    [[2.0, 0.2, 5.55]]
    """
    unit = np.where(steps > 0, steps, 1.0)
    rounded = np.round(np.round(rows / unit) * unit, DECIMALS)
    return np.where(steps > 0, rounded + 0.0, rows)
