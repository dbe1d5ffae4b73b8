"""scikit-learn's own contract tests, none of them expected to fail."""

import pytest
from sklearn.utils.estimator_checks import check_estimator

from gradus.research.inference import BernoulliMixture, GaussianMixture, HelmholtzMachine

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
