"""Rows of bits or levels, and estimators whose network gives each an exact probability."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from sklearn.base import DensityMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from gradus.core.errors import InputError
from gradus.core.options import option
from gradus.core.randomness import derive, generator
from gradus.data.batches import Batch
from gradus.estimators.exhibit import Exhibit
from gradus.estimators.unsupervised import RowsEstimator, UnsupervisedEstimator
from gradus.research.generative.binarization import (
    Binarize,
    binarize,
    check_binary,
    check_shares,
    drawn_bits,
    full_pixel,
)
from gradus.research.generative.bounds import summed
from gradus.research.generative.scoring import exact_or_fast
from gradus.training.losses import Loss, LossFunction

__all__ = ["BitsEstimator", "DiscreteRows", "LikelihoodLoss", "Order"]

Order = Literal["given", "random"]


@dataclass(frozen=True, eq=False)
class LikelihoodLoss:
    """``-log p(x)``: the network's own, in nats.

    Parameters
    ----------
    full : float
        Value that stands for a one; rows are divided by it.
    resample : bool
        Draw bits anew from grey pixels.
    """

    full: float = 1.0
    resample: bool = False

    def __call__(self, network: Any, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        rows = batch["inputs"]
        if self.resample:
            rows = drawn_bits(rows, self.full, generator)
        return summed(-network.training_log_prob(rows / self.full, generator), batch)


@dataclass(kw_only=True, eq=False, repr=False)
class DiscreteRows(DensityMixin, RowsEstimator):
    """Base of estimators that give rows of bits, or of whole numbers, exact probabilities.

    The network has `log_prob`, `training_log_prob`, `validation_log_prob`, `draw` and `filters`. Where rows are bits,
    it gets zeros and ones; grey pixels are refused, or made bits by the setting ``binarize``, and the likelihood is
    that of the bits.
    """

    binarize: Binarize = option(
        "threshold",
        "rows made bits: cut at half a full pixel (threshold), drawn once (fixed) or anew each step (resample)",
    )
    pixel_scale: float | None = option(None, "value of a full pixel; none: 1, or what the largest value tells", above=0)

    _discrete_rows: ClassVar[bool] = True  # they have probabilities, not densities

    @abstractmethod
    def _learn_levels(self, rows: Tensor) -> tuple[int, float]:
        """Return how many values a column takes, and the value of a full pixel where that is two."""

    @property
    def _cost(self) -> int:
        """Numbers that the network computes for a row: few are computed in double precision."""
        return int(np.prod(self.row_shape_))

    # -- rows ----------------------------------------------------------------------------------------------------

    def _encode(self, X: Any, y: Any = None, sample_weight: Any = None, *, reset: bool = False) -> Batch:
        batch = super()._encode(X, y, sample_weight, reset=reset)
        rows = batch["inputs"]
        if self.levels_ > 2:
            return batch
        if self.binarize == "none":
            check_binary(rows, self.full_)
        elif self.binarize != "threshold":
            check_shares(rows, self.full_)
            if "weights" in batch:  # a row of weight two would see one draw, one that comes twice sees two
                mend = "repeat rows instead, or set binarize='threshold'"
                raise InputError("no sample_weight where pixels are drawn as bits", "weights", mend)
        if self.binarize == "fixed":
            batch["inputs"] = drawn_bits(rows, self.full_, generator(derive(self.seed_, "binarize")))
        return batch

    def _encode_rows(self, X: Any, *, reset: bool) -> Tensor:
        rows = super()._encode_rows(X, reset=reset)
        if reset:
            self.binarize_: Binarize = self.binarize  # answers follow what was fitted, not settings changed since
            self.levels_, self.full_ = self._learn_levels(rows)
        if self.levels_ > 2:
            _check_levels(rows, self.levels_)
            return rows
        return (rows > self.full_ / 2).to(rows.dtype) * self.full_ if self.binarize_ == "threshold" else rows

    def _learn_scales(self, rows: Tensor, weights: Tensor | None) -> None:
        shares = torch.ones(len(rows), dtype=torch.float64) if weights is None else weights.double()
        mean = (shares / shares.sum()) @ rows.double()
        self.location_ = (mean / self.full_).float().numpy()

    def _mean(self) -> Tensor:
        return torch.from_numpy(self.location_.copy())

    def binarized(self, X: Any, random_state: Any = None) -> np.ndarray:
        """Return rows of grey pixels drawn as bits, on the scale of the training rows: 0 or a full pixel.

        Parameters
        ----------
        X : array-like
            Rows of values between 0 and a full pixel.
        random_state : int or NumPy generator, optional
            Seed of the draws.

        Raises
        ------
        InputError
            If the model is one of levels, not of bits.
        """
        check_is_fitted(self)
        if self.levels_ > 2:
            raise InputError("a model of bits where rows are made bits", f"{self.levels_} levels", "leave the rows")
        return binarize(X, full=self.full_, random_state=random_state) * np.float32(self.full_)

    # -- learning ------------------------------------------------------------------------------------------------

    def _loss(self, network: nn.Module) -> LossFunction:
        return LikelihoodLoss(self.full_, self.levels_ == 2 and self.binarize == "resample")

    def _measure(self, network: Any, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the negative log-likelihood; grey rows become the same bits every epoch."""
        rows = batch["inputs"]
        if self.levels_ == 2 and self.binarize == "resample":
            rows = drawn_bits(rows, self.full_, generator(derive(self.seed_, "measure"), rows.device))
        loss = summed(-network.validation_log_prob(rows / self.full_), batch)
        return loss.total, -loss.total, torch.as_tensor(loss.count, device=rows.device)

    # -- answers -------------------------------------------------------------------------------------------------

    def score_samples(self, X: Any) -> np.ndarray:
        """Return ``log p(x)`` of each row, exactly, in nats.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows. Of a model of bits: of 0 and a full pixel; with ``binarize='threshold'`` those that the threshold
            makes of them.

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        InputError
            If rows hold other values, such as grey pixels.
        """
        rows = self._scored_rows(X)
        double = exact_or_fast(self.network_, len(rows), 1, self._cost)
        return self._ask({"inputs": rows}, lambda network, part: network.log_prob(part), double=double).double().numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of `score_samples`."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw rows of the model, one column after another.

        Parameters
        ----------
        n_samples : int
            Number of rows.
        random_state : int or NumPy generator, optional
            Seed of the draws.

        Returns
        -------
        ndarray of shape (n_samples, ...)
            Rows in the shape that `fit` got them: bits as 0 and a full pixel.
        """
        full = getattr(self, "full_", 1.0)
        return self._draws(n_samples, random_state, lambda network, size, drawing: network.draw(size, drawing) * full)

    def _scored_rows(self, X: Any) -> Tensor:
        """Check rows and return them as the network reads them."""
        check_is_fitted(self)
        rows = self._encode_rows(X, reset=False)
        if self.levels_ == 2:
            check_binary(rows, self.full_)
        return rows / self.full_

    def exhibits(self, data: Any) -> Iterator[Exhibit]:
        """Yield the learning curve, samples, the filters of the first layer, and the rows nearest to samples.

        Parameters
        ----------
        data : Dataset, (X, y) or X
            Rows.
        """
        from gradus.research.autoregressive.exhibits import exhibits_of

        check_is_fitted(self)
        yield from exhibits_of(self, data)


@dataclass(kw_only=True, eq=False, repr=False)
class BitsEstimator(DiscreteRows, UnsupervisedEstimator):
    """Base of the models of bits that take a row as a table has it, column after column."""

    def _learn_levels(self, rows: Tensor) -> tuple[int, float]:
        return 2, full_pixel(rows, self.pixel_scale)

    def conditionals(self, X: Any) -> np.ndarray:
        """Return the probability of a one in each column, given the columns before it, in the first order.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows, as for `score_samples`.

        Returns
        -------
        ndarray of shape (n, ...)
        """
        rows = self._scored_rows(X)
        odds = self._ask({"inputs": rows}, lambda network, part: torch.sigmoid(network(part)), double=True)
        return self._rows(odds)


def _check_levels(rows: Tensor, levels: int) -> None:
    """Raise `InputError` unless rows hold whole numbers below ``levels``."""
    whole = bool((rows == rows.round()).all()) and bool((rows >= 0).all()) and bool((rows < levels).all())
    if not whole:
        strange = rows[(rows != rows.round()) | (rows < 0) | (rows >= levels)].flatten()[0]
        mend = "set levels, or likelihood='bernoulli' and binarize for grey pixels"
        raise InputError(f"whole numbers from 0 to {levels - 1}", f"{float(strange):g}", mend)
