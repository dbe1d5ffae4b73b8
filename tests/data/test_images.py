"""Folders of images: classes from folders, one size, damaged ones said, bombs refused."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from gradus.core.errors import DataError, GradusError, InputError
from gradus.data.images import BombError, decode, load_images
from gradus.data.reading import read


def picture(seed, height=8, width=8, channels=3):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "Tiere – été"
    for number, kind in enumerate(["cat", "dög", "ox"]):
        for i in range(10):
            save(root / kind / f"{i} a.png", picture(100 * number + i))
    return root


def test_pixels_labels_and_names_are_those_of_the_files(folder):
    data = read(folder)
    assert data.kind == "images" and data.X.shape == (30, 8, 8, 3) and data.scale == 255
    assert data.row_names[0] == "cat/0 a.png" and data.y[0] == "cat" and data.y[-1] == "ox"
    for name, image, label in zip(data.row_names, data.X, data.y, strict=True):
        np.testing.assert_array_equal(image, np.asarray(Image.open(folder / name)))
        assert label == name.split("/")[0]
    assert data.notes == ()
    assert read(folder).fingerprint == data.fingerprint


@pytest.mark.parametrize("suffix", ["bmp", "gif", "webp", "tiff", "ppm", "PNG"])
def test_lossless_formats_give_the_pixels_written(tmp_path, suffix):
    array = picture(1) // 64 * 64
    path = tmp_path / "a" / f"x.{suffix}"
    save(path, array, **({"lossless": True, "exact": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(decode(path), array)


def test_grey_stays_one_channel_only_if_all_are_grey(tmp_path):
    for i in range(4):
        save(tmp_path / "ab"[i % 2] / f"{i}.png", picture(i, channels=1))
    save(tmp_path / "a" / "rgb.png", np.repeat(picture(9, channels=1)[:, :, None], 3, axis=2))
    data = read(tmp_path)
    assert data.X.shape[3] == 1
    np.testing.assert_array_equal(data.X[0, :, :, 0], picture(0, channels=1))
    assert read(tmp_path, channels=3).X.shape[3] == 3
    save(tmp_path / "b" / "colour.png", picture(10))
    data = read(tmp_path)
    assert data.X.shape[3] == 3 and any(n.what == "grey images" and n.count == 5 for n in data.notes)
    np.testing.assert_array_equal(data.X[0], np.repeat(picture(0, channels=1)[:, :, None], 3, axis=2))


def test_sizes_are_brought_to_the_median_at_most_128_with_a_note(tmp_path):
    for i, (h, w) in enumerate([(10, 20), (12, 22), (14, 24), (12, 60)]):
        save(tmp_path / "ab"[i % 2] / f"{i}.png", picture(i, h, w))
    data = read(tmp_path)
    assert data.X.shape[1:3] == (12, 23)
    (note,) = [n for n in data.notes if n.what == "image sizes"]
    assert note.count == 4 and "12x23" in note.why
    assert read(tmp_path, image_size=(6, 5)).X.shape[1:3] == (6, 5)
    for i in range(4):
        save(tmp_path / "ab"[i % 2] / f"{i}.png", picture(i, 300, 600))
    assert read(tmp_path).X.shape[1:3] == (64, 128)


def test_a_flat_colour_keeps_its_value_through_scaling(tmp_path):
    flat = np.full((40, 30, 3), (10, 200, 90), np.uint8)
    save(tmp_path / "x.png", flat)
    assert (decode(tmp_path / "x.png", size=(7, 9)) == (10, 200, 90)).all()


def test_transparency_orientation_and_depth(tmp_path):
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = (200, 100, 50, 255)
    save(tmp_path / "t.png", rgba)
    got = decode(tmp_path / "t.png")
    assert got[0, 0].tolist() == [200, 100, 50] and (got[1, 1] == 255).all()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    array = picture(0, 4, 6)
    save(tmp_path / "o.png", array, exif=exif)
    np.testing.assert_array_equal(decode(tmp_path / "o.png"), np.rot90(array, -1))
    images, _, _ = load_images([tmp_path / "o.png"], ["o"])
    assert images.shape[1:3] == (6, 4), "the size is that after turning"
    deep = np.array([[0, 257, 65535]], np.uint16)
    save(tmp_path / "d.png", deep)
    assert decode(tmp_path / "d.png")[0, :, 0].tolist() == [0, 1, 255]


def test_train_and_test_folders_are_the_publishers_parts(tmp_path, folder):
    root = tmp_path / "parted"
    for part, count in (("train", 4), ("test", 2)):
        for kind in "ab":
            for i in range(count):
                save(root / part / kind / f"{i}.png", picture(100 * count + 10 * ord(kind) + i))
    data = read(root)
    assert len(data) == 8 and data.test[0].shape == (4, 8, 8, 3) and data.test[1].tolist() == ["a", "a", "b", "b"]
    save(root / "test" / "c" / "0.png", picture(5))
    with pytest.raises(DataError, match=r"same classes.*'c'"):
        read(root)


def test_other_files_empty_folders_and_lonely_classes_are_said(folder):
    (folder / "notes.txt").write_text("x")
    (folder / "cat" / ".hidden.png").write_bytes(b"x")
    (folder / "empty").mkdir()
    save(folder / "loose.png", picture(1))
    save(folder / "yak" / "only.png", picture(2))
    data = read(folder)
    notes = {n.what: n for n in data.notes}
    assert len(data) == 30 and "yak" not in data.y
    assert notes["files that are no images"].count == 1
    assert notes["images in no class folder"].count == 1
    assert "empty" in notes["folders without an image"].why
    assert "'yak'" in notes["classes of a single row"].why


def test_a_few_damaged_images_are_skipped_and_named_more_are_an_error(folder):
    whole = (folder / "cat" / "3 a.png").read_bytes()
    (folder / "cat" / "3 a.png").write_bytes(whole[: len(whole) // 2])
    data = read(folder)
    assert len(data) == 29 and "cat/3 a.png" not in data.row_names
    (note,) = [n for n in data.notes if n.what == "damaged images"]
    assert note.count == 1 and "cat/3 a.png" in note.why
    (folder / "ox" / "0 a.png").write_bytes(b"no image at all")
    with pytest.raises(DataError, match=r"2 damaged ones among 30, cat/3 a\.png first"):
        read(folder)


def bomb(width, height):
    """A PNG header that claims width x height pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [8100, 9600, 20_000, 60_000])
def test_decompression_bombs_are_refused_by_name(folder, side):
    (folder / "cat" / "bomb.png").write_bytes(bomb(side, side))
    with pytest.raises(BombError, match=r"bomb\.png"):
        read(folder)


def test_a_truncated_image_of_any_cut_never_passes_as_whole(tmp_path):
    out = io.BytesIO()
    Image.fromarray(picture(3, 32, 32)).save(out, "JPEG")
    data = out.getvalue()
    for cut in range(10, len(data) - 30, 97):
        with pytest.raises(OSError):
            decode(data[:cut])


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda p: None, "images .* below"),
        (lambda p: (p / "a").mkdir(), "images .* below"),
        (lambda p: (p / "a.txt").write_text("x"), "images .* below"),
        (lambda p: save(p / "a.png", picture(0)), "one folder for each class"),
        (lambda p: [save(p / "a" / f"{i}.png", picture(i)) for i in range(3)], "different values .* 'a'"),
    ],
)
def test_folders_nothing_can_be_learned_from(tmp_path, build, match):
    root = tmp_path / "r"
    root.mkdir()
    build(root)
    with pytest.raises(GradusError, match=match):
        read(root)


def test_to_predict_any_images_below_a_folder_will_do(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", picture(i))
    data = read(tmp_path, require_target=False, image_size=(4, 4), channels=1)
    assert data.y is None and data.X.shape == (3, 4, 4, 1) and data.row_names == ["0.png", "1.png", "2.png"]


def test_to_predict_a_single_image_will_do_and_to_learn_it_will_not(tmp_path):
    save(tmp_path / "a.png", picture(1))
    data = read(tmp_path / "a.png", require_target=False, image_size=(4, 4))
    assert data.X.shape == (1, 4, 4, 3) and data.row_names == ["a.png"]
    with pytest.raises(DataError, match="name its folder"):
        read(tmp_path / "a.png")


def test_impossible_sizes_and_channels_are_refused(folder):
    with pytest.raises(InputError, match="image_size"):
        read(folder, image_size=(0, 5))
    with pytest.raises(InputError, match="channels"):
        read(folder, channels=2)
    with pytest.raises(DataError, match="class folders are the target"):
        read(folder, target="cat")


def test_duplicate_images_are_counted_and_warning_filters_left_alone(folder):
    save(folder / "ox" / "copy.png", picture(0))
    before = list(warnings.filters)
    data = read(folder)
    assert warnings.filters == before
    assert [n.count for n in data.notes if n.what == "duplicate images"] == [1]


def test_a_parquet_of_encoded_images_is_read_as_images(tmp_path):
    import pandas as pd

    def png(seed):
        out = io.BytesIO()
        Image.fromarray(picture(seed)).save(out, "PNG")
        return out.getvalue()

    frame = pd.DataFrame(
        {
            "split": ["train"] * 6 + ["test"] * 2,
            "label": ["a", "b"] * 4,
            "image": [png(i) for i in range(8)],
        }
    )
    frame.to_parquet(tmp_path / "x.parquet")
    data = read(tmp_path / "x.parquet")
    assert data.X.shape == (6, 8, 8, 3) and data.y.tolist() == ["a", "b"] * 3
    np.testing.assert_array_equal(data.test[0][1], picture(7))
    frame["image"] = [{"bytes": b, "path": None} for b in frame["image"]]
    frame.drop(columns="split").to_parquet(tmp_path / "y.parquet")
    data = read(tmp_path / "y.parquet")
    np.testing.assert_array_equal(data.X[7], picture(7))
    assert data.test is None
    with pytest.raises(DataError, match="a column of labels"):
        read(tmp_path / "y.parquet", target="nope")
