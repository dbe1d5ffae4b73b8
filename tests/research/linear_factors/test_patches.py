"""Patches of pictures: cutting, whitening, factors, Gabor quality, on the photographs and on planted edges."""

import numpy as np
import pytest

from gradus.core.errors import InputError
from gradus.estimators.persistence import load
from gradus.research.linear_factors.patch_exhibits import gabor_quality, sheet
from gradus.research.linear_factors.patches import PatchFactors, cut_patches, tiled_patches

NAMES = ("astronaut", "coffee", "camera", "china", "flower")
QUICK = {"patch_size": 8, "n_patches": 4000, "max_iter": 15, "random_state": 0}


@pytest.fixture(scope="module")
def photos(data_home):
    with np.load(data_home / "vision" / "photos.npz", allow_pickle=False) as file:
        return [file[name] for name in NAMES]


@pytest.fixture(scope="module")
def models(photos):
    return {m: PatchFactors(method=m, **QUICK).fit(photos[:4]) for m in ("sparse", "ica", "pca", "patches")}


@pytest.fixture(scope="module")
def unseen(photos):
    return cut_patches(photos[4:], 8, 800, np.random.default_rng(5))[0]


def test_a_patch_is_a_part_of_its_picture():
    pictures = [np.arange(300.0).reshape(15, 20), np.arange(1000.0, 1400.0).reshape(20, 20)]
    patches, numbers = cut_patches(pictures, 5, 201, np.random.default_rng(0))
    assert np.bincount(numbers).tolist() == [101, 100]
    for patch, number in zip(patches, numbers, strict=True):
        width, first = pictures[number].shape[1], pictures[number].flat[0]
        top, left = divmod(int(patch[0, 0] - first), width)
        assert np.array_equal(patch, pictures[number][top : top + 5, left : left + 5])
    places = {float(patch[0, 0]) for patch in patches[:101]}
    assert {int(p) // 20 for p in places} == set(range(11)) and {int(p) % 20 for p in places} == set(range(16))
    tiles, corners = tiled_patches(pictures[0], 5)
    assert len(tiles) == 12 and corners.max(0).tolist() == [10, 15]
    assert all(np.array_equal(t, pictures[0][r : r + 5, c : c + 5]) for t, (r, c) in zip(tiles, corners, strict=True))
    with pytest.raises(InputError, match="smaller patch_size"):
        cut_patches(pictures, 16, 10, np.random.default_rng(0))


def test_whitened_rows_know_no_light_and_no_contrast(models, photos):
    model = models["sparse"]
    patches = cut_patches(photos[:4], 8, 3000, np.random.default_rng(1))[0].astype(float)
    rows = model.whitened(patches)
    directions = round(0.7 * 64)
    assert rows.shape == (3000, directions)
    lengths = np.linalg.norm(rows, axis=1)
    assert (lengths < np.sqrt(directions) * (1 + 1e-9)).all() and (lengths > np.sqrt(directions) * 0.999).mean() > 0.4
    full = lengths > np.sqrt(directions) * 0.999
    correlations = np.corrcoef(rows[full].T) - np.eye(directions)
    assert np.abs(correlations).max() < 0.35 and np.abs(correlations).mean() < 0.05
    # twice the light is a shift of the logarithm of 1 + x, next to it where pixels are not dark
    bright = patches[(patches.min((1, 2)) > 60) & (lengths > np.sqrt(directions) * 0.999)]
    assert len(bright) > 100
    np.testing.assert_allclose(model.whitened(bright * 0.5), model.whitened(bright), atol=0.15)


def test_codes_decode_and_filters_are_what_a_unit_adds(models, unseen):
    for name, model in models.items():
        k = model.n_components_
        zero = model.inverse_transform(np.zeros((1, k)))
        one = model.inverse_transform(np.eye(k)) - zero
        np.testing.assert_allclose(one, model.filters_, atol=1e-10)
        strongest = model.filters_.reshape(k, -1)
        assert (strongest[np.arange(k), np.abs(strongest).argmax(1)] > 0).all()
        if name in ("ica", "pca"):  # complete: codes say all
            np.testing.assert_allclose(
                model.inverse_transform(model.transform(unseen)), model.shown(model.whitened(unseen)), atol=1e-8
            )
        else:
            assert 0 < (model.transform(unseen[:100]) != 0).mean() < 0.4


def test_the_same_number_of_factors_for_every_method(models, unseen):
    """PCA's pursuit is the choice of its largest coordinates; learned atoms lose less than drawn ones."""
    white = models["pca"].whitened(unseen)
    model = models["pca"]
    found = model.approximate(white)
    rows = white - model.center_
    cut = np.sort(np.abs(rows), axis=1)[:, [-model.active]]
    np.testing.assert_allclose(found, np.where(np.abs(rows) >= cut, rows, 0) + model.center_, atol=1e-8)
    lost = {}
    for name, each in models.items():
        rows = each.whitened(unseen)
        np.testing.assert_allclose(rows, white)  # the same patches, whitened alike
        lost[name] = np.square(rows - each.approximate(rows)).sum() / np.square(rows).sum()
    assert lost["sparse"] < 0.9 * lost["patches"] and lost["ica"] < 0.95 * lost["pca"]
    assert all(0.05 < value < 0.7 for value in lost.values())


def test_a_saved_model_answers_the_same(models, unseen, tmp_path):
    for model in models.values():
        again = load(model.save(tmp_path / model.method))
        assert np.array_equal(again.transform(unseen[:50]), model.transform(unseen[:50]))
        assert np.array_equal(again.filters_, model.filters_)


def test_filters_of_photographs_are_gabor_functions(photos):
    model = PatchFactors(patch_size=9, n_patches=6000, n_components=28, max_iter=30, random_state=0).fit(photos)
    noise = model.shown(np.random.default_rng(0).normal(size=(14, model.atoms_.shape[1])))
    table = gabor_quality(model.filters_, noise)[1]
    assert table["number"].tolist() == [28, 14]
    assert table["R² median"][0] > 0.8 > 0.7 > table["R² median"][1]
    assert sheet(model.filters_, "filters").png[1:4] == b"PNG"


def test_what_cannot_be_learned_from_is_refused(photos):
    with pytest.raises(InputError, match="not flat"):
        PatchFactors(**QUICK).fit([np.full((50, 50), 7, dtype=np.uint8)] * 2)
    with pytest.raises(InputError, match="at most 45 components"):
        PatchFactors(method="ica", **QUICK, n_components=46).fit(photos)
    model = PatchFactors(method="pca", **QUICK).fit(photos)
    with pytest.raises(InputError, match=r"\(n, 8, 8\)"):
        model.transform(np.zeros((3, 64)))
    with pytest.raises(InputError, match="channels last"):
        model.fit([np.zeros((3, 40, 40))])
