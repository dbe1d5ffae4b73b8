"""Stage two, goes on: what a network makes in the likeness of its data, as generators and decoders do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gradus.practice.doctor.checks_flow import Compared
from gradus.practice.doctor.checks_wiring import check_reach
from gradus.practice.doctor.findings import Finding
from gradus.practice.doctor.patient import Patient, parts_of
from gradus.practice.doctor.task import Task, output_kind
from gradus.practice.doctor.weights import put_back, redraw

__all__ = ["check_made"]

ROWS = 1000


def check_made(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Yield a part whose last activation keeps it from making what the data hold.

    A part makes the likeness of the data where its answer, in their shape, is compared with them, or handed in a
    training step to a part to which the data are handed too. ``patient`` is trained by a step.
    """
    parts = parts_of(batch)
    if (
        not parts
        or not parts[0].is_floating_point()
        or parts[0].ndim < 2
        or (patient.loss is not None and patient.step is None)
    ):
        return
    real = parts[0]
    for name, module, inputs in _makers(patient, batch, real):
        made = _shaken(module, inputs)
        if made is None:
            continue
        rows = patient.train.rows(ROWS)[0]
        kind = output_kind(made, Task("other"))
        if rows.shape[1:] == made.shape[1:] and kind in ("sigmoid", "tanh"):
            for finding in check_reach(kind, made, rows):
                if finding.confidence > 0.9:
                    yield Finding("output_range", name, f"of the data it imitates, {finding.evidence}", 0.9)
                    return


def _makers(patient: Patient, batch: Any, real: Tensor) -> list[tuple[str, nn.Module, tuple[Any, ...]]]:
    """Return parts whose answers are made to be like the data, with what they were asked."""
    found: dict[str, tuple[nn.Module, tuple[Any, ...], Tensor]] = {}
    handed: dict[str, list[Tensor]] = {}

    def listen(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            given = tuple(i for i in inputs if isinstance(i, Tensor))
            handed.setdefault(name, []).extend(i for i in given[:1] if i.shape[1:] == real.shape[1:])
            alike = isinstance(output, Tensor) and output.shape[1:] == real.shape[1:] and output.is_floating_point()
            if alike and given and given[0].shape != real.shape:
                found.setdefault(name, (module, tuple(i.detach() for i in given), output))

        return hook

    network = patient.network
    parts = [(n, m) for n, m in network.named_children() if next(m.parameters(), None) is not None]
    handles = [m.register_forward_hook(listen(n)) for n, m in parts]
    network.train()
    try:
        with Compared() as heard:
            patient.advance(batch)
    finally:
        for handle in handles:
            handle.remove()
    return [(name, module, given) for name, (module, given, made) in found.items() if _like(made, real, heard, handed)]


def _like(made: Tensor, real: Tensor, heard: Compared, handed: dict[str, list[Tensor]]) -> bool:
    """Whether what a part made is compared with the data, or handed on where the data are."""

    def same(one: Tensor, other: Tensor) -> bool:
        return one.shape == other.shape and torch.equal(one.detach(), other.detach())

    if any((same(a, made) and same(b, real)) or (same(a, real) and same(b, made)) for a, b in heard.pairs):
        return True
    return any(
        any(same(one, made) for one in given) and any(not same(one, made) for one in given) for given in handed.values()
    )


@torch.no_grad()
def _shaken(module: nn.Module, inputs: tuple[Any, ...]) -> Tensor | None:
    """Return a part's outputs under large random weights, which show where its last activation ends."""
    generator, outputs = torch.Generator().manual_seed(0), []
    module.train()
    with put_back([*module.parameters(), *module.buffers()]):
        for scale in (0.5, 2.0, 4.0):
            redraw(module, scale, generator)
            found = module(*inputs)
            if not isinstance(found, Tensor) or not bool(torch.isfinite(found).all()):
                return None
            outputs.append(found)
    return torch.cat(outputs)
