"""The doctor on runs of every kind that holds a network, and what is said of rows it has not seen."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from gradus.core.errors import DataError
from gradus.practice.doctor.generalization import Fit, Generalization
from gradus.runs import generalization as asked
from gradus.runs.doctor import build_of_run, examine_run
from gradus.runs.generalization import _affordable, generalized
from gradus.runs.job import fit_source, prepare_again

COLUMNS = 4


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return runs of several kinds: a table with a target, rows alone, a text, series, and one without a network."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, COLUMNS)) @ rng.normal(size=(COLUMNS, COLUMNS)) * [1, 5, 0.2, 40] + 3
    names = [f"c{k}" for k in range(COLUMNS)]
    frame = pd.DataFrame(rows, columns=names)
    frame.to_csv(folder / "rows.csv", index=False)
    frame.assign(kind=np.where(rows[:, 0] > 3, "a", "b")).to_csv(folder / "kinds.csv", index=False)
    months = pd.date_range("2000-01-01", periods=160, freq="MS").strftime("%Y-%m-%d")
    waves = 5 + np.sin(2 * np.pi * np.arange(160) / 12) + rng.normal(0, 0.1, 160)
    pd.DataFrame({"month": months, "sold": waves}).to_csv(folder / "series.csv", index=False)
    words = "the cat sat on the mat and the dog sat on the log while a bird in the tree sang to the bee".split()
    (folder / "verse.txt").write_text("\n".join(" ".join(rng.permutation(words)) for _ in range(60)))
    small = {"width": "16", "layers": "1", "heads": "2", "context": "16", "max_steps": "10", "n_threads": "1"}

    def fit(name, source, **more):
        return fit_source(folder / source, out=folder / name, **more)

    return {
        "table": fit("table", "kinds.csv", settings={"max_epochs": "4", "n_threads": "1"}),
        "codes": fit("codes", "rows.csv", task="compress", settings={"max_epochs": "2", "n_threads": "1"}),
        "text": fit("text", "verse.txt", settings=small),
        "series": fit("series", "series.csv", settings={"horizon": "4", "max_epochs": "1", "n_threads": "1"}),
        "groups": fit("groups", "rows.csv", task="cluster"),
    }


def opened(run):
    record = run.read_record()
    return record, prepare_again(run, record)


@pytest.mark.parametrize("kind", ["table", "codes", "text", "series"])
def test_every_kind_of_network_is_examined_and_its_run_left_alone(runs, kind):
    run = runs[kind]
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in Path(run.path).rglob("*")}
    found = examine_run(run.path, max_time=3.0)
    assert found.measures["steps"] > 0 and math.isfinite(found.measures["first_loss"])
    assert not [f for f in found.findings if f.cause == "program_fails"]
    assert found.tables["layers"]
    assert {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in Path(run.path).rglob("*")} == before


@pytest.mark.parametrize("kind", ["codes", "text", "series"])
def test_what_is_examined_is_the_run_s_own_network_batch_and_loss(runs, kind):
    """The first epoch's loss, taken again with the plain steps of what was handed over, is the recorded one."""
    record, started = opened(runs[kind])
    parts = build_of_run(started)(seed=record.seed)
    optimizers = parts["optimizer"]
    parts["network"].train()
    total = count = 0.0
    torch.manual_seed(0)
    for batch in parts["train"]:
        for optimizer in optimizers:
            optimizer.zero_grad()
        value = parts["objective"](parts["network"], batch)
        value.backward()
        for optimizer in optimizers:
            optimizer.step()
        total, count = total + float(value.detach()), count + 1
        if kind == "text" and count == 10:
            break
    # masks and noise are drawn anew, and schedules are left out: near, not equal; another network would be far
    assert total / count == pytest.approx(record.history[0]["loss"], rel=0.15)


def test_builds_do_not_share_what_training_changes(runs):
    build = build_of_run(opened(runs["codes"])[1])
    one, two = build(seed=0), build(seed=0)
    for p, q in zip(one["network"].parameters(), two["network"].parameters(), strict=True):
        assert torch.equal(p, q) and p is not q
    batch = next(iter(one["train"]))
    one["objective"](one["network"], batch).backward()
    one["optimizer"][0].step()
    assert any(
        not torch.equal(p, q) for p, q in zip(one["network"].parameters(), two["network"].parameters(), strict=True)
    )
    other = build(seed=1)
    assert any(
        not torch.equal(p, q) for p, q in zip(other["network"].parameters(), two["network"].parameters(), strict=True)
    )


def test_a_model_that_takes_no_steps_is_refused_in_one_sentence(runs):
    with pytest.raises(DataError, match="a network that is trained by gradients, got a GaussianMixture") as caught:
        examine_run(runs["groups"].path, max_time=3.0)
    assert "\n" not in str(caught.value)


# ---- generalization ----


def answers(run, **more):
    record, started = opened(run)
    return record, generalized(run, record, started, build_of_run(started), **more)


def test_the_network_is_held_against_the_best_baseline_by_the_run_s_own_scores(runs):
    record, found = answers(runs["table"], max_time=1.0)
    network = next(r for r in record.ladder if r.kind == "network")
    below = [(r.valid.value, r.name) for r in record.ladder if r.kind != "network"]
    assert found.fit.valid == pytest.approx(network.valid.value, abs=1e-12)
    assert (found.fit.bar, found.fit.bar_is) == max(below)
    assert found.fit.metric in found.sentences()[0]


def test_a_goal_takes_the_baseline_s_place(runs):
    _, found = answers(runs["table"], max_time=1.0, goal=2.0)  # more than anything reaches, on any rows
    assert (found.fit.bar, found.fit.bar_is, found.fit.verdict) == (2.0, "goal", "underfits")
    assert found.sentences()[0].startswith("underfitting: ") and "where the goal is 2" in found.sentences()[0]


def test_what_there_is_no_time_for_is_said_and_not_guessed(runs):
    record, started = opened(runs["table"])
    next(r for r in record.ladder if r.kind == "network").fit_seconds = 1e6
    found = generalized(runs["table"], record, started, build_of_run(started), max_time=5.0)
    assert found.curve is None and found.seeds is None
    assert sum(s.startswith("not measured: ") for s in found.sentences()) == 2


def test_curve_seeds_and_noise_are_told_with_numbers(runs, monkeypatch):
    monkeypatch.setattr(asked, "SIZES", (4, 4))
    monkeypatch.setattr(asked, "REPEATS", (2, 2))
    monkeypatch.setattr(asked, "SEEDS", (3, 3))
    record, started = opened(runs["table"])
    next(r for r in record.ladder if r.kind == "network").fit_seconds = 0.01
    found = generalized(runs["table"], record, started, build_of_run(started), max_time=60.0)
    facts = found.as_dict()
    rows = started.opened.contest().train.y
    assert facts["curve"]["sizes"][-1] == round(0.75 * len(rows)) and facts["curve"]["repeats"] == 2
    assert facts["curve"]["ahead"][2] == 2 * facts["curve"]["sizes"][-1]
    assert all(a <= b for a, b in zip(facts["curve"]["low"], facts["curve"]["high"], strict=True))
    assert facts["curve"]["error"][-1] == pytest.approx(found.curve.error)
    assert len(facts["seeds"]["skills"]) == 3
    assert facts["noise"]["share"] < 0.2
    said = " ".join(found.sentences())
    assert "twice the data" in said and "over 3 seeds" in said


def test_a_run_of_another_kind_has_no_such_answers(runs):
    record, started = opened(runs["series"])
    with pytest.raises(DataError, match="leave out --generalization"):
        generalized(runs["series"], record, started, build_of_run(started), max_time=5.0)


@pytest.mark.parametrize(
    ("train", "valid", "bar", "verdict"),
    [
        (0.99, 0.96, 0.95, "reached"),
        (0.99, 0.94, 0.95, "within noise"),
        (0.99, 0.90, 0.95, "overfits"),
        (0.91, 0.90, 0.95, "underfits"),
    ],
)
@pytest.mark.parametrize("higher", [True, False])
def test_where_a_network_stands(train, valid, bar, verdict, higher):
    """Turned around, errors in place of scores say the same."""
    sign = 1 if higher else -1
    low, high = sorted((sign * valid - 0.02, sign * valid + 0.02))
    assert Fit("m", higher, sign * train, sign * valid, low, high, sign * bar, "goal").verdict == verdict


@pytest.mark.parametrize("seconds", [1.0, 5.0, 20.0, 100.0])
def test_a_curve_that_is_begun_fits_in_its_time(seconds):
    sizes, repeats = _affordable(seconds, 1.0)
    cost = repeats * 0.75 * np.geomspace(1 / 16, 1, sizes).sum()
    assert cost <= seconds
    assert (repeats == 0) == (seconds < 2 * 0.75 * np.geomspace(1 / 16, 1, 4).sum())


def test_nothing_measured_is_nothing_said():
    assert Generalization().as_dict() == {"sentences": []}
