"""The segmenter: scores against scikit-learn, tasks with a known optimum, sizes that must not matter, real pictures."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, jaccard_score
from sklearn.utils.class_weight import compute_class_weight

from gradus.applications.vision.segmentation import (
    AugmentedMasks,
    SegmentationLoss,
    mask_scores,
    pixel_counts,
)
from gradus.applications.vision.segmenter import ImageSegmenter
from gradus.core.errors import InputError, SettingError

SMALL = {"depth": 2, "width": 4, "max_epochs": 2, "n_threads": 1, "random_state": 0}


def noise(n=24, height=10, width=14, flip=0.1, seed=0):
    """Pixels drawn evenly; the class is whether one is above a half, told wrong at a known rate."""
    rng = np.random.default_rng(seed)
    X = rng.random((n, height, width)).astype(np.float32)
    return X, (X > 0.5) ^ (rng.random(X.shape) < flip)


def weights(model):
    return torch.cat([tensor.double().flatten() for tensor in model.network_.state_dict().values()])


# -- scores --------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth, said = rng.integers(0, 4, 500), rng.integers(0, 4, 500)
    truth[::7] = -1
    scores = mask_scores(pixel_counts(truth, said, 5))  # a fifth class that never occurs
    known = truth >= 0
    assert scores.iou[:4] == pytest.approx(jaccard_score(truth[known], said[known], average=None))
    assert np.isnan(scores.iou[4])
    assert scores.mean_iou == pytest.approx(jaccard_score(truth[known], said[known], average="macro"))
    assert scores.pixel_accuracy == pytest.approx(accuracy_score(truth[known], said[known]))


def test_the_score_of_a_model_is_that_of_its_answers():
    X, y = noise()
    y = np.where(y, 7, 3)
    y[:, 0] = -1
    model = ImageSegmenter(**SMALL).fit(X, y)
    said, known = model.predict(X), y >= 0
    assert set(np.unique(said)) <= {3, 7}
    assert model.score(X, y) == pytest.approx(jaccard_score(y[known], said[known], average="macro", labels=[3, 7]))
    assert model.pixel_accuracy(X, y) == pytest.approx((y[known] == said[known]).mean())
    assert np.array_equal(model.predict_proba(X).argmax(3), np.searchsorted(model.classes_, said))


# -- known optima --------------------------------------------------------------------------------------------------


def test_it_finds_the_threshold_where_that_is_all_there_is():
    """No answer has a lower expected loss than the rate of wrong labels: 0.325 nats, nine of ten right."""
    X, y = noise(100, 16, 16)
    new, truth = noise(40, 13, 9, seed=1)
    model = ImageSegmenter(**SMALL | {"depth": 1, "max_epochs": 40, "learning_rate": 0.01}).fit(X, y)
    said = model.predict(new)
    assert ((new > 0.5) == said).mean() > 0.97
    chances = model.predict_proba(new)[..., 1]
    nats = -np.log(np.where(truth, chances, 1 - chances)).mean()
    best = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    assert best - 0.05 < nats < best + 0.06


@pytest.mark.parametrize(("given", "share"), [(None, 0.2), ("balanced", 0.5), ({1: 8.0}, 2 / 3)])
def test_weights_of_classes_weigh_frequencies(given, share):
    """Of images that say nothing, the best answer is each class's share of the weight."""
    y = np.zeros((10, 8, 8), dtype=int)
    y.reshape(-1)[np.random.default_rng(0).permutation(y.size)[: y.size // 5]] = 1
    settings = SMALL | {"depth": 1, "max_epochs": 120, "learning_rate": 0.01, "class_weight": given, "batch_size": 5}
    model = ImageSegmenter(**settings, normalization="none").fit(np.ones((10, 8, 8)), y)
    assert model.predict_proba(np.ones((1, 8, 8)))[..., 1].mean() == pytest.approx(share, abs=0.03)


def test_balanced_weights_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    y = rng.choice([2, 5, 9], (6, 8, 8), p=[0.7, 0.2, 0.1]).astype(np.uint8)
    y[0, 0] = 255
    settings = SMALL | {"max_epochs": 0, "class_weight": "balanced", "ignore": 255}
    model, each = ImageSegmenter(**settings).fit(rng.random((6, 8, 8)), y, sample_weight=[1, 2, 1, 3, 1, 1]), y != 255
    known, images = y[each], np.repeat([1, 2, 1, 3, 1, 1], each.sum((1, 2)))
    table = compute_class_weight("balanced", classes=model.classes_, y=known, sample_weight=images)
    assert model._pixel_loss(model.network_).class_weights.numpy() == pytest.approx(table)


def test_the_dice_term_by_hand():
    """Two pixels, probabilities 3/4 and 1/4 of their own class: sums of 1/2 and masks of one pixel each."""
    logits = torch.log(torch.tensor([[[[0.75, 0.75]], [[0.25, 0.25]]]]))
    batch = {"inputs": logits, "targets": torch.tensor([[[0, 1]]])}
    plain = SegmentationLoss()(torch.nn.Identity(), batch, torch.Generator())
    whole = SegmentationLoss(dice=0.5)(torch.nn.Identity(), batch, torch.Generator())
    overlap = ((2 * 0.75 + 1) / (1.5 + 1 + 1) + (2 * 0.25 + 1) / (0.5 + 1 + 1)) / 2
    assert plain.total.item() == pytest.approx(-np.log(0.75) - np.log(0.25))
    assert whole.total.item() - plain.total.item() == pytest.approx(0.5 * 2 * (1 - overlap))
    sure = {"inputs": torch.tensor([[[[40.0, -40.0]], [[-40.0, 40.0]]]]), "targets": batch["targets"]}
    assert SegmentationLoss(dice=1.0)(torch.nn.Identity(), sure, torch.Generator()).total.item() == pytest.approx(0)


def test_the_loss_is_a_sum_over_images():
    """Images one by one, weighted and with pixels left out, add up to all of them together."""
    generator = torch.Generator().manual_seed(0)
    batch = {
        "inputs": torch.randn(4, 3, 5, 6, generator=generator),
        "targets": torch.randint(-1, 3, (4, 5, 6), generator=generator),
        "weights": torch.tensor([1.0, 2.0, 0.5, 3.0]),
    }
    loss = SegmentationLoss(torch.tensor([1.0, 4.0, 0.5]), dice=0.7)
    whole = loss(torch.nn.Identity(), batch, generator)
    parts = [loss(torch.nn.Identity(), {k: v[i : i + 1] for k, v in batch.items()}, generator) for i in range(4)]
    assert sum(p.total.item() for p in parts) == pytest.approx(whole.total.item(), rel=1e-5)
    assert sum(p.count.item() for p in parts) == pytest.approx(whole.count.item(), rel=1e-6)
    nats = torch.nn.functional.cross_entropy(
        batch["inputs"][:1], batch["targets"][:1], loss.class_weights, ignore_index=-1, reduction="sum"
    )
    alone = SegmentationLoss(loss.class_weights)(torch.nn.Identity(), {k: v[:1] for k, v in batch.items()}, generator)
    assert alone.total.item() == pytest.approx(nats.item(), rel=1e-5)


def test_parts_of_a_batch_and_weights_of_images_are_exact():
    X, y = noise(6)
    settings = SMALL | {"normalization": "group", "dice": 0.5, "batch_size": 8}
    one = ImageSegmenter(**settings).fit(X, y)
    parts = ImageSegmenter(**settings, accumulate=3).fit(X, y)
    assert torch.allclose(weights(parts), weights(one), atol=1e-5)
    twice = ImageSegmenter(**settings).fit(np.concatenate([X, X[:1]]), np.concatenate([y, y[:1]]))
    weighted = ImageSegmenter(**settings).fit(X, y, sample_weight=[2, 1, 1, 1, 1, 1])
    assert torch.allclose(weights(twice), weights(weighted), atol=1e-5)
    assert not torch.allclose(weights(twice), weights(one), atol=1e-5)
    without = ImageSegmenter(**settings).fit(X[1:], y[1:])
    assert torch.equal(
        weights(ImageSegmenter(**settings).fit(X, y, sample_weight=[0, 1, 1, 1, 1, 1])), weights(without)
    )


# -- sizes ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    X, y = noise()
    return ImageSegmenter(**SMALL).fit(X, y)


def test_what_is_added_to_an_image_is_its_border_continued(model):
    """The network reads multiples of four: widening by hand and cropping after changes nothing."""
    X, _ = noise(3, 13, 18, seed=2)
    by_hand = model.predict_proba(np.pad(X, ((0, 0), (1, 2), (1, 1)), "edge"))[:, 1:-2, 1:-1]
    assert np.allclose(model.predict_proba(X), by_hand, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (31, 4), (40, 33)])
def test_any_size_is_answered(model, size):
    X, y = noise(2, *size, seed=3)
    assert model.predict(X).shape == y.shape
    assert np.allclose(model.predict_proba(X).sum(3), 1, atol=1e-5)


def test_images_of_different_sizes_are_answered_as_if_each_were_alone(model):
    X = [noise(1, *size, seed=4)[0][0] for size in ((9, 7), (20, 3), (9, 7))]
    together = model.predict_proba(X)
    for image, answer in zip(X, together, strict=True):
        assert np.allclose(model.predict_proba(image[None])[0], answer, atol=1e-6)
    assert [mask.shape for mask in model.predict(X)] == [(9, 7), (20, 3), (9, 7)]


def test_what_is_added_in_training_has_no_class():
    """An image beside a larger one, widened by hand with pixels to be ignored, gives the same training."""
    (large, small), settings = (noise(2, 12, 12), noise(2, 5, 9, seed=1)), SMALL | {"class_weight": "balanced"}
    X = [*large[0], *small[0]]
    y = [*large[1].astype(int), *small[1].astype(int)]
    ragged = ImageSegmenter(**settings).fit(X, y)
    wide = np.pad(small[0], ((0, 0), (0, 7), (0, 3)), "edge")
    silent = np.pad(small[1].astype(int), ((0, 0), (0, 7), (0, 3)), constant_values=-1)
    by_hand = ImageSegmenter(**settings).fit(
        np.concatenate([large[0], wide]), np.concatenate([large[1].astype(int), silent])
    )
    assert torch.equal(weights(ragged), weights(by_hand))
    assert ragged.mask_scores(X, y).counts.sum() == 2 * 144 + 2 * 45


# -- keeping, going on, validation ---------------------------------------------------------------------------------


def test_it_comes_back(tmp_path):
    X, y = noise()
    model = ImageSegmenter(**SMALL, class_weight={"ink": 2.0}, ignore="unknown").fit(X, np.where(y, "ink", "paper"))
    again = ImageSegmenter.load(model.save(tmp_path))
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.predict(X)[0, 0, 0] in {"ink", "paper"}
    assert clone(model).get_params() == model.get_params()


def test_a_fit_that_is_cut_goes_on_bit_for_bit(tmp_path):
    X, y = noise(20)
    settings = SMALL | {
        "max_epochs": 4,
        "schedule": "constant",
        "augment": "shift,flip,brightness",
        "dropout": 0.3,
        "batch_size": 4,
    }
    whole = ImageSegmenter(**settings).fit(X, y)
    kept = settings | {"checkpoint": str(tmp_path), "checkpoint_every": 3}
    first = ImageSegmenter(**kept, max_steps=9).fit(X, y)
    assert first.n_steps_ == 9 and not torch.equal(weights(first), weights(whole))
    assert torch.equal(weights(ImageSegmenter(**kept).fit(X, y)), weights(whole))


def test_validation_is_followed():
    X, y = noise(30)
    model = ImageSegmenter(**SMALL | {"max_epochs": 6}).fit(X[:20], y[:20], X_val=X[20:], y_val=y[20:])
    best = model.history_[model.best_epoch_]
    assert best["valid_loss"] == min(row["valid_loss"] for row in model.history_)
    assert best["valid_score"] == pytest.approx(model.pixel_accuracy(X[20:], y[20:]))
    chances = model.predict_proba(X[20:])[..., 1]
    nats = -np.log(np.where(y[20:], chances, 1 - chances)).mean()
    assert best["valid_loss"] == pytest.approx(nats, rel=1e-4)


def test_masks_move_with_their_images():
    """Each pixel has a value of its own: after any shift and flip it lies where its class lies."""
    values = torch.arange(6 * 8 * 5).reshape(6, 8, 5)
    for padding in ("reflection", "border", "zeros"):
        options = ImageSegmenter(augment="shift,flip", augment_shift=0.4, augment_padding=padding)
        change = AugmentedMasks(SegmentationLoss(), options, torch.zeros(1), torch.ones(1)).change
        images, masks = change(values.unsqueeze(3) + 1.0, values, torch.Generator().manual_seed(0))
        assert torch.equal(images[..., 0].long() - 1, masks)  # black, and no class, where nothing was
        assert not torch.equal(masks, values) and ((masks == -1).any() == (padding == "zeros"))


def test_exhibits_show_masks(model):
    X, y = noise(4, seed=5)
    shown = {exhibit.title: exhibit for exhibit in model.exhibits((X, y))}
    assert len(shown["Masks"].pictures) == 12
    assert shown["Overlap of masks"].table["pixels"].sum() == y.size


def test_another_weighting_of_classes_goes_on_from_the_same_weights():
    X, y = noise(20)
    model = ImageSegmenter(**SMALL, warm_start=True).fit(X, y)
    before = weights(model)
    model.set_params(class_weight={1: 5.0}, max_epochs=1).fit(X, y)
    assert not torch.equal(weights(model), before)
    assert model.predict(X).mean() > 0.5


# -- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda X, y: (X, y[:, 1:]), "masks of shape"),
        (lambda X, y: (X, y * 0), "two classes"),
        (lambda X, y: (X, y - 1), "two classes"),
        (lambda X, y: (X, y * 0.5), "whole numbers or texts"),
        (lambda X, y: (X, np.where(y, "ink", None)), "whole numbers or texts"),
        (lambda X, y: (X * np.nan, y), "finite pixels"),
        (lambda X, y: (X[0, 0], y), "images of shape"),
        (lambda X, y: (X, None), "masks y"),
    ],
)
def test_what_is_wrong_is_said(change, words):
    X, y = noise(4)
    with pytest.raises(InputError, match=words):
        ImageSegmenter(**SMALL).fit(*change(X, y.astype(int)))


def test_what_is_wrong_later_is_said(model):
    X, y = noise(2)
    with pytest.raises(InputError, match="1 channels, as fitted"):
        model.predict(np.zeros((1, 8, 8, 3)))
    with pytest.raises(InputError, match="classes that were fitted"):
        model.score(X, y.astype(int) + 1)
    with pytest.raises(SettingError, match="name a class"):
        ImageSegmenter(**SMALL, class_weight={5: 1.0}).fit(X, y)
    with pytest.raises(InputError, match="of one size where retrain joins them"):
        ImageSegmenter(**SMALL, retrain="epochs").fit(X, y, X_val=X[:, 1:], y_val=y[:, 1:])
    with pytest.raises(SettingError, match="augment"):
        ImageSegmenter(**SMALL, augment="mixup").fit(X, y)


# -- real pictures -------------------------------------------------------------------------------------------------


def pasted(home, rng, digits, n, size=40):
    """Handwritten digits in black or white laid into photographs, and where their ink is."""
    with np.load(home / "vision" / "photos.npz", allow_pickle=False) as file:
        photos = [file[name] for name in file.files]
    photos = [photo if photo.ndim == 2 else photo.mean(2) for photo in photos]
    X, y = np.empty((n, size, size), np.float32), np.zeros((n, size, size), bool)
    for image, mask in zip(X, y, strict=True):
        photo, digit = photos[rng.integers(len(photos))], digits[rng.integers(len(digits))] / 255.0
        top, left = (rng.integers(0, side - size) for side in photo.shape)
        a, b = rng.integers(0, size - 28, 2)
        image[:] = photo[top : top + size, left : left + size]
        place = image[a : a + 28, b : b + 28]
        place[:] = (1 - digit) * place + digit * 255 * (place.mean() < 128)
        mask[a : a + 28, b : b + 28] = digit > 0.5
    return X / 255, y


@pytest.mark.data
def test_handwriting_on_photographs(data_home):
    """Against a logistic regression on each pixel and its 5 x 5 neighbours, which cannot know black ink from white."""
    with np.load(data_home / "vision" / "mnist.npz", allow_pickle=False) as file:
        train, test = file["x_train"][:1000], file["x_test"][:1000]
    rng = np.random.default_rng(0)
    X, y = pasted(data_home, rng, train, 160)
    new, truth = pasted(data_home, rng, test, 60)
    model = ImageSegmenter(depth=3, width=8, max_epochs=10, learning_rate=0.01, random_state=0, n_threads=1)
    found = model.fit(X, y).mask_scores(new, truth)

    def patches(images):
        wide = np.pad(images, ((0, 0), (2, 2), (2, 2)), "edge")
        return np.lib.stride_tricks.sliding_window_view(wide, (5, 5), (1, 2)).reshape(-1, 25)

    rows = rng.permutation(y.size)[:30_000]
    baseline = LogisticRegression(max_iter=200).fit(patches(X)[rows], y.ravel()[rows])
    plain = jaccard_score(truth.ravel(), baseline.predict(patches(new)), average="macro")
    assert found.mean_iou > plain + 0.25, (found, plain)
    # Wider images than those fitted, four of them side by side, are told as well.
    wide, whole = (np.concatenate(np.split(part, 4), axis=2) for part in (new, truth))
    assert model.score(wide, whole) > found.mean_iou - 0.05
