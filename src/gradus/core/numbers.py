"""What single precision can hold: networks compute in it, and tables come in double."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradus.core.errors import InputError

__all__ = ["LARGEST", "check_size"]

LARGEST = 1e36  # single precision ends at 3.4e38, and sums of such values must stay below


def check_size(what: str, values: Any) -> None:
    """Refuse numbers too large for single precision; those that are missing (NaN) pass.

    Parameters
    ----------
    what : str
        Whose values they are, for the sentence: ``"column 'price'"``.
    values : array
        Numbers of any shape.

    Raises
    ------
    InputError
        If a value is beyond 1e36 in size.

    Examples
    --------
    >>> check_size("column 'price'", np.array([1.0, -1e300]))
    Traceback (most recent call last):
    gradus.core.errors.InputError: expected numbers up to 1e36 in size in column 'price', got -1e+300; \
rescale it, or set such values to NaN
    """
    numbers = np.asarray(values, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        beyond = np.abs(numbers) > LARGEST
    if beyond.any():
        first = f"{float(numbers[beyond].flat[0]):g}"
        raise InputError(f"numbers up to 1e36 in size in {what}", first, "rescale it, or set such values to NaN")
