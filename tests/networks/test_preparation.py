import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from gradus.core.errors import InputError, SettingError
from gradus.networks import PixelScale, Standardize
from gradus.networks.preparation import moments

RNG = np.random.default_rng(0)


def test_standardize_equals_scikit_learn_weights_included():
    X, w = RNG.normal(5, 3, (200, 4)).astype(np.float32), RNG.random(200)
    layer, oracle = Standardize.from_data(X, w), StandardScaler().fit(X, sample_weight=w)
    np.testing.assert_allclose(layer(torch.from_numpy(X)), oracle.transform(X), atol=1e-5)


def test_integer_weights_count_rows_again():
    X, w = RNG.normal(size=(30, 3)), RNG.integers(0, 4, 30)
    weighted, repeated = moments(X, w), moments(np.repeat(X, w, axis=0))
    for one, other in zip(weighted, repeated, strict=True):
        torch.testing.assert_close(one, other)


def test_large_means_keep_their_digits():
    X = 1e6 + RNG.normal(size=(1000, 1))
    assert moments(X).std.item() == pytest.approx(X.std(), rel=1e-12)
    # The buffers are in single precision, whose resolution at a million is 1/16.
    out = Standardize.from_data(X)(torch.from_numpy(X))
    assert out.std(unbiased=False).item() == pytest.approx(1, abs=1e-5) and abs(out.mean().item()) < 0.07


def test_the_layer_subtracts_before_it_divides():
    X = 1e6 + torch.arange(-8.0, 9.0).unsqueeze(1)  # exact in single precision, and so is their mean
    wanted = torch.arange(-8.0, 9.0).unsqueeze(1) / 24**0.5
    torch.testing.assert_close(Standardize.from_data(X)(X), wanted)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e8 + 0.1, 123456.789])
def test_constant_columns_become_zeros(value):
    X = np.full((1001, 1), value)
    layer = Standardize.from_data(X)
    assert layer.std.item() == 1.0
    assert layer(torch.tensor(X, dtype=torch.float32)).abs().max() == 0


def test_a_small_but_real_variation_is_not_taken_for_a_constant():
    X = 1 + 1e-9 * RNG.normal(size=(500, 1))
    assert moments(X).std.item() == pytest.approx(X.std(), rel=1e-6)


def test_missing_values_are_left_out_of_the_moments():
    X = RNG.normal(2, 5, (100, 3))
    X[RNG.random(X.shape) < 0.3] = np.nan
    X[:, 2] = np.nan
    found = moments(X)
    np.testing.assert_allclose(found.mean[:2], np.nanmean(X[:, :2], 0))
    np.testing.assert_allclose(found.std[:2], np.nanstd(X[:, :2], 0))
    np.testing.assert_allclose(found.missing, np.isnan(X).mean(0))
    assert found.mean[2] == 0 and found.std[2] == 0


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_wide_tables_are_summed_in_blocks_of_few_rows(weighted, missing):
    X = RNG.normal(2, 5, (1000, 700)).astype(np.float32)
    w = RNG.random(1000) if weighted else np.ones(1000)
    if missing:
        X[RNG.random(X.shape) < 0.3] = np.nan
    there = ~np.isnan(X)
    exact = np.where(there, X, 0).astype(np.float64)
    mean = (w[:, None] * exact).sum(0) / (w[:, None] * there).sum(0)
    square = (w[:, None] * np.where(there, exact - mean, 0) ** 2).sum(0) / (w[:, None] * there).sum(0)
    found = moments(X, w if weighted else None)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.std, square**0.5, rtol=1e-12)
    np.testing.assert_allclose(found.missing, 1 - (w[:, None] * there).sum(0) / w.sum(), atol=1e-12)


def test_large_numbers_whose_sum_overflows_are_finite_and_infinite_ones_are_not():
    X = np.full((4, 2), 3e38, dtype=np.float32)
    assert moments(X).mean.tolist() == [float(X[0, 0])] * 2
    X[1, 0] = np.nan
    assert moments(X).missing.tolist() == [0.25, 0]
    X[2, 1], X[3, 1] = np.inf, -np.inf
    with pytest.raises(InputError, match="finite numbers"):
        moments(X)


def test_integers_come_out_as_floats_and_gradients_pass():
    layer = Standardize(torch.tensor([2.0]), torch.tensor([4.0]))
    assert layer(torch.tensor([[6]])).tolist() == [[1.0]]
    x = torch.ones(1, 1, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.item() == 0.25


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: moments(np.array([[1.0, np.inf]])), "finite numbers"),
        (lambda: moments(np.zeros((0, 2))), "one row or more"),
        (lambda: moments(np.zeros((2, 2)), np.array([1.0])), "one weight for each of 2 rows"),
        (lambda: moments(np.zeros((2, 2)), np.array([1.0, -1.0])), "weights of 0 or more"),
        (lambda: moments(np.zeros((2, 2)), np.array([0.0, 0.0])), "positive sum"),
        (lambda: Standardize(torch.zeros(2), torch.tensor([1.0, -1.0])), "deviations of 0 or more"),
        (lambda: Standardize(torch.zeros(2), torch.ones(2))(torch.zeros(3, 1)), "2 columns"),
        (lambda: PixelScale(255.0, torch.zeros(1), torch.ones(1))(torch.zeros(2, 8, 8, 3)), "channel"),
    ],
)
def test_wrong_input_is_refused_not_broadcast(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_a_pixel_scale_of_zero_is_refused():
    with pytest.raises(SettingError, match="positive pixel scale"):
        PixelScale(0.0, torch.zeros(1), torch.ones(1))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_pixel_scale_standardizes_each_channel_without_moving_pixels(channels, dtype):
    images = torch.randint(0, 256, (50, 6, 5, channels), dtype=torch.uint8)
    images[..., 0] //= 2  # channels of different brightness
    stored = images if dtype == torch.uint8 else images / 255
    layer = PixelScale.from_data(stored)
    kept = stored.clone()
    out = layer(stored)
    wanted = images.numpy().astype(np.float64) / 255
    wanted = ((wanted - wanted.mean((0, 1, 2))) / wanted.std((0, 1, 2))).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(out, wanted, atol=1e-5)
    assert out.shape == (50, channels, 6, 5) and out.dtype == torch.float32
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(stored, kept)


def test_pixel_moments_take_weights_and_do_not_depend_on_blocks():
    images = torch.randint(0, 256, (1500, 2, 2, 1), dtype=torch.uint8)  # more than one block
    weights = torch.randint(0, 3, (1500,))
    weighted = PixelScale.from_data(images, weights)
    repeated = PixelScale.from_data(images.repeat_interleave(weights, 0))
    torch.testing.assert_close(weighted.factor, repeated.factor)
    torch.testing.assert_close(weighted.shift, repeated.shift)


def test_blank_images_become_zeros_and_float_images_find_their_own_scale():
    blank = torch.full((3, 4, 4, 1), 7, dtype=torch.uint8)
    assert PixelScale.from_data(blank)(blank).abs().max() < 1e-6
    sixteen = torch.arange(17.0).reshape(1, 17, 1, 1)  # scikit-learn's digits run from 0 to 16
    torch.testing.assert_close(
        PixelScale.from_data(sixteen).factor, 1 / sixteen.std(unbiased=False).reshape(1, 1, 1, 1)
    )


@pytest.mark.parametrize("value", [1e300, -1e40])
def test_numbers_that_single_precision_cannot_hold_are_refused_by_column(value):
    X = RNG.normal(size=(10, 3))
    X[4, 2], X[0, 1] = value, np.nan
    with pytest.raises(InputError, match=r"numbers up to 1e36 in size in column 2 \(counted from 0\), got -?1e\+"):
        moments(X)
    X[4, 2] = 9e35
    assert Standardize.from_data(X)(torch.from_numpy(X))[4, 2].isfinite()
