"""Stage two, goes on: what a loss compares, heard from the functions of torch that it calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gradus.practice.doctor.findings import Finding, as_far_as_they_go
from gradus.practice.doctor.patient import Patient, parts_of
from gradus.practice.doctor.weights import put_back

__all__ = ["Compared", "check_compared", "check_heard"]

LOGISTIC = "binary_cross_entropy_with_logits"
RAW = ("cross_entropy", LOGISTIC)
TAKEN = ("kl_div", "nll_loss", "cross_entropy")  # losses of all classes of a row together


def check_compared(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Yield scores that belong to other targets, that can not differ, and targets that the network is shown."""
    yield from as_far_as_they_go([lambda: _as_it_is(patient, batch), lambda: _flat(patient, batch)])


def _as_it_is(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Yield what one measurement of a batch tells of targets that are shown, and of the order of answers."""
    heard, given, answers = _listened(patient, batch)
    yield from as_far_as_they_go([
        lambda: _shown(patient.network, heard, given), lambda: _flattened(heard, answers, batch),
    ])  # fmt: skip


class Compared(TorchFunctionMode):
    """Note what a loss is compared with, by the names of torch."""

    NAMES = (
        "cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy",
        LOGISTIC, "kl_div", "sub", "__sub__", "__rsub__", "rsub",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[Tensor] = []
        self.pairs: list[tuple[Tensor, Tensor]] = []
        self.names: list[str] = []

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        named = named or {}
        if getattr(function, "__name__", "") in self.NAMES:
            target = named.get("target", arguments[1] if len(arguments) > 1 else None)
            if isinstance(target, Tensor):
                self.targets.append(target.detach())
                if isinstance(arguments[0], Tensor):
                    self.pairs.append((arguments[0], target))
                    self.names.append(function.__name__)
        return function(*arguments, **named)


def check_heard(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Find a loss inside an objective that is handed probabilities where it takes their logarithms, or raw scores."""
    if patient.loss is not None and patient.step is None:
        with torch.no_grad():
            if isinstance(patient.forward(batch), Tensor):
                return  # the checks of wiring ask it
    generator = torch.Generator().manual_seed(0)
    heard: dict[tuple[str, int], list[str]] = {}
    patient.network.eval()
    with put_back(p for p in patient.network.parameters() if p.ndim > 1) as pairs:
        for scale in (0.0, 1.0, 4.0):
            with torch.no_grad():
                for p, value in pairs:
                    p.copy_(value + scale * value.std() * torch.randn(p.shape, generator=generator).to(p))
            with Compared() as asked:
                patient.take(batch)
            for place, (name, (scores, _)) in enumerate(zip(asked.names, asked.pairs, strict=True)):
                if not scores.requires_grad or name not in (*TAKEN, LOGISTIC):
                    continue
                low, high = scores.detach().aminmax()
                inside = bool(low >= 0) and bool(high <= 1) and bool(low < high)
                told = "numbers from 0 to 1, whatever the weights are" if inside and name in RAW else ""
                if name in TAKEN and scores.ndim > 1 and _are_shares(scores.detach()):
                    told = "probabilities that sum to 1"
                heard.setdefault((name, place), []).append(told)
    for (name, _), found in heard.items():
        if len(found) == 3 and all(found):
            takes = "raw scores" if name in RAW else "log-probabilities"
            seen = f"{name} is handed {found[-1]}, and takes {takes}"
            yield Finding("loss_activation_mismatch", "loss", seen, 0.95)
            return


def _are_shares(scores: Tensor) -> bool:
    """Whether rows of scores are probabilities of which several differ from 0."""
    axis = 1 if scores.ndim != 3 or float((scores.sum(1) - 1).abs().max()) < 1e-3 else 2
    return float(scores.min()) >= 0 and float((scores.sum(axis) - 1).abs().max()) < 1e-3


@torch.no_grad()
def _flat(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Find scores that no weights make differ by one, so that a cross-entropy of several classes can not get small."""
    generator = torch.Generator().manual_seed(0)
    widest, varied, classes, calls = 0.0, 0.0, 0, 0
    patient.network.eval()
    with put_back(p for p in patient.network.parameters() if p.ndim != 1) as pairs:
        last = next((p for p, _ in reversed(pairs) if p.ndim > 1), None)
        for scale in (0.0, 1.0, 3.0, 10.0, 100.0):
            for p, value in pairs:
                drawn = torch.randn(p.shape, generator=generator).to(p)
                alone = scale == 100  # the last layer larger, and all before it as they were
                usual = value.std() * drawn if p.ndim else value
                more = value * (p is last) if alone else usual
                p.copy_(value + scale * more)
            with Compared() as heard:
                patient.measure(batch)
            for scores, target in heard.pairs:
                if scores.ndim == 2 and target.ndim == 1 and not target.is_floating_point() and scores.shape[1] > 2:
                    widest = max(widest, float((scores.amax(1) - scores.amin(1)).max()))
                    varied = max(varied, float(scores.std(0).mean()))
                    classes, calls = scores.shape[1], calls + 1
    if calls >= 4 and widest < 1.0 and varied > 1e-6:
        seen = f"of {classes} classes no scores differ by more than {widest:.2g}, whatever the weights are"
        yield Finding("loss_activation_mismatch", "loss", f"{seen}: divide by the temperature", 0.88)


def _shown(network: nn.Module, heard: Compared, given: list[tuple[Any, ...]]) -> Iterator[Finding]:
    """Find a network that is handed, beside its inputs, the very targets that it is to give, each at its own place."""
    if len(given) != 1 or not heard.targets:
        return
    target = next((t for t in heard.targets if t.ndim), heard.targets[0])
    for place, shown in enumerate(parts_of(given[0])):
        if place == 0 or shown.ndim < 2 or shown.shape[1] < 3 or shown.numel() != target.numel():
            continue
        if shown.is_floating_point() != target.is_floating_point():
            continue
        same = torch.equal(shown.reshape(-1), target.reshape(-1)) and len(target.unique()) > 2
        if same and _copied(network, given[0], shown):
            seen = f"tensor {place + 1} that the network is handed equals the targets, place by place: it can be copied"
            yield Finding("causality_leak", "targets", seen, 0.9)
            return


def _listened(patient: Patient, batch: Any) -> tuple[Compared, list[tuple[Any, ...]], list[Any]]:
    """Return what is compared when a batch is measured, and what the network was handed and answered meanwhile."""
    given: list[tuple[Any, ...]] = []
    answers: list[Any] = []
    network = patient.network.eval()
    handles = [
        network.register_forward_pre_hook(lambda m, inputs: given.append(inputs)),
        network.register_forward_hook(lambda m, inputs, answer: answers.append(answer)),
    ]
    try:
        with torch.no_grad(), Compared() as heard:
            if patient.objective is not None or patient.loss is not None:
                patient.measure(batch)
    finally:
        for handle in handles:
            handle.remove()
    return heard, given, answers


def _put(given: Any, old: Tensor, new: Tensor) -> Any:
    """Return arguments with one tensor in another's place, however deep it lies."""
    if given is old:
        return new
    if isinstance(given, dict):
        return {key: _put(value, old, new) for key, value in given.items()}
    if type(given) in (tuple, list):
        return type(given)(_put(value, old, new) for value in given)
    return given


@torch.no_grad()
def _copied(network: nn.Module, given: tuple[Any, ...], shown: Tensor) -> bool:
    """Whether another value at a place of an argument changes the answer there, and no answer before."""
    apart = (shown != shown.roll(1, 0)).reshape(shown.shape[0], shown.shape[1], -1).any(2).sum(0)
    at = 1 + int(apart[1:].argmax())
    other = shown.clone()
    other[:, at] = shown[:, at].roll(1, 0)
    answers = []
    for argument in (shown, other):
        torch.manual_seed(0)
        answers.append(parts_of(network(*_put(given, shown, argument)))[0])
    change = (answers[0] - answers[1]).abs()
    axis = next((k for k in range(1, change.ndim) if change.shape[k] == shown.shape[1]), None)
    if axis is None:
        return False
    by_place = change.transpose(0, axis).reshape(shown.shape[1], -1).amax(1)
    return float(by_place[at]) > 0 and float(by_place[:at].max()) < 1e-5 * float(by_place[at])


def _flattened(heard: Compared, answers: list[Any], batch: Any) -> Iterator[Finding]:
    """Find answers of several places that are laid out in another order than their targets."""
    outputs = [o for o in parts_of(answers) if o.is_floating_point() and o.ndim > 2]
    targets = [t for t in parts_of(batch) if not t.is_floating_point() and t.ndim > 1]
    for name, (scores, aim) in zip(heard.names, heard.pairs, strict=True):
        if name not in ("cross_entropy", "nll_loss") or aim.is_floating_point() or scores.ndim < 2:
            continue
        for output, target in ((o, t) for o in outputs for t in targets):
            if output.numel() != scores.numel() or not torch.equal(aim.reshape(-1), target.reshape(-1)):
                continue
            plain = output.reshape(scores.shape)
            kept = torch.equal(plain, scores) or torch.allclose(plain.log_softmax(1), scores, atol=1e-5)
            wrong = _parted(tuple(output.shape), tuple(target.shape), tuple(scores.shape)) if kept else ""
            if wrong:
                seen = f"answers {tuple(output.shape)} become {tuple(scores.shape)} by a reshape: {wrong}"
                yield Finding("scrambled_inputs", "loss", seen, 0.95)
                return


def _parted(output: tuple[int, ...], target: tuple[int, ...], scores: tuple[int, ...]) -> str:
    """Return what a reshape of an output parts from its targets; nothing where it keeps their order."""
    classes = scores[1]
    if len(scores) == 2 and output[1] == classes and target == (output[0], *output[2:]) != output[:-1]:
        return "the axis of the classes has to be moved to the end first"
    if len(scores) > 2 and output[-1] == classes and target == output[:-1] != (output[0], *output[2:]):
        return "the axis of the classes has to be moved to the second place instead"
    if output[-1] == classes and output[:2] == target[1::-1] != target[:2] and len(output) == 3 and len(scores) == 2:
        return "its first axis is time, that of the targets is the row"
    return ""
