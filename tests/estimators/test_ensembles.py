"""Ensembles: scikit-learn's around our estimators, our own of seeds, and Monte Carlo dropout against enumeration."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits
from sklearn.ensemble import BaggingClassifier, BaggingRegressor, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import check_estimator

from estimators.cases import CLASSIFIERS, ESTIMATORS, REGRESSORS, data_for, name_of, small, weights_of
from gradus.core.errors import SettingError
from gradus.estimators.mlp import MLPClassifier, MLPRegressor

every = pytest.mark.parametrize("cls", ESTIMATORS, ids=name_of)
every_classifier = pytest.mark.parametrize("cls", CLASSIFIERS, ids=name_of)


# -- scikit-learn's ensembles ------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")  # few members leave some rows in every sample
@pytest.mark.filterwarnings("ignore:invalid value encountered in divide")
def test_bagging_averages_networks_on_bootstrap_samples():
    data = load_digits()
    X, y = data.data, data.target
    single = MLPClassifier(hidden=(32,), max_epochs=8, learning_rate=0.01)
    bag = BaggingClassifier(single, n_estimators=8, oob_score=True, random_state=0).fit(X[:900], y[:900])
    alone = [member.score(X[900:], y[900:]) for member in bag.estimators_]
    assert bag.score(X[900:], y[900:]) >= np.mean(alone)
    assert len({member.seed_ for member in bag.estimators_}) == 8
    assert abs(bag.oob_score_ - bag.score(X[900:], y[900:])) < 0.08
    mean = np.mean([member.predict_proba(X[900:]) for member in bag.estimators_], axis=0)
    assert np.allclose(bag.predict_proba(X[900:]), mean)


@pytest.mark.slow
def test_bagging_of_regressors_over_two_processes():
    X, y = load_diabetes(return_X_y=True)
    single = MLPRegressor(hidden=(16,), max_epochs=15, learning_rate=0.01, n_threads=1)
    settings = {"n_estimators": 4, "max_features": 0.8, "random_state": 0}
    alone, together = (BaggingRegressor(single, **settings, n_jobs=n).fit(X, y) for n in (None, 2))
    assert np.allclose(alone.predict(X), together.predict(X), rtol=1e-12)  # summed in another order
    assert alone.score(X, y) > 0.4


@pytest.mark.parametrize("voting", ["soft", "hard"])
def test_votes_and_stacks(voting):
    data = load_digits()
    X, y = data.data / 16, data.target
    members = [
        ("net", MLPClassifier(hidden=(32,), max_epochs=15, learning_rate=0.01, random_state=0)),
        ("wide", MLPClassifier(hidden=(), max_epochs=15, learning_rate=0.01, random_state=1)),
        ("linear", LogisticRegression(max_iter=200)),
    ]
    vote = VotingClassifier(members, voting=voting).fit(X[:900], y[:900])
    assert vote.score(X[900:], y[900:]) > 0.88
    if voting == "soft":
        mean = np.mean([m.predict_proba(X[900:]) for m in vote.estimators_], axis=0)
        assert np.allclose(vote.predict_proba(X[900:]), mean)
        stack = StackingClassifier(members[:2], LogisticRegression(max_iter=500), cv=2).fit(X[:300], y[:300])
        assert stack.score(X[900:], y[900:]) > 0.8


# -- members of one estimator -------------------------------------------------------------------------------------


@every
def test_members_start_apart_and_the_estimator_is_their_mean(cls, tmp_path):
    X, y = data_for(cls)
    model = small(cls, members=3).fit(X, y)
    assert len(weights_of(model)) > 2.5 * len(weights_of(small(cls, max_epochs=0).fit(X, y)))
    each = model.predict_members(X)
    assert each.shape[:2] == (3, 50) and np.abs(each[0] - each[1]).max() > 1e-3
    whole = model.predict_proba(X) if cls in CLASSIFIERS else model.predict(X)
    assert np.allclose(each.mean(0), whole, rtol=1e-4, atol=1e-5)
    assert model.predict_distribution(X).batch_shape == (50,)
    assert np.array_equal(weights_of(small(cls, members=3).fit(X, y)), weights_of(model))
    again = cls.load(model.save(tmp_path / "model"))
    assert np.array_equal(again.predict_members(X), each)


def test_a_member_learns_what_it_learns_alone():
    """One member's weights put into a network alone, trained on the same batches: the same weights in the end."""
    X, y = data_for(MLPClassifier)
    settings = {"optimizer": "momentum", "activation": "tanh"}
    three = small(MLPClassifier, members=3, **settings)
    start = small(MLPClassifier, members=3, max_epochs=0, **settings).fit(X, y).network_
    trained = three.fit(X, y).network_
    build = MLPClassifier._build

    def alone(self):
        network = build(self)
        network.body.load_state_dict(start.body.members[1].state_dict())
        network.head.load_state_dict(start.head.members[1].state_dict())
        return network

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MLPClassifier, "_build", alone)
        single = small(MLPClassifier, **settings).fit(X, y).network_
    for name, value in single.body.state_dict().items():
        torch.testing.assert_close(trained.body.members[1].state_dict()[name], value, rtol=1e-4, atol=1e-5)
        assert not torch.equal(start.body.members[1].state_dict()[name], value)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning:sklearn")
@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor], ids=name_of)
def test_scikit_learns_checks_pass_with_members(cls):
    model = cls(hidden=(16,), max_epochs=15, learning_rate=0.03, batch_size=32, members=2)
    results = check_estimator(model, on_skip=None, on_fail=None)
    assert [r["check_name"] for r in results if r["status"] == "failed"] == []


def test_a_fit_of_members_that_was_stopped_goes_on(tmp_path):
    X, y = data_for(MLPRegressor)
    settings = {"members": 2, "max_epochs": 6, "dropout": 0.2, "head": "gaussian_learned"}
    whole = small(MLPRegressor, **settings).fit(X, y)
    kept = {"checkpoint": str(tmp_path), "checkpoint_every": 5}
    small(MLPRegressor, **settings, **kept, max_steps=5).fit(X, y)
    assert np.array_equal(weights_of(small(MLPRegressor, **settings, **kept).fit(X, y)), weights_of(whole))


@pytest.mark.parametrize("cls", REGRESSORS, ids=name_of)
def test_each_members_variance_is_that_of_its_residuals(cls):
    X, y = data_for(cls)
    model = small(cls, members=2).fit(X, y)
    each = model.predict_members(X)
    component = model.predict_distribution(X).component_distribution
    for k in range(2):
        assert component.stddev[0, k].item() == pytest.approx(np.sqrt(np.mean((y - each[k]) ** 2)), rel=1e-3)


def test_members_know_what_they_do_not_know():
    """Far from the rows, members disagree; between them they agree, and what uncertainty there is, is noise."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (200, 1))
    y = np.sin(3 * X[:, 0]) + 0.1 * rng.normal(size=200)
    model = MLPRegressor(hidden=(32,), members=5, max_epochs=150, learning_rate=0.01, random_state=0).fit(X, y)
    near, far = model.uncertainty([[0.0]]), model.uncertainty([[8.0]])
    assert far.disagreement[0] > 30 * near.disagreement[0]
    assert near.expected[0] == pytest.approx(0.01, rel=0.5)
    assert np.allclose(near.total, near.expected + near.disagreement)
    distribution = model.predict_distribution([[8.0]])
    assert distribution.variance.item() == pytest.approx(far.total[0], rel=1e-3)
    shuffled = MLPClassifier(hidden=(32,), members=5, max_epochs=80, learning_rate=0.01, random_state=0)
    shuffled.fit(X, np.where(rng.random(200) < 0.5, "a", "b"))
    noise = shuffled.uncertainty([[0.0]])
    assert noise.expected[0] > 0.5 and noise.disagreement[0] < 0.15  # log 2 = 0.69 nats of noise


# -- Monte Carlo dropout -------------------------------------------------------------------------------------------


def tiny(cls, y, **settings):
    X = np.random.default_rng(0).normal(size=(60, 2))
    settings = {"hidden": (4,), "dropout": 0.4, "max_epochs": 20, "learning_rate": 0.03, "random_state": 0, **settings}
    return cls(**settings).fit(X, y(X)), X


def enumerated(model, x):
    """Return every dropout mask's probability and what the network, written out, answers under it."""
    network = model.network_.double()
    linear, out = network.body.layers[0], network.head.linear
    h = torch.relu(linear(network.prepare(torch.tensor(x[None]))))[0]
    for mask in itertools.product([0, 1], repeat=4):
        probability = np.prod([0.6 if kept else 0.4 for kept in mask])
        yield probability, out(h * torch.tensor(mask) / 0.6)


def test_the_mean_and_spread_of_sampled_masks_are_those_of_all_masks():
    model, X = tiny(MLPClassifier, lambda X: np.where(X[:, 0] * X[:, 1] > 0, "same", "other"))
    x = X[3]
    masks = list(enumerated(model, x))
    with torch.no_grad():
        answers = np.array([torch.sigmoid(z).item() for _, z in masks])
    weight = np.array([p for p, _ in masks])
    assert weight.sum() == pytest.approx(1) and answers.std() > 0.01
    mean = (weight * answers).sum()
    spread = np.sqrt((weight * (answers - mean) ** 2).sum())
    n = 4000
    sampled = model.predict_members(np.tile(x, (10, 1)), samples=n // 10)[..., 1].ravel()
    # five standard errors, passed by chance less than once in a million
    assert abs(sampled.mean() - mean) < 5 * spread / np.sqrt(n)
    assert sampled.std() == pytest.approx(spread, rel=0.1)
    assert set(np.round(sampled, 6)) <= set(np.round(answers, 6))
    assert model.predict_proba(x[None], samples=400)[0, 1] == pytest.approx(mean, abs=5 * spread / 20)
    uncertainty = model.uncertainty(np.tile(x, (10, 1)), samples=400)

    def entropy(p):
        return -(p * np.log(p) + (1 - p) * np.log(1 - p))

    assert uncertainty.total.mean() == pytest.approx(entropy(mean), abs=0.02)
    assert uncertainty.expected.mean() == pytest.approx((weight * entropy(answers)).sum(), abs=0.02)
    assert uncertainty.disagreement.mean() == pytest.approx(
        entropy(mean) - (weight * entropy(answers)).sum(), rel=0.15, abs=0.002
    )
    plain = model.predict_proba(x[None])[0, 1]  # weight scaling: near the mean, but not it
    assert abs(plain - mean) < 3 * spread


def test_the_predicted_distribution_is_the_mixture_over_masks():
    model, X = tiny(MLPRegressor, lambda X: X[:, 0] * X[:, 1], head="gaussian")
    x = X[5]
    deviation = model.predict_distribution(x[None]).stddev.item()
    masks = list(enumerated(model, x))
    head = model.network_.head
    with torch.no_grad():
        means = np.array([(head.location + z[0] * head.scale).item() for _, z in masks])
    model.network_.float()
    weight = np.array([p for p, _ in masks])
    mean = (weight * means).sum()
    variance = (weight * (means - mean) ** 2).sum()
    found = model.predict_distribution(x[None], samples=3000)
    assert found.mean.item() == pytest.approx(mean, abs=5 * np.sqrt(variance / 3000))
    assert found.variance.item() == pytest.approx(deviation**2 + variance, rel=0.1)


def test_masks_come_from_the_seed_of_the_fit():
    X, y = data_for(MLPClassifier)
    model = small(MLPClassifier, dropout=0.5, normalization="batch").fit(X, y)
    before = {name: value.clone() for name, value in model.network_.state_dict().items()}
    state = torch.get_rng_state()
    first, again = model.predict_proba(X, samples=5), model.predict_proba(X, samples=5)
    assert np.array_equal(first, again) and torch.equal(state, torch.get_rng_state())
    assert not np.allclose(first, model.predict_proba(X))
    assert all(torch.equal(value, before[name]) for name, value in model.network_.state_dict().items())
    both = small(MLPClassifier, dropout=0.5, members=2).fit(X, y)
    assert both.predict_members(X, samples=3).shape == (6, 50, 3)
    assert both.predict_distribution(X, samples=3).probs.shape == (50, 3)


def test_masks_of_images():
    cls = next(c for c in CLASSIFIERS if c.__name__ == "ImageClassifier")
    X, y = data_for(cls)
    model = small(cls, dropout=0.4).fit(X, y)
    each = model.predict_members(X, samples=4)
    assert each.shape == (4, 50, 3) and np.allclose(each.sum(-1), 1) and each.std(0).max() > 1e-3


@every_classifier
def test_labels_and_orders(cls):
    X, y = data_for(cls)
    ordered = small(cls, members=2, head="ordinal").fit(X, y)
    assert np.allclose(ordered.predict_members(X).mean(0), ordered.predict_proba(X), atol=1e-5)
    assert np.allclose(ordered.uncertainty(X).total, ordered.predict_distribution(X).entropy().numpy(), atol=1e-3)
    labels = np.stack([y == "low", y == "mid"], 1).astype(int)
    several = small(cls, members=2).fit(X, labels)
    assert several.predict(X).shape == (50, 2) and several.uncertainty(X).total.shape == (50, 2)


def test_one_answer_has_no_spread():
    X, y = data_for(MLPClassifier)
    model = small(MLPClassifier).fit(X, y)
    for call, sentence in (
        (lambda: model.predict_members(X), "neither"),
        (lambda: model.uncertainty(X), "neither"),
        (lambda: model.predict_proba(X, samples=3), "drops nothing"),
        (lambda: small(MLPClassifier, dropout=0.1).fit(X, y).predict_proba(X, samples=0), "samples of 1"),
    ):
        with pytest.raises(SettingError, match=sentence):
            call()
