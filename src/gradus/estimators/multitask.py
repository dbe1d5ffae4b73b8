"""One multilayer perceptron for several targets of different kinds (§7.7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from sklearn.base import MultiOutputMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.validation import _num_samples, check_is_fitted
from torch import Tensor

from gradus.core.errors import InputError, SettingError
from gradus.core.numbers import check_size
from gradus.core.options import option
from gradus.data.batches import Batch
from gradus.estimators.inputs import check_rows, check_table, drop_weightless
from gradus.estimators.mlp import MLPOptions, _TableInputs
from gradus.estimators.supervised import SupervisedEstimator
from gradus.networks.heads import BinaryHead, CategoricalHead, GaussianHead, Head
from gradus.networks.multitask import MultiTaskHead
from gradus.training.losses import LossFunction, head_loss

__all__ = ["MultiTaskMLP"]

Kind = Literal["class", "number"]


@dataclass(kw_only=True, eq=False, repr=False)
class MultiTaskMLP(MultiOutputMixin, _TableInputs, MLPOptions, SupervisedEstimator):
    """Multilayer perceptron for several targets at once: classes and numbers, all from the same features.

    ``y`` is a frame, a dictionary of columns or an array with a column a target. Columns of words, truth values or
    whole numbers are classes, others numbers; ``kinds`` says otherwise. A gap (NaN or None) is a target that is not
    known: the row still teaches the others.

    ``predict`` returns an array with a column a target, as scikit-learn's multi-output estimators do, of objects where
    classes are words; ``predict_proba`` a list with an array for each target of classes (of one target, the array).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 3))
    >>> y = pd.DataFrame({"side": np.where(X[:, 0] > 0, "right", "left"), "size": 10 * X[:, 1] + 50})
    >>> model = MultiTaskMLP(hidden=(32,), max_epochs=60, learning_rate=0.01, random_state=0).fit(X, y)
    >>> model.predict(X).shape, bool(model.score(X, y) > 0.9)
    ((200, 2), True)

    References
    ----------
    Goodfellow et al. 2016, §7.7; Caruana 1997, Multitask Learning.
    """

    kinds: tuple[Kind, ...] | None = option(None, "kind of each target, class or number; none: by its values")
    task_weights: tuple[float, ...] | None = option(None, "weight of each target's loss; none: 1 each", above=0)
    number_head: Literal["gaussian", "gaussian_learned"] = option(
        "gaussian", "distribution of targets that are numbers; gaussian has one variance for all rows"
    )

    # -- fitting -------------------------------------------------------------------------------------------------

    def _encode_pairs(self, X: Any, y: Any, weights: Tensor | None, *, reset: bool) -> Batch:
        n = _num_samples(X)
        check_rows("sample_weight", weights, n)
        if n == 0:
            raise InputError("at least one row", "0 rows", "check how the data were filtered")
        check_table(self, X, reset=reset)  # what is wrong with the rows is said before what is wrong with the targets
        targets = self._encode_targets(y, n, weights, reset=reset)
        if reset and self.members > 1:
            raise SettingError("members=1 for several targets", str(self.members), "fit an ensemble for each target")
        X, index, weights = drop_weightless(X, np.arange(n), weights)
        inputs = self._encode_inputs(X, weights, reset=reset)
        return {**inputs, "targets": targets[index]} | ({} if weights is None else {"weights": weights})

    def _encode_targets(self, y: Any, n: int, weights: Tensor | None, *, reset: bool) -> Tensor:
        names, columns = _columns_of(y)
        check_rows("y", columns[0] if columns else [], n)
        if reset:
            self._learn_tasks(names, columns, weights)
        if len(columns) != len(self.tasks_):
            raise InputError(f"{len(self.tasks_)} targets", str(len(columns)), "pass the targets that were fitted")
        return torch.stack([_encoded(task, column) for task, column in zip(self.tasks_, columns, strict=True)], 1)

    def _learn_tasks(self, names: list[str], columns: list[np.ndarray], weights: Tensor | None) -> None:
        for name, given in (("kinds", self.kinds), ("task_weights", self.task_weights)):
            if given is not None and len(given) != len(columns):
                raise SettingError(f"{name} of {len(columns)} targets", str(given), "name one for each column of y")
        used = None if weights is None else weights.numpy().astype(np.float64)
        self.tasks_: list[dict[str, Any]] = []
        for k, (name, column) in enumerate(zip(names, columns, strict=True)):
            known = ~pd.isna(column)
            if used is not None:
                known &= used > 0
            if not known.any():
                raise InputError(f"a known value of target {name!r}", "gaps only", "leave that target out")
            values = np.array(column[known].tolist())
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise InputError(f"finite numbers in target {name!r}", "infinity", "replace or drop those rows")
            kind = _kind_of(values) if self.kinds is None else self.kinds[k]
            task: dict[str, Any] = {"name": name, "kind": kind}
            if kind == "class":
                task["classes"] = np.unique(values)
                if len(task["classes"]) < 2:
                    received = f"1 class ({task['classes'][0]!r})"
                    raise InputError(f"at least 2 classes of target {name!r}", received, "leave that target out")
            else:
                numbers = _numbers(name, values)
                share = None if used is None else used[known]
                mean = float(np.average(numbers, weights=share))
                deviation = float(np.sqrt(np.average((numbers - mean) ** 2, weights=share)))
                task |= {"mean": mean, "deviation": deviation}
            self.tasks_.append(task)

    def _make_head(self, features: int) -> Head:
        heads: list[Head] = []
        for task in self.tasks_:
            if task["kind"] == "number":
                variance = "learned" if self.number_head == "gaussian_learned" else "fixed"
                head = GaussianHead(features, variance=variance)
                head.set_scale(task["mean"], task["deviation"])
                heads.append(head)
            else:
                classes = len(task["classes"])
                heads.append(BinaryHead(features) if classes == 2 else CategoricalHead(features, classes))
        return MultiTaskHead(heads, self.task_weights)

    def _loss(self, network: Any) -> LossFunction:
        return head_loss(network.head, inputs=self._input_names)

    def _measure(self, network: Any, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Score is the mean over targets of the share that is right, or of the training variance explained."""
        measured = self._measured(network, batch)
        count = torch.as_tensor(measured.count)
        total = torch.zeros_like(measured.total)
        for k, task in enumerate(self.tasks_):
            known = measured.metrics[f"known_{k}"].clamp_min(1e-12)
            if task["kind"] == "class":
                total = total + measured.metrics[f"correct_{k}"] / known
            else:
                total = total + 1 - measured.metrics[f"squared_error_{k}"] / known / (task["deviation"] ** 2 or 1.0)
        return measured.total, total / len(self.tasks_) * count, count

    @torch.no_grad()
    def _settle(self, X: Any, y: Any, sample_weight: Any, X_val: Any, y_val: Any) -> None:
        """Give the fixed-variance heads the residuals' variance: of validation data, else of the rows fitted on."""
        network: Any = self.network_
        head = network.head
        X, y, sample_weight = (X, y, sample_weight) if X_val is None else (X_val, y_val, None)
        batch = self._encode(X, y, sample_weight)
        rows = batch.get("weights", torch.ones(len(batch["targets"])))
        inputs = {name: batch[name].to(head.heads[0].linear.weight.device) for name in self._input_names}
        parts = head.split(network(*inputs.values()).cpu())
        for k, (one, part) in enumerate(zip(head.heads, parts, strict=True)):
            if isinstance(one, GaussianHead) and not one.learned:
                column = batch["targets"][:, k]
                known = ~column.isnan()
                if known.any():
                    one.fit_variance(part[known], column[known].to(part), rows[known])

    # -- answering -----------------------------------------------------------------------------------------------

    def predict(self, X: Any) -> np.ndarray:
        """Return each target's prediction, shape (n, targets); of objects where a class is no number."""
        check_is_fitted(self)
        codes = self._forward(X, lambda head, parameters: head.point(parameters), double=True).double().numpy()
        columns = []
        for k, task in enumerate(self.tasks_):
            column = codes[:, k]
            columns.append(task["classes"][column.round().astype(int)] if task["kind"] == "class" else column)
        if all(column.dtype.kind in "biuf" for column in columns):
            return np.stack(columns, 1)
        return np.stack([column.astype(object) for column in columns], 1)

    def predict_proba(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """Return the probabilities of each target of classes, in order: a list of arrays of shape (n, classes).

        Where there is but one target in all, its array, as scikit-learn's forests do.
        """
        check_is_fitted(self)
        wanted = [k for k, task in enumerate(self.tasks_) if task["kind"] == "class"]
        if not wanted:
            raise InputError("a target of classes", "numbers only", "use predict, or predict_distribution")

        def answer(head: Any, parameters: Tensor) -> Tensor:
            parts = head.split(parameters.cpu().double())
            return torch.cat([head.heads[k].probabilities(parts[k]) for k in wanted], 1)

        found = self._forward(X, answer, double=True).numpy()
        if len(self.tasks_) == 1:
            return found
        ends = np.cumsum([len(self.tasks_[k]["classes"]) for k in wanted])[:-1]
        return np.split(found, ends, axis=1)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the mean over targets of accuracy (classes) and R squared (numbers), each over its known values."""
        _, columns = _columns_of(y)
        predicted = self.predict(X)
        if len(columns) != predicted.shape[1]:
            raise InputError(f"{predicted.shape[1]} targets", str(len(columns)), "pass the targets that were fitted")
        scores = []
        for k, (task, column) in enumerate(zip(self.tasks_, columns, strict=True)):
            known = ~pd.isna(column)
            weights = None if sample_weight is None else np.asarray(sample_weight)[known]
            truth, given = np.array(column[known].tolist()), predicted[known, k]
            if task["kind"] == "class":
                scores.append(accuracy_score(truth, given.astype(truth.dtype), sample_weight=weights))
            else:
                scores.append(r2_score(truth.astype(float), given.astype(float), sample_weight=weights))
        return float(np.mean(scores))

    def __sklearn_tags__(self) -> Any:
        """Say to scikit-learn that targets come in columns."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.single_output = False
        tags.target_tags.multi_output = True
        return tags


def _columns_of(y: Any) -> tuple[list[str], list[np.ndarray]]:
    """Return the names and values of the targets."""
    if isinstance(y, Mapping):
        y = pd.DataFrame(dict(y))
    if isinstance(y, pd.DataFrame):
        return [str(name) for name in y.columns], [y[name].to_numpy(dtype=object) for name in y.columns]
    values = np.asarray(y)
    if values.ndim != 2 or values.shape[1] == 0:
        mend = "pass a frame with a column a target, or y.reshape(-1, 1) for one"
        raise InputError("y with a column for each target", f"shape {values.shape}", mend)
    return [str(k) for k in range(values.shape[1])], list(values.T)


def _kind_of(values: np.ndarray) -> Kind:
    return "number" if values.dtype.kind == "f" and bool((values % 1 != 0).any()) else "class"


def _numbers(name: str, values: np.ndarray) -> np.ndarray:
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError):
        received, mend = f"{values[0]!r}", "set its kind to class"
        raise InputError(f"numbers in target {name!r}", received, mend) from None
    check_size(f"target {name!r}", numbers)
    return numbers


def _encoded(task: Mapping[str, Any], column: np.ndarray) -> Tensor:
    """Return a target's numbers, or the numbers of its classes, as float32; NaN for gaps."""
    known = ~pd.isna(column)
    found = np.full(len(column), np.nan)
    values = np.array(column[known].tolist())
    if task["kind"] == "number":
        found[known] = _numbers(task["name"], values)
    elif len(values):
        classes = task["classes"]
        try:
            index = np.searchsorted(classes, values).clip(0, len(classes) - 1)
            strange = values[classes[index] != values]
        except TypeError:
            index, strange = np.zeros(len(values), dtype=int), values
        if len(strange):
            expected = f"classes of target {task['name']!r} that were fitted"
            raise InputError(expected, repr(strange[0]), "fit again with all classes")
        found[known] = index
    return torch.from_numpy(found.astype(np.float32))
