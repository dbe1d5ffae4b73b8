"""Images to classes: a multilayer perceptron or a small convolutional network on pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from gradus.core.errors import InputError
from gradus.core.options import option
from gradus.data.batches import Batch
from gradus.estimators.classification import GradientClassifier
from gradus.estimators.inputs import share
from gradus.networks.convolutional import ConvNet
from gradus.networks.feedforward import MLP
from gradus.networks.headed import HeadedNetwork
from gradus.networks.heads import Head
from gradus.networks.preparation import PixelScale

__all__ = ["ImageClassifier"]


@dataclass(kw_only=True, eq=False, repr=False)
class ImageClassifier(GradientClassifier):
    """Classify images with a small convolutional network or a multilayer perceptron.

    Takes images of shape (n, height, width) or (n, height, width, channels), bytes or floating point; with
    ``image_shape`` also rows of pixels, so that it fits into pipelines made for tables.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> digits = load_digits()
    >>> model = ImageClassifier(max_epochs=3, random_state=0).fit(digits.images[:900], digits.target[:900])
    >>> bool(model.score(digits.images[900:], digits.target[900:]) > 0.85)
    True

    References
    ----------
    Goodfellow et al. 2016, chapter 9; §12.2.
    """

    _double: ClassVar[bool] = False

    network: Literal["convolutional", "mlp"] = option("convolutional", "kind of network that reads the pixels")
    channels: tuple[int, ...] = option((32, 64), "channels of each convolutional block", low=1)
    features: int = option(128, "units between convolutions and classes", unit="units", low=1)
    hidden: tuple[int, ...] = option((256, 256), "units in each hidden layer of network='mlp'", low=1)
    dropout: float = option(0.0, "share of units dropped in training", low=0, high=0.95)
    pooling: Literal["flatten", "global"] = option("flatten", "what follows convolutions: all cells, or their mean")
    pixel_scale: float | None = option(None, "value of a full pixel; none: 255 for bytes, else the largest", above=0)
    image_shape: tuple[int, ...] | None = option(None, "height, width and channels of images that come as rows", low=1)

    def _encode_inputs(self, X: Any, weights: Tensor | None, *, reset: bool) -> Batch:
        images = self._check_images(X)
        if reset:
            self.image_shape_ = tuple(images.shape[1:])
            self.n_features_in_ = int(np.prod(self.image_shape_))
            used = weights if weights is None or len(weights) == len(images) else None
            layer = PixelScale.from_data(images, used, scale=self.pixel_scale)
            self.pixel_factor_, self.pixel_shift_ = layer.factor.numpy().copy(), layer.shift.numpy().copy()
        if tuple(images.shape[1:]) != tuple(self.image_shape_):
            raise InputError(
                f"images of shape {tuple(self.image_shape_)} (height, width, channels)",
                str(tuple(images.shape[1:])),
                "resize them to the size that was fitted",
            )
        return {"inputs": images}

    def _check_images(self, X: Any) -> Tensor:
        array = np.asarray(X)
        if array.dtype == object or array.dtype.kind not in "biuf":
            raise InputError("images as numbers", f"an array of {array.dtype}", "pass bytes or floating-point pixels")
        if array.ndim == 2 and self.image_shape is not None and array.shape[1] == np.prod(self.image_shape):
            array = array.reshape(len(array), *self.image_shape)
        if array.ndim == 3:
            array = array[..., None]
        if array.ndim != 4 or array.shape[-1] not in (1, 2, 3, 4) or 0 in array.shape:
            mend = "reshape with X.reshape(-1, height, width, channels), set image_shape, or fit a TabularClassifier"
            raise InputError("images of shape (n, height, width, channels)", str(array.shape), mend)
        if array.dtype != np.uint8:
            array = array.astype(np.float32)
            if not np.isfinite(array).all():
                raise InputError("finite pixels", "NaN or infinity", "replace or drop those images")
        return share(np.ascontiguousarray(array))

    def _network(self, head_of: Callable[[int], Head]) -> nn.Module:
        height, width, channels = self.image_shape_
        prepare = PixelScale(1.0, torch.zeros(channels), torch.ones(channels))
        prepare.factor.copy_(torch.from_numpy(self.pixel_factor_))
        prepare.shift.copy_(torch.from_numpy(self.pixel_shift_))
        if self.network == "mlp":
            mlp = MLP(height * width * channels, self.hidden, dropout=self.dropout)
            return HeadedNetwork(prepare, nn.Sequential(nn.Flatten(), mlp), head_of(mlp.out_features))
        body = ConvNet(
            channels,
            (height, width),
            self.channels,
            self.features,
            dropout=self.dropout,
            pooling=self.pooling,
        )
        return HeadedNetwork(prepare, body, head_of(body.out_features))

    def __sklearn_tags__(self) -> Any:
        """Say to scikit-learn that images come as stacks, not as tables."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = self.image_shape is not None
        tags.input_tags.three_d_array = True
        return tags
