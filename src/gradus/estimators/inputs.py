"""From what a user passes to what a network takes: tables of numbers."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples, validate_data
from torch import Tensor

from gradus.core.errors import InputError

__all__ = ["check_n_samples", "check_rows", "check_table", "check_weights", "drop_weightless", "share"]

FEW_ROWS = 256
# Ranges of columns looked at more closely, and deviations of constant ones, as shares of their largest number; and
# the steps of single precision that lose digits, as a share of a deviation.
NARROW, CONSTANT, COARSE = 1e-3, 1e-12, 0.1


def check_table(estimator: Any, X: Any, *, reset: bool) -> Tensor:
    """Check a table of numbers by scikit-learn's rules and return it as float32, of shape (rows, columns).

    With ``reset`` it warns of a column so far from zero that single precision keeps little of what varies in it.

    Raises
    ------
    ValueError
        If it is not two-dimensional, holds NaN or infinity, or has another width than the estimator was fitted with.
    """
    array = validate_data(estimator, X, reset=reset, dtype=np.float32, order="C", ensure_min_samples=1)
    if reset:
        _tell_lost_digits(estimator, X, array)
    return share(array)


def _tell_lost_digits(estimator: Any, X: Any, table: np.ndarray) -> None:
    """Warn where float32 is too coarse for a column, judged by a few rows: an ordinary table costs no pass over it."""
    rows = np.arange(0, len(table), max(1, len(table) // FEW_ROWS))
    few = table[rows]
    with np.errstate(over="ignore"):
        narrow = np.ptp(few, axis=0) < NARROW * np.abs(few).max(0)
    columns = np.flatnonzero(narrow)
    if not len(columns):
        return
    exact = np.asarray(_safe_indexing(X, rows), dtype=np.float64)[:, columns]
    size, deviation = np.abs(exact).max(0), exact.std(0)
    step = np.spacing(size.astype(np.float32))  # between neighbouring numbers
    coarse = (step > COARSE * deviation) & (deviation > CONSTANT * size) & (exact != few[:, columns]).any(0)
    if coarse.any():
        place = int(np.flatnonzero(coarse)[0])
        name = getattr(estimator, "feature_names_in_", range(table.shape[1]))[columns[place]]
        mean, spread = exact[:, place].mean(), deviation[place]
        warnings.warn(
            f"expected columns whose deviations single precision resolves, got column {name!r} of mean {mean:.6g} and "
            f"deviation {spread:.3g}, where its numbers are {step[place]:.3g} apart; subtract the mean first, for "
            "example by StandardScaler",
            stacklevel=2,
        )


def share(array: np.ndarray) -> Tensor:
    """Return a tensor on an array's memory, which is only read: also of a read-only array, such as a memory map."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


def check_weights(sample_weight: Any) -> Tensor | None:
    """Return sample weights as float32 of shape (n,), or None where there are none or one number for all.

    Raises
    ------
    InputError
        If they have two axes, one is negative or not finite, or all are zero.
    """
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.ndim == 0:
        return None
    if weights.ndim != 1:
        raise InputError("sample_weight of shape (n,)", str(weights.shape), "pass one weight for each row")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise InputError("finite sample weights of 0 or more", "others", "replace or drop those rows")
    if not weights.any():
        raise InputError("a positive sample weight", "zeros only", "leave sample_weight out")
    return torch.from_numpy(weights.astype(np.float32))


def check_n_samples(n_samples: Any) -> int:
    """Return how many samples are asked for, or raise `InputError` unless that is an integer of 1 or more."""
    if isinstance(n_samples, bool) or not isinstance(n_samples, Integral) or n_samples < 1:
        raise InputError("n_samples, an integer of 1 or more", repr(n_samples), "pass for example n_samples=16")
    return int(n_samples)


def check_rows(name: str, values: Any, n: int) -> None:
    """Raise `InputError` unless ``values`` has ``n`` rows, as many as X."""
    if values is not None and len(values) != n:
        raise InputError(f"{name} with {n} rows, as many as X", str(len(values)), "pass one for each row")


def drop_weightless(X: Any, y: Any, weights: Tensor | None) -> tuple[Any, Any, Tensor | None]:
    """Leave out rows of weight zero, so that they are rows that are not there, to the last bit.

    Raises
    ------
    InputError
        If X, y and the weights differ in length.
    """
    n = _num_samples(X)
    check_rows("sample_weight", weights, n)
    if weights is None or bool((weights > 0).all()):
        return X, y, weights
    check_rows("y", y, n)
    kept = np.flatnonzero(weights.numpy() > 0)
    return _safe_indexing(X, kept), None if y is None else _safe_indexing(y, kept), weights[kept]
