"""Coverage at an accuracy: against every threshold there is, and against a truth known in closed form."""

import numpy as np
import pytest

from gradus.core.errors import InputError, SettingError
from gradus.estimators.coverage import coverage_at, coverage_curve


def every_threshold(confidence, correct):
    """Every set of examples that a threshold keeps: (threshold, right, kept), the empty one aside."""
    for threshold in sorted(set(confidence)):
        kept = [right for sure, right in zip(confidence, correct, strict=True) if sure >= threshold]
        yield threshold, sum(kept), len(kept)


@pytest.mark.parametrize("seed", range(20))
def test_no_threshold_keeps_more(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    confidence = rng.integers(0, 12, n) / 12  # with ties, which must stay together
    correct = rng.random(n) < confidence
    for accuracy in (0.5, 0.8, 1.0):
        fit = [
            (kept, threshold, right)
            for threshold, right, kept in every_threshold(confidence.tolist(), correct.tolist())
            if right * 10 >= round(accuracy * 10) * kept
        ]
        found = coverage_at(accuracy, confidence, correct)
        kept, threshold, right = max(fit) if fit else (0, np.inf, 0)
        assert (found.kept, found.n, found.coverage) == (kept, n, kept / n)
        assert found.threshold == threshold and found.low <= found.coverage <= found.high
        assert kept == 0 or found.accuracy == right / kept


def test_the_curve_is_every_threshold():
    rng = np.random.default_rng(0)
    confidence, correct = rng.integers(0, 9, 60), rng.random(60) < 0.7
    rows = list(every_threshold(confidence.tolist(), correct.tolist()))[::-1]
    curve = coverage_curve(confidence, correct)
    assert curve.threshold.tolist() == [row[0] for row in rows]
    assert curve.coverage == pytest.approx([row[2] / 60 for row in rows])
    assert curve.accuracy == pytest.approx([row[1] / row[2] for row in rows])


def test_only_the_order_of_confidences_counts():
    rng = np.random.default_rng(0)
    sure = rng.random(300)
    right = rng.random(300) < sure
    plain, squeezed = coverage_at(0.9, sure, right), coverage_at(0.9, np.log(sure) * 7, right)
    assert plain[:3] == squeezed[:3] and plain.threshold == pytest.approx(np.exp(squeezed.threshold / 7))


def test_a_share_that_has_no_exact_double_is_reached():
    correct = np.arange(50) != 49
    assert coverage_at(0.98, np.ones(50), correct).coverage == 1
    assert coverage_at(0.9801, np.ones(50), correct).coverage == 0


def test_the_ends():
    assert coverage_at(0.98, [0.2, 0.3], [True, True])[:3] == (1, 1, 1)
    none = coverage_at(0.98, [0.2, 0.3], [False, False])
    assert none[:3] == (0, 0, 0) and none.threshold == np.inf and np.isnan(none.accuracy)


def test_the_interval_holds_the_truth():
    """With P(right | u) = 0.7 + 0.3 u the surest share c is right at a rate of 1 - 0.15 c, so that 0.95 keeps a third.

    Of 60 intervals of 95 % that miss at a rate of 0.06 at most, 15 or more miss with a probability of 4e-6;
    intervals of half the width miss twenty on average.
    """
    rng, missed = np.random.default_rng(0), 0
    for _ in range(60):
        sure = rng.random(500)
        found = coverage_at(0.95, sure, rng.random(500) < 0.7 + 0.3 * sure)
        missed += not found.low <= 1 / 3 <= found.high
    assert missed < 15


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (([], []), "n of 1 or more"),
        (([0.1, 0.2], [True]), "one shape"),
        (([np.nan], [True]), "numbers"),
        (([0.1], [0.5]), "booleans"),
    ],
)
def test_what_is_wrong_is_said(given, words):
    with pytest.raises(InputError, match=words):
        coverage_curve(*given)
    with pytest.raises(SettingError, match="at most 1"):
        coverage_at(98, [0.1], [True])
