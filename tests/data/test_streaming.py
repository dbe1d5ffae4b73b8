"""Streams give every row once, the same from any step on, and read no more than they must."""

import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from gradus.core.errors import GradusError
from gradus.data.batches import Batches
from gradus.data.parquet import ParquetSource
from gradus.data.streaming import ImageFolderBatches, ParquetBatches

N = 1003


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two files of row groups of 100 and 37 rows; column a counts all rows."""
    folder = tmp_path_factory.mktemp("parquet")
    frame = pd.DataFrame(
        {
            "a": np.arange(N, dtype=np.int32),
            "b": np.where(np.arange(N) % 5 == 0, np.nan, np.arange(N) / 4),
            "flag": np.arange(N) % 2 == 0,
            "town": np.array(["x", "y", "z"])[np.arange(N) % 3],
            "y": np.arange(N) % 4,
        }
    )
    paths = [folder / "1.parquet", folder / "2.parquet"]
    frame.iloc[:600].to_parquet(paths[0], row_group_size=100)
    frame.iloc[600:].to_parquet(paths[1], row_group_size=37)
    return paths


def stream(files, **options):
    settings = {"target": "y", "batch_size": 32, "seed": 1, "window": 150}
    return ParquetBatches(files, **{**settings, **options})


def collected(batches, epoch=0, start=0):
    return [batch["inputs"][:, 0].long().tolist() for batch in batches.epoch(epoch, start)]


def flat(lists):
    return [value for values in lists for value in values]


def test_it_is_what_the_loop_calls_batches(files):
    assert isinstance(stream(files), Batches)


@pytest.mark.parametrize("window", [1, 150, 10_000])
@pytest.mark.parametrize("batch_size", [1, 32, 100, 333, 5000])
def test_an_epoch_holds_every_row_once_in_full_batches(files, window, batch_size):
    data = stream(files, window=window, batch_size=batch_size)
    got = collected(data)
    assert sorted(flat(got)) == list(range(N))
    assert len(got) == len(data) == -(-N // batch_size)
    assert {len(b) for b in got[:-1]} <= {batch_size}


@pytest.mark.parametrize("window", [1, 150, 10_000])
@pytest.mark.parametrize("batch_size", [7, 32, 333])
def test_from_any_step_on_an_epoch_is_the_uninterrupted_one(files, window, batch_size):
    data = stream(files, window=window, batch_size=batch_size)
    whole = collected(data, epoch=3)
    for start in {*range(0, len(data), max(1, len(data) // 12)), len(data) - 1, len(data)}:
        again = stream(files, window=window, batch_size=batch_size)
        assert collected(again, epoch=3, start=start) == whole[start:]


def test_values_targets_and_missing_ones_are_those_of_the_file(files):
    data = stream(files)
    assert data.columns == ["a", "b", "flag"]
    for batch in data.epoch(0):
        assert batch["inputs"].dtype == torch.float32 and batch["targets"].dtype == torch.int64
        a, b, flag = batch["inputs"].double().T
        assert torch.equal(batch["targets"], (a % 4).long())
        expected = torch.where(a % 5 == 0, torch.nan, a / 4)
        assert torch.equal(torch.nan_to_num(b, -1), torch.nan_to_num(expected, -1))
        assert torch.equal(flag, (a % 2 == 0).double())


def test_orders_differ_between_epochs_and_seeds_and_mix_the_row_groups(files):
    data = stream(files)
    orders = [flat(collected(data, 0)), flat(collected(data, 1)), flat(collected(stream(files, seed=2), 0))]
    assert len({tuple(order) for order in orders}) == 3
    assert flat(collected(stream(files, shuffle=False))) == list(range(N))
    assert sorted(orders[0][:100]) != list(range(100))
    first = {value // 100 for value in orders[0][:32]}
    assert len(first) > 1, "a window of more than a row group is shuffled as a whole"
    assert orders[0] == flat(collected(stream(files), 0))


def test_windows_of_one_size_are_shuffled_each_in_its_own_way(files):
    rows = flat(collected(stream(files[0], window=100, batch_size=100)))
    ways = {tuple(value % 100 for value in rows[low : low + 100]) for low in range(0, 600, 100)}
    assert len(ways) == 6


def test_a_row_group_larger_than_the_window_is_cut_and_mixed_in_parts(files, tmp_path):
    frame = pd.DataFrame({"a": np.arange(200_000), "y": 0})
    frame.to_parquet(tmp_path / "one.parquet", row_group_size=200_000)
    rows = flat(collected(stream(tmp_path / "one.parquet", window=50_000, batch_size=1000)))
    assert sorted(rows) == list(range(200_000))
    for low in range(0, 200_000, 50_000):
        window = rows[low : low + 50_000]
        assert sorted(window) == list(range(low, low + 50_000)) != window


@pytest.fixture
def read(monkeypatch):
    """The row groups opened, in order."""
    opened = []
    original = ParquetSource.pieces

    def pieces(self, group, *args, **kwargs):
        opened.append(group)
        return original(self, group, *args, **kwargs)

    monkeypatch.setattr(ParquetSource, "pieces", pieces)
    return opened


def test_skipped_row_groups_are_not_read(files, read):
    data = stream(files, batch_size=10)
    list(data.epoch(0))
    assert len(read) == 6 + 11
    last = read[-1]
    read.clear()
    assert len(list(data.epoch(0, start=len(data) - 1))) == 1
    assert 1 <= len(read) <= 5 and read[-1] == last, "the rows of one window, at most five row groups"
    read.clear()
    assert list(data.epoch(0, start=len(data))) == [] and not read


def test_at_most_two_windows_are_read_ahead_and_the_thread_ends(files, read):
    data = stream(files[0], batch_size=10, window=100)
    before = threading.active_count()
    epoch = data.epoch(0)
    next(epoch)
    epoch.close()
    assert len(read) <= 2 < 6
    assert threading.active_count() == before


def test_rows_that_are_not_kept_never_come(files):
    masks = [np.arange(rows) % 3 == 0 for rows in [100] * 6 + [37] * 10 + [33]]
    masks[2][:] = False
    masks[4][:] = True
    expected = np.flatnonzero(np.concatenate(masks)).tolist()
    for window in (1, 50, 10_000):
        data = stream(files, keep=[np.packbits(mask) for mask in masks], window=window, batch_size=16)
        whole = collected(data, 2)
        assert sorted(flat(whole)) == expected
        assert len(whole) == len(data) and data.n_examples == len(expected)
        for start in (1, 5, len(data) - 1):
            assert collected(data, 2, start) == whole[start:]
    with pytest.raises(GradusError, match="at least one row to keep"):
        stream(files, keep=[np.packbits(mask & False) for mask in masks])
    with pytest.raises(GradusError, match="17 masks"):
        stream(files, keep=[np.packbits(masks[0])])


def test_an_encoder_sees_columns_of_any_kind_with_the_types_of_the_whole(files):
    seen = []

    def encode(frame):
        seen.append(dict(frame.dtypes))
        length = frame["town"].map({"x": 1, "y": 2, "z": 3}).to_numpy(copy=True)
        return {"town": torch.from_numpy(length), "targets": torch.from_numpy(frame["y"].to_numpy(copy=True))}

    data = stream(files, columns=["town", "b"], encode=encode)
    towns = torch.cat([batch["town"] for batch in data.epoch(0)])
    assert torch.bincount(towns).tolist() == [0, 335, 334, 334]
    assert set(map(str, seen[0])) == {"town", "b", "y"} and all(dtypes == seen[0] for dtypes in seen)


def test_names_become_classes_and_drop_last_drops(files):
    data = stream(files, target="town", classes=["z", "y", "x"], columns=["a"], drop_last=True, batch_size=100)
    batches = list(data.epoch(0))
    assert len(batches) == len(data) == 10
    for batch in batches:
        assert torch.equal(batch["targets"], 2 - batch["inputs"][:, 0].long() % 3)
    assert "targets" not in next(stream(files, target=None).epoch(0))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"columns": ["aa"]}, "one of the columns"),
        ({"columns": ["town"]}, "columns of numbers"),
        ({"target": "z"}, "one of the columns"),
        ({"batch_size": 0}, "batch_size"),
        ({"window": 0}, "window"),
    ],
)
def test_impossible_settings_are_refused(files, options, match):
    with pytest.raises(GradusError, match=match):
        stream(files, **options)


def test_bad_targets_and_files_are_refused_when_met(files, tmp_path):
    with pytest.raises(GradusError, match="classes' names"):
        list(stream(files, target="town").epoch(0))
    with pytest.raises(GradusError, match="targets among 2 classes, got 'z'"):
        list(stream(files, target="town", classes=["x", "y"], shuffle=False).epoch(0))
    with pytest.raises(GradusError, match="a target in every row"):
        list(stream(files, target="b").epoch(0))
    with pytest.raises(GradusError, match="does not exist"):
        stream(tmp_path / "none.parquet")
    with pytest.raises(GradusError, match="Parquet files in"):
        stream(tmp_path)
    pq.write_table(pa.table({"other": [1]}), tmp_path / "other.parquet")
    with pytest.raises(GradusError, match="the same columns"):
        stream([files[0], tmp_path / "other.parquet"])
    data = bytearray(files[0].read_bytes())
    data[200:1200] = bytes(1000)
    (tmp_path / "damaged.parquet").write_bytes(data)
    with pytest.raises(GradusError, match="damaged"):
        list(stream(tmp_path / "damaged.parquet").epoch(0))


def test_a_folder_of_parquet_files_is_one_stream(files):
    assert flat(collected(stream(files[0].parent, shuffle=False))) == list(range(N))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Files whose pixels all hold their number."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(53):
        Image.fromarray(np.full((6, 5, 3), i, np.uint8)).save(folder / f"{i:02}.png")
    return sorted(folder.iterdir())


def test_images_stream_once_each_the_same_from_any_step_on(pictures):
    labels = ["odd" if i % 2 else "even" for i in range(53)]
    data = ImageFolderBatches(pictures, labels, image_size=(4, 4), batch_size=8, seed=3)
    assert isinstance(data, Batches) and data.classes.tolist() == ["even", "odd"]
    whole = list(data.epoch(1))
    assert len(whole) == len(data) == 7
    numbers = torch.cat([b["inputs"][:, 0, 0, 0] for b in whole])
    assert sorted(numbers.tolist()) == list(range(53)) != numbers.tolist()
    for batch in whole:
        assert batch["inputs"].dtype == torch.uint8 and batch["inputs"].shape[1:] == (4, 4, 3)
        assert torch.equal(batch["targets"], batch["inputs"][:, 0, 0, 0].long() % 2)
    for start in range(8):
        again = list(data.epoch(1, start))
        assert len(again) == 7 - start
        assert all(torch.equal(a["inputs"], b["inputs"]) for a, b in zip(again, whole[start:], strict=True))


def test_a_damaged_image_in_a_stream_is_named(pictures, tmp_path):
    (tmp_path / "x.png").write_bytes(pictures[0].read_bytes()[:40])
    data = ImageFolderBatches([*pictures, tmp_path / "x.png"], image_size=(4, 4), batch_size=8, channels=1)
    with pytest.raises(GradusError, match=r"x\.png"):
        list(data.epoch(0))
    for options in ({"labels": [1]}, {"batch_size": 0}, {"channels": 2}):
        with pytest.raises(GradusError):
            ImageFolderBatches(pictures, **{"image_size": (4, 4), "batch_size": 8, **options})
    with pytest.raises(GradusError, match="at least one"):
        ImageFolderBatches([], image_size=(4, 4), batch_size=8)
