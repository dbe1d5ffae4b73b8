"""A run on data larger than its memory: as good as in memory, taken up after a kill, asked again in blocks."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from gradus import load
from gradus.core.errors import DataError, GradusError, SettingError
from gradus.runs import predictions
from gradus.runs.answers import inspect_source
from gradus.runs.job import fit_source, resume_run
from gradus.runs.predictions import predict_run, predict_to
from gradus.runs.record import RunFolder

N = 12_000
TINY = "0.0001"  # GiB: about 1,600 rows
SETTINGS = {"max_epochs": "8", "hidden": "32,32", "batch_size": "64", "n_threads": "1", "learning_rate": "0.003"}


def customers(n=N, seed=0):
    """Numbers with gaps, a category, a date, and a pattern in which all of them count."""
    rng = np.random.default_rng(seed)
    age, visits = rng.normal(45, 15, n), rng.poisson(4, n)
    town, days = rng.integers(0, 12, n), rng.integers(0, 1461, n)
    effect = np.random.default_rng(9).normal(size=12)
    score = (age - 45) / 15 * (visits - 4) / 2 + effect[town] + np.sin(days / 365.25 * 2 * np.pi)
    age[rng.random(n) < 0.05] = np.nan
    since = pd.Timestamp("2020-01-01") + pd.to_timedelta(days, unit="D")
    frame = pd.DataFrame({"age": age, "visits": visits, "town": np.char.add("town ", town.astype(str)), "since": since})
    return frame.assign(churn=np.where(score > 0, "yes", "no")), score


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "customers.parquet"
    customers()[0].to_parquet(path, row_group_size=1500)
    return path


@pytest.fixture(scope="module")
def streamed(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("streamed") / "run"
    return fit_source(source, target="churn", settings={**SETTINGS, "memory": TINY}, out=out)


def network_of(run):
    return next(rung for rung in run.read_record().ladder if rung.kind == "network")


def test_a_streamed_run_is_as_good_as_one_in_memory(source, streamed, tmp_path):
    """Both learn from 10,000 rows; on tests of 1,000 rows, 0.03 of accuracy is three standard deviations."""
    shares = {"test_fraction": "0.08", "valid_fraction": "0.08"}
    whole = fit_source(source, target="churn", settings=SETTINGS | shares, out=tmp_path / "run")
    in_memory, stream = network_of(whole).test, network_of(streamed).test
    assert in_memory.value > 0.85
    assert abs(stream.value - in_memory.value) < 0.03
    assert whole.read_record().data.split.train == 10_080
    fresh, _ = customers(4000, seed=5)
    model = load(streamed.model)
    assert (model.predict(fresh.drop(columns="churn")) == fresh["churn"]).mean() > in_memory.value - 0.03


def test_a_streamed_run_says_what_it_did(streamed):
    record = streamed.read_record()
    assert record.status == "finished"
    assert record.data.rows == N
    split = record.data.split
    assert split.train > 9500 and split.valid <= 1000 and split.test <= 1000
    assert 9500 < split.train <= N - split.valid - split.test
    told = " ".join(record.data.notes)
    assert "12,000 rows" in told and f"memory={TINY} GiB" in told and "a sample of 2,000" in told
    assert "a category that is not in it counts as unknown" in told
    for rung in record.ladder[:-1]:
        assert "from a sample of 2,000 of the" in rung.why
    assert "sample" not in record.ladder[-1].why
    assert streamed.read_config()["memory"] == 0.0001
    assert f"--set memory={TINY}" in record.command
    assert "a sample of 2,000" in streamed.report.read_text("utf-8")
    network = load(streamed.model)
    assert network.column_kinds_ == {"age": "number", "visits": "number", "town": "category", "since": "date"}
    steps = network.n_steps_ / network.n_epochs_
    assert steps == -(-split.train // 64), "the network saw every training row in each epoch"


def test_memory_is_recorded_where_it_was_not_asked_for(tmp_path):
    table = customers(300)[0]
    table.to_parquet(tmp_path / "a.parquet")
    run = fit_source(tmp_path / "a.parquet", target="churn", settings={"max_epochs": "1"}, out=tmp_path / "run")
    memory = run.read_config()["memory"]
    assert memory > 0
    assert "memory=" not in run.read_record().command
    assert "memory" not in " ".join(run.read_record().data.notes)


def test_what_cannot_be_streamed_says_that_it_is_read_whole(tmp_path):
    customers(400)[0].to_csv(tmp_path / "a.csv", index=False)
    settings = {"max_epochs": "1", "memory": "0.00001"}
    run = fit_source(tmp_path / "a.csv", target="churn", settings=settings, out=tmp_path / "run")
    assert "convert it to Parquet to stream it" in " ".join(run.read_record().data.notes)


@pytest.mark.parametrize("memory", ["0", "-1", "abc", "inf", "nan"])
def test_memory_that_is_none_is_refused(source, memory, tmp_path):
    with pytest.raises(SettingError, match="memory to be a number > 0"):
        fit_source(source, target="churn", settings={"memory": memory}, out=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_settings_that_no_stream_can_follow_are_refused_before_anything_is_written(source, tmp_path):
    for setting, value in (("retrain", "epochs"), ("class_weight", "yes:0")):
        with pytest.raises(SettingError, match="larger than memory"):
            fit_source(source, target="churn", settings={"memory": TINY, setting: value}, out=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_class_weights_are_of_all_training_rows(source, tmp_path):
    from gradus.training.observers import observed_by

    seen = []

    def watch(trainer, event):
        if event == "start":
            batches = list(trainer.batches.epoch(0))
            pairs = [(b["targets"], b["weights"]) for b in batches]
            seen.append([torch.cat(parts) for parts in zip(*pairs, strict=True)])

    settings = {**SETTINGS, "memory": TINY, "class_weight": "balanced", "max_epochs": "1"}
    with observed_by(watch):
        fit_source(source, target="churn", settings=settings, out=tmp_path / "run")
    targets, weights = seen[0]
    for code in (0, 1):
        assert torch.allclose(weights[targets == code], torch.tensor(len(targets) / (2 * int((targets == code).sum()))))


# ---- stopped and taken up ----

LONG = {**SETTINGS, "memory": TINY, "max_epochs": "6", "checkpoint_every": "50", "early_stopping": "false"}


@pytest.fixture(scope="module")
def uninterrupted(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    return fit_source(source, target="churn", settings=LONG, out=out)


def start(source, out):
    command = [sys.executable, "-m", "gradus", "fit", str(source), "--target", "churn", "--quiet", "--out", str(out)]
    for name, value in LONG.items():
        command += ["--set", f"{name}={value}"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_run_killed_in_mid_epoch_is_taken_up_to_the_same_bits(number, source, uninterrupted, tmp_path):
    out = tmp_path / "killed"
    process = start(source, out)
    deadline = time.monotonic() + 180
    while not list(out.glob("checkpoints/main/step_[2-9]?0")):  # 160 steps an epoch: in the middle of the second
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    process.wait(60)
    assert RunFolder.open(out).read_record().status != "finished"
    resumed = resume_run(out)
    mine, theirs = load(resumed.model), load(uninterrupted.model)
    weights = theirs.network_.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in mine.network_.state_dict().items())
    rows = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in r.read_metrics()] for r in (resumed, uninterrupted)
    ]
    assert rows[0] == rows[1] and len(rows[0]) == 6
    scores = [[(rung.valid, rung.test) for rung in r.read_record().ladder] for r in (resumed, uninterrupted)]
    assert scores[0] == scores[1]


def test_data_that_changed_are_not_taken_up(source, streamed, tmp_path):
    copy = tmp_path / "customers.parquet"
    frame = pd.read_parquet(source)
    frame.to_parquet(copy, row_group_size=1500)
    settings = {**SETTINGS, "memory": TINY, "max_epochs": "1"}
    run = fit_source(copy, target="churn", settings=settings, out=tmp_path / "run")
    record = run.read_record()
    assert record.data.fingerprint == streamed.read_record().data.fingerprint
    record.status = "stopped"
    run.write_record(record)
    frame.to_parquet(copy, row_group_size=700)
    assert resume_run(run.path).read_record().status == "finished", "the same rows in other row groups"
    run.write_record(record)
    frame.loc[N - 1, "age"] = 33.25
    frame.to_parquet(copy)
    with pytest.raises(DataError, match="as it was when the run began"):
        resume_run(run.path)


# ---- numbers, groups, times ----


def test_a_regression_with_groups_streams(tmp_path):
    frame, score = customers()
    frame = frame.drop(columns="churn").assign(owner=np.arange(N) % 601, worth=1000 + 50 * score)
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=2000)
    settings = {**SETTINGS, "memory": TINY}
    run = fit_source(tmp_path / "a.parquet", target="worth", group="owner", settings=settings, out=tmp_path / "run")
    record = run.read_record()
    assert record.task == "regression" and "by groups" in record.data.split.how
    assert network_of(run).test.value > 0.9, "R squared"
    answers = predict_run(run.path, tmp_path / "a.parquet")
    assert np.corrcoef(answers["prediction"], frame["worth"])[0, 1] > 0.95


def test_a_run_by_time_streams(tmp_path):
    customers()[0].to_parquet(tmp_path / "a.parquet", row_group_size=2000)
    settings = {**SETTINGS, "memory": TINY, "max_epochs": "2"}
    run = fit_source(tmp_path / "a.parquet", target="churn", time="since", settings=settings, out=tmp_path / "run")
    assert run.read_record().data.split.how.startswith("by time")


# ---- images ----


def test_a_folder_of_images_streams(tmp_path, monkeypatch):
    digits = load_digits()
    for i, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        place = tmp_path / "digits" / str(label) / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 255 / 16).astype(np.uint8)).save(place)
    settings = {"max_epochs": "12", "channels": "8,16", "features": "32", "batch_size": "32", "n_threads": "1"}
    whole = fit_source(tmp_path / "digits", settings=settings, out=tmp_path / "whole")
    settings |= {"memory": "0.0001"}
    run = fit_source(tmp_path / "digits", settings=settings, out=tmp_path / "run")
    record = run.read_record()
    assert "1,797 images" in " ".join(record.data.notes) and record.data.shape == [8, 8, 1]
    assert record.data.split.train + record.data.split.valid + record.data.split.test == 1797 == record.data.rows
    assert network_of(run).test.value > 0.93 and abs(network_of(run).test.value - network_of(whole).test.value) < 0.04
    answers = predict_run(run.path, tmp_path / "digits")
    assert answers["file"].str.split("/").str[0].astype(str).eq(answers["prediction"].astype(str)).mean() > 0.95
    monkeypatch.setattr(predictions, "ANSWER_ROWS", 500)
    torn = tmp_path / "digits" / "3" / "torn.png"
    torn.write_bytes(next((tmp_path / "digits" / "3").iterdir()).read_bytes()[:60])
    listener = Listener()
    frames = list(predictions.predict_blocks(run.path, tmp_path / "digits", console=listener))
    assert [len(frame) for frame in frames] in ([500, 500, 499, 298], [499, 500, 500, 298], [500, 499, 500, 298])
    in_blocks = pd.concat(frames, ignore_index=True)
    assert (in_blocks["file"] == answers["file"]).all() and (in_blocks["prediction"] == answers["prediction"]).all()
    assert np.allclose(in_blocks.filter(like="p("), answers.filter(like="p("), atol=1e-6)
    assert len(listener.said) == 1 and "damaged images: skipped: 3/torn.png" in listener.said[0]


# ---- inspect and predict ----


def test_inspect_tells_of_the_whole(source, monkeypatch):
    monkeypatch.setattr("gradus.runs.answers.default_memory", lambda: float(TINY))
    facts = inspect_source(source, target="churn")
    assert facts["rows"] == N and facts["task"] == "classification" and facts["classes"] == ["no", "yes"]
    assert [c["kind"] for c in facts["columns"]] == ["number", "number", "category", "date"]
    assert "12,000 rows" in facts["notes"][0]
    assert json.dumps(facts)


@pytest.fixture
def blocks(monkeypatch):
    monkeypatch.setattr(predictions, "BLOCK", 4096)


@pytest.mark.parametrize("rung", ["multilayer perceptron", "boosted trees"])
def test_answers_in_blocks_are_those_of_the_whole(source, streamed, rung, tmp_path, monkeypatch):
    record = streamed.read_record()
    chosen = record.chosen
    try:
        record.chosen = rung
        streamed.write_record(record)
        whole = predict_run(streamed.path, source)
        monkeypatch.setattr(predictions, "BLOCK", 4096)
        sizes = [len(frame) for frame in predictions.predict_blocks(streamed.path, source)]
        assert sizes == [4096, 4096, N - 8192]
        assert predict_run(streamed.path, source).equals(whole)
        for name in ("a.csv", "a.parquet"):
            assert predict_to(streamed.path, source, tmp_path / name) == N
        assert pd.read_parquet(tmp_path / "a.parquet").equals(whole)
        assert pd.read_csv(tmp_path / "a.csv")["prediction"].tolist() == whole["prediction"].tolist()
        assert np.allclose(pd.read_csv(tmp_path / "a.csv")["p(yes)"], whole["p(yes)"], atol=0, rtol=1e-12)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "a.parquet"]
    finally:
        record.chosen = chosen
        streamed.write_record(record)


class Listener:
    """A console that remembers what it was told."""

    def __init__(self):
        self.said = []

    def print(self, text, **_):
        self.said.append(text)


def test_notes_of_blocks_are_summed(streamed, blocks, tmp_path):
    frame = customers()[0].drop(columns="churn")
    frame.loc[::3, "town"] = "Atlantis"
    frame["age"] = frame["age"].astype(str).replace("nan", None)
    frame.loc[:9, "age"] = "old"
    frame.to_parquet(tmp_path / "new.parquet")

    console = Listener()
    record = streamed.read_record()
    record.chosen = "multilayer perceptron"
    streamed.write_record(record)
    predict_to(streamed.path, tmp_path / "new.parquet", tmp_path / "a.csv", console=console)
    assert len(console.said) == 2
    assert "'town' (4,000): new or rare categories" in " ".join(console.said)
    assert "'age' (10): values that are no numbers were taken as missing: 'old'" in " ".join(console.said)
    frame["age"] = "unknown"
    frame.to_parquet(tmp_path / "new.parquet")
    with pytest.raises(GradusError, match="numbers in column 'age'"):
        predict_to(streamed.path, tmp_path / "new.parquet", tmp_path / "b.csv")
    frame.drop(columns="since").to_parquet(tmp_path / "new.parquet")
    with pytest.raises(GradusError, match="the column 'since'"):
        predict_to(streamed.path, tmp_path / "new.parquet", tmp_path / "b.parquet")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "new.parquet"]
