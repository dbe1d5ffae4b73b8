"""Classes of whole series: by convolutions over time, a residual network, or an LSTM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from gradus.applications.timeseries.sequence_networks import FullyConvolutional, PreparedSequences, ResidualSeries
from gradus.applications.timeseries.sequences import channel_moments, read_sequences, stretch
from gradus.core.options import option
from gradus.data.batches import Batch
from gradus.estimators.classification import GradientClassifier
from gradus.networks.headed import HeadedNetwork
from gradus.networks.heads import Head
from gradus.networks.recurrent import RecurrentNetwork, SequenceFeatures
from gradus.training.options import ScheduleName

__all__ = ["SequenceClassifier"]


@dataclass(kw_only=True, eq=False, repr=False)
class SequenceClassifier(GradientClassifier):
    """Classify series of one or many channels and any lengths.

    Takes arrays of shape (n, time) or (n, time, channels), shorter series padded with NaN at their end, or a list of
    arrays. The fully convolutional network and the LSTM read each series at its own length; the residual network,
    which halves the resolution, has all stretched to one.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 40)) * 0.3
    >>> y = np.repeat(["flat", "wave"], 30)
    >>> X[30:] += np.sin(np.arange(40) / 3 + rng.uniform(0, 6, size=(30, 1)))
    >>> model = SequenceClassifier(width=16, max_epochs=20, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True

    References
    ----------
    Goodfellow et al. 2016, §9.1 and §10.2 (figure 10.5); Wang, Yan & Oates 2017, Time Series Classification from
    Scratch with Deep Neural Networks.
    """

    _double: ClassVar[bool] = False

    network: Literal["fcn", "resnet", "lstm"] = option("fcn", "kind of network that reads the series")
    width: int = option(64, "channels or hidden units of the first layer", unit="units", low=1)
    depth: int = option(1, "layers of the LSTM, or blocks in each stage of the residual network", low=1)
    pooling: Literal["last", "mean", "max"] = option("mean", "what of the LSTM's outputs stands for the series")
    dropout: float = option(0.0, "share of units dropped in training", low=0, high=0.95)
    max_epochs: int = option(100, "most passes over the training data", unit="epochs", low=0)
    batch_size: int = option(16, "examples a parameter update", unit="examples", low=1)
    learning_rate: float = option(3e-3, "step size at the top of the schedule", above=0)
    schedule: ScheduleName = option("one_cycle", "how the learning rate changes")
    gradient_clip: float | None = option(1.0, "largest norm of the whole gradient", above=0)

    @property
    def _input_names(self) -> tuple[str, ...]:
        return ("inputs", "lengths")

    def _encode_inputs(self, X: Any, weights: Tensor | None, *, reset: bool) -> Batch:
        padded = read_sequences(X, None if reset else self.channels_)
        if reset:
            self.channels_: int = padded.values.shape[2]
            self.n_features_in_ = self.channels_
            self.length_ = int(padded.lengths.max())
            used = weights if weights is None or len(weights) == len(padded.lengths) else None
            mean, deviation = channel_moments(padded, None if used is None else used.numpy())
            self.channel_mean_, self.channel_deviation_ = mean, deviation
        if self.network == "resnet":
            padded = stretch(padded, self.length_)
        longest = int(padded.lengths.max())
        values = np.ascontiguousarray(padded.values[:, :longest], dtype=np.float32)
        return {"inputs": torch.from_numpy(values), "lengths": torch.from_numpy(padded.lengths)}

    def _network(self, head_of: Callable[[int], Head]) -> nn.Module:
        body: Any
        if self.network == "fcn":
            body = FullyConvolutional(self.channels_, self.width, self.dropout)
        elif self.network == "resnet":
            body = ResidualSeries(self.channels_, self.depth, self.width, self.dropout)
        else:
            recurrent = RecurrentNetwork(
                self.channels_, self.width, layers=self.depth, bidirectional=True, dropout=self.dropout
            )
            body = SequenceFeatures(recurrent, self.pooling)
        mean, deviation = torch.from_numpy(self.channel_mean_), torch.from_numpy(self.channel_deviation_)
        return HeadedNetwork(None, PreparedSequences(mean, deviation, body), head_of(body.out_features))

    def __sklearn_tags__(self) -> Any:
        """Say to scikit-learn that series come as stacks, and that NaN pads shorter ones."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        return tags
