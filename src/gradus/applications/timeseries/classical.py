"""Classes of whole series without a trained network: the nearest neighbour, and random convolutions with a ridge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.linear_model import RidgeClassifierCV
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d
from torch import nn
from torch.nn import functional as F

from gradus.applications.timeseries.sequences import Padded, channel_moments, read_sequences, stretch
from gradus.core.errors import InputError
from gradus.core.options import option
from gradus.core.randomness import derive, resolve_seed
from gradus.estimators.base import Estimator
from gradus.estimators.inputs import check_rows

__all__ = ["NearestSeriesClassifier", "RandomConvolutionClassifier"]

Floats = NDArray[np.float64]
CHUNK = 256  # series whose features are computed at once


@dataclass(kw_only=True, eq=False, repr=False)
class _ClassicalClassifier(ClassifierMixin, Estimator):
    """What both share: series stretched to one length, each channel standardized, classes by number."""

    def _learn_data(self, X: Any, y: Any) -> tuple[Floats, NDArray[np.int64]]:
        padded = read_sequences(X)
        check_classification_targets(y)
        labels = column_or_1d(y, warn=True)
        check_rows("y", labels, len(padded.lengths))
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            mend = "check the target column or the filter"
            raise InputError("at least 2 classes in y", f"1 class ({self.classes_[0]!r})", mend)
        self.channels_ = self.n_features_in_ = padded.values.shape[2]
        self.length_ = int(padded.lengths.max())
        self.channel_mean_, self.channel_deviation_ = channel_moments(padded)
        return self._standard(padded), codes

    def _standard(self, padded: Padded) -> Floats:
        """Return series of one length, shape (n, time, channels), each channel of mean 0 and deviation 1."""
        return (stretch(padded, self.length_).values - self.channel_mean_) / self.channel_deviation_

    def _read(self, X: Any) -> Floats:
        check_is_fitted(self)
        return self._standard(read_sequences(X, self.channels_))

    def _rebuild(self) -> dict[str, nn.Module]:
        return {}

    def __sklearn_tags__(self) -> Any:
        """Say to scikit-learn that series come as stacks, and that NaN pads shorter ones."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        return tags


@dataclass(kw_only=True, eq=False, repr=False)
class NearestSeriesClassifier(_ClassicalClassifier):
    """The class of the nearest series, by the Euclidean distance between values at the same step.

    Examples
    --------
    >>> model = NearestSeriesClassifier().fit([[0.0, 1.0, 0.0], [5.0, 6.0, 7.0]], ["low", "high"])
    >>> model.predict([[1.0, 0.0, 1.0]]).tolist()
    ['low']

    References
    ----------
    Goodfellow et al. 2016, §5.7.3; Bagnall et al. 2017, The Great Time Series Classification Bake Off.
    """

    neighbors: int = option(1, "series that vote", low=1)

    def fit(self, X: Any, y: Any) -> Self:
        """Keep the series.

        Parameters
        ----------
        X : array-like or list of arrays
            As in `read_sequences`.
        y : array-like of shape (n,)
            Classes.

        Returns
        -------
        self
        """
        self.check_settings()
        series, codes = self._learn_data(X, y)
        self.series_, self.codes_ = series.reshape(len(series), -1), codes
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return the share of the nearest series in each class, shape (n, classes)."""
        series = self._read(X)
        distances = euclidean_distances(series.reshape(len(series), -1), self.series_)
        nearest = np.argsort(distances, axis=1, kind="stable")[:, : self.neighbors]
        votes = self.codes_[nearest]
        return np.stack([(votes == c).mean(1) for c in range(len(self.classes_))], 1)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of each series, of equal shares the first."""
        return self.classes_[self.predict_proba(X).argmax(1)]


@dataclass(kw_only=True, eq=False, repr=False)
class RandomConvolutionClassifier(_ClassicalClassifier):
    """Random convolutions, of which only a linear read-out is learned.

    Each kernel of random length, dilation and weights gives two features: the largest value of its map, and the share
    of positive ones. A ridge, its penalty chosen by leave-one-out, separates the classes.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(40, 30)), np.repeat([0, 1], 20)
    >>> X[20:, 10:15] += 4
    >>> RandomConvolutionClassifier(kernels=200, random_state=0).fit(X[::2], y[::2]).score(X[1::2], y[1::2])
    1.0

    References
    ----------
    Dempster, Petitjean & Webb 2020, ROCKET, §3; Goodfellow et al. 2016, §9.9 (random features).
    """

    kernels: int = option(2000, "random convolutions", low=1)
    random_state: int | Any | None = option(None, "seed of the kernels; none draws one and stores it as seed_")

    def fit(self, X: Any, y: Any) -> Self:
        """Draw the kernels and learn the read-out.

        Parameters
        ----------
        X : array-like or list of arrays
            As in `read_sequences`.
        y : array-like of shape (n,)
            Classes.

        Returns
        -------
        self
        """
        self.check_settings()
        self.seed_ = resolve_seed(self.random_state)
        series, codes = self._learn_data(X, y)
        self.n_kernels_ = int(self.kernels)
        features = self._features(series)
        self.feature_mean_, deviation = features.mean(0), features.std(0)
        self.feature_deviation_ = np.where(deviation > 1e-9, deviation, 1.0)
        ridge = RidgeClassifierCV(alphas=np.logspace(-3, 3, 10))
        ridge.fit((features - self.feature_mean_) / self.feature_deviation_, codes)
        self.alpha_, self.coef_ = float(ridge.alpha_), np.atleast_2d(ridge.coef_)
        self.intercept_ = np.atleast_1d(ridge.intercept_)
        return self

    def transform(self, X: Any) -> Floats:
        """Return the features of each series, shape (n, 2 kernels): shares of positive values, then largest ones."""
        return self._features(self._read(X))

    def decision_function(self, X: Any) -> Floats:
        """Return the ridge's values, shape (n,) for two classes, positive for the second, else (n, classes)."""
        features = (self.transform(X) - self.feature_mean_) / self.feature_deviation_
        values = features @ self.coef_.T + self.intercept_
        return values[:, 0] if len(self.classes_) == 2 else values

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of each series."""
        values = self.decision_function(X)
        return self.classes_[(values > 0).astype(int) if values.ndim == 1 else values.argmax(1)]

    @torch.no_grad()
    def _features(self, series: Floats) -> Floats:
        """Convolve with kernels drawn from the seed alone, those of one shape together."""
        inputs = torch.from_numpy(np.ascontiguousarray(series.transpose(0, 2, 1), dtype=np.float32))
        parts: list[list[NDArray[Any]]] = []
        groups = _draw_kernels(self.n_kernels_, self.channels_, self.length_, self.seed_)
        for chunk in inputs.split(CHUNK):
            positive, largest = [], []
            for (dilation, padding), weight, bias in groups:
                maps = F.conv1d(chunk, weight, bias, padding=padding, dilation=dilation)
                positive.append((maps > 0).float().mean(2))
                largest.append(maps.amax(2))
            parts.append([torch.cat(positive, 1).numpy(), torch.cat(largest, 1).numpy()])
        return np.concatenate([np.concatenate(pair, 1) for pair in parts]).astype(np.float64)


def _draw_kernels(
    count: int, channels: int, length: int, seed: int
) -> list[tuple[tuple[int, int], torch.Tensor, torch.Tensor]]:
    """Return kernels in groups of one length, dilation and padding, as table 1 of ROCKET says."""
    rng = np.random.default_rng(derive(seed, "kernels"))
    sizes = [size for size in (7, 9, 11) if size <= length] or [length]
    size = rng.choice(sizes, count)
    reach = np.log2(np.maximum((length - 1) / np.maximum(size - 1, 1), 1))
    dilation = np.floor(2 ** rng.uniform(0, reach)).astype(np.int64)
    padding = np.where(rng.random(count) < 0.5, (size - 1) * dilation // 2, 0)
    bias = rng.uniform(-1, 1, count)
    # as many channels as a power of two drawn evenly, so that single ones are not rare
    used = np.floor(2 ** rng.uniform(0, np.log2(np.minimum(channels, size) + 1))).astype(np.int64)
    groups = []
    for shape in sorted({*zip(size.tolist(), dilation.tolist(), padding.tolist(), strict=True)}):
        members = np.flatnonzero((size == shape[0]) & (dilation == shape[1]) & (padding == shape[2]))
        weight = np.zeros((len(members), channels, shape[0]))
        for row, member in zip(weight, members, strict=True):
            chosen = rng.choice(channels, min(int(used[member]), channels), replace=False)
            drawn = rng.normal(size=(len(chosen), shape[0]))
            row[chosen] = drawn - drawn.mean(1, keepdims=True)
        kernel = torch.from_numpy(weight.astype(np.float32))
        groups.append(((shape[1], shape[2]), kernel, torch.from_numpy(bias[members].astype(np.float32))))
    return groups
