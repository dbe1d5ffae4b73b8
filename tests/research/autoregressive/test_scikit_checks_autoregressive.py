"""scikit-learn's contract tests, none of them expected to fail, for every model of tables."""

import pytest
from sklearn.utils.estimator_checks import check_estimator

from gradus.research.autoregressive import (
    FVBN,
    MADE,
    NADE,
    MaskedAutoregressiveFlow,
    NeuralSplineFlow,
    OrderlessNADE,
    RealNVP,
)

FLOW = {"layers": 2, "hidden": (8,), "max_epochs": 2}
SKIPPED = {"check_array_api_input"}  # needs SCIPY_ARRAY_API


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning:sklearn")
@pytest.mark.parametrize(
    "estimator",
    [
        FVBN(max_epochs=2),
        pytest.param(NADE(hidden=4, max_epochs=2), marks=pytest.mark.slow),
        MADE(hidden=(8,), masks=2, order="each", max_epochs=2),
        OrderlessNADE(hidden=(8,), orders=2, max_epochs=2),
        RealNVP(**FLOW),
        pytest.param(NeuralSplineFlow(**FLOW, bins=4), marks=pytest.mark.slow),
        pytest.param(MaskedAutoregressiveFlow(**FLOW), marks=pytest.mark.slow),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_contract(estimator):
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    failed = [f"{r['check_name']}: {r['exception']!r}" for r in results if r["status"] in ("failed", "xfail")]
    assert not failed, "\n".join(failed)
    assert {r["check_name"] for r in results if r["status"] == "skipped"} <= SKIPPED
    assert len(results) > 30
