"""The class as a code: against enumeration and quadrature, and few labels against the same labels alone."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from sklearn.datasets import load_digits

from gradus.core.errors import InputError
from gradus.estimators.mlp import MLPClassifier
from gradus.estimators.persistence import load
from gradus.research.generative import SemiSupervisedVAE
from gradus.research.generative.likelihoods import BernoulliLikelihood
from gradus.research.generative.networks import Shape
from gradus.research.generative.semi_supervised import ClassAndStyle, LabelledElboLoss

QUICK = {"hidden": (16,), "n_components": 2, "max_epochs": 3, "learning_rate": 0.01, "random_state": 0}


def small():
    torch.manual_seed(0)
    likelihood = BernoulliLikelihood(torch.full((3,), 0.4))
    network = ClassAndStyle(likelihood, Shape("mlp", (6,), (), "tanh"), 3, 1, torch.tensor([0.5, 0.3, 0.2])).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, dtype=torch.float64))
    return network


def test_bounds_equal_the_likelihoods_less_their_divergences():
    """E over the style by quadrature; log p(x) by quadrature and a sum over classes lies above."""
    network, row = small(), torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(80))
    weights = weights / weights.sum()
    with torch.no_grad():
        bounds = torch.stack([network.bounds(row, node.expand(3, 1, 1))[0] for node in nodes])
        bound = weights @ bounds
        exact = []
        for y in range(3):
            one_hot = torch.eye(3).double()[y].expand(80, -1)
            logs = network.likelihood.log_prob(network.decode(nodes[:, None], one_hot), row.expand(80, -1))
            exact.append(torch.logsumexp(logs + weights.log(), 0) + network.prior[y].log())
        exact = torch.stack(exact)
        assert (bound < exact).all() and (exact - bound < 1.5).all()
        guess = network(row).softmax(-1)[0]
        loss = LabelledElboLoss(2.5)
        noise = nodes[7].expand(3, 1, 1)
        unlabelled = loss.losses(network, row, torch.tensor([-1]), noise)
        assert unlabelled.item() == pytest.approx(-(guess @ (bounds[7] - guess.log())).item())
        assert -unlabelled.item() <= torch.logsumexp(bounds[7], 0).item() + 1e-12
        for y in range(3):
            labelled = loss.losses(network, row, torch.tensor([y]), noise).item()
            assert labelled == pytest.approx(-(bounds[7, y] + 2.5 * guess[y].log()).item())
    assert torch.logsumexp(exact, 0) < 0


def test_labels_reach_the_classifier_only_through_its_own_term():
    network, row = small(), torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)
    noise, classifier = torch.zeros(3, 1, 1).double(), [*network.guess.parameters(), *network.head.parameters()]

    def slope(weight, target):
        loss = LabelledElboLoss(weight).losses(network, row, torch.tensor([target]), noise).sum()
        found = torch.autograd.grad(loss, classifier, allow_unused=True)
        return max(0.0 if g is None else g.abs().max().item() for g in found)

    assert slope(0.0, 1) == 0
    assert slope(1.0, 1) > 1e-3 and slope(0.0, -1) > 1e-3


@pytest.fixture(scope="module")
def fitted():
    data = load_digits()
    X, y = data.images / 16, data.target.copy()
    few = np.full(len(y), -1)
    few[:50] = y[:50]
    model = SemiSupervisedVAE(
        hidden=(100,), n_components=8, binarize="resample", max_epochs=40, learning_rate=3e-3, random_state=0
    ).fit(X[:1200], few[:1200])
    return model, X, y


def test_rows_without_a_class_help(fitted):
    model, X, y = fitted
    alone = MLPClassifier(hidden=(100,), max_epochs=100, random_state=0).fit(X[:50].reshape(50, -1), y[:50])
    labels_only = alone.score(X[1200:].reshape(-1, 64), y[1200:])
    assert model.score(X[1200:], y[1200:]) > labels_only + 0.02
    assert model._loss(model.network_).weight == pytest.approx(
        1200 / 50
    )  # alpha times all rows over those with a class
    assert model.predict_proba(X[:5]).sum(1) == pytest.approx(np.ones(5))
    assert model.style(X[:5]).shape == (5, 8)
    assert np.isfinite(model.bound(model.binarized(X[:5], random_state=0))).all()


def test_samples_have_the_class_asked_for(fitted):
    model, X, y = fitted
    wanted = np.repeat(np.arange(10), 20)
    drawn = model.sample(200, random_state=0, y=wanted)
    judge = MLPClassifier(hidden=(100,), max_epochs=40, random_state=0).fit(X.reshape(-1, 64), y)
    right = (judge.predict(drawn.reshape(200, -1)) == wanted).mean()
    assert right > 0.4  # a tenth by chance
    assert model.sample(5, random_state=0).shape == (5, 8, 8)
    with pytest.raises(InputError, match="classes that were fitted"):
        model.sample(1, y=[11])


def test_samples_fit_the_probabilities():
    """Of rows of four bits: p(x | y) by quadrature over one style, p(x) by the classes' shares."""
    rng = np.random.default_rng(0)
    y = rng.random(1500) < 0.3
    X = (y[:, None] ^ (rng.random((1500, 4)) < [0.1, 0.2, 0.3, 0.4])).astype(float)
    labels = np.where(np.arange(1500) < 400, y.astype(int), -1)
    model = SemiSupervisedVAE(hidden=(8,), n_components=1, max_epochs=10, learning_rate=0.01, random_state=0)
    network = model.fit(X, labels).network_.double()
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(80))
    states = torch.from_numpy((np.arange(16)[:, None] >> np.arange(4) & 1).astype(float))
    each = []
    with torch.no_grad():
        for one_hot in torch.eye(2).double():
            outputs = network.decode(nodes[:, None], one_hot.expand(80, -1))[:, None]
            shares = network.likelihood.log_prob(outputs.expand(-1, 16, -1), states).exp()
            each.append((weights / weights.sum() @ shares).numpy())
    network.float()
    n = 20_000

    def fits(drawn, probabilities):
        counts = np.bincount((drawn @ (1 << np.arange(4))).astype(int), minlength=16)
        return chisquare(counts, probabilities * n).pvalue

    whole = model.class_prior_ @ np.stack(each)
    assert whole.sum() == pytest.approx(1, abs=1e-6)
    assert fits(model.sample(n, random_state=0), whole) > 1e-5
    assert fits(model.sample(n, random_state=0), np.mean(each, 0)) < 1e-5  # planted: classes in equal shares
    of_one = model.sample(n, random_state=1, y=np.ones(n, dtype=int))
    assert fits(of_one, each[1]) > 1e-5 > fits(of_one, each[0])


def test_kept_and_resumed(tmp_path):
    data = load_digits()
    X, y = data.images[:150], np.where(np.arange(150) < 60, data.target[:150], -1)
    whole = SemiSupervisedVAE(**QUICK, binarize="resample").fit(X, y)
    same = load(whole.save(tmp_path / "m2"))
    np.testing.assert_array_equal(same.predict_proba(X), whole.predict_proba(X))
    checkpoint = {"checkpoint": str(tmp_path / "c"), "checkpoint_every": 2}
    SemiSupervisedVAE(**QUICK, binarize="resample", max_steps=4, **checkpoint).fit(X, y)
    resumed = SemiSupervisedVAE(**QUICK, binarize="resample", **checkpoint).fit(X, y)
    np.testing.assert_array_equal(resumed.predict_proba(X), whole.predict_proba(X))
    with pytest.raises(InputError, match="Bernoulli"):
        whole.bound(X[:3])


def test_labels_of_other_kinds():
    X = np.random.default_rng(0).normal(size=(30, 3))
    names = np.array(["a", "b", None] * 10, dtype=object)
    model = SemiSupervisedVAE(**QUICK).fit(X, names, X_val=X[:6], y_val=names[:6])
    assert model.classes_.tolist() == ["a", "b"] and model.labelled_share_ == pytest.approx(2 / 3)
    assert 0 <= model.history_[0]["valid_score"] <= 1
    assert set(model.predict(X)) <= {"a", "b"}
    with pytest.raises(InputError, match="a row with a class"):
        SemiSupervisedVAE(**QUICK).fit(X, np.full(30, -1))
    with pytest.raises(InputError, match="at least 2 classes"):
        SemiSupervisedVAE(**QUICK).fit(X, np.where(np.arange(30) < 3, "a", None))
    assert SemiSupervisedVAE(**QUICK).fit(X, np.where(np.arange(30) < 3, 1, -1)).classes_.tolist() == [-1, 1]
