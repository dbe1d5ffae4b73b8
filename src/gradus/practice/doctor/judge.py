"""The doctor's own judgement of a network: how far above what is trivial, on one scale for every task."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradus.practice.doctor.patient import Patient
from gradus.practice.doctor.task import (
    Task,
    answers_in,
    by_draws,
    by_weights,
    loss_kind,
    task_of,
    told_by_loss,
    with_ignored,
)

__all__ = ["Judge", "linear_code_skill", "reference_skill"]

ROWS = 1000
WORDS = 2000  # most tokens that simple models count
WIDE = 400  # columns beyond which trees look at few of them at each split


@dataclass
class Judge:
    """Judge networks on validation rows.

    Skill is 0 where answers are as good as the best constant one and 1 where they are perfect: of classes, accuracy
    above that of the commonest class over what it leaves; of numbers, R squared; of anything else, the share by which
    the loss fell below that of before training.

    Attributes
    ----------
    task : Task
        What is asked.
    batches : list
        Validation batches.
    first_loss : float
        Validation loss before training.
    rare : bool
        Whether one of two classes is so rare that how rows are ranked says more than how many are right: skill is
        then twice the area under the ROC curve, less one.
    linked : bool
        Whether outputs are not the numbers themselves but, say, their logarithms: skill is then how well the two go
        together, the square of their correlation.
    squashed : bool
        Whether outputs are raw scores of numbers from 0 to 1, which the loss squashes itself.
    turnable : bool
        Whether the loss is of no known kind, so that large outputs may mean small targets, as distances and risks do.
    parted : bool
        Whether outputs have several parts, and only the judge knows which of them is the answer.
    """

    task: Task
    batches: list[Any]
    first_loss: float = math.nan
    rare: bool = False
    linked: bool = False
    squashed: bool = False
    turnable: bool = False
    parted: bool = False

    @classmethod
    def of(cls, patient: Patient) -> Judge:
        """Return a judge for a patient that has not been trained."""
        source = patient.valid or patient.train
        batches: list[Any] = []
        rows = 0
        for batch in source.batches():
            batches.append(batch)
            first = batch[0] if isinstance(batch, tuple | list) else batch
            rows += len(first) if isinstance(first, Tensor) and first.ndim else 1
            if rows >= ROWS:
                break
        task = Task("other")
        if batches and patient.criterion is not None and patient.plain:
            with torch.no_grad():
                patient.network.eval()
                output = patient.forward(batches[0])
                inputs = patient.inputs(batches[0])[0]
                task = task_of(output, patient.target(batches[0]), inputs)
                if isinstance(output, Tensor):
                    task = told_by_loss(task, patient.criterion, output, patient.target(batches[0]))
                    task = _coded(patient, batches, task)
                    if task.kind in ("binary", "numbers", "classes") and _no_targets(patient, batches):
                        task = Task("other")
                    task = with_ignored(task, patient.criterion, output, patient.target(batches[0]))
                    if task.kind == "classes" and not task.sequence:
                        task = by_weights(task, patient.criterion, output, _counts(patient, batches))
                        task = by_draws(task, patient.train.rows(ROWS)[-1], _counts(patient, batches))
                elif found := answers_in(output, patient.target(batches[0])):
                    return cls(task_of(found[0], patient.target(batches[0])), batches, parted=True)._begun(patient)
        judge = cls(task, batches)
        if task.kind in ("numbers", "reconstruction", "binary") and patient.criterion is not None:
            kind = loss_kind(patient.criterion, output, patient.target(batches[0]), task)
            judge.squashed = task.kind != "binary" and kind == "sigmoid"
            judge.linked = task.kind == "numbers" and kind not in ("distance", "sigmoid")
            judge.turnable = task.kind != "reconstruction" and kind == "other"
        judge.rare = is_rare([patient.target(batch) for batch in batches], task)
        return judge._begun(patient)

    def _begun(self, patient: Patient) -> Judge:
        self.first_loss = self(patient)["valid_loss"]
        return self

    @property
    def noise(self) -> float:
        """How far the skill may be off because validation rows are few: about a standard error."""
        targets = [batch[-1] for batch in self.batches if isinstance(batch, tuple | list)]
        if not targets or not all(isinstance(t, Tensor) for t in targets):
            return 0.0
        whole = torch.cat([t.reshape(-1) for t in targets])
        if self.task.kind in ("classes", "binary") and not self.rare:
            counts = whole.unique(return_counts=True)[1].double()
            rest = max(1e-3, 1 - float(counts.max() / counts.sum()))
            return min(0.5, 0.5 * len(whole) ** -0.5 / rest)
        return min(0.5, sum(len(t) for t in targets) ** -0.5)

    @torch.no_grad()
    def __call__(self, patient: Patient) -> dict[str, Any]:
        """Return skill and loss on validation rows, the network in evaluation mode and left as it was."""
        if not patient.plain:
            return self._asked(patient)
        modes = [(module, module.training) for module in patient.network.modules()]
        state = torch.get_rng_state()
        patient.network.eval()
        try:
            losses, outputs, targets = [], [], []
            for batch in self.batches:
                if patient.criterion is None:
                    losses.append(self._objective(patient, batch))
                    continue
                output, target = patient.forward(batch), patient.target(batch)
                if patient.objective is not None:
                    losses.append(self._objective(patient, batch))
                else:
                    losses.append(float(torch.as_tensor(patient.criterion(output, target)).float().mean()))
                outputs.append(output)
                targets.append(target)
        finally:
            torch.set_rng_state(state)
            for module, training in modes:
                module.training = training
        loss = sum(losses) / len(losses) if losses else math.nan
        return {"valid_loss": loss, "skill": self._skill(outputs, targets, loss)}

    def _asked(self, patient: Patient) -> dict[str, Any]:
        """Return the user's own score with its sign turned, where nothing else can be measured."""
        if patient.evaluate is None or patient.valid is None:
            return {"valid_loss": math.nan, "skill": math.nan}
        modes = [(module, module.training) for module in patient.network.modules()]
        state = torch.get_rng_state()
        patient.network.eval()
        try:
            loss = -float(patient.evaluate(patient.network, patient.valid.given))
        finally:
            torch.set_rng_state(state)
            for module, training in modes:
                module.training = training
        return {"valid_loss": loss, "skill": self._skill([], [], loss)}

    def _objective(self, patient: Patient, batch: Any) -> float:
        if patient.objective is None:
            return math.nan
        with torch.enable_grad():
            return float(torch.as_tensor(patient.objective(patient.network, batch)).detach().float().mean())

    def _skill(self, outputs: list[Any], targets: list[Any], loss: float) -> float:
        kind = self.task.kind
        if outputs and not isinstance(outputs[0], Tensor) and kind != "other":  # the best of the parts that may be it
            parts = zip(*(answers_in(o, t) for o, t in zip(outputs, targets, strict=True)), strict=True)
            return max((self._skill(list(part), targets, loss) for part in parts), default=math.nan)
        if kind == "other" or not outputs:
            if not math.isfinite(loss) or not math.isfinite(self.first_loss):
                return math.nan
            return (self.first_loss - loss) / max(abs(self.first_loss), 1e-12)
        try:
            pairs = [_compared(o, t, self.task) for o, t in zip(outputs, targets, strict=True)]
        except (RuntimeError, IndexError, ValueError):
            return math.nan
        answer, truth = torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])
        answer = torch.sigmoid(answer) if self.squashed else answer
        if self.rare:
            return ranking_skill(torch.cat([_score(o, self.task) for o in outputs]).numpy(), truth.numpy().ravel())
        if kind in ("numbers", "reconstruction"):
            spread = float(((truth - truth.mean(0)) ** 2).sum())
            if self.linked and truth.shape[1] == 1:
                together = float(torch.corrcoef(torch.stack([answer[:, 0], truth[:, 0]]))[0, 1])
                signed = together**2 if self.turnable else abs(together) * together
                return signed if math.isfinite(together) else 0.0
            return 1 - float(((answer - truth) ** 2).sum()) / spread if spread > 0 else math.nan
        if self.task.balanced:
            return _mean_recall((answer == truth).numpy(), truth.numpy())
        common = max((float((truth == value).double().mean()) for value in truth.unique()), default=1.0)
        if kind == "binary" and truth.ndim > 1:
            common = float(torch.maximum(truth.double().mean(0), 1 - truth.double().mean(0)).mean())
        accuracy = float((answer == truth).double().mean())
        if self.turnable and kind == "binary":
            scores = torch.cat([o.reshape(-1) for o in outputs]).double().numpy()
            return abs(ranking_skill(scores, truth.reshape(-1).numpy()))
        return (accuracy - common) / (1 - common) if common < 1 else math.nan


def _coded(patient: Patient, batches: list[Any], task: Task) -> Task:
    """Return the task; another kind where outputs are no scores of classes, by a loss of the program's own.

    Levels may have one output less than there are of them, and code words more.
    """
    if task.kind != "classes" or task.sequence or patient.criterion is None:
        return task
    top = max(int(patient.target(batch).max()) for batch in batches)
    if top == task.classes - 1:
        return task
    at = next(batch for batch in batches if int(patient.target(batch).max()) == top)
    output, target = patient.forward(at), patient.target(at)
    if top < task.classes:
        return Task("other") if loss_kind(patient.criterion, output, target, task) == "other" else task
    try:
        cost = float(patient.criterion(output, target))
    except Exception:  # an index that is out of bounds
        return task
    return Task("other") if top == task.classes and math.isfinite(cost) else task


def _counts(patient: Patient, batches: list[Any]) -> Tensor:
    """Return how many rows each class has."""
    whole = torch.cat([patient.target(batch).reshape(-1).long() for batch in batches])
    return torch.bincount(whole[whole >= 0])


def _mean_recall(right: np.ndarray, truth: np.ndarray) -> float:
    """Return how far the mean recall of the classes is above that of a constant answer, over what that leaves."""
    recalls = [float(right[truth == value].mean()) for value in np.unique(truth)]
    n = len(recalls)
    return (sum(recalls) / n - 1 / n) / (1 - 1 / n) if n > 1 else math.nan


def _no_targets(patient: Patient, batches: list[Any]) -> bool:
    """Whether the last part of the batches is one number throughout: it stands where an objective needs no target."""
    if patient.objective is None:
        return False
    values = torch.cat([patient.target(batch).reshape(-1).unique() for batch in batches])
    return bool((values == values[0]).all())


def is_rare(targets: list[Any], task: Task) -> bool:
    """Whether there are two classes, and one is rarer than a fifth."""
    if task.sequence or task.kind not in ("classes", "binary") or not all(isinstance(t, Tensor) for t in targets):
        return False
    whole = torch.cat([t.reshape(-1) for t in targets]) if targets and targets[0].numel() == len(targets[0]) else None
    if whole is None:
        return False
    values, counts = whole.unique(return_counts=True)
    return len(values) == 2 and float(counts.max() / counts.sum()) > 0.8


def ranking_skill(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return twice the area under the ROC curve, less one."""
    from scipy.stats import rankdata

    positive = truth == truth.max()
    n, m = int(positive.sum()), int((~positive).sum())
    if n == 0 or m == 0 or not np.isfinite(scores).all():
        return math.nan
    return 2 * float((rankdata(scores)[positive].sum() - n * (n + 1) / 2) / (n * m)) - 1


def _score(output: Tensor, task: Task) -> Tensor:
    """Return one number a row that is large for the second class."""
    if task.kind == "binary" or output.shape[1] == 1:
        return output.reshape(len(output)).double()
    return (output[:, 1] - output[:, 0]).double()


def _compared(output: Tensor, target: Tensor, task: Task) -> tuple[Tensor, Tensor]:
    """Return answers and truths of one batch in one form."""
    if task.kind == "classes":
        answer = output.argmax(task.axis)
        truth = target.reshape(answer.shape).long()
        kept = truth >= 0
        for value in task.ignored:
            kept &= truth != value
        return answer[kept], truth[kept]
    if task.kind == "soft":
        return output.argmax(task.axis), target.argmax(task.axis)
    if task.kind == "binary":
        answer = output.reshape(target.shape)
        middle = 0.5 if float(answer.min()) >= 0 and float(answer.max()) <= 1 else 0.0
        high = float(target.max())
        return (answer > middle).long(), (target > high / 2).long()
    shape = target.shape if output.numel() == target.numel() else (len(target), -1)
    flat = output.reshape(shape) if output.numel() == target.numel() else output[:, : target.shape[-1]]
    return flat.reshape(len(target), -1).double(), target.reshape(len(target), -1).double()


def reference_skill(patient: Patient, task: Task, limit: int = 1500) -> dict[str, float]:
    """Return the skill of simple models on the same rows: what the data make possible at little cost.

    Linear and trees on flattened inputs; for a target a token, the commonest one after the same token and the same two;
    for users, films and the like, their means. Nothing for tasks without a target, and for rows of a form that no
    simple model takes.
    """
    try:
        return _referred(patient, task, limit)
    except (ValueError, RuntimeError, IndexError):
        return {}


def _referred(patient: Patient, task: Task, limit: int) -> dict[str, float]:
    if patient.valid is None or task.kind not in ("classes", "binary", "soft", "numbers"):
        return {}
    train, valid = patient.train.rows(limit), patient.valid.rows(ROWS)
    if len(train) < 2 or len(train) != len(valid):
        return {}
    if task.kind == "classes" and not task.sequence:
        train, valid = (_labelled(part, task) for part in (train, valid))
    if task.sequence:
        return _after_tokens(train, valid, task)
    if task.kind in ("numbers", "binary") and (found_means := _by_names(patient, train[:-1], task)):
        return found_means
    tables = [_table(a, b) for a, b in zip(train[:-1], valid[:-1], strict=True)]
    whole = [pair for pair in tables if pair is not None]
    if len(whole) < len(tables):
        return {}
    X, X_val = (np.concatenate(parts, axis=1) for parts in zip(*whole, strict=True))
    y, y_val = _answers(train[-1], task), _answers(valid[-1], task)
    many = y.ndim > 1
    if (many and task.kind == "classes") or len(np.unique(y)) < 2 or y.ndim > 2:
        return {}
    found = _simple(X, y, X_val, y_val, task, is_rare([valid[-1]], task))
    if any(not part.is_floating_point() and int(part.max()) >= WORDS for part in train[:-1]):
        return {"words": max(found.values())} if found else {}
    return found


def _by_names(patient: Patient, inputs: tuple[Tensor, ...], task: Task) -> dict[str, float]:
    """Return the skill of mean targets of who and what is named, where inputs are a few numbers of many a kind.

    Such as of users and films: the mean, and what each adds to it, shrunk where there is little to tell it by.
    """
    if patient.valid is None or any(x.is_floating_point() or x.ndim > 2 for x in inputs):
        return {}
    if sum(x.reshape(len(x), -1).shape[1] for x in inputs) > 4 or max(int(x.max()) for x in inputs) < 50:
        return {}
    columns, targets = [], []
    for source, limit in ((patient.train, 100_000), (patient.valid, ROWS)):
        rows = source.rows(limit)
        columns.append(torch.cat([x.reshape(len(x), -1).long() for x in rows[:-1]], 1))
        targets.append(rows[-1].double().reshape(-1))
    (x, x_val), (y, y_val) = columns, targets
    if len(y) != len(x) or len(y_val) != len(x_val) or min(int(x.min()), int(x_val.min())) < 0:
        return {}
    size = 1 + max(int(x.max()), int(x_val.max()))
    added = torch.zeros(x.shape[1], size, dtype=torch.float64)
    mean = y.mean()
    counts = [torch.bincount(column, minlength=size).double() + 5.0 for column in x.T]
    for _ in range(4):
        for k, column in enumerate(x.T):
            others = sum((added[j][x[:, j]] for j in range(x.shape[1]) if j != k), start=torch.zeros_like(y))
            added[k] = torch.bincount(column, y - mean - others, minlength=size) / counts[k]
    answer = mean + sum(added[k][x_val[:, k]] for k in range(x.shape[1]))
    spread = float(((y_val - y_val.mean()) ** 2).sum())
    if task.kind == "numbers":
        return {"means": 1 - float(((answer - y_val) ** 2).sum()) / max(spread, 1e-12)}
    if is_rare([y_val], task):
        return {"means": ranking_skill(answer.numpy(), y_val.numpy())}
    middle = float(y.max() + y.min()) / 2
    return {"means": _above_common(((answer > middle) == (y_val > middle)).numpy(), y_val.numpy())}


def _labelled(parts: tuple[Tensor, ...], task: Task) -> tuple[Tensor, ...]:
    """Return rows whose class the loss does not pass over as that of an unlabelled one."""
    kept = torch.ones(len(parts[-1]), dtype=torch.bool)
    for value in task.ignored:
        if value >= task.classes or value < 0:
            kept &= parts[-1].reshape(len(kept), -1)[:, 0] != value
    return parts if bool(kept.all()) else tuple(part[kept] for part in parts)


def _simple(
    X: np.ndarray, y: np.ndarray, X_val: np.ndarray, y_val: np.ndarray, task: Task, rare: bool
) -> dict[str, float]:
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    numbers = task.kind == "numbers"
    weights: dict[str, Any] = {"class_weight": "balanced"} if task.balanced else {}
    line = RidgeCV(np.logspace(-3, 4, 8)) if numbers else LogisticRegression(max_iter=60, **weights)
    kind, wide = (ExtraTreesRegressor if numbers else ExtraTreesClassifier), X.shape[1] > WIDE
    settings = weights | ({"max_features": "sqrt", "max_depth": 30} if wide else {})
    trees = kind(60, random_state=0, n_jobs=1, **settings)
    models = {"linear": make_pipeline(StandardScaler(), line), "trees": trees}
    if y.ndim > 1 and not numbers:
        del models["linear"]
    found = {}
    for name, model in models.items():
        try:
            model.fit(X, y)
            answer = model.predict_proba(X_val)[:, 1] if rare else model.predict(X_val)
        except ValueError:
            continue
        if rare:
            found[name] = ranking_skill(answer, y_val)
        elif numbers:
            answer, spread = answer.reshape(y_val.shape), ((y_val - y_val.mean(0)) ** 2).sum()
            found[name] = 1 - float(((answer - y_val) ** 2).sum() / max(spread, 1e-12))
        else:
            found[name] = (_mean_recall if task.balanced else _above_common)(answer == y_val, y_val)
    return found


def _above_common(right: np.ndarray, truth: np.ndarray) -> float:
    if truth.ndim > 1:
        common = float(np.maximum(truth.mean(0), 1 - truth.mean(0)).mean())
    else:
        common = np.unique(truth, return_counts=True)[1].max() / truth.size
    return float((right.mean() - common) / (1 - common)) if common < 1 else math.nan


def _after_tokens(train: tuple[Tensor, ...], valid: tuple[Tensor, ...], task: Task) -> dict[str, float]:
    """Return the skill of counting which target is commonest beside a token, and beside it and the one before."""
    x, y, x_val, y_val = train[0], train[-1], valid[0], valid[-1]
    if x.is_floating_point() or x.ndim != 2 or y.shape != x.shape or y_val.shape != x_val.shape:
        return {}
    found = {}
    for name, seen, asked in (
        ("token", x, x_val),
        ("two tokens", x * 100003 + nn.functional.pad(x, (1, 0))[:, :-1],
         x_val * 100003 + nn.functional.pad(x_val, (1, 0))[:, :-1]),
    ):  # fmt: skip
        counts: dict[int, dict[int, int]] = {}
        for key, value in zip(seen.reshape(-1).tolist(), y.reshape(-1).tolist(), strict=True):
            row = counts.setdefault(key, {})
            row[value] = row.get(value, 0) + 1
        best = {key: max(row, key=lambda v: row[v]) for key, row in counts.items()}
        truth = y_val.reshape(-1).numpy()
        answer = np.array([best.get(key, -1) for key in asked.reshape(-1).tolist()])
        kept = truth >= 0
        for value in task.ignored:
            kept &= truth != value
        if kept.any():
            found[name] = _above_common(answer[kept] == truth[kept], truth[kept])
    return found


def linear_code_skill(patient: Patient, width: int, limit: int = 1500) -> float:
    """Return the share of the variance that as many principal components bring back on validation rows."""
    if patient.valid is None:
        return math.nan
    X, X_val = (s.rows(limit)[-1].double().reshape(-1, s.rows(1)[-1].numel()) for s in (patient.train, patient.valid))
    if X.shape[1] > 4000 or width >= min(X.shape) or not bool(torch.isfinite(X).all()):
        return math.nan
    center = X.mean(0)
    axes = torch.linalg.svd(X - center, full_matrices=False)[2][:width]
    rest = (X_val - center) - (X_val - center) @ axes.T @ axes
    return 1 - float((rest**2).sum() / ((X_val - X_val.mean(0)) ** 2).sum().clamp_min(1e-12))


def _table(train: Tensor, valid: Tensor) -> tuple[np.ndarray, np.ndarray] | None:
    """Return rows of numbers for a simple model: tokens as which of them occur, and where; pixels thinned out."""
    if train.is_floating_point() and train.ndim == valid.ndim == 3 and train.shape[1:] != valid.shape[1:]:
        shape = [min(a, b) for a, b in zip(train.shape[1:], valid.shape[1:], strict=True)]  # series of other lengths
        train, valid = (t[:, : shape[0], : shape[1]] for t in (train, valid))
    flat: list[Any] = [t.detach().cpu().double().reshape(len(t), -1).numpy() for t in (train, valid)]
    if flat[0].shape[1] != flat[1].shape[1] and train.is_floating_point():
        return None
    if not all(np.isfinite(array).all() for array in flat):
        return None
    if train.is_floating_point():
        thin = -(-flat[0].shape[1] // 4000)
        return flat[0][:, ::thin], flat[1][:, ::thin]
    top = int(max(array.max() for array in flat)) + 1
    if min(array.min() for array in flat) < 0:
        return None
    if top > WORDS:  # only the commonest are counted
        names, often = np.unique(flat[0], return_counts=True)
        kept = np.sort(names[np.argsort(-often)[: WORDS - 1]])
        places = [np.searchsorted(kept, array).clip(0, len(kept) - 1) for array in flat]
        flat = [np.where(kept[place] == array, place, len(kept)) for place, array in zip(places, flat, strict=True)]
        top = len(kept) + 1
    width = min(array.shape[1] for array in flat)
    found = []
    for array in flat:
        counts = np.zeros((len(array), top))
        for k in range(array.shape[1]):
            counts[np.arange(len(array)), array[:, k].astype(int)] += 1
        if top * width <= 4000:
            where = np.eye(top)[array[:, :width].astype(int)].reshape(len(array), -1)
            counts = np.concatenate([counts, where], axis=1)
        found.append(counts)
    return found[0], found[1]


def _answers(target: Tensor, task: Task) -> np.ndarray:
    if task.kind == "soft":
        return target.argmax(1).numpy()
    values = target.detach().cpu().numpy()
    values = values.reshape(len(values)) if values.size == len(values) else values
    return values.astype(np.float64) if task.kind == "numbers" else values.astype(np.int64)
