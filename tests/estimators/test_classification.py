"""Classes: what probabilities are, several labels at once, ordered classes, smoothing."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_iris, make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.utils import get_tags

from estimators.cases import CLASSIFIERS, TABLES, data_for, first_of, name_of, small, weights_of
from gradus.core.errors import InputError, SettingError
from gradus.estimators.mlp import MLPClassifier

every = pytest.mark.parametrize("cls", CLASSIFIERS, ids=name_of)
TABLE_CLASSIFIERS = [cls for cls in CLASSIFIERS if cls in TABLES]


@every
def test_probabilities_predictions_and_distribution_agree(cls):
    X, y = data_for(cls)
    model = small(cls, max_epochs=20).fit(X, y)
    probabilities = model.predict_proba(X)
    assert probabilities.shape == (50, 3) and probabilities.dtype == np.float64
    assert np.allclose(probabilities.sum(1), 1, atol=1e-14) and (probabilities >= 0).all()
    assert np.array_equal(model.classes_[probabilities.argmax(1)], model.predict(X))
    assert np.allclose(np.exp(model.predict_log_proba(X)), probabilities, rtol=1e-5)
    assert np.allclose(model.predict_distribution(X).probs.numpy(), probabilities, atol=1e-5)
    assert model.score(X, y) == np.mean(model.predict(X) == y)
    assert model.classes_.tolist() == ["low", "mid", "top"]
    assert np.array_equal(model.predict_proba(X), model.predict_proba(X))


@every
def test_two_classes_have_two_columns(cls):
    X, y = data_for(cls)
    y = np.where(y == "mid", "low", y)
    model = small(cls, max_epochs=20).fit(X, y)
    assert model.predict_proba(X).shape == (50, 2)
    assert np.array_equal(model.predict(X), np.where(model.predict_proba(X)[:, 1] > 0.5, "top", "low"))
    # one logit and two logits are one model in other parameters
    softmax = small(cls, max_epochs=20, head="categorical").fit(X, y)
    assert softmax.predict_proba(X).shape == (50, 2)


@every
def test_the_history_measures_validation_as_scikit_learn_does(cls):
    X, y = data_for(cls)
    model = small(cls, early_stopping=False).fit(X, y, X_val=X[:30], y_val=y[:30])
    last = model.history_[-1]
    assert last["valid_score"] == pytest.approx(model.score(X[:30], y[:30]), abs=1e-6)
    assert last["valid_loss"] == pytest.approx(log_loss(y[:30], model.predict_proba(X[:30])), rel=1e-4)


@first_of(TABLE_CLASSIFIERS)
def test_a_network_without_hidden_layers_is_logistic_regression(cls):
    """At the optimum the two coincide, which only the right loss, penalty and gradient give."""
    X, y = load_iris(return_X_y=True)
    settings = {"hidden": (), "optimizer": "lbfgs", "learning_rate": 1.0, "max_epochs": 100, "batch_size": 150}
    # half the squared norm times l2, beside a mean over rows: C = 1 / (l2 n)
    model = cls(**settings, l2=0.01, random_state=0).fit(X, y)
    scaled = (X - X.mean(0)) / X.std(0)
    exact = LogisticRegression(C=1 / (0.01 * 150), tol=1e-10, max_iter=10_000).fit(scaled, y)
    assert np.allclose(model.predict_proba(X), exact.predict_proba(scaled), atol=2e-3)


@first_of(TABLE_CLASSIFIERS)
def test_real_data_are_learned(cls):
    X, y = load_breast_cancer(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)
    model = small(cls, max_epochs=20, hidden=(32,)).fit(X, y)
    assert model.score(X_test, y_test) > 0.94  # always the larger class: 0.63
    assert log_loss(y_test, model.predict_proba(X_test)) < 0.25


# -- several labels -----------------------------------------------------------------------------------------------


def labelled():
    X, labels = make_multilabel_classification(300, n_features=8, n_classes=4, n_labels=2, random_state=0)
    return X[:200], labels[:200], X[200:], labels[200:]


@first_of(TABLE_CLASSIFIERS)
def test_several_labels_are_learned_at_once(cls):
    X, labels, X_test, labels_test = labelled()
    model = small(cls, max_epochs=40).fit(X, labels)
    probabilities, found = model.predict_proba(X_test), model.predict(X_test)
    assert probabilities.shape == found.shape == (100, 4)
    assert np.array_equal(found, (probabilities > 0.5).astype(int)) and found.dtype.kind == "i"
    prior = np.maximum(labels.mean(0), 1 - labels.mean(0)).mean()
    assert np.mean(found == labels_test) > prior + 0.05
    assert model.score(X_test, labels_test) == np.mean((found == labels_test).all(1))
    logs = model.predict_distribution(X_test).log_prob(torch.tensor(labels_test, dtype=torch.float32)).numpy()
    each = np.log(np.where(labels_test == 1, probabilities, 1 - probabilities)).sum(1)
    assert np.allclose(logs, each, rtol=1e-3, atol=1e-4)  # independent given the inputs


@first_of(TABLE_CLASSIFIERS)
def test_labels_do_not_share_more_than_the_body(cls):
    """Without hidden layers each label is a logistic regression of its own."""
    X, labels, *_ = labelled()
    settings = {"hidden": (), "batch_size": 200, "optimizer": "lbfgs", "learning_rate": 1.0, "max_epochs": 60}
    both = cls(**settings, l2=0.02, random_state=0).fit(X, labels)
    alone = cls(**settings, l2=0.02, random_state=0).fit(X, labels[:, 2])
    assert np.allclose(both.predict_proba(X)[:, 2], alone.predict_proba(X)[:, 1], atol=3e-3)


@every
def test_wrong_labels_are_refused(cls):
    X, y = data_for(cls)
    labels = np.stack([y == "low", y == "mid"], axis=1).astype(int)
    model = small(cls).fit(X, labels)
    with pytest.raises(InputError, match="zeros and ones"):
        small(cls).fit(X, labels + 1)
    with pytest.raises(InputError, match="50 rows"):
        small(cls).fit(X, labels[:-1])
    with pytest.raises(InputError, match="2 labels, got 3"):
        model.partial_fit(X, np.column_stack([labels, labels[:, 0]]))
    with pytest.raises(InputError, match="kind fitted"):
        model.partial_fit(X, y)
    with pytest.raises(SettingError, match="head='auto'"):
        small(cls, head="ordinal").fit(X, labels)
    with pytest.raises(ValueError):
        small(cls).fit(X, labels * 0.5)


# -- ordered classes ----------------------------------------------------------------------------------------------


@first_of(TABLE_CLASSIFIERS)
def test_ordered_classes_have_proportional_odds(cls):
    """McCullagh's model: between two rows, every cumulative logit moves by the same amount."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = np.digitize(X @ [2.0, -1.0, 0.5] + rng.logistic(size=300), [-2.0, 0.0, 1.5])
    model = small(cls, head="ordinal", max_epochs=30).fit(X, y)
    below = model.predict_proba(X).astype(np.float64).cumsum(1)[:, :-1].clip(1e-6, 1 - 1e-6)
    logits = np.log(below / (1 - below))
    middle = ((below > 0.01) & (below < 0.99)).all(1)
    moves = logits[middle] - logits[middle][0]
    assert middle.sum() > 50 and np.ptp(moves, axis=1).max() < 0.02 and np.abs(moves).max() > 1
    assert np.abs(model.predict(X) - y).mean() < 0.6 * np.abs(np.median(y) - y).mean()


def test_ordered_classes_follow_their_sorted_labels():
    X, y = data_for(MLPClassifier)
    model = small(MLPClassifier, head="ordinal", max_epochs=60).fit(X[:, :1], y)
    line = np.sort(X[:, :1], axis=0)
    expected = model.predict_proba(line) @ [0, 1, 2]
    assert (np.diff(expected) >= -0.05).all() and expected[-1] - expected[0] > 1.5


# -- label smoothing ----------------------------------------------------------------------------------------------


@first_of(TABLE_CLASSIFIERS)
def test_smoothed_labels_bound_the_confidence(cls):
    X, y = data_for(cls)
    settings = {"max_epochs": 150, "batch_size": 50}
    sharp = small(cls, **settings).fit(X, y)
    soft = small(cls, **settings, label_smoothing=0.3).fit(X, y)
    # the best answer to a smoothed label is 1 - 0.3 + 0.3 / 3 for its class
    assert soft.predict_proba(X).max(1).mean() == pytest.approx(0.8, abs=0.1)
    assert sharp.predict_proba(X).max(1).mean() > soft.predict_proba(X).max(1).mean() + 0.05


# -- what contradicts itself --------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["categorical", "ordinal"])
@every
def test_heads_of_one_class_refuse_several_labels(cls, head):
    X, y = data_for(cls)
    labels = np.stack([y == "low", y == "mid"], axis=1).astype(int)
    model = small(cls, head=head)
    with pytest.raises(SettingError, match=f"expected head='auto' for several labels, got '{head}'; set head='auto'"):
        model.fit(X, labels)
    assert not model.__sklearn_is_fitted__()
    assert not get_tags(model).classifier_tags.multi_label
    assert get_tags(small(cls)).classifier_tags.multi_label


@pytest.mark.parametrize("later", [["low", "mid"], ["low", "mid", "top", "up"], ["low", "mid", "up"], [0, 1, 2]])
@every
def test_other_classes_in_a_later_partial_fit_are_refused(cls, later):
    X, y = data_for(cls)
    model = small(cls).partial_fit(X, y, classes=["top", "mid", "low"])
    before = weights_of(model)
    with pytest.raises(InputError, match=r"classes of the first call \(low, mid, top\), got "):
        model.partial_fit(X, y, classes=later)
    assert np.array_equal(weights_of(model), before)
    twin = small(cls).partial_fit(X, y).partial_fit(X, y)
    again = model.partial_fit(X, y, classes=np.array(["mid", "low", "top"]))
    assert np.array_equal(weights_of(again), weights_of(twin))
    with pytest.raises(InputError, match="classes of the first call"):
        small(cls).fit(X, y).partial_fit(X, y, classes=later)


@first_of(TABLE_CLASSIFIERS)
def test_classes_of_several_labels_number_them(cls):
    X, labels, *_ = labelled()
    with pytest.raises(InputError, match=r"number the 4 labels \(0, 1, 2, 3\), got 0, 1, 2;"):
        small(cls).partial_fit(X, labels, classes=[0, 1, 2])
    model = small(cls).partial_fit(X, labels, classes=[0, 1, 2, 3])
    with pytest.raises(InputError, match="classes of the first call"):
        model.partial_fit(X, labels, classes=[0, 1])
    assert model.partial_fit(X, labels, classes=[3, 2, 1, 0]).classes_.tolist() == [0, 1, 2, 3]
