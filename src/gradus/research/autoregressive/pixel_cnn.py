"""PixelCNN as an estimator of pictures: bits, or levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.utils import Tags
from torch import Tensor

from gradus.core.errors import SettingError
from gradus.core.options import option
from gradus.estimators.unsupervised import UnsupervisedEstimator
from gradus.research.autoregressive.pixel_network import PixelNetwork
from gradus.research.autoregressive.rows import DiscreteRows
from gradus.research.generative.binarization import Binarize, full_pixel, is_binary
from gradus.research.generative.networks import picture_shape

__all__ = ["PixelCNN"]


@dataclass(kw_only=True, eq=False, repr=False)
class PixelCNN(DiscreteRows, UnsupervisedEstimator):
    """Gated PixelCNN: ``p(x) = Π_i p(x_i | pixels above and to the left)`` by masked convolutions, exact.

    Pixels are bits, or one of ``levels`` values with a softmax (256 for bytes). Channels of a pixel follow each other.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = (load_digits().images > 7).astype(float)
    >>> model = PixelCNN(features=16, depth=2, first=5, max_epochs=3, learning_rate=0.01, random_state=0).fit(X[:500])
    >>> bool(model.score(X[1500:]) > -21)  # nats; independent pixels reach -24.6
    True
    >>> model.sample(2, random_state=0).shape
    (2, 8, 8)

    References
    ----------
    van den Oord, Kalchbrenner & Kavukcuoglu 2016, Pixel Recurrent Neural Networks; van den Oord et al. 2016,
    Conditional Image Generation with PixelCNN Decoders; Goodfellow et al. 2016, §20.10.6, §20.10.9.
    """

    binarize: Binarize = option(
        "none",
        "grey pixels as bits: drawn once (fixed), anew each step (resample), cut at half a full pixel (threshold)",
    )
    likelihood: Literal["auto", "bernoulli", "categorical"] = option(
        "auto", "pixels as bits, or as levels; auto: bits where all are 0 or one other value, or binarize is set"
    )
    levels: int = option(256, "whole numbers from 0 on that a categorical pixel can be", unit="levels", low=3)
    features: int = option(64, "feature maps of each stack", unit="maps", low=1)
    depth: int = option(7, "gated layers", unit="layers", low=1)
    size: int = option(3, "width of the window of each layer, odd", unit="pixels", low=1)
    first: int = option(7, "width of the window of the first layer, odd", unit="pixels", low=1)

    def __sklearn_tags__(self) -> Tags:
        """Say that pictures go in."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        return tags

    def check_settings(self) -> None:
        """Raise `SettingError` for the first setting that is wrong, alone or beside another."""
        super().check_settings()
        if self.likelihood == "categorical" and self.binarize != "none":
            mend = "set likelihood='bernoulli', or binarize='none'"
            raise SettingError("likelihood='bernoulli' where pixels are made bits", "'categorical'", mend)
        if not self.size % 2 or not self.first % 2:
            mend = "set for example size=3, first=7"
            raise SettingError("windows of odd width", f"size={self.size}, first={self.first}", mend)

    @property
    def _cost(self) -> int:
        return int(np.prod(self.row_shape_)) * (self.levels_ + int(self.network_settings_["depth"]))

    def _learn_levels(self, rows: Tensor) -> tuple[int, float]:
        if self.likelihood != "categorical":
            full = full_pixel(rows, self.pixel_scale)
            if self.likelihood == "bernoulli" or self.binarize != "none" or is_binary(rows, full):
                return 2, full
        return self.levels, 1.0

    def _build(self) -> PixelNetwork:
        return PixelNetwork(
            picture_shape(self.row_shape_),
            self.features,
            self.depth,
            size=self.size,
            first=self.first,
            levels=self.levels_,
            mean=self._mean(),
        )
