"""The doctor's page: what it holds, what it must not do, and what was recorded for it."""

import json
import re
from html import unescape

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from gradus.core.errors import StorageError
from gradus.practice.doctor.examination import examine_build
from gradus.practice.doctor.findings import Diagnosis, Finding
from gradus.practice.doctor.page import render_diagnosis, write_diagnosis
from gradus.practice.doctor.page_figures import bars, growth, lines, ridges
from gradus.practice.doctor.patient import Patient
from gradus.practice.doctor.recording import BINS, Recorder, look_inside, moments
from gradus.practice.doctor.trial import run_trial


def build(seed=0):
    torch.manual_seed(seed)
    X, y = load_digits(return_X_y=True)
    X, y = torch.tensor(X, dtype=torch.float32)[:700] / 16, torch.tensor(y)[:700]
    network = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    with torch.no_grad():
        network[0].bias.fill_(-30)
    return {
        "network": network, "loss": nn.CrossEntropyLoss(), "batch_size": 50, "epochs": 4, "train": (X[:500], y[:500]),
        "valid": (X[500:], y[500:]), "optimizer": torch.optim.SGD(network.parameters(), lr=0.05),
    }  # fmt: skip


@pytest.fixture(scope="module")
def diagnosis():
    found = examine_build(build, max_time=20)
    found.view = look_inside(build, found)
    return found


@pytest.fixture(scope="module")
def page(diagnosis):
    return render_diagnosis(diagnosis, title="dead.py")


def test_everything_that_was_found_stands_on_the_page(diagnosis, page):
    assert diagnosis.verdict == "faulty"
    assert "<h1>dead.py is faulty</h1>" in page
    text = unescape(page)
    for finding in diagnosis.as_dict()["findings"]:
        for part in ("what", "place", "evidence", "mend", "confirm", "section", "cause"):
            assert finding[part] in text
    for part in ("findings", "training", "data", "layers", "inside", "graph"):
        assert f'id="{part}"' in page
    assert ("treatments" in page) == bool(diagnosis.tables["treatments"])
    assert len(re.findall(r'<tr class="guilty">', page)) >= 1


def test_the_graph_marks_the_guilty_layer(diagnosis):
    named = {f.place for f in diagnosis.findings}
    assert named & {"0", "1"}
    graph = diagnosis.view["graph"]
    data = json.loads(re.search(r'<script type="application/json" id="graph">(.*?)</script>', graph, re.S).group(1))
    marks = {group["path"]: group["mark"] for group in data["picture"]["groups"] if group["mark"]}
    assert set(marks) == named & {"0", "1", "2"}
    assert any(node["title"] == "cross_entropy" for node in data["picture"]["nodes"])


def test_the_page_asks_for_nothing_and_runs_only_the_viewer(page):
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page)
    assert set(re.findall(r"https?://[^\s\"'&]*", page)) <= {"http://www.w3.org/2000/svg"}
    allowed = re.search(r"script-src 'nonce-([0-9a-f]+)'", page).group(1)
    inner = unescape(re.search(r'srcdoc="([^"]*)"', page).group(1))
    assert re.findall(r'<script nonce="(\w+)"', inner) == [allowed, allowed]
    assert "<script" not in page.replace(re.search(r'srcdoc="([^"]*)"', page).group(0), "")


def test_names_of_strangers_are_text():
    evil = '<script>alert("x")</script>'
    found = Diagnosis(
        [Finding("dead_units", evil, evil, 0.9)],
        tables={"layers": [{"layer": evil, "kind": evil, "width": 1, "mean": 0.0, "std": 0.0, "zero": 0.0, "dead": 0.0,
                            "saturated": 0.0, "gradient": 1.0}],
                "treatments": [{"treatment": evil, "skill": 0.5, "gain": 0.1}]},
        view={"activations": [{"layer": evil, "kind": evil, "low": 0, "high": 1, "steps": [0], "counts": [[1, 2]],
                               "zeros": [0.0], "broken": [0], "scale": "value", "unit": None}]},
    )  # fmt: skip
    assert evil not in render_diagnosis(found, title=evil)


def test_a_healthy_verdict_with_nothing_measured_is_a_page():
    page = render_diagnosis(Diagnosis([]), title="a.py")
    assert "<h1>a.py is healthy</h1>" in page
    assert "<iframe" not in page and "<table" not in page


def test_two_files_and_nothing_else(diagnosis, tmp_path):
    page = write_diagnosis(diagnosis, tmp_path / "new" / "folder", title="dead.py")
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()) == [
        "new/folder/doctor.html",
        "new/folder/doctor.json",
    ]
    facts = json.loads((page.parent / "doctor.json").read_text("utf-8"), parse_constant=pytest.fail)
    assert facts["verdict"] == "faulty" and facts["subject"] == "dead.py"
    assert facts["findings"][0]["mend"]
    assert len(facts["recorded"]["activations"]) == 3


def test_histograms_hold_what_went_through(diagnosis):
    view = diagnosis.view
    assert [(row["layer"], row["kind"]) for row in view["activations"]] == [
        ("0", "Linear"), ("1", "ReLU"), ("2", "Linear"),
    ]  # fmt: skip
    steps = moments(diagnosis.measures["steps"])
    for row in view["activations"]:
        assert row["steps"] == steps
        assert all(len(counts) == BINS for counts in row["counts"])
    # 50 rows by 32 units, each once; a dead layer is nothing but zeros, and sends nothing back
    assert sum(view["activations"][0]["counts"][0]) == 50 * 32
    assert view["activations"][1]["zeros"] == [1.0] * len(steps)
    assert [row["layer"] for row in view["gradients"]] == ["0.weight", "2.weight"]
    assert view["gradients"][0]["zeros"] == [1.0] * len(steps)
    assert view["movement"][0]["ratios"] == [0.0] * len(steps)


def test_a_step_s_movement_and_gradient_are_those_of_plain_descent():
    """One step of SGD moves by rate times gradient: the recorder's numbers against torch's own."""
    parts = build()
    with torch.no_grad():
        parts["network"][0].bias.zero_()
    twin = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    twin.load_state_dict(parts["network"].state_dict())
    patient = Patient.of(parts)
    recorder, batches = Recorder([0]), []

    def watch(patient, step, batch):
        recorder.watch(patient, step, batch)
        batches.append(batch)

    run_trial(patient, seconds=10, steps=2, watch=watch)
    recorder.close()
    x, y = batches[0]
    nn.functional.cross_entropy(twin(x), y).backward()
    g = twin[2].weight.grad
    assert recorder.movement["2.weight"][0][1] == pytest.approx(
        0.05 * float(g.norm() / twin[2].weight.detach().norm()), rel=1e-4
    )
    assert recorder.gradients["2.weight"][0][1] == pytest.approx(g.reshape(-1).double().numpy(), abs=1e-7)
    with torch.no_grad():
        assert recorder.activations["1"][0][1] == pytest.approx(twin[:2](x).reshape(-1).double().numpy(), abs=1e-6)
    facts = recorder.facts()["gradients"][1]
    logs = np.log10(np.abs(g[g != 0].double().numpy()))
    assert facts["low"] == pytest.approx(np.quantile(logs, 0.001), rel=1e-3)
    assert sum(facts["counts"][0]) == len(logs)


def test_recording_changes_nothing_of_the_training_and_leaves_no_hook():
    plain = run_trial(Patient.of(build()), seconds=20)
    patient, recorder = Patient.of(build()), Recorder(moments(40))
    watched = run_trial(patient, seconds=20, watch=recorder.watch)
    recorder.close()
    assert watched.losses == plain.losses
    assert not any(m._forward_hooks for m in patient.network.modules())
    assert not any(p._backward_hooks for p in patient.network.parameters())


def test_looking_inside_a_broken_program_gives_what_it_can():
    def broken(seed=0):
        parts = build(seed)
        parts["network"][2] = nn.Linear(31, 10)
        return parts

    view = look_inside(broken, Diagnosis([]))
    assert view["graph"] == "" and view["gradients"] == []

    def leaves(seed=0):
        raise SystemExit(3)

    assert look_inside(leaves, Diagnosis([]))["activations"] == []


def test_sparse_gradients_are_recorded_by_their_values():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Embedding(50, 4, sparse=True), nn.Flatten(), nn.Linear(12, 2))
    words, target = torch.arange(24).reshape(8, 3) % 5, torch.tensor([0, 1] * 4)
    parts = {"network": network, "loss": nn.CrossEntropyLoss(), "train": (words, target), "epochs": 1, "batch_size": 8,
             "optimizer": torch.optim.SGD(network.parameters(), lr=0.1)}  # fmt: skip
    recorder = Recorder([0])
    trial = run_trial(Patient.of(parts), seconds=10, watch=recorder.watch)
    recorder.close()
    assert not trial.error
    assert len(recorder.gradients["0.weight"][0][1]) == 5 * 4  # five words that occur


def test_numbers_that_are_not_finite_are_counted_and_the_rest_drawn():
    def broken(seed=0):
        parts = build(seed)
        parts["train"][0][:, 0] = float("nan")
        return parts

    found = examine_build(broken, max_time=8)
    found.view = look_inside(broken, found)
    assert found.view["activations"][0]["broken"][0] == 50 * 32
    page = render_diagnosis(found, title="nan.py")
    assert "1600 not finite" in page
    drawn = re.findall(r' (?:points|d|x|y|cx|cy)="([^"]*)"', page)
    assert len(drawn) > 5 and not any("nan" in part or "inf" in part for part in drawn)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="expected to write"):
        write_diagnosis(Diagnosis([]), tmp_path / "file" / "below")


def test_curves_lie_where_their_numbers_say():
    drawn = lines({"a": [(1, 0.0), (2, 1.0), (3, float("nan"))]}, x="epoch", y="loss", title="t")
    (x1, y1), (x2, y2) = (map(float, p.split(",")) for p in re.search(r'points="([^"]*)"', drawn).group(1).split())
    assert x1 < x2 and y1 > y2  # up on the page is up
    wide = lines({"a": [(1, 1.0), (2, 1e6)], "b": [(1, 10.0), (2, 10.0)]}, x="epoch", y="loss", title="t")
    points = [p.split() for p in re.findall(r'points="([^"]*)"', wide)]
    heights = [float(p.split(",")[1]) for p in (*points[0], points[1][0])]
    low, high, ten = heights
    assert (low - ten) / (low - high) == pytest.approx(1 / 6, abs=0.01)  # powers of ten


def test_bars_begin_at_zero():
    (up, down, none) = bars([("a", 1.0), ("b", -0.25), ("c", None)], base=0.0)
    assert (up["left"], up["width"]) == (20.0, 80.0)
    assert (down["left"], down["width"]) == (0.0, 20.0)
    assert none["failed"] and not down["better"] and up["better"] and up["mark"] == 20.0


def test_a_ridge_is_highest_where_most_values_lie():
    row = {"low": 0.0, "high": 1.0, "steps": [7], "counts": [[1, 9, 0, 2]], "scale": "value"}
    drawn = ridges(row, title="t")
    points = [tuple(map(float, p.split())) for p in re.findall(r"L([\d.]+ [\d.]+)", drawn)]
    assert min(points[:-1], key=lambda p: p[1]) == points[1]
    assert ">7</text>" in drawn


def test_moments():
    assert moments(1) == [0] and moments(0) == [0]
    assert moments(1000)[0] == 0 and moments(1000)[-1] == 999 and len(moments(1000)) == 8


def test_a_learning_curve_lies_where_its_numbers_say():
    curve = {
        "sizes": [10, 1000], "error": [0.4, 0.2], "training_error": [0.0, 0.1], "ahead": [1000, 100_000],
        "low": [0.15, 0.05], "high": [0.25, 0.2], "law": [0.2, 0.1], "kind": "error", "repeats": 4,
    }  # fmt: skip
    drawn = growth(curve, title="Error by rows")
    found = re.findall(r'<polyline[^>]*points="(.*?)"', drawn)
    held, own, law = ([tuple(map(float, p.split(","))) for p in line.split()] for line in found)
    (x0, y0), (x1, y1) = held
    assert law[0] == (x1, y1) and law[1][0] - x1 == pytest.approx(x1 - x0, abs=0.2)  # a hundredfold each
    assert y1 - y0 == pytest.approx(2 * (law[1][1] - y1), abs=0.3) and y0 < y1  # errors go up, pixels down
    assert own[0][1] - own[1][1] == pytest.approx((y1 - y0) / 2, abs=0.3)
    band = [float(p.split(",")[1]) for p in re.search(r'<polygon[^>]*points="(.*?)"', drawn).group(1).split()]
    assert len(band) == 4 and band[0] < law[0][1] < band[3] and band[1] < law[1][1] < band[2]
    assert ">1,000<" in drawn and ">100,000<" in drawn


def test_what_is_said_of_unseen_rows_is_text_on_the_page():
    told = {"generalization": {"sentences": ["<b>twice the data would bring little"]}}
    page = render_diagnosis(Diagnosis([], told))
    assert "On rows it has not seen" in page and "&lt;b&gt;twice the data" in page and "<b>twice" not in page


def test_a_finding_of_the_output_marks_the_last_layer_and_shows_its_line():
    layers = [
        {"layer": name, "kind": "Linear", "width": 1, "mean": 0.0, "std": 1.0, "zero": 0.0, "dead": 0.0,
         "saturated": 0.0, "gradient": 0.1} for name in ("first", "last")
    ]  # fmt: skip
    finding = Finding("output_range", "output", "seen", 0.9, "mine.py:12")
    page = render_diagnosis(Diagnosis([finding], {}, {"layers": layers}))
    assert re.search(r'<tr class="guilty"><th scope="row">last<', page)
    assert page.count('<tr class="guilty">') == 1
    assert '<code class="line">mine.py:12</code>' in page


def test_labels_that_differ_late_have_room():
    """Numbers of seven characters end where the grid begins, and begin inside the drawing."""
    drawn = lines({"loss": [(1, 2.30150), (2, 2.30100)]}, x="epoch", y="loss", title="Loss")
    (start, label), *_ = re.findall(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="end">(.*?)</text>', drawn)
    assert len(label) >= 6 and float(start) >= 7 * len(label)
