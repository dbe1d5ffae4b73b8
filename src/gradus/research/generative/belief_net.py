"""Sigmoid belief networks as estimators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

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
from gradus.estimators.unsupervised import DrawingEstimator
from gradus.foundations.log_space import log_mean_exp
from gradus.research.generative.belief import BeliefLoss, SigmoidBelief, exact_log_likelihood
from gradus.research.generative.binarization import (
    Binarize,
    binarize,
    check_binary,
    check_shares,
    drawn_bits,
    full_pixel,
)
from gradus.research.generative.scoring import exact_or_fast, in_pieces
from gradus.training.losses import LossFunction

__all__ = ["BeliefEstimator", "SigmoidBeliefNet"]

BASELINE_UNITS = 100


@dataclass(kw_only=True, eq=False, repr=False)
class BeliefEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, DrawingEstimator):
    """Base of layers of binary causes with a network that guesses them: what does not depend on how they are trained.

    A subclass gives the network (`_build`) and the loss or the players.
    """

    _discrete_rows: ClassVar[bool] = True  # they have probabilities, not densities

    hidden: tuple[int, ...] = option((200,), "binary units of each layer, from the rows up", unit="units", low=1)
    bound_samples: int = option(100, "draws a row of the bound that score_samples returns", unit="draws", low=1)
    binarize: Binarize = option(
        "threshold",
        "rows made bits: cut at half a full pixel (threshold), drawn once (fixed) or anew each step (resample)",
    )
    pixel_scale: float | None = option(None, "value of a full pixel; none: 1, or what the largest value tells", above=0)

    # -- rows ----------------------------------------------------------------------------------------------------

    def _encode(self, X: Any, y: Any = None, sample_weight: Any = None, *, reset: bool = False) -> Batch:
        batch = super()._encode(X, y, sample_weight, reset=reset)
        rows = batch["inputs"]
        if self.binarize == "none":
            check_binary(rows, self.full_)
        elif self.binarize != "threshold":
            check_shares(rows, self.full_)
        if self.binarize == "fixed":
            batch["inputs"] = drawn_bits(rows, self.full_, generator(derive(self.seed_, "binarize")))
        return batch

    def _encode_rows(self, X: Any, *, reset: bool) -> Tensor:
        rows = super()._encode_rows(X, reset=reset)
        if reset:
            self.binarize_: Binarize = self.binarize  # answers follow what was fitted, not settings changed since
            self.full_ = full_pixel(rows, self.pixel_scale)
        return (rows > self.full_ / 2).to(rows.dtype) * self.full_ if self.binarize_ == "threshold" else rows

    def _learn_scales(self, rows: Tensor, weights: Tensor | None) -> None:
        self.location_ = rows.double().mean(0).float().numpy() / np.float32(self.full_)

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
        return binarize(X, full=self.full_, random_state=random_state) * np.float32(self.full_)

    # -- answers -------------------------------------------------------------------------------------------------

    @property
    def _n_features_out(self) -> int:
        return int(self.network_settings_["hidden"][0])

    def transform(self, X: Any) -> np.ndarray:
        """Return the probability under ``q`` that each unit of the first hidden layer is on.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows as `fit` takes them.

        Returns
        -------
        ndarray of shape (n, hidden[0])
        """
        full = getattr(self, "full_", 1.0)
        return self._answers(X, lambda network, rows: network(rows / full), double=True)

    def sample(self, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw rows of the model, from the top layer down.

        Parameters
        ----------
        n_samples : int
            Number of rows.
        random_state : int or NumPy generator, optional
            Seed of the draws.

        Returns
        -------
        ndarray of shape (n_samples, ...)
            Rows of 0 and a full pixel, in the shape that `fit` got them.
        """
        full = getattr(self, "full_", 1.0)
        return self._draws(
            n_samples, random_state, lambda network, size, drawing: network.generate(size, drawing) * full
        )

    def score_samples(self, X: Any, samples: int | None = None) -> np.ndarray:
        """Return the importance-weighted lower bound on ``log p(x)`` of each row, in nats.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows of 0 and a full pixel; with ``binarize='threshold'`` the bits that the threshold makes of them.
        samples : int, optional
            Draws a row; ``bound_samples`` by default.

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        InputError
            If rows hold other values.
        """
        check_is_fitted(self)
        draws = self.bound_samples if samples is None else samples
        if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 1:
            raise InputError("samples, an integer of 1 or more", repr(samples), "pass for example samples=100")

        def bound(network: Any, rows: Tensor) -> Tensor:
            def weights(part: Tensor, uniform: Tensor) -> Tensor:
                layers, log_q = network.infer(part, uniform)
                return network.log_joint(part, layers) - log_q

            return log_mean_exp(
                in_pieces(
                    weights,
                    rows / self.full_,
                    seed=derive(self.seed_, "bound"),
                    draws=int(draws),
                    width=sum(network.widths),
                    cost=rows.shape[1],
                    uniform=True,
                )
            )

        rows = self._scored_rows(X)
        double = exact_or_fast(self.network_, len(rows), int(draws), rows.shape[1])
        return self._ask({"inputs": rows}, bound, double=double).double().numpy()

    def exact_score_samples(self, X: Any) -> np.ndarray:
        """Return ``log p(x)`` of each row in nats, exactly: the sum over all states of all hidden layers.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows, as for `score_samples`.

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        InputError
            If a hidden layer has more than 14 units.
        """
        check_is_fitted(self)
        rows = self._scored_rows(X) / self.full_
        return self._ask({"inputs": rows}, exact_log_likelihood, double=True).numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of `score_samples`."""
        return float(self.score_samples(X).mean())

    def _scored_rows(self, X: Any) -> Tensor:
        rows = self._encode_rows(X, reset=False)
        check_binary(rows, self.full_)
        return rows

    def exhibits(self, data: Any) -> Iterator[Exhibit]:
        """Yield samples, what each unit above the rows adds, and training rows nearest to samples.

        Parameters
        ----------
        data : Dataset, (X, y) or X
            Rows.
        """
        from gradus.research.generative.exhibits import exhibits_of

        check_is_fitted(self)
        yield from exhibits_of(self, data)


@dataclass(kw_only=True, eq=False, repr=False)
class SigmoidBeliefNet(BeliefEstimator):
    """Layers of binary causes: ``p(x) = Σ_h p(x | h_1) p(h_1 | h_2) ... p(h_L)``, log-odds affine in the layer above.

    The sum has no closed form, so a bound is raised, with draws of the causes from a network that runs the other way.
    Bits do not let gradients through; the score function does, with control variates against its noise.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = (load_digits().images > 7).astype(float)
    >>> model = SigmoidBeliefNet(hidden=(32,), max_epochs=20, learning_rate=3e-3, random_state=0).fit(X[:1500])
    >>> bool(model.score(X[1500:]) > -22)  # nats; independent pixels reach -24.6
    True
    >>> model.sample(2, random_state=0).shape
    (2, 8, 8)

    References
    ----------
    Goodfellow et al. 2016, §20.10.1; Neal 1992; Mnih & Gregor 2014; Mnih & Rezende 2016.
    """

    gradient: Literal["vimco", "nvil"] = option(
        "vimco", "control variate: the other draws of the row (vimco), or a network and running moments (nvil)"
    )
    samples: int = option(5, "draws of the hidden units for each row in training", unit="draws", low=1)

    def check_settings(self) -> None:
        """Raise `SettingError` for the first setting that is wrong, alone or beside another."""
        super().check_settings()
        if self.gradient == "vimco" and self.samples < 2:
            mend = "set samples=5, or gradient='nvil'"
            raise SettingError("samples of 2 or more where draws judge each other", str(self.samples), mend)

    def _build(self) -> SigmoidBelief:
        baseline = BASELINE_UNITS if self.gradient == "nvil" else 0
        return SigmoidBelief(torch.from_numpy(self.location_), self.hidden, baseline)

    def _loss(self, network: Any) -> LossFunction:
        return BeliefLoss(self.gradient, self.samples, self.full_, self.binarize == "resample")
