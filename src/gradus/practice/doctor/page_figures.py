"""Figures of the doctor's page as small SVG drawings: they need no scripts, and take their colours from the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

__all__ = ["bars", "growth", "lines", "ridges"]

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
    powers = min(ys) > 0 and max(ys) > 1e3 * min(ys)  # a loss that exploded hides all else on a plain axis
    if powers:
        kept = {name: [(a, math.log10(b)) for a, b in points] for name, points in kept.items()}
        ys = [b for points in kept.values() for _, b in points]
    low, high, ticks = _axis(min(ys), max(ys))
    first, last = min(xs), max(xs)
    span = (last - first) or 1.0
    labels = [_short(10**tick if powers else tick, ticks) for tick in ticks]
    left = max(LEFT, 16 + 7 * max(map(len, labels)))  # numbers that differ late are long

    def at(a: float, b: float) -> tuple[float, float]:
        across = (WIDTH - left - RIGHT) * ((a - first) / span if last > first else 0.5)
        return left + across, TOP + (HEIGHT - TOP - BOTTOM) * (high - b) / (high - low)

    parts = []
    for tick, label in zip(ticks, labels, strict=True):
        _, level = at(first, tick)
        parts.append(f'<path class="grid" d="M{left} {level:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{left - 7}" y="{level + 4:.1f}" text-anchor="end">{label}</text>')
    for tick in _whole(first, last):
        place, _ = at(tick, low)
        parts.append(f'<text x="{place:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{tick}</text>')
    for rank, points in enumerate(kept.values(), 1):
        placed = [at(a, b) for a, b in points]
        drawn = " ".join(f"{a:.1f},{b:.1f}" for a, b in placed)
        parts.append(f'<polyline class="line s{rank}" points="{drawn}"/>')
        if len(placed) <= 15:
            parts += [f'<circle class="dot s{rank}" cx="{a:.1f}" cy="{b:.1f}" r="3"/>' for a, b in placed]
    parts.append(f'<text x="{(left + WIDTH - RIGHT) / 2}" y="{HEIGHT - 2}" text-anchor="middle">{escape(x)}</text>')
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

    Notes
    -----
    With a ``unit`` in ``found``, ``low`` and ``high`` are places on an axis of asinh(value / unit).

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
    unit = found.get("unit")
    for value, place, anchor in ends:
        label = _power(value) if powers else escape(_short(float(f"{unit * math.sinh(value) if unit else value:.2g}")))
        parts.append(f'<text x="{place}" y="{base + 17}" text-anchor="{anchor}">{label}</text>')
    if not powers and low < 0 < high:
        zero = left + (width - left - right) * -low / (high - low)
        parts.insert(0, f'<path class="zero" d="M{zero:.1f} 6V{base}"/>')
    return _framed("".join(parts), width, height, title)


def growth(curve: Mapping[str, Any], *, title: str) -> str:
    """Return a learning curve: errors by number of rows on an axis of ratios, and what is expected beyond.

    Parameters
    ----------
    curve : mapping
        ``sizes``, ``error``, ``training_error`` (one a size), ``ahead``, ``low``, ``high``, ``law`` (one a size to
        come), ``kind`` (name of the error).
    title : str
        Read aloud in the drawing's place.

    Examples
    --------
    >>> curve = {"sizes": [10, 100], "error": [0.4, 0.2], "training_error": [0.0, 0.1], "ahead": [100, 400],
    ...          "low": [0.18, 0.1], "high": [0.22, 0.2], "law": [0.2, 0.15], "kind": "error"}
    >>> growth(curve, title="Error by rows").count("<polyline")
    3
    """
    sizes, ahead = curve["sizes"], curve["ahead"]
    known = [*curve["error"], *curve["training_error"], *curve["high"], *curve["low"], 0.0]
    low, high, ticks = _axis(min(known), max(known))
    first, span = math.log(sizes[0]), math.log(ahead[-1] / sizes[0])

    def at(rows: float, value: float) -> str:
        across = LEFT + (WIDTH - LEFT - RIGHT) * (math.log(rows) - first) / span
        return f"{across:.1f},{TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low):.1f}"

    parts = []
    for tick in ticks:
        _, _, level = at(sizes[0], tick).partition(",")
        parts.append(f'<path class="grid" d="M{LEFT} {level}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{float(level) + 4:.1f}" text-anchor="end">{_short(100 * tick)} %</text>')
    marked = [sizes[0], sizes[len(sizes) // 2], sizes[-1], 2 * sizes[-1], ahead[-1]]
    for rows in dict.fromkeys(marked):
        place, _, _ = at(rows, low).partition(",")
        end = "end" if rows == ahead[-1] else "middle"
        parts.append(f'<text x="{place}" y="{HEIGHT - BOTTOM + 17}" text-anchor="{end}">{rows:,}</text>')
    outline = [at(a, b) for a, b in zip(ahead, curve["high"], strict=True)]
    outline += [at(a, b) for a, b in zip(ahead[::-1], curve["low"][::-1], strict=True)]
    parts.append(f'<polygon class="band" points="{" ".join(outline)}"/>')
    rows = [("on held-out rows", sizes, curve["error"]), ("on rows learned from", sizes, curve["training_error"])]
    for rank, (_, across, values) in enumerate(rows, 1):
        placed = [at(a, b) for a, b in zip(across, values, strict=True)]
        parts.append(f'<polyline class="line s{rank}" points="{" ".join(placed)}"/>')
        parts += [f'<circle class="dot s{rank}" cx="{a}" cy="{b}" r="3"/>' for a, b in (p.split(",") for p in placed)]
    law = " ".join(at(a, b) for a, b in zip(ahead, curve["law"], strict=True))
    parts.append(f'<polyline class="line s1 law" points="{law}"/>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 2}" text-anchor="middle">training rows</text>')
    key = "".join(f'<span><i class="s{rank}"></i>{name}</span>' for rank, (name, _, _) in enumerate(rows, 1))
    legend = f'<p class="key"><b>{escape(curve["kind"])}</b>{key}</p>'
    return legend + _framed("".join(parts), WIDTH, HEIGHT, title)


def bars(rows: Sequence[tuple[str, float | None]], *, base: float | None) -> list[dict[str, Any]]:
    """Return where bars of skill begin and how long they are, in per cent of one common axis.

    Parameters
    ----------
    rows : sequence of (name, skill)
        None where there is no skill: such a row gets no bar.
    base : float, optional
        Where the mark stands; a bar that goes beyond it by a fiftieth is ``up``.

    Examples
    --------
    >>> [(bar["left"], bar["width"], bar["better"]) for bar in bars([("a", 0.5), ("b", None)], base=0.25)]
    [(0.0, 50.0, True), (0.0, 0.0, False)]
    """
    known = [v for v in [base, *(v for _, v in rows)] if v is not None and math.isfinite(v)]
    low, high = max(-0.3, min([0.0, *known])), max([1.0, *known])  # of what goes wrong by far, how far matters little

    def at(value: float) -> float:
        return 100 * (min(max(value, low), high) - low) / (high - low)

    found = []
    for name, value in rows:
        shown = value is not None and math.isfinite(value)
        first, last = sorted((at(0.0), at(value))) if shown and value is not None else (at(0.0), at(0.0))
        better = shown and value is not None and value > (base if base is not None else 0.0) + 0.02
        mark = None if base is None else round(at(base), 2)
        found.append({"name": name, "left": round(first, 2), "width": round(last - first, 2), "better": better,
                      "mark": mark, "failed": not shown})  # fmt: skip
    return found


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


def _short(value: float, ticks: Sequence[float] = ()) -> str:
    """Return a number with as many digits as tell the ticks of its axis apart, three for a number alone."""
    text = f"{value:.3g}"
    if len(ticks) > 1 and max(map(abs, ticks)) / (ticks[1] - ticks[0]) >= 100 and value in ticks:
        text = f"{value:.{max(0, 1 - math.floor(math.log10(ticks[1] - ticks[0])))}f}"
    if "e" in text:
        digits, _, power = text.partition("e")
        text = f"{digits}e{int(power)}"
    return text.replace("-", "−") if not text.startswith("-0") or float(value) != 0 else "0"


def _power(value: float) -> str:
    """Return a power of ten in words of SVG."""
    shown = f"{value:.1f}".replace("-", "−").removesuffix(".0")
    return f'10<tspan class="power" dy="-5">{shown}</tspan>'
