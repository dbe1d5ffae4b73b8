"""Images as they come in, and how many go through a network at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from gradus.core.errors import InputError
from gradus.data.batches import Batch
from gradus.estimators.inputs import share
from gradus.networks.preparation import PixelScale

__all__ = ["ANSWERED_PIXELS", "check_images", "learned_scale", "pieces"]

# Pixels that go through a network at once outside training: with 32 channels, 64 MB of each map at full size.
ANSWERED_PIXELS = 1 << 19


def check_images(X: Any) -> Shaped[Tensor, "n height width channels"]:
    """Return images as bytes or float32, channels last; gray ones may come without a channel axis.

    Raises
    ------
    InputError
        If they are not images, or a pixel is not finite.

    Examples
    --------
    >>> check_images(np.zeros((2, 5, 7))).shape, check_images(np.zeros((2, 5, 7, 3), dtype=np.uint8)).dtype
    (torch.Size([2, 5, 7, 1]), torch.uint8)
    """
    array = np.asarray(X)
    if array.dtype == object or array.dtype.kind not in "biuf":
        raise InputError("images as numbers", f"an array of {array.dtype}", "pass bytes or floating-point pixels")
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or 0 in array.shape:
        mend = "stack them with the channels last: (n, height, width, channels), or (n, height, width) for gray ones"
        raise InputError("images of shape (n, height, width, channels)", str(np.asarray(X).shape), mend)
    if array.dtype != np.uint8:
        array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise InputError("finite pixels", "NaN or infinity", "replace or drop those images")
    return share(np.ascontiguousarray(array))


def learned_scale(factor: np.ndarray, shift: np.ndarray) -> PixelScale:
    """Return the layer that was learned with this factor and shift, each of shape (1, channels, 1, 1).

    Examples
    --------
    >>> learned = PixelScale.from_data(torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1))
    >>> same = learned_scale(learned.factor.numpy(), learned.shift.numpy())
    >>> bool(same.factor == learned.factor), bool(same.shift == learned.shift)
    (True, True)
    """
    layer = PixelScale(1.0, torch.zeros(factor.size), torch.ones(factor.size))
    layer.factor.copy_(torch.from_numpy(factor))
    layer.shift.copy_(torch.from_numpy(shift))
    return layer


def pieces(batch: Batch, pixels: int = ANSWERED_PIXELS) -> Iterator[Batch]:
    """Yield a batch of images in parts of at most so many pixels, but of one image at least.

    Examples
    --------
    >>> batch = {"inputs": torch.zeros(5, 8, 8, 3), "targets": torch.zeros(5)}
    >>> [len(part["targets"]) for part in pieces(batch, pixels=128)]
    [2, 2, 1]
    """
    images = batch["inputs"]
    size = max(1, pixels // max(1, images.shape[1] * images.shape[2]))
    for low in range(0, len(images), size):
        yield {name: tensor[low : low + size] for name, tensor in batch.items()}
