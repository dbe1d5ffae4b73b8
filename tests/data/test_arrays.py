"""NumPy files: inputs and labels found by their names, images told from tables."""

import numpy as np
import pytest

from gradus.core.errors import DataError
from gradus.data.arrays import arrays_dataset, to_images
from gradus.data.reading import read

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 5, 4), dtype=np.uint8)
LABELS = np.array([0, 1, 2] * 4)
TABLE = RNG.normal(size=(12, 3))


def made(**arrays):
    return arrays_dataset(arrays, name="made", origin="here")


@pytest.mark.parametrize(
    ("names", "target"),
    [
        (("x_train", "y_train", "x_test", "y_test"), "y"),
        (("X_train", "Y_train", "X_test", "Y_test"), "Y"),
        (("train_images", "train_labels", "test_images", "test_labels"), "labels"),
        (("X", "y"), "y"),
        (("images", "labels"), "labels"),
        (("data", "target"), "target"),
        (("features", "label"), "label"),
    ],
)
def test_the_usual_names_are_known_and_said(tmp_path, names, target):
    arrays = dict(zip(names, [GREY, LABELS, GREY[:5], LABELS[:5]], strict=False))
    np.savez(tmp_path / "a.npz", **arrays)
    data = read(tmp_path / "a.npz")
    np.testing.assert_array_equal(data.X[..., 0], GREY)
    assert data.y.tolist() == LABELS.tolist() and data.target == target
    assert (data.test is not None) == (len(names) == 4)
    assert any(repr(names[0]) in n.why and repr(names[1]) in n.why for n in data.notes)
    if data.test:
        np.testing.assert_array_equal(data.test[0][..., 0], GREY[:5])
        assert data.test[1].tolist() == LABELS[:5].tolist()


def test_a_validation_part_is_joined_to_the_training_part():
    data = made(
        train_images=GREY[:6],
        train_labels=LABELS[:6],
        val_images=GREY[6:],
        val_labels=LABELS[6:],
        test_images=GREY,
        test_labels=LABELS,
    )
    np.testing.assert_array_equal(data.X[..., 0], GREY)
    assert any("validation" in n.what and n.count == 6 for n in data.notes)


def test_two_axes_are_a_table_with_the_names_the_file_has():
    data = made(X=TABLE, y=LABELS, feature_names=np.array(["a", "b", "c"]), target_names=np.array(["p", "q", "r"]))
    assert data.kind == "table" and list(data.X.columns) == ["a", "b", "c"]
    np.testing.assert_array_equal(data.X.to_numpy(), TABLE)
    assert list(data.y) == ["p", "q", "r"] * 4
    assert list(made(X=TABLE, y=LABELS).X.columns) == ["column_1", "column_2", "column_3"]


def test_groups_and_times_may_be_arrays_too(tmp_path):
    who = np.repeat(np.array(["u", "v", "w"]), 4)
    lonely = np.where(np.arange(12) == 5, 9, LABELS)
    for X in (GREY, TABLE):
        np.savez(tmp_path / "a.npz", X=X, y=lonely.astype(str), who=who, when=np.arange(12)[::-1])
        data = read(tmp_path / "a.npz", target="y", group="who", time="when")
        keep = np.arange(12) != 5
        assert data.groups.tolist() == who[keep].tolist(), "the dropped row is gone from the groups too"
        assert data.time.tolist() == np.arange(12)[::-1][keep].tolist()
        assert data.kind == "images" or list(data.X.columns) == ["column_1", "column_2", "column_3"]


def test_one_hot_labels_become_classes_and_columns_of_one_are_flattened():
    data = made(X=GREY, y=np.eye(3, dtype=np.float32)[LABELS])
    assert data.y.tolist() == LABELS.tolist() and any("one-hot" in n.why for n in data.notes)
    assert made(X=GREY, y=LABELS[:, None]).y.tolist() == LABELS.tolist()
    with pytest.raises(DataError, match="one label a row"):
        made(X=GREY, y=np.ones((12, 3)))


@pytest.mark.parametrize(
    ("X", "expected", "scale", "said"),
    [
        (GREY, GREY[..., None], 255, None),
        (GREY[..., None].astype(np.int64), GREY[..., None], 255, None),
        (GREY // 16, (GREY // 16)[..., None], 16, "brightest"),
        (GREY > 99, (GREY > 99)[..., None].astype(np.uint8), 1, None),
        (np.moveaxis(np.stack([GREY] * 3, -1), 3, 1), np.stack([GREY] * 3, -1), 255, "channels moved"),
        (GREY[..., None] / np.float32(255), GREY[..., None], 255, "scaled from 0..1"),
        (
            GREY[..., None].astype(np.uint16) * 257,
            np.round(GREY[..., None] * (255 / GREY.max())),
            255,
            "scaled from 0..",
        ),
    ],
)
def test_images_become_bytes_with_a_note_where_they_change(X, expected, scale, said):
    notes = []
    images, top = to_images(X, "x", "made", notes)
    assert images.dtype == np.uint8 and top == scale
    np.testing.assert_array_equal(images, expected)
    assert (said in str(notes)) if said else not notes


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"x": RNG.normal(size=(12, 5, 4)), "y": LABELS}, "reshape"),
        ({"x": GREY.astype(int) - 300, "y": LABELS}, "0 or more"),
        ({"x": np.zeros((12, 5, 5, 7), int), "y": LABELS}, "channels"),
        ({"x": GREY, "y": LABELS[:5]}, "12 values"),
        ({"x": GREY}, "labels"),
        ({"x": GREY, "kind": LABELS}, "--target: kind"),
        ({"first": GREY, "second": GREY}, "first .12, 5, 4"),
        ({}, "without arrays"),
        ({"x": LABELS, "y": LABELS}, "a row for each example"),
        ({"x": GREY, "y": np.zeros(12, int)}, "different values"),
        ({"x": GREY, "y": np.full(12, np.nan)}, "finite"),
        ({"x_train": GREY, "y_train": LABELS, "x_test": GREY[:, :3], "y_test": LABELS}, "like 'x_train'"),
    ],
)
def test_arrays_that_make_no_data_set_are_refused(arrays, match):
    with pytest.raises(DataError, match=match):
        made(**arrays)


def test_an_npy_takes_its_labels_from_the_file_beside_it(tmp_path):
    np.save(tmp_path / "x_small.npy", GREY)
    with pytest.raises(DataError, match="labels"):
        read(tmp_path / "x_small.npy")
    np.save(tmp_path / "y_small.npy", LABELS)
    data = read(tmp_path / "x_small.npy")
    assert data.y.tolist() == LABELS.tolist() and any("y_small.npy" in n.why for n in data.notes)
    assert read(tmp_path / "x_small.npy", require_target=False).y is None


def test_an_npy_of_two_axes_is_a_table(tmp_path):
    np.save(tmp_path / "t.npy", np.column_stack([TABLE, LABELS]))
    data = read(tmp_path / "t.npy")
    assert data.target == "column_4" and data.X.shape == (12, 3)
    assert read(tmp_path / "t.npy", target="column_1").X.shape == (12, 3)


@pytest.mark.data
def test_the_real_sets_of_images_are_read(data_home):
    data = read(data_home / "vision" / "emoji32.npz", target="category", group="short_name")
    assert data.X.shape == (7562, 32, 32, 3) and len(set(data.y)) == 9 and len(data.groups) == 7562
    assert any("category_names" in n.why for n in data.notes)
    data = read(data_home / "vision" / "optdigits.npz")
    assert data.scale == 16 and data.X.shape == (5620, 8, 8, 1)
    with pytest.raises(DataError, match="reshape"):
        read(data_home / "timeseries" / "GunPoint.npz")


@pytest.mark.data
@pytest.mark.slow
def test_the_real_parquet_of_jpegs_is_read(data_home):
    data = read(data_home / "vision" / "cifar10_jpeg.parquet")
    assert data.X.shape == (50_000, 32, 32, 3) and data.test[0].shape == (10_000, 32, 32, 3)
    assert np.bincount(np.unique(data.y, return_inverse=True)[1]).tolist() == [5000] * 10


def test_a_file_without_arrays_is_told_how_to_write_one(tmp_path):
    np.savez(tmp_path / "a.npz")
    with pytest.raises(DataError) as error:
        read(tmp_path / "a.npz")
    assert "got a file without arrays; write it with numpy.savez(" in str(error.value)
    assert "rename" not in str(error.value) and "none" not in str(error.value)
    with pytest.raises(DataError, match=r"got a \(3,\), b \(2,\); rename it"):
        made(a=np.zeros(3), b=np.zeros(2))
