"""What Gaussian factor models need of the rows: moments where all is observed, patterns where there are gaps."""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from gradus.core.errors import InputError
from gradus.research.linear_factors.base import Array

__all__ = ["Moments", "Patterns", "check_observed", "moments", "patterns"]


class Moments(NamedTuple):
    """Moments of complete rows: after these, no row is looked at again.

    ``covariance`` is over n, not n - 1, as maximum likelihood has it; of tables with fewer rows than columns the
    centred rows over √n stand in ``rows`` instead, and products with the covariance go through them.
    """

    mean: Array
    variances: Array
    covariance: Array | None
    rows: Array | None

    def times(self, matrix: Array) -> Array:
        """Return the covariance times a matrix."""
        if self.covariance is not None:
            return self.covariance @ matrix
        rows = cast("Array", self.rows)
        return rows.T @ (rows @ matrix)


class Patterns(NamedTuple):
    """Rows with gaps, sorted by which values they have.

    ``rows`` hold zero in gaps and are shifted by ``shift``, about their mean, so that sums of squares do not cancel;
    ``observed`` is one row a pattern, and rows ``starts[i]:starts[i + 1]`` have pattern ``i``. ``order`` says which
    row of the user's each is.
    """

    rows: Array
    observed: NDArray[np.bool_]
    starts: NDArray[np.intp]
    order: NDArray[np.intp]
    shift: Array


def moments(rows: Array) -> Moments:
    """Return the moments of complete rows, in one pass."""
    n, d = rows.shape
    mean = rows.mean(0)
    if n < d:
        centred = (rows - mean) / np.sqrt(n)
        return Moments(mean, np.einsum("ij,ij->j", centred, centred), None, centred)
    covariance = np.zeros((d, d))
    for start in range(0, n, 4096):
        block = rows[start : start + 4096] - mean
        covariance += block.T @ block
    covariance /= n
    return Moments(mean, covariance.diagonal().copy(), covariance, None)


def patterns(rows: Array, shift: Array | None = None) -> Patterns:
    """Sort rows with gaps (NaN) by pattern; ``shift`` is the mean of observed values unless given."""
    seen = ~np.isnan(rows)
    if shift is None:
        shift = np.where(seen, rows, 0).sum(0) / seen.sum(0)
    packed = np.packbits(seen, axis=1)
    _, first, of = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(of, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(of, minlength=len(first)))])
    filled = np.where(seen, rows - shift, 0)[order]
    return Patterns(filled, seen[first], starts, order, shift)


def check_observed(gaps: NDArray[np.bool_]) -> None:
    """Refuse columns and rows without a single value.

    Raises
    ------
    InputError
        If there is one.
    """
    for axis, what in ((0, "column"), (1, "row")):
        empty = np.flatnonzero(gaps.all(axis))
        if len(empty):
            raise InputError(f"a value in every {what}", f"{what} {empty[0]} without one", f"drop such {what}s")
