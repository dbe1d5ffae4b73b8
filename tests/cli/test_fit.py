"""`fit`, `resume` and `predict` on a small file, as a person uses them, and what bad input gets."""

import csv
import json

import numpy as np
import pytest

from gradus.cli.main import run


def write_table(path, rows: int = 120) -> None:
    rng = np.random.default_rng(0)
    size = rng.normal(size=rows)
    town = rng.choice(["Rome", "Ostia"], rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["size", "town", "churn"])
        for s, t in zip(size, town, strict=True):
            writer.writerow([f"{s:.4f}", t, "yes" if s + (t == "Rome") > 0.5 else "no"])


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """The folder of a fit of a file with a space and an accent in its name, and the JSON it answered."""
    home = tmp_path_factory.mktemp("job")
    source, out = home / "clients é.csv", home / "my run"
    write_table(source)
    with pytest.MonkeyPatch.context() as patch, (home / "answer.json").open("w+", encoding="utf-8") as said:
        patch.chdir(home)
        patch.setattr("sys.stdout", said)
        arguments = ["fit", str(source), "--target", "churn", "--set", "max_epochs=5", "--set", "hidden=8"]
        code = run([*arguments, "--out", str(out), "--seed", "3", "--quiet", "--json"])
        said.seek(0)
        answer = json.loads(said.read())
    assert code == 0
    return source, out, answer


def test_the_answer_is_the_record(fitted):
    _, out, answer = fitted
    assert answer["run"] == str(out)
    assert (answer["status"], answer["task"], answer["target"], answer["seed"]) == (
        "finished",
        "classification",
        "churn",
        3,
    )
    kinds = [rung["kind"] for rung in answer["ladder"]]
    assert kinds[0] == "trivial" and kinds[-1] == "network" and "classical" in kinds
    best = max(rung["valid"]["value"] for rung in answer["ladder"])
    chosen = next(rung for rung in answer["ladder"] if rung["name"] == answer["chosen"])
    assert chosen["valid"]["value"] == best
    assert chosen["test"]["low"] <= chosen["test"]["value"] <= chosen["test"]["high"]
    settings = {s["name"]: s["value"] for s in answer["settings"]}
    assert (settings["max_epochs"], settings["hidden"]) == (5, [8])


def test_the_folder_holds_what_the_docs_say(fitted):
    _, out, answer = fitted
    names = {"config.yaml", "data.json", "metrics.jsonl", "model", "report.html", "README.md", "log.txt"}
    assert names <= {path.name for path in out.iterdir()}
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 5
    assert answer["files"]["report"] == str(out / "report.html")


def test_predictions_are_one_a_row_and_the_same_in_every_form(fitted, tmp_path, capsys):
    source, out, _ = fitted
    assert run(["predict", str(out), str(source)]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert len(rows) == 120
    answers = [row["prediction"] for row in rows]
    truth = [row["churn"] for row in csv.DictReader(source.read_text("utf-8").splitlines())]
    assert np.mean([a == t for a, t in zip(answers, truth, strict=True)]) > 0.8
    assert run(["predict", str(out), str(source), "--json"]) == 0
    assert [row["prediction"] for row in json.loads(capsys.readouterr().out)] == answers
    assert run(["predict", str(out), str(source), "--out", str(tmp_path / "a.csv")]) == 0
    assert capsys.readouterr().out == f"wrote 120 rows to {tmp_path / 'a.csv'}\n"
    written = (tmp_path / "a.csv").read_text("utf-8").splitlines()
    assert [row["prediction"] for row in csv.DictReader(written)] == answers


def test_a_finished_run_has_nothing_to_resume(fitted, capsys):
    _, out, answer = fitted
    assert run(["resume", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == answer


def test_progress_goes_to_standard_error_and_the_answer_to_standard_output(fitted, tmp_path, capsys):
    source, _, _ = fitted
    common = ["fit", str(source), "--target", "churn", "--set", "max_epochs=1"]
    assert run([*common, "--out", str(tmp_path / "a")]) == 0
    loud = capsys.readouterr()
    assert "classification" in loud.err and "report.html" not in loud.err
    assert "report.html" in loud.out and "next" in loud.out
    assert run([*common, "--out", str(tmp_path / "b"), "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_inspecting_changes_nothing(fitted, tmp_path, monkeypatch, capsys):
    source, _, _ = fitted
    monkeypatch.chdir(tmp_path)
    assert run(["inspect", str(source), "--json"]) == 0
    assert "size" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["clients.csv", "--target", "chrun"], ["chrun", "did you mean 'churn'?"]),
        (["clients.csv", "--target", "churn", "--set", "hiden=3"], ["hiden", "did you mean 'hidden'?"]),
        (["clients.csv", "--target", "churn", "--set", "max_epochs=many"], ["max_epochs", "many"]),
        (["clients.csv", "--target", "churn", "--set", "batch_size=0"], ["batch_size", ">= 1"]),
        (["clients.csv", "--target", "churn", "--set", "optimizer=adm"], ["did you mean 'adam'?"]),
        (["clients.csv", "--target", "churn", "--group", "towm"], ["towm", "town"]),
        (["no such file.csv", "--target", "churn"], ["no such file.csv"]),
        (["digit"], ["did you mean 'digits'?"]),
        (["empty.csv", "--target", "churn"], ["empty"]),
        (["objects.npz"], ["pickle"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_bad_input_is_one_sentence_and_leaves_nothing(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "clients.csv")
    (tmp_path / "empty.csv").write_text("")
    np.savez(tmp_path / "objects.npz", x=np.array([{"a": 1}], dtype=object), y=np.zeros(1))
    before = sorted(tmp_path.rglob("*"))
    assert run(["fit", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ") and err.count("\n") == 1
    for word in words:
        assert word in err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_with_files_is_not_written_over(tmp_path, capsys):
    write_table(tmp_path / "a.csv")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    assert run(["fit", str(tmp_path / "a.csv"), "--target", "churn", "--out", str(tmp_path / "out")]) == 2
    assert "error: " in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("command", ["predict", "resume"])
def test_what_is_no_run_is_refused(command, tmp_path, capsys):
    arguments = [command, str(tmp_path)] + (["x.csv"] if command == "predict" else [])
    assert run(arguments) == 2
    err = capsys.readouterr().err
    assert "run" in err and err.count("\n") == 1
