"""The check on every gradient: differences of values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["numerical_gradient"]


def numerical_gradient(f: Callable[[Any], Any], x: Any, step: float = 1e-5) -> np.ndarray:
    """Return (f(x + ε/2) - f(x - ε/2)) / ε for each entry: the check on every gradient (§11.5, eq. 11.6)."""
    x = np.array(x, dtype=np.float64)
    found = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        shift = np.zeros(x.shape)
        shift[at] = step / 2
        found[at] = (float(f(x + shift)) - float(f(x - shift))) / step
    return found
