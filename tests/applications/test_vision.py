"""The image classifier: its networks, what it stores, augmentation and views, each against something outside it."""

import json

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from torch import nn

import gradus
from gradus import ImageClassifier
from gradus.applications.vision.views import AveragedViews
from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import generator
from gradus.networks import LeNet5, ResNet, VisionTransformer
from gradus.networks.contrast import ZCAWhitening

DIGITS = load_digits()
X, Y = DIGITS.images.astype(np.float32), DIGITS.target
TRAIN, TEST = slice(0, 900), slice(900, None)
SMALL = {"network": "resnet", "depth": 1, "width": 8, "stages": 2, "learning_rate": 0.01, "n_threads": 1}
EVERY = "shift,flip,rotate,scale,brightness,contrast,cutout,mixup,cutmix"


def fit(rows=TRAIN, **settings):
    given = {"channels": (8, 16), "features": 32, "max_epochs": 2, "random_state": 0, "n_threads": 1, **settings}
    return ImageClassifier(**given).fit(X[rows], Y[rows])


def weights(model):
    return torch.cat([tensor.double().flatten() for tensor in model.network_.state_dict().values()])


@pytest.mark.parametrize(
    ("settings", "kind", "score"),
    [
        ({}, "ConvNet", 0.9),
        ({"network": "resnet", "depth": 1, "width": 16, "learning_rate": 0.01}, "ResNet", 0.9),
        ({"network": "vit", "patch_size": 2}, "VisionTransformer", 0.85),
        ({"network": "mlp", "hidden": (64,), "dropout": 0.2, "input_dropout": 0.1}, "Sequential", 0.88),
    ],
)
def test_every_network_learns_the_digits_and_comes_back(settings, kind, score, tmp_path):
    model = fit(max_epochs=8, learning_rate=settings.pop("learning_rate", 3e-3), **settings)
    assert type(model.network_.body).__name__ == kind
    assert model.score(X[TEST], Y[TEST]) > score
    again = gradus.load(model.save(tmp_path))
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))


def test_the_dial_reaches_the_networks():
    sizes = {
        "resnet": ({"depth": 3, "width": 8, "stages": 2}, ResNet(1, 3, 8, stages=2)),
        "vit": ({"depth": 3, "width": 16, "heads": 2, "patch_size": 4}, VisionTransformer(1, 8, 4, 16, 3, 2)),
    }
    for network, (settings, like) in sizes.items():
        model = fit(slice(0, 50), network=network, max_epochs=1, **settings)
        assert {n: v.shape for n, v in model.network_.body.state_dict().items()} == {
            n: v.shape for n, v in like.state_dict().items()
        }


def test_lenet_reads_28_by_28_and_says_so_of_others():
    wide = np.kron(X[:60], np.ones((1, 4, 4)))[:, 2:-2, 2:-2]
    model = ImageClassifier(network="lenet", max_epochs=1, random_state=0).fit(wide, Y[:60])
    assert isinstance(model.network_.body, LeNet5) and model.predict(wide).shape == (60,)
    with pytest.raises(InputError, match="28 x 28 or 32 x 32"):
        fit(network="lenet")


def test_large_images_begin_with_a_stride():
    images = np.random.default_rng(0).integers(0, 255, (4, 96, 96), dtype=np.uint8)
    model = ImageClassifier(network="resnet", width=4, depth=1, max_epochs=1, random_state=0).fit(images, [0, 1, 0, 1])
    assert model.network_.body.stem[0].stride == (2, 2)


# -- a folder written before there were these settings ------------------------------------------------------------


def test_a_folder_of_the_first_format_is_read(tmp_path):
    """The settings that came later are absent from it, and the learned names of their features too."""
    model = fit()
    model.save(tmp_path)
    path = tmp_path / "estimator.json"
    plain = json.loads(path.read_text())
    first = {"network", "channels", "features", "hidden", "dropout", "pooling", "pixel_scale", "image_shape"}
    later = {*ImageClassifier.__dataclass_fields__} - {*gradus.MLPClassifier.__dataclass_fields__} - first
    assert {"augment", "prepare", "start_from", "depth"} <= later

    def forget(value):
        if isinstance(value, dict):
            return {key: forget(item) for key, item in value.items() if key not in later}
        return [forget(item) for item in value] if isinstance(value, list) else value

    from gradus.estimators.persistence import _seal

    old = forget({name: value for name, value in plain.items() if name != "sha256"})
    path.write_text(json.dumps({**old, "sha256": _seal(old)}))
    assert np.array_equal(gradus.load(tmp_path).predict_proba(X), model.predict_proba(X))


# -- augmentation --------------------------------------------------------------------------------------------------


def test_augmentation_changes_training_and_nothing_else():
    plain, changed = fit(max_epochs=1), fit(max_epochs=1, augment="shift,flip")
    assert not torch.equal(weights(plain), weights(changed))
    assert np.array_equal(changed.predict_proba(X), changed.predict_proba(X))
    # what the validation images measure is what the final network says of them as they are
    model = ImageClassifier(augment=EVERY, max_epochs=2, early_stopping=False, random_state=0, n_threads=1)
    model.fit(X[TRAIN], Y[TRAIN], X_val=X[TEST], y_val=Y[TEST])
    seen = model.predict_proba(X[TEST])
    assert model.history_[-1]["valid_score"] == pytest.approx((seen.argmax(1) == Y[TEST]).mean())
    loss = -np.log(seen[np.arange(len(seen)), Y[TEST]]).mean()
    assert model.history_[-1]["valid_loss"] == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize(("augment", "stop"), [("shift,flip", 20), (EVERY, 1), (EVERY, 33)])  # 15 steps an epoch
def test_a_training_cut_off_and_taken_up_ends_in_the_same_bits(augment, stop, tmp_path):
    def settings(folder):
        return {"augment": augment, "checkpoint": str(folder), "max_epochs": 3, **SMALL}

    whole = fit(**settings(tmp_path / "whole"))
    fit(**settings(tmp_path / "cut"), max_steps=stop)
    assert torch.equal(weights(fit(**settings(tmp_path / "cut"))), weights(whole))


def test_augmentation_reaches_what_shifts_do_to_a_network_without_convolutions():
    """Trained on the digits as they are, a perceptron fails on shifted ones; trained on shifted ones it does not."""
    moved = np.roll(X[TEST], 1, axis=2)
    settings = {"network": "mlp", "hidden": (128,), "max_epochs": 25, "learning_rate": 3e-3}
    plain = fit(**settings).score(moved, Y[TEST])
    shifted = fit(**settings, augment="shift", augment_padding="zeros").score(moved, Y[TEST])
    assert plain < 0.6 and shifted > 0.75


def test_a_stream_is_augmented_too():
    from gradus.data.batches import TensorBatches

    tensors = {"inputs": torch.from_numpy(X[TRAIN])[..., None], "targets": torch.from_numpy(Y[TRAIN])}
    fitted = [
        ImageClassifier(channels=(4,), max_epochs=1, augment=names, random_state=0, n_threads=1).fit_stream(
            TensorBatches(tensors, batch_size=64, seed=1), (X[TRAIN], Y[TRAIN])
        )
        for names in ("none", "flip")
    ]
    assert not torch.equal(*map(weights, fitted))


def test_a_search_reaches_the_strengths():
    model = ImageClassifier(channels=(4,), max_epochs=1, augment="shift", random_state=0)
    search = GridSearchCV(model, {"augment_shift": [0.1, 0.3]}, cv=2).fit(X[:200], Y[:200])
    assert search.best_params_.keys() == {"augment_shift"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"augment": "shfit"}, "did you mean 'shift'"),
        ({"test_augment": "rotate"}, "test_augment to be none, or names among flip, shift"),
        ({"prepare": "zac"}, "did you mean 'zca'"),
        ({"start_from": "x", "body": nn.Flatten()}, "start_from or body"),
        ({"freeze": "head_first", "retrain": "epochs"}, "retrain"),
        ({"augment_shift": 1.5}, "augment_shift"),
        ({"augment": "cutmix", "adversarial_epsilon": 0.1}, "augment without mixup and cutmix"),
    ],
)
def test_settings_that_are_wrong_are_refused_before_training(settings, sentence):
    with pytest.raises(SettingError, match=sentence):
        ImageClassifier(**settings).fit(X, Y)


# -- views ---------------------------------------------------------------------------------------------------------


class Fixed(nn.Module):
    """Linear maps of the pixels, to know what the views of an image give."""

    def __init__(self):
        super().__init__()
        self.matrix = torch.randn(64, 3, generator=generator(0), dtype=torch.float64)

    def forward(self, images):
        return images.flatten(1).double() @ self.matrix


@pytest.mark.parametrize("views", ["flip", "shift", "flip,shift"])
def test_views_are_averaged(views):
    images, network = torch.from_numpy(X[:5])[..., None], Fixed()
    padded = np.pad(images.numpy(), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    starts = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)] if "shift" in views else [(1, 1)]
    seen = [padded[:, r : r + 8, c : c + 8] for r, c in starts]
    seen += [view[:, :, ::-1] for view in seen] if "flip" in views else []
    assert len(seen) == {"flip": 2, "shift": 5, "flip,shift": 10}[views]
    wanted = np.mean([network(torch.from_numpy(view.copy())).numpy() for view in seen], axis=0)
    np.testing.assert_allclose(AveragedViews(network, views)(images), wanted)


def test_answers_to_views_agree_with_each_other_and_leave_the_network_alone():
    model = fit(max_epochs=3)
    plain = model.predict_proba(X[TEST])
    model.set_params(test_augment="shift")
    averaged = model.predict_proba(X[TEST])
    assert not np.allclose(plain, averaged)
    assert np.array_equal(model.predict(X[TEST]), model.classes_[averaged.argmax(1)])
    np.testing.assert_allclose(model.predict_distribution(X[TEST]).probs, averaged, atol=1e-5)
    np.testing.assert_allclose(averaged.sum(1), 1)
    mirrored = model.set_params(test_augment="flip").predict_proba(X[TEST][:, :, ::-1])
    np.testing.assert_allclose(mirrored, model.predict_proba(X[TEST]), atol=1e-5)
    assert np.array_equal(model.set_params(test_augment="none").predict_proba(X[TEST]), plain)


# -- preparation ---------------------------------------------------------------------------------------------------


def test_whitening_learns_from_the_training_pixels_and_is_stored(tmp_path):
    model = fit(prepare="gcn,zca", zca_epsilon=1e-3)
    scale, gcn, zca = model.network_.prepare
    before = gcn(scale(torch.from_numpy(X[TRAIN])[..., None]))
    wanted = ZCAWhitening.from_data(before, 1e-3)
    torch.testing.assert_close(zca.matrix, wanted.matrix)
    np.testing.assert_allclose(scale(torch.from_numpy(X[TRAIN])[..., None]).std(correction=0), 1, atol=1e-3)
    assert not hasattr(model, "_whitening")
    again = gradus.load(model.save(tmp_path))
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))


def test_the_order_of_the_names_does_not_matter():
    one, other = fit(prepare="zca,gcn"), fit(prepare="gcn,zca")
    assert torch.equal(weights(one), weights(other))


def test_local_contrast_forgets_the_brightness_of_an_image():
    model = fit(prepare="lcn", max_epochs=3)
    near = model.predict_proba(X[TEST])
    brighter = model.predict_proba(X[TEST] + 40)
    np.testing.assert_allclose(near, brighter, atol=1e-2)


def test_a_clone_and_a_copy_in_another_process_agree():
    import joblib

    model = fit(prepare="zca", augment="shift")
    assert clone(model).get_params() == model.get_params()
    (answers,) = joblib.Parallel(n_jobs=2)(joblib.delayed(type(model).predict_proba)(m, X[:50]) for m in [model])
    assert np.array_equal(answers, model.predict_proba(X[:50]))


@pytest.mark.parametrize("network", ["convolutional", "resnet", "mlp", "vit"])
def test_filters_are_the_first_layers_weights_as_images(network):
    model = fit(slice(0, 50), network=network, max_epochs=1, width=8, hidden=(5,))
    size = {"mlp": 8, "vit": 4}.get(network, 3)
    kernels = model.filters()
    assert kernels.shape[1:] == (size, size, 1)
    if network == "mlp":  # a unit's answer is the sum of filter times image
        scaled = model.network_.prepare(torch.from_numpy(X[:3])[..., None]).permute(0, 2, 3, 1)
        layer = model.network_.body[1].layers[0]
        wanted = layer(scaled.flatten(1)) - layer.bias
        found = torch.einsum("nhwc,khwc->nk", scaled, torch.from_numpy(kernels))
        torch.testing.assert_close(found, wanted)


def test_changed_copies_can_be_looked_at():
    model = fit(slice(0, 50), augment="shift,flip", max_epochs=1)
    first, second = model.augmented(X[:20], times=2)
    assert first.shape == second.shape == (20, 8, 8, 1) and not np.array_equal(first, second)
    assert np.array_equal(model.augmented(X[:20])[0], first)


def test_the_report_shows_changed_copies_and_filters():
    from types import SimpleNamespace

    from gradus.applications.kinds import recognise
    from gradus.data.reading import read

    app = recognise(read("digits"))
    model = fit(slice(0, 200), network="resnet", depth=1, width=8, augment="shift", max_epochs=1)
    prediction = SimpleNamespace(
        labels=model.predict(X[TEST]), probabilities=model.predict_proba(X[TEST]), classes=model.classes_, values=None
    )
    shown = {exhibit.title: exhibit for exhibit in app.exhibits(model, (X[TEST], Y[TEST]), prediction)}
    assert len(shown["Changed copies"].pictures) == 24 and len(shown["Filters of the first layer"].pictures) == 8
