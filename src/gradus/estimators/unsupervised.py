"""What estimators without targets share: rows in, a network that explains them, representations and samples out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from gradus.core.errors import InputError
from gradus.core.randomness import derive, generator, resolve_seed
from gradus.core.threads import cores, threads
from gradus.data.batches import Batch
from gradus.estimators.callbacks import CallbackSupportMixin, with_callbacks
from gradus.estimators.gradient import ANSWER_ROWS, GradientEstimator
from gradus.estimators.inputs import check_n_samples, check_table, check_weights, drop_weightless

__all__ = ["DrawingEstimator", "FlatRows", "RowsEstimator", "UnsupervisedEstimator"]


class FlatRows:
    """Rows of tables, or stacks of pictures of shape (n, height, width) or (n, height, width, channels), taken flat.

    ``row_shape_`` remembers what one row looked like.
    """

    row_shape_: tuple[int, ...]

    def _encode_rows(self, X: Any, *, reset: bool) -> Tensor:
        """Check rows and return them flat, as float32 of shape (n, features); with ``reset``, learn their shape."""
        shape = getattr(X, "shape", None)
        if shape is None and not hasattr(X, "__dataframe__"):
            found = np.asarray(X)
            X, shape = (found, found.shape) if found.ndim > 2 else (X, None)
        row: tuple[int, ...] | None = None
        if shape is not None and len(shape) > 2:
            if len(shape) > 4:
                mend = "pass pictures of shape (n, height, width) or (n, height, width, channels), or a table"
                raise InputError("rows with one to three axes", f"shape {tuple(shape)}", mend)
            row = tuple(int(size) for size in shape[1:])
            if not reset and row != tuple(self.row_shape_):
                mend = "reshape the rows as fit got them"
                raise InputError(f"rows of shape {tuple(self.row_shape_)}", f"{row}", mend)
            X = np.asarray(X).reshape(shape[0], -1)
        table = check_table(self, X, reset=reset)
        if reset:
            self.row_shape_ = (table.shape[1],) if row is None else row
        return table

    def _rows(self, flat: Tensor | np.ndarray) -> np.ndarray:
        """Return flat rows in the shape that `fit` got them."""
        array = flat.numpy() if isinstance(flat, Tensor) else flat
        return array.reshape(len(array), *self.row_shape_)


@dataclass(kw_only=True, eq=False, repr=False)
class RowsEstimator(FlatRows, CallbackSupportMixin, GradientEstimator):
    """Base of estimators that learn rows themselves by gradients: autoencoders, density models, generators.

    Rows are those of a table, or stacks of pictures of shape (n, height, width) or (n, height, width, channels), which
    the network gets flat: ``row_shape_`` remembers what one row looked like, and answers that are rows look so again.
    A subclass gives the network (`_build`), its loss (`_loss`) and its answers, by `_answers` and `_draws`, and takes
    on those of scikit-learn's mixins that fit (`TransformerMixin`, `DensityMixin`). Whether it takes weights of rows,
    `UnsupervisedEstimator` and `DrawingEstimator` say.
    """

    def _encode(self, X: Any, y: Any = None, sample_weight: Any = None, *, reset: bool = False) -> Batch:
        weights = check_weights(sample_weight)
        if weights is not None:
            X, _, weights = drop_weightless(X, None, weights)
        rows = self._encode_rows(X, reset=reset)
        if reset:
            self._learn_scales(rows, weights)
        return {"inputs": rows} if weights is None else {"inputs": rows, "weights": weights}

    def _learn_scales(self, rows: Tensor, weights: Tensor | None) -> None:
        """Learn from the training rows what `_build` needs beside their shape; nothing by default."""

    def _measure(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss of validation rows under draws that are the same every epoch; the score is its negative."""
        device = batch["inputs"].device
        loss = self._loss(network)(network, batch, generator(derive(self.seed_, "measure"), device))
        count = torch.as_tensor(loss.count, device=device)
        return loss.total, -loss.total, count

    # -- answering -----------------------------------------------------------------------------------------------

    def _answers(self, X: Any, function: Callable[..., Tensor], *, double: bool = False) -> np.ndarray:
        """Return ``function(network, rows)`` of all rows, a part of them at a time."""
        check_is_fitted(self)
        return self._ask({"inputs": self._encode_rows(X, reset=False)}, function, double=double).numpy()

    @torch.inference_mode()
    def _draws(
        self, n_samples: int, random_state: Any, function: Callable[[Any, int, torch.Generator], Tensor]
    ) -> np.ndarray:
        """Return ``function(network, size, generator)`` for ``n_samples`` in all, as rows look to the user."""
        check_is_fitted(self)
        n = check_n_samples(n_samples)
        network: Any = self.network_.eval()
        device = next(network.parameters()).device
        drawing = generator(resolve_seed(random_state), device)
        sizes = [min(ANSWER_ROWS, n - start) for start in range(0, n, ANSWER_ROWS)]
        with threads(min(self.n_threads_, cores())):
            drawn = torch.cat([function(network, size, drawing).cpu() for size in sizes])
        return self._rows(drawn)


@dataclass(kw_only=True, eq=False, repr=False)
class UnsupervisedEstimator(RowsEstimator):
    """Rows with weights: a row of weight two is a row that comes twice, to the last bits where one batch holds all."""

    @with_callbacks
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, X_val: Any = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            Training rows.
        y : ignored
            Present for pipelines.
        sample_weight : array-like of shape (n,), optional
            Weight of each row's loss, 0 or more.
        X_val : array-like, optional
            Validation rows, which early stopping follows.

        Returns
        -------
        self
            The fitted estimator.
        """
        return self._fit(X, None, sample_weight, X_val, None)


@dataclass(kw_only=True, eq=False, repr=False)
class DrawingEstimator(RowsEstimator):
    """Rows whose loss draws noise for each: one of weight two would see one draw, one that comes twice sees two.

    So `fit` takes no weights; repeat rows instead.
    """

    @with_callbacks
    def fit(self, X: Any, y: Any = None, X_val: Any = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            Training rows.
        y : ignored
            Present for pipelines.
        X_val : array-like, optional
            Validation rows, which early stopping follows.

        Returns
        -------
        self
            The fitted estimator.
        """
        return self._fit(X, None, None, X_val, None)
