"""Multilayer perceptrons on tables of numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gradus.core.options import option
from gradus.data.batches import Batch
from gradus.estimators.classification import GradientClassifier
from gradus.estimators.inputs import check_table
from gradus.estimators.regression import GradientRegressor
from gradus.networks.feedforward import MLP
from gradus.networks.headed import HeadedNetwork
from gradus.networks.heads import Head
from gradus.networks.preparation import Standardize, moments

__all__ = ["MLPClassifier", "MLPOptions", "MLPRegressor"]

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "softplus"]


@dataclass(kw_only=True, eq=False, repr=False)
class MLPOptions:
    """Shape of a multilayer perceptron (chapter 6)."""

    hidden: tuple[int, ...] = option((128, 128), "units in each hidden layer", unit="units", low=1)
    activation: Activation = option("relu", "hidden units")
    dropout: float = option(0.0, "share of hidden units dropped in training", low=0, high=0.95)
    input_dropout: float = option(0.0, "share of inputs dropped in training", low=0, high=0.95)
    normalization: Literal["batch", "layer"] | None = option(None, "normalization before each activation")
    residual: bool = option(False, "add each layer's input to its output where the widths agree")

    def _shape(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in MLPOptions.__dataclass_fields__}


class _TableInputs:
    """Tables of numbers: checked by scikit-learn, standardized by the network's first layer."""

    def _encode_inputs(self, X: Any, weights: Tensor | None, *, reset: bool) -> Batch:
        table = check_table(self, X, reset=reset)
        if reset:
            used = weights if weights is None or len(weights) == len(table) else None
            mean, std, _ = moments(table, used)
            self.input_mean_, self.input_std_ = mean.numpy(), std.numpy()
        return {"inputs": table}

    def _network(self, head_of: Callable[[int], Head]) -> nn.Module:
        prepare = Standardize(torch.from_numpy(self.input_mean_), torch.from_numpy(self.input_std_))
        body = MLP(len(self.input_mean_), **self._shape())  # type: ignore[attr-defined]
        return HeadedNetwork(prepare, body, head_of(body.out_features))


@dataclass(kw_only=True, eq=False, repr=False)
class MLPClassifier(_TableInputs, MLPOptions, GradientClassifier):
    """Multilayer perceptron for classes: two, many, ordered, or several labels at once.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(hidden=(32,), max_epochs=60, learning_rate=0.01, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.95)
    True

    References
    ----------
    Goodfellow et al. 2016, chapter 6.
    """


@dataclass(kw_only=True, eq=False, repr=False)
class MLPRegressor(_TableInputs, MLPOptions, GradientRegressor):
    """Multilayer perceptron for numbers, with a distribution of the target as its output.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.linspace(-2, 2, 200)[:, None]
    >>> model = MLPRegressor(hidden=(64,), learning_rate=0.01, head="gaussian_learned", random_state=0)
    >>> bool(model.fit(X, np.sin(2 * X[:, 0])).score(X, np.sin(2 * X[:, 0])) > 0.9)
    True

    References
    ----------
    Goodfellow et al. 2016, §6.2.2.1; Bishop 1994 (mixture densities); Koenker & Bassett 1978 (quantiles).
    """
