"""Large pictures from folders and array files; what is none is left to others."""

import numpy as np
import pytest
from PIL import Image

from gradus.core.errors import DataError
from gradus.data.pictures import MAX_SIDE, read_pictures


def save(path, height, width, seed=0, channels=3):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.squeeze()).save(path)
    return pixels


def test_a_folder_keeps_sizes_and_large_ones_are_shrunk(tmp_path):
    first = save(tmp_path / "a" / "one.png", 80, 100)
    save(tmp_path / "b" / "two.png", 70, 2 * MAX_SIDE, 1)
    (tmp_path / "notes.txt").write_text("x")
    found = read_pictures(tmp_path, 64)
    assert found.names == ["a/one.png", "b/two.png"] and np.array_equal(found.pictures[0], first)
    assert found.pictures[1].shape == (35, MAX_SIDE, 3)
    assert [note.what for note in found.notes] == ["files that are no images", "large pictures"]
    assert read_pictures(tmp_path, 76) is None  # of the shorter sides 70 and 80 the median is 75
    one = read_pictures(tmp_path / "a" / "one.png", 999)
    assert len(one) == 1 and one.names == ["one.png"]


def test_arrays_are_pictures_each_or_a_stack(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    grey, colour = rng.integers(0, 256, (90, 70), dtype=np.uint8), rng.random((64, 65, 4)).astype(np.float32)
    np.savez(tmp_path / "some.npz", grey=grey, colour=colour)
    found = read_pictures(tmp_path / "some.npz", 64)
    assert found.names == ["grey", "colour"] and np.array_equal(found.pictures[0], grey)
    assert np.array_equal(found.pictures[1], np.round(colour[..., :3] * 255).astype(np.uint8))
    assert read_pictures(tmp_path / "some.npz", 65) is None
    monkeypatch.setenv("GRADUS_DATA", str(tmp_path))
    assert read_pictures("some", 64).name == "some" and read_pictures("other", 64) is None
    stack = rng.integers(0, 256, (6, 64, 80), dtype=np.uint8)
    np.savez(tmp_path / "stack.npz", x_train=stack, y_train=np.arange(6))
    assert np.array_equal(np.stack(read_pictures(tmp_path / "stack.npz", 64).pictures), stack)
    np.save(tmp_path / "plain.npy", stack)
    assert len(read_pictures(tmp_path / "plain.npy", 64)) == 6
    np.savez(tmp_path / "table.npz", X=rng.random((100, 90)), y=np.arange(100))
    assert read_pictures(tmp_path / "table.npz", 64) is None
    np.savez(tmp_path / "rows.npz", X_train=rng.random((100, 90)), X_test=rng.random((70, 90)))
    assert read_pictures(tmp_path / "rows.npz", 64) is None
    np.savez(tmp_path / "greys.npz", image_1=rng.random((100, 90)), image_2=rng.random((70, 90)))
    assert len(read_pictures(tmp_path / "greys.npz", 64)) == 2


def test_what_holds_no_pictures(tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    assert read_pictures(tmp_path / "rows.csv", 64) is None and read_pictures(tmp_path, 64) is None
    assert read_pictures("digits", 64) is None and read_pictures("", 64) is None
    np.savez(tmp_path / "dark.npz", one=np.full((70, 70), -1.0), two=np.ones((70, 70)))
    with pytest.raises(DataError, match="0 or more"):
        read_pictures(tmp_path / "dark.npz", 64)
