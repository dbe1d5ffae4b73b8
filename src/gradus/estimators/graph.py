"""The graph of a fitted estimator's network on some rows: what it computes, and what training would change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from gradus.core.errors import InputError
from gradus.foundations.graph.picture import Picture
from gradus.foundations.graph.recording import picture_of_function
from gradus.foundations.graph.showing import Drawing

if TYPE_CHECKING:
    from gradus.estimators.gradient import GradientEstimator

__all__ = ["picture_of_estimator", "show_graph"]

ROWS = 8


def show_graph(
    estimator: GradientEstimator, X: Any = None, y: Any = None, *, marks: Mapping[str, str] | None = None
) -> Drawing:
    """Return the graph to look at; parameters as in `picture_of_estimator`, marks as in `show`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from gradus import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> est = MLPClassifier(hidden=(8,), max_epochs=1, random_state=0).fit(X, y)
    >>> est.show_graph(X, y).picture.nodes[-1].title
    'div'
    """
    return Drawing(picture_of_estimator(estimator, X, y).marked(marks or {}))


def picture_of_estimator(estimator: GradientEstimator, X: Any = None, y: Any = None) -> Picture:
    """Run a fitted network on the first rows of some data, forwards and backwards.

    Parameters
    ----------
    estimator : GradientEstimator
        Fitted.
    X : array-like, optional
        Data as `fit` takes them; of a table of numbers, random rows where none are given.
    y : array-like, optional
        Targets: with them the graph ends in the mean loss, without them in the network's output.

    Raises
    ------
    InputError
        If the estimator needs rows to be given.
    """
    check_is_fitted(estimator)
    network, notes = estimator.network_, []
    if X is None:
        X = _drawn(estimator)
        notes = ["the inputs are random numbers, as no rows were given"]
    rows = {name: tensor[:ROWS] for name, tensor in _encoded(estimator, X, y).items()}
    device = next(network.parameters()).device
    batch = {name: (t.float() if t.is_floating_point() else t).to(device) for name, t in rows.items()}
    names, title = list(batch), type(estimator).__name__

    def loss(*tensors: Tensor) -> Tensor:
        measured = estimator._loss(network)(network, dict(zip(names, tensors, strict=True)), torch.Generator(device))
        return measured.total / measured.count

    try:
        found = picture_of_function(loss, *batch.values(), network=network, names=names, title=title)
    except KeyError:  # of targets that are not there
        found = picture_of_function(network, *batch.values(), network=network, names=names, title=title)
    found.notes += notes
    return found


def _encoded(estimator: Any, X: Any, y: Any) -> dict[str, Tensor]:
    if y is None:
        return dict(estimator._encode(X[:ROWS] if hasattr(X, "shape") else X))
    return dict(estimator._encode(X[:ROWS], y[:ROWS]))


def _drawn(estimator: Any) -> np.ndarray:
    shape = getattr(estimator, "row_shape_", None) or (getattr(estimator, "n_features_in_", 0),)
    if hasattr(estimator, "feature_names_in_") or not all(shape):
        mend = "pass some, for example est.show_graph(X[:8], y[:8])"
        raise InputError(f"rows for a {type(estimator).__name__} to read", "none", mend)
    return np.random.default_rng(0).normal(size=(ROWS, *shape))
