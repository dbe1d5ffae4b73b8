"""From what models say to what metrics read: classes as codes, probabilities in one order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradus.core.errors import InputError

__all__ = ["Answers", "Needs", "Prediction", "answers_of", "predict"]

Floats = NDArray[np.float64]
Needs = Literal["labels", "probabilities", "values", "texts"]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model answered for some rows; fields it does not give are None.

    Attributes
    ----------
    labels : ndarray, shape (rows,)
        Predicted classes.
    probabilities : ndarray, shape (rows, classes)
        Their probabilities, columns in the order of ``classes``.
    classes : ndarray, shape (classes,)
        Names of the columns.
    values : ndarray, shape (rows,)
        Predicted numbers, in the target's unit.
    texts : ndarray of str, shape (rows,)
        Written answers, such as translations.
    """

    labels: NDArray[Any] | None = None
    probabilities: NDArray[Any] | None = None
    classes: NDArray[Any] | None = None
    values: NDArray[Any] | None = None
    texts: NDArray[Any] | None = None


class Answers(NamedTuple):
    """Truth and prediction on one footing: classes as codes, everything else as float64."""

    truth: NDArray[Any]
    labels: NDArray[np.int64] | None
    probabilities: Floats | None
    values: Floats | None
    n_classes: int
    weight: Floats | None
    texts: NDArray[Any] | None = None


def predict(estimator: Any, X: Any) -> Prediction:
    """Ask a fitted scikit-learn estimator for everything it can say about ``X``."""
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        said = np.asarray(estimator.predict(X))
        if said.dtype.kind in "OU":
            return Prediction(texts=said.astype(object))
        return Prediction(values=said.astype(np.float64).reshape(-1))
    labels = np.asarray(estimator.predict(X))
    probabilities = np.asarray(estimator.predict_proba(X)) if hasattr(estimator, "predict_proba") else None
    return Prediction(labels=labels, probabilities=probabilities, classes=np.asarray(classes))


def answers_of(
    needs: Needs, y_true: ArrayLike, prediction: Prediction | ArrayLike, sample_weight: ArrayLike | None
) -> Answers:
    """Check a prediction against the truth and bring both on one footing.

    Raises
    ------
    InputError
        If they do not fit together, or the prediction lacks what the metric needs.
    """
    y = np.asarray(y_true)
    p = prediction if isinstance(prediction, Prediction) else _wrapped(needs, y, np.asarray(prediction))
    if y.ndim != 1 or not len(y):
        mend = "pass one true value a row, for example y.ravel()"
        raise InputError("y_true of shape (n,) with n >= 1", f"shape {y.shape}", mend)
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if weight is not None and (weight.shape != y.shape or not np.all(weight >= 0) or weight.sum() <= 0):
        mend = "pass one non-negative weight a row"
        raise InputError(f"weights of shape {y.shape}, none negative", f"shape {weight.shape}", mend)
    given = getattr(p, needs)
    if given is None and needs == "labels" and p.probabilities is not None and p.classes is not None:
        given = p.classes[np.argmax(p.probabilities, axis=1)]
    if given is None:
        mend = f"choose a metric that does not need {needs}, or a model that gives them"
        raise InputError(f"{needs}", "a prediction without them", mend)
    if len(given) != len(y):
        raise InputError(f"{len(y)} predictions", f"{len(given)}", "predict the same rows as y_true")
    if needs == "texts":
        pairs = [np.array([str(text) for text in part], dtype=object) for part in (y, given)]
        return Answers(pairs[0], None, None, None, 0, weight, pairs[1])
    if needs == "values":
        return _numbers(y, np.asarray(given), weight)
    return _codes(needs, y, given, p, weight)


def _wrapped(needs: Needs, y: NDArray[Any], given: NDArray[Any]) -> Prediction:
    if needs != "probabilities":
        return Prediction(**{needs: given})
    classes = np.unique(y)
    if given.ndim == 1:
        given = np.stack([1 - given, given], axis=1)
    if given.shape[1] != len(classes):
        raise InputError(
            f"one column for each of the {len(classes)} classes in y_true",
            f"{given.shape[1]} columns",
            "pass Prediction(probabilities=..., classes=estimator.classes_)",
        )
    return Prediction(probabilities=given, classes=classes)


def _numbers(y: NDArray[Any], given: NDArray[Any], weight: Floats | None) -> Answers:
    truth, values = np.asarray(y, dtype=np.float64), np.asarray(given, dtype=np.float64)
    if values.shape != truth.shape:
        mend = "a column against a row would broadcast: pass prediction.ravel()"
        raise InputError(f"predictions of shape {truth.shape}", f"shape {values.shape}", mend)
    if not (np.isfinite(truth).all() and np.isfinite(values).all()):
        mend = "drop rows without a target, and look why the model predicts NaN"
        raise InputError("finite true and predicted values", "NaN or infinity", mend)
    return Answers(truth, None, None, values, 0, weight)


def _codes(needs: Needs, y: NDArray[Any], given: NDArray[Any], p: Prediction, weight: Floats | None) -> Answers:
    classes: list[Any] = list(dict.fromkeys((p.classes if p.classes is not None else np.unique(y)).tolist()))
    code = {name: i for i, name in enumerate(classes)}
    labels = None if needs == "probabilities" else np.asarray(given).tolist()
    for name in (*y.tolist(), *(labels or ())):  # classes the model never saw come last, with probability 0
        code.setdefault(name, len(code))
    truth = np.array([code[name] for name in y.tolist()], dtype=np.int64)
    if labels is not None:
        return Answers(truth, np.array([code[n] for n in labels], dtype=np.int64), None, None, len(code), weight)
    q = np.asarray(given, dtype=np.float64)
    if q.ndim != 2 or q.shape[1] != len(classes):
        raise InputError(f"{len(classes)} columns of probabilities", f"shape {q.shape}", "pass predict_proba(X)")
    if not np.isfinite(q).all() or q.min() < -1e-6 or not np.allclose(q.sum(1), 1, atol=1e-3):
        raise InputError("probabilities that sum to 1 in each row", "other numbers", "apply a softmax first")
    q = np.clip(q, 0, None)
    q = np.pad(q / q.sum(1, keepdims=True), ((0, 0), (0, len(code) - len(classes))))
    if q.shape[1] == 1:
        q = np.pad(q, ((0, 0), (0, 1)))  # one class only: scikit-learn's functions want a second
    return Answers(truth, None, q, None, q.shape[1], weight)
