"""Settings of classifiers that change what is learned: reached by name, refused where they make no sense, resumed."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.semi_supervised import SelfTrainingClassifier

from estimators.cases import CLASSIFIERS, TABLES, data_for, name_of, small, weights_of
from gradus.applications.language.classifier import TextClassifier
from gradus.applications.tabular import TabularClassifier
from gradus.applications.vision import ImageClassifier
from gradus.core.errors import InputError, SettingError
from gradus.estimators.mlp import MLPClassifier
from gradus.estimators.regularization import labelled_rows, regularized_loss
from gradus.estimators.robustness import adversarial_examples, robust_accuracy
from gradus.training.adversarial import AdversarialLoss
from gradus.training.losses import HeadLoss
from gradus.training.tangent import image_tangents, tangent_penalty

every = pytest.mark.parametrize("cls", CLASSIFIERS, ids=name_of)
SETTINGS = {
    "adversarial": {"adversarial_epsilon": 0.1},
    "steps": {"adversarial_epsilon": 0.1, "adversarial_steps": 3, "adversarial_norm": "l2"},
    "virtual": {"semi_supervised": "virtual_adversarial"},
    "pseudo": {"semi_supervised": "pseudo_label", "confidence": 0.4},
    "mixup": {"mixup": 0.5},
    "cutout": {"cutout": 0.2},
}
each = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)


def digits(n=600):
    data = load_digits()
    return data.images[:n], data.target[:n], data.images[-500:], data.target[-500:]


# -- every setting does something, from a seed, and goes on after a stop ----------------------------------------------


@each
@every
def test_a_setting_changes_the_weights_from_a_seed(cls, settings):
    X, y = data_for(cls)
    without = {}
    if "semi_supervised" in settings:
        y = np.where(np.arange(50) % 3 == 0, y.astype(object), -1)
        without = {**settings, "unlabeled_weight": 0.0}
    first, again = (small(cls, **settings).fit(X, y) for _ in range(2))
    assert np.array_equal(weights_of(first), weights_of(again))
    assert not np.array_equal(weights_of(first), weights_of(small(cls, **without).fit(X, y)))


def test_tangent_prop_makes_images_answers_stiller_under_shifts_and_turns():
    X, y, X_test, y_test = digits(300)
    settings = {"network": "mlp", "hidden": (64,), "max_epochs": 30, "learning_rate": 3e-3, "random_state": 0}
    models = [ImageClassifier(**settings, tangent_weight=w).fit(X, y) for w in (0.0, 0.01)]
    images = torch.tensor(X_test[..., None], dtype=torch.float32)
    slopes = [tangent_penalty(m.network_, images, image_tangents(images)).mean().item() for m in models]
    assert slopes[1] < slopes[0] / 2
    assert models[1].score(X_test, y_test) > models[0].score(X_test, y_test) - 0.03
    with pytest.raises(SettingError, match="tangent_weight for images"):
        small(MLPClassifier, tangent_weight=0.1).fit(*data_for(MLPClassifier))


@pytest.mark.parametrize("name", ["adversarial_norm", "adversarial_steps", "adversarial_mixing", "input_range"])
def test_the_details_of_an_attack_change_the_weights(name):
    X, y = data_for(MLPClassifier)
    other = {"adversarial_norm": "l2", "adversarial_steps": 4, "adversarial_mixing": 0.9, "input_range": (-5, 5)}
    plain, changed = (
        weights_of(small(MLPClassifier, adversarial_epsilon=0.3, **more).fit(X, y))
        for more in ({}, {name: other[name]})
    )
    assert not np.array_equal(plain, changed)


@pytest.mark.parametrize("name", ["unlabeled_weight", "virtual_epsilon"])
def test_the_details_of_virtual_adversarial_training_change_the_weights(name):
    X, y = data_for(MLPClassifier)
    plain, changed = (
        weights_of(small(MLPClassifier, semi_supervised="virtual_adversarial", **more).fit(X, y))
        for more in ({}, {name: 3.0})
    )
    assert not np.array_equal(plain, changed)


@pytest.mark.parametrize("settings", [SETTINGS["steps"], SETTINGS["virtual"], SETTINGS["mixup"], SETTINGS["cutout"]])
def test_a_fit_that_was_stopped_goes_on_to_the_same_bits(settings, tmp_path):
    X, y = data_for(MLPClassifier)
    if "semi_supervised" in settings:
        y = np.where(np.arange(len(y)) % 3 == 0, y.astype(object), -1)
    whole = small(MLPClassifier, **settings, dropout=0.2, max_epochs=6).fit(X, y)
    stopped = small(MLPClassifier, **settings, dropout=0.2, max_epochs=6, checkpoint=str(tmp_path), checkpoint_every=5)
    clone(stopped).set_params(max_steps=5).fit(X, y)
    on = stopped.fit(X, y)
    assert on.n_steps_ == whole.n_steps_ > 5
    assert np.array_equal(weights_of(on), weights_of(whole))


@each
def test_weights_repeat_rows(settings, tmp_path):
    """A weight of zero is a row that is not there."""
    X, y = data_for(MLPClassifier)
    weights = np.arange(50) % 3 / 1.0
    kept = weights > 0
    whole = small(MLPClassifier, **settings).fit(X, y, sample_weight=weights)
    part = small(MLPClassifier, **settings).fit(X[kept], y[kept], sample_weight=weights[kept])
    assert np.array_equal(weights_of(whole), weights_of(part))
    again = MLPClassifier.load(whole.save(tmp_path / "model"))
    assert np.array_equal(again.predict_proba(X), whole.predict_proba(X))


def test_two_classes_an_order_and_frames_with_gaps():
    X, y = data_for(TabularClassifier)
    frame = pd.DataFrame(X, columns=list("abcd")).assign(colour=np.where(X[:, 1] > 0, "red", "blue"))
    frame.loc[3, "a"] = np.nan
    two = np.where(y == "low", "low", "high")
    for settings in (SETTINGS["adversarial"], SETTINGS["steps"], SETTINGS["virtual"], SETTINGS["pseudo"]):
        assert small(TabularClassifier, **settings).fit(frame, y).score(frame, y) > 0.3
        assert small(MLPClassifier, **settings, max_epochs=30).fit(X, two).score(X, two) > 0.8
        assert small(MLPClassifier, **settings, head="ordinal", max_epochs=30).fit(X, y).score(X, y) > 0.6
    assert isinstance(robust_accuracy(small(TabularClassifier).fit(frame, y), frame, y, 0.1).value, float)


# -- the units of a radius ------------------------------------------------------------------------------------------


def test_a_radius_is_in_deviations_of_each_column():
    X, y = data_for(MLPClassifier)
    X = X * [1.0, 10.0, 0.01, 1000.0]
    model = small(MLPClassifier, max_epochs=20).fit(X, y)
    moved = adversarial_examples(model, X, y, 0.5, steps=1)
    change = np.abs(moved - X).max(0) / X.std(0)
    assert np.allclose(change, 0.5, rtol=1e-5)
    network = model.network_
    loss = regularized_loss(model.set_params(adversarial_epsilon=0.5), network)
    batch = {"inputs": torch.tensor(X, dtype=torch.float32), "targets": torch.zeros(50, dtype=torch.int64)}
    attacked = loss.attack(network, batch, torch.Generator())["inputs"].numpy()
    assert np.allclose(np.abs(attacked - X).max(0) / X.std(0), 0.5, rtol=1e-3)


def test_of_images_in_shares_of_a_full_pixel_and_inside_their_range():
    X, y = data_for(ImageClassifier)
    for factor, form in ((1, np.float32), (1 / 16, np.float32), (15, np.uint8)):
        images = (X * factor).astype(form)
        full = 255.0 if form == np.uint8 else 16 * factor
        model = small(ImageClassifier).fit(images, y)
        moved = adversarial_examples(model, images, y, 0.25)[..., 0]
        change = np.abs(moved - images.astype(np.float64))
        assert change.max() == pytest.approx(0.25 * full, rel=1e-5)
        assert moved.min() >= 0 and moved.max() <= full * (1 + 1e-6)


def test_a_range_is_kept_in_the_datas_units():
    X, y = data_for(MLPClassifier)
    model = small(MLPClassifier, adversarial_epsilon=3.0, input_range=(-20, 30)).fit(X, y)
    space = model.network_
    network = type(space)(None, space.body, space.head)  # as it is trained: the rows come standardized
    loss = regularized_loss(model, network)
    standard = space.prepare(torch.tensor(X, dtype=torch.float32))
    batch = {"inputs": standard, "targets": torch.arange(50) % 3}
    moved = loss.attack(network, batch, torch.Generator())["inputs"] * space.prepare.std + space.prepare.mean
    inside = (X >= -20) & (X <= 30)
    assert inside.any() and moved.numpy()[inside].min() >= -20.001 and moved.numpy()[inside].max() <= 30.001
    assert (adversarial_examples(model, X, y, 3.0)[inside] <= 30).all()


# -- adversarial training ---------------------------------------------------------------------------------------------


def test_robust_accuracy_of_a_linear_model_is_exact():
    """A row withstands the box iff its margin exceeds ε‖w‖₁ of the standardized weights."""
    X, y = data_for(MLPClassifier, n=200)
    two = (y == "low").astype(int)
    model = MLPClassifier(hidden=(), max_epochs=60, learning_rate=0.05, random_state=0).fit(X, two)
    weights = model.network_.head.linear.weight.detach().double().numpy()[0]
    logits = np.log(model.predict_proba(X)[:, 1] / model.predict_proba(X)[:, 0])
    margin = np.where(two == 1, logits, -logits)
    for epsilon in (0.0, 0.05, 0.2):
        found = robust_accuracy(model, X, two, epsilon)
        assert found.value == np.mean(margin > epsilon * np.abs(weights).sum())
        assert found.clean == model.score(X, two) and found.n == 200
        assert found.low <= found.value <= found.high
        lengths = robust_accuracy(model, X, two, epsilon, norm="l2", steps=60)
        assert lengths.value == pytest.approx(np.mean(margin > epsilon * np.linalg.norm(weights)), abs=0.011)


def test_what_the_attack_finds_the_estimator_gets_wrong():
    X, y, X_test, y_test = digits()
    model = ImageClassifier(network="mlp", hidden=(64,), max_epochs=10, random_state=0).fit(X, y)
    moved = adversarial_examples(model, X_test, y_test, 0.15)
    found = robust_accuracy(model, X_test, y_test, 0.15)
    assert found.clean == model.score(X_test, y_test)
    assert model.score(moved, y_test) == pytest.approx(found.value, abs=0.005)
    assert found.value < found.clean - 0.2
    assert robust_accuracy(model, X_test, y_test, 0.15, steps=1).value >= found.value


def test_adversarial_training_withstands_more():
    X, y, X_test, y_test = digits()
    settings = {"network": "mlp", "hidden": (128,), "max_epochs": 30, "random_state": 0}
    plain = ImageClassifier(**settings).fit(X, y)
    hard = ImageClassifier(**settings, adversarial_epsilon=0.15, adversarial_steps=5, adversarial_mixing=1.0).fit(X, y)
    scores = [robust_accuracy(m, X_test, y_test, 0.15) for m in (plain, hard)]
    assert scores[1].value > scores[0].value + 0.15 and scores[1].low > scores[0].high
    assert scores[1].clean > scores[0].clean - 0.05


# -- rows without a class ---------------------------------------------------------------------------------------


def test_labelled_rows_get_their_share_and_their_mean():
    targets = torch.tensor([-1] * 90 + [0, 1, 2])
    repeated, weights = labelled_rows(targets)
    assert (targets[repeated] >= 0).double().mean() >= 0.25
    assert sorted(set(repeated.tolist())) == list(range(93))
    counts = torch.bincount(repeated)
    assert (counts[:90] == 1).all() and len(set(counts[90:].tolist())) == 1
    values = torch.rand(93)
    mean = (weights * values[repeated]).sum() / len(repeated)
    assert mean.item() == pytest.approx(values[90:].mean().item(), rel=1e-5)
    assert labelled_rows(torch.tensor([0, 1]))[0].tolist() == [0, 1]


@pytest.mark.parametrize("method", ["virtual_adversarial", "pseudo_label"])
@pytest.mark.parametrize("gap", [-1, None, float("nan"), pd.NA])
def test_gaps_of_any_kind_are_rows_without_a_class(method, gap):
    X, y = data_for(MLPClassifier)
    number = np.searchsorted(np.unique(y), y)
    hidden = np.arange(50) % 2 == 1
    words = y.astype(object)
    words[hidden] = gap
    codes = number.astype(object)
    codes[hidden] = gap
    named, numbered = (
        small(MLPClassifier, semi_supervised=method, confidence=0.5).fit(X, labels) for labels in (words, codes)
    )
    assert named.classes_.tolist() == ["low", "mid", "top"] and numbered.classes_.tolist() == [0, 1, 2]
    assert np.array_equal(weights_of(named), weights_of(numbered))
    series = small(MLPClassifier, semi_supervised=method, confidence=0.5).fit(X, pd.Series(words))
    assert np.array_equal(weights_of(named), weights_of(series))
    other = X.copy()
    other[hidden] = other[hidden][::-1] + 1
    assert not np.array_equal(weights_of(named), weights_of(clone(named).fit(other, words)))


def test_where_all_rows_have_a_class_no_pseudo_label_is_needed():
    X, y = data_for(MLPClassifier)
    model = small(MLPClassifier, semi_supervised="pseudo_label", confidence=0.0).fit(X, y)
    assert np.array_equal(weights_of(model), weights_of(small(MLPClassifier).fit(X, y)))


def test_without_the_setting_minus_one_is_a_class():
    X, y = data_for(MLPClassifier)
    model = small(MLPClassifier).fit(X, np.where(y == "low", -1, 1))
    assert model.classes_.tolist() == [-1, 1]


def test_class_weights_are_those_of_labelled_rows():
    X, y = data_for(MLPClassifier)
    some = np.where(np.arange(50) % 4 == 0, y.astype(object), -1)
    settings = {"semi_supervised": "pseudo_label", "unlabeled_weight": 0.0}
    balanced = small(MLPClassifier, class_weight="balanced", **settings).fit(X, some)
    labelled = some[some != -1]
    table = {c: len(labelled) / (3 * np.sum(labelled == c)) for c in ("low", "mid", "top")}
    by_hand = small(MLPClassifier, class_weight=table, **settings).fit(X, some)
    assert np.allclose(weights_of(balanced), weights_of(by_hand), rtol=1e-5, atol=1e-6)


def test_validation_counts_labelled_rows_only():
    X, y = data_for(MLPClassifier)
    val = np.where(np.arange(50) % 2 == 0, y.astype(object), -1)
    settings = {"semi_supervised": "virtual_adversarial", "max_epochs": 3}
    whole = small(MLPClassifier, **settings).fit(X, y, X_val=X, y_val=val)
    part = small(MLPClassifier, **settings).fit(X, y, X_val=X[::2], y_val=y[::2])
    assert [r["valid_loss"] for r in whole.history_] == pytest.approx([r["valid_loss"] for r in part.history_])
    with pytest.raises(SettingError, match="X_val"):
        small(MLPClassifier, **settings, early_stopping=True).fit(X, val)


@pytest.mark.parametrize("method", ["virtual_adversarial", "pseudo_label"])
def test_a_few_labels_and_many_rows_without(method):
    """Half-moons, three labels each: the gap between them is seen only in rows without a label."""
    from sklearn.datasets import make_moons

    X, y = make_moons(600, noise=0.06, random_state=0)
    few = np.full(600, -1)
    for c in (0, 1):
        few[np.flatnonzero(y == c)[:3]] = c
    settings = {"hidden": (64, 64), "max_steps": 1500, "max_epochs": 5000, "learning_rate": 3e-3, "random_state": 0}
    alone = MLPClassifier(**settings).fit(X[few >= 0], few[few >= 0])
    more = {"virtual_epsilon": 0.3, "unlabeled_weight": 3.0} if method == "virtual_adversarial" else {}
    both = MLPClassifier(**settings, semi_supervised=method, **more).fit(X, few)
    assert both.score(X, y) > alone.score(X, y)
    if method == "virtual_adversarial":
        assert both.score(X, y) > 0.97


def test_scikit_learns_self_training_takes_the_same_labels():
    X, y, X_test, y_test = digits()
    few = np.where(np.arange(600) < 100, y, -1)
    flat = X.reshape(600, -1)
    model = SelfTrainingClassifier(MLPClassifier(max_epochs=40, random_state=0), threshold=0.9).fit(flat, few)
    assert model.score(X_test.reshape(500, -1), y_test) > 0.7


# -- what is refused ----------------------------------------------------------------------------------------------


def test_contradictions_are_refused():
    X, y = data_for(MLPClassifier)
    labels = np.stack([y == "low", y == "mid"], 1).astype(int)
    for settings, sentence, targets in (
        ({"mixup": 0.2, "cutout": 0.2}, "one of mixup and cutout", y),
        ({"adversarial_epsilon": 0.2, "input_range": (1, 0)}, "input_range", y),
        ({"adversarial_epsilon": 0.2, "input_range": (1.0,)}, "input_range", y),
    ):
        with pytest.raises(SettingError, match=sentence):
            small(MLPClassifier, **settings).fit(X, targets)
    with pytest.raises(ValueError):
        small(MLPClassifier, semi_supervised="pseudo_label").fit(X, labels)
    with pytest.raises(InputError, match="a row with a class"):
        small(MLPClassifier, semi_supervised="pseudo_label").fit(X, np.full(50, -1))
    with pytest.raises(InputError, match="at least 2 classes"):
        small(MLPClassifier, semi_supervised="pseudo_label").fit(X, np.r_[3, np.full(49, -1)])


@pytest.mark.parametrize("settings", [SETTINGS["adversarial"], SETTINGS["virtual"], SETTINGS["mixup"]])
def test_words_have_no_value_between_two_others(settings):
    texts, y = ["good", "bad", "so good", "so bad"] * 3, ["up", "down"] * 6
    with pytest.raises(SettingError, match="values between two others"):
        TextClassifier(max_epochs=1, random_state=0, **settings).fit(texts, y)
    model = TextClassifier(max_epochs=1, random_state=0).fit(texts, y)
    with pytest.raises(InputError, match="values between two others"):
        robust_accuracy(model, texts, y, 0.1)
    assert TextClassifier(max_epochs=2, random_state=0, semi_supervised="pseudo_label").fit(texts, y).n_epochs_ == 2


@pytest.mark.parametrize("settings", [SETTINGS["mixup"], SETTINGS["cutout"]])
def test_gaps_cannot_be_mixed(settings):
    X, y = data_for(TabularClassifier)
    X[3, 1] = np.nan
    with pytest.raises(SettingError, match="without gaps"):
        small(TabularClassifier, **settings).fit(X, y)


def test_several_labels_cannot_be_attacked():
    X, y = data_for(MLPClassifier)
    model = small(MLPClassifier).fit(X, np.stack([y == "low", y == "mid"], 1).astype(int))
    with pytest.raises(SettingError, match="one column of classes"):
        robust_accuracy(model, X, y, 0.1)


def test_the_plain_loss_is_left_as_it_was():
    """The written-out gradients apply to it, and to nothing else."""
    X, y = data_for(MLPClassifier)
    model = small(MLPClassifier).fit(X, y)
    assert type(regularized_loss(model, model.network_)) is HeadLoss
    model.set_params(adversarial_epsilon=0.1)
    assert type(regularized_loss(model, model.network_)) is AdversarialLoss
    assert TABLES
