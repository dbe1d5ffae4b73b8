"""The split of a folder of images that no one holds: copies on one side, damaged ones found, fair parts."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from gradus.core.errors import GradusError
from gradus.data.reading import larger_than, read
from gradus.data.survey_images import ImageFolder, survey_images

N = 240
MEMORY = 1000.0


def picture(i, grey=False):
    """Return an image whose pixels name it."""
    pixels = np.full((6, 5, 3), 40, np.uint8)
    pixels[0, 0], pixels[1, 1] = i % 250, 0 if grey else (i % 7, 90, i % 11)
    return pixels


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "photos"
    for i in range(N):
        place = root / f"class {'abc'[i % 3]}" / f"{i:03}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(i)).save(place)
    return root


@pytest.fixture
def small(monkeypatch):
    """Hold few images, so that parts are sampled as those of a large folder are."""
    monkeypatch.setattr("gradus.data.memory.LEAST_SAMPLE", 40)
    monkeypatch.setattr("gradus.data.memory.LEAST_HELD", 30)


def held(found, side):
    return {found.data.row_names[row] for row in getattr(found.split, side)}


def test_sides_do_not_meet_and_hold_every_image(folder):
    found = survey_images(ImageFolder(folder), memory=1e9)
    parts = [held(found, side) for side in ("train", "valid", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts)) == N == found.rows
    assert 110 < len(parts[0]) < 180 and len(parts[1]) > 20 and len(parts[2]) > 20
    data = read(str(folder))
    pixels = {name: image for name, image in zip(data.row_names, data.X, strict=True)}
    for name, image in zip(found.data.row_names, found.data.X, strict=True):
        assert (image == pixels[name]).all()
    again = survey_images(ImageFolder(folder), memory=1e9)
    assert held(again, "test") == parts[2] and again.fingerprint == found.fingerprint
    assert held(survey_images(ImageFolder(folder), memory=1e9, seed=1), "test") != parts[2]


def test_copies_lie_on_one_side_in_whatever_format_and_class(folder):
    for i in range(0, N, 2):
        Image.fromarray(picture(i)).save(folder / "class a" / f"copy {i}.bmp")
    found = survey_images(ImageFolder(folder), memory=1e9)
    side = {name: s for s in ("train", "valid", "test") for name in held(found, s)}
    for i in range(0, N, 2):
        assert side[f"class a/copy {i}.bmp"] == side[f"class {'abc'[i % 3]}/{i:03}.png"]
    assert set(side.values()) == {"train", "valid", "test"}


def test_a_stream_gives_the_training_images_and_no_other(folder, small):
    found = survey_images(ImageFolder(folder), memory=MEMORY)
    assert len(found.split.train) == 40 and len(found.split.valid) <= 30
    assert found.train_rows == len(found.train) > 150
    names = set(found.train)
    assert held(found, "train") <= names and not names & (held(found, "valid") | held(found, "test"))
    batches = list(found.batches(batch_size=32, seed=0).epoch(0))
    inputs, targets = (torch.cat([batch[key] for batch in batches]) for key in ("inputs", "targets"))
    numbers = inputs[:, 0, 0, 0].numpy()
    assert sorted(numbers.tolist()) == sorted(int(name[-7:-4]) % 250 for name in found.train)
    assert (targets.numpy() == numbers % 3).all()
    assert found.data.X.shape[1:] == inputs.shape[1:] == (6, 5, 3)


def test_grey_pictures_have_one_channel(tmp_path):
    for i in range(40):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        Image.fromarray(picture(6 * i, grey=True)).save(tmp_path / "ab"[i % 2] / f"{i}.png")
    found = survey_images(ImageFolder(tmp_path), memory=1e9)
    assert (
        found.data.X.shape[1:]
        == (6, 5, 1)
        == tuple(next(found.batches(batch_size=4, seed=0).epoch(0))["inputs"].shape[1:])
    )


def test_damaged_images_are_skipped_or_refused(folder):
    file = folder / "class b" / "001.png"
    file.write_bytes(file.read_bytes()[:60])
    found = survey_images(ImageFolder(folder), memory=1e9)
    assert found.rows == N - 1 and any("damaged images: skipped: class b/001.png" in str(n) for n in found.data.notes)
    assert not any(name.endswith("/001.png") for name in found.train)
    for i in range(4, 60, 3):
        file = folder / "class b" / f"{i:03}.png"
        file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(GradusError, match="whole images"):
        survey_images(ImageFolder(folder), memory=1e9)


def test_the_publishers_test_part_is_kept_and_sampled(folder, tmp_path, small):
    root = tmp_path / "divided"
    shutil.copytree(folder, root / "train")
    shutil.copytree(folder, root / "test")
    found = survey_images(ImageFolder(root), memory=MEMORY)
    assert len(found.data.test[1]) == 30 and len(found.split.test) == 0
    assert set(found.data.test[1]) == {"class a", "class b", "class c"}
    assert any("a sample of 240" in str(note) for note in found.data.notes)
    (root / "test" / "class d").mkdir()
    shutil.copy(folder / "class a" / "000.png", root / "test" / "class d")
    with pytest.raises(GradusError, match="'class d'"):
        survey_images(ImageFolder(root), memory=MEMORY)


def test_rare_classes(folder, small):
    for name, n in (("one", 1), ("few", 3)):
        (folder / name).mkdir()
        for i in range(n):
            Image.fromarray(255 - picture(i)).save(folder / name / f"{i}.png")
    found = survey_images(ImageFolder(folder), memory=MEMORY, test=0.02, valid=0.02)
    assert "one" not in found.classes and set(found.data.y) == set(found.classes)
    assert found.classes["few"] >= 2 and (found.data.y[found.split.train] == "few").sum() >= 2
    assert not any(name.startswith("one/") for name in found.train)


def test_only_a_folder_that_is_larger_is_streamed(folder, tmp_path):
    assert larger_than(N * 6 * 5 * 3, folder) is None
    assert isinstance(larger_than(N * 6 * 5 * 3 - 1, folder), ImageFolder)
    (tmp_path / "empty").mkdir()
    assert larger_than(1, tmp_path / "empty") is None
    (tmp_path / "alone" / "a").mkdir(parents=True)
    for i in range(3):
        Image.fromarray(picture(i)).save(tmp_path / "alone" / "a" / f"{i}.png")
    with pytest.raises(GradusError, match="two classes"):
        survey_images(ImageFolder(tmp_path / "alone"), memory=1.0)
