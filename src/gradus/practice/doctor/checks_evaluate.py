"""Stage two, goes on: the user's own evaluation, tried with networks whose worth is known."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from gradus.practice.doctor.checks_flow import Shapes
from gradus.practice.doctor.checks_step import minds_mode
from gradus.practice.doctor.findings import Finding
from gradus.practice.doctor.patient import Patient, parts_of
from gradus.practice.doctor.task import LossKind, Task, loss_kind

__all__ = ["check_evaluate"]

# scikit-learn's measures of scores and chances, and the argument that takes them
MEASURES = {
    "average_precision_score": "y_score", "brier_score_loss": "y_proba", "log_loss": "y_pred",
    "precision_recall_curve": "y_score", "roc_auc_score": "y_score", "roc_curve": "y_score",
}  # fmt: skip


def check_evaluate(patient: Patient, task: Task) -> Iterator[Finding]:
    """Yield what is wrong with the user's own evaluation of a patient that has been trained."""
    if patient.evaluate is None or patient.valid is None:
        return
    network = patient.network
    modes: list[bool] = []
    handle = network.register_forward_pre_hook(lambda m, _: modes.append(m.training))
    before = [p.detach().clone() for p in network.parameters()]
    network.train()
    try:
        value = _asked(patient, network, patient.valid.given)
    finally:
        handle.remove()
    if any(not torch.equal(p, b) for p, b in zip(network.parameters(), before, strict=True)):
        yield Finding("wrong_evaluation", "evaluate", "evaluating changes the parameters", 0.97)
        return
    if modes and all(modes) and minds_mode(network):
        network.train()
        torch.manual_seed(1)
        again = _asked(patient, network, patient.valid.given)
        calm = _asked_calmly(patient, network, patient.valid.given)
        seen = f"in training mode it gives {value:.4g} and {again:.4g}, in evaluation mode {calm:.4g}"
        gap = abs(calm - (value + again) / 2)  # many passes may be averaged on purpose
        harms = not math.isfinite(gap) or gap > max(abs(value - again), 0.005 * max(1.0, abs(calm))) or _kept(network)
        yield Finding("train_in_evaluation", "evaluate", seen, 0.9 if harms else 0.4)
    network.eval()
    yield from _cut_scores(patient)
    yield from _every_pair(patient)
    yield from _only_common(patient, task, value)
    yield from _with_known_answers(patient, task)


def _cut_scores(patient: Patient) -> Iterator[Finding]:
    """Find answers cut at a threshold where a measure asks how rows are ranked, or how sure answers are."""
    found: list[tuple[str, int]] = []

    def called(frame: Any, event: str, _: Any) -> None:
        named = MEASURES.get(frame.f_code.co_name)
        if event == "call" and named is not None and "sklearn" in frame.f_code.co_filename:
            scores = frame.f_locals.get(named)
            if scores is not None:
                found.append((frame.f_code.co_name, len(np.unique(np.asarray(scores)))))

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        _asked(patient, patient.network, patient.valid.given if patient.valid else None)
    finally:
        sys.setprofile(before)
    cut = [name for name, count in found if count <= 2]
    if found and len(cut) == len(found):
        seen = f"{cut[0]} is handed answers of two values only: they have been cut at a threshold before"
        yield Finding("wrong_evaluation", "evaluate", seen, 0.9)


def _every_pair(patient: Patient) -> Iterator[Finding]:
    """Find answers (n, 1) that are compared with targets (n,), each with every one."""
    if patient.valid is None:
        return
    sizes = (
        {len(parts_of(batch)[-1]) for batch in islice(iter(patient.valid.given), 3)}
        if patient.valid.loader
        else {len(parts_of(patient.valid.given)[-1])}
    )
    for n in sorted(sizes, reverse=True):
        if n < 8:
            continue
        with Shapes(n, graded=False) as heard:
            _asked(patient, patient.network, patient.valid.given)
        if heard.found:
            seen = f"in {heard.found!r} answers of shape ({n}, 1) and targets ({n},) become ({n}, {n})"
            yield Finding("wrong_evaluation", "evaluate", f"{seen}: each answer meets every target", 0.95)
            return


def _kept(network: nn.Module) -> bool:
    """Whether a network keeps statistics of what it is asked in training mode."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats for m in network.modules())


def _asked(patient: Patient, network: nn.Module, data: Any) -> float:
    if patient.evaluate is None:
        return math.nan
    found = patient.evaluate(network, data)
    return float(found.detach()) if isinstance(found, Tensor) else float(found)


def _asked_calmly(patient: Patient, network: nn.Module, data: Any) -> float:
    """Return what the evaluation gives if the network answers in evaluation mode, whatever it is put into."""
    network.eval()
    handle = network.register_forward_pre_hook(lambda module, _: nn.Module.train(module, False) and None)
    try:
        return _asked(patient, network, data)
    finally:
        handle.remove()


def _only_common(patient: Patient, task: Task, value: float) -> Iterator[Finding]:
    """Find a network that never names a rare class, under an evaluation that minds."""
    if patient.valid is None or task.kind != "classes" or task.sequence:
        return
    parts = patient.valid.rows(4000)
    if len(parts) != 2:
        return
    truth = parts[1].reshape(len(parts[1])).long()
    with torch.no_grad():
        named = patient.forward(parts).argmax(task.axis)
    counts = torch.bincount(truth.clamp_min(0), minlength=task.classes).double()
    common, seen_classes = int(counts.argmax()), int((counts > 0).sum())
    rare = 1 - float(counts[common] / counts.sum())
    chance = any(abs(value - c) < 0.04 for c in (0.0, 1 / max(1, seen_classes)))
    if seen_classes > 1 and rare < 0.25 and float((named != common).double().mean()) < 0.15 * rare and chance:
        seen = f"class {common} makes {1 - rare:.0%} of the rows and nearly all answers; evaluate gives {value:.2f}"
        yield Finding("label_imbalance", "training", seen, 0.88)


class KnownAnswers(nn.Module):
    """Stand in for a network: give, for each row that is known, the answer laid down for it."""

    def __init__(self, inputs: Tensor, answers: Tensor) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        self.answers = answers
        self.rows: dict[bytes, list[int]] = {}
        self.asked: dict[bytes, int] = {}  # equal rows take their answers in turn
        for k, row in enumerate(inputs):
            self.rows.setdefault(row.contiguous().numpy().tobytes(), []).append(k)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the answers of the rows."""
        index = []
        for row in inputs[0].detach():
            key = row.contiguous().numpy().tobytes()
            found, turn = self.rows[key], self.asked.get(key, 0)
            index.append(found[turn % len(found)])
            self.asked[key] = turn + 1
        return self.answers[index] + 0 * self.anchor


def _with_known_answers(patient: Patient, task: Task) -> Iterator[Finding]:
    """Compare what a perfect network, a bad one and the trained one are given."""
    valid = patient.valid
    if valid is None or patient.criterion is None or task.kind not in ("classes", "binary", "soft", "numbers"):
        return
    parts = valid.rows(100_000)
    if len(parts) != 2 or len(parts[0]) < 20:
        return
    inputs, target = parts
    with torch.no_grad():
        output = patient.forward((inputs[:8], target[:8]))
        wants = loss_kind(patient.criterion, output, target[:8], task)
    if task.kind == "classes" and task.sequence:
        yield from _counts_padding(patient, task, inputs, target)
        return
    right = _answers(target, task, wants, output)
    if right is None:
        if task.kind == "binary" and target.numel() == len(target) * output[0].numel():
            yield from _blind(patient, inputs, target.reshape(len(target), *output.shape[1:]))
        return
    shift = max(1, len(right) // 3)
    different = float((target.roll(shift, 0) != target).double().mean())
    if different < 0.05:
        return
    try:
        trained = _asked(patient, patient.network, valid.given)
        exchanged = _with_targets(valid.given, inputs, target.roll(shift, 0))
        agrees = _agrees(patient, task, parts, trained)
        blind = trained == _asked(patient, patient.network, exchanged) and not agrees
        if blind and _minds(patient, task, inputs, target, shift):
            seen = f"it gives {trained:.4g} also when the targets of the validation rows are exchanged"
            yield Finding("wrong_evaluation", "evaluate", seen, 0.93)
            return
        known = KnownAnswers(inputs, right)
        perfect = _asked(patient, known, valid.given)
        if not known.asked:
            return  # it asks another network, such as one of averaged weights
        sure = _surer(right, task, wants)[1]
        still, moved = (_asked(patient, KnownAnswers(inputs, sure), given) for given in (valid.given, exchanged))
        if math.isfinite(moved) and moved == still and different > 0.3 and not agrees:
            seen = f"right answers get {still:.4g} also when the targets of the validation rows are exchanged"
            yield Finding("wrong_evaluation", "evaluate", seen, 0.93)
        bad = _asked(patient, KnownAnswers(inputs, right.roll(shift, 0)), valid.given)
        surely, surer = (
            _asked(patient, KnownAnswers(inputs, made), valid.given) for made in _surer(right, task, wants)
        )
        if surely > perfect + 1e-9 and (surer > surely + 1e-9 or task.kind == "numbers"):
            perfect = surer  # an evaluation that minds how sure answers are
        if perfect <= bad + 1e-9 < surely and not 0 <= perfect <= surely <= 1.001:
            return  # one with a threshold of its own choice
    except Exception:  # an evaluation that takes the network apart cannot be tried so
        return
    if wants == "other" and task.kind in ("numbers", "binary"):
        return  # answers need not be estimates of the targets
    if all(map(math.isfinite, (trained, perfect, bad))):
        yield from _told(patient, task, parts, trained, perfect, bad)


@torch.no_grad()
def _agrees(patient: Patient, task: Task, parts: tuple[Tensor, ...], value: float) -> bool:
    """Whether a score is the accuracy on the validation rows, wherever it takes them from."""
    if task.kind not in ("classes", "binary") or parts[1].numel() != len(parts[1]):
        return False
    patient.network.eval()
    output, truth = patient.forward(parts), parts[1].reshape(len(parts[1]))
    if task.kind == "classes":
        right = output.argmax(task.axis).reshape(len(truth)) == truth
    else:
        scores = output.reshape(len(truth))
        middle = 0.5 if float(scores.min()) >= 0 and float(scores.max()) <= 1 else 0.0
        right = (scores > middle) == (truth > 0.5)
    share = float(right.double().mean())
    return min(abs(value - share), abs(value - 100 * share) / 100) < 0.003


def _blind(patient: Patient, inputs: Tensor, target: Tensor) -> Iterator[Finding]:
    """Find an evaluation that gives right and wrong answers the same, as scores and as probabilities."""
    if patient.valid is None or len(target.unique()) != 2:
        return
    high = (target > target.double().mean()).float()
    given = [answers for right in (high, 1 - high) for answers in (6 * right - 3, 0.9 * right + 0.05)]
    try:
        found = {_asked(patient, KnownAnswers(inputs, answers), patient.valid.given) for answers in given}
    except Exception:  # an evaluation that takes the network apart
        return
    if len(found) == 1 and math.isfinite(value := found.pop()):
        yield Finding("wrong_evaluation", "evaluate", f"right answers and wrong ones alike get {value:.4g}", 0.93)


def _told(
    patient: Patient, task: Task, parts: tuple[Tensor, ...], trained: float, perfect: float, bad: float
) -> Iterator[Finding]:
    """Yield what the scores of the trained network, a perfect and a bad one say of the evaluation."""
    inputs, target = parts
    shown = f"a network with every answer right gets {perfect:.4g}, one with answers of other rows {bad:.4g}"
    if task.kind == "numbers" and _exchanged_places(patient, inputs, target, trained):
        seen = f"{trained:.4g} is the R squared of the targets taken for answers, and the answers for targets"
        yield Finding("wrong_evaluation", "evaluate", seen, 0.93)
    elif perfect < bad - 1e-9:
        yield Finding("wrong_evaluation", "evaluate", f"{shown}: worse is called better", 0.95)
    elif perfect <= bad + max(1e-9, 1e-3 * abs(bad) if task.kind == "numbers" and abs(bad) > 1 else 0.0):
        yield Finding("wrong_evaluation", "evaluate", f"{shown}: it does not see the difference", 0.95)
    elif perfect < trained - 1e-6 - 1e-3 * abs(trained):
        seen = f"a network with every answer right gets {perfect:.4g}, less than the trained one's {trained:.4g}"
        yield Finding("wrong_evaluation", "evaluate", seen, 0.9)
    elif task.kind == "classes" and 0 <= bad < perfect <= 1 and (halves := _halves(patient, task, parts)) is not None:
        seen = f"right answers to the first half of the rows alone get {halves[0]:.2f}, to the second {halves[1]:.2f}"
        yield Finding("wrong_evaluation", "evaluate", f"{seen}: not all rows count", 0.9)
    elif task.kind != "numbers" and 0 <= bad < perfect <= 1 and perfect < 0.95:
        yield Finding("wrong_evaluation", "evaluate", f"{shown}: even perfect answers do not get 1", 0.85)
    elif task.kind != "numbers" and perfect > 1.001 and _too_much(patient, perfect, trained, len(inputs)):
        yield Finding("wrong_evaluation", "evaluate", f"{shown}: more than there is to get", 0.85)


def _halves(patient: Patient, task: Task, parts: tuple[Tensor, ...]) -> tuple[float, float] | None:
    """Return the scores of answers right in one half of the rows alone, where one half says all."""
    inputs, target = parts
    if target.ndim != 1 or patient.valid is None or int(target.min()) < 0 or int(target.max()) >= task.classes:
        return None
    with torch.no_grad():
        output = patient.forward((inputs[:8], target[:8]))
    if output.ndim != 2:
        return None
    found = []
    first = torch.arange(len(target)) < len(target) // 2
    for chosen in (first, ~first):
        named = torch.where(chosen, target, (target + 1) % task.classes)
        answers = (0.9 * nn.functional.one_hot(named, task.classes).float() + 0.1 / task.classes).log()
        found.append(_asked(patient, KnownAnswers(inputs, answers), patient.valid.given))
    low, high = sorted(found)
    return (found[0], found[1]) if 0 <= low < 0.1 and high > 0.9 else None


@torch.no_grad()
def _exchanged_places(patient: Patient, inputs: Tensor, target: Tensor, value: float) -> bool:
    """Whether a score is R squared with answers and targets exchanged, and not R squared."""
    answer = patient.forward((inputs, target)).double()
    if answer.numel() != target.numel():
        return False
    truth, answer = target.double().reshape(len(target), -1), answer.reshape(len(target), -1)
    wrong = ((answer - truth) ** 2).sum(0)
    right, other = (float((1 - wrong / ((t - t.mean(0)) ** 2).sum(0).clamp_min(1e-12)).mean()) for t in (truth, answer))
    return abs(value - other) < 1e-3 * max(1.0, abs(other)) < 0.5 * abs(right - other)


@torch.no_grad()
def _minds(patient: Patient, task: Task, inputs: Tensor, target: Tensor, shift: int) -> bool:
    """Whether as many of the network's answers would not be right were the targets exchanged."""
    output = patient.forward((inputs[:2000], target[:2000]))
    if task.kind != "classes" or target.ndim != 1:
        return False
    named, truth = output.argmax(task.axis), target[:2000]
    right, other = (float((named == t).double().mean()) for t in (truth, target.roll(shift, 0)[:2000]))
    return right - other > 0.2


def _too_much(patient: Patient, perfect: float, trained: float, rows: int) -> bool:
    """Whether a score is a share of more than the whole, or the number of rows over that of one batch."""
    if patient.valid is None or _counts(perfect, rows):
        return False
    if 0 <= trained <= 1:
        return True
    sizes = [len(parts_of(batch)[0]) for batch in patient.valid.batches()]
    shares = [scale * sum(sizes) / size for size in sizes for scale in (1.0, 100.0)]
    return any(abs(perfect - share) < 1e-3 * share for share in shares)


def _counts(perfect: float, n: int) -> bool:
    """Whether a perfect score is a hundred per cent, or the number of rows."""
    return any(abs(perfect - whole) < 1e-3 * whole for whole in (100.0, float(n)))


def _counts_padding(patient: Patient, task: Task, inputs: Tensor, target: Tensor) -> Iterator[Finding]:
    """Compare the user's score of answers that are all wrong with the share of positions that do not count."""
    valid = patient.valid
    if not task.ignored or valid is None:
        return
    passed = torch.zeros_like(target, dtype=torch.bool)
    for value in task.ignored:
        passed |= target == value
    share = float(passed.double().mean())
    if share < 0.1:
        return
    usable = [k for k in range(task.classes) if k not in task.ignored]
    wrong = torch.where(target == usable[0], usable[1], usable[0])
    right = torch.where(passed, usable[0], target)
    scores = []
    for answer in (right, wrong):
        hot = nn.functional.one_hot(answer.clamp(0, task.classes - 1), task.classes).float()
        logits = (0.7 * hot + 0.3 / task.classes).log()
        logits = logits if task.axis == logits.ndim - 1 else logits.movedim(-1, task.axis)
        try:
            scores.append(_asked(patient, KnownAnswers(inputs, logits), valid.given))
        except Exception:
            return
    good, bad = scores
    if 0 <= bad <= good <= 1 and (good < 0.99 - 0.5 * share or bad > 0.5 * share):
        seen = (
            f"{share:.0%} of the positions are padding; answers wrong everywhere else get {bad:.2f}, right {good:.2f}"
        )
        yield Finding("wrong_evaluation", "evaluate", seen, 0.9)


def _answers(target: Tensor, task: Task, wants: LossKind, output: Tensor) -> Tensor | None:
    """Return right answers, none of them very sure: a threshold at the wrong place then shows."""
    if task.kind in ("classes", "soft"):
        index = target.reshape(len(target)).long() if task.kind == "classes" else target.argmax(1)
        if target.ndim > 1 and task.kind == "classes" and target.numel() != len(target):
            return None
        if int(index.min()) < 0 or int(index.max()) >= task.classes:
            return None
        hot = nn.functional.one_hot(index, task.classes).float()
        probabilities = 0.7 * hot + 0.3 / task.classes
        return probabilities if wants == "probabilities" else probabilities.log()
    shape = (len(target), *output.shape[1:])
    if math.prod(shape) != target.numel():
        return None
    values = target.reshape(shape).float()
    if task.kind == "numbers":
        return values
    if wants == "sigmoid":
        return torch.where(values > 0.5, 0.3, -0.3)
    inside = bool((output >= 0).all() and (output <= 1).all())
    return torch.where(values > 0.5, 0.65, 0.35) if inside or wants == "probabilities" else None


def _surer(right: Tensor, task: Task, wants: LossKind) -> tuple[Tensor, Tensor]:
    """Return right answers that are surer, and surer still."""
    if task.kind == "numbers":
        return right, right
    if task.kind == "binary" and wants == "sigmoid":
        return 10 * right, 30 * right
    chances = right if wants == "probabilities" or task.kind == "binary" else right.exp()
    top = (chances > 0.5).float() if task.kind == "binary" else (chances == chances.amax(1, keepdim=True)).float()
    other = 1 - top if task.kind == "binary" else (1 - top) / max(1, top.shape[1] - 1)
    made = [sure * top + (1 - sure) * other for sure in (0.95, 0.9999)]
    made = made if wants == "probabilities" or task.kind == "binary" else [m.log() for m in made]
    return made[0], made[1]


def _with_targets(given: Any, inputs: Tensor, target: Tensor) -> Any:
    if isinstance(given, tuple | list):
        return (inputs, target)
    return DataLoader(TensorDataset(inputs, target), batch_size=getattr(given, "batch_size", None) or 256)
