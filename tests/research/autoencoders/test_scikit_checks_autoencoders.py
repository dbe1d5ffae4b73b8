"""scikit-learn's own contract tests, none expected to fail, for every autoencoder."""

import pytest
from sklearn.utils.estimator_checks import check_estimator

from gradus.research.autoencoders import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    PredictiveSparseDecomposition,
    SemanticHashing,
    SparseAutoencoder,
    StochasticAutoencoder,
)

QUICK = {"n_components": 4, "max_epochs": 3, "batch_size": 32}
LEFT_OUT = {"check_array_api_input"}  # needs SCIPY_ARRAY_API


def run_all(estimator):
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    failed = [f"{r['check_name']}: {r['exception']!r}" for r in results if r["status"] in ("failed", "xfail")]
    assert not failed, "\n".join(failed)
    assert {r["check_name"] for r in results if r["status"] == "skipped"} <= LEFT_OUT
    assert len(results) > 40


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning:sklearn")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize(
    "estimator",
    [
        Autoencoder(**QUICK, hidden=(8,)),
        SparseAutoencoder(**QUICK),
        DenoisingAutoencoder(**QUICK),
        ContractiveAutoencoder(**QUICK),
        StochasticAutoencoder(**QUICK, hidden=(8,)),
        PredictiveSparseDecomposition(**QUICK),
        SemanticHashing(**QUICK, hidden=(8,)),
    ],
    ids=lambda e: type(e).__name__,
)
def test_scikit_learn_finds_nothing(estimator):
    run_all(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning:sklearn")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize(
    "estimator",
    [
        SparseAutoencoder(**QUICK, penalty="l1"),
        SparseAutoencoder(**QUICK, penalty="k_sparse", k=2),
        ContractiveAutoencoder(**QUICK, tied=False, code_activation="tanh"),
        StochasticAutoencoder(**QUICK, code="bernoulli", variance="row"),
        Autoencoder(**QUICK, output="bernoulli", tied=True),
    ],
    ids=lambda e: type(e).__name__,
)
def test_scikit_learn_finds_nothing_in_other_settings(estimator):
    run_all(estimator)
