"""Preparation that belongs to the model: its first layer, so that an exported model is complete."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from gradus.core.errors import InputError, SettingError
from gradus.core.numbers import LARGEST, check_size

__all__ = ["Moments", "PixelScale", "Standardize", "moments"]


# Rows and numbers summed at once: 4096 rows of 50 float64 numbers are 1.6 MB. Of rows of pictures
# there are fewer: 4096 of 784 pixels are read again from memory at each step, which takes more than twice as long.
MOMENT_ROWS, MOMENT_NUMBERS = 4096, 4096 * 50


class Moments(NamedTuple):
    """Mean, standard deviation and share of missing values of each column, in float64."""

    mean: Float[Tensor, " columns"]
    std: Float[Tensor, " columns"]
    missing: Float[Tensor, " columns"]


def _checked_weights(weights: Tensor | np.ndarray | None, n: int) -> Tensor:
    if weights is None:
        return torch.ones(n, dtype=torch.float64)
    checked = torch.as_tensor(weights, dtype=torch.float64).cpu()
    if checked.shape != (n,):
        received = f"shape {tuple(checked.shape)}"
        raise InputError(f"one weight for each of {n} rows", received, "pass weights of shape (n_rows,)")
    if not bool((checked.isfinite() & (checked >= 0)).all()) or not bool(checked.sum() > 0):
        raise InputError("finite weights of 0 or more with a positive sum", "others", "check the sample weights")
    return checked


def moments(X: Shaped[Tensor | np.ndarray, "rows columns"], weights: Tensor | np.ndarray | None = None) -> Moments:
    """Return the weighted moments of each column over the values that are not NaN.

    ``mean = Σ w x / Σ w`` and ``std² = Σ w (x - mean)² / Σ w``, in two passes and in float64. A column that
    is constant up to rounding has a standard deviation of exactly zero; one with no value at all has mean
    and deviation zero.

    Parameters
    ----------
    X : Tensor or array of shape (rows, columns)
        Numbers; NaN marks a missing one.
    weights : Tensor or array of shape (rows,), optional
        Weight of each row, 0 or more.

    Raises
    ------
    InputError
        If ``X`` is no matrix, has no row, has values that are infinite or too large for single precision, or the
        weights are wrong.

    Examples
    --------
    >>> moments(torch.tensor([[1.0, 5.0], [3.0, float("nan")]]))._asdict()["mean"].tolist()
    [2.0, 5.0]
    """
    data = torch.as_tensor(X).detach().cpu()
    if data.ndim != 2 or len(data) == 0:
        raise InputError("a table of one row or more", f"shape {tuple(data.shape)}", "pass X of shape (rows, columns)")
    # A sum is finite unless a value is not, or too many are large: only then is it worth asking each value.
    sound = bool(data.sum().isfinite())
    if not sound and bool(data.isinf().any()):
        raise InputError("finite numbers", "infinite ones", "replace them or mark them as missing with NaN")
    beyond = (data.abs() > LARGEST).any(0) if data.dtype == torch.float64 else torch.zeros(0)
    if bool(beyond.any()):  # what Standardize, in single precision, could not hold
        column = int(beyond.nonzero()[0])
        check_size(f"column {column} (counted from 0)", data[:, column])
    w = None if weights is None else _checked_weights(weights, len(data))
    gaps = not sound and bool(data.isnan().any())
    # Blocks of rows stay in the cache; the whole table in float64, masked and weighted, would be passed over six times.
    rows = max(1, min(MOMENT_ROWS, MOMENT_NUMBERS // max(1, data.shape[1])))
    parts = data.split(rows)
    blocks = list(zip(parts, [None] * len(parts) if w is None else w.split(rows), strict=True))
    total = torch.zeros(data.shape[1], dtype=torch.float64)
    mean, variance = torch.zeros_like(total), torch.zeros_like(total)
    for block, weight in blocks:
        values = block.double()
        present = ~values.isnan() if gaps else torch.ones(len(values), 1)
        total += _weighted_sum(present.double(), weight)
        mean += _weighted_sum(torch.nan_to_num(values) if gaps else values, weight)
    safe = total.clamp_min(torch.finfo(torch.float64).tiny)
    mean /= safe
    for block, weight in blocks:
        centred = block.double() - mean
        variance += _weighted_sum((torch.nan_to_num(centred) if gaps else centred).square(), weight)
    variance /= safe
    # Rounding makes a constant column of large values vary by this much: dividing by it would blow up noise.
    rounding = len(data) * torch.finfo(torch.float64).eps * mean.abs()
    std = torch.where(variance <= rounding.square(), 0.0, variance).sqrt()
    return Moments(mean, std, 1 - total / (len(data) if w is None else w.sum()))


def _weighted_sum(values: Tensor, weights: Tensor | None) -> Tensor:
    """Return the sum of each column; without weights, each row counts once."""
    return values.sum(0) if weights is None else (values * weights.unsqueeze(1)).sum(0)


class Standardize(nn.Module):
    """Subtract the mean of each column and divide by its standard deviation: ``(x - mean) / std``.

    Parameters
    ----------
    mean : Tensor of shape (columns,)
        Mean of each column.
    std : Tensor of shape (columns,)
        Standard deviation of each column; zero (a constant column) counts as one, so that it becomes zeros.

    Raises
    ------
    InputError
        If shapes differ, or a value is negative or not finite.

    Examples
    --------
    >>> layer = Standardize.from_data(torch.tensor([[1.0, 7.0], [3.0, 7.0]]))
    >>> layer(torch.tensor([[3.0, 8.0]])).tolist()
    [[1.0, 1.0]]

    References
    ----------
    Goodfellow et al. 2016, §8.2.1 (conditioning); LeCun et al. 1998, Efficient BackProp, §4.3.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Float[Tensor, " columns"], std: Float[Tensor, " columns"]) -> None:
        super().__init__()
        if not bool((mean.isfinite() & std.isfinite() & (std >= 0)).all()):
            mend = "compute them with Standardize.from_data(X)"
            raise InputError("finite means and deviations of 0 or more", "others", mend)
        self.register_buffer("mean", mean.to(torch.get_default_dtype()))
        self.register_buffer("std", torch.where(std == 0, 1.0, std).to(torch.get_default_dtype()))

    @classmethod
    def from_data(
        cls, X: Shaped[Tensor | np.ndarray, "rows columns"], weights: Tensor | np.ndarray | None = None
    ) -> Standardize:
        """Return the layer for a table; see :func:`moments` for weights and missing values."""
        mean, std, _ = moments(X, weights)
        return cls(mean, std)

    def forward(self, inputs: Shaped[Tensor, "batch columns"]) -> Float[Tensor, "batch columns"]:
        """Return standardized columns."""
        if inputs.shape[-1:] != self.mean.shape:
            expected, received = f"{len(self.mean)} columns", f"shape {tuple(inputs.shape)}"
            raise InputError(expected, received, "pass the columns the network was made for")
        # The mean first: x / std - mean / std cancels where the mean is large.
        return (inputs - self.mean) / self.std


class PixelScale(nn.Module):
    """Turn stored images into a network's: channels first, floating point, standardized.

    ``(x / scale - mean) / std`` channel by channel, from ``(n, H, W, C)`` in bytes or floating point to
    ``(n, C, H, W)`` in channels-last memory: pixels stay where they are, and convolutions are fastest so.

    Parameters
    ----------
    scale : float
        The value of a full pixel: 255 for bytes, 1 for floating point in [0, 1].
    mean, std : Tensor of shape (channels,)
        Mean and standard deviation of each channel after scaling; a deviation of zero counts as one.

    Raises
    ------
    SettingError
        If ``scale`` is not positive.
    InputError
        If shapes differ, or a value is negative or not finite.

    Examples
    --------
    >>> images = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1)
    >>> layer = PixelScale.from_data(images, scale=255.0)
    >>> layer(images).flatten().round(decimals=4).tolist()
    [-1.0, 1.0]
    """

    factor: Tensor
    shift: Tensor

    def __init__(self, scale: float, mean: Float[Tensor, " channels"], std: Float[Tensor, " channels"]) -> None:
        super().__init__()
        if not scale > 0:
            raise SettingError("a positive pixel scale", str(scale), "set 255 for bytes and 1 for numbers in [0, 1]")
        if not bool((mean.isfinite() & std.isfinite() & (std >= 0)).all()):
            mend = "compute them with PixelScale.from_data(images)"
            raise InputError("finite means and deviations of 0 or more", "others", mend)
        std = torch.where(std == 0, 1.0, std.double())
        # One multiplication and one addition a pixel; bounded pixels leave nothing to cancel.
        shape, dtype = (1, len(mean), 1, 1), torch.get_default_dtype()
        self.register_buffer("factor", (1 / (scale * std)).to(dtype).view(shape))
        self.register_buffer("shift", (-mean.double() / std).to(dtype).view(shape))

    @classmethod
    def from_data(
        cls,
        images: Shaped[Tensor | np.ndarray, "n height width channels"],
        weights: Tensor | np.ndarray | None = None,
        *,
        scale: float | None = None,
    ) -> PixelScale:
        """Return the layer for a set of images.

        Parameters
        ----------
        images : Tensor or array of shape (n, H, W, C)
            Bytes or floating point.
        weights : Tensor or array of shape (n,), optional
            Weight of each image, 0 or more.
        scale : float, optional
            The value of a full pixel. By default 255 for bytes; for other types 1 if no pixel exceeds it,
            else the largest.
        """
        data = torch.as_tensor(images)
        _check_images(data)
        if scale is None:
            scale = 255.0 if data.dtype == torch.uint8 else max(1.0, float(data.amax()))
        w = _checked_weights(weights, len(data))
        total = w.sum() * data.shape[1] * data.shape[2]
        mean = torch.zeros(data.shape[3], dtype=torch.float64)
        square = torch.zeros_like(mean)
        # Blocks of images: the whole set in float64 would be eight times its size. Two passes keep the
        # digits.
        blocks = list(zip(data.split(1024), w.split(1024), strict=True))
        for block, weight in blocks:
            mean += torch.einsum("n,nhwc->c", weight, block.cpu().double()) / (total * scale)
        for block, weight in blocks:
            centred = block.cpu().double() / scale - mean
            square += torch.einsum("n,nhwc->c", weight, centred.square()) / total
        return cls(scale, mean, torch.where(square <= 1e-12, 0.0, square).sqrt())

    def forward(self, images: Shaped[Tensor, "n height width channels"]) -> Float[Tensor, "n channels height width"]:
        """Return standardized images, channels first in shape and last in memory."""
        _check_images(images, self.factor.shape[1])
        pixels = images.permute(0, 3, 1, 2)
        if not pixels.is_floating_point():
            # The conversion makes a copy that is ours to change; promoting inside the arithmetic is three
            # times slower.
            return pixels.to(self.factor.dtype).mul_(self.factor).add_(self.shift)
        return torch.addcmul(self.shift, pixels, self.factor)


def _check_images(images: Tensor, channels: int | None = None) -> None:
    if images.ndim != 4 or (channels is not None and images.shape[3] != channels):
        expected = f"images of shape (n, height, width, {'channels' if channels is None else channels})"
        mend = "reshape gray images with X.reshape(n, height, width, 1), and move a channel axis to the end"
        raise InputError(expected, str(tuple(images.shape)), mend)
