"""Contrast normalization and whitening against NumPy, SciPy and the definitions of the book."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from gradus.core.errors import InputError, SettingError
from gradus.networks.contrast import GlobalContrastNormalization, ImageSize, LocalContrastNormalization, ZCAWhitening

RNG = np.random.default_rng(0)


def smooth(n=40, channels=2, height=6, width=5):
    """Images whose neighbouring pixels go together, with a mean and a scale of their own."""
    noise = RNG.normal(size=(n, channels, height, width))
    return torch.from_numpy(3 * ndimage.gaussian_filter(noise, (0, 0, 1, 1)) + 7).float()


@pytest.mark.parametrize(("s", "lam", "eps"), [(1.0, 0.0, 1e-8), (2.5, 0.3, 1e-8), (1.0, 0.0, 0.9)])
def test_global_contrast_is_equation_12_3(s, lam, eps):
    images = smooth(channels=3)
    X = images.numpy().astype(np.float64)
    wanted = np.empty_like(X)
    for i, image in enumerate(X):
        contrast = np.sqrt(lam + ((image - image.mean()) ** 2).sum() / image.size)
        wanted[i] = s * (image - image.mean()) / max(eps, contrast)
    np.testing.assert_allclose(GlobalContrastNormalization(s, lam, eps)(images), wanted, atol=1e-4)


def test_every_image_gets_the_contrast_asked_for_and_a_flat_one_stays_zero():
    images = torch.cat([smooth(), torch.full((1, 2, 6, 5), 4.0)])
    out = GlobalContrastNormalization(3.0)(images).flatten(1)
    torch.testing.assert_close(out[:-1].square().mean(1).sqrt(), torch.full((40,), 3.0))
    assert not out[-1].any()


def test_local_contrast_is_scipys_gaussian_filter_with_the_border_divided_out():
    images, sd, lam = smooth(3, 2, 20, 14), 1.5, 0.05
    out = LocalContrastNormalization(2, sd, lam)(images).numpy()

    def mean(values):  # under the window, over what lies inside
        blur = {"sigma": sd, "mode": "constant", "truncate": 5 / sd}  # the window ends at 5 pixels
        return ndimage.gaussian_filter(values, **blur) / ndimage.gaussian_filter(np.ones_like(values), **blur)

    for image, result in zip(images.numpy().astype(np.float64), out, strict=True):
        for x, found in zip(image, result, strict=True):
            centred = x - mean(x)
            np.testing.assert_allclose(found, centred / np.sqrt(lam + mean(centred**2)), atol=1e-4)


def test_local_contrast_draws_no_frame_around_a_flat_image():
    out = LocalContrastNormalization(1)(torch.full((1, 1, 12, 12), 9.0))
    assert out.abs().max() < 1e-4


def test_whitening_makes_the_covariance_the_identity():
    images = smooth(400)
    layer = ZCAWhitening.from_data(images, epsilon=1e-8)
    X = layer(images).flatten(1).double().numpy()
    np.testing.assert_allclose(X.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(X.T, bias=True), np.eye(60), atol=2e-3)
    torch.testing.assert_close(layer.matrix, layer.matrix.T)
    assert np.linalg.eigvalsh(layer.matrix.double().numpy()).min() > 0  # the symmetric root, not another one


@pytest.mark.parametrize("n", [30, 3000])  # fewer images than pixels; more than one block
def test_whitening_is_numpys_eigendecomposition(n):
    images, epsilon = smooth(n), 0.05
    X = images.flatten(1).double().numpy()
    values, vectors = np.linalg.eigh(np.cov(X.T, bias=True))
    wanted = (X - X.mean(0)) @ (vectors / np.sqrt(np.maximum(values, 0) + epsilon)) @ vectors.T
    found = ZCAWhitening.from_data(images, epsilon)(images).flatten(1)
    np.testing.assert_allclose(found, wanted, atol=2e-4)


def test_weights_count_images_again():
    images, weights = smooth(30), torch.from_numpy(RNG.integers(0, 4, 30))
    weighted = ZCAWhitening.from_data(images, weights=weights)
    repeated = ZCAWhitening.from_data(images.repeat_interleave(weights, 0))
    torch.testing.assert_close(weighted.matrix, repeated.matrix)
    torch.testing.assert_close(weighted.mean, repeated.mean)


def test_whitening_on_a_large_mean_keeps_its_digits():
    images = smooth(300)
    one, other = ZCAWhitening.from_data(images), ZCAWhitening.from_data(images.double() + 1e6)
    torch.testing.assert_close(one.matrix, other.matrix, atol=1e-4, rtol=1e-3)


def test_layers_before_whitening_are_applied_to_what_it_learns_from():
    images = smooth(200)
    gcn = GlobalContrastNormalization()
    torch.testing.assert_close(
        ZCAWhitening.from_data(images, before=gcn).matrix, ZCAWhitening.from_data(gcn(images)).matrix
    )


@pytest.mark.parametrize("layer", [LocalContrastNormalization(2), GlobalContrastNormalization()])
def test_autocast_does_not_coarsen_them(layer):
    images = 100 + smooth()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(layer(images), layer(images.clone()))
        out = layer(images)
    torch.testing.assert_close(out, layer(images))


def test_sizes_and_channels_are_brought_together():
    gray, colour = smooth(4, 1), smooth(4, 3)
    assert torch.equal(ImageSize(3, (6, 5))(gray), gray.expand(-1, 3, -1, -1))
    torch.testing.assert_close(ImageSize(1, (6, 5))(colour), colour.mean(1, keepdim=True))
    assert ImageSize(1, (6, 5))(gray) is gray
    half = ImageSize(1, (3, 5))(torch.arange(6.0).view(1, 1, 6, 1).expand(1, 1, 6, 5))
    np.testing.assert_allclose(half[0, 0, 1], 2.5)  # smoothed, and where it was
    with pytest.raises(InputError, match="images of 1 or 3 channels, got 2"):
        ImageSize(3, (6, 5))(smooth(4, 2))


@pytest.mark.parametrize(
    "make",
    [
        lambda: GlobalContrastNormalization(scale=0.0),
        lambda: GlobalContrastNormalization(regularization=-1.0),
        lambda: GlobalContrastNormalization(epsilon=0.0),
        lambda: LocalContrastNormalization(1, deviation=0.0),
        lambda: LocalContrastNormalization(1, deviation=float("nan")),
        lambda: ZCAWhitening.from_data(torch.zeros(2, 1, 2, 2), epsilon=0.0),
    ],
)
def test_settings_out_of_range_are_refused(make):
    with pytest.raises(SettingError, match="set "):
        make()


def test_whitening_refuses_other_and_too_many_pixels():
    with pytest.raises(InputError, match=r"images of shape \(n, 2, 6, 5\)"):
        ZCAWhitening.from_data(smooth())(smooth(channels=1))
    with pytest.raises(InputError, match="at most 4096 pixels times channels, got 12288"):
        ZCAWhitening.from_data(torch.zeros(2, 3, 64, 64))
