"""scikit-learn's own contract tests for every linear factor model, none of them expected to fail."""

import warnings

import pytest
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import check_estimator

from gradus.estimators.base import Estimator
from gradus.research import linear_factors

QUICK = {}
ESTIMATORS = [getattr(linear_factors, name) for name in linear_factors.__all__]
ESTIMATORS = [cls for cls in ESTIMATORS if isinstance(cls, type) and issubclass(cls, Estimator)]

# What scikit-learn itself leaves out: it needs SCIPY_ARRAY_API, and is for estimators of other array types.
LEFT_OUT = {"check_array_api_input"}


# Trained by gradients, one takes twenty times as long as the others.
CASES = [pytest.param(cls, marks=pytest.mark.slow) if cls is linear_factors.NICE else cls for cls in ESTIMATORS]


@pytest.mark.parametrize("cls", CASES, ids=lambda cls: cls.__name__)
def test_contract(cls):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(cls(**QUICK.get(cls.__name__, {})), on_skip=None, on_fail=None)
    failed = [f"{r['check_name']}: {r['exception']!r}" for r in results if r["status"] in ("failed", "xfail")]
    assert not failed, "\n".join(failed)
    assert {r["check_name"] for r in results if r["status"] == "skipped"} <= LEFT_OUT
    assert len(results) > 35
