"""What all autoencoders share as estimators: their shape, their scales, and codes, reconstructions and errors."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from gradus.core.errors import InputError, SettingError
from gradus.core.options import option
from gradus.core.threads import cores, threads
from gradus.estimators.exhibit import Exhibit
from gradus.networks.preparation import Standardize, moments
from gradus.research.autoencoders.exhibits import exhibits_of
from gradus.research.autoencoders.networks import (
    AutoencoderNetwork,
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    DenseDecoder,
    DenseEncoder,
)
from gradus.research.autoencoders.outputs import OUTPUTS, Output, OutputName
from gradus.research.autoencoders.penalties import jacobian

__all__ = ["AutoencoderAnswers", "AutoencoderShape", "autoencoder_network", "picture_of", "row_scales", "unit_output"]

_EDGE = 1e-6  # of rounding in single precision
JACOBIAN_NUMBERS = 1 << 23  # of Jacobians held at once

Activation = Literal[
    "identity", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "tanh", "sigmoid", "softplus", "hard_tanh"
]


@dataclass(kw_only=True, eq=False, repr=False)
class AutoencoderShape:
    """Shape of an autoencoder, and what its outputs mean (chapter 14)."""

    n_components: int = option(32, "units of the code", unit="units", low=1)
    network: Literal["mlp", "conv"] = option("mlp", "kind of layers; conv: pictures only")
    hidden: tuple[int, ...] = option((), "units of each dense layer before the code; the decoder mirrors them", low=1)
    channels: tuple[int, ...] = option((32, 64), "channels of each convolution", low=1)
    activation: Activation = option("relu", "activation of hidden layers")
    code_activation: Activation = option("identity", "activation of the code")
    tied: bool = option(False, "decode with the transposed weights of the encoder")
    output: OutputName = option(
        "gaussian", "distribution of a row given its code: gaussian (squared error), bernoulli (cross-entropy)"
    )
    scaling: Literal["auto", "standardize", "range", "none"] = option(
        "auto",
        "what is done to features first: mean 0 and deviation 1; lowest 0 and highest 1 (of pictures a full pixel); "
        "auto: range for pictures and for bernoulli, else standardize",
    )


def picture_of(row_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return height, width and channels of rows that are pictures.

    Raises
    ------
    SettingError
        If they are none.

    Examples
    --------
    >>> picture_of((28, 28))
    (28, 28, 1)
    """
    if len(row_shape) == 2:
        return row_shape[0], row_shape[1], 1
    if len(row_shape) == 3:
        return row_shape[0], row_shape[1], row_shape[2]
    mend = "pass X of shape (n, height, width) or (n, height, width, channels), or set network='mlp'"
    raise SettingError("pictures for network='conv'", f"rows of {row_shape[0]} features", mend)


def row_scales(
    rows: Tensor, weights: Tensor | None, scaling: str, pictures: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what is to be subtracted from each feature, and what it is to be divided by, for a setting `scaling`.

    Parameters
    ----------
    rows : Tensor of shape (n, features)
        Training rows.
    weights : Tensor of shape (n,), optional
        Weight of each row.
    scaling : {"auto", "standardize", "range", "none"}
        The setting.
    pictures : bool
        Whether features are pixels, which share one range from 0 on.

    Examples
    --------
    >>> row_scales(torch.tensor([[0.0, 3.0], [4.0, 5.0]]), None, "range", False)
    (array([0., 3.]), array([4., 2.]))
    """
    low, high = rows.amin(0).double().numpy(), rows.amax(0).double().numpy()
    kind = scaling if scaling != "auto" else "range" if pictures else "standardize"
    if kind == "standardize":
        mean, std, _ = moments(rows, weights)
        return mean.numpy(), np.where(std.numpy() == 0, 1.0, std.numpy())
    if kind == "range" and pictures and low.min() >= 0:
        return np.zeros_like(low), np.full_like(low, _full_pixel(float(high.max())))
    if kind == "range":
        return low, np.where(high == low, 1.0, high - low)
    return np.zeros_like(low), np.ones_like(low)


def unit_output(estimator: Any) -> Output:
    """Return the distribution of one parameter a feature with which an estimator's network was built."""
    return OUTPUTS[estimator.network_settings_["output"]]


def autoencoder_network(
    estimator: Any, *, code_activation: str | None = None, k: int | None = None, per_feature: int = 1
) -> AutoencoderNetwork:
    """Make the network of an estimator from its settings, the shape of its rows and their scales.

    Parameters
    ----------
    estimator : AutoencoderShape
        With ``row_shape_``, ``input_shift_`` and ``input_scale_`` learned.
    code_activation : str, optional
        Instead of the setting.
    k : int, optional
        Make codes k-sparse.
    per_feature : int
        Parameters for each feature.
    """
    units = {"activation": estimator.activation, "code_activation": code_activation or estimator.code_activation}
    decoding = {**units, "tied": estimator.tied, "per_feature": per_feature}
    shape = tuple(estimator.row_shape_)
    if estimator.network == "conv":
        seen = ConvolutionalEncoder(picture_of(shape), estimator.channels, estimator.n_components, **units, k=k)
        return AutoencoderNetwork(_preparation(estimator), seen, ConvolutionalDecoder(seen, **decoding))
    features = int(np.prod(shape))
    encoder = DenseEncoder(features, estimator.hidden, estimator.n_components, **units, k=k)
    return AutoencoderNetwork(_preparation(estimator), encoder, DenseDecoder(encoder, **decoding))


def _preparation(estimator: Any) -> nn.Module:
    return Standardize(torch.from_numpy(estimator.input_shift_), torch.from_numpy(estimator.input_scale_))


class AutoencoderAnswers(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ABC):
    """Codes, reconstructions and errors of a fitted autoencoder; `RowsEstimator` comes after it.

    Tables are answered in double precision, so that a row's answer does not depend on the rows it comes with;
    pictures, whose forward pass takes its time, in single precision.
    """

    def _learn_scales(self: Any, rows: Tensor, weights: Tensor | None) -> None:
        kind, shares = self.scaling, getattr(self, "output", "gaussian") == "bernoulli"
        if kind == "auto" and shares:
            kind = "range"
        self.input_low_, self.input_high_ = rows.amin(0).double().numpy(), rows.amax(0).double().numpy()
        self.input_shift_, self.input_scale_ = row_scales(rows, weights, kind, len(self.row_shape_) > 1)
        low, high = ((end - self.input_shift_) / self.input_scale_ for end in (self.input_low_, self.input_high_))
        if shares and (low.min() < -_EDGE or high.max() > 1 + _EDGE):
            mend = "set scaling='range', or output='gaussian'"
            raise InputError("features between 0 and 1 for output='bernoulli'", "others", mend)

    @property
    def _n_features_out(self: Any) -> int:
        return int(self.network_.encoder.out_features)

    @property
    def _exactly(self: Any) -> bool:
        return len(self.row_shape_) == 1

    def transform(self: Any, X: Any) -> np.ndarray:
        """Return the code of each row, shape (n, n_components).

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows as `fit` got them.
        """
        check_is_fitted(self)
        return self._answers(X, lambda network, rows: network.encode(rows), double=self._exactly)

    def inverse_transform(self: Any, X: Any) -> np.ndarray:
        """Return the row that each code stands for, in the shape and the units of the rows fitted.

        Parameters
        ----------
        X : array-like of shape (n, n_components)
            Codes.

        Raises
        ------
        InputError
            If codes have another width.
        """
        check_is_fitted(self)
        codes = np.asarray(X, dtype=np.float64)
        if codes.ndim != 2 or codes.shape[1] != self._n_features_out:
            expected = f"codes of shape (n, {self._n_features_out})"
            raise InputError(expected, str(codes.shape), "pass what transform returned")
        answer = self._ask(
            {"codes": torch.from_numpy(codes)}, lambda network, h: self._mean(network.decode(h)), double=self._exactly
        )
        return self._in_units(answer)

    def reconstruct(self: Any, X: Any) -> np.ndarray:
        """Return each row as the network gives it back, in its shape and units.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows as `fit` got them.
        """
        check_is_fitted(self)
        return self._in_units(self._answers(X, lambda network, rows: self._mean(network(rows)), double=self._exactly))

    def reconstruction_errors(self: Any, X: Any) -> np.ndarray:
        """Return how badly each row is reconstructed, shape (n,): an anomaly score.

        The mean over features of the squared difference, in the units that `scaling` makes (standard deviations of a
        column, shares of a full pixel).

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows as `fit` got them.
        """
        check_is_fitted(self)

        def errors(network: Any, rows: Tensor) -> Tensor:
            return (self._mean(network(rows)) - network.prepare(rows)).square().mean(1)

        return self._answers(X, errors, double=self._exactly).astype(np.float64)

    def score(self, X: Any, y: Any = None) -> float:
        """Return minus the mean reconstruction error: larger is better.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows.
        y : ignored
            Present for searches.
        """
        return -float(self.reconstruction_errors(X).mean())

    def vector_field(self, X: Any) -> np.ndarray:
        """Return ``r(x) - x`` for each row, in its shape and units: where reconstruction moves it.

        Of a denoising autoencoder it points towards likelier rows, of any good one along no direction in which data
        vary.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows as `fit` got them.

        References
        ----------
        Goodfellow et al. 2016, §14.5.1, figures 14.4 and 14.5.
        """
        moved = self.reconstruct(X)
        return moved - np.asarray(X, dtype=moved.dtype).reshape(moved.shape)

    def tangents(self: Any, X: Any, n_tangents: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the directions in which the code of each row changes most, and how fast it changes.

        They are the right singular vectors of the encoder's Jacobian, in the scaled units: of an encoder that is
        contracted, those few along which data vary.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows as `fit` got them.
        n_tangents : int, optional
            How many; all by default, as many as there are features or units of the code.

        Returns
        -------
        directions : ndarray of shape (n, n_tangents, ...)
            Unit vectors, each in the shape of a row.
        rates : ndarray of shape (n, n_tangents)
            Singular values, largest first.

        References
        ----------
        Goodfellow et al. 2016, §14.6, §14.7, figures 14.6 and 14.10; Rifai et al. 2011, The Manifold Tangent
        Classifier.
        """
        check_is_fitted(self)
        known = min(int(np.prod(self.row_shape_)), self._n_features_out)
        count = known if n_tangents is None else n_tangents
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 1 <= count <= known:
            raise InputError(f"n_tangents from 1 to {known}", repr(n_tangents), "leave it out for all")
        rows = self._encode_rows(X, reset=False)
        device = next(self.network_.parameters()).device
        network, rows = (
            (copy.deepcopy(self.network_).double(), rows.double()) if self._exactly else (self.network_, rows)
        )
        found = []
        with threads(min(self.n_threads_, cores())):
            for part in rows.split(max(1, JACOBIAN_NUMBERS // (rows.shape[1] * self._n_features_out))):
                each = jacobian(network.encoder, network.prepare(part.to(device)).detach())
                _, rates, vectors = torch.linalg.svd(each, full_matrices=False)
                found.append((vectors[:, :count].cpu().numpy(), rates[:, :count].cpu().numpy()))
        directions, rates = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return directions.reshape(len(directions), count, *self.row_shape_), rates

    def exhibits(self: Any, data: Any) -> Iterator[Exhibit]:
        """Yield what there is to see: learning curves, filters, reconstructions, codes, the manifold.

        Parameters
        ----------
        data : Dataset, (X, y) or X
            Rows, with classes that colour them where there are some.
        """
        check_is_fitted(self)
        yield from exhibits_of(self, data)

    @abstractmethod
    def _output(self) -> Output:
        """Return the distribution of a scaled row whose parameters the network returns."""

    def _mean(self, parameters: Tensor) -> Tensor:
        return self._output().mean(parameters)

    def _in_units(self: Any, flat: Tensor | np.ndarray) -> np.ndarray:
        array = flat.numpy() if isinstance(flat, Tensor) else flat
        return self._rows(array * self.input_scale_.astype(array.dtype) + self.input_shift_.astype(array.dtype))


def _full_pixel(brightest: float) -> float:
    """Return the value of a full pixel: 1 where none is brighter, 255 for bytes that nearly use their range."""
    if brightest <= 1:
        return 1.0
    return 255.0 if 128 <= brightest <= 255 else brightest
