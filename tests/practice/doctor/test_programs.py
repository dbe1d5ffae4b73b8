"""The benchmark of faults: its manifests are complete, its programs neutral, and a handful of them build and train."""

import ast
import importlib.util
import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from gradus.practice.doctor.causes import CAUSES

ROOT = Path(__file__).resolve().parents[3] / "benchmarks" / "doctor"
PROGRAMS = ROOT / "programs"
PARTS = {"seen": PROGRAMS / "manifest.json", "held_out": PROGRAMS / "held_out" / "manifest.json"}
ROWS = [row for path in PARTS.values() for row in json.loads(path.read_text("utf-8"))]
PAIRS = {row["pair"]: [r for r in ROWS if r["pair"] == row["pair"]] for row in ROWS}
MEASURED = json.loads((ROOT.parent / "results" / "doctor_programs.json").read_text("utf-8"))
ALLOWED = {"torch", "numpy", "scipy", "sklearn", "pandas", "data"} | set(sys.stdlib_module_names)


def load(name):
    """A module of the benchmark's folder."""
    spec = importlib.util.spec_from_file_location(f"doctor_{name}", ROOT / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def source(row):
    return (PROGRAMS / row["file"]).read_text("utf-8")


def test_every_program_is_in_its_parts_manifest():
    for part, path in PARTS.items():
        listed = [row["file"] for row in json.loads(path.read_text("utf-8"))]
        there = [f"{part}/{p.name}" for p in (PROGRAMS / part).glob("p*.py")]
        assert sorted(listed) == sorted(there)


def test_there_are_enough_of_each_kind_and_some_are_held_out():
    pairs = {p: r for p, r in PAIRS.items() if len(r) == 2}
    healthy = [row for row in ROWS if row["kind"] == "healthy"]
    assert len(pairs) >= 80
    assert len(healthy) >= 45
    for chosen, least in (([r[0] for r in pairs.values()], 40), (healthy, 20)):
        held = sum(row["file"].startswith("held_out/") for row in chosen)
        assert held >= least  # those scored before are among the seen ones
    families = Counter(r[0]["family"] for r in pairs.values())
    assert len(families) >= 10
    assert min(families.values()) >= 3


def test_each_pair_is_one_faulty_and_one_mended_that_differ_at_the_line_named():
    for pair, rows in PAIRS.items():
        kinds = sorted(row["kind"] for row in rows)
        assert kinds in (["faulty", "mended"], ["healthy"]), pair
        if kinds == ["healthy"]:
            continue
        faulty, mended = sorted(rows, key=lambda row: row["kind"])
        assert Path(faulty["file"]).parent == Path(mended["file"]).parent
        a, b = source(faulty).splitlines(), source(mended).splitlines()
        first = next(i for i in range(max(len(a), len(b))) if a[i : i + 1] != b[i : i + 1])
        assert abs(faulty["line"] - 1 - first) <= 4, pair
        assert all(faulty[k] == mended[k] for k in ("family", "architecture", "task", "measure"))


def test_faults_have_published_causes_and_a_sentence():
    for row in ROWS:
        causes = [row["cause"], *row["also_right"]]
        if row["kind"] == "faulty":
            assert all(c in CAUSES for c in causes), row["file"]
            assert row["cause"] not in row["also_right"]
            assert row["wrong"]
        else:
            assert causes == [None]


def test_programs_import_only_what_they_may_and_tell_nothing():
    for row in ROWS:
        tree = ast.parse(source(row))
        imported = {n.names[0].name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import)}
        imported |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        imported = {name for name in imported if not name.startswith("data_")}  # loaders beside the programs
        assert imported <= ALLOWED, (row["file"], imported - ALLOWED)
        assert "build" in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}, row["file"]
        said = " ".join(re.findall(r"#.*|\"\"\".*?\"\"\"", source(row), flags=re.DOTALL)).lower()
        assert not re.search(r"\b(bug|fault|faulty|wrong|mended|broken|mistake|forgot)", said), row["file"]


def test_twins_have_the_same_words():
    """A comment or docstring must not tell the twins apart."""
    for rows in PAIRS.values():
        words = {ast.get_docstring(ast.parse(source(row))) for row in rows}
        assert len(words) == 1


def test_the_measured_table_covers_every_program_and_shows_each_fault():
    assert set(MEASURED["programs"]) == {row["file"] for row in ROWS}
    judged = {line["pair"]: line for line in MEASURED["judged"]}
    assert set(judged) == set(PAIRS)
    assert [pair for pair, line in judged.items() if not line["shown"] or not line.get("mended_learns", True)] == []


def answer_of_one_who_knows(row):
    faulty = row["kind"] == "faulty"
    return {
        "verdict": "faulty" if faulty else "healthy",
        "causes": [row["cause"]] if faulty else [],
        "place": json.dumps(f"p.py:{row['line']}"),
        "seconds": 1.0,
    }


def test_scores_of_a_doctor_that_always_alarms_and_of_one_that_knows():
    score = load("score")
    rows = [row | {"part": "seen"} for row in ROWS]
    alarmist = {r["file"]: {"verdict": "faulty", "causes": ["dead_units"], "seconds": 1.0} for r in rows}
    rates = score.summary(rows, alarmist)
    assert rates["detection"]["share"] == 1.0
    assert rates["false_alarms"]["share"] == 1.0
    assert 0 < rates["right_cause_first"]["share"] < 0.2
    knowing = {r["file"]: answer_of_one_who_knows(r) for r in rows}
    rates = score.summary(rows, knowing)
    assert rates["primary_cause_first"]["share"] == rates["line_named"]["share"] == 1.0
    assert rates["false_alarms"]["k"] == 0
    silent = {r["file"]: {"verdict": None, "causes": [], "seconds": 1.0} for r in rows}
    rates = score.summary(rows, silent)
    assert rates["detection"]["k"] == 0
    assert rates["false_alarms"]["share"] == 1.0
    assert score.misses(rows, knowing) == []
    assert len(score.misses(rows, alarmist)) > len(rows) / 2


def test_wilson_agrees_with_scipy():
    from scipy.stats import binomtest

    score = load("score")
    for k, n in ((0, 10), (3, 17), (48, 52), (10, 10)):
        low, high = score.wilson(k, n, 1.959963984540054)
        expected = binomtest(k, n).proportion_ci(method="wilson")
        assert low == pytest.approx(expected.low, abs=1e-9)
        assert high == pytest.approx(expected.high, abs=1e-9)


def test_an_answer_is_read_from_among_other_output():
    score = load("score")
    text = 'loading {"a": 1}\n{"verdict": "faulty", "findings": [{"cause": "no_gradient"}]}\nbye'
    assert score.last_object(text) == {"verdict": "faulty", "findings": [{"cause": "no_gradient"}]}
    assert score.last_object("nothing {here}") is None


EMBEDDED = [row for row in ROWS if not re.search(r"^\s*from data\w* import", source(row), re.MULTILINE)]


@pytest.mark.parametrize("row", EMBEDDED[:: max(1, len(EMBEDDED) // 8)], ids=lambda row: Path(row["file"]).stem)
def test_programs_build_by_the_contract(row):
    measure = load("measure")
    with torch.random.fork_rng():
        parts = measure.load(PROGRAMS / row["file"]).build(seed=0)
        assert isinstance(parts["network"], torch.nn.Module)
        assert {"train", "valid", "optimizer", "batch_size", "epochs"} <= set(parts)
        assert ("loss" in parts) or ("objective" in parts)
        assert parts["epochs"] > 0
        value = measure.loss_of(parts, next(measure.batches(parts["train"], parts["batch_size"], None)))
        assert value.ndim == 0


def test_a_program_on_the_data_folder_trains_to_what_was_measured(data_home):
    measure = load("measure")
    healthy = [r for r in ROWS if r["kind"] == "healthy" and r["architecture"] == "mlp" and r["measure"] == "r2"]
    row = next(r for r in healthy if "from data import" in source(r))
    with torch.random.fork_rng():
        found = measure.run(row, 0)
    assert found["score"] == pytest.approx(MEASURED["programs"][row["file"]]["runs"][0]["score"], abs=0.05)
