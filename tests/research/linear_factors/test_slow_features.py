"""Slow features: a known slow signal in mixtures, the generalized eigenvalue problem, limits of noise."""

import numpy as np
import pytest
from scipy.linalg import eigh

from gradus.core.errors import InputError, SettingError
from gradus.research.linear_factors import PCA, SlowFeatureAnalysis


def signals(n=5000):
    t = np.linspace(0, 30, n)
    return np.stack([np.sin(t), np.sign(np.sin(11 * t + 0.3)) + 0.1 * np.sin(91 * t), np.cos(29 * t)], 1)


def correlation(a, b):
    return abs(float(np.corrcoef(a, b)[0, 1]))


def test_the_slow_signal_of_a_mixture_is_found():
    S = signals()
    X = S @ np.array([[0.3, 0.2, -0.4], [3.0, 1.0, 1.0], [2.0, -1.0, 0.5]]) + 7.0  # the slow one is a small part
    model = SlowFeatureAnalysis().fit(X)
    Z = model.transform(X)
    assert correlation(Z[:, 0], S[:, 0]) > 0.999
    assert correlation(PCA(n_components=1).fit_transform(X)[:, 0], S[:, 0]) < 0.5
    np.testing.assert_allclose(Z.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(Z.T @ Z / len(Z), np.eye(3), atol=1e-9)
    assert (np.diff(model.delta_) > 0).all()
    # of a sine of angular step h, δ = 2 (1 - cos h) about
    assert model.delta_[0] == pytest.approx(2 * (1 - np.cos(30 / 5000)), rel=0.05)
    np.testing.assert_allclose(model.slowness(X), model.delta_, rtol=1e-9)


def test_solves_the_generalized_eigenvalue_problem():
    X = np.cumsum(np.random.default_rng(0).normal(size=(500, 6)), 0) @ np.random.default_rng(1).normal(size=(6, 6))
    model = SlowFeatureAnalysis(n_components=4).fit(X)
    steps, centred = np.diff(X, axis=0), X - X.mean(0)
    values, vectors = eigh(steps.T @ steps / len(steps), centred.T @ centred / len(X))
    np.testing.assert_allclose(model.delta_, values[:4], rtol=1e-6)
    for w, expected in zip(model.components_, vectors.T, strict=False):
        np.testing.assert_allclose(w * np.sign(w @ expected), expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


def test_a_wrong_order_of_time_is_seen():
    """Planted bug: rows shuffled. Nothing is slow then: δ is 2, give or take."""
    X = np.random.default_rng(0).permutation(signals())
    assert SlowFeatureAnalysis().fit(X).delta_.min() > 1.8


def test_what_only_products_show():
    """The amplitude of a fast wave is slow, and no linear feature of the wave is."""
    t = np.linspace(0, 30, 8000)
    amplitude = 1 + 0.5 * np.sin(t)
    X = np.stack([amplitude * np.sin(400 * t), amplitude * np.cos(400 * t)], 1)
    quadratic = SlowFeatureAnalysis(expansion="quadratic", n_components=1).fit(X)
    assert correlation(quadratic.transform(X)[:, 0], amplitude**2) > 0.999
    linear = SlowFeatureAnalysis(n_components=1).fit(X)
    assert linear.delta_[0] > 100 * quadratic.delta_[0]
    assert not hasattr(quadratic, "sample")


def test_back_again_and_samples():
    S = signals()
    X = S @ np.random.default_rng(0).normal(size=(3, 3))
    model = SlowFeatureAnalysis().fit(X)
    np.testing.assert_allclose(model.inverse_transform(model.transform(X)), X, atol=1e-8)
    fewer = SlowFeatureAnalysis(n_components=2).fit(X)
    back = fewer.inverse_transform(fewer.transform(X))
    least = np.linalg.lstsq(np.c_[fewer.transform(X), np.ones(len(X))], X, rcond=None)[0]
    np.testing.assert_allclose(back, np.c_[fewer.transform(X), np.ones(len(X))] @ least, atol=1e-8)
    noisy = SlowFeatureAnalysis().fit(np.cumsum(np.random.default_rng(0).normal(size=(2000, 2)), 0) % 7)
    drawn = noisy.sample(200_000, random_state=0)
    np.testing.assert_allclose(noisy.slowness(drawn), noisy.delta_, rtol=0.1)
    # planted: moments in another order, and every other one
    assert np.abs(noisy.slowness(np.random.default_rng(0).permutation(drawn)) / noisy.delta_ - 1).max() > 0.1
    assert np.abs(noisy.slowness(drawn[::2]) / noisy.delta_ - 1).max() > 0.1


def test_copies_and_constants_are_left_out():
    S = signals()
    model = SlowFeatureAnalysis().fit(np.c_[S, S[:, :1] * 2, np.ones(len(S))])
    assert model.n_components_ == 3


def test_kept_shown_and_refused(tmp_path):
    X = signals(400)
    model = SlowFeatureAnalysis(n_components=2).fit(X)
    again = SlowFeatureAnalysis.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    assert [e.title for e in model.exhibits(X)] == ["Slow features", "Components", "Latent map"]
    with pytest.raises(InputError, match="rows that vary"):
        SlowFeatureAnalysis().fit(np.ones((10, 2)))
    with pytest.raises(SettingError, match="up to 5000 expanded"):
        SlowFeatureAnalysis(expansion="quadratic").fit(np.random.default_rng(0).normal(size=(10, 200)))
