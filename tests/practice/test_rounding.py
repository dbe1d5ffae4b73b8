"""Rounded columns: found, given noise, rounded again; what a density of them is worth."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris, load_wine

from gradus.practice.rounding import bounds_of, levelled, snapped, spread_out, steps_of
from gradus.research.generative.evaluation import dequantize


def test_steps_of_real_columns():
    assert steps_of(load_iris().data).tolist() == [0.1] * 4
    assert steps_of(load_wine().data)[-1] == 1.0  # proline, whole numbers
    bmi = load_diabetes(scaled=False).data
    assert steps_of(bmi)[:2].tolist() == [1.0, 1.0]  # age and sex
    rng = np.random.default_rng(0)
    gauss = rng.normal(size=(500, 1))
    assert steps_of(gauss).tolist() == [0.0]
    assert steps_of(np.round(gauss, 5)).tolist() == [0.0]  # decimals, but hardly a value comes twice
    assert steps_of(np.round(gauss * 100, 2)).tolist() == [0.0]
    assert steps_of(np.round(gauss[:, 0], 1)[:, None]).tolist() == [0.1]
    assert steps_of(np.round(rng.normal(size=(5000, 1)), 2)).tolist() == [0.01]
    assert steps_of(np.round(gauss * 1e6)).tolist() == [1.0]
    gaps = np.where(rng.random(500) < 0.3, np.nan, rng.integers(0, 9, 500))[:, None]
    assert steps_of(gaps).tolist() == [1.0] and steps_of(np.full((5, 1), np.nan)).tolist() == [1.0]


def test_noise_is_of_one_step_around_the_value_and_rounds_away():
    rows = np.stack([np.arange(6000) % 7, np.arange(6000) % 5 * 0.1, np.linspace(0, 1, 6000)], 1)
    steps = np.array([1.0, 0.1, 0.0])
    found = spread_out(rows, steps, np.random.default_rng(0))
    gap = found - rows
    assert np.array_equal(gap[:, 2], np.zeros(6000))
    for column, step in ((0, 1.0), (1, 0.1)):
        assert (np.abs(gap[:, column]) <= step / 2).all()
        # mean 0 and variance step²/12; six standard errors
        assert abs(gap[:, column].mean()) < 6 * step / np.sqrt(12 * 6000)
        assert np.isclose(gap[:, column].var(), step**2 / 12, rtol=0.08)
    assert np.allclose(snapped(found, steps), rows, rtol=0, atol=1e-12)
    assert np.isnan(spread_out(np.full((2, 1), np.nan), np.ones(1), np.random.default_rng(0))).all()


def test_rounded_samples_stay_within_the_values_of_their_column():
    rows = np.array([[0.0, 1.0, -3.0], [4.0, np.nan, 2.5]])
    drawn = np.array([[-0.8, 1.4, -9.0], [4.6, 0.3, 9.0], [2.4, 7.0, 0.123]])
    steps = np.array([1.0, 1.0, 0.0])
    expected = [[0.0, 1.0, -9.0], [4.0, 1.0, 9.0], [2.0, 1.0, 0.123]]
    assert snapped(drawn, steps, bounds_of(rows)).tolist() == expected


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_levels_come_back_from_pixels_with_noise_and_without(levels):
    whole = np.arange(levels, dtype=float).repeat(50)
    noisy = dequantize(whole, levels=levels, random_state=0)
    assert np.array_equal(levelled(noisy, levels, spread=True), whole)
    assert np.array_equal(levelled(whole / (levels - 1), levels, spread=False), whole)
    beyond = np.array([-3.0, 4.0])
    for spread in (True, False):
        assert levelled(beyond, levels, spread=spread).tolist() == [0, levels - 1]


def test_with_noise_no_density_of_coins_exceeds_their_probability():
    """Spikes on the values beat any probability without noise; with it, ln 2 a coin is the most."""
    from scipy.stats import norm

    coins = np.random.default_rng(0).integers(0, 2, (4000, 1)).astype(float)

    def spiked(rows, width):
        return (np.logaddexp(norm(0, width).logpdf(rows), norm(1, width).logpdf(rows)) - np.log(2)).mean()

    noisy = spread_out(coins, steps_of(coins), np.random.default_rng(1))
    assert spiked(coins, 1e-4) > 5  # absurd: a probability of more than one
    assert max(spiked(noisy, width) for width in (1e-2, 0.1, 0.25, 0.3, 0.5)) < -np.log(2)


@pytest.mark.parametrize("value", [0.1 + 0.2, 1e15, -3.0])
def test_binary_rounding_does_not_hide_a_step(value):
    column = np.repeat([value, value + 1], 10)[:, None]
    assert steps_of(column)[0] in (0.1, 1.0)
