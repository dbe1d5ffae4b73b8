"""Summaries, the engine's graphs as pictures, layout, pages and drawings."""

import json
import re
import time
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gradus.core.errors import InputError
from gradus.foundations import graph as g
from gradus.foundations.graph.drawing import opened_at_first, planned, render_svg
from gradus.foundations.graph.layout import make_plan, place
from gradus.foundations.graph.page import render_page
from gradus.foundations.graph.picture import Edge, Group, Node, Picture, summarize
from gradus.foundations.graph.recording import picture_of_network
from gradus.foundations.graph.traced import picture_of_call

EVIL = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


# ---- summaries ----


def test_a_summary_counts_what_is_there():
    found = summarize(np.array([[0.0, 1.0, np.nan], [np.inf, 3.0, 0.0]]))
    assert (found.low, found.high, found.mean, found.broken) == (0.0, 3.0, 1.0, 2)
    assert found.spread == pytest.approx(np.std([0, 1, 3, 0])) and found.zeros == pytest.approx(1 / 3)
    assert sum(found.histogram) == 4 and found.histogram[0] == 2 and found.histogram[-1] == 1
    assert found.histogram[8] == 1  # a third of the way through 24 bins
    assert np.isnan(found.values[0][2])


@pytest.mark.parametrize("array", [np.zeros(0), np.full(3, np.nan), np.array([1e308, -1e308]), np.array([1e-320, 0])])
def test_strange_arrays_have_summaries_that_json_takes(array):
    picture = Picture("x", [Node(0, "input", "x", value=summarize(array))], [], [])
    json.loads(json.dumps(picture.facts(), allow_nan=False))


def test_large_arrays_are_summarized_without_their_entries():
    array = np.arange(3_000_000.0)
    found = summarize(array)
    assert found.values is None and found.mean == pytest.approx(array.mean())
    assert max(found.histogram) - min(found.histogram) <= 2


# ---- the engine's graphs ----


def test_the_engine_s_graph_has_values_gradients_groups_and_times():
    def f(x, p):
        with g.scope("layer"):
            hidden = np.tanh(x @ p["W"])
        return (hidden**2).sum()

    x, W = np.array([[1.0, 2.0]]), np.array([[0.1], [0.2]])
    picture = picture_of_call(f, x, {"W": W})
    nodes = {n.title: n for n in picture.nodes}
    assert list(nodes) == ["x", "p.W", "matmul", "tanh", "power", "sum"]
    h = np.tanh(0.5)
    assert nodes["tanh"].value.values == [[pytest.approx(h)]]
    assert nodes["tanh"].gradient.values == [[pytest.approx(2 * h)]]
    np.testing.assert_allclose(nodes["p.W"].gradient.values, 2 * h * (1 - h * h) * x.T)
    assert nodes["power"].detail == "power(·, 2)" and nodes["power"].group == ""
    assert picture.groups[0].title == "layer" and nodes["matmul"].group == picture.groups[0].key
    assert all(n.seconds > 0 and n.backward_seconds > 0 for n in picture.nodes if n.kind == "operation")
    joined = [(picture.nodes[e.source].title, picture.nodes[e.target].title) for e in picture.edges]
    assert joined[:3] == [("x", "matmul"), ("p.W", "matmul"), ("matmul", "tanh")] or joined[0][1] == "matmul"


def test_show_takes_whatever_has_a_graph():
    assert g.show(g.Variable(2.0, "x") ** 2).picture.nodes[0].title == "x"
    assert [n.title for n in g.show(np.tanh, 1.0).picture.nodes] == ["x", "tanh"]
    assert g.show(torch.tanh, torch.ones(2)).picture.nodes[-1].title == "tanh"
    shown = g.show(nn.Linear(2, 1), torch.ones(3, 2), loss=lambda out: out.pow(2).mean(), title="one layer")
    assert shown.picture.title == "one layer" and shown.picture.nodes[-1].title == "mean"
    assert "srcdoc=" in shown._repr_html_() and repr(shown) == "Drawing of one layer: 3 operations"
    with pytest.raises(InputError, match="inputs to run the network on"):
        g.show(nn.Linear(2, 1))
    with pytest.raises(InputError, match="an object of type int"):
        g.show(3)


def test_drawings_are_saved_in_three_forms(tmp_path):
    drawing = g.show(np.tanh, [1.0, 2.0])
    assert drawing.save(tmp_path / "a.html").read_text().startswith("<!doctype html>")
    assert ET.fromstring(drawing.save(tmp_path / "a.svg").read_text()).tag.endswith("svg")
    assert json.loads(drawing.save(tmp_path / "a.json").read_text())["nodes"][1]["title"] == "tanh"
    with pytest.raises(InputError, match=r"\.html, \.svg or \.json"):
        drawing.save(tmp_path / "a.png")


def test_marks_are_set_by_module_parameter_title_and_number():
    network = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU(), nn.Linear(2, 1)))
    picture = g.show(network, torch.ones(3, 2), marks={"1.1": "here", "0.weight": "zero", "relu": "dead"}).picture
    marked = {n.title if not n.detail or "(" in n.detail else n.detail: n.mark for n in picture.nodes if n.mark}
    assert marked == {"0.weight": "zero", "relu": "dead"}
    assert [(group.path, group.mark) for group in picture.groups if group.mark] == [("1.1", "here")]
    assert "here" in render_svg(picture) and "dead" in render_page(picture)
    with pytest.raises(InputError, match=r"got '1\.2'; for example '1\.\d'"):
        picture.marked({"1.2": "x"})


# ---- layout ----


def boxes_inside(picture, placed):
    """Yield each box with the box of the group around it."""
    around = {f"n{n.number}": n.group for n in picture.nodes} | {f"g{k.key}": k.parent for k in picture.groups}
    for item, box in placed.boxes.items():
        yield item, box, around[item], placed.boxes.get(f"g{around[item]}")


def check_layout(picture, opened, plan):
    placed = place(plan, opened)
    levels = {}
    for _item, (x, y, w, h), group, outer in boxes_inside(picture, placed):
        levels.setdefault(group, []).append((x, y, w, h))
        ox, oy, ow, oh = outer or (0, 0, placed.width, placed.height)
        assert ox < x and oy < y and x + w < ox + ow and y + h < oy + oh
    for boxes in levels.values():
        for i, (x, y, w, h) in enumerate(boxes):
            for u, v, s, t in boxes[i + 1 :]:
                assert x + w <= u + 1e-6 or u + s <= x + 1e-6 or y + h <= v + 1e-6 or v + t <= y + 1e-6
    for _u, _v, points in placed.paths:
        assert all(b[1] >= a[1] - 1e-6 for a, b in pairwise(points))  # never upwards
        (ax, ay), (bx, by) = points[0], points[-1]
        assert any(abs(x + w / 2 - ax) < 1e-6 and abs(y + h - ay) < 1e-6 for x, y, w, h in placed.boxes.values())
        assert any(abs(x + w / 2 - bx) < 1e-6 and abs(y - by) < 1e-6 for x, y, w, h in placed.boxes.values())
    return placed


@st.composite
def graphs(draw):
    """Draw a run of random nested calls: groups open and close in time, and nodes read earlier ones."""
    nodes, edges, groups, stack = [], [], [], [""]
    for number in range(draw(st.integers(1, 24))):
        for move in draw(st.lists(st.sampled_from(["in", "out"]), max_size=2)):
            if move == "in" and len(stack) < 4:
                key = f"{stack[-1]}/m{len(groups)}"
                groups.append(Group(key, stack[-1], f"m{len(groups)}"))
                stack.append(key)
            elif move == "out" and len(stack) > 1:
                stack.pop()
        kind = draw(st.sampled_from(["operation", "operation", "parameter"]))
        nodes.append(Node(number, kind, f"node {number}", stack[-1]))
        if kind == "operation" and number:
            for source in draw(st.sets(st.integers(0, number - 1), max_size=3)):
                edges.append(Edge(source, number))
    used = [group for group in groups if any((n.group + "/").startswith(group.key + "/") for n in nodes)]
    return Picture("random", nodes, edges, used)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(picture=graphs(), data=st.data())
def test_boxes_do_not_overlap_and_edges_go_down(picture, data):
    _, plan, _ = planned(picture)
    opened = {group.key for group in picture.groups if data.draw(st.booleans())}
    check_layout(picture, opened, plan)
    every = check_layout(picture, {group.key for group in picture.groups}, plan)
    assert len(every.boxes) == len(picture.nodes) + len(picture.groups)
    assert {(u, v) for u, v, _ in every.paths} == {(e.source, e.target) for e in picture.edges}
    closed = check_layout(picture, set(), plan)
    assert set(closed.boxes) == {f"n{n.number}" for n in picture.nodes if not n.group} | {
        f"g{k.key}" for k in picture.groups if not k.parent
    }


def test_a_chain_is_a_straight_line_and_crossings_are_undone():
    chain = Picture("chain", [Node(i, "operation", str(i)) for i in range(5)], [Edge(i, i + 1) for i in range(4)], [])
    placed = place(planned(chain)[1], set())
    assert len({round(x + w / 2, 6) for x, _, w, _ in placed.boxes.values()}) == 1
    crossed = Picture(
        "crossed",
        [Node(i, "operation", str(i)) for i in range(6)],
        [Edge(0, 5), Edge(1, 4), Edge(2, 3)],
        [],
    )
    placed = place(make_plan(crossed, {f"n{i}": (50, 20) for i in range(6)}), set())
    centres = {item: x + w / 2 for item, (x, _, w, _) in placed.boxes.items()}
    assert all(abs(centres[f"n{a}"] - centres[f"n{b}"]) < 1e-6 for a, b in ((0, 5), (1, 4), (2, 3)))


def test_large_graphs_open_closed_and_marks_open_the_way():
    network = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU())) for _ in range(20)))
    picture = picture_of_network(network, torch.ones(2, 4))
    opened = opened_at_first(picture)
    assert opened == {group.key for group in picture.groups if not group.parent}
    picture.marked({"3.1.0": "dead"})
    assert opened_at_first(picture) - opened == {"/3#1/1#1"}


# ---- the page ----


def hostile():
    """Return a picture in which every word a stranger chooses is markup."""
    nodes = [
        Node(0, "input", EVIL, value=summarize(np.ones(2)), where=EVIL, mark=EVIL),
        Node(1, "operation", EVIL, f"/{EVIL}#1", value=summarize(np.ones(2)), detail=EVIL),
    ]
    return Picture(EVIL, nodes, [Edge(0, 1)], [Group(f"/{EVIL}#1", "", EVIL, EVIL, EVIL, 3, EVIL)], [EVIL])


def test_the_page_is_self_contained_and_escapes_names():
    page = render_page(hostile())
    assert "<img" not in page and page.count("<script") == 2
    assert not re.search(r"""(src|href)\s*=\s*["']?\s*(https?:)?//""", page)
    assert "default-src 'none'" in page and "@import" not in page and "url(http" not in page
    svg = render_svg(hostile())
    assert "<script" not in svg and "<img" not in svg
    ET.fromstring(svg)


def test_the_page_works_in_a_browser(browse, tmp_path):
    path = tmp_path / "graph.html"
    path.write_text(render_page(hostile()))
    dom, console = browse(path)
    assert console == [] and 'data-ready="yes"' in dom
    assert "<title>&lt;/script&gt;" in dom  # the script that would change it did not run


def engine_picture():
    rng = np.random.default_rng(0)

    def loss(x, W, V):
        with g.scope("hidden"):
            h = np.tanh(x @ W)
        return -g.log_softmax(h @ V)[:, 0].mean()

    return picture_of_call(loss, rng.normal(size=(4, 3)), rng.normal(size=(3, 5)), rng.normal(size=(5, 2)))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_stepping_forwards_and_back_shows_values_then_gradients(browse, tmp_path, scheme):
    picture = engine_picture()
    path = tmp_path / "graph.html"
    path.write_text(render_page(picture))
    shown = [n for n in picture.nodes if n.kind in ("operation", "input")]
    matmul = next(i for i, n in enumerate(shown) if n.title == "matmul")
    value = shown[matmul].value
    more = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    dom, console = browse(path, *more, anchor=f"step={matmul + 1}")
    assert console == []
    assert "forwards</b>" in dom and f"{value.mean:.3g} ± {value.spread:.3g}" in dom
    now = re.search(r'<g class="operation[^"]*\bnow\b[^"]*"[^>]*data-item="n(\d+)"', dom)
    assert now and int(now[1]) == shown[matmul].number
    assert 'class="operation  waiting"' in dom or re.search(r'class="operation [^"]*waiting', dom)
    backwards = [n for n in reversed(picture.nodes) if n.gradient]
    k = next(i for i, n in enumerate(backwards) if n.title == "tanh")
    dom, _ = browse(path, *more, anchor=f"step={len(shown) + k + 1}")
    gradient = backwards[k].gradient
    assert re.search(r'class="back">backwards</b>', dom)
    assert f"∂ {gradient.mean:.3g} ± {gradient.spread:.3g}" in dom.replace("e-0", "e-")


def test_positions_in_the_browser_are_those_of_python(browse, tmp_path):
    network = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, 3))
    picture = picture_of_network(network, torch.randn(2, 4, 8), loss=lambda out: out.pow(2).mean())
    path = tmp_path / "graph.html"
    path.write_text(render_page(picture))
    dom, _ = browse(path)
    _, plan, opened = planned(picture)
    placed = place(plan, opened)
    found = re.findall(
        r'<g [^>]*data-item="([^"]+)"[^>]*><rect class="(?:box|group|open)" x="([-\d.e]+)" y="([-\d.e]+)"', dom
    )
    assert len(found) == len(placed.boxes) > 20
    for item, x, y in found:
        assert (float(x), float(y)) == pytest.approx(placed.boxes[item][:2], abs=0.01)
    drawn = list(dict.fromkeys(re.findall(r'<path class="edge[^"]*" d="([^"]+)"', dom)))
    static = re.findall(r'<path class="edge" marker-end="url\(#head\)" d="([^"]+)"', render_svg(picture))
    assert len(drawn) == len(static) > 20
    for one, other in zip(drawn, static, strict=True):
        assert re.sub(r"[\d.]+", "", one) == re.sub(r"[\d.]+", "", other)
        ends = [[float(v) for v in re.findall(r"[\d.]+", path)] for path in (one, other)]
        assert ends[0] == pytest.approx(ends[1], abs=0.11)


def test_a_hundred_layers_open_quickly(browse, tmp_path):
    layers = [layer for _ in range(50) for layer in (nn.Linear(16, 16), nn.ReLU())]
    picture = picture_of_network(nn.Sequential(*layers), torch.randn(4, 16))
    path = tmp_path / "graph.html"
    path.write_text(render_page(picture))
    assert path.stat().st_size < 1_000_000
    start = time.perf_counter()
    dom, console = browse(path)
    assert console == [] and dom.count("data-item=") == 101
    assert time.perf_counter() - start < 60  # two seconds on an idle machine; never a hang
