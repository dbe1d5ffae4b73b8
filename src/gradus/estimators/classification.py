"""What all classifiers share: classes and weights on the way in, probabilities on the way out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _num_samples, check_is_fitted, column_or_1d
from torch import Tensor

from gradus.core.errors import InputError, SettingError
from gradus.core.options import option
from gradus.data.batches import Batch
from gradus.estimators.ensembles import probabilities_of
from gradus.estimators.inputs import check_rows, drop_weightless
from gradus.estimators.regularization import (
    RegularizationOptions,
    check_regularization,
    full_pixel,
    labelled_rows,
    regularized_loss,
)
from gradus.estimators.supervised import SupervisedEstimator
from gradus.networks.heads import BinaryHead, CategoricalHead, ClassHead, MultiLabelHead, OrdinalHead
from gradus.training.losses import LossFunction

__all__ = ["GradientClassifier"]


@dataclass(kw_only=True, eq=False, repr=False)
class GradientClassifier(ClassifierMixin, RegularizationOptions, SupervisedEstimator):
    """Base of classifiers trained by gradients; a subclass says what its inputs are and which body reads them."""

    head: Literal["auto", "categorical", "ordinal"] = option(
        "auto", "auto: one logit for two classes, independent ones for several labels, else one a class"
    )
    class_weight: Literal["balanced"] | dict | None = option(None, "weight of each class in the loss")
    label_smoothing: float = option(0.0, "share of a target's probability spread over all classes", low=0, high=0.99)

    _double: ClassVar[bool] = True  # whether answers are computed in double precision

    # -- fitting -------------------------------------------------------------------------------------------------

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Make one pass over a part of the data; the first call names all ``classes``.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : array-like of shape (n_classes,), optional
            All classes that will come; needed in the first call unless it shows them all, and the same in later ones.

        Raises
        ------
        InputError
            If ``classes`` are others than in the first call.
        """
        first = not hasattr(self, "network_")
        if classes is not None:
            given = _distinct(np.asarray(classes))
            if not first and given.tolist() != self.classes_.tolist():
                expected = f"the classes of the first call ({_named(self.classes_)})"
                raise InputError(expected, _named(given), "leave classes out, or start anew with a clone")
            self._classes_to_come = given
        try:
            return self._partial_fit(X, y, sample_weight, first=first)
        finally:
            self.__dict__.pop("_classes_to_come", None)

    def _encode_pairs(self, X: Any, y: Any, weights: Tensor | None, *, reset: bool) -> Batch:
        n = _num_samples(X)
        check_rows("sample_weight", weights, n)
        if n == 0:
            raise InputError("at least one row", "0 rows", "check how the data were filtered")
        targets = self._encode_targets(y, n, reset=reset)
        if reset:
            self._check_classes()
        X, index, weights = drop_weightless(X, np.arange(n), self._weights(targets, weights))
        inputs = self._encode_inputs(X, weights, reset=reset)
        if reset:
            check_regularization(self, inputs)
            self.full_pixel_ = full_pixel(self, inputs[self._input_names[0]]) if self._moves_inputs else None
        batch = {**inputs, "targets": targets[index]} | ({} if weights is None else {"weights": weights})
        if self.semi_supervised is None:
            return batch
        rows, share = labelled_rows(batch["targets"])
        return {name: tensor[rows] for name, tensor in batch.items()} | {"labelled": share}

    @property
    def _moves_inputs(self) -> bool:
        return bool(self.adversarial_epsilon) or self.semi_supervised == "virtual_adversarial"

    def _encode_targets(self, y: Any, n: int, *, reset: bool) -> Tensor:
        if self.semi_supervised is not None:
            return self._encode_partly(y, n, reset=reset)
        return self._encode_classes(y, n, reset=reset)

    def _encode_partly(self, y: Any, n: int, *, reset: bool) -> Tensor:
        """Return the number of each class, and -1 for rows without one."""
        labels = column_or_1d(y, warn=True)
        check_rows("y", labels, n)
        known = ~np.array([_is_gap(label) for label in labels.tolist()], dtype=bool)
        if not known.any():
            raise InputError("a row with a class", "none", "label some rows, or choose a method without classes")
        if labels.dtype == object:
            _distinct(labels[known])
        targets = torch.full((n,), -1)
        given = np.array(labels[known].tolist())  # in a type of its own: the gap may have made it object or float
        targets[torch.from_numpy(known)] = self._encode_classes(given, len(given), reset=reset)
        return targets

    def _encode_classes(self, y: Any, n: int, *, reset: bool) -> Tensor:
        if not hasattr(y, "todense") and (given := np.asarray(y)).dtype == object and given.ndim == 1:
            _distinct(given)  # before scikit-learn stumbles over a gap among words
        check_classification_targets(y)
        multilabel = type_of_target(y) == "multilabel-indicator"
        if reset:
            self.multilabel_ = multilabel
        if multilabel != self.multilabel_:
            raise InputError("targets of the kind fitted", type_of_target(y), "pass the same kind of targets")
        if multilabel:
            return self._encode_labels(np.asarray(y.todense() if hasattr(y, "todense") else y), n, reset=reset)
        labels = column_or_1d(y, warn=True)
        check_rows("y", labels, n)
        if reset:
            known = getattr(self, "_classes_to_come", None)
            self.classes_ = _distinct(labels) if known is None else known
        try:
            index = np.searchsorted(self.classes_, labels).clip(0, len(self.classes_) - 1)
            strange = labels[self.classes_[index] != labels]
        except TypeError:  # words where numbers were fitted, or the other way round
            index, strange = np.empty(0), labels
        if len(strange):
            expected = f"classes that were fitted ({_named(self.classes_)})"
            raise InputError(expected, repr(strange[:1].tolist()[0]), "fit again with all classes")
        return torch.from_numpy(index.astype(np.int64))

    def _encode_labels(self, labels: np.ndarray, n: int, *, reset: bool) -> Tensor:
        check_rows("y", labels, n)
        if reset:
            self.classes_ = np.arange(labels.shape[1])
            known = getattr(self, "_classes_to_come", self.classes_)
            if known.tolist() != self.classes_.tolist():
                expected = f"classes that number the {labels.shape[1]} labels ({_named(self.classes_)})"
                raise InputError(expected, _named(known), "leave classes out")
        if labels.shape[1] != len(self.classes_):
            raise InputError(f"{len(self.classes_)} labels", str(labels.shape[1]), "pass the labels that were fitted")
        if not np.isin(labels, (0, 1)).all():
            mend = "turn them into an indicator matrix, or pass one column of classes"
            raise InputError("zeros and ones for several labels", "other values", mend)
        return torch.from_numpy(labels.astype(np.float32))

    def _check_classes(self) -> None:
        if not self.multilabel_ and len(self.classes_) < 2:
            raise InputError(
                "at least 2 classes in y", f"1 class ({self.classes_[0]!r})", "check the target column or the filter"
            )
        if self.head != "auto" and self.multilabel_:
            mend = "set head='auto', or pass one column of classes"
            raise SettingError("head='auto' for several labels", repr(self.head), mend)

    def _weights(self, targets: Tensor, weights: Tensor | None) -> Tensor | None:
        if self.class_weight is None:
            return weights
        if self.multilabel_:
            raise SettingError("class_weight=None for several labels", repr(self.class_weight), "use sample_weight")
        given = self.class_weight
        if isinstance(given, dict):
            strange = [c for c in given if c not in set(self.classes_.tolist())]
            if strange:
                raise SettingError(
                    f"class_weight keyed by the classes {self.classes_}", repr(strange[0]), "name a class"
                )
            wrong = [w for w in given.values() if not isinstance(w, Real) or not math.isfinite(w) or w < 0]
            if wrong or not any(given.get(c, 1.0) for c in self.classes_.tolist()):
                received = repr(wrong[0]) if wrong else "zeros only"
                raise SettingError("class_weight of finite numbers of 0 or more", received, "change it or leave it out")
            table = {c: given.get(c, 1.0) for c in self.classes_.tolist()}
        else:
            seen = targets >= 0 if weights is None else (targets >= 0) & (weights > 0)
            counted, used = self.classes_[targets[seen].numpy()], None if weights is None else weights[seen].numpy()
            present = np.unique(counted)
            balanced = compute_class_weight("balanced", classes=present, y=counted, sample_weight=used)
            table = dict(zip(present.tolist(), balanced, strict=True))
        each = torch.tensor([*(float(table.get(c, 1.0)) for c in self.classes_.tolist()), 1.0])[targets]  # -1: no class
        return each if weights is None else each * weights

    def _split(self, tensors: Batch, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        if self.semi_supervised is not None:
            mend = "pass labelled rows as X_val and y_val, or set early_stopping=False"
            raise SettingError("validation data beside semi_supervised", "early_stopping=True without them", mend)
        targets = tensors["targets"].numpy()
        rows = np.arange(len(targets))
        counts = np.bincount(targets) if targets.ndim == 1 else np.array([0])
        held = max(1, round(len(rows) * fraction))
        fits = counts[counts > 0].min() >= 2 and held >= (counts > 0).sum() and len(rows) - held >= (counts > 0).sum()
        if len(rows) < 2:
            return rows, rows[:0]
        train, valid = train_test_split(
            rows, test_size=held, random_state=seed % 2**32, stratify=targets if fits else None
        )
        return np.sort(train), np.sort(valid)

    def _make_head(self, features: int) -> ClassHead:
        classes = len(self.classes_)
        if self.multilabel_:
            return MultiLabelHead(features, classes)
        if self.head == "ordinal":
            return OrdinalHead(features, classes)
        return BinaryHead(features) if self.head == "auto" and classes == 2 else CategoricalHead(features, classes)

    def _loss(self, network: Any) -> LossFunction:
        return regularized_loss(self, network)

    def _measure(self, network: Any, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        if self.semi_supervised is not None:
            known = batch["targets"] >= 0
            batch = {name: tensor[known] for name, tensor in batch.items()}
        measured = self._measured(network, batch)
        return measured.total, measured.metrics["correct"], torch.as_tensor(measured.count)

    # -- answering -----------------------------------------------------------------------------------------------

    def predict_proba(self, X: Any, samples: int | None = None) -> np.ndarray:
        """Return the probability of each class, shape (n, classes), float64; of each label where there are several.

        Tables are answered in double precision throughout, so that a row's answer does not depend on the rows it
        comes with; images, whose forward pass takes its time, from the logits on.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows.
        samples : int, optional
            Average over as many dropout masks (Monte Carlo dropout), drawn from the fit's seed.
        """
        check_is_fitted(self)
        if samples is not None:
            return self.predict_members(X, samples).mean(0)
        return self._forward(
            X, lambda head, parameters: head.probabilities(parameters.cpu().double()), double=self._double
        ).numpy()

    def _member_answers(self, members: Any) -> Tensor:
        return probabilities_of(members)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """Return the likeliest class of each row, shape (n,), or an indicator matrix of labels."""
        check_is_fitted(self)
        index = self._forward(X, lambda head, parameters: head.point(parameters), double=self._double).numpy()
        return index if self.multilabel_ else self.classes_[index]

    def __sklearn_tags__(self) -> Any:
        """Say to scikit-learn what this classifier takes."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = self.head == "auto"
        return tags


def _is_gap(label: Any) -> bool:
    """Whether a label says that there is none: -1, as in scikit-learn's semi_supervised, None or NaN."""
    if label is None or type(label).__name__ in ("NAType", "NaTType"):  # pandas' gaps equal nothing, themselves neither
        return True
    return isinstance(label, Real) and (label == -1 or label != label)


def _distinct(labels: np.ndarray) -> np.ndarray:
    try:
        return np.unique(labels)
    except TypeError:
        kinds = ", ".join(sorted({type(label).__name__ for label in labels}))
        raise InputError("classes of one type", kinds, "drop rows without a class and convert the others") from None


def _named(classes: np.ndarray) -> str:
    """Name the first few classes, for a sentence."""
    return ", ".join(map(str, classes[:5])) + (" ..." if len(classes) > 5 else "")
