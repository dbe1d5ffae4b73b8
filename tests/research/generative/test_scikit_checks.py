"""scikit-learn's contract tests, none of them expected to fail, for every generative estimator of tables."""

import pytest
from sklearn.utils.estimator_checks import check_estimator

from gradus.research.generative import GAN, IWAE, VAE, MomentMatchingNetwork, SemiSupervisedVAE, SigmoidBeliefNet

QUICK = {"hidden": (8,), "max_epochs": 2}
SKIPPED = {"check_array_api_input"}  # needs SCIPY_ARRAY_API


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning:sklearn")
@pytest.mark.parametrize(
    "estimator",
    [
        VAE(**QUICK, n_components=2, bound_samples=5),
        pytest.param(IWAE(**QUICK, n_components=2, samples=2, bound_samples=5), marks=pytest.mark.slow),
        SigmoidBeliefNet(**QUICK, samples=2, bound_samples=5),
        MomentMatchingNetwork(**QUICK),
        GAN(**QUICK),
        pytest.param(
            SemiSupervisedVAE(hidden=(16,), n_components=2, max_epochs=20, learning_rate=0.03, batch_size=32),
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_contract(estimator):
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    failed = [f"{r['check_name']}: {r['exception']!r}" for r in results if r["status"] in ("failed", "xfail")]
    assert not failed, "\n".join(failed)
    assert {r["check_name"] for r in results if r["status"] == "skipped"} <= SKIPPED
    assert len(results) > 30
