"""Columns whose values are rounded: noise of one step makes their density finite, and honest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["bounds_of", "levelled", "snapped", "spread_out", "steps_of"]

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


def bounds_of(rows: Rows) -> Rows:
    """Return the least and the greatest value of each column, of shape (columns, 2), gaps passed over.

    Examples
    --------
    >>> bounds_of(np.array([[1.0, 0.1], [np.nan, 0.2], [3.0, 0.0]])).tolist()
    [[1.0, 3.0], [0.0, 0.2]]
    """
    return np.stack([np.nanmin(rows, 0), np.nanmax(rows, 0)], axis=1)


def snapped(rows: Rows, steps: Rows, bounds: Rows | None = None) -> Rows:
    """Return rows with the values of rounded columns rounded again: the samples of a model of such rows.

    Parameters
    ----------
    rows : ndarray of shape (n, columns)
    steps : ndarray of shape (columns,)
        From `steps_of`.
    bounds : ndarray of shape (columns, 2), optional
        From `bounds_of`: beyond these no value of a rounded column is left, so that a count is not below 0 and a flag
        not above 1.

    Examples
    --------
    >>> snapped(np.array([[1.6, 0.234, 5.55]]), np.array([1.0, 0.1, 0.0])).tolist()
    [[2.0, 0.2, 5.55]]
    >>> snapped(np.array([[-1.6, 7.5]]), np.array([1.0, 0.0]), np.array([[0.0, 1.0], [0.0, 1.0]])).tolist()
    [[0.0, 7.5]]
    """
    unit = np.where(steps > 0, steps, 1.0)
    rounded = np.round(np.round(rows / unit) * unit, DECIMALS)
    if bounds is not None:
        rounded = np.clip(rounded, bounds[:, 0], bounds[:, 1])
    return np.where(steps > 0, rounded + 0.0, rows)


def levelled(pixels: Rows, levels: int, *, spread: bool) -> Rows:
    """Return drawn pixels as whole levels of brightness, 0 to ``levels - 1``, as the pictures have them.

    Parameters
    ----------
    pixels : ndarray
        Drawn by a model of pixels between 0 and 1.
    levels : int
        How many there are.
    spread : bool
        Whether the model learned from pixels with noise of one step, `(level + u) / levels`, rather than from
        `level / (levels - 1)`.

    Examples
    --------
    >>> levelled(np.array([-0.2, 0.49, 0.51, 1.1]), 2, spread=False).tolist()
    [0.0, 0.0, 1.0, 1.0]
    >>> levelled(np.array([0.0, 0.24, 0.26, 0.99]), 4, spread=True).tolist()
    [0.0, 0.0, 1.0, 3.0]
    """
    found = np.floor(pixels * levels) if spread else np.round(pixels * (levels - 1))
    return np.clip(found, 0, levels - 1) + 0.0
