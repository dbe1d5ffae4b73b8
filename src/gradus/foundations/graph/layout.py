"""Where things stand: layers from top to bottom, few crossings, one plan for every state of opened and closed groups.

Each group is laid out by itself. Its items are nodes, groups, *ports* where edges enter and leave, and *bends* where an
edge passes a layer. Layers and the order within them depend only on the graph, so they are planned once; positions
depend on which groups are open, and are computed by `place` here and by the same steps in the page's script.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from gradus.foundations.graph.picture import Picture

__all__ = ["Level", "Placed", "Plan", "make_plan", "place"]

GAP_X, GAP_Y, GAP_PORT = 26, 34, 12
PAD, HEAD = 16, 30  # inside an open group: around its contents, and for its title
BEND = 10  # room for an edge that passes between nodes
SWEEPS = 8
LIGHT = 0.001  # weight of parameters and bends: they make room for operations, not the other way
PASSES = ("down", "up", "down", "up", "both", "down")


@dataclass
class Level:
    """The plan of one group's inside.

    Parameters
    ----------
    layers : list of list of str
        Items from top to bottom, from left to right: ``n5`` a node, ``g...`` a group, ``i5`` and ``o5`` ports of the
        edges from node 5, ``b...`` a bend.
    links : dict
        ``(from item, to item, source node)`` to the number of bends between, the first of their chain.
    chains : dict
        ``(from item, source node)`` to bends, one a layer: edges from one node share them, so that there are few.
    weights : dict
        How much an item pulls on those it is linked to.
    """

    layers: list[list[str]] = field(default_factory=list)
    links: dict[tuple[str, str, int], int] = field(default_factory=dict)
    chains: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)


@dataclass
class Plan:
    """All levels by key of their group, ``""`` for the outermost, and sizes of nodes and closed groups."""

    levels: dict[str, Level]
    sizes: dict[str, tuple[int, int]]
    parents: dict[str, str]  # group to the group around it
    homes: list[str]  # node to its group
    edges: list[tuple[int, int]]
    captions: dict[str, int] = field(default_factory=dict)  # room that the title of an open group takes


@dataclass
class Placed:
    """Boxes ``(x, y, width, height)`` of what is visible, and the points of each visible edge."""

    boxes: dict[str, tuple[float, float, float, float]]
    paths: list[tuple[int, int, list[tuple[float, float]]]]
    width: float
    height: float


# ---- the plan ----


def make_plan(
    picture: Picture, sizes: Mapping[str, tuple[int, int]], captions: Mapping[str, int] | None = None
) -> Plan:
    """Plan every level of a picture.

    Parameters
    ----------
    picture : Picture
        The graph.
    sizes : mapping
        Width and height of each item ``n<number>`` and ``g<key>`` when closed.
    captions : mapping, optional
        Least width of groups when open, by their keys.
    """
    parents = {g.key: g.parent for g in picture.groups}
    homes = [n.group for n in picture.nodes]
    edges = list(dict.fromkeys((e.source, e.target) for e in picture.edges))
    items: dict[str, list[str]] = {"": [], **{key: [] for key in parents}}
    first = {g.key: len(homes) for g in picture.groups}
    for node in reversed(picture.nodes):
        for key in _chain(node.group, parents)[1:]:
            first[key] = node.number
    for n, group in enumerate(homes):
        for key in [k for k in _chain(group, parents)[1:] if first[k] == n]:
            items[parents[key]].append(f"g{key}")
        items[group].append(f"n{n}")
    links: dict[str, dict[tuple[str, str, int], None]] = {key: {} for key in items}
    for u, v in edges:
        for key, a, b in route(u, v, homes, parents):
            links[key][a, b, u] = None
    light = {f"n{n.number}" for n in picture.nodes if n.kind not in ("operation", "input")}
    levels = {key: _level(key, items[key], list(links[key]), light) for key in items}
    return Plan(levels, dict(sizes), parents, homes, edges, dict(captions or {}))


def _chain(group: str, parents: Mapping[str, str]) -> list[str]:
    """Return the groups around something, the outermost first."""
    found = [group]
    while found[-1]:
        found.append(parents[found[-1]])
    return found[::-1]


def route(u: int, v: int, homes: Sequence[str], parents: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return the links that make up an edge, level by level: out of groups, across, into groups."""
    out, into = _chain(homes[u], parents), _chain(homes[v], parents)
    common = max(i for i in range(min(len(out), len(into))) if out[i] == into[i])
    a, b = f"n{u}", f"n{v}"
    leaving, entering = [], []
    for key in out[:common:-1]:
        leaving.append((key, a, f"o{u}"))
        a = f"g{key}"
    for key in into[:common:-1]:
        entering.append((key, f"i{u}", b))
        b = f"g{key}"
    return [*leaving, (out[common], a, b), *reversed(entering)]


def _level(key: str, items: list[str], links: list[tuple[str, str, int]], light: Collection[str]) -> Level:
    rank = _ranks(items, links)
    depth = max(rank.values(), default=0)
    layers: list[list[str]] = [[] for _ in range(depth + 1)]
    for item, k in rank.items():
        layers[k].append(item)
    level = Level(layers)
    bends = 0
    for a, b, u in links:
        chain = level.chains.setdefault((a, u), [])
        level.links[a, b, u] = max(0, rank[b] - rank[a] - 1)
        for k in range(rank[a] + 1 + len(chain), rank[b]):
            chain.append(f"b{bends}@{key}")
            layers[k].append(chain[-1])
            bends += 1
    level.weights = {i: LIGHT if i in light or i[0] == "b" else 1.0 for layer in layers for i in layer}
    _untangle(layers, _neighbours(level))
    return level


def _ranks(items: list[str], links: list[tuple[str, str, int]]) -> dict[str, int]:
    """Longest paths from above; then what makes no edge longer moves down to what needs it; ports at the ends."""
    ports = sorted({x for a, b, _ in links for x in (a, b) if x[0] in "io"})
    rank = dict.fromkeys([*(p for p in ports if p[0] == "i"), *items, *(p for p in ports if p[0] == "o")], 0)
    after: dict[str, set[str]] = {item: set() for item in rank}
    before: dict[str, set[str]] = {item: set() for item in rank}
    for a, b, _ in links:
        after[a].add(b)
        before[b].add(a)
    waiting = {item: len(found) for item, found in before.items()}
    ready = [item for item in rank if not waiting[item]]
    for item in ready:
        for b in sorted(after[item]):
            rank[b] = max(rank[b], rank[item] + 1)
            waiting[b] -= 1
            if not waiting[b]:
                ready.append(b)
    for item in reversed(ready):
        alone = sum(len(after[p]) == 1 for p in before[item])  # an edge to several places is long already
        if after[item] and alone <= len(after[item]) and item[0] not in "io":
            rank[item] = min(rank[b] for b in after[item]) - 1
    last = max(rank.values(), default=0)
    return {item: last if item[0] == "o" else k for item, k in rank.items()}


def _neighbours(level: Level) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    steps = [step for (a, _), chain in level.chains.items() for step in pairwise([a, *chain])]
    steps += [(level.chains[a, u][count - 1] if count else a, b) for (a, b, u), count in level.links.items()]
    for p, q in dict.fromkeys(steps):
        above.setdefault(q, []).append(p)
        below.setdefault(p, []).append(q)
    return above, below


def _untangle(layers: list[list[str]], neighbours: tuple[dict[str, list[str]], dict[str, list[str]]]) -> None:
    """Order each layer by the mean place of its neighbours, downwards and upwards in turn; keep the best order seen."""
    above, below = neighbours
    best, fewest = [list(layer) for layer in layers], _crossings(layers, below)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        order = range(1, len(layers)) if sweep % 2 == 0 else range(len(layers) - 2, -1, -1)
        near = above if sweep % 2 == 0 else below
        for k in order:
            place = {item: i for i, item in enumerate(layers[k - 1 if sweep % 2 == 0 else k + 1])}
            keys = {}
            for i, item in enumerate(layers[k]):
                at = [place[x] for x in near.get(item, ()) if x in place]
                keys[item] = sum(at) / len(at) if at else float(i)
            layers[k].sort(key=keys.__getitem__)
        count = _crossings(layers, below)
        if count < fewest:
            best, fewest = [list(layer) for layer in layers], count
    layers[:] = best


def _crossings(layers: list[list[str]], below: Mapping[str, list[str]]) -> int:
    count = 0
    for upper, lower in pairwise(layers):
        place = {item: i for i, item in enumerate(lower)}
        ends = [sorted(place[x] for x in below.get(item, ()) if x in place) for item in upper]
        flat = [x for each in ends for x in each]
        seen: list[int] = []
        for x in flat:
            count += len(seen) - bisect_right(seen, x)
            insort(seen, x)
    return count


# ---- positions: the same steps as in graph.js ----


def place(plan: Plan, opened: Collection[str]) -> Placed:
    """Compute positions with the given groups open.

    Parameters
    ----------
    plan : Plan
        Of `make_plan`.
    opened : collection of str
        Keys of open groups; one inside a closed group counts as closed.
    """
    inside: dict[str, dict[str, Any]] = {}

    def size(item: str) -> tuple[float, float]:  # of what is drawn; ports and bends have no height
        if item[0] == "g" and item[1:] in opened:
            return inside[item[1:]]["width"], inside[item[1:]]["height"]
        return plan.sizes[item] if item[0] in "gn" else (BEND if item[0] == "b" else 1, 0)

    def arrange(key: str) -> None:
        for layer in plan.levels[key].layers:
            for item in layer:
                if item[0] == "g" and item[1:] in opened:
                    arrange(item[1:])
        inside[key] = _arranged(plan.levels[key], size, plan.captions.get(key, 0), outermost=not key)

    arrange("")
    boxes: dict[str, tuple[float, float, float, float]] = {}
    origins: dict[str, tuple[float, float]] = {}

    def settle(key: str, x: float, y: float) -> None:
        origins[key] = (x, y)
        for layer in plan.levels[key].layers:
            for item in layer:
                if item[0] in "gn":
                    w, h = size(item)
                    cx, top = inside[key]["at"][item][:2]
                    boxes[item] = (x + cx - w / 2, y + top, w, h)
                    if item[0] == "g" and item[1:] in opened:
                        settle(item[1:], *boxes[item][:2])

    settle("", 0.0, 0.0)
    paths = []
    for u, v in plan.edges:
        points = _path(u, v, plan, inside, origins, boxes)
        if points:
            paths.append((u, v, points))
    return Placed(boxes, paths, inside[""]["width"], inside[""]["height"])


def _arranged(level: Level, size: Any, least: float, outermost: bool) -> dict[str, Any]:
    """Give every item of a level its centre and top, and top and bottom of its layer, from the level's corner."""
    above, below = _neighbours(level)
    x: dict[str, float] = {}
    for layer in level.layers:
        at = 0.0
        for item in layer:
            w = size(item)[0]
            x[item] = at + w / 2
            at += w + GAP_X
        for item in layer:
            x[item] -= (at - GAP_X) / 2
    for sweep in PASSES:
        for layer in level.layers if sweep != "up" else level.layers[::-1]:
            wanted = []
            for item in layer:
                near = (above.get(item, []) if sweep != "up" else []) + (below.get(item, []) if sweep != "down" else [])
                near = [q for q in near if level.weights[q] == 1.0] or near
                wanted.append(sum(x[q] for q in near) / len(near) if near else x[item])
            spots = _apart(wanted, [size(i)[0] for i in layer], [level.weights[i] for i in layer])
            for item, spot in zip(layer, spots, strict=True):
                x[item] = spot
    _straighten(level, x)
    left = min((x[i] - size(i)[0] / 2 for i in x), default=0.0)
    right = max((x[i] + size(i)[0] / 2 for i in x), default=0.0)
    pad, y = (GAP_X, GAP_X) if outermost else (PAD, HEAD)
    wide = max(right - left + 2 * pad, least)
    left -= (wide - (right - left)) / 2
    at_items = {}
    heights = [max((size(i)[1] for i in layer), default=0) for layer in level.layers]
    for k, (layer, tall) in enumerate(zip(level.layers, heights, strict=True)):
        for item in layer:
            lift = tall - size(item)[1] if item[0] in "gn" else 0
            lift = lift if level.weights[item] == LIGHT else lift / 2  # a parameter stands right above its operation
            at_items[item] = (x[item] - left, y + lift, y, y + tall)
        y += tall + (0 if k == len(heights) - 1 else GAP_Y if tall and heights[k + 1] else GAP_PORT)
    return {"at": at_items, "width": wide, "height": y + pad}


def _straighten(level: Level, x: dict[str, float]) -> None:
    """Draw an edge along the side of its level as one straight line."""
    ends = {
        item: side for layer in level.layers for side, item in ((min, layer[0]), (max, layer[-1])) if len(layer) > 1
    }
    for bends in level.chains.values():
        sides = {ends.get(bend) for bend in bends}
        if len(bends) > 1 and len(sides) == 1 and (side := sides.pop()) is not None:
            x |= dict.fromkeys(bends, side(x[bend] for bend in bends))


def _apart(wanted: Sequence[float], widths: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the places nearest to those wanted, in order and without overlap (pooled adjacent violators)."""
    offsets, at = [], 0.0
    for k, width in enumerate(widths):
        at += width / 2 if k else 0.0
        offsets.append(at)
        at += width / 2 + GAP_X
    blocks: list[list[float]] = []  # mean, mass, count
    for want, offset, weight in zip(wanted, offsets, weights, strict=True):
        blocks.append([want - offset, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, mass, count = blocks.pop()
            before = blocks[-1]
            before[0] = (before[0] * before[1] + mean * mass) / (before[1] + mass)
            before[1] += mass
            before[2] += count
    means = [block[0] for block in blocks for _ in range(int(block[2]))]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


def _path(u: int, v: int, plan: Plan, inside: Any, origins: Any, boxes: Any) -> list[tuple[float, float]]:
    """Return the points of an edge: out at the bottom, through ports and bends, in at the top.

    Inside a layer it runs straight down, so that it does not cut through a taller neighbour.
    """
    points: list[tuple[float, float]] = []
    for key, a, b in route(u, v, plan.homes, plan.parents):
        if key not in origins:
            continue  # inside a closed group
        ox, oy = origins[key]
        at = inside[key]["at"]
        if not points:
            x, y, w, h = boxes[a]
            points.append((x + w / 2, y + h))
        if a[0] in "gn" and oy + at[a][3] > points[-1][1]:
            points.append((points[-1][0], oy + at[a][3]))
        level = plan.levels[key]
        for item in level.chains[a, u][: level.links[a, b, u]]:
            points += [(ox + at[item][0], oy + at[item][2]), (ox + at[item][0], oy + at[item][3])]
        if b[0] == "o":
            x, y, w, h = boxes[f"g{key}"]
            points.append((ox + at[b][0], y + h))
            continue
        x, y, w, h = boxes[b]
        into = x + (inside[b[1:]]["at"][f"i{u}"][0] if b[0] == "g" and b[1:] in origins else w / 2)
        if oy + at[b][2] < y:
            points.append((into, oy + at[b][2]))
        points.append((into, y))
    return points
