"""Autoencoders whose encoder and decoder are both distributions (§14.4)."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from gradus.core.errors import InputError, SettingError
from gradus.core.options import option
from gradus.core.randomness import generator, resolve_seed
from gradus.data.batches import Batch
from gradus.estimators.unsupervised import DrawingEstimator
from gradus.research.autoencoders.base import (
    Activation,
    AutoencoderAnswers,
    AutoencoderShape,
    autoencoder_network,
)
from gradus.research.autoencoders.losses import summed
from gradus.research.autoencoders.networks import SharedScale
from gradus.research.autoencoders.outputs import OUTPUTS, Output, ScaledGaussianOutput
from gradus.training.losses import Loss, LossFunction

__all__ = ["CodeNoise", "StochasticAutoencoder", "StochasticLoss"]

CodeName = Literal["gaussian", "bernoulli"]
ROUNDING = 1e-6  # of ends of a range in single precision


@dataclass(frozen=True)
class CodeNoise:
    """The distribution of a code around what the encoder returns: ``(codes, generator) -> drawn codes``.

    ``"gaussian"``: ``h ~ N(f(x), σ² I)``, differentiable by f. ``"bernoulli"``: ``h_j = 1`` with probability
    ``f(x)_j``; its gradient passes straight through to the probability, which is biased but of little variance.

    Parameters
    ----------
    kind : {"gaussian", "bernoulli"}
        Which.
    deviation : float
        σ, 0 or more.

    Examples
    --------
    >>> CodeNoise("bernoulli")(torch.ones(1, 3), torch.Generator()).tolist()
    [[1.0, 1.0, 1.0]]

    References
    ----------
    Goodfellow et al. 2016, §14.4, eq. 14.12; Bengio et al. 2013, Estimating or Propagating Gradients Through
    Stochastic Neurons (the straight-through estimator).
    """

    kind: CodeName
    deviation: float = 0.1

    def __call__(self, codes: Float[Tensor, "batch code"], generator: torch.Generator) -> Float[Tensor, "batch code"]:
        """Return drawn codes."""
        if self.kind == "bernoulli":
            bits = torch.bernoulli(codes.detach(), generator=generator)
            return bits + (codes - codes.detach())
        noise = torch.randn(codes.shape, generator=generator, dtype=codes.dtype, device=codes.device)
        return codes + self.deviation * noise


@dataclass(frozen=True, eq=False)
class StochasticLoss:
    """How unlikely rows are given a code drawn for them, ``-log p(x | h)`` with ``h ~ p(h | x)``.

    Parameters
    ----------
    output : Output
        The distribution whose parameters the network returns.
    code : CodeNoise
        The distribution of codes.

    References
    ----------
    Goodfellow et al. 2016, §14.4, eqs. 14.12 and 14.13.
    """

    output: Output
    code: CodeNoise

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        auto: Any = network
        clean = auto.prepare(batch["inputs"])
        drawn = self.code(auto.encoder(clean), generator)
        return summed(self.output.losses(auto.decode(drawn), clean), batch)


@dataclass(kw_only=True, eq=False, repr=False)
class StochasticAutoencoder(AutoencoderAnswers, AutoencoderShape, DrawingEstimator):
    """Autoencoder with a distribution at either end: ``h ~ p(h | x)``, then ``x ~ p(x | h)``.

    It maximizes the likelihood of rows given codes drawn for them. Codes have to stay apart under their noise, so that
    those of like rows come to lie side by side. There is no prior on codes, so it is no model of rows: see the
    variational autoencoder for that.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> images = load_digits().images
    >>> model = StochasticAutoencoder(n_components=16, max_epochs=5, random_state=0).fit(images)
    >>> model.walk(images[:4], n_steps=3, random_state=0).shape
    (4, 8, 8)

    References
    ----------
    Goodfellow et al. 2016, §14.4, figure 14.2.
    """

    hidden: tuple[int, ...] = option(
        (128,), "units of each dense layer before the code; the decoder mirrors them", low=1
    )
    code: CodeName = option("gaussian", "distribution of the code: around tanh units, or of bits")
    code_noise: float = option(0.3, "standard deviation of a gaussian code", low=0)
    code_activation: Activation | Literal["auto"] = option(  # type: ignore[assignment]  # one choice more
        "auto", "expected code; auto: tanh for gaussian, whose bounds give noise a meaning, and sigmoid for bernoulli"
    )
    variance: Literal["shared", "row", "unit"] = option(
        "shared", "variance of a gaussian output: one a feature; one a feature of each row; one, unlearned"
    )

    def _build(self) -> nn.Module:
        usual = {"gaussian": "tanh", "bernoulli": "sigmoid"}[self.code]
        unit = usual if self.code_activation == "auto" else self.code_activation
        if self.code == "bernoulli" and unit != "sigmoid":
            mend = "set code_activation='auto'"
            raise SettingError(
                "code_activation='sigmoid' for code='bernoulli', whose units are shares", repr(unit), mend
            )
        rowwise = self.output == "gaussian" and self.variance == "row"
        network = autoencoder_network(self, code_activation=unit, per_feature=2 if rowwise else 1)
        if self.output == "gaussian" and self.variance == "shared":
            network.decoder = SharedScale(network.decoder, int(np.prod(self.row_shape_)))
        return network

    def _loss(self, network: nn.Module) -> LossFunction:
        return StochasticLoss(self._output(), self._code())

    def _code(self) -> CodeNoise:
        built = self.network_settings_
        return CodeNoise(built["code"], built["code_noise"])

    def _output(self) -> Output:
        built = self.network_settings_
        if built["output"] == "gaussian" and built["variance"] != "unit":
            return ScaledGaussianOutput()
        return OUTPUTS[built["output"]]

    def reconstruction_log_likelihood(self, X: Any, n_samples: int = 10, random_state: Any = None) -> np.ndarray:
        """Return ``E log p(x | h)`` over codes drawn for each row, shape (n,), in nats for rows in their own units.

        It says how well a code tells its row; it is no density of rows, for codes have no prior here.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows as `fit` got them; with ``output="bernoulli"`` of each feature's lowest and highest value only.
        n_samples : int
            Codes drawn for each row, 1 or more.
        random_state : int, NumPy generator or None
            Seed of the draws.

        Raises
        ------
        InputError
            If features lie between, where the output is Bernoulli: it says nothing of grey pixels.
        """
        check_is_fitted(self)
        _check_count("n_samples", n_samples)
        density = self.network_settings_["output"] == "gaussian"
        drawing, output, code = self._drawing(random_state), self._output(), self._code()

        def expected(network: Any, rows: Tensor) -> Tensor:
            clean = network.prepare(rows)
            if not density and bool(((clean - clean.round()).abs() > ROUNDING).any()):
                mend = "draw black and white pixels first, or fit with output='gaussian'"
                raise InputError("features at either end of their range where the output is Bernoulli", "others", mend)
            codes = network.encoder(clean)
            drawn = [output.log_likelihood(network.decode(code(codes, drawing)), clean) for _ in range(n_samples)]
            return torch.stack(drawn).mean(0)

        found = self._answers(X, expected, double=True)
        return found - np.log(self.input_scale_).sum() if density else found

    def walk(self, X: Any, n_steps: int = 1, random_state: Any = None) -> np.ndarray:
        """Return where rows are after alternating draws ``h ~ p(h | x)``, ``x ~ p(x | h)``.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Where each walk begins.
        n_steps : int
            Pairs of draws, 1 or more.
        random_state : int, NumPy generator or None
            Seed of the draws.

        References
        ----------
        Goodfellow et al. 2016, §14.4; §20.11 (sampling from denoising autoencoders).
        """
        check_is_fitted(self)
        _check_count("n_steps", n_steps)
        drawing, output, code = self._drawing(random_state), self._output(), self._code()

        def steps(network: Any, rows: Tensor) -> Tensor:
            at = network.prepare(rows)
            for _ in range(n_steps):
                at = output.sample(network.decode(code(network.encoder(at), drawing)), drawing)
            return at

        return self._in_units(self._answers(X, steps, double=self._exactly))

    def _drawing(self, random_state: Any) -> torch.Generator:
        return generator(resolve_seed(random_state), next(self.network_.parameters()).device)


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise InputError(f"{name}, an integer of 1 or more", repr(value), f"pass for example {name}=10")
