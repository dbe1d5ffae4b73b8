"""scikit-learn's own contract tests, none expected to fail, for classifiers with pretraining."""

import pytest
from sklearn.utils.estimator_checks import check_estimator

from gradus.research.representation import ManifoldTangentClassifier, PretrainedClassifier

QUICK = {
    "hidden": (16,),
    "activation": "tanh",
    "pretrain_epochs": 2,
    "max_epochs": 15,
    "learning_rate": 0.03,
    "batch_size": 32,
}
LEFT_OUT = {"check_array_api_input", "check_classifiers_multilabel_output_format_decision_function"}


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning:sklearn")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize(
    "estimator",
    [PretrainedClassifier(**QUICK), pytest.param(ManifoldTangentClassifier(**QUICK), marks=pytest.mark.slow)],
    ids=lambda e: type(e).__name__,
)
def test_scikit_learn_finds_nothing(estimator):
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    failed = [f"{r['check_name']}: {r['exception']!r}" for r in results if r["status"] in ("failed", "xfail")]
    assert not failed, "\n".join(failed)
    assert {r["check_name"] for r in results if r["status"] == "skipped"} <= LEFT_OUT
    assert len(results) > 50
