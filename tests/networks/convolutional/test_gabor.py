import math

import numpy as np
import pytest
import torch

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import generator
from gradus.networks.convolutional import GaborFit, fit_gabor, gabor, learn_patches


def test_it_is_the_formula_of_the_book():
    p = {"amplitude": 1.7, "decay_x": 0.08, "decay_y": 0.03, "frequency": 0.9, "phase": 0.4, "x": 0.6, "y": -1.1}
    out = gabor((5, 7), angle=0.5, **p)
    assert out.shape == (5, 7)
    for row in range(5):
        for column in range(7):
            dx, dy = column - 3 - p["x"], row - 2 - p["y"]
            xx = dx * math.cos(0.5) + dy * math.sin(0.5)
            yy = -dx * math.sin(0.5) + dy * math.cos(0.5)
            s = 1.7 * math.exp(-0.08 * xx**2 - 0.03 * yy**2) * math.cos(0.9 * xx + 0.4)
            assert out[row, column] == pytest.approx(s, abs=1e-12)


def test_many_are_the_stack_of_each():
    angles = np.array([0.1, 1.0, 2.5])
    stack = gabor(9, angle=angles, phase=0.3)
    assert stack.shape == (3, 9, 9)
    for index, angle in enumerate(angles):
        np.testing.assert_array_equal(stack[index], gabor(9, angle=angle, phase=0.3))


def drawn(n, size, seed):
    source = np.random.default_rng(seed)
    sigma_along, sigma_across = source.uniform(0.14, 0.25, (2, n)) * size
    return {
        "amplitude": source.uniform(0.2, 3, n),
        "decay_x": 0.5 / sigma_along**2,
        "decay_y": 0.5 / sigma_across**2,
        "frequency": source.uniform(0.6, 2.0, n),
        "phase": source.uniform(-3.1, 3.1, n),
        "x": source.uniform(-1.5, 1.5, n),
        "y": source.uniform(-1.5, 1.5, n),
        "angle": source.uniform(0.05, np.pi - 0.05, n),
    }


def test_the_parameters_of_gabor_functions_are_recovered():
    truth = drawn(30, 13, 0)
    fit = fit_gabor(gabor((13, 12), **truth))
    for name, values in truth.items():
        np.testing.assert_allclose(getattr(fit, name), values, rtol=1e-4, atol=1e-4, err_msg=name)
    assert fit.r2.min() > 1 - 1e-8
    np.testing.assert_allclose(fit.filters((13, 12)), gabor((13, 12), **truth), atol=1e-4)


def test_in_noise_they_are_recovered_as_well_as_the_noise_allows():
    truth = drawn(30, 13, 1)
    truth["amplitude"] = np.ones(30)
    clean = gabor(13, **truth)
    noise = 0.1 * np.random.default_rng(2).normal(size=clean.shape)
    fit = fit_gabor(torch.tensor(clean + noise))
    assert np.median(np.abs(fit.frequency - truth["frequency"])) < 0.03
    assert np.median(np.abs(fit.angle - truth["angle"])) < 0.03
    assert np.median(np.hypot(fit.x - truth["x"], fit.y - truth["y"])) < 0.3
    # What is left is the noise, less the share of the eight parameters.
    energy = np.square(clean + noise).sum((1, 2))
    left = 0.1**2 * (169 - 8) / energy
    np.testing.assert_allclose(1 - fit.r2, left, rtol=0.5)
    assert np.mean(fit.r2 - (1 - left)) == pytest.approx(0.0, abs=0.02)


def test_noise_is_no_gabor_function():
    noise = np.random.default_rng(0).normal(size=(12, 11, 11))
    fit = fit_gabor(noise)
    assert 0.1 < np.median(fit.r2) < 0.2 and fit.r2.max() < 0.3  # eight parameters of 121 numbers, chosen among many


def test_no_start_in_the_neighbourhood_finds_a_lower_minimum():
    from scipy.optimize import minimize

    noisy = gabor(9, **drawn(4, 9, 5)) + 0.3 * np.random.default_rng(1).normal(size=(4, 9, 9))
    fit = fit_gabor(noisy)
    names = [name for name in GaborFit._fields if name != "r2"]
    for index in range(4):
        best = np.array([getattr(fit, name)[index] for name in names])

        def squares(theta, index=index):
            return np.square(gabor(9, **dict(zip(names, theta, strict=True))) - noisy[index]).sum()

        assert squares(best) == pytest.approx((1 - fit.r2[index]) * np.square(noisy[index]).sum(), rel=1e-9)
        lower = minimize(squares, best, method="Nelder-Mead", options={"maxiter": 400})
        assert lower.fun > 0.995 * squares(best)


def test_scale_sign_and_turns_give_one_description():
    p = {"decay_x": 0.05, "decay_y": 0.08, "frequency": 1.1, "phase": 0.7, "angle": 0.9}
    base = gabor(11, **p)
    same = [gabor(11, **{**p, "angle": 0.9 + np.pi, "phase": -0.7}), gabor(11, **{**p, "phase": 0.7 + 2 * np.pi})]
    fit = fit_gabor(np.stack([base, *same, -base, 1000 * base]))
    assert np.all(fit.amplitude > 0)
    np.testing.assert_allclose(fit.angle, 0.9, atol=1e-4)
    np.testing.assert_allclose(fit.phase, [0.7, 0.7, 0.7, 0.7 - np.pi, 0.7], atol=1e-4)
    np.testing.assert_allclose(fit.amplitude, [1, 1, 1, 1, 1000], rtol=1e-4)


def test_of_colours_the_pattern_they_share_is_fitted():
    pattern = gabor(9, frequency=1.3, angle=0.6, phase=1.0)
    colour = np.array([0.6, -0.3, 0.2])
    filters = colour[:, None, None] * pattern
    fit = fit_gabor(filters[None])
    assert fit.r2[0] > 1 - 1e-6 and fit.frequency[0] == pytest.approx(1.3, abs=1e-4)
    assert fit.amplitude[0] == pytest.approx(np.linalg.norm(colour), rel=1e-4)
    # A second pattern in another colour cannot be explained: half of the energy.
    other = gabor(9, frequency=1.3, angle=0.6 + np.pi / 2, phase=1.0, decay_x=0.1)
    other *= np.linalg.norm(pattern) / np.linalg.norm(other)
    both = np.stack([pattern, 0.7 * other])
    explained = fit_gabor(both[None]).r2[0]
    assert explained == pytest.approx(1 / 1.49, abs=0.03)


def test_a_filter_of_zeros_explains_nothing():
    fit = fit_gabor(np.stack([np.zeros((7, 7)), gabor(7)]))
    assert fit.amplitude[0] == 0 and math.isnan(fit.r2[0]) and fit.r2[1] > 0.999


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        (np.zeros((3, 3)), "25 pixels or more"),
        (np.zeros((2, 4, 4)), "25 pixels or more"),
        (np.zeros((0, 5, 5)), "25 pixels or more"),
        (np.full((1, 5, 5), np.nan), "finite filters"),
    ],
)
def test_what_cannot_be_fitted_is_refused(filters, words):
    with pytest.raises(InputError, match=words):
        fit_gabor(filters)
    with pytest.raises(SettingError, match="height"):
        gabor(0)


@pytest.mark.slow
@pytest.mark.data
def test_words_of_whitened_photographs_are_gabor_functions(data_home):
    with np.load(data_home / "vision" / "photos.npz", allow_pickle=False) as file:
        photos = [file[name] for name in file.files]
    grey = [p if p.ndim == 2 else p[..., :3].mean(-1) for p in photos]
    tiles = [g[i : i + 64, j : j + 64] for g in grey
             for i in range(0, g.shape[0] - 63, 64) for j in range(0, g.shape[1] - 63, 64)]  # fmt: skip
    images = torch.tensor(np.stack(tiles), dtype=torch.float32).unsqueeze(1)
    module = learn_patches(images, 64, 10, generator(0), patches=40_000)
    words = fit_gabor(module.centroids.view(64, 10, 10))
    noise = fit_gabor(np.random.default_rng(0).normal(size=(64, 10, 10)))
    # Most words are a bar or an edge in one place (§9.10, figure 9.19); noise is not.
    assert np.median(words.r2) > 0.6 and np.mean(words.r2 > noise.r2.max()) > 0.6
