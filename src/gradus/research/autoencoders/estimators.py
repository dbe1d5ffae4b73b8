"""Autoencoders as estimators: plain, sparse, denoising, contractive (§14.1, §14.2, §14.5, §14.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from gradus.core.errors import InputError, SettingError
from gradus.core.options import option
from gradus.data.batches import Batch
from gradus.estimators.unsupervised import DrawingEstimator, UnsupervisedEstimator
from gradus.networks.hidden_units import hidden_unit
from gradus.research.autoencoders.base import (
    Activation,
    AutoencoderAnswers,
    AutoencoderShape,
    autoencoder_network,
    unit_output,
)
from gradus.research.autoencoders.corruption import Corruption, NoiseName
from gradus.research.autoencoders.losses import ContractiveLoss, ReconstructionLoss, SparseLoss
from gradus.research.autoencoders.outputs import Output
from gradus.research.autoencoders.penalties import unit_derivative
from gradus.training.losses import LossFunction

__all__ = ["Autoencoder", "ContractiveAutoencoder", "DenoisingAutoencoder", "SparseAutoencoder"]


@dataclass(kw_only=True, eq=False, repr=False)
class Autoencoder(AutoencoderAnswers, AutoencoderShape, UnsupervisedEstimator):
    """Undercomplete autoencoder: rows through a code of fewer units and back.

    It minimizes ``-log p(x | g(f(x)))`` over the encoder f and the decoder g. Linear ones with squared error find the
    subspace of principal components; deep ones a curved surface.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X = load_iris().data
    >>> model = Autoencoder(n_components=2, hidden=(32,), max_epochs=60, learning_rate=0.01, random_state=0).fit(X)
    >>> model.transform(X).shape, bool(model.reconstruction_errors(X).mean() < 0.1)
    ((150, 2), True)

    References
    ----------
    Goodfellow et al. 2016, §14.1, eq. 14.1; §14.3.
    """

    hidden: tuple[int, ...] = option(
        (128,), "units of each dense layer before the code; the decoder mirrors them", low=1
    )

    def _build(self) -> nn.Module:
        return autoencoder_network(self)

    def _loss(self, network: nn.Module) -> LossFunction:
        return ReconstructionLoss(self._output())

    def _output(self) -> Output:
        return unit_output(self)


@dataclass(kw_only=True, eq=False, repr=False)
class SparseAutoencoder(AutoencoderAnswers, AutoencoderShape, UnsupervisedEstimator):
    """Autoencoder of which few units of the code answer to a row, though there may be more than features.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> images = load_digits().images
    >>> model = SparseAutoencoder(n_components=100, penalty="k_sparse", k=8, max_epochs=2, random_state=0).fit(images)
    >>> int((model.transform(images) != 0).sum(1).max())
    8

    References
    ----------
    Goodfellow et al. 2016, §14.2.1; Makhzani & Frey 2014 (k-sparse); Ng 2011 (divergence of rates).
    """

    n_components: int = option(256, "units of the code", unit="units", low=1)
    penalty: Literal["kl", "l1", "k_sparse"] = option(
        "kl", "kl: units are on at a target rate; l1: sum of absolute values; k_sparse: the k largest are kept"
    )
    sparsity: float = option(0.1, "weight of kl and l1 beside the reconstruction", low=0)
    rate: float = option(0.05, "target rate of kl, the share of rows for which a unit is on", above=0, high=0.99)
    k: int = option(25, "units kept by k_sparse", unit="units", low=1)
    code_activation: Activation | Literal["auto"] = option(  # type: ignore[assignment]  # one choice more
        "auto", "activation of the code; auto: sigmoid for kl, relu for l1, identity for k_sparse"
    )

    def _build(self) -> nn.Module:
        usual = {"kl": "sigmoid", "l1": "relu", "k_sparse": "identity"}[self.penalty]
        unit = usual if self.code_activation == "auto" else self.code_activation
        if self.penalty == "kl" and unit != "sigmoid":
            mend = "set code_activation='auto', or penalty='l1'"
            raise SettingError("code_activation='sigmoid' for penalty='kl', whose rates are shares", repr(unit), mend)
        return autoencoder_network(self, code_activation=unit, k=self.k if self.penalty == "k_sparse" else None)

    def _loss(self, network: nn.Module) -> LossFunction:
        if self.penalty == "k_sparse":
            return ReconstructionLoss(self._output())
        return SparseLoss(self._output(), self.penalty, self.sparsity, self.rate)

    def _output(self) -> Output:
        return unit_output(self)


@dataclass(kw_only=True, eq=False, repr=False)
class DenoisingAutoencoder(AutoencoderAnswers, AutoencoderShape, DrawingEstimator):
    """Autoencoder that is shown noisy rows and gives back clean ones.

    It minimizes ``-log p(x | g(f(x̃)))`` with x̃ drawn from a corruption ``C(x̃ | x)``. With little Gaussian noise and
    squared error, ``(r(x) - x) / σ²`` estimates the gradient of the log-density of rows.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> images = load_digits().images
    >>> model = DenoisingAutoencoder(n_components=64, noise="masking", noise_level=0.25, max_epochs=5, random_state=0)
    >>> model.fit(images).reconstruct(images[:3]).shape
    (3, 8, 8)

    References
    ----------
    Goodfellow et al. 2016, §14.2.2, §14.5, eqs. 14.14-14.17; Vincent et al. 2010; Alain & Bengio 2014.
    """

    n_components: int = option(256, "units of the code", unit="units", low=1)
    code_activation: Activation = option("sigmoid", "activation of the code")
    noise: NoiseName = option("gaussian", "what is done to the rows shown")
    noise_level: float = option(
        0.3, "standard deviation of gaussian noise in scaled units, else the probability that a feature is hit", low=0
    )

    def _build(self) -> nn.Module:
        self._corruption()  # a level that this noise has not is refused before anything is trained
        return autoencoder_network(self)

    def _corruption(self) -> Corruption:
        low, high = ((end - self.input_shift_) / self.input_scale_ for end in (self.input_low_, self.input_high_))
        return Corruption(self.noise, self.noise_level, torch.from_numpy(low), torch.from_numpy(high))

    def _loss(self, network: nn.Module) -> LossFunction:
        return ReconstructionLoss(self._output(), self._corruption())

    def _output(self) -> Output:
        return unit_output(self)

    def log_density_gradient(self, X: Any) -> np.ndarray:
        """Return ``(r(x) - x) / σ²``: the estimated gradient of the log-density of noisy rows, in the units of rows.

        For fixed σ and enough capacity it is that of the density of rows plus noise, exactly; as σ goes to 0, that of
        the rows themselves.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Where: rows as `fit` got them.

        Raises
        ------
        SettingError
            If the noise is not Gaussian, or the output is not.

        References
        ----------
        Goodfellow et al. 2016, §14.5.1, eq. 14.15; Vincent 2011; Miyasawa 1961.
        """
        check_is_fitted(self)
        built = self.network_settings_
        if built["noise"] != "gaussian" or built["output"] != "gaussian" or not built["noise_level"] > 0:
            received = f"noise={built['noise']!r}, noise_level={built['noise_level']}, output={built['output']!r}"
            mend = "fit with noise='gaussian', output='gaussian'"
            raise SettingError("gaussian noise and a gaussian output", received, mend)
        deviation = (built["noise_level"] * self.input_scale_).reshape(self.row_shape_)
        return self.vector_field(X) / np.square(deviation)


@dataclass(kw_only=True, eq=False, repr=False)
class ContractiveAutoencoder(AutoencoderAnswers, AutoencoderShape, UnsupervisedEstimator):
    """Autoencoder whose code changes little as a row does, except where the data do.

    It minimizes ``-log p(x | g(f(x))) + λ ‖∂f/∂x‖²``: in closed form where the encoder is one layer, by an unbiased
    estimate from random vectors where it is deep. With ``curvature`` it is the higher-order one (CAE+H). Where vectors
    are drawn, `fit` takes no ``sample_weight``.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> images = load_digits().images
    >>> model = ContractiveAutoencoder(n_components=64, max_epochs=5, random_state=0).fit(images)
    >>> directions, rates = model.tangents(images[:2], 3)
    >>> directions.shape, bool((rates[:, 0] >= rates[:, 2]).all())
    ((2, 3, 8, 8), True)

    References
    ----------
    Goodfellow et al. 2016, §14.2.3, §14.7, eq. 14.18; Rifai et al. 2011, Contractive Auto-Encoders, and Higher Order
    Contractive Auto-Encoder.
    """

    n_components: int = option(256, "units of the code", unit="units", low=1)
    code_activation: Activation = option("sigmoid", "activation of the code")
    activation: Activation = option("softplus", "activation of hidden layers")
    tied: bool = option(True, "decode with the transposed weights of the encoder")
    contraction: float = option(0.1, "weight of the squared norm of the code's Jacobian", low=0)
    probes: int = option(1, "random vectors of each estimate of that norm, where the encoder is deep", low=1)
    curvature: float = option(0.0, "weight of the squared change of the Jacobian nearby", low=0)
    curvature_noise: float = option(0.1, "standard deviation of what is nearby, in scaled units", above=0)

    def _encode(self, X: Any, y: Any = None, sample_weight: Any = None, *, reset: bool = False) -> Batch:
        batch = super()._encode(X, y, sample_weight, reset=reset)
        if "weights" in batch and self._drawn_penalty:
            # a row of weight two would see one draw, one that comes twice sees two
            mend = "repeat rows instead, or set hidden=(), curvature=0 and a sigmoid, tanh, relu or softplus code"
            raise InputError("no sample_weight where the penalty is drawn at random", "weights", mend)
        return batch

    @property
    def _drawn_penalty(self) -> bool:
        """Whether the penalty is an estimate from random vectors: of one dense layer of known units it is exact."""
        if self.curvature > 0:
            return True
        exact = not self.hidden and self.network == "mlp"
        exact = exact and unit_derivative(hidden_unit(self.code_activation).module, torch.zeros(1)) is not None
        return self.contraction > 0 and not exact

    def _build(self) -> nn.Module:
        return autoencoder_network(self)

    def _loss(self, network: nn.Module) -> LossFunction:
        return ContractiveLoss(self._output(), self.contraction, self.probes, self.curvature, self.curvature_noise)

    def _output(self) -> Output:
        return unit_output(self)
