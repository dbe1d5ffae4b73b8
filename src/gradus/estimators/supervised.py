"""What classifiers and regressors share: inputs and targets in, a network with a head between, distributions out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.distributions import Distribution

from gradus.core.options import option
from gradus.data.batches import Batch, Batches
from gradus.estimators.callbacks import CallbackSupportMixin, with_callbacks
from gradus.estimators.ensembles import Uncertainty, members_of, points_of, uncertainty_of
from gradus.estimators.gradient import GradientEstimator
from gradus.estimators.inputs import check_weights
from gradus.networks.ensemble import ensemble, mixture
from gradus.networks.heads import Head
from gradus.training.losses import Loss, head_loss

__all__ = ["SupervisedEstimator"]


@dataclass(kw_only=True, eq=False, repr=False)
class SupervisedEstimator(CallbackSupportMixin, GradientEstimator):
    """Base of estimators that predict a target by a network with a head.

    A subclass for a kind of task says how rows and targets become tensors and which head predicts them; one for a kind
    of data says what its inputs are and which body reads them.
    """

    members: int = option(1, "networks trained side by side from other starts, whose distributions are averaged", low=1)

    # -- what a subclass for a kind of data gives ----------------------------------------------------------------

    @abstractmethod
    def _encode_inputs(self, X: Any, weights: Tensor | None, *, reset: bool) -> Batch:
        """Check inputs and turn them into tensors; with ``reset``, learn their shapes and scales first."""

    @abstractmethod
    def _network(self, head_of: Callable[[int], Any]) -> nn.Module:
        """Make the network, with the head that ``head_of`` returns for the width of its features."""

    @property
    def _input_names(self) -> tuple[str, ...]:
        return ("inputs",)

    # -- what a subclass for a kind of task gives ----------------------------------------------------------------

    @abstractmethod
    def _encode_pairs(self, X: Any, y: Any, weights: Tensor | None, *, reset: bool) -> Batch:
        """Check rows with their targets and turn them into tensors; with ``reset``, learn from them first."""

    @abstractmethod
    def _make_head(self, features: int) -> Head:
        """Make the head for features of this width."""

    def _settle(self, X: Any, y: Any, sample_weight: Any, X_val: Any, y_val: Any) -> None:
        """Learn what is left to learn once the weights are learned; nothing by default."""

    # -- fitting -------------------------------------------------------------------------------------------------

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None, X_val: Any = None, y_val: Any = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Training inputs.
        y : array-like of shape (n,) or (n, outputs)
            Targets. Of a classifier: classes, or for several labels at once an indicator matrix of zeros and ones.
            Of a regressor: numbers, in any unit; counts for the count heads.
        sample_weight : array-like of shape (n,), optional
            Weight of each row's loss, 0 or more.
        X_val, y_val : array-like, optional
            Validation data, which early stopping follows.

        Returns
        -------
        self
            The fitted estimator.
        """

        def settle() -> None:
            self._settle(X, y, sample_weight, X_val, y_val)

        return self._fit(X, y, sample_weight, X_val, y_val, after=settle)

    def fit_stream(
        self,
        batches: Batches | Callable[[Callable[..., Batch]], Batches],
        sample: tuple[Any, Any],
        X_val: Any = None,
        y_val: Any = None,
    ) -> Self:
        """Train on batches that never lie in memory as a whole, such as `gradus.data.streaming.ParquetBatches`.

        Parameters
        ----------
        batches : Batches or callable
            Batches of ``inputs`` as `fit` takes them and ``targets``: of a classifier, class numbers in the sorted
            order of the classes; of a regressor, numbers, float32. The batch size is theirs. Or a function that makes
            them of ``encode(X, y)``, which reads rows as it learned to from the sample and returns their tensors.
        sample : tuple of X and y
            Rows that settle shapes, the classes or the targets' scale, and the inputs' scale; a few thousand are
            enough.
        X_val, y_val : array-like, optional
            Validation data, which early stopping follows.

        Returns
        -------
        self
            The fitted estimator.
        """
        self._fit_stream(batches, sample, X_val, y_val)
        self._settle(*sample, None, X_val, y_val)
        return self

    def _encode(self, X: Any, y: Any = None, sample_weight: Any = None, *, reset: bool = False) -> Batch:
        if y is not None:
            return self._encode_pairs(X, y, check_weights(sample_weight), reset=reset)
        if reset:
            # scikit-learn's own words, which its checks look for
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        return self._encode_inputs(X, None, reset=False)

    def _build(self) -> nn.Module:
        if self.members == 1:
            return self._network(self._make_head)
        return ensemble([self._network(self._make_head) for _ in range(self.members)])

    def _measured(self, network: Any, batch: Batch) -> Loss:
        """Return the loss of a validation batch with the head's scores."""
        return head_loss(network.head, metrics=True, inputs=self._input_names)(network, batch, torch.Generator())

    # -- answering -----------------------------------------------------------------------------------------------

    def predict_distribution(self, X: Any, samples: int | None = None) -> Distribution:
        """Return the predicted distribution of each row, a ``torch.distributions`` object of batch shape (n,).

        Numbers are in the targets' units.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows.
        samples : int, optional
            Average the distributions under as many dropout masks (Monte Carlo dropout), drawn from the fit's seed.
        """
        check_is_fitted(self)
        if samples is None:
            return self._head().distribution(self._forward(X))
        return mixture(*members_of(self, X, samples, double=False))

    def predict_members(self, X: Any, samples: int | None = None) -> np.ndarray:
        """Return the answer of every member of an ensemble, or under every sampled dropout mask, float64.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows.
        samples : int, optional
            Dropout masks a member, drawn from the fit's seed.

        Returns
        -------
        ndarray of shape (answers, n, ...)
            Probabilities of a classifier, predictions of a regressor: their mean over the first axis is the ensemble's,
            their standard deviation says how far answers differ.

        Raises
        ------
        SettingError
            If there is but one answer: ``members=1`` and no ``samples``, or no dropout.
        """
        members = members_of(self, X, samples, double=getattr(self, "_double", True))
        return self._member_answers(members).double().numpy()

    def _member_answers(self, members: Any) -> Tensor:
        return points_of(members)

    def uncertainty(self, X: Any, samples: int | None = None) -> Uncertainty:
        """Return how uncertain each prediction is, and how much of that is disagreement between answers.

        Disagreement is what more data could end: it is high far from the training rows. What is left is noise.

        Parameters
        ----------
        X, samples
            As in `predict_members`.

        Returns
        -------
        Uncertainty
            ``total = expected + disagreement``: nats of a classifier, squared units of a regressor's target.
        """
        return uncertainty_of(members_of(self, X, samples, double=getattr(self, "_double", True)))
