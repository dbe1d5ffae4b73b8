"""scikit-learn's own contract tests, none of them expected to fail, for every estimator of tables."""

import pytest
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from estimators.cases import TABLES, name_of
from gradus.applications.tabular import TabularClassifier
from gradus.core.options import settings_of
from gradus.estimators.mlp import MLPRegressor

# A few small steps over few rows: the checks want R squared above 0.5 and 83 % right.
QUICK = {"hidden": (16,), "max_epochs": 15, "learning_rate": 0.03, "batch_size": 32}

# What scikit-learn itself leaves out, and why. Nothing else may be skipped.
LEFT_OUT = {
    "check_array_api_input": "needs SCIPY_ARRAY_API, and is for estimators that compute on other array types",
    "check_classifiers_multilabel_output_format_decision_function": "classifiers answer with probabilities",
}

# scikit-learn compares dtypes of what a NaN was cast to; the cast is its own.
its_own_cast = pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning:sklearn")


def check_or_know_why_not(estimator, check):
    try:
        check(estimator)
    except pytest.skip.Exception:
        raise
    except Exception as error:
        if type(error).__name__ != "SkipTest":
            raise
        name = check.func.__name__
        assert name in LEFT_OUT, f"{name}: {error}"


@its_own_cast
@parametrize_with_checks([TabularClassifier(**QUICK)])
def test_quick_settings(estimator, check):
    check_or_know_why_not(estimator, check)


@pytest.mark.slow
@its_own_cast
@parametrize_with_checks([cls(**QUICK) for cls in TABLES if cls is not TabularClassifier])
def test_quick_settings_of_the_others(estimator, check):
    check_or_know_why_not(estimator, check)


def run_all(estimator):
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    failed = [f"{r['check_name']}: {r['exception']!r}" for r in results if r["status"] in ("failed", "xfail")]
    skipped = {r["check_name"] for r in results if r["status"] == "skipped"}
    assert not failed, "\n".join(failed)
    assert skipped <= set(LEFT_OUT)
    assert len(results) > 50


@its_own_cast
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_default_settings():
    run_all(MLPRegressor())


@pytest.mark.slow
@its_own_cast
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize("cls", TABLES, ids=name_of)
def test_default_settings_of_all(cls):
    run_all(cls())


HEADS = [
    (cls, head)
    for cls in TABLES
    if "head" in settings_of(cls)
    for head in settings_of(cls)["head"].choices
    # those that take whatever targets the checks invent: counts and single outputs they do not
    if head not in ("auto", "gaussian", "mixture", "poisson", "negative_binomial")
]


@pytest.mark.slow
@its_own_cast
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize(("cls", "head"), HEADS, ids=name_of)
def test_every_head_that_takes_any_target(cls, head):
    run_all(cls(**QUICK, head=head))
