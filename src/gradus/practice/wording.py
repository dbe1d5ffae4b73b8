"""How numbers and lists are written for people."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["listed", "show_seconds", "show_value"]


def show_value(value: float, unit: str = "") -> str:
    """Write a score: shares and small numbers with three decimals, large ones with four digits or whole.

    Examples
    --------
    >>> show_value(0.96111), show_value(24863.4, "target"), show_value(0.43754, "nats")
    ('0.961', '24,863', '0.438')
    """
    if not math.isfinite(value):
        return "unknown"
    if not unit or 0.01 <= abs(value) < 10:
        return f"{value:.3f}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e12 else f"{value:.4g}"


def show_seconds(seconds: float) -> str:
    """Write a duration.

    Examples
    --------
    >>> show_seconds(0.0123), show_seconds(3.21), show_seconds(75), show_seconds(7260)
    ('0.01 s', '3.2 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 0.01:
        return "under 0.01 s"
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def listed(names: Sequence[str]) -> str:
    """Join names as a sentence does.

    Examples
    --------
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
