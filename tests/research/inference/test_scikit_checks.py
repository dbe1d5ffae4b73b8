"""scikit-learn's own contract tests, none of them expected to fail."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator

from gradus.research.autoregressive import PixelCNN
from gradus.research.inference import BernoulliMixture, GaussianMixture, HelmholtzMachine, HiddenMarkovModel

# What scikit-learn itself leaves out, and why. Nothing else may be skipped.
LEFT_OUT = {"check_array_api_input": "needs SCIPY_ARRAY_API, and is for estimators that compute on other array types"}
MODELS = [
    GaussianMixture(),
    GaussianMixture(n_components=2, covariance="tied", precision="float32", n_init=1),
    BernoulliMixture(),
    HelmholtzMachine(hidden=(8,), max_epochs=4, batch_size=32, learning_rate=0.01, bound_samples=5),
]


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning:sklearn")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize("model", MODELS, ids=lambda m: f"{type(m).__name__}-{m.precision}")
def test_contract(model):
    results = check_estimator(model, on_skip=None, on_fail=None)
    failed = [f"{r['check_name']}: {r['exception']!r}" for r in results if r["status"] in ("failed", "xfail")]
    assert not failed, "\n".join(failed)
    assert {r["check_name"] for r in results if r["status"] == "skipped"} <= set(LEFT_OUT)
    assert len(results) > 40


SEQUENCES = [np.random.default_rng(0).normal(size=(n, 2)) for n in (30, 12, 1)]
PICTURES = (np.random.default_rng(0).random((20, 4, 4)) < 0.4).astype(float)
# Of estimators of sequences and of pictures scikit-learn runs next to nothing: it has no such data.
OTHERS = [
    (HiddenMarkovModel(max_iter=3, random_state=0), SEQUENCES),
    (PixelCNN(features=4, depth=1, first=3, max_epochs=1, random_state=0), PICTURES),
]


@pytest.mark.parametrize(("model", "X"), OTHERS, ids=[type(model).__name__ for model, _ in OTHERS])
def test_contract_without_tables(model, X):
    name = type(model).__name__
    for check in (
        "parameters_default_constructible",
        "get_params_invariance",
        "set_params",
        "no_attributes_set_in_init",
    ):
        getattr(estimator_checks, f"check_{check}")(name, clone(model))
    with pytest.raises(NotFittedError):
        clone(model).score_samples(X)
    given, settings = [np.array(part) for part in X], model.get_params()
    one, again, other = (clone(model).set_params(random_state=seed).fit(X) for seed in (0, 0, 1))
    assert one.get_params() == settings and all(np.array_equal(a, b) for a, b in zip(given, X, strict=True))
    assert np.array_equal(one.score_samples(X), again.score_samples(X))
    assert not np.array_equal(one.score_samples(X), other.score_samples(X))
    assert one.fit(X) is one and np.array_equal(one.score_samples(X), again.score_samples(X))
    assert clone(one).get_params() == settings and not hasattr(clone(one), "n_features_in_")
