"""Stage two, goes on: what an example's answer may depend on: not on other examples, the future, or padding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gradus.practice.doctor.findings import Finding
from gradus.practice.doctor.patient import Patient
from gradus.practice.doctor.signals import over_examples
from gradus.practice.doctor.task import Task
from gradus.practice.doctor.weights import put_back, redraw

__all__ = ["check_examples"]


@torch.no_grad()
def check_examples(patient: Patient, task: Task, batch: Any, twin: Patient | None = None) -> Iterator[Finding]:
    """Yield ways in which answers depend on what they must not depend on.

    ``twin`` is another patient just built, which has not been asked anything yet.
    """
    if not isinstance(batch, tuple | list) or not isinstance(batch[0], Tensor) or batch[0].ndim < 1:
        return
    network = patient.network.eval()
    first = _answer(patient, batch)
    if first is None:
        return
    buffers = [b.clone() for b in network.buffers()]
    again = _answer(patient, batch)
    moved = [n for (n, b), kept in zip(network.named_buffers(), buffers, strict=True) if not torch.equal(b, kept)]
    if again is not None and again.shape == first.shape and _gap(first, again) > 1e-5:
        what = f"buffer {moved[0]} has changed" if moved else "something is kept between calls"
        seen = f"one batch asked twice in evaluation mode is answered differently (by {_gap(first, again):.2g}): {what}"
        yield Finding("shared_state", moved[0] if moved else "network", seen, 0.85)
        return
    if task.kind in ("classes", "binary", "soft", "numbers"):
        other = _answer(patient, batch, seed=1)
        if other is not None and other.shape == first.shape and _gap(first, other) > 1e-4:
            seen = f"in evaluation mode a batch is answered otherwise each time (by {_gap(first, other):.2g})"
            yield Finding("train_in_evaluation", "network", f"{seen}: something random stays on", 0.85)
            return
    if twin is not None:
        twin.network.eval()
        turned = (batch[0].roll(1, 0), *batch[1:])
        here, there = _answer(patient, turned), _answer(twin, turned)
        if here is not None and there is not None and here.shape == there.shape and _gap(here, there) > 1e-4:
            seen = f"a batch is answered otherwise (by {_gap(here, there):.2g}) if another was asked before it"
            yield Finding("shared_state", "network", seen, 0.93)
            return
    yield from _mixing(patient, batch, first)
    yield from _all_the_same(patient, batch)
    yield from _tail(patient, batch, first, task)
    yield from _only_padding(patient, batch, first)
    if task.sequence and task.kind == "classes":
        yield from _future(patient, batch, first, task)
        yield from _padding(patient, batch, task)


def _answer(patient: Patient, batch: Any, seed: int = 0) -> Tensor | None:
    """Return the output under the same draws every time; one that carries a state on purpose may begin anew."""
    patient.network.train()
    patient.network.eval()
    torch.manual_seed(seed)
    try:
        found = patient.forward(batch)
        if isinstance(found, Tensor) and bool(found.isnan().any()):
            with torch.enable_grad():  # ways that are taken without gradients alone may fail
                found = patient.forward(batch)
    except Exception:
        return None
    if isinstance(found, tuple | list) and found:
        found = found[0]
    return found.detach().double() if isinstance(found, Tensor) and found.is_floating_point() else None


def _gap(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / (a.abs().mean() + 1e-12))


def _mixing(patient: Patient, batch: Any, first: Tensor) -> Iterator[Finding]:
    """Exchange the other rows of a batch, and see whether a row's answer changes."""
    inputs = batch[0]
    n = len(inputs)
    if n < 4 or first.shape[0] != n:
        if n >= 4 and first.ndim >= 1 and first.shape[0] != n and first.shape[0] > 1:
            yield from _lost_rows(first, inputs)
        return
    k = n // 2
    for keep, change in ((slice(0, k), slice(k, n)), (slice(k, n), slice(0, k))):
        other = inputs.clone()
        other[change] = inputs[keep].repeat(2, *[1] * (inputs.ndim - 1))[: other[change].shape[0]]
        if torch.equal(other, inputs):
            continue
        answer = _answer(patient, (other, *batch[1:]))
        if answer is None or answer.shape != first.shape:
            continue
        gap = _gap(first[keep], answer[keep])
        if first.shape == (n, n):  # a table of pairs
            gap = _gap(first[keep][:, keep], answer[keep][:, keep])
        if gap > 1e-4 and not _rows_are_steps(patient, batch, first):
            seen = f"answers to {k} rows change by {gap:.2g} (relative) when the other rows of the batch are exchanged"
            yield Finding("mixed_examples", "network", seen, 0.95)
            over = over_examples(patient, batch, n)
            if over:
                yield Finding("wrong_axis", "network", f"{seen}: a {over} runs over axis 0, the examples", 0.96)
            return


def _all_the_same(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Find answers that are the same for all rows, whatever the weights, though inputs differ."""
    inputs = batch[0]
    if len(inputs) < 4 or inputs.ndim < 2 or bool((inputs == inputs[:1]).all()):
        return
    generator = torch.Generator().manual_seed(0)
    with put_back(patient.network.parameters()):
        for scale in (0.0, 1.0, 2.0):
            if scale:
                redraw(patient.network, scale, generator)
            answer = _answer(patient, batch)
            if answer is None or answer.shape[0] != len(inputs) or not bool(torch.isfinite(answer).all()):
                return
            if float((answer - answer[:1]).abs().max()) > 1e-6 * float(answer.abs().max()):
                return
    seen = f"all {len(inputs)} rows of a batch get the same answer, whatever the weights are"
    crossed = _first_axis(patient, batch)
    if crossed:
        seen += f", and {crossed} takes the rows of the batch for steps (batch_first is not set)"
        yield Finding("mixed_examples", crossed, seen, 0.96)
    else:
        yield Finding("collapse", "output", seen, 0.9)


def _first_axis(patient: Patient, batch: Any) -> str:
    """Return a layer that takes the first axis for time, where the examples lie; empty where there is none."""
    found: list[str] = []
    counts = (len(batch[0]), len(batch[0]) - 1)

    def listen(name: str) -> Any:
        def hook(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
            if inputs and isinstance(inputs[0], Tensor) and inputs[0].ndim == 3 and inputs[0].shape[0] == rows:
                found.append(name)

        return hook

    modules = [(n, m) for n, m in patient.network.named_modules() if getattr(m, "batch_first", True) is False]
    handles = [m.register_forward_pre_hook(listen(n)) for n, m in modules]
    named = []
    try:
        for rows in counts:
            found.clear()
            _answer(patient, tuple(part[:rows] if isinstance(part, Tensor) else part for part in batch))
            named.append(set(found))
    finally:
        for handle in handles:
            handle.remove()
    return next((n for n, _ in modules if all(n in names for names in named)), "")


def _rows_are_steps(patient: Patient, batch: Any, first: Tensor) -> bool:
    """Whether rows are time steps and the second axis holds the examples, which do not touch each other."""
    inputs = batch[0]
    if patient.loss is not None and patient.step is None and patient.train.stacked:
        return False  # rows are drawn in any order
    if first.ndim < 2 or inputs.ndim < 2 or first.shape[1] != inputs.shape[1] or inputs.shape[1] < 2:
        return False
    h = inputs.shape[1] // 2
    turned = inputs.clone()
    turned[:, h:] = inputs[:, :1]
    along = _answer(patient, (turned, *batch[1:]))
    return along is not None and along.shape == first.shape and _gap(first[:, :h], along[:, :h]) < 1e-5


def _lost_rows(first: Tensor, inputs: Tensor) -> Iterator[Finding]:
    seen = f"{len(inputs)} rows go in and {len(first)} come out: a reshape has moved numbers across rows"
    if first.ndim > 1 and first.shape[1] == len(inputs):
        return  # time comes first
    if first.shape[0] % len(inputs) and len(inputs) % first.shape[0]:
        yield Finding("mixed_examples", "network", seen, 0.6)


def _future(patient: Patient, batch: Any, first: Tensor, task: Task) -> Iterator[Finding]:
    """Whether a model that predicts the next token has seen it."""
    inputs, target = batch[0], batch[-1]
    if inputs.ndim != 2 or not isinstance(target, Tensor) or target.shape != inputs.shape or inputs.shape[1] < 4:
        return
    if inputs.is_floating_point() or first.ndim != 3:
        return
    time = 1 if task.axis == 2 else 2
    shifted = float((target[:, :-1] == inputs[:, 1:]).double().mean())
    same = float((target == inputs).double().mean())
    if shifted < 0.9 and same < 0.9:
        return
    half = inputs.shape[1] // 2
    other = inputs.clone()
    other[:, half:] = inputs[:, half:].roll(1, 0)
    if torch.equal(other, inputs):
        return
    answer = _answer(patient, (other, *batch[1:]))
    if answer is None or answer.shape != first.shape:
        return
    gap = _gap(first.narrow(time, 0, half), answer.narrow(time, 0, half))
    if shifted >= 0.9 and gap > 1e-4:
        seen = f"answers before position {half} change by {gap:.2g} (relative) when tokens from there on are changed"
        yield Finding("causality_leak", "network", seen, 0.96)
    elif same >= 0.9 and shifted < 0.9:
        masked = _reconstructs(patient)
        seen = f"{same:.0%} of the targets are the token at the same position, which the model is shown"
        yield Finding("causality_leak", "targets", seen, 0.5 if masked else 0.85)


def _reconstructs(patient: Patient) -> bool:
    """Whether the network has a bottleneck in name, so that giving its input back is what it is for."""
    names = {name.split(".")[0].lower() for name, _ in patient.network.named_children()}
    return bool({"encoder", "enc", "decoder", "dec", "bottleneck", "latent", "mu"} & names)


def _padding(patient: Patient, batch: Any, task: Task) -> Iterator[Finding]:
    """Whether padded positions count in the loss: many equal tokens at the ends of rows."""
    inputs, target = batch[0], batch[-1]
    if patient.criterion is None or inputs.ndim != 2 or inputs.is_floating_point() or target.ndim != 2:
        return
    if target.shape != inputs.shape or inputs.shape[1] < 4:
        return
    token = inputs[:, -1].mode().values
    tail = (inputs == token).flip(1).long().cumprod(1).flip(1).bool()
    lengths = (~tail).sum(1)
    share = float(tail.double().mean())
    if share < 0.15 or len(lengths.unique()) < 3 or int(token) not in (0, int(inputs.max()), int(inputs.min())):
        return
    with torch.enable_grad():
        output = patient.forward(batch).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(patient.criterion(output, target), output)
    size = gradient.abs().sum(task.axis)
    if size.shape != tail.shape:
        return
    inside = float(size[tail].sum() / size.sum().clamp_min(1e-30))
    if inside > 0.1:
        seen = f"{share:.0%} of the positions are padding (token {int(token)}), and {inside:.0%} of the loss's gradient"
        yield Finding("padding_leak", "loss", seen, 0.8)


def _tail(patient: Patient, batch: Any, first: Tensor, task: Task) -> Iterator[Finding]:
    """Cut the padding off short rows, and see whether their answers change."""
    inputs = batch[0]
    if inputs.ndim not in (2, 3) or inputs.shape[1] < 6 or len(batch) != 2:
        return
    if inputs.is_floating_point() != (inputs.ndim == 3):
        return
    blank = (inputs == 0).all(2) if inputs.ndim == 3 else inputs == inputs[:, -1].mode().values
    ends = blank.flip(1).long().cumprod(1).sum(1)
    lengths = inputs.shape[1] - ends
    short = lengths <= 0.6 * inputs.shape[1]
    if int(short.sum()) < 3 or float(ends.double().mean()) < 0.15 * inputs.shape[1] or len(lengths.unique()) < 3:
        return
    longest = max(1, int(lengths[short].max()))
    answer = _answer(patient, (inputs[short][:, :longest], batch[1][short]))
    whole = first[short]
    if answer is None:
        return
    if answer.ndim == 3 and whole.ndim == 3:  # an answer a position
        time = 1 if whole.shape[1] == inputs.shape[1] else 2
        whole, answer = whole.narrow(time, 0, longest), answer.narrow(time, 0, longest)
        real = torch.arange(longest) < lengths[short][:, None]
        mask = real.unsqueeze(-1) if time == 1 else real.unsqueeze(1)
        whole, answer = whole * mask, answer * mask
    if answer.shape != whole.shape:
        return
    spread = float((first - first.mean(0)).abs().mean())
    change = float((answer - whole).abs().mean()) / max(spread, 1e-12)
    if change > 0.3:
        share = float(ends.double().mean()) / inputs.shape[1]
        seen = f"{share:.0%} of the positions are padding; without it answers change by {change:.2f} of their spread"
        lost = change > 10 and share > 0.5  # after so much padding the answers are all alike
        yield Finding("padding_leak", "network", seen, 0.48 if lost else 0.45)  # harmless where it learns all the same


def _only_padding(patient: Patient, batch: Any, first: Tensor) -> Iterator[Finding]:
    """Exchange the tokens of padded rows for others, and see whether the answers change at all."""
    inputs = batch[0]
    if inputs.ndim != 2 or inputs.is_floating_point() or inputs.shape[1] < 4 or first.shape[0] != len(inputs):
        return
    if any(p.ndim > 1 and not bool(p.any()) for p in patient.network.parameters()):
        return  # behind weights that start at zero, all tokens look the same
    for padding in {0, int(inputs[:, -1].mode().values), int(inputs[:, 0].mode().values)}:
        blank = inputs == padding
        padded = blank.any(1) & ~blank.all(1)
        if int(padded.sum()) < 4 or len(blank.sum(1).unique()) < 3:
            continue
        told = ~blank & (inputs != inputs[:1]).any(0)  # a token that stands first in every row stays
        rank = told.long().cumsum(1)
        inner = told & (rank > 1) & (rank < told.sum(1, keepdim=True))  # answers may be read off at an end
        for some, besides in ((told, ""), (inner, " and the ends of rows")):
            asked = padded & (some.sum(1) > (2 if besides else 0))
            if int(asked.sum()) < 4:
                continue
            answer = _answer(patient, (_exchanged(inputs, some), *batch[1:]))
            if answer is None or answer.shape != first.shape:
                return
            if float((answer[asked] - first[asked]).abs().max()) <= 1e-6 * float(first.abs().mean()):
                seen = f"answers to {int(asked.sum())} padded rows stay the same when their tokens are exchanged"
                yield Finding("padding_leak", "network", f"{seen}: only the padding{besides} is looked at", 0.95)
                return


def _exchanged(inputs: Tensor, some: Tensor) -> Tensor:
    """Return rows of tokens in which some have changed places with each other."""
    other, tokens = inputs.clone(), inputs[some]
    other[some] = tokens[torch.randperm(len(tokens), generator=torch.Generator().manual_seed(0))]
    return other
