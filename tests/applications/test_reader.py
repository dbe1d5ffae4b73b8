"""The reader: probabilities against enumeration, canvases against what is on them, and digits that are really read."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits

from gradus.applications.vision.canvases import compose_sequences
from gradus.applications.vision.reader import SequenceReader
from gradus.applications.vision.reading import Reading, log_probability, read_likeliest, reading_loss
from gradus.core.errors import InputError, SettingError
from gradus.estimators.coverage import coverage_at

DIGITS = load_digits()
CANVAS = {"size": (10, 28), "lengths": (1, 3), "scale": (0.8, 1.0), "gap": (0, 2)}
LEARNING = {
    "channels": (16, 32, 64),
    "features": 64,
    "batch_size": 32,
    "warmup_steps": 20,
    "max_epochs": 6,
    "n_threads": 1,
    "random_state": 0,
}
SMALL = {"channels": (8, 16), "features": 32, "max_epochs": 2, "n_threads": 1, "random_state": 0}


def canvases(n, part=slice(0, 900), seed=0):
    made = compose_sequences(DIGITS.images[part], DIGITS.target[part], n, **CANVAS, random_state=seed)
    return made.images, made.texts


X, Y = canvases(400)
NEW, TRUTH = canvases(300, slice(900, None), seed=1)


def weights(model):
    return torch.cat([tensor.double().flatten() for tensor in model.network_.state_dict().values()])


# -- canvases ------------------------------------------------------------------------------------------------------


def test_a_canvas_shows_what_its_text_says():
    """Solid blocks of different widths, with empty columns between: their runs are the symbols, in order."""
    pictures = np.zeros((3, 12, 12))
    for i, width in enumerate((2, 5, 9)):
        pictures[i, 2:10, 1 : 1 + width] = 1
    made = compose_sequences(
        pictures, ["a", "b", "c"], 200, size=(20, 64), lengths=(1, 5), scale=(0.8, 0.8), gap=(1, 3), random_state=3
    )
    runs = []
    for image in made.images:
        inked = np.concatenate([[0], image.any(0), [0]]).astype(int)
        starts, ends = np.flatnonzero(np.diff(inked) == 1), np.flatnonzero(np.diff(inked) == -1)
        runs.append(ends - starts)
    assert [len(run) for run in runs] == [len(text) for text in made.texts]
    assert set(map(len, made.texts)) == {1, 2, 3, 4, 5}
    wide = {name: [] for name in "abc"}
    for run, text in zip(runs, made.texts, strict=True):
        if len(text) <= 3:  # not scaled down
            for name, width in zip(text, run, strict=True):
                wide[name].append(width)
    # 16 pixels high where the block had 8, less up to a tenth
    assert all(3 <= w <= 4 for w in wide["a"]) and all(9 <= w <= 10 for w in wide["b"])
    assert all(16 <= w <= 18 for w in wide["c"])


def test_canvases_come_from_the_pictures_given_and_from_the_seed():
    made = compose_sequences(DIGITS.images, DIGITS.target, 50, **CANVAS)
    again = compose_sequences(DIGITS.images, DIGITS.target, 50, **CANVAS)
    other = compose_sequences(DIGITS.images, DIGITS.target, 50, **CANVAS, random_state=1)
    assert np.array_equal(made.images, again.images) and not np.array_equal(made.images, other.images)
    for text, row in zip(made.texts, made.used, strict=True):
        assert text == "".join(str(DIGITS.target[i]) for i in row[row >= 0])
    assert made.images.dtype == np.uint8 and made.images.any((1, 2)).all()


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ((DIGITS.images * 0, DIGITS.target, 3), InputError),
        ((DIGITS.data, DIGITS.target, 3), InputError),
        ((DIGITS.images, DIGITS.target[1:], 3), InputError),
        ((DIGITS.images, DIGITS.target, 0), SettingError),
    ],
)
def test_pictures_that_cannot_be_composed(given, error):
    with pytest.raises(error, match=r"expected .* got .*; "):
        compose_sequences(*given)


# -- probabilities -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def untrained():
    """A reader of three symbols and at most three of them, with the weights it begins with."""
    texts = np.array(["abc", "", "b", "ca"] * 4)
    return SequenceReader(**SMALL | {"max_epochs": 0}).fit(X[: len(texts)], texts)


def test_probabilities_of_all_sequences_sum_to_one_and_the_best_is_read(untrained):
    every = ["".join(symbols) for n in range(4) for symbols in itertools.product("abc", repeat=n)]
    assert len(every) == 1 + 3 + 9 + 27
    images = X[:5]
    nats = np.stack([untrained.log_proba(images, [text] * 5) for text in every], 1)
    assert np.exp(nats).sum(1) == pytest.approx(np.ones(5))
    texts, sure = untrained.read(images)
    assert texts.tolist() == [every[i] for i in nats.argmax(1)]
    assert sure == pytest.approx(np.exp(nats.max(1)))
    assert untrained.predict_lengths(images)[:, 2] == pytest.approx(np.exp(nats[:, 4:13]).sum(1))
    first = untrained.predict_symbols(images)[:, 0, 1]  # of "b" at the first position, if there is one
    begins = np.exp(nats[:, [text.startswith("b") for text in every]]).sum(1)
    assert begins / np.exp(nats[:, 1:]).sum(1) == pytest.approx(first)


def test_the_best_of_random_tables_by_brute_force():
    generator = torch.Generator().manual_seed(0)
    reading = Reading(
        torch.randn(50, 4, generator=generator).log_softmax(1),
        torch.randn(50, 3, 4, generator=generator).log_softmax(2),
    )
    best, nats = read_likeliest(reading)
    for i in range(50):
        totals = {
            symbols: float(reading.lengths[i, n] + sum(reading.symbols[i, j, s] for j, s in enumerate(symbols)))
            for n in range(4)
            for symbols in itertools.product(range(4), repeat=n)
        }
        winner = max(totals, key=totals.get)
        assert best[i].tolist() == [*winner, *[-1] * (3 - len(winner))]
        assert nats[i].item() == pytest.approx(totals[winner], rel=1e-5)
    assert torch.allclose(log_probability(reading, best), nats)


def test_what_was_never_seen_has_no_probability(untrained):
    nats = untrained.log_proba(X[:3], ["abcb", "xa", "a"])
    assert nats[0] == nats[1] == -np.inf and np.isfinite(nats[2])


def test_the_loss_is_minus_the_log_probability(untrained):
    texts = ["ab", "", "cab", "b"]
    batch = untrained._encode(X[:4], texts, [1.0, 2.0, 0.5, 1.0])
    loss = reading_loss(untrained.network_, batch, torch.Generator())
    nats = untrained.log_proba(X[:4], texts)
    assert loss.total.item() == pytest.approx(-(nats * [1.0, 2.0, 0.5, 1.0]).sum(), rel=1e-5)
    assert loss.count.item() == 4.5


# -- reading -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return SequenceReader(**LEARNING).fit(*canvases(3000))


def test_digits_in_rows_are_read(model):
    texts, sure = model.read(NEW)
    right = texts == TRUTH
    assert right.mean() > 0.65 and right.mean() == model.score(NEW, TRUTH)
    assert (np.char.str_len(texts) == np.char.str_len(TRUTH)).mean() > 0.95
    # right readings are surer, and saying so is honest: the mean confidence is the share of right ones, about
    assert sure[right].mean() > sure[~right].mean() + 0.15
    assert abs(sure.mean() - right.mean()) < 0.12


def test_rejecting_the_unsure_leaves_what_is_right(model):
    found = model.coverage_at(0.95, NEW, TRUTH)
    texts, sure = model.read(NEW)
    assert found == coverage_at(0.95, sure, texts == TRUTH)
    kept = sure >= found.threshold
    assert kept.mean() == found.coverage > 0.3
    assert (texts == TRUTH)[kept].mean() == found.accuracy >= 0.95


def test_a_shared_network_for_all_positions_learns_from_less(model):
    dense = SequenceReader(**LEARNING, readout="dense").fit(*canvases(3000))
    assert 0.1 < dense.score(NEW, TRUTH) < model.score(NEW, TRUTH) - 0.2


@pytest.mark.data
def test_handwritten_numbers(data_home):
    """Rows of one or two digits by people the reader has not seen."""
    with np.load(data_home / "vision" / "mnist.npz", allow_pickle=False) as file:
        made = {"size": (20, 44), "lengths": (1, 2)}
        seen = compose_sequences(file["x_train"][:20_000], file["y_train"][:20_000], 2500, **made)
        new = compose_sequences(file["x_test"], file["y_test"], 300, **made, random_state=1)
    model = SequenceReader(**LEARNING | {"channels": (16, 32, 64, 128), "learning_rate": 4e-3}).fit(
        seen.images, seen.texts
    )
    assert model.score(new.images, new.texts) > 0.75


@pytest.mark.parametrize("network", ["convolutional", "resnet"])
@pytest.mark.parametrize("readout", ["attention", "dense"])
def test_every_network_comes_back(network, readout, tmp_path):
    settings = SMALL | {"width": 4, "stages": 2, "network": network, "readout": readout, "max_epochs": 1}
    model = SequenceReader(**settings).fit(X, Y)
    again = SequenceReader.load(model.save(tmp_path))
    assert again.predict(X).tolist() == model.predict(X).tolist()
    assert np.array_equal(again.confidence(X), model.confidence(X))
    assert clone(model).get_params() == model.get_params()


def test_a_fit_that_is_cut_goes_on_bit_for_bit(tmp_path):
    settings = SMALL | {"augment": "shift,rotate", "schedule": "constant", "max_epochs": 3}  # 7 steps an epoch
    whole = SequenceReader(**settings).fit(X, Y)
    kept = settings | {"checkpoint": str(tmp_path), "checkpoint_every": 4}
    assert SequenceReader(**kept, max_steps=10).fit(X, Y).n_steps_ == 10
    assert torch.equal(weights(SequenceReader(**kept).fit(X, Y)), weights(whole))


def test_validation_is_followed():
    model = SequenceReader(**SMALL | {"max_epochs": 3}).fit(X, Y, X_val=NEW, y_val=TRUTH)
    best = model.history_[model.best_epoch_]
    assert best["valid_loss"] == min(row["valid_loss"] for row in model.history_)
    assert best["valid_loss"] == pytest.approx(-model.log_proba(NEW, TRUTH).mean(), rel=1e-4)
    assert best["valid_score"] == pytest.approx(model.score(NEW, TRUTH))


def test_images_of_no_weight_are_not_there():
    weight = np.ones(len(X))
    weight[::3] = 0
    settings = SMALL | {"max_epochs": 1}
    weighted = SequenceReader(**settings).fit(X, Y, sample_weight=weight)
    assert torch.equal(weights(weighted), weights(SequenceReader(**settings).fit(X[weight > 0], Y[weight > 0])))


def test_exhibits_show_the_surest_mistakes(model):
    shown = {exhibit.title: exhibit for exhibit in model.exhibits((NEW, TRUTH))}
    assert shown["Accuracy and coverage"].figure["data"][0]["y"][-1] == pytest.approx(model.score(NEW, TRUTH))
    texts, sure = model.read(NEW)
    first = max((i for i in range(len(texts)) if texts[i] != TRUTH[i]), key=lambda i: sure[i])
    assert shown["Surest mistakes"].pictures[0].label.startswith(f"true {TRUTH[first]}, read {texts[first]}")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((X, Y[1:]), "as many as X"),
        ((X, np.arange(len(X))), "texts, one for each image"),
        ((X, [None] * len(X)), "texts, one for each image"),
        ((X, ["1"] * len(X)), "two symbols"),
        ((X, "12"), "put it into a list"),
        ((X, None), "texts y"),
        ((X[0], Y[:1]), "images of shape"),
    ],
)
def test_what_is_wrong_is_said(given, words):
    with pytest.raises(InputError, match=words):
        SequenceReader(**SMALL).fit(*given)


def test_what_is_wrong_later_is_said(untrained):
    with pytest.raises(InputError, match="resize"):
        untrained.predict(X[:, 1:])
    with pytest.raises(InputError, match="at most 2 of the symbols"):
        SequenceReader(**SMALL, longest=2).fit(X, Y)
    with pytest.raises(SettingError, match="readable"):
        SequenceReader(**SMALL, augment="shift,flip").fit(X, Y)
