"""The learning curve: exact laws are found, intervals cover what comes, and bad input is one sentence."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.linear_model import Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from gradus.core.errors import InputError
from gradus.practice.learning_curve import LearningCurve, fit_power_law, learning_curve

SIZES = np.array([40, 80, 160, 320, 640, 1280])


@pytest.mark.parametrize(("floor", "scale", "slope"), [(0.1, 3.0, 0.7), (0.0, 2.0, 0.5), (0.3, 0.8, 0.3)])
def test_an_exact_law_is_found_and_continued(floor, scale, slope):
    exact = floor + scale * SIZES**-slope
    law = fit_power_law(SIZES, [exact] * 3)
    assert (law.floor[0], law.scale[0], law.slope[0]) == pytest.approx((floor, scale, slope), rel=1e-4, abs=1e-6)
    assert law.at(10_000)[0] == pytest.approx(floor + scale * 10_000**-slope, rel=1e-5)


def test_the_fit_is_scipy_s_where_the_grid_holds_its_slope():
    from scipy.optimize import curve_fit

    rng = np.random.default_rng(0)
    errors = 0.1 + 2.0 * SIZES**-0.6 + 0.01 * rng.standard_normal((6, len(SIZES)))
    law = fit_power_law(SIZES, errors)
    # the same weights: half each size's own standard error, half one in proportion to the error
    own, level = errors.std(0, ddof=1) / np.sqrt(6), errors.mean(0)
    sigma = np.sqrt(0.5 * own**2 + 0.5 * np.mean((own / level) ** 2) * level**2)
    best, _ = curve_fit(lambda n, c, a, b: c + a * n**-b, SIZES.astype(float), level, (0.1, 2.0, 0.6), sigma)
    assert law.at(2560)[0] == pytest.approx(best[0] + best[1] * 2560 ** -best[2], rel=5e-3)
    assert law.slope[0] == pytest.approx(best[2], abs=0.011)


def test_no_floor_below_zero_and_no_rise():
    falling = fit_power_law(SIZES, [1.0 - 0.1 * np.log(SIZES / 40)] * 2)
    assert (falling.floor >= 0).all() and falling.interval(10**7)[0] >= 0
    rising = fit_power_law(SIZES, [0.1 + 0.05 * np.log(SIZES / 40)] * 2)
    assert (rising.scale >= 0).all()
    assert rising.at(10_000)[0] == pytest.approx((0.1 + 0.05 * np.log(SIZES / 40)).mean(), rel=0.3)


def test_more_repeats_make_the_interval_narrower_and_farther_makes_it_wider():
    widths = {4: 0.0, 64: 0.0}
    for seed in range(5):
        rng = np.random.default_rng(seed)
        errors = 0.05 + 2.0 * SIZES**-0.6 + 0.01 * rng.standard_normal((64, len(SIZES)))
        for repeats in widths:
            widths[repeats] += np.diff(fit_power_law(SIZES, errors[:repeats]).interval(2560))[0]
    assert widths[64] < 0.8 * widths[4]  # whether there is a floor stays in doubt
    law = fit_power_law(SIZES, errors[:8])
    near, far = (np.diff(law.interval(n))[0] for n in (1500, 100_000))
    assert far > 1.5 * near


CASES = {
    "digits, naive Bayes": (GaussianNB(var_smoothing=1e-2), load_digits),
    "cancer, naive Bayes": (GaussianNB(), load_breast_cancer),
    "cancer, tree": (DecisionTreeClassifier(), load_breast_cancer),
    "cancer, kernel": (make_pipeline(StandardScaler(), SVC()), load_breast_cancer),
    "wine, naive Bayes": (GaussianNB(), load_wine),
    "diabetes, ridge": (Ridge(), load_diabetes),
}


@pytest.fixture(scope="module")
def measured():
    """Curves of real data up to all the rows, two splits each."""
    found = []
    for estimator, load in CASES.values():
        X, y = load(return_X_y=True)
        rows = len(y) - int(np.ceil(0.25 * len(y)))
        sizes = np.unique(np.geomspace(max(10, rows / 32), rows // 2, 7).round().astype(int))
        for seed in (0, 100):
            curve = learning_curve(estimator, X, y, sizes=[*sizes.tolist(), rows], repeats=8, random_state=seed)
            found.append((curve.sizes, curve.errors))
    return found


def covered(measured, interval):
    return [
        low <= errors[:, -1].mean() <= high
        for sizes, errors in measured
        for low, high in [interval(fit_power_law(sizes[:-1], errors[:, :-1]), sizes[-1])]
    ]


def test_from_half_the_rows_the_interval_covers_what_all_of_them_give(measured):
    """On 12 curves of 6 pairs of data and model; 90 % intervals were seen to cover 23 to 24 of 24."""
    assert sum(covered(measured, lambda law, n: law.interval(n))) >= 10
    # the check can fail: intervals of a fifth of the level, the curve taken as flat, and a law with a wrong slope
    assert sum(covered(measured, lambda law, n: law.interval(n, 0.2))) <= 7
    assert sum(covered(measured, lambda law, n: law.interval(n / 2))) < 10
    assert sum(covered(measured, lambda law, n: law.interval(n * 8))) < 10


def test_half_an_interval_is_half_sure(measured):
    share = np.mean(covered(measured, lambda law, n: law.interval(n, 0.5)))
    assert 0.15 <= share <= 0.9


def test_the_interval_says_something(measured):
    widths = [
        (high - low) / errors[:, -2].mean()
        for sizes, errors in measured
        for low, high in [fit_power_law(sizes[:-1], errors[:, :-1]).interval(sizes[-1])]
    ]
    assert np.median(widths) < 0.6


def test_more_data_for_trees_and_tuning_for_a_model_too_simple():
    X, y = load_digits(return_X_y=True)
    tree = learning_curve(DecisionTreeClassifier(), X, y, repeats=4, sizes=6)
    assert tree.training_error == 0 and tree.gains
    assert tree.sentence().endswith("; more data pay")
    simple = learning_curve(GaussianNB(var_smoothing=1.0), X, y, repeats=4, sizes=6)
    assert not simple.gains
    assert "tuning first pays more" in simple.sentence()
    low, high = tree.expected(2 * tree.sizes[-1])
    assert low < high < tree.error
    assert f"{100 * low:.1f}-{100 * high:.1f} %" in tree.sentence()


def test_a_regressor_and_a_table_of_names():
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    assert isinstance(X, pd.DataFrame)
    curve = learning_curve(Ridge(0.1), X, y, repeats=3, sizes=5)
    assert curve.kind == "unexplained variance"
    assert curve.errors.shape == (3, 5) == curve.training_errors.shape
    assert 0.4 < curve.error < 0.7


def test_small_subsets_hold_every_class_and_grow():
    seen = []

    class Watcher(GaussianNB):
        def fit(self, X, y):
            seen.append((set(np.unique(y)), {tuple(x) for x in X}))
            return super().fit(X, y)

    X, y = load_wine(return_X_y=True)
    learning_curve(Watcher(), X, y, repeats=2, sizes=5)
    assert all(classes == {0, 1, 2} for classes, _ in seen)
    for small, large in pairwise(seen[:5]):
        assert small[1] < large[1]


def test_the_exhibit_holds_curve_law_and_interval():
    X, y = load_wine(return_X_y=True)
    curve = learning_curve(GaussianNB(), X, y, repeats=3, sizes=5)
    exhibit = curve.exhibit()
    names = [trace["name"] for trace in exhibit.figure["data"]]
    assert names == ["expected, 90 % interval", "power law", "held-out rows", "rows learned from"]
    assert exhibit.figure["data"][2]["y"] == pytest.approx(curve.errors.mean(0), abs=1e-6)
    assert exhibit.table["held-out rows"].iloc[-1] == pytest.approx(curve.error)
    assert exhibit.caption.lower().startswith("twice the data")


def test_the_same_seed_gives_the_same_curve():
    X, y = load_wine(return_X_y=True)
    one, two = (learning_curve(DecisionTreeClassifier(), X, y, repeats=2, sizes=4, random_state=3) for _ in "ab")
    assert isinstance(one, LearningCurve)
    assert (one.errors == two.errors).all() and one.expected(500) == two.expected(500)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"estimator": object()}, "an estimator with fit and score"),
        ({"repeats": 1}, "repeats"),
        ({"held_out": 1.0}, "held out"),
        ({"sizes": 3}, "at least 4 sizes"),
        ({"sizes": [10, 20, 30, 900]}, "sizes from 1 to 133"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(given, words):
    X, y = load_wine(return_X_y=True)
    settings = {"estimator": GaussianNB(), "repeats": 2} | given
    with pytest.raises(InputError, match=words):
        learning_curve(settings.pop("estimator"), X, y, **settings)


@pytest.mark.parametrize("errors", [np.ones((1, 6)), np.ones((3, 5)), np.full((3, 6), np.nan)])
def test_laws_need_measurements(errors):
    with pytest.raises(InputError):
        fit_power_law(SIZES, errors)
