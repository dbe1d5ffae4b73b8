"""The split of a table that no one holds: no leak, no dependence on row groups, and a fair sample."""

import numpy as np
import pandas as pd
import pytest

from gradus.core.errors import GradusError
from gradus.data.parquet import ParquetSource
from gradus.data.survey import survey_table

N = 12_000
MEMORY = 1e5  # bytes: far less than the table, so that a sample of 2,000 and parts of 1,000 are held


def table(n=N, copies=3000, seed=0):
    """Column ``u`` names each row and is no input of the split's key when dropped; every fourth row is a copy."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    frame = pd.DataFrame({"x": x, "k": rng.integers(0, 50, n), "town": rng.choice(["a", "b", None], n)})
    source, goal = rng.integers(0, n, copies), rng.permutation(n)[:copies]
    frame.loc[goal] = frame.loc[source].to_numpy()
    frame["x"], frame["k"] = frame["x"].astype(float), frame["k"].astype(int)
    return frame.assign(y=np.where(rng.random(n) < 0.5, "u", "v"))


def surveyed(tmp_path, frame, row_group=1000, memory=MEMORY, **options):
    path = tmp_path / f"t{row_group}.parquet"
    frame.to_parquet(path, row_group_size=row_group)
    return survey_table(ParquetSource(path), memory=memory, **{"target": "y", **options})


def train_mask(survey):
    groups = survey.source.groups
    return np.concatenate(
        [np.unpackbits(bits, count=g.rows).astype(bool) for g, bits in zip(groups, survey.keep, strict=True)]
    )


def keys(frame):
    return list(map(repr, frame[["x", "k", "town"]].astype(object).where(frame.notna(), None).itertuples(index=False)))


def test_equal_rows_lie_on_one_side_and_no_held_out_row_is_learned_from(tmp_path):
    frame = table()
    found = surveyed(tmp_path, frame)
    mask = train_mask(found)
    names = np.array(keys(frame))
    assert len(names) - len(set(names)) > 2000
    assert not set(names[mask]) & set(names[~mask])
    held = found.data.take(found.split.valid), found.data.take(found.split.test)
    of_valid, of_test = (set(keys(data.X)) for data in held)
    assert not of_valid & of_test and not (of_valid | of_test) & set(names[mask])
    assert set(keys(found.data.take(found.split.train).X)) <= set(names[mask])


def test_the_split_depends_on_seed_and_rows_alone(tmp_path):
    frame = table()
    found = surveyed(tmp_path, frame)
    for row_group in (37, 4096, N):
        other = surveyed(tmp_path, frame, row_group)
        assert (train_mask(other) == train_mask(found)).all()
        assert other.data.X.equals(found.data.X) and list(other.data.y) == list(found.data.y)
        assert other.fingerprint == found.fingerprint
        assert other.split.how == found.split.how
    other = surveyed(tmp_path, frame, seed=1)
    assert (train_mask(other) != train_mask(found)).mean() > 0.05
    assert other.fingerprint == found.fingerprint
    order = np.random.default_rng(1).permutation(N)
    shuffled = surveyed(tmp_path, frame.iloc[order].reset_index(drop=True))
    assert (train_mask(shuffled) == train_mask(found)[order]).all(), "a row lies on its side wherever it stands"
    assert shuffled.fingerprint != found.fingerprint


def test_parts_are_as_large_as_asked_for_or_as_memory_allows(tmp_path):
    frame = table(copies=0)
    large = surveyed(tmp_path, frame, memory=1e9, test=0.2, valid=0.1)
    counts = np.array([large.train_rows, len(large.split.valid), len(large.split.test)])
    expected = np.array([0.7, 0.1, 0.2]) * N
    # Each is binomial: six deviations are passed once in a billion runs.
    assert (np.abs(counts - expected) < 6 * np.sqrt(expected)).all()
    assert len(large.split.train) == large.train_rows == train_mask(large).sum()
    small = surveyed(tmp_path, frame)
    assert len(small.split.train) == 2000
    assert len(small.split.valid) == pytest.approx(1000, abs=150) and len(small.split.valid) <= 1000
    assert small.train_rows > N - 2300, "what is not looked at is learned from"
    assert small.rows == N == small.train_rows + (~train_mask(small)).sum()


def test_the_sample_is_uniform(tmp_path):
    """Its rows stand evenly in the file and have the mean of all; by chance it fails once in 100,000 runs."""
    frame = table(copies=0).assign(k=np.arange(N)[::-1] * 2)
    found = surveyed(tmp_path, frame)
    sample = found.data.take(found.split.train).X
    assert abs(sample["k"].mean() - (N - 1)) < 4.5 * 2 * N / np.sqrt(12 * 2000)
    assert abs(sample["x"].mean() - frame["x"].mean()) < 4.5 / np.sqrt(2000)


def test_one_epoch_of_batches_holds_the_training_rows(tmp_path):
    import torch

    frame = table().assign(u=np.arange(N)[::-1].copy())
    found = surveyed(tmp_path, frame)

    def encode(X, y):
        assert list(X.columns) == list(found.data.X.columns)
        return {
            "inputs": torch.from_numpy(X["u"].to_numpy(copy=True)),
            "targets": torch.from_numpy((y == "v").to_numpy(dtype=np.int64)),
        }

    batches = list(found.batches(encode, batch_size=64, seed=3).epoch(0))
    rows = torch.cat([batch["inputs"] for batch in batches]).numpy()
    targets = torch.cat([batch["targets"] for batch in batches]).numpy()
    assert sorted(rows) == sorted(frame["u"][train_mask(found)])
    assert (targets == (frame["y"][::-1].to_numpy()[rows] == "v")).all()


def test_groups_stay_together(tmp_path):
    frame = table(copies=0)
    found = surveyed(tmp_path, frame.assign(g=np.arange(N) % 211), group="g")
    mask = train_mask(found)
    assert not set(np.flatnonzero(mask) % 211) & set(np.flatnonzero(~mask) % 211)
    assert "g" not in found.data.X.columns and "by groups" in found.split.how
    assert 0.4 < mask.mean() < 0.8
    with pytest.raises(GradusError, match="enough to fill the"):
        surveyed(tmp_path, frame.assign(g="one"), group="g")
    with pytest.raises(GradusError, match="a group in every row"):
        surveyed(tmp_path, frame.assign(g=None), group="g")


@pytest.mark.parametrize("kind", ["dates", "text", "numbers"])
def test_time_is_cut_at_its_quantiles(tmp_path, kind):
    when = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.random.default_rng(0).integers(0, 1000, N), unit="D")
    times = {"dates": when, "text": when.strftime("%d.%m.%Y"), "numbers": when.day_of_year + 366 * when.year}[kind]
    found = surveyed(tmp_path, table(copies=0).assign(t=times), time="t", test=0.2, valid=0.1)
    mask = train_mask(found)
    of = {side: found.data.take(getattr(found.split, side)).X["t"] for side in ("train", "valid", "test")}
    if kind == "text":
        of = {side: pd.to_datetime(values, format="%d.%m.%Y") for side, values in of.items()}
    assert of["train"].max() < of["valid"].min() <= of["valid"].max() < of["test"].min()
    assert when[mask].max() < when[~mask].min()
    assert mask.mean() == pytest.approx(0.7, abs=0.02)
    assert "1,000 of" in found.split.how


def test_times_that_cannot_be_cut_are_refused(tmp_path):
    for values, words in (
        ("2020-01-01", "more different times"),
        (None, "a time in every row"),
        ("soon", "dates in column"),
    ):
        with pytest.raises(GradusError, match=words):
            surveyed(tmp_path, table(copies=0).assign(t=values), time="t")


def test_rare_classes_are_in_the_sample_and_single_ones_left_out(tmp_path):
    frame = table(copies=0)
    frame.loc[[5, 6000, 11_000, 11_500], "y"] = "rare"
    frame.loc[4444, "y"] = "single"
    found = surveyed(tmp_path, frame)
    mask = train_mask(found)
    assert not mask[4444] and "single" not in set(found.data.y)
    assert found.rows == N - 1
    assert any("classes of a single row" in str(note) for note in found.data.notes)
    assert found.classes == frame["y"][mask].value_counts().to_dict()
    assert (found.data.take(found.split.train).y == "rare").sum() >= 2
    lone = table(copies=0)
    lone.loc[~mask & (np.arange(N) % 2 == 1), "y"] = "held"  # a class that lies outside of training only
    found = surveyed(tmp_path, lone)
    assert set(found.data.y) == {"u", "v"} and any("no training row" in str(note) for note in found.data.notes)


def test_targets_are_cleaned_as_in_memory(tmp_path):
    frame = table(copies=0)
    frame["y"] = frame["y"].astype(object)
    frame.loc[::10, "y"] = " " + frame.loc[::10, "y"]
    frame.loc[5::10, "y"] = None
    found = surveyed(tmp_path, frame)
    assert set(found.data.y) == {"u", "v"} == set(found.classes)
    assert found.rows == N - N // 10 and not train_mask(found)[5::10].any()
    told = " ".join(map(str, found.data.notes))
    assert "spaces around its values were taken away" in told and "rows without a target (1,200)" in told


@pytest.mark.parametrize(
    ("target", "task"),
    [
        (np.linspace(0, 1, N), "regression"),
        (np.arange(N) % 3, "classification"),
        (np.arange(N) % 2 == 0, "classification"),
    ],
)
def test_the_task_is_told_from_the_whole_target(tmp_path, target, task):
    found = surveyed(tmp_path, table(copies=0).assign(y=target))
    assert found.task == task
    if task == "regression":
        assert found.range == (0.0, 1.0) and found.classes is None


def test_numbers_with_gaps_and_infinities_lose_those_rows(tmp_path):
    y = np.random.default_rng(0).normal(size=N)
    y[::4], y[1::4] = np.nan, np.inf
    found = surveyed(tmp_path, table(copies=0).assign(y=y))
    assert found.rows == N // 2 and np.isfinite(found.data.y.to_numpy()).all()


def test_a_table_of_few_different_rows_is_divided_row_by_row(tmp_path):
    frame = pd.DataFrame({"x": np.arange(N) % 2, "y": np.arange(N) % 3 % 2})
    found = surveyed(tmp_path, frame)
    assert any("row by row" in str(note) for note in found.data.notes)
    assert 0.7 < train_mask(found).mean() < 0.95
    assert len(found.split.valid) > 800 and len(found.split.test) > 800


def test_a_column_that_counts_the_rows_is_no_input(tmp_path):
    frame = table(copies=0).assign(row=np.arange(1, N + 1), other=np.arange(N) + 7)
    found = surveyed(tmp_path, frame, row_group=999)
    assert "row" not in found.data.X.columns and "other" in found.data.X.columns


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({}, {"target": "z"}, "one of the columns"),
        ({}, {"group": "xx"}, "one of the columns"),
        ({}, {"group": "y"}, "--group beside the target"),
        ({}, {"group": "k", "time": "x"}, "by groups or by time"),
        ({"y": "u"}, {}, "only 'u'"),
        ({"y": None}, {}, "none in t1000"),
        ({"y": [f"n{i}" for i in range(N)]}, {}, "at most 10,000 classes"),
        ({"y": np.arange(N)}, {"task": "classification"}, "--task regression"),
        ({"y": ["u"] * (N - 1) + ["v"]}, {}, "1 of 2 classes"),
        ({"x": 1.0, "k": 1, "town": "a"}, {}, "the same values in every row"),
        ({}, {"test": 0.6, "valid": 0.5}, "leave rows to train on"),
    ],
)
def test_what_nothing_can_be_learned_from_is_refused(tmp_path, change, options, words):
    with pytest.raises(GradusError, match=words):
        surveyed(tmp_path, table(copies=0).assign(**change), **options)
