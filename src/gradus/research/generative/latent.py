"""What variational autoencoders share as estimators: likelihoods, latent codes, samples, bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from gradus.core.errors import InputError, SettingError
from gradus.core.options import option
from gradus.core.randomness import derive, generator
from gradus.data.batches import Batch
from gradus.estimators.exhibit import Exhibit
from gradus.estimators.inputs import share
from gradus.estimators.unsupervised import DrawingEstimator
from gradus.foundations.log_space import log_mean_exp
from gradus.networks.preparation import moments
from gradus.research.generative.binarization import (
    Binarize,
    binarize,
    check_binary,
    check_shares,
    drawn_bits,
    full_pixel,
    is_binary,
)
from gradus.research.generative.bounds import gaussian_kl, log_weights
from gradus.research.generative.likelihoods import (
    BernoulliLikelihood,
    CategoricalLikelihood,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
    Likelihood,
    Spread,
)
from gradus.research.generative.networks import Body, Decoder, Encoder, LatentVariableNetwork, Shape
from gradus.research.generative.scoring import exact_or_fast, in_pieces

__all__ = ["LatentVariableEstimator", "RowLikelihood"]

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "softplus"]
LikelihoodName = Literal["auto", "bernoulli", "gaussian", "discretized_logistic", "categorical"]
MOST_VALUES = 1000  # of one categorical column


@dataclass(kw_only=True, eq=False, repr=False)
class RowLikelihood(DrawingEstimator):
    """Rows and the distribution that a decoder gives of them."""

    likelihood: LikelihoodName = option(
        "auto", "distribution of a row given its code; auto: bernoulli for rows of 0 and 1, else gaussian"
    )
    spread: Spread = option(
        "shared", "deviation of gaussian and logistic rows: one number, one for each column, or the decoder's"
    )
    scale: Literal["auto", "columns", "whole"] = option(
        "auto", "unit of gaussian rows: each column's deviation, or one for all; auto: whole for pictures"
    )
    levels: int = option(256, "whole numbers from 0 on that a discretized logistic pixel can be", low=2)
    binarize: Binarize = option(
        "none",
        "grey pixels as bits: drawn once (fixed), anew each step (resample), cut at half a full pixel (threshold)",
    )
    pixel_scale: float | None = option(
        None, "value of a full pixel where rows are bits; none: 1, or what the largest value tells", above=0
    )

    def check_settings(self) -> None:
        """Raise `SettingError` for the first setting that is wrong, alone or beside another."""
        super().check_settings()
        if self.binarize != "none" and self.likelihood not in ("auto", "bernoulli"):
            mend = "set likelihood='bernoulli', or binarize='none'"
            raise SettingError("likelihood='bernoulli' where rows are made bits", repr(self.likelihood), mend)

    # -- rows ----------------------------------------------------------------------------------------------------

    def _encode(self, X: Any, y: Any = None, sample_weight: Any = None, *, reset: bool = False) -> Batch:
        batch = super()._encode(X, y, sample_weight, reset=reset)
        rows = batch["inputs"]
        if self.likelihood_ == "bernoulli" and self.binarize != "threshold":
            if self.binarize == "none":
                check_binary(rows, self.full_)
            else:
                check_shares(rows, self.full_)
            if self.binarize == "fixed":
                batch["inputs"] = drawn_bits(rows, self.full_, generator(derive(self.seed_, "binarize")))
        return batch

    def _encode_rows(self, X: Any, *, reset: bool) -> Tensor:
        rows = super()._encode_rows(X, reset=reset)
        if reset:
            self.binarize_: Binarize = self.binarize  # answers follow what was fitted, not settings changed since
            bits = self.likelihood == "bernoulli" or self.binarize != "none"
            self.full_ = full_pixel(rows, self.pixel_scale) if bits or self.pixel_scale else 1.0
            auto = "bernoulli" if bits or is_binary(rows, self.full_) else "gaussian"
            self.likelihood_ = auto if self.likelihood == "auto" else self.likelihood
        return (rows > self.full_ / 2).to(rows.dtype) * self.full_ if self.binarize_ == "threshold" else rows

    def _learn_scales(self, rows: Tensor, weights: Tensor | None) -> None:
        if self.likelihood_ == "categorical":
            self.values_ = [np.unique(column) for column in rows.numpy().T]
            most = max(len(values) for values in self.values_)
            if most > MOST_VALUES:
                mend = "set likelihood='gaussian', or bin the column"
                raise InputError(f"columns of at most {MOST_VALUES} values for categories", str(most), mend)
            counts = zip(rows.numpy().T, self.values_, strict=True)
            self.shares_ = [np.mean(column[:, None] == values, 0) for column, values in counts]
            return
        if self.likelihood_ == "discretized_logistic":
            self._check_levels(rows)
        mean, std, _ = moments(rows, weights)
        kind = self.scale if self.scale != "auto" else ("whole" if len(self.row_shape_) > 1 else "columns")
        if kind == "whole":
            std = std.square().mean().sqrt().expand_as(std)
        self.location_ = mean.numpy().copy()
        self.scale_ = torch.where(std == 0, 1.0, std).numpy().copy()

    def _check_levels(self, rows: Tensor) -> None:
        whole = bool((rows == rows.round()).all()) and bool((rows >= 0).all()) and bool((rows < self.levels).all())
        if not whole:
            mend = "set levels, or another likelihood"
            raise InputError(f"whole numbers from 0 to {self.levels - 1} for this likelihood", "others", mend)

    def _check_scored(self, rows: Tensor) -> None:
        """Refuse rows of which the likelihood says nothing."""
        if self.likelihood_ == "bernoulli":
            check_binary(rows, self.full_)
        if self.likelihood_ == "discretized_logistic":
            self._check_levels(rows)
        if self.likelihood_ == "categorical":
            for index, (column, values) in enumerate(zip(rows.numpy().T, self.values_, strict=True)):
                strange = column[~np.isin(column, values)]
                if len(strange):
                    mend = "its probability is zero: fit with rows that show it"
                    raise InputError(f"values of column {index} that fit saw", f"{strange[0]:g}", mend)

    def _make_likelihood(self) -> Likelihood:
        if self.likelihood_ == "categorical":
            values, shares = ([torch.from_numpy(a.copy()) for a in both] for both in (self.values_, self.shares_))
            return CategoricalLikelihood(values, shares)
        location = torch.from_numpy(self.location_)
        if self.likelihood_ == "bernoulli":
            return BernoulliLikelihood(location / self.full_, self.full_)
        if self.likelihood_ == "discretized_logistic":
            return DiscretizedLogisticLikelihood(location, self.levels, self.spread)
        return GaussianLikelihood(location, torch.from_numpy(self.scale_), self.spread)

    @property
    def _discrete_rows(self) -> bool:
        """Whether rows have probabilities; otherwise they have densities."""
        return self.likelihood_ != "gaussian"

    @property
    def _resampled(self) -> float | None:
        """The value of a full pixel where each step draws bits anew."""
        return self.full_ if self.binarize == "resample" else None

    def binarized(self, X: Any, random_state: Any = None) -> np.ndarray:
        """Return rows of grey pixels drawn as bits, on the scale of the training rows: 0 or a full pixel.

        Parameters
        ----------
        X : array-like
            Rows of values between 0 and a full pixel.
        random_state : int or NumPy generator, optional
            Seed of the draws.
        """
        check_is_fitted(self)
        if self.likelihood_ != "bernoulli":
            mend = "leave the rows as they are"
            raise InputError("a Bernoulli likelihood where rows are made bits", self.likelihood_, mend)
        return binarize(X, full=self.full_, random_state=random_state) * np.float32(self.full_)


@dataclass(kw_only=True, eq=False, repr=False)
class LatentVariableEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, RowLikelihood):
    """Base of the models ``p(z) p(x | z)`` with a Gaussian code ``z`` and a learned ``q(z | x)``.

    A subclass gives the bound that training raises (`_loss`).
    """

    n_components: int = option(8, "length of a code", unit="numbers", low=1)
    network: Literal["mlp", "conv"] = option("mlp", "dense layers, or convolutions (pictures only)")
    hidden: tuple[int, ...] = option((200, 200), "units of each dense layer, input to code", unit="units", low=1)
    channels: tuple[int, ...] = option((32, 64), "channels of each convolution, which halves the picture", low=1)
    activation: Activation = option("relu", "hidden units")
    bound_samples: int = option(100, "draws a row of the bound that score_samples returns", unit="draws", low=1)

    def check_settings(self) -> None:
        """Raise `SettingError` for the first setting that is wrong, alone or beside another."""
        super().check_settings()
        if self.network == "conv" and self.likelihood == "categorical":
            mend = "set network='mlp', or another likelihood"
            raise SettingError("a likelihood of pixels where network='conv'", "'categorical'", mend)

    @property
    def _n_features_out(self) -> int:
        return int(self.network_settings_["n_components"])

    def _build(self) -> LatentVariableNetwork:
        likelihood = self._make_likelihood()
        shape = Shape(self.network, self.hidden, self.channels, self.activation)
        body = Body(likelihood.inputs, shape, self.row_shape_)
        decoder = Decoder(self.n_components, likelihood.outputs, shape, self.row_shape_, likelihood.start())
        return LatentVariableNetwork(Encoder(body, self.n_components), decoder, likelihood)

    # -- codes and rows ------------------------------------------------------------------------------------------

    def transform(self, X: Any) -> np.ndarray:
        """Return the mean of ``q(z | x)`` of each row.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows as `fit` takes them.

        Returns
        -------
        ndarray of shape (n, n_components)
            Codes; under the model's prior each number is standard normal.
        """
        return self._answers(X, lambda network, rows: network(rows)[0], double=True)

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Return the row to show for each code: the mean of ``p(x | z)``, of categories the likeliest.

        Parameters
        ----------
        Z : array-like of shape (n, n_components)
            Codes.

        Returns
        -------
        ndarray of shape (n, ...)
            Rows in the shape that `fit` got them, in their units.

        Raises
        ------
        InputError
            If codes have another length.
        """
        check_is_fitted(self)
        codes = np.asarray(Z, dtype=np.float64)
        if codes.ndim != 2 or codes.shape[1] != self._n_features_out:
            expected = f"codes of shape (n, {self._n_features_out})"
            raise InputError(expected, str(codes.shape), "pass what transform returns")
        return self._rows(
            self._ask(
                {"codes": share(codes)},
                lambda network, part: network.likelihood.point(network.decoder(part)),
                double=True,
            )
        )

    def reconstruct(self, X: Any) -> np.ndarray:
        """Return each row as it is decoded from its code."""
        return self.inverse_transform(self.transform(X))

    def sample(self, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw rows of the model: ``z ~ N(0, I)``, then ``x ~ p(x | z)``, noise included.

        Parameters
        ----------
        n_samples : int
            Number of rows.
        random_state : int or NumPy generator, optional
            Seed of the draws.

        Returns
        -------
        ndarray of shape (n_samples, ...)
            Rows in the shape that `fit` got them, in their units. For pictures without the noise of single pixels,
            decode codes: ``inverse_transform(rng.standard_normal((n, n_components)))``.
        """

        def draw(network: Any, size: int, drawing: torch.Generator) -> Tensor:
            place = next(network.parameters()).device
            codes = torch.randn((size, network.decoder.latent), generator=drawing, device=place)
            return network.likelihood.draw(network.decoder(codes), drawing)

        return self._draws(n_samples, random_state, draw)

    # -- likelihoods ---------------------------------------------------------------------------------------------

    def score_samples(self, X: Any, samples: int | None = None) -> np.ndarray:
        """Return a lower bound on ``log p(x)`` of each row, in nats: the importance-weighted one.

        Bernoulli, discretized logistic and categorical rows have log-probabilities, Gaussian ones log-densities in
        the units of the data. The bound rises with the number of draws, in expectation, towards the log-likelihood.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows. Where the likelihood is Bernoulli, of 0 and a full pixel only.
        samples : int, optional
            Draws a row; ``bound_samples`` by default.

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        InputError
            If rows hold values to which the likelihood gives no probability, such as grey pixels.
        """
        return self.log_importance_weights(X, samples, reduce=True)

    def log_importance_weights(self, X: Any, samples: int | None = None, *, reduce: bool = False) -> np.ndarray:
        """Return ``log p(x, z) - log q(z | x)`` of draws from ``q``, or with ``reduce`` the bound that they make.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows.
        samples : int, optional
            Draws a row; ``bound_samples`` by default.
        reduce : bool
            Return the logarithm of the mean weight of each row.

        Returns
        -------
        ndarray of shape (samples, n) or (n,)
        """
        draws = self._count(samples, self.bound_samples)
        known: Any = self.network_

        def weights(network: Any, rows: Tensor) -> Tensor:
            # nothing of the encoder depends on the draw, but it costs little beside many decodings
            found = in_pieces(
                lambda part, noise: log_weights(network, part, noise),
                rows,
                seed=derive(self.seed_, "bound"),
                draws=draws,
                width=known.decoder.latent,
                cost=known.likelihood.outputs,
            )
            return log_mean_exp(found) if reduce else found.T

        answers = self._scored(X, weights, draws)
        return answers if reduce else answers.T

    def elbo(self, X: Any, samples: int = 1) -> np.ndarray:
        """Return the evidence lower bound of each row in nats, its divergence in closed form.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows.
        samples : int
            Draws a row of the expected log-likelihood.

        Returns
        -------
        ndarray of shape (n,)
        """
        draws = self._count(samples, 1)
        known: Any = self.network_

        def bound(network: Any, rows: Tensor) -> Tensor:
            def part_of(part: Tensor, noise: Tensor) -> Tensor:
                mean, scale = network(part)
                outputs = network.decoder(torch.addcmul(mean, scale, noise))
                return network.likelihood.log_prob(outputs, part) - gaussian_kl(mean, scale).sum(-1)

            found = in_pieces(
                part_of,
                rows,
                seed=derive(self.seed_, "bound"),
                draws=draws,
                width=known.decoder.latent,
                cost=known.likelihood.outputs,
            )
            return found.mean(0)

        return self._scored(X, bound, draws)

    def divergences(self, X: Any) -> np.ndarray:
        """Return ``KL(q(z_j | x) ‖ p(z_j))`` of each row and each number of its code, in nats.

        Numbers whose divergence is near zero everywhere are not used.
        """
        return self._answers(X, lambda network, rows: gaussian_kl(*network(rows)), double=True)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of `score_samples`."""
        return float(self.score_samples(X).mean())

    def _count(self, samples: int | None, default: int) -> int:
        check_is_fitted(self)
        draws = default if samples is None else samples
        if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 1:
            raise InputError("samples, an integer of 1 or more", repr(samples), "pass for example samples=100")
        return int(draws)

    def _scored(self, X: Any, function: Any, draws: int) -> np.ndarray:
        rows = self._encode_rows(X, reset=False)
        self._check_scored(rows)
        network: Any = self.network_
        double = exact_or_fast(network, len(rows), draws, network.likelihood.outputs)
        return self._ask({"inputs": rows}, function, double=double).double().numpy()

    def exhibits(self, data: Any) -> Iterator[Exhibit]:
        """Yield samples, reconstructions, the latent map, decodings over it, and training rows nearest to samples.

        Parameters
        ----------
        data : Dataset, (X, y) or X
            Rows, with classes that colour the map where there are some.
        """
        from gradus.research.generative.exhibits import exhibits_of

        check_is_fitted(self)
        yield from exhibits_of(self, data)
