"""The main job as a person runs it: real data to a judged model, predictions, a kill and a resume."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gradus import load
from gradus.core.errors import DataError, LockedError
from gradus.core.lock import RunLock
from gradus.data.reading import read
from gradus.runs.answers import inspect_source, status_of
from gradus.runs.job import fit_source, resume_run
from gradus.runs.predictions import predict_run
from gradus.runs.record import RunFolder

QUICK = {"max_epochs": "3"}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    out = tmp_path_factory.mktemp("job") / "digits"
    return fit_source("digits", settings={"max_epochs": "6"}, out=out)


def test_digits_ends_with_every_file_of_a_run(digits):
    names = {p.name for p in digits.path.iterdir()}
    assert {"config.yaml", "data.json", "metrics.jsonl", "checkpoints", "model", "report.html", "README.md"} <= names
    record = digits.read_record()
    assert record.status == "finished"
    assert [r.kind for r in record.ladder] == ["trivial", "classical", "network"]
    assert record.rung("most frequent class").test.value < 0.15
    assert record.rung("convolutional network").test.value > 0.93
    assert record.verdict in digits.card.read_text()
    assert len(digits.read_metrics()) == len(record.history) == 6
    assert not list(digits.path.rglob("*.pkl"))


def test_predictions_are_those_of_the_saved_network(digits):
    frame = predict_run(digits.path, "digits")
    data = read("digits")
    assert (frame["prediction"].to_numpy() == load(digits.model).predict(data.X)).all()
    assert (frame["prediction"].to_numpy() == data.y).mean() > 0.95
    assert np.allclose(frame.filter(like="p(").sum(axis=1), 1, atol=1e-5)


def test_the_test_rows_decided_nothing(digits, tmp_path):
    """The network's weights are those of a fit that never saw the test part."""
    record = digits.read_record()
    sizes = record.data.split
    assert sizes.train + sizes.valid + sizes.test == 1797
    again = fit_source("digits", settings={"max_epochs": "6"}, out=tmp_path / "again")
    assert again.read_record().ladder[-1].test == record.ladder[-1].test, "one seed, one result"


def test_a_classical_winner_answers_too(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    table = pd.DataFrame(x, columns=["a", "b", "c"]).assign(y=x @ [3.0, -2.0, 1.0] + 0.01 * rng.normal(size=300))
    source = tmp_path / "linear.csv"
    table.to_csv(source, index=False)
    run = fit_source(source, target="y", settings=QUICK, out=tmp_path / "run")
    record = run.read_record()
    assert record.chosen == "ridge regression", "a linear target belongs to the linear rung"
    assert "ridge regression" in record.verdict
    out = tmp_path / "answers.csv"
    frame = predict_run(run.path, source, out)
    assert np.corrcoef(frame["prediction"], table["y"])[0, 1] > 0.999
    assert np.allclose(pd.read_csv(out)["prediction"], frame["prediction"])
    table.assign(a=0.0).to_csv(source, index=False)
    with pytest.raises(DataError, match="other contents"):
        predict_run(run.path, source)


@pytest.mark.data
def test_a_real_table_with_gaps_and_categories(data_home, tmp_path):
    source = data_home / "tabular" / "credit_data.csv.gz"
    run = fit_source(source, target="Status", settings={"max_epochs": "15"}, out=tmp_path / "run")
    record = run.read_record()
    assert {r.status for r in record.ladder} == {"done"}
    network = record.rung("multilayer perceptron").test
    assert network.value > record.rung("most frequent class").test.value + 0.03
    assert "permutation" in run.report.read_text().lower() or "importance" in run.report.read_text().lower()
    people = pd.read_csv(source).drop(columns="Status").head(5)
    people.to_csv(tmp_path / "new.csv", index=False)
    assert len(predict_run(run.path, tmp_path / "new.csv")) == 5


@pytest.mark.data
def test_mnist_from_an_npz_keeps_the_publishers_test_part(data_home, tmp_path):
    with np.load(data_home / "vision" / "mnist.npz") as full:
        small = {k: full[k][:600] for k in ("x_train", "y_train", "x_test", "y_test")}
    np.savez(tmp_path / "small mnist.npz", **small)
    settings = {"max_epochs": "30", "channels": "8,16", "features": "32", "batch_size": "32"}
    run = fit_source(tmp_path / "small mnist.npz", settings=settings, out=tmp_path / "run")
    record = run.read_record()
    assert record.data.split.test == 600
    assert record.rung("convolutional network").test.value > 0.7


@pytest.mark.data
def test_a_folder_of_pictures(data_home, tmp_path):
    with np.load(data_home / "vision" / "stamps64.npz", allow_pickle=False) as stamps:
        pictures = stamps["x"]
    root = tmp_path / "bright and dark"
    rng = np.random.default_rng(0)
    for name in ("hell", "dünkel"):
        (root / name).mkdir(parents=True)
    for i in range(60):
        picture = pictures[rng.integers(len(pictures))][..., :3].astype(float)
        name = "hell" if i % 2 else "dünkel"
        shade = (picture * (1.0 if i % 2 else 0.3)).astype(np.uint8)
        Image.fromarray(shade).resize((24, 24)).save(root / name / f"{i}.png")
    run = fit_source(root, settings={"max_epochs": "10", "channels": "8", "features": "16"}, out=tmp_path / "run")
    assert run.read_record().status == "finished"
    frame = predict_run(run.path, root / "hell")
    assert list(frame.columns[:2]) == ["file", "prediction"]
    assert len(frame) == 30


def _start(out: Path, *settings: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "gradus", "fit", "digits", "--quiet", "--out", str(out)]
    for setting in settings:
        command += ["--set", setting]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _wait_for_checkpoint(out: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not list(out.glob("checkpoints/main/step_*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


LONG = (
    "max_epochs=12",
    "checkpoint_every=20",
    "early_stopping=false",
    "average_decay=0.99",
    "n_threads=1",
    "channels=8,16",
)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    return fit_source("digits", settings=dict(s.split("=") for s in LONG), out=out)


def _rows(run: RunFolder) -> list[dict]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in run.read_metrics()]


def _same(run: RunFolder, other: RunFolder) -> bool:
    mine, theirs = load(run.model), load(other.model)
    weights = theirs.network_.state_dict()
    return all(bool((v == weights[k]).all()) for k, v in mine.network_.state_dict().items())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_resumes_to_the_same_bits(number, uninterrupted, tmp_path):
    out = tmp_path / "killed"
    process = _start(out, *LONG)
    _wait_for_checkpoint(out, process)
    process.send_signal(number)
    if number == signal.SIGTERM:
        process.send_signal(number)
    code = process.wait(60)
    assert code == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    folder = RunFolder.open(out)
    assert status_of(folder, folder.read_record()) == "stopped"
    run = resume_run(out)
    assert run.read_record().status == "finished"
    assert _rows(run) == _rows(uninterrupted)
    assert _same(run, uninterrupted)


def test_one_writer_at_a_time_and_none_after_a_kill(tmp_path):
    out = tmp_path / "held"
    process = _start(out, *LONG)
    _wait_for_checkpoint(out, process)
    with pytest.raises(LockedError, match=str(process.pid)):
        resume_run(out)
    process.kill()
    process.wait(30)
    with RunLock(out):
        pass


def test_resuming_other_data_is_refused(tmp_path):
    source = tmp_path / "table.csv"
    table = pd.DataFrame({"x": np.arange(60.0), "y": ["a", "b"] * 30})
    table.to_csv(source, index=False)
    run = fit_source(source, target="y", settings=QUICK, out=tmp_path / "run")
    record = run.read_record()
    record.status = "stopped"
    run.write_record(record)
    table.assign(x=1.5 * table["x"]).to_csv(source, index=False)
    with pytest.raises(DataError, match="as it was when the run began"):
        resume_run(run.path)


def test_the_config_repeats_the_run(digits):
    config = digits.read_config()
    assert config["source"] == "digits"
    assert config["max_epochs"] == 6
    assert config["estimator"] == "ImageClassifier"
    recorded = {s.name: s.value for s in digits.read_record().settings}
    assert recorded.items() <= config.items()


def test_inspect_shows_every_guess(tmp_path):
    facts = inspect_source("iris")
    assert facts["task"] == "classification"
    assert [c["kind"] for c in facts["columns"]] == ["number"] * 4
    assert json.dumps(facts)


def test_nothing_is_written_where_a_setting_is_wrong(tmp_path):
    from gradus.core.errors import SettingError

    with pytest.raises(SettingError, match="did you mean 'learning_rate'"):
        fit_source("digits", settings={"learning_rat": "0.1"}, out=tmp_path / "run")
    assert not list(tmp_path.iterdir())
