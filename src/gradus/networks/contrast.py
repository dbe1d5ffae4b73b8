"""Preparation of images inside a network: contrast normalization, whitening, size (§12.2.1)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.networks.checks import check_maps, check_sizes

__all__ = ["GlobalContrastNormalization", "ImageSize", "LocalContrastNormalization", "ZCAWhitening"]

# Eigenvectors of a matrix of this side take some ten seconds on one processor, and it 67 MB in single precision.
MOST_PIXELS = 4096
BLOCK = 1024  # images whose products are summed at once in float64


def _positive(setting: str, value: float, *, zero: bool = False) -> None:
    if not (math.isfinite(value) and (value > 0 or (zero and value == 0))):
        raise SettingError(f"{setting} {'of 0 or more' if zero else 'above 0'}", str(value), f"set {setting}=1e-8")


class GlobalContrastNormalization(nn.Module):
    """Bring every image to the same contrast: ``s (x - mean) / max(ε, sqrt(λ + mean((x - mean)²)))``.

    The means run over all pixels and channels of an image. An image without contrast becomes zeros.

    Parameters
    ----------
    scale : float
        The ``s`` of the book: the contrast that every image gets.
    regularization : float
        Its ``λ``, 0 or more, in squared units of the pixels: contrasts far below its root are not blown up.
    epsilon : float
        Its ``ε``, above 0: the smallest divisor.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> image = torch.tensor([1.0, 3.0, 5.0, 7.0]).reshape(1, 1, 2, 2)
    >>> [round(value, 3) for value in GlobalContrastNormalization()(image).flatten().tolist()]
    [-1.342, -0.447, 0.447, 1.342]

    References
    ----------
    Goodfellow et al. 2016, §12.2.1.1, eq. 12.3; Coates et al. 2011.
    """

    def __init__(self, scale: float = 1.0, regularization: float = 0.0, epsilon: float = 1e-8) -> None:
        super().__init__()
        _positive("scale", scale)
        _positive("regularization", regularization, zero=True)
        _positive("epsilon", epsilon)
        self.scale, self.regularization, self.epsilon = scale, regularization, epsilon

    def forward(self, images: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n channels height width"]:
        """Return the images with their mean at zero and one contrast."""
        centred = images - images.mean((1, 2, 3), keepdim=True)
        contrast = (centred.square().mean((1, 2, 3), keepdim=True) + self.regularization).sqrt()
        return centred * (self.scale / contrast.clamp_min(self.epsilon))


class LocalContrastNormalization(nn.Module):
    """Bring every neighbourhood to the same brightness and contrast, channel by channel.

    ``v = x - w * x`` and ``y = v / max(ε, sqrt(λ + w * v²))``, ``w *`` being the mean under a Gaussian window. At the
    border the window holds what lies inside the image, so that no frame is drawn.

    Parameters
    ----------
    channels : int
        Channels of the images.
    deviation : float
        Standard deviation of the window in pixels, above 0; it is cut at three of them.
    regularization : float
        ``λ``, 0 or more, in squared units of the pixels: noise in flat regions is not blown up.
    epsilon : float
        ``ε``, above 0: the smallest divisor.

    Raises
    ------
    SettingError
        If a setting is out of range.
    InputError
        If inputs have other channels.

    Examples
    --------
    >>> layer = LocalContrastNormalization(1, deviation=2.0, regularization=0.0)
    >>> image = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> torch.allclose(layer(image), layer(5 * image + 3), atol=1e-3)
    True

    References
    ----------
    Goodfellow et al. 2016, §12.2.1.1, figure 12.2; Jarrett et al. 2009, What is the best multi-stage architecture for
    object recognition, §2.
    """

    window: Tensor

    def __init__(
        self, channels: int, deviation: float = 3.0, regularization: float = 1e-2, epsilon: float = 1e-4
    ) -> None:
        super().__init__()
        check_sizes(channels=channels)
        _positive("deviation", deviation)
        _positive("regularization", regularization, zero=True)
        _positive("epsilon", epsilon)
        self.channels, self.deviation = channels, deviation
        self.regularization, self.epsilon = regularization, epsilon
        reach = math.ceil(3 * deviation)
        bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / deviation).square())
        # Made of the settings alone, so not stored with the weights.
        self.register_buffer("window", (bell / bell.sum()).to(torch.get_default_dtype()), persistent=False)

    def _blur(self, maps: Tensor) -> Tensor:
        count = maps.shape[1]
        reach = len(self.window) // 2
        window = self.window.to(maps.dtype)
        rows = F.conv2d(maps, window.view(1, 1, -1, 1).expand(count, 1, -1, 1), padding=(reach, 0), groups=count)
        return F.conv2d(rows, window.view(1, 1, 1, -1).expand(count, 1, 1, -1), padding=(0, reach), groups=count)

    def forward(self, images: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n channels height width"]:
        """Return the images with local means at zero and local contrasts at one."""
        check_maps(images, self.channels, 2)
        # In full precision: of two close numbers in bf16 the difference is nothing but rounding.
        with torch.autocast(images.device.type, enabled=False):
            inside = self._blur(torch.ones_like(images[:1, :1]))
            centred = images - self._blur(images) / inside
            spread = (self._blur(centred.square()) / inside + self.regularization).sqrt()
            return centred / spread.clamp_min(self.epsilon)


class ZCAWhitening(nn.Module):
    """Make pixels uncorrelated with variance one, changing the images as little as that allows.

    ``(x - mean) U (S + ε)^(-1/2) Uᵀ``, where ``U S Uᵀ`` is the covariance of the training pixels. The matrix is
    symmetric, so the result still looks like the image, with its edges brought out.

    Parameters
    ----------
    mean : Tensor of shape (channels, height, width)
        Mean of each pixel.
    matrix : Tensor of shape (pixels, pixels)
        The symmetric matrix, ``pixels = channels · height · width``.

    Raises
    ------
    InputError
        If shapes do not agree.

    Examples
    --------
    >>> images = torch.randn(500, 1, 4, 4, generator=torch.Generator().manual_seed(0)).cumsum(3)
    >>> layer = ZCAWhitening.from_data(images, epsilon=1e-6)
    >>> torch.allclose(layer(images).flatten(1).T.cov(correction=0), torch.eye(16), atol=1e-3)
    True

    References
    ----------
    Goodfellow et al. 2016, §12.2.1 (preprocessing); Krizhevsky 2009, appendix A; Bell & Sejnowski 1997.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, mean: Float[Tensor, "channels height width"], matrix: Float[Tensor, "pixels pixels"]) -> None:
        super().__init__()
        if matrix.shape != (mean.numel(), mean.numel()):
            expected = f"a matrix of shape ({mean.numel()}, {mean.numel()})"
            raise InputError(expected, str(tuple(matrix.shape)), "compute both with ZCAWhitening.from_data(images)")
        dtype = torch.get_default_dtype()
        self.register_buffer("mean", mean.to(dtype))
        self.register_buffer("matrix", matrix.to(dtype))

    @classmethod
    def from_data(
        cls,
        images: Tensor,
        epsilon: float = 0.1,
        *,
        weights: Tensor | None = None,
        before: Callable[[Tensor], Tensor] | None = None,
    ) -> ZCAWhitening:
        """Return the layer for a set of images.

        Parameters
        ----------
        images : Tensor of shape (n, channels, height, width)
            Training images; or of whatever shape ``before`` takes.
        epsilon : float
            ``ε``, above 0, in squared units of the pixels: directions of smaller variance, which are noise, are left
            small.
        weights : Tensor of shape (n,), optional
            Weight of each image, 0 or more.
        before : callable, optional
            Applied to blocks of images first, such as the layers that come before this one.

        Raises
        ------
        SettingError
            If ``epsilon`` is not positive.
        InputError
            If images have more pixels than a matrix of all their pairs can reasonably hold.
        """
        _positive("epsilon", epsilon)
        shape = (images[:1] if before is None else before(images[:1])).shape[1:]
        size = shape.numel()
        if size > MOST_PIXELS:
            mend = "make them smaller, or leave zca out"
            raise InputError(f"images of at most {MOST_PIXELS} pixels times channels", f"{size} (ZCA)", mend)
        used = torch.ones(len(images), dtype=torch.float64) if weights is None else weights.double()
        total, square = torch.zeros(size, dtype=torch.float64), torch.zeros(size, size, dtype=torch.float64)
        guess: Tensor | None = None  # close to the mean, so that little cancels below
        for block, weight in zip(images.split(BLOCK), used.split(BLOCK), strict=True):
            values = (block if before is None else before(block)).double().flatten(1)
            guess = values.mean(0) if guess is None else guess
            centred = values - guess
            total += weight @ centred
            square.addmm_(centred.T * weight, centred)
        shift = total / used.sum()
        covariance = square / used.sum() - torch.outer(shift, shift)
        variances, directions = torch.linalg.eigh(covariance)
        matrix = (directions * (variances.clamp_min(0) + epsilon).rsqrt()) @ directions.T
        return cls((shift if guess is None else guess + shift).view(shape), (matrix + matrix.T) / 2)

    def forward(self, images: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n channels height width"]:
        """Return whitened images."""
        if images.shape[1:] != self.mean.shape:
            expected = f"images of shape (n, {', '.join(map(str, self.mean.shape))})"
            raise InputError(expected, str(tuple(images.shape)), "resize them to the size that was fitted")
        with torch.autocast(images.device.type, enabled=False):
            return ((images - self.mean).flatten(1) @ self.matrix).view(images.shape)


class ImageSize(nn.Module):
    """Bring images to the channels and the size another network was made for.

    Gray images are repeated over the channels, colours averaged into one; sizes change by bilinear interpolation,
    smoothed where the image shrinks.

    Parameters
    ----------
    channels : int
        Channels of the results.
    size : (int, int)
        Their height and width.

    Raises
    ------
    InputError
        If images have neither one channel nor as many as asked for, where more than one is.

    Examples
    --------
    >>> ImageSize(3, (32, 32))(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 3, 32, 32])
    """

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        check_sizes(channels=channels, height=size[0], width=size[1])
        self.channels, self.size = channels, size

    def forward(self, images: Float[Tensor, "n read height width"]) -> Float[Tensor, "n channels rows columns"]:
        """Return images of that size."""
        if images.shape[1] != self.channels:
            if self.channels > 1 and images.shape[1] > 1:
                mend = "drop the channels it does not know, or make the images gray"
                raise InputError(f"images of 1 or {self.channels} channels", str(images.shape[1]), mend)
            gray = images.mean(1, keepdim=True)
            images = gray if self.channels == 1 else gray.expand(-1, self.channels, -1, -1)
        if tuple(images.shape[2:]) == self.size:
            return images
        with torch.autocast(images.device.type, enabled=False):
            return F.interpolate(images, self.size, mode="bilinear", antialias=True, align_corners=False)

    def extra_repr(self) -> str:
        """Return the settings, for ``print(network)``."""
        return f"{self.channels}, {self.size}"
