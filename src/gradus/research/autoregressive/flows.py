"""Normalizing flows as estimators: RealNVP, masked autoregressive flow, neural spline flow."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float
from sklearn.base import ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from gradus.core.errors import InputError
from gradus.core.options import option
from gradus.estimators.exhibit import Exhibit
from gradus.estimators.unsupervised import UnsupervisedEstimator
from gradus.networks.preparation import moments
from gradus.research.autoregressive.flow_layers import (
    AffineAutoregressive,
    AffineCoupling,
    FlowLayer,
    LinearMixing,
    Permutation,
    SplineCoupling,
    Whitening,
)
from gradus.research.autoregressive.rows import LikelihoodLoss
from gradus.research.generative.bounds import summed
from gradus.training.losses import LossFunction

__all__ = ["Flow", "FlowAnswers", "FlowEstimator", "MaskedAutoregressiveFlow", "NeuralSplineFlow", "RealNVP"]

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "softplus"]
Mixing = Literal["reverse", "shuffle", "linear"]
# Least share of a column's variance that other columns do not explain; more where rows are few beside columns, for
# then new rows would lie where the training rows say that nothing can be.
RIDGE = 1e-4
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Flow(nn.Module):
    """A chain of bijections from rows to standard normal codes: ``log p(x) = log N(f(x); 0, I) + log |det df/dx|``.

    Parameters
    ----------
    columns : int
        Columns of a row.
    layers : sequence of FlowLayer
        The bijections, first to last.

    Examples
    --------
    >>> flow = Flow(1, [Whitening(torch.tensor([5.0]), torch.tensor([2.0]))])
    >>> round(flow.log_prob(torch.tensor([[5.0]])).exp().item(), 4)  # 1 / (2 sqrt(2 π))
    0.1995

    References
    ----------
    Dinh, Sohl-Dickstein & Bengio 2017; Goodfellow et al. 2016, §3.12, eq. 3.47, and §13.3 (NICE).
    """

    def __init__(self, columns: int, layers: Sequence[FlowLayer]) -> None:
        super().__init__()
        self.columns = columns
        self.layers = nn.ModuleList(layers)

    def forward(
        self, rows: Float[Tensor, "batch columns"]
    ) -> tuple[Float[Tensor, "batch columns"], Float[Tensor, " batch"]]:
        """Return codes and the logarithms of the determinants."""
        codes, logs = rows, rows.new_zeros(len(rows))
        for layer in self.layers:
            codes, more = layer(codes)
            logs = logs + more
        return codes, logs

    def codes(self, rows: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch columns"]:
        """Return codes alone."""
        return self(rows)[0]

    def inverse(self, codes: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch columns"]:
        """Return the rows of codes."""
        for layer in reversed(cast(list[FlowLayer], list(self.layers))):
            codes = layer.inverse(codes)
        return codes

    def log_prob(self, rows: Float[Tensor, "batch columns"]) -> Float[Tensor, " batch"]:
        """Return log-densities in the units of the rows, in nats."""
        codes, logs = self(rows)
        return logs - 0.5 * codes.square().sum(1) - _HALF_LOG_2PI * codes.shape[1]

    def training_log_prob(self, rows: Float[Tensor, "batch columns"], generator: torch.Generator) -> Tensor:
        """Return what training raises: the log-density itself."""
        return self.log_prob(rows)

    def draw(self, size: int, generator: torch.Generator) -> Float[Tensor, "size columns"]:
        """Draw rows."""
        like = next(self.parameters())
        codes = torch.randn((size, self.columns), generator=generator, dtype=like.dtype, device=like.device)
        return self.inverse(codes)


class FlowAnswers(ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin):
    """Densities, codes and samples of a fitted bijection; `RowsEstimator` comes after it.

    The network has ``log_prob(rows)``, ``codes(rows)``, ``inverse(codes)`` and ``draw(size, generator)``.
    """

    @property
    def _n_features_out(self: Any) -> int:
        return len(self.location_)

    def score_samples(self: Any, X: Any) -> np.ndarray:
        """Return ``log p(x)`` of each row, exactly: a log-density in nats, in the units of the data.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows. A density of rounded or discrete columns can grow without bound: add uniform noise of the width of
            a step, in training and here, to compare models of such columns.

        Returns
        -------
        ndarray of shape (n,)
        """
        return self._answers(X, lambda network, rows: network.log_prob(rows), double=True)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of `score_samples`."""
        return float(self.score_samples(X).mean())

    def transform(self: Any, X: Any) -> np.ndarray:
        """Return the code of each row: numbers drawn from the prior, each for itself, where the model is right.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows as `fit` takes them.

        Returns
        -------
        ndarray of shape (n, columns)
        """
        return self._answers(X, lambda network, rows: network.codes(rows), double=True)

    def inverse_transform(self: Any, Z: Any) -> np.ndarray:
        """Return the row of each code.

        Parameters
        ----------
        Z : array-like of shape (n, columns)
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
        given = {"codes": torch.from_numpy(codes)}
        return self._rows(self._ask(given, lambda network, part: network.inverse(part), double=True))

    def sample(self: Any, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw rows of the model: the bijection run backwards from codes drawn from the prior.

        Parameters
        ----------
        n_samples : int
            Number of rows.
        random_state : int or NumPy generator, optional
            Seed of the draws.

        Returns
        -------
        ndarray of shape (n_samples, ...)
            Rows in the shape that `fit` got them, in their units.
        """
        return self._draws(n_samples, random_state, lambda network, size, drawing: network.draw(size, drawing))

    def exhibits(self, data: Any) -> Iterator[Exhibit]:
        """Yield samples, likelihoods, the density of two columns, codes, and the rows nearest to samples.

        Parameters
        ----------
        data : Dataset, (X, y) or X
            Rows, with classes that colour the codes where there are some.
        """
        from gradus.research.autoregressive.exhibits import exhibits_of

        check_is_fitted(self)
        yield from exhibits_of(self, data)


@dataclass(kw_only=True, eq=False, repr=False)
class FlowEstimator(FlowAnswers, UnsupervisedEstimator):
    """Base of normalizing flows: exact log-densities in the units of the data, codes, and samples.

    A subclass gives a layer of the flow (`_layer`).
    """

    layers: int = option(6, "bijections with learned networks, one after another", unit="layers", low=1)
    hidden: tuple[int, ...] = option((64, 64), "hidden units of the network in each layer", unit="units", low=1)
    activation: Activation = option("relu", "hidden units")
    dropout: float = option(0.0, "share of hidden units dropped in training", low=0, high=0.9)
    whiten: bool = option(True, "begin with the Gaussian of the rows' covariance; off: with independent columns")
    mixing: Mixing = option(
        "linear", "between layers: columns in reverse order, shuffled, or mixed by a learned matrix (linear)"
    )

    @abstractmethod
    def _layer(self, columns: int, index: int) -> FlowLayer:
        """Return one layer of the flow."""

    def _learn_scales(self, rows: Tensor, weights: Tensor | None) -> None:
        mean, std, _ = moments(rows, weights)
        std = torch.where(std == 0, 1.0, std)
        self.location_, self.scale_ = mean.float().numpy(), std.float().numpy()
        if self.whiten:
            shares = torch.ones(len(rows), dtype=torch.float64) if weights is None else weights.double()
            scaled = (rows.double() - mean) / std
            found = (scaled * (shares / shares.sum())[:, None]).T @ scaled
            found.diagonal().fill_(1.0)  # of constant columns, too
            # columns that are sums of others, or few rows, would make the matrix singular
            ridge = max(RIDGE, (len(found) / (len(found) + float(shares.sum()))) ** 2)
            found = (1 - ridge) * found + ridge * torch.eye(len(found), dtype=found.dtype)
            self.factor_ = torch.linalg.cholesky(found).float().numpy()

    def _build(self) -> Flow:
        known = [torch.from_numpy(part.copy()) for part in (self.location_, self.scale_)]
        known += [torch.from_numpy(self.factor_.copy())] if self.whiten else []
        columns = len(self.location_)
        layers: list[FlowLayer] = [Whitening(*known)]
        for index in range(self.layers):
            if index or self.mixing == "linear":
                layers.append(self._mixing_layer(columns))
            layers.append(self._layer(columns, index))
        return Flow(columns, layers)

    def _mixing_layer(self, columns: int) -> FlowLayer:
        if self.mixing == "linear":
            return LinearMixing(columns)
        shuffled = self.mixing == "shuffle"
        return Permutation(torch.randperm(columns) if shuffled else torch.arange(columns).flip(0))

    def _loss(self, network: nn.Module) -> LossFunction:
        return LikelihoodLoss()

    def _measure(self, network: Any, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        loss = summed(-network.log_prob(batch["inputs"]), batch)
        return loss.total, -loss.total, torch.as_tensor(loss.count, device=loss.total.device)


@dataclass(kw_only=True, eq=False, repr=False)
class RealNVP(FlowEstimator):
    """Flow of affine couplings: half of the columns pass, and say how to stretch and move the other half.

    Density and samples cost the same.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> X = load_breast_cancer().data[:, :10]
    >>> model = RealNVP(layers=4, max_epochs=10, random_state=0).fit(X[:400])
    >>> bool(model.score(X[400:]) > 6)  # nats of new rows; one Gaussian reaches 5.3
    True
    >>> bool(np.allclose(model.inverse_transform(model.transform(X)), X, atol=1e-5))
    True

    References
    ----------
    Dinh, Sohl-Dickstein & Bengio 2017, Density Estimation Using Real NVP; Goodfellow et al. 2016, §20.10.2.
    """

    def _layer(self, columns: int, index: int) -> AffineCoupling:
        return AffineCoupling(columns, self.hidden, self.activation, second=index % 2 == 1, dropout=self.dropout)


@dataclass(kw_only=True, eq=False, repr=False)
class NeuralSplineFlow(FlowEstimator):
    """Flow of couplings by monotone rational-quadratic splines: bends of any shape, with an inverse in closed form.

    Within ``bound`` standard deviations; farther out couplings leave columns as they are.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> X = load_breast_cancer().data[:, :10]
    >>> model = NeuralSplineFlow(layers=4, max_epochs=10, random_state=0).fit(X[:400])
    >>> bool(model.score(X[400:]) > 6)  # nats of new rows; one Gaussian reaches 5.3
    True

    References
    ----------
    Durkan et al. 2019, Neural Spline Flows.
    """

    bins: int = option(8, "pieces of each spline", unit="bins", low=2, high=500)
    bound: float = option(4.0, "half of the interval that splines bend", unit="standard deviations", above=0)

    def _layer(self, columns: int, index: int) -> SplineCoupling:
        return SplineCoupling(
            columns,
            self.hidden,
            self.activation,
            second=index % 2 == 1,
            dropout=self.dropout,
            bins=self.bins,
            bound=self.bound,
        )


@dataclass(kw_only=True, eq=False, repr=False)
class MaskedAutoregressiveFlow(FlowEstimator):
    """Flow of masked autoregressive layers: ``z_i = (x_i - m_i(x_before)) exp(-s_i(x_before))``.

    A density takes one pass of each layer's network, a sample one for each column.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> X = load_breast_cancer().data[:, :10]
    >>> model = MaskedAutoregressiveFlow(layers=4, max_epochs=10, random_state=0).fit(X[:400])
    >>> bool(model.score(X[400:]) > 6)  # nats of new rows; one Gaussian reaches 5.3
    True

    References
    ----------
    Papamakarios, Pavlakou & Murray 2017, Masked Autoregressive Flow for Density Estimation.
    """

    def _layer(self, columns: int, index: int) -> AffineAutoregressive:
        return AffineAutoregressive(columns, self.hidden, self.activation, dropout=self.dropout)
