"""How many targets are wrong: rows whose target contradicts what models that never saw them say with confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from gradus.core.errors import InputError

__all__ = ["LabelNoise", "label_noise"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LabelNoise:
    """What was found about the targets.

    Attributes
    ----------
    share : float
        Estimated share of rows whose target is wrong, in [0, 1].
    rows : ndarray of int
        Suspicious rows, the most suspicious first; ``share`` of all.
    suggested : ndarray
        What each of them might be instead.
    confused : ndarray of int, shape (classes, classes)
        Rows by target (down) and by the class they surely look like (across), in the order of ``classes``.
    classes : ndarray
        The classes.
    """

    share: float
    rows: NDArray[np.int64]
    suggested: NDArray[Any]
    confused: NDArray[np.int64]
    classes: NDArray[Any]

    def sentence(self) -> str:
        """Say it.

        Examples
        --------
        >>> none = np.empty(0, dtype=np.int64)
        >>> LabelNoise(0.0, none, none, np.zeros((2, 2), dtype=np.int64), np.arange(2)).sentence()
        'no target contradicts what other rows say'
        """
        if not len(self.rows):
            return "no target contradicts what other rows say"
        first = ", ".join(map(str, self.rows[:5].tolist()))
        return f"about {100 * self.share:.1f} % of the targets look wrong ({len(self.rows)} rows; first {first})"


def label_noise(
    X: ArrayLike,
    y: ArrayLike,
    *,
    estimator: Any = None,
    folds: int = 5,
    random_state: int = 0,
) -> LabelNoise:
    """Estimate the share of wrong targets, and rank the rows that look wrong.

    Every row gets probabilities from a model that was trained without it. A row surely looks like class j where its
    probability of j is at least the mean one of the rows that carry target j, and j is the likeliest of those classes.
    Rows that surely look like another class than their target, over those that surely look like any, are the share.

    Parameters
    ----------
    X : array_like, shape (rows, ...)
        Inputs; more than two axes are flattened.
    y : array_like, shape (rows,)
        Classes.
    estimator : object, optional
        With ``fit`` and ``predict_proba``; by default a forest of extremely randomized trees, which bends little to
        single wrong targets.
    folds : int
        Parts of the cross-validation, at least 2.
    random_state : int
        Of folds and forest.

    Returns
    -------
    LabelNoise

    Raises
    ------
    InputError
        If a class has fewer rows than folds, or the estimator gives no probabilities.

    Notes
    -----
    What models cannot learn looks like noise, and so does what is truly doubtful: the estimate is one of disagreement,
    from below where wrong targets follow a rule that the model learns as well.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> y[[3, 70]] = 2, 0
    >>> label_noise(X, y).rows[:2].tolist()
    [3, 70]

    References
    ----------
    Northcutt, Jiang and Chuang 2021, Confident Learning, §3; Goodfellow et al. 2016, §7.5.1.
    """
    values, targets = np.asarray(X, dtype=np.float64), np.asarray(y)
    if values.ndim < 2 or targets.ndim != 1 or len(values) != len(targets):
        received = f"shapes {values.shape} and {targets.shape}"
        raise InputError("inputs (rows, columns) and one class a row", received, "pass y of shape (rows,)")
    values = values.reshape(len(values), -1)
    classes, known = np.unique(targets, return_inverse=True)
    counts = np.bincount(known)
    if len(classes) < 2 or counts.min() < folds or folds < 2:
        received = f"{len(classes)} classes, the rarest with {counts.min()} rows, and {folds} folds"
        raise InputError("two or more classes, each with a row for every fold", received, "leave out rare classes")
    if estimator is None:
        estimator = _forest(random_state)
    if not hasattr(estimator, "predict_proba"):
        raise InputError("an estimator with predict_proba", type(estimator).__name__, "pass one that gives it")
    split = StratifiedKFold(folds, shuffle=True, random_state=random_state)
    p = cross_val_predict(clone(estimator), values, known, cv=split, method="predict_proba")
    return _confident(p, known, classes)


def _forest(seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(200, random_state=seed)


def _confident(p: Floats, known: NDArray[np.int64], classes: NDArray[Any]) -> LabelNoise:
    """Count, and rank by how much likelier another class is than the target."""
    n, k = p.shape
    threshold = np.array([p[known == j, j].mean() for j in range(k)])
    sure = np.where(p >= threshold, p, -1.0)
    looks, any_sure = sure.argmax(1), (sure >= 0).any(1)
    confused = np.zeros((k, k), dtype=np.int64)
    np.add.at(confused, (known[any_sure], looks[any_sure]), 1)
    counts = np.bincount(known, minlength=k)
    # each target counts as often as it occurs, however many of its rows are sure
    wrong = 1 - np.diag(confused) / np.maximum(confused.sum(1), 1)
    share = float((wrong * counts).sum() / n)
    others = p.copy()
    others[np.arange(n), known] = -1.0
    margin = others.max(1) - p[np.arange(n), known]
    order = np.argsort(-margin, kind="stable")[: round(share * n)]
    order = order[margin[order] > 0]
    return LabelNoise(share, order.astype(np.int64), classes[others.argmax(1)[order]], confused, classes)
