"""What `book`, `config` and `check` answer."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gradus
from gradus.catalog import CATALOG, PUBLIC, SECTIONS
from gradus.cli.book import select
from gradus.cli.check import requirements
from gradus.cli.console import emit_json, emit_json_rows, plain, show, table
from gradus.cli.main import run


def answer(capsys, *arguments: str):
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_book_lists_everything_in_the_books_order(capsys):
    rows = answer(capsys, "book")
    assert len(rows) == len(CATALOG)
    order = [tuple(map(int, row["section"].split("."))) for row in rows]
    assert order == sorted(order)
    assert all(row["title"] == SECTIONS[row["section"]] for row in rows)


def test_book_of_a_section_holds_its_subsections_only():
    names = {e.name for e in select("8.5")}
    assert names == {"adagrad", "rmsprop", "adam", "adamw", "muon"}
    assert {e.section for e in select("7.1")} == {"7.1.1", "7.1.2"}
    assert select("§8.5.") == select("8.5")


def test_book_search_ignores_case():
    assert [e.name for e in select(search="POLYAK")] == ["Polyak averaging"]
    assert select(search="no such word") == []


def test_book_for_the_eye(capsys):
    assert run(["book", "7.12"]) == 0
    out = capsys.readouterr().out
    assert "§7.12 Dropout" in out
    assert "gradus.networks:MLP" in out
    assert "gradus fit digits --set dropout=0.2" in out


def test_book_without_a_hit_says_so(capsys):
    assert run(["book", "--search", "no such word"]) == 0
    assert "nothing here yet" in capsys.readouterr().out


@pytest.mark.parametrize("name", PUBLIC)
def test_config_shows_every_field_with_its_default(name, capsys):
    rows = {row["name"]: row for row in answer(capsys, "config", name)}
    fields = {f.name: f.default for f in dataclasses.fields(getattr(gradus, name))}
    assert set(rows) == set(fields)
    assert {n: row["default"] for n, row in rows.items()} == plain(fields)
    assert all(row["meaning"] and row["allowed"] for row in rows.values())


def test_config_knows_units_ranges_and_choices(capsys):
    rows = {row["name"]: row for row in answer(capsys, "config", "MLPClassifier")}
    assert rows["max_time"]["unit"] == "seconds"
    assert (rows["batch_size"]["low"], rows["batch_size"]["allowed"]) == (1, "integer >= 1")
    assert "adamw" in rows["optimizer"]["choices"]


def test_config_of_all(capsys):
    assert set(answer(capsys, "config")) == {"job", *PUBLIC}
    assert {"memory", "test_fraction"} <= {setting["name"] for setting in answer(capsys, "config")["job"]}
    assert run(["config"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in PUBLIC)


def test_config_for_the_eye_cuts_nothing(capsys):
    assert run(["config", "MLPRegressor"]) == 0
    out = capsys.readouterr().out
    assert "…" not in out
    assert "learning_rate" in out


def test_check_finds_what_is_installed(capsys, monkeypatch, tmp_path):
    import torch

    monkeypatch.setenv("GRADUS_CACHE", str(tmp_path / "cache"))
    facts = answer(capsys, "check")
    assert facts["ok"] is True
    assert facts["torch"] == torch.__version__
    assert facts["devices"][-1] == "cpu"
    assert facts["python"].startswith(".".join(map(str, sys.version_info[:3])))
    assert facts["cache"] == str(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_check_fails_where_the_cache_cannot_be_written(capsys, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GRADUS_CACHE", str(tmp_path / "file"))
    assert run(["check", "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts["ok"] is False
    assert "cannot be written" in facts["problems"][0]


def test_check_tells_extras_apart(monkeypatch):
    lines = ["torch>=2.9", "numpy>=1.26", "optuna>=4; extra == 'tune'", 'onnx>=1.17 ; extra == "export"']
    monkeypatch.setattr("gradus.cli.check.metadata.requires", lambda _name: lines)
    assert requirements() == {"": ["torch", "numpy"], "tune": ["optuna"], "export": ["onnx"]}


def test_check_names_what_is_missing(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("GRADUS_CACHE", str(tmp_path))
    lines = ["numpy>=1", "not-a-distribution>=1", "also-absent; extra == 'tune'", "numpy; extra == 'export'"]
    monkeypatch.setattr("gradus.cli.check.metadata.requires", lambda _name: lines)
    assert run(["check", "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts["problems"] == ["not-a-distribution is not installed; pip install not-a-distribution"]
    assert [(e["extra"], e["present"], e["missing"]) for e in facts["extras"]] == [
        ("tune", False, ["also-absent"]),
        ("export", True, []),
    ]


def test_json_is_strict(capsys):
    import numpy as np

    value = {"a": float("inf"), "b": np.float32(0.5), "c": np.arange(2), "d": Path("x"), "e": None, "é": True}
    emit_json(value)
    text = capsys.readouterr().out
    assert json.loads(text) == {"a": None, "b": 0.5, "c": [0, 1], "d": "x", "e": None, "é": True}
    assert "é" in text


@pytest.mark.parametrize("blocks", [[], [[]], [[{"a": 1}]], [[{"a": 1}, {"b": [2]}], [], [{"a": float("nan")}, 3]]])
def test_json_written_in_blocks_is_one_list(blocks, capsys):
    emit_json_rows(blocks)
    in_blocks = capsys.readouterr().out
    emit_json([row for block in blocks for row in block])
    assert in_blocks == capsys.readouterr().out


def test_tables_take_data_for_data(capsys):
    table([["[red]x[/red]", 1.0]], ["[bold]name", "value"])
    out = capsys.readouterr().out
    assert "[red]x[/red]" in out
    show({"path": "[/tmp]", "rows": [{"a": 1}, {"b": None}]})
    out = capsys.readouterr().out
    assert "[/tmp]" in out and "a" in out


def test_a_pipe_gets_whole_lines():
    done = subprocess.run(
        [sys.executable, "-m", "gradus", "book"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(gradus.__file__).parents[1]), "COLUMNS": "40"},
    )
    assert all(e.summary in done.stdout for e in CATALOG)
