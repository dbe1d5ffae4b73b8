"""Transfer: what is taken over, what is held still, and that it helps where there is little to learn from."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import gradus
from gradus import ImageClassifier, MLPClassifier
from gradus.core.errors import DataError, InputError, SettingError
from gradus.core.randomness import generator

RNG = np.random.default_rng(0)
X, Y = RNG.integers(0, 256, (120, 8, 8), dtype=np.uint8), np.arange(120) % 3
COLOUR, Z = RNG.integers(0, 256, (60, 12, 10, 3), dtype=np.uint8), np.arange(60) % 2
KINDS = [
    {"channels": (4, 8), "features": 16, "dropout": 0.2},
    {"network": "resnet", "depth": 1, "width": 4, "stages": 2},
    {"network": "vit", "width": 16, "depth": 1, "heads": 2},
    {"network": "mlp", "hidden": (16, 8), "dropout": 0.3},
]


def make(**settings):
    return ImageClassifier(**{"max_epochs": 1, "random_state": 0, "n_threads": 1, **settings})


def body_of(model):
    """Return the body's weights and running means, in order: a rate of dropout changes their names."""
    return [tensor.clone() for tensor in model.network_.body.state_dict().values()]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def folder(tmp_path):
    model = make(**KINDS[1]).fit(X, Y)
    model.save(tmp_path / "source" / "model")
    return str(tmp_path / "source" / "model")


@pytest.mark.parametrize("settings", KINDS, ids=lambda s: s.get("network", "convolutional"))
@pytest.mark.parametrize("data", [(X, Y), (COLOUR, Z)], ids=["alike", "other size and channels"])
def test_every_body_is_taken_over_and_comes_back(settings, data, tmp_path):
    source = make(**settings, prepare="gcn,zca").fit(X, Y)
    source.save(tmp_path / "source")
    model = make(start_from=str(tmp_path / "source"), freeze="body").fit(*data)
    assert same(body_of(model), body_of(source))
    torch.testing.assert_close(model.network_.prepare[-1].matrix, source.network_.prepare[-1].matrix)
    model.save(tmp_path / "own")
    (tmp_path / "source").rename(tmp_path / "gone")  # what is saved stands alone
    again = gradus.load(tmp_path / "own")
    assert np.array_equal(again.predict_proba(data[0]), model.predict_proba(data[0]))
    second = make(start_from=str(tmp_path / "own"), freeze="body").fit(X, Y)  # and can be started from again
    assert same(body_of(second), body_of(source))


def test_the_folder_of_a_run_will_do(folder):
    model = make(start_from=folder.removesuffix("/model"), freeze="body").fit(X, Y)
    assert same(body_of(model), body_of(gradus.load(folder)))


def test_features_are_those_of_the_source(folder):
    """On images like the source's the head reads what the source's head reads."""
    source, model = gradus.load(folder), make(start_from=folder, freeze="body", max_epochs=3).fit(X, Y)
    images = torch.from_numpy(X)[..., None]
    torch.testing.assert_close(model.network_.features(images), source.network_.features(images))


def test_what_is_frozen_stands_still_and_the_head_moves(folder):
    source = body_of(gradus.load(folder))
    short, long = (make(start_from=folder, freeze="body", max_epochs=n).fit(X, Y) for n in (1, 5))
    assert same(body_of(short), source) and same(body_of(long), source)  # running means included
    assert not torch.equal(short.network_.head.linear.weight, long.network_.head.linear.weight)
    assert all(p.requires_grad for p in long.network_.parameters())
    assert not same(body_of(make(start_from=folder).fit(X, Y)), source)


def test_head_first_is_a_frozen_training_and_then_a_whole_one(folder):
    head = make(start_from=folder, freeze="body", max_epochs=4).fit(X, Y)
    both = make(start_from=folder, freeze="head_first", head_epochs=4, max_epochs=0).fit(X, Y)
    assert same(body_of(both), body_of(head))
    later = make(start_from=folder, freeze="head_first", head_epochs=4, max_epochs=2).fit(X, Y)
    assert not same(body_of(later), body_of(head)) and later.n_epochs_ == 2


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "nesterov"])
def test_a_rate_scales_the_bodys_first_step_and_not_the_heads(optimizer, folder):
    settings = {
        "start_from": folder,
        "optimizer": optimizer,
        "weight_decay": 0.1,
        "batch_size": 200,
        "precision": "bf16",
    }
    start = make(**settings, max_epochs=0).fit(X, Y).network_
    whole, slow = (make(**settings, body_rate=rate).fit(X, Y).network_ for rate in (1.0, 0.25))
    for (name, a), b, c in zip(start.named_parameters(), whole.parameters(), slow.parameters(), strict=True):
        share = 0.25 if name.startswith("body") else 1.0
        torch.testing.assert_close(c - a, share * (b - a), atol=1e-6, rtol=2e-3)


def test_a_slow_body_stays_slow_after_a_checkpoint(folder, tmp_path):
    def fit(where, **more):
        settings = {"body_rate": 0.1, "max_epochs": 4, "schedule": "step", "schedule_epochs": 1, "schedule_factor": 0.5}
        return make(start_from=folder, checkpoint=str(tmp_path / where), **settings, **more).fit(X, Y)

    whole = fit("whole")
    fit("cut", max_steps=3)
    assert same(body_of(fit("cut")), body_of(whole))


def test_head_first_goes_on_where_it_was_cut_off(folder, tmp_path):
    def fit(where, **more):
        settings = {"freeze": "head_first", "head_epochs": 3, "max_epochs": 3, "augment": "shift,flip"}
        return make(start_from=folder, checkpoint=str(tmp_path / where), **settings, **more).fit(X, Y)

    whole = fit("whole")
    fit("cut", max_steps=4)
    assert same(body_of(fit("cut")), body_of(whole))


# -- a module of one's own -----------------------------------------------------------------------------------------


def own():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())


def test_a_module_of_ones_own_is_the_body_and_stays_as_it_was():
    body = own()
    before = copy.deepcopy(body.state_dict())
    model = make(body=body, max_epochs=2).fit(X, Y)
    assert all(torch.equal(before[name], tensor) for name, tensor in body.state_dict().items())
    assert model.network_.head.in_features == 16
    frozen = make(body=body, freeze="body", max_epochs=2).fit(X, Y)
    assert same(body_of(frozen), list(before.values()))
    assert not same(body_of(model), list(before.values()))


def test_a_module_of_ones_own_is_not_saved_and_the_sentence_says_what_to_keep(tmp_path):
    model = make(body=own()).fit(X, Y)
    with pytest.raises(InputError, match=r"can build again, got a Sequential of your own; keep model\.network_"):
        model.save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_body_that_returns_maps_is_refused():
    with pytest.raises(InputError, match=r"features of shape \(n, features\), got \(1, 4, 6, 6\); pool the maps"):
        make(body=nn.Conv2d(1, 4, 3)).fit(X, Y)


# -- refusals ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_started_from_is_refused(folder, tmp_path):
    with pytest.raises(DataError, match=r"a folder with estimator\.json"):
        make(start_from=str(tmp_path / "nothing")).fit(X, Y)
    MLPClassifier(max_epochs=1, random_state=0).fit(X.reshape(len(X), -1), Y).save(tmp_path / "table")
    with pytest.raises(InputError, match="a saved model of images to start from, got a MLPClassifier"):
        make(start_from=str(tmp_path / "table")).fit(X, Y)
    with pytest.raises(SettingError, match="network='resnet', as in the model to start from, got 'mlp'"):
        make(start_from=folder, network="mlp").fit(X, Y)
    with pytest.raises(SettingError, match="width=4, as in the model"):
        make(start_from=folder, width=64).fit(X, Y)
    with pytest.raises(InputError, match="images of 1 or 3 channels, got 4"):
        make(max_epochs=0).fit(COLOUR, Z).save(tmp_path / "colour")
        make(start_from=str(tmp_path / "colour")).fit(RNG.integers(0, 9, (9, 8, 8, 4), dtype=np.uint8), Y[:9])


# -- real images ---------------------------------------------------------------------------------------------------


@pytest.mark.data
def test_clothes_help_to_read_digits_from_ten_examples_each(data_home, tmp_path):
    """The same network on MNIST, begun with what it learned from Fashion-MNIST, and from nothing; two draws."""

    def parts(name):
        with np.load(data_home / "vision" / f"{name}.npz", allow_pickle=False) as file:
            return [
                file["x_train"][:, ::2, ::2],
                file["y_train"],
                file["x_test"][:3000, ::2, ::2],
                file["y_test"][:3000],
            ]

    clothes, kinds, *_ = parts("fashion_mnist")
    digits, numbers, test, answers = parts("mnist")
    shape = {"network": "resnet", "depth": 1, "width": 12, "stages": 2}
    training = {"learning_rate": 5e-3, "schedule": "one_cycle", "n_threads": 1}
    source = ImageClassifier(**shape, **training, max_epochs=4, batch_size=64, random_state=0)
    source.fit(clothes[:6000], kinds[:6000]).save(tmp_path)
    gains = []
    for draw in range(2):
        rows = torch.randperm(60_000, generator=generator(draw)).numpy()
        few = np.concatenate([rows[numbers[rows] == k][:10] for k in range(10)])
        settings = {**training, "max_epochs": 40, "batch_size": 20, "random_state": draw}
        taken, fresh = (
            ImageClassifier(**begin, **settings).fit(digits[few], numbers[few]).score(test, answers)
            for begin in ({"start_from": str(tmp_path)}, shape)
        )
        gains.append(taken - fresh)
    assert min(gains) > 0.03, gains
