"""The run folder: what is written comes back, whatever was torn, damaged, or written by someone else."""

import threading
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gradus.core.errors import DamagedFileError, DataError, InputError, StorageError
from gradus.practice.baselines import baselines
from gradus.practice.contests import Labelled
from gradus.practice.ladder import climb
from gradus.runs.record import (
    DataRecord,
    MetricsLog,
    RunFolder,
    RunRecord,
    SettingRecord,
    SplitRecord,
    config_yaml,
    read_metrics,
    versions,
)


def climbed():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2))
    y = np.where(X[:, 0] > 0, "yes", "no")
    contest = Labelled((X[:60], y[:60]), (X[60:90], y[60:90]), (X[90:], y[90:]), "log_loss")
    ladder = climb(baselines("classification", "table", 60, 2), contest)
    data = DataRecord(name="toy", kind="table", rows=120, columns=2, classes=["no", "yes"],
                      split=SplitRecord(train=60, valid=30, test=30, how="by order"))  # fmt: skip
    settings = [SettingRecord(name="hidden", value=(8, 4), default=[8], meaning="units a layer")]
    record = RunRecord(name="toy", task="classification", target="kind", data=data, settings=settings)
    record.history = [{"epoch": 0, "loss": float("nan")}]
    record.versions = versions()
    return record.climbed(ladder), ladder


def test_a_record_comes_back_equal_nan_and_all(tmp_path):
    record, ladder = climbed()
    folder = RunFolder.create(tmp_path, "toy", exact=True)
    folder.write_record(record)
    again = RunFolder.open(tmp_path / "toy").read_record()
    assert np.isnan(again.history[0]["loss"])
    record.history, again.history = [], []
    assert again == record
    chosen = again.rung(again.chosen)
    assert chosen.test.value == ladder.row(ladder.chosen).test.value and chosen.test.unit == "nats"
    assert again.test_scores["accuracy"].unit == "" and again.verdict == ladder.verdict()
    assert again.settings[0].value == [8, 4] and again.settings[0].changed
    assert folder.data.is_file() and {"torch", "python", "gradus-dl"} <= set(again.versions)


def test_a_newer_format_is_told_from_damage(tmp_path):
    folder = RunFolder.create(tmp_path, "r", exact=True)
    folder.write_record(RunRecord(name="r", task="regression"))
    text = folder.record_file.read_text()
    folder.record_file.write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(DataError, match="got format 2; upgrade"):
        folder.read_record()
    folder.record_file.write_text(text.replace('"regression"', "7"))
    with pytest.raises(DamagedFileError, match="task"):
        folder.read_record()
    folder.record_file.write_text(text[: len(text) // 2])
    with pytest.raises(DamagedFileError):
        folder.read_record()
    folder.record_file.write_text(text.replace('"seed"', '"from_the_future": 1, "seed"'))
    assert folder.read_record().name == "r"


def test_names_are_readable_unique_and_safe(tmp_path):
    made = []
    start = threading.Barrier(8)

    def make():
        start.wait()
        made.extend(RunFolder.create(tmp_path, "Größe & Gewicht/../x.csv").path for _ in range(5))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 40 and all(path.is_dir() and path.parent == tmp_path for path in made)
    assert made[0].name.startswith(f"größe-gewicht-x-csv-{datetime.now():%Y}")
    assert RunFolder.create(tmp_path, "///").path.name.startswith("run-")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for exact in (True, False):
        with pytest.raises(StorageError) as caught:
            RunFolder.create(tmp_path / "file", "r", exact=exact)
        assert "file" in str(caught.value) and "\n" not in str(caught.value)
    RunFolder.create(tmp_path, "taken", exact=True).log("here")
    with pytest.raises(StorageError, match="one with files"):
        RunFolder.create(tmp_path, "taken", exact=True)


def test_only_runs_are_listed_and_opened_the_newest_first(tmp_path):
    (tmp_path / "other").mkdir()
    assert RunFolder.all(tmp_path) == [] == RunFolder.all(tmp_path / "none")
    for i, name in enumerate(("b", "a")):
        folder = RunFolder.create(tmp_path, name, exact=True)
        folder.write_record(RunRecord(name=name, task="regression"))
        import os

        os.utime(folder.record_file, (1000 + i, 1000 + i))
    assert [f.path.name for f in RunFolder.all(tmp_path)] == ["a", "b"]
    for path in (tmp_path / "none", tmp_path / "other"):
        with pytest.raises(DataError, match="gradus runs"):
            RunFolder.open(path)


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=30)
)


@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=12),
        st.tuples(SCALARS | st.lists(SCALARS, max_size=4), st.text(max_size=40)),
        max_size=6,
    ),
    st.text(max_size=60),
)  # fmt: skip
def test_settings_survive_yaml_exactly(values, head):
    written = [SettingRecord(name=k, value=v, default=0, meaning=m, unit=m[:3]) for k, (v, m) in values.items()]
    back = yaml.safe_load(config_yaml(written, head))
    expected = {k: v for k, (v, _) in values.items()}
    assert (back or {}) == expected
    kinds = {k: type(v) for k, v in (back or {}).items()}
    assert kinds == {k: type(v) for k, v in expected.items()}


@pytest.mark.parametrize("word", ["no", "on", "1e3", "1_000", "2024-01-31", "null", "0x1f", "1:30", "~", "", "a: b"])
def test_words_yaml_would_read_as_something_else_stay_text(word):
    assert yaml.safe_load(config_yaml([SettingRecord(name="x", value=word)])) == {"x": word}


def test_settings_are_written_with_meaning_unit_and_default(tmp_path):
    folder = RunFolder(tmp_path)
    settings = [
        SettingRecord(name="rate", value=1e-05, default=0.001, meaning="length of\na step", unit="1/step"),
        SettingRecord(name="optimizer", value="adamw", default="adamw"),
        SettingRecord(name="hidden", value=[64, 32], default=[64, 32], meaning="units"),
        SettingRecord(name="max_time", value=None, default=None, meaning="limit", unit="seconds"),
    ]
    folder.write_config(settings, "gradus fit x")
    assert folder.config.read_text().splitlines() == [
        "# gradus fit x",
        "# length of a step (1/step); default 0.001", "rate: 1.0e-05",
        "optimizer: adamw",
        "# units", "hidden: [64, 32]",
        "# limit (seconds)", "max_time: null",
    ]  # fmt: skip
    assert folder.read_config() == {"rate": 1e-05, "optimizer": "adamw", "hidden": [64, 32], "max_time": None}
    for damage in ("- a\n- b", "a: [1", "1: 2", "x: !!python/object/apply:os.getcwd []"):
        folder.config.write_text(damage)
        with pytest.raises(DamagedFileError):
            folder.read_config()
    with pytest.raises(InputError):
        config_yaml([SimpleNamespace(name="x", value=object(), default=None, meaning="", unit=None, changed=False)])


def test_a_log_cut_anywhere_gives_back_its_whole_lines_and_goes_on(tmp_path):
    rows = [{"epoch": i, "loss": 1 / (i + 1), "name": "ä"} for i in range(4)]
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        for row in rows:
            log.append(row)
            assert read_metrics(path)[-1] == row  # each row is with the system at once
    data = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(data) if byte == ord("\n")]
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        whole = sum(end <= cut for end in ends)
        seen = read_metrics(path)
        # a line whose newline alone is missing is whole in content and may be read
        assert seen in (rows[:whole], rows[: whole + 1]) and (seen == rows[:whole] or cut + 1 in ends)
        with MetricsLog(path) as log:
            log.append({"epoch": 99})
        assert read_metrics(path) == [*rows[:whole], {"epoch": 99}]


def test_damage_inside_the_log_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"epoch": 0}\n{"epo\n{"epoch": 2}\n')
    with pytest.raises(DamagedFileError, match="line 2"):
        read_metrics(path)
    path.write_bytes(b'{"epoch": 0}\n\x00\x00\x00\n')  # what a power cut leaves of the last line
    assert read_metrics(path) == [{"epoch": 0}]


def test_a_resumed_run_forgets_what_it_measures_again(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.read_metrics() == []
    with folder.metrics_log() as log:
        for epoch in range(5):
            log.append({"epoch": epoch, "loss": float("nan") if epoch == 1 else 0.5})
    folder.keep_metrics(2)
    assert [row["epoch"] for row in folder.read_metrics()] == [0, 1, 2]
    assert np.isnan(folder.read_metrics()[1]["loss"])


def test_the_log_has_one_line_an_entry(tmp_path):
    folder = RunFolder(tmp_path)
    folder.log("first\nstill first")
    folder.log("größer")
    lines = folder.log_file.read_text(encoding="utf-8").splitlines()
    assert [line[21:] for line in lines] == ["first still first", "größer"]
    assert datetime.fromisoformat(lines[0][:19]).year >= 2024
