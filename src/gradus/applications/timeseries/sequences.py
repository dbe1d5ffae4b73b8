"""Labelled series as one padded array with lengths, whatever form they come in."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradus.core.errors import InputError

__all__ = ["Padded", "channel_moments", "read_sequences", "stretch"]

Floats = NDArray[np.float64]
LARGEST = 1e36  # what single precision, in which networks compute, can hold the square of in a scaled form


class Padded(NamedTuple):
    """Sequences side by side: ``values`` of shape (n, time, channels), zero after each one's ``lengths``."""

    values: Floats
    lengths: NDArray[np.int64]


def read_sequences(X: Any, channels: int | None = None) -> Padded:
    """Read labelled series.

    Parameters
    ----------
    X : array-like or list of arrays
        Shape (n, time) or (n, time, channels), where NaN in all channels to the end pads shorter ones; or a list of
        arrays of shape (time,) or (time, channels).
    channels : int, optional
        Number of channels that were fitted.

    Raises
    ------
    InputError
        If shapes do not fit, a value inside a series is missing or infinite, or a series is empty.

    Examples
    --------
    >>> padded = read_sequences([[1.0, 2.0, 3.0], [4.0]])
    >>> padded.values[:, :, 0].tolist(), padded.lengths.tolist()
    ([[1.0, 2.0, 3.0], [4.0, 0.0, 0.0]], [3, 1])
    """
    values = _side_by_side(X)
    mend = "put examples first, then time, then channels: X.transpose(0, 2, 1) where channels come second"
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim != 3 or 0 in values.shape:
        raise InputError("series of shape (n, time) or (n, time, channels)", str(values.shape), mend)
    if channels is not None and values.shape[2] != channels:
        raise InputError(f"series of {channels} channels, as fitted", f"{values.shape[2]}", mend)
    there = np.asarray(~np.isnan(values).all(axis=2))
    lengths = values.shape[1] - np.argmax(there[:, ::-1], axis=1)
    lengths[~there.any(1)] = 0
    if (lengths == 0).any():
        row = int(np.argmin(lengths))
        raise InputError("series of one value or more", f"none in series {row}", "drop it")
    inside = np.arange(values.shape[1]) < lengths[:, None]
    known = np.where(inside[:, :, None], values, 0.0)
    if not np.isfinite(known).all():
        row = int(np.argmin(np.isfinite(known).all((1, 2))))
        raise InputError("a finite value at every step", f"NaN or infinity inside series {row}", "fill it, or drop it")
    if np.abs(known).max() > LARGEST:
        raise InputError(f"numbers up to {LARGEST:g}", f"{np.abs(known).max():.3g}", "divide them by a power of ten")
    return Padded(known, lengths.astype(np.int64))


def _side_by_side(X: Any) -> Floats:
    try:
        if not isinstance(X, list | tuple):
            array = np.asarray(X)
            if array.dtype != object:
                return array.astype(np.float64)
            X = list(array)
        parts = [np.asarray(item, dtype=np.float64) for item in X]
    except (TypeError, ValueError):
        raise InputError("series of numbers", "others", "convert them to floats") from None
    if not parts or len({part.ndim for part in parts}) > 1 or parts[0].ndim not in (1, 2):
        shapes = ", ".join(str(part.shape) for part in parts[:3]) or "nothing"
        mend = "pass arrays of shape (time,) or (time, channels)"
        raise InputError("a list of series", shapes, mend)
    parts = [part[:, None] if part.ndim == 1 else part for part in parts]
    if len({part.shape[1] for part in parts}) > 1:
        counts = ", ".join(sorted({str(part.shape[1]) for part in parts}))
        raise InputError("series of one number of channels", counts, "pass the same channels in each")
    padded = np.full((len(parts), max(len(part) for part in parts), parts[0].shape[1]), np.nan)
    for row, part in zip(padded, parts, strict=True):
        row[: len(part)] = part
    return padded


def channel_moments(padded: Padded, weights: NDArray[Any] | None = None) -> tuple[Floats, Floats]:
    """Return mean and deviation of each channel over the steps that are there; a deviation of zero counts as one."""
    inside = (np.arange(padded.values.shape[1]) < padded.lengths[:, None])[:, :, None].astype(np.float64)
    if weights is not None:
        inside = inside * np.asarray(weights, dtype=np.float64)[:, None, None]
    total = inside.sum((0, 1))
    mean = (padded.values * inside).sum((0, 1)) / total
    variance = (np.square(padded.values - mean) * inside).sum((0, 1)) / total
    rounding = 1e-12 * np.abs(mean)
    deviation = np.sqrt(variance)
    return mean, np.where(deviation <= rounding, 1.0, deviation)


def stretch(padded: Padded, length: int) -> Padded:
    """Return every series resampled to one length, linear between its values; those of that length as they are.

    Examples
    --------
    >>> stretch(read_sequences([[0.0, 2.0], [0.0, 1.0, 4.0]]), 3).values[:, :, 0].tolist()
    [[0.0, 1.0, 2.0], [0.0, 1.0, 4.0]]
    """
    same = bool((padded.lengths == length).all())
    if same:
        return Padded(padded.values[:, :length], padded.lengths)
    n, _, channels = padded.values.shape
    # A step between two values of every series: a share of the way from one to the next.
    places = np.linspace(0, 1, length)[None, :] * (padded.lengths[:, None] - 1)
    before = np.floor(places).astype(np.int64)
    after = np.minimum(before + 1, padded.lengths[:, None] - 1)
    part = (places - before)[:, :, None]
    rows = np.arange(n)[:, None]
    values = (1 - part) * padded.values[rows, before] + part * padded.values[rows, after]
    return Padded(values.reshape(n, length, channels), np.full(n, length, dtype=np.int64))
