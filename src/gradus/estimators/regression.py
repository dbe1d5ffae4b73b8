"""What all regressors share: targets in their own units on the way in and out, distributions between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples, check_array, check_is_fitted
from torch import Tensor

from gradus.core.errors import InputError, SettingError
from gradus.core.numbers import check_size
from gradus.core.options import option
from gradus.core.randomness import derive
from gradus.data.batches import Batch
from gradus.estimators.inputs import check_rows, check_weights, drop_weightless, share
from gradus.estimators.supervised import SupervisedEstimator
from gradus.networks.ensemble import EnsembleNumberHead
from gradus.networks.heads import (
    GaussianHead,
    Head,
    MixtureDensityHead,
    NegativeBinomialHead,
    PoissonHead,
    QuantileHead,
)
from gradus.networks.preparation import moments
from gradus.training.losses import LossFunction, head_loss

__all__ = ["GradientRegressor"]

HeadName = Literal["gaussian", "gaussian_learned", "mixture", "quantile", "poisson", "negative_binomial"]


@dataclass(kw_only=True, eq=False, repr=False)
class GradientRegressor(RegressorMixin, SupervisedEstimator):
    """Base of regressors trained by gradients; a subclass says what its inputs are and which body reads them."""

    head: HeadName = option("gaussian", "distribution of the target; gaussian has one variance for all rows")
    components: int = option(5, "components of the mixture head", low=1)
    quantiles: tuple[float, ...] = option(
        (0.05, 0.25, 0.5, 0.75, 0.95), "levels of the quantile head", above=0, high=0.999
    )

    # -- fitting -------------------------------------------------------------------------------------------------

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Make one pass over a part of the data; the first call settles shapes and scales."""
        self._partial_fit(X, y, sample_weight, first=not hasattr(self, "network_"))
        self._fit_variance(X, y, check_weights(sample_weight))
        return self

    def _encode_pairs(self, X: Any, y: Any, weights: Tensor | None, *, reset: bool) -> Batch:
        X, y, weights = drop_weightless(X, y, weights)
        inputs = self._encode_inputs(X, weights, reset=reset)
        targets = self._encode_targets(y, len(next(iter(inputs.values()))), weights, reset=reset)
        return {**inputs, "targets": targets} | ({} if weights is None else {"weights": weights})

    def _encode_targets(self, y: Any, n: int, weights: Tensor | None, *, reset: bool) -> Tensor:
        values = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        if values.ndim == 2 and values.shape[1] == 1 and not reset and self.n_outputs_ == 0:
            values = values[:, 0]
        check_rows("y", values, n)
        check_size("y", values)
        if reset:
            if values.ndim == 2 and values.shape[1] == 1:
                from sklearn.utils.validation import column_or_1d

                values = column_or_1d(values, warn=True)
            self.n_outputs_: int = 0 if values.ndim == 1 else values.shape[1]
            if self.head in ("poisson", "negative_binomial") and ((values < 0) | (values % 1 != 0)).any():
                raise InputError(f"counts 0, 1, 2 ... with head={self.head!r}", "other values", "set head='gaussian'")
            if self.head == "mixture" and self.n_outputs_:
                raise SettingError(
                    "one target with head='mixture'", f"{self.n_outputs_}", "set head='gaussian_learned'"
                )
            mean, std, _ = moments(share(values.reshape(n, -1)), weights)
            shape = (self.n_outputs_,) if self.n_outputs_ else ()
            self.target_mean_, self.target_std_ = mean.numpy().reshape(shape), std.numpy().reshape(shape)
        expected = (n, self.n_outputs_) if self.n_outputs_ else (n,)
        if values.shape != expected:
            raise InputError(f"y of shape {expected}", str(values.shape), "pass the columns that were fitted")
        return torch.from_numpy(values.astype(np.float32))

    def _make_head(self, features: int) -> Head:
        outputs = self.n_outputs_ or None
        heads: dict[str, Callable[[], Any]] = {
            "gaussian": lambda: GaussianHead(features, outputs),
            "gaussian_learned": lambda: GaussianHead(features, outputs, variance="learned"),
            "mixture": lambda: MixtureDensityHead(features, outputs, components=self.components),
            "quantile": lambda: QuantileHead(features, outputs, quantiles=tuple(self.quantiles)),
            "poisson": lambda: PoissonHead(features, outputs),
            "negative_binomial": lambda: NegativeBinomialHead(features, outputs),
        }
        head = heads[self.head]()
        head.set_scale(self.target_mean_, self.target_std_)
        return head

    def _loss(self, network: Any) -> LossFunction:
        return head_loss(network.head, inputs=self._input_names)

    def _measure(self, network: Any, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Score is the share of the training targets' variance explained: near R squared, and a sum over rows."""
        measured = self._measured(network, batch)
        count = torch.as_tensor(measured.count)
        variance = float(np.mean(np.square(self.target_std_))) or 1.0
        return measured.total, count - measured.metrics["squared_error"] / variance, count

    def _settle(self, X: Any, y: Any, sample_weight: Any, X_val: Any, y_val: Any) -> None:
        """Give the fixed-variance head the residuals' variance: of validation data, else of the rows trained on."""
        if X_val is not None:
            self._fit_variance(X_val, y_val, None)
            return
        X, y, weights = drop_weightless(X, y, check_weights(sample_weight))
        if self.early_stopping is True:
            seed = derive(self.seed_, "validation")
            rows, _ = self._split({"targets": torch.empty(_num_samples(X))}, self.validation_fraction, seed)
            X, y = _safe_indexing(X, rows), _safe_indexing(y, rows)
            weights = None if weights is None else weights[rows]
        self._fit_variance(X, y, weights)

    @torch.no_grad()
    def _fit_variance(self, X: Any, y: Any, weights: Tensor | None) -> None:
        network: Any = self.network_
        head = network.head
        heads = list(head.members) if isinstance(head, EnsembleNumberHead) else [head]
        if not isinstance(heads[0], GaussianHead) or heads[0].learned:
            return
        targets, device = self._encode(X, y)["targets"], head.location.device
        parameters = self._forward(X).to(device)
        each = parameters.unbind(1) if head is not heads[0] else [parameters]
        for one, part in zip(heads, each, strict=True):
            one.fit_variance(part, targets.to(device), weights)

    # -- answering -----------------------------------------------------------------------------------------------

    def predict(self, X: Any) -> np.ndarray:
        """Return the prediction (mean, or median for quantiles) in the targets' units, float64, of the shape of y.

        Computed in double precision, so that a row's prediction does not depend on the rows it comes with.
        """
        check_is_fitted(self)
        return self._forward(X, lambda head, parameters: head.point(parameters), double=True).numpy()

    def __sklearn_tags__(self) -> Any:
        """Say to scikit-learn what this regressor takes."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = self.head != "mixture"
        return tags
