"""The doctor's own judgement of a network: how far above what is trivial, on one scale for every task."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradus.practice.doctor.patient import Patient
from gradus.practice.doctor.task import Task, task_of, with_ignored

__all__ = ["Judge", "reference_skill"]

ROWS = 1000


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
    """

    task: Task
    batches: list[Any]
    first_loss: float = math.nan
    rare: bool = False

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
        if batches and patient.loss is not None and patient.plain:
            with torch.no_grad():
                patient.network.eval()
                output = patient.forward(batches[0])
                inputs = patient.inputs(batches[0])[0]
                task = task_of(output, patient.target(batches[0]), inputs)
                if isinstance(output, Tensor):
                    task = with_ignored(task, patient.loss, output, patient.target(batches[0]))
        judge = cls(task, batches)
        judge.rare = is_rare([patient.target(batch) for batch in batches], task)
        judge.first_loss = judge(patient)["valid_loss"]
        return judge

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
                if patient.loss is None:
                    losses.append(self._objective(patient, batch))
                    continue
                output, target = patient.forward(batch), patient.target(batch)
                losses.append(float(torch.as_tensor(patient.loss(output, target)).float().mean()))
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
        if kind == "other" or not outputs:
            if not math.isfinite(loss) or not math.isfinite(self.first_loss):
                return math.nan
            return (self.first_loss - loss) / max(abs(self.first_loss), 1e-12)
        try:
            pairs = [_compared(o, t, self.task) for o, t in zip(outputs, targets, strict=True)]
        except (RuntimeError, IndexError, ValueError):
            return math.nan
        answer, truth = torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])
        if self.rare:
            return ranking_skill(torch.cat([_score(o, self.task) for o in outputs]).numpy(), truth.numpy().ravel())
        if kind in ("numbers", "reconstruction"):
            spread = float(((truth - truth.mean(0)) ** 2).sum())
            return 1 - float(((answer - truth) ** 2).sum()) / spread if spread > 0 else math.nan
        common = max((float((truth == value).double().mean()) for value in truth.unique()), default=1.0)
        if kind == "binary" and truth.ndim > 1:
            common = float(torch.maximum(truth.double().mean(0), 1 - truth.double().mean(0)).mean())
        accuracy = float((answer == truth).double().mean())
        return (accuracy - common) / (1 - common) if common < 1 else math.nan


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

    Linear, nearest neighbours and boosted trees on flattened inputs. Nothing for sequences of targets, for inputs that
    are not one tensor, and for tasks without a target.
    """
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if patient.valid is None or task.sequence or task.kind not in ("classes", "binary", "soft", "numbers"):
        return {}
    train, valid = patient.train.rows(limit), patient.valid.rows(ROWS)
    if len(train) != 2 or len(valid) != 2:
        return {}
    X, X_val = _table(train[0]), _table(valid[0])
    y, y_val = _answers(train[-1], task), _answers(valid[-1], task)
    if X is None or X_val is None or X.shape[1] != X_val.shape[1] or y.ndim > 1 or len(np.unique(y)) < 2:
        return {}
    numbers = task.kind == "numbers"
    rare = is_rare([valid[-1]], task)
    line = RidgeCV(np.logspace(-3, 4, 8)) if numbers else LogisticRegression(max_iter=60)
    trees = (ExtraTreesRegressor if numbers else ExtraTreesClassifier)(60, random_state=0, n_jobs=1)
    line = RidgeCV(np.logspace(-3, 4, 8)) if numbers else LogisticRegression(max_iter=60)
    trees = (ExtraTreesRegressor if numbers else ExtraTreesClassifier)(60, random_state=0, n_jobs=1)
    models = {"linear": make_pipeline(StandardScaler(), line), "trees": trees}
    found = {}
    for name, model in models.items():
        try:
            model.fit(X, y)
            answer = model.predict_proba(X_val)[:, 1] if rare else model.predict(X_val)
        except ValueError:
            continue
        if rare:
            found[name] = ranking_skill(answer, y_val)
            continue
        if numbers:
            found[name] = 1 - float(((answer - y_val) ** 2).sum() / max(((y_val - y_val.mean()) ** 2).sum(), 1e-12))
        else:
            common = np.bincount(np.unique(y_val, return_inverse=True)[1]).max() / len(y_val)
            found[name] = float(((answer == y_val).mean() - common) / (1 - common)) if common < 1 else math.nan
    return found


def _table(inputs: Tensor) -> np.ndarray | None:
    array = inputs.detach().cpu().double().reshape(len(inputs), -1).numpy()
    if array.shape[1] > 4000 or not np.isfinite(array).all():
        return None
    if not inputs.is_floating_point():  # tokens: which of them occur, not their numbers
        top = int(inputs.max()) + 1
        if top > 2000 or int(inputs.min()) < 0:
            return None
        counts = np.zeros((len(array), top))
        for k in range(array.shape[1]):
            counts[np.arange(len(array)), array[:, k].astype(int)] += 1
        if top * array.shape[1] <= 4000:  # and where
            where = np.eye(top)[array.astype(int)].reshape(len(array), -1)
            return np.concatenate([counts, where], axis=1)
        return counts
    return array


def _answers(target: Tensor, task: Task) -> np.ndarray:
    if task.kind == "soft":
        return target.argmax(1).numpy()
    values = target.detach().cpu().numpy()
    values = values.reshape(len(values)) if values.size == len(values) else values
    return values.astype(np.float64) if task.kind == "numbers" else values.astype(np.int64)
