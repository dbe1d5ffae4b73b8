"""`gradus doctor --out` as a person uses it: a page in a folder, on scripts and on runs, and nothing anywhere else."""

import json
from pathlib import Path

import pytest

from clumsy import gradus, refused, tree

SCRIPT = """
import torch
from torch import nn
from sklearn.datasets import load_digits


def build(seed=0):
    torch.manual_seed(seed)
    X, y = load_digits(return_X_y=True)
    X, y = torch.tensor(X, dtype=torch.float32)[:600] / 16, torch.tensor(y)[:600]
    net = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(X[:400], y[:400]), valid=(X[400:], y[400:]),
                optimizer=torch.optim.SGD(net.parameters(), lr=30.0), batch_size=32, epochs=4)
"""


@pytest.fixture
def script(here):
    Path("net.py").write_text(SCRIPT)


def test_a_script_gets_a_page_and_the_rates_that_would_do(script, capsys):
    code, out, _ = gradus(capsys, "doctor", "net.py", "--max-time", "15", "--out", "looked/at")
    assert code == 0
    assert out.splitlines()[0].startswith("net.py: faulty") and out.endswith("wrote looked/at/doctor.html\n")
    assert tree(Path()) == ["looked", "looked/at", "looked/at/doctor.html", "looked/at/doctor.json", "net.py"]
    facts = json.loads(Path("looked/at/doctor.json").read_text())
    first = facts["findings"][0]
    assert first["cause"] == "learning_rate_too_high"
    line = SCRIPT[: SCRIPT.index("lr=30.0")].count("\n") + 1
    assert first["line"] == f"net.py:{line}" and f"   where     training (net.py:{line})\n" in out
    assert "lower the loss, its own is 30" in first["evidence"] and first["evidence"] in out
    assert [row["layer"] for row in facts["recorded"]["activations"]] == ["0", "1", "2"]
    page = Path("looked/at/doctor.html").read_text()
    assert "<h1>net.py is faulty</h1>" in page and "<iframe" in page and f'<code class="line">net.py:{line}<' in page


def test_json_names_the_page_and_holds_no_histograms(script, capsys):
    code, out, _ = gradus(capsys, "doctor", "net.py:build", "--max-time", "4", "--out", "page", "--json")
    found = json.loads(out)
    assert code == 0 and found["out"] == "page/doctor.html"
    assert "recorded" not in found and "view" not in found


def test_without_out_nothing_is_written(script, capsys):
    assert gradus(capsys, "doctor", "net.py", "--max-time", "3")[0] == 0
    assert tree(Path()) == ["net.py"]


def test_a_run_gets_a_page_and_stays_as_it_was(finished, capsys):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*")}
    code, out, _ = gradus(capsys, "doctor", "run", "--max-time", "15", "--out", "page")
    assert code == 0 and out.endswith("wrote page/doctor.html\n")
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("*")} == before
    assert sorted(tree(Path("page"))) == ["doctor.html", "doctor.json"]
    recorded = json.loads(Path("page/doctor.json").read_text())["recorded"]
    assert recorded["activations"] and recorded["gradients"]
    assert "<iframe" in Path("page/doctor.html").read_text()


def test_a_file_in_the_folder_s_place_is_told_before_anything_runs(script, capsys):
    Path("page").write_text("mine")
    assert "a folder after --out" in refused(capsys, "doctor", "net.py", "--out", "page")
    assert Path("page").read_text() == "mine"


def test_a_run_is_told_what_it_does_on_rows_it_has_not_seen(finished, capsys):
    code, out, _ = gradus(
        capsys, "doctor", "run", "--max-time", "4", "--generalization", "20", "--out", "page", "--json"
    )
    found = json.loads(out)["measures"]["generalization"]
    assert code == 0 and found["fit"]["bar_is"] != "goal"
    page = Path("page/doctor.html").read_text()
    assert "On rows it has not seen" in page
    assert ('class="band"' in page) == ("curve" in found)
    code, out, _ = gradus(capsys, "doctor", "run", "--max-time", "4", "--generalization", "1", "--goal", "2")
    assert code == 0 and "\nunderfitting: " in out and "where the goal is 2" in out


def test_generalization_is_asked_of_runs_and_a_goal_of_generalization(script, finished, capsys):
    words = ["a run's folder with --generalization"]
    refused(capsys, "doctor", "net.py", "--generalization", "9", words=words)
    refused(capsys, "doctor", "run", "--goal", "0.9", words=["--generalization SECONDS with --goal"])
