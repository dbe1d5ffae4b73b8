"""`gradus runs` and `gradus inspect RUN` on run folders written by the room below."""

import json

import pytest

from gradus.cli.main import run
from gradus.runs.record import (
    DataRecord,
    MetricRecord,
    RunFolder,
    RungRecord,
    RunRecord,
    ScoreRecord,
)


def score(value: float) -> ScoreRecord:
    return ScoreRecord(value=value, low=value - 0.02, high=value + 0.02, n=360)


@pytest.fixture
def finished(tmp_path):
    """A finished run whose linear rung beat the network."""
    folder = RunFolder.create(tmp_path / "runs", "first", exact=True)
    folder.write_record(
        RunRecord(
            name="first",
            status="finished",
            task="classification",
            target="digit",
            data=DataRecord(name="digits [8x8]", kind="images", rows=1797),
            metric=MetricRecord(name="accuracy", higher_is_better=True),
            ladder=[
                RungRecord(name="linear", kind="classical", valid=score(0.95), test=score(0.94), fit_seconds=0.31),
                RungRecord(name="network", kind="network", valid=score(0.93), test=score(0.92), notes=["short"]),
                RungRecord(name="trees", kind="classical", status="failed", error="MemoryError: too large"),
            ],
            chosen="linear",
            verdict="linear wins.",
            test_scores={"accuracy": score(0.94), "f1": score(0.88)},
            next_commands=["gradus predict runs/first DATA"],
            seconds=7.25,
        )
    )
    return folder


def test_a_run_for_the_eye(finished, capsys):
    assert run(["inspect", str(finished.path)]) == 0
    out = capsys.readouterr().out
    lines = {name: next(line for line in out.splitlines() if name in line) for name in ("linear", "network", "trees")}
    assert lines["linear"].split()[0] == ">"
    assert lines["network"].split()[0] != ">"
    assert "short" in lines["network"]
    assert "MemoryError: too large" in lines["trees"]
    assert "0.96" in lines["linear"] or "96" in lines["linear"]  # the upper end of the interval
    assert "linear wins." in out
    assert "f1" in out and "Also on the test part: accuracy" not in out
    assert "gradus predict runs/first DATA" in out


def test_a_run_in_json(finished, capsys):
    assert run(["inspect", str(finished.path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["run"] == str(finished.path)
    assert facts["chosen"] == "linear"
    assert facts["ladder"][0]["test"]["value"] == 0.94
    assert facts["files"] == {}  # neither model nor report was written


def test_runs_lists_the_newest_first_and_passes_over_other_folders(finished, tmp_path, capsys):
    later = RunFolder.create(tmp_path / "runs", "second", exact=True)
    later.write_record(RunRecord(name="second", task="regression"))
    (tmp_path / "runs" / "notes").mkdir()
    assert run(["runs", str(tmp_path / "runs"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["run"] for row in rows] == [str(later.path), str(finished.path)]
    assert rows[0]["status"] == "stopped", "it calls itself running, and no process is at work on it"
    assert (rows[1]["chosen"], rows[1]["test"], rows[1]["data"]) == ("linear", 0.94, "digits [8x8]")
    assert run(["runs", str(tmp_path / "runs")]) == 0
    assert "digits [8x8]" in capsys.readouterr().out


def test_a_damaged_run_does_not_hide_the_others(finished, tmp_path, capsys):
    broken = RunFolder.create(tmp_path / "runs", "broken", exact=True)
    broken.record_file.write_text('{"format": 1, "name": "broken"')
    assert run(["runs", str(tmp_path / "runs"), "--json"]) == 0
    rows = {row["run"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows[str(broken.path)]["status"].startswith("damaged")
    assert rows[str(finished.path)]["status"] == "finished"


def test_a_damaged_run_is_one_sentence(tmp_path, capsys):
    broken = RunFolder.create(tmp_path, "broken", exact=True)
    broken.record_file.write_text("{}")
    assert run(["inspect", str(broken.path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1


def test_no_runs_say_how_to_make_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["runs"]) == 0
    assert capsys.readouterr().out == "no runs in runs; `gradus fit digits` makes one\n"
    assert run(["runs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
