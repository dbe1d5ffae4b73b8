"""Figures of the doctor's page as small SVG drawings: they need no scripts, and take their colours from the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

__all__ = ["bars", "lines", "ridges"]

WIDTH, HEIGHT = 460, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 34


def lines(series: Mapping[str, Sequence[tuple[float, float | None]]], *, x: str, y: str, title: str) -> str:
    """Return curves in one frame, or an empty text where there is nothing finite to draw.

    Parameters
    ----------
    series : mapping of str to sequence of (x, y)
        Name to points; what is not finite is left out.
    x, y, title : str
        Names of the axes, and what is read aloud in the drawing's place.

    Examples
    --------
    >>> lines({"loss": [(0, 2.0), (1, 1.0)]}, x="epoch", y="loss", title="Loss").count("<polyline")
    1
    >>> lines({"loss": [(0, float("nan"))]}, x="epoch", y="loss", title="Loss")
    ''
    """
    kept = {name: [(a, b) for a, b in points if b is not None and math.isfinite(b)] for name, points in series.items()}
    kept = {name: points for name, points in kept.items() if points}
    if not kept:
        return ""
    xs = [a for points in kept.values() for a, _ in points]
    ys = [b for points in kept.values() for _, b in points]
    low, high, ticks = _axis(min(ys), max(ys))
    first, last = min(xs), max(xs)
    span = (last - first) or 1.0

    def at(a: float, b: float) -> tuple[float, float]:
        across = (WIDTH - LEFT - RIGHT) * ((a - first) / span if last > first else 0.5)
        return LEFT + across, TOP + (HEIGHT - TOP - BOTTOM) * (high - b) / (high - low)

    parts = []
    for tick in ticks:
        _, level = at(first, tick)
        parts.append(f'<path class="grid" d="M{LEFT} {level:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{level + 4:.1f}" text-anchor="end">{_short(tick)}</text>')
    for tick in _whole(first, last):
        place, _ = at(tick, low)
        parts.append(f'<text x="{place:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{tick}</text>')
    for rank, points in enumerate(kept.values(), 1):
        placed = [at(a, b) for a, b in points]
        drawn = " ".join(f"{a:.1f},{b:.1f}" for a, b in placed)
        parts.append(f'<polyline class="line s{rank}" points="{drawn}"/>')
        if len(placed) <= 15:
            parts += [f'<circle class="dot s{rank}" cx="{a:.1f}" cy="{b:.1f}" r="3"/>' for a, b in placed]
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 2}" text-anchor="middle">{escape(x)}</text>')
    key = "".join(f'<span><i class="s{rank}"></i>{escape(name)}</span>' for rank, name in enumerate(kept, 1))
    legend = f'<p class="key"><b>{escape(y)}</b>{key if len(kept) > 1 else ""}</p>'
    return legend + _framed("".join(parts), WIDTH, HEIGHT, title)


def ridges(found: Mapping[str, Any], *, title: str) -> str:
    """Return histograms of one layer at several steps, one behind the other, the first at the back.

    Parameters
    ----------
    found : mapping
        ``low``, ``high``, ``steps``, ``counts`` (one list a step), ``scale`` (``value`` or ``power of ten``).
    title : str
        Read aloud in the drawing's place.

    Examples
    --------
    >>> row = {"low": 0.0, "high": 1.0, "steps": [0, 5], "counts": [[1, 3], [2, 2]], "scale": "value"}
    >>> ridges(row, title="a layer").count('class="ridge"')
    2
    """
    steps, counts = found["steps"], found["counts"]
    width, left, right, apart, tall, bottom = 300, 44, 8, 19, 44, 22
    height = tall + apart * (len(steps) - 1) + bottom + 4
    bins = len(counts[0]) if counts else 1
    parts = []
    for rank, (step, row) in enumerate(zip(steps, counts, strict=True)):
        floor = 4 + tall + rank * apart
        top = max(row) or 1
        points = [
            (left + (width - left - right) * (k + 0.5) / bins, floor - (tall - 6) * c / top) for k, c in enumerate(row)
        ]
        outline = "".join(f"L{a:.1f} {b:.1f}" for a, b in points)
        parts.append(f'<path class="ridge" d="M{left} {floor}{outline}L{width - right} {floor}Z"/>')
        parts.append(f'<text x="{left - 6}" y="{floor}" text-anchor="end">{step}</text>')
    base = height - bottom
    powers = found["scale"] == "power of ten"
    low, high = found["low"], found["high"]
    ends = [
        (low, left, "start"),
        ((low + high) / 2, (left + width - right) / 2, "middle"),
        (high, width - right, "end"),
    ]
    for value, place, anchor in ends:
        label = _power(value) if powers else escape(_short(value))
        parts.append(f'<text x="{place}" y="{base + 17}" text-anchor="{anchor}">{label}</text>')
    if not powers and low < 0 < high:
        zero = left + (width - left - right) * -low / (high - low)
        parts.insert(0, f'<path class="zero" d="M{zero:.1f} 6V{base}"/>')
    return _framed("".join(parts), width, height, title)


def bars(rows: Sequence[tuple[str, float | None]], *, base: float | None, title: str) -> str:
    """Return one bar a row on a common axis, with a line at ``base``; rows without a number stay empty.

    Examples
    --------
    >>> bars([("a tenth of the rate", 0.9), ("failed", None)], base=0.1, title="Skill").count("<rect")
    1
    """
    values = [v for _, v in rows if v is not None and math.isfinite(v)]
    if not values:
        return ""
    known = [*values, *([] if base is None else [base])]
    low, high = min(0.0, *known), max(1.0 if max(known) <= 1 else max(known), 0.0)
    low = max(low, -1.0)  # of what went wrong by far, how far does not matter
    width, left, right, step = 640, 268, 62, 28
    height = step * len(rows) + 8

    def at(value: float) -> float:
        return left + (width - left - right) * (min(max(value, low), high) - low) / ((high - low) or 1.0)

    parts = []
    for rank, (name, value) in enumerate(rows):
        y = 4 + rank * step
        shown = name if len(name) <= 40 else name[:39] + "…"
        parts.append(f'<text x="{left - 10}" y="{y + 17}" text-anchor="end">{escape(shown)}</text>')
        if value is None or not math.isfinite(value):
            parts.append(f'<text class="soft" x="{at(0.0) + 6:.1f}" y="{y + 17}">failed</text>')
            continue
        start, end = sorted((at(0.0), at(value)))
        better = "up" if base is not None and value > base + 0.02 else "flat"
        parts.append(
            f'<rect class="{better}" x="{start:.1f}" y="{y + 4}" width="{max(end - start, 1.5):.1f}" height="18"/>'
        )
        parts.append(f'<text x="{end + 6:.1f}" y="{y + 17}">{value:.2f}</text>')
    if base is not None and math.isfinite(base):
        parts.append(f'<path class="base" d="M{at(base):.1f} 0V{height}"/>')
    return _framed("".join(parts), width, height, title)


def _framed(inside: str, width: int, height: int, title: str) -> str:
    return (
        f'<svg class="drawn" viewBox="0 0 {width} {height}" style="max-width:{round(1.25 * width)}px" role="img" '
        f'aria-label="{escape(title)}">{inside}</svg>'
    )


def _axis(low: float, high: float) -> tuple[float, float, list[float]]:
    """Return the ends of an axis and round numbers on it."""
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-9):
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    rough = (high - low) / 4
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= rough * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = [k * step for k in range(first, last + 1)]
    return ticks[0], ticks[-1], ticks


def _whole(first: float, last: float) -> list[int]:
    """Return some whole numbers from the first to the last."""
    a, b = math.ceil(first), math.floor(last)
    every = max(1, -(-(b - a + 1) // 10))
    return list(range(a, b + 1, every))


def _short(value: float) -> str:
    text = f"{value:.3g}"
    if "e" in text:
        digits, _, power = text.partition("e")
        text = f"{digits}e{int(power)}"
    return text.replace("-", "−") if not text.startswith("-0") or float(value) != 0 else "0"


def _power(value: float) -> str:
    """Return a power of ten in words of SVG."""
    shown = f"{value:.1f}".replace("-", "−").removesuffix(".0")
    return f'10<tspan class="power" dy="-5">{shown}</tspan>'
