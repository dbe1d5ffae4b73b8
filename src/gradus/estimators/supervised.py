"""What classifiers and regressors share: inputs and targets in, a network with a head between, distributions out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.distributions import Distribution

from gradus.data.batches import Batch, Batches
from gradus.estimators.callbacks import CallbackSupportMixin, with_callbacks
from gradus.estimators.gradient import GradientEstimator
from gradus.estimators.inputs import check_weights
from gradus.networks.heads import Head
from gradus.training.losses import Loss, head_loss

__all__ = ["SupervisedEstimator"]


@dataclass(kw_only=True, eq=False, repr=False)
class SupervisedEstimator(CallbackSupportMixin, GradientEstimator):
    """Base of estimators that predict a target by a network with a head.

    A subclass for a kind of task says how rows and targets become tensors and which head predicts them; one for a kind
    of data says what its inputs are and which body reads them.
    """

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
        return self._network(self._make_head)

    def _measured(self, network: Any, batch: Batch) -> Loss:
        """Return the loss of a validation batch with the head's scores."""
        return head_loss(network.head, metrics=True, inputs=self._input_names)(network, batch, torch.Generator())

    # -- answering -----------------------------------------------------------------------------------------------

    def predict_distribution(self, X: Any) -> Distribution:
        """Return the predicted distribution of each row, a ``torch.distributions`` object of batch shape (n,).

        Numbers are in the targets' units.
        """
        check_is_fitted(self)
        return self._head().distribution(self._forward(X))
