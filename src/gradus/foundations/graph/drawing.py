"""What is written on nodes and groups, which groups are open at first, and the picture as static SVG."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from gradus.foundations.graph.layout import Placed, Plan, make_plan, place
from gradus.foundations.graph.picture import Group, Node, Picture, Summary

__all__ = ["contents", "labels", "opened_at_first", "planned", "render_svg", "value_text"]

SMALL_GRAPH = 45  # nodes up to which everything is open
AT_ONCE = 160  # boxes that a reader still takes in
WIDEST = 34  # letters on one line

STYLE = (Path(__file__).parent / "templates" / "drawing.css").read_text("utf-8")


def planned(picture: Picture) -> tuple[dict[str, dict[str, Any]], Plan, set[str]]:
    """Return labels, plan, and the groups that are open at first."""
    written = labels(picture)
    sizes = {item: (label["w"], label["h"]) for item, label in written.items()}
    plan = make_plan(picture, sizes, {g.key: written[f"g{g.key}"]["caption"] for g in picture.groups})
    return written, plan, opened_at_first(picture)


def labels(picture: Picture) -> dict[str, dict[str, Any]]:
    """Return the words, size, kind and mark of each node ``n<number>`` and group ``g<key>``."""
    inside = contents(picture)
    found = {f"n{node.number}": _node_label(node) for node in picture.nodes}
    return found | {f"g{g.key}": _group_label(g, inside[g.key], picture) for g in picture.groups}


def contents(picture: Picture) -> dict[str, list[int]]:
    """Return the numbers of the nodes in each group, those of the groups in it included."""
    parents = {g.key: g.parent for g in picture.groups}
    found: dict[str, list[int]] = {key: [] for key in parents}
    for node in picture.nodes:
        key = node.group
        while key:
            found[key].append(node.number)
            key = parents[key]
    return found


def _node_label(node: Node) -> dict[str, Any]:
    shape = "" if node.value is None else _shape(node.value)
    lines = [_cut(node.title), _cut(shape), _cut(node.mark)]
    light = node.kind not in ("operation", "input")
    return {
        "title": lines[0],
        "sub": lines[1],
        "kind": node.kind,
        "mark": lines[2],
        "w": _width(lines, 76 if light else 128),
        "h": (34 if light else 50) + (15 if node.mark else 0),
        "last": node.number,
        "out": node.number,
    }


def _group_label(group: Group, inside: list[int], picture: Picture) -> dict[str, Any]:
    members = set(inside)
    leaving = [e.source for e in picture.edges if e.source in members and e.target not in members]
    operations = [n for n in inside if picture.nodes[n].kind == "operation"]
    out = max(leaving or operations or inside, default=-1)
    title = f"{group.title} · {group.kind}" if group.kind not in ("", "function", group.title) else group.title
    value = picture.nodes[out].value if out >= 0 else None
    facts = [f"{len(operations)} operations"] * (len(operations) > 1) + ([_shape(value)] if value else [])
    facts += [f"{group.parameters:,} parameters"] * bool(group.parameters)
    sub = next(text for k in range(len(facts) + 1) if len(text := ", ".join(facts[k:])) <= WIDEST)
    lines = [_cut(title), _cut(sub), _cut(group.mark)]
    return {
        "title": lines[0],
        "sub": lines[1],
        "kind": "group",
        "mark": lines[2],
        "w": _width(lines, 140) + 26,
        "h": 65 if group.mark else 50,
        "caption": round(6.2 * len(lines[0]) + 6.8 * len(lines[2])) + 52,
        "last": max(inside, default=-1),
        "out": out,
    }


def _shape(value: Summary) -> str:
    return " × ".join(map(str, value.shape)) if value.shape else "a number"


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def _width(lines: list[str], least: int) -> int:
    return max(least, *(round(len(line) * letter) + 22 for line, letter in zip(lines, (7.3, 6.3, 6.8), strict=True)))


def value_text(value: Summary | None) -> str:
    """Return an array in two or three numbers.

    Examples
    --------
    >>> from gradus.foundations.graph.picture import summarize
    >>> import numpy as np
    >>> value_text(summarize(np.array(0.5))), value_text(summarize(np.array([1.0, 3.0])))
    ('= 0.5', '2 ± 1')
    """
    if value is None:
        return ""
    broken = f"{value.broken} not finite" if value.broken else ""
    if value.mean is None or value.spread is None:
        return broken
    if not value.shape:
        return f"= {value.mean:.4g}"
    return f"{value.mean:.3g} ± {value.spread:.3g}" + (f", {broken}" if broken else "")


def opened_at_first(picture: Picture) -> set[str]:
    """Return the groups to open: all in a small graph, the outermost in a larger one, and those around a mark."""
    parents = {g.key: g.parent for g in picture.groups}
    if len(picture.nodes) <= SMALL_GRAPH:
        return set(parents)
    around = set(parents.values())
    outer = {g.key for g in picture.groups if not g.parent and g.key in around}
    shown = sum(n.group in outer or not n.group for n in picture.nodes) + sum(g.parent in outer for g in picture.groups)
    found = outer if shown <= AT_ONCE else set()
    marked = [g.parent for g in picture.groups if g.mark] + [n.group for n in picture.nodes if n.mark]
    for key in marked:
        while key:
            found.add(key)
            key = parents[key]
    return found


# ---- static SVG ----


def render_svg(picture: Picture, *, standalone: bool = True, ready: Any = None) -> str:
    """Return the picture as SVG, light or dark as the reader's system is.

    Parameters
    ----------
    picture : Picture
        What to draw.
    standalone : bool
        Whether it is a file of its own, with its style and paper.
    ready : tuple, optional
        What `planned` returned, where that is known.
    """
    written, plan, opened = ready or planned(picture)
    placed = place(plan, opened)
    body = [
        '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path class="head" d="M0 0L10 5L0 10z"/></marker></defs>'
    ]
    if standalone:
        body.append(f'<style>{STYLE}</style><rect class="paper" width="100%" height="100%"/>')
    values = {item: _value_of(picture, label) for item, label in written.items()}
    frames = [item for item in placed.boxes if item[0] == "g" and item[1:] in opened]
    rest = [item for item in placed.boxes if item not in set(frames)]
    body += [_frame(item, written[item], placed) for item in frames]
    captions = [_caption(item, written[item], placed) for item in frames]
    paths = dict.fromkeys(_curve(points) for _, _, points in placed.paths)
    body += [f'<path class="edge" marker-end="url(#head)" d="{d}"/>' for d in paths]
    body += captions + [_box(item, written[item], placed, values[item]) for item in rest]
    size = f'width="{placed.width:.0f}" height="{placed.height:.0f}"'
    box = f'viewBox="0 0 {placed.width:.0f} {placed.height:.0f}"'
    title = f"<title>{escape(picture.title)}</title>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box} role="img">{title}{"".join(body)}</svg>'


def _value_of(picture: Picture, label: Mapping[str, Any]) -> str:
    if label["kind"] not in ("operation", "input", "group") or label["out"] < 0:
        return ""
    return value_text(picture.nodes[label["out"]].value)


def _curve(points: list[tuple[float, float]]) -> str:
    """Return a path that leaves and arrives vertically at every point; a straight run is one line."""
    x, y = points[0]
    parts = [f"M{x:.1f} {y:.1f}"]
    for nx, ny in points[1:]:
        half = (y + ny) / 2
        if abs(nx - x) >= 0.05:
            parts.append(f"C{x:.1f} {half:.1f} {nx:.1f} {half:.1f} {nx:.1f} {ny:.1f}")
        elif parts[-1][0] == "L":
            parts[-1] = f"L{nx:.1f} {ny:.1f}"
        else:
            parts.append(f"L{nx:.1f} {ny:.1f}")
        x, y = nx, ny
    return "".join(parts)


def _frame(item: str, label: Mapping[str, Any], placed: Placed) -> str:
    x, y, w, h = placed.boxes[item]
    box = f'x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"'
    return f'<g class="{"marked" if label["mark"] else ""}"><rect class="open" {box} rx="10"/></g>'


def _caption(item: str, label: Mapping[str, Any], placed: Placed) -> str:
    x, y, *_ = placed.boxes[item]
    mark = f' <tspan class="mark">{escape(label["mark"])}</tspan>' if label["mark"] else ""
    return f'<text class="caption" x="{x + 12:.1f}" y="{y + 19:.1f}">{escape(label["title"])}{mark}</text>'


def _box(item: str, label: Mapping[str, Any], placed: Placed, value: str) -> str:
    x, y, w, h = placed.boxes[item]
    light = label["kind"] in ("parameter", "buffer", "constant")
    shape = "group" if label["kind"] == "group" else "box"
    classes = ("" if shape == "group" else label["kind"]) + (" marked" if label["mark"] else "")
    lines = [("title", label["title"], 14 if light else 16), ("sub", label["sub"], 27 if light else 30)]
    if value:
        lines.append(("value", value, 43))
    if label["mark"]:
        lines.append(("mark", label["mark"], 42 if light else 58))
    words = "".join(
        f'<text class="{name}" x="{x + w / 2:.1f}" y="{y + down:.1f}" text-anchor="middle">{escape(text)}</text>'
        for name, text, down in lines
    )
    corner = 17 if light else 7
    return (
        f'<g class="{classes}"><rect class="{shape}" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" '
        f'rx="{corner}"/>{words}</g>'
    )
