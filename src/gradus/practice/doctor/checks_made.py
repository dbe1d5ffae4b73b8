"""Stage two, goes on: what a network makes in the likeness of its data, as generators and decoders do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from gradus.practice.doctor.checks_compared import Compared
from gradus.practice.doctor.checks_wiring import check_reach
from gradus.practice.doctor.findings import Finding
from gradus.practice.doctor.patient import Patient, numbers_of, parts_of
from gradus.practice.doctor.task import Task, output_kind
from gradus.practice.doctor.weights import put_back, redraw

__all__ = ["check_made", "check_players"]

ROWS = 1000


def check_made(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Yield a part whose last activation keeps it from making what the data hold.

    A part makes the likeness of the data where its answer, in their shape, is compared with them, or handed in a
    training step to a part to which the data are handed too. ``patient`` is trained by a step.
    """
    real = numbers_of(batch)
    if real is None or (patient.loss is not None and patient.step is None):
        return
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


def check_players(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Yield losses of players that are never differentiated, and a maker that learns to be found out.

    ``patient`` is trained by a step in which one part is handed the data, and what another part makes.
    """
    if patient.step is None or numbers_of(batch) is None or len(list(patient.network.children())) < 2:
        return
    rounds = []
    for some in islice(patient.train.batches(torch.Generator().manual_seed(5)), 3):
        heard = _Heard(patient, parts_of(some)[0])
        patient.network.train()
        with heard:
            patient.advance(some)
        rounds.append(heard)
    counts = {len(heard.signs) for heard in rounds}
    if len(counts) != 1 or not rounds[0].calls or not any(call[1] for call in rounds[0].calls):
        return  # no part is handed both the data and what is made
    never = [k for k in range(counts.pop()) if all(heard.signs[k] is None for heard in rounds)]
    if never and len(never) < len(rounds[0].signs):
        seen = (
            f"of the {len(rounds[0].signs)} losses of a step the {never[0] + 1}. is computed and never differentiated"
        )
        yield Finding("unbalanced_players", "step", seen, 0.88)
        return
    if all(heard.found_out() for heard in rounds):
        seen = (
            "the loss of what makes pushes its score the way in which that of the judge pushes scores of what is made"
        )
        yield Finding("unbalanced_players", "step", f"{seen}: it learns to be found out", 0.9)


class _Heard(Compared):
    """Listen to a step of several players: what the judge is asked, and which way each loss pushes its scores."""

    def __init__(self, patient: Patient, real: Tensor) -> None:
        super().__init__()
        self.signs: list[float | None] = []
        self.calls: list[tuple[str, bool, bool]] = []  # part, whether the data, whether it leads back to a maker
        self.real, self.network, self.handles = real, patient.network, list[Any]()

    def __enter__(self) -> Any:
        for name, part in self.network.named_children():
            self.handles.append(part.register_forward_pre_hook(self._asked(name)))
        return super().__enter__()

    def __exit__(self, *error: Any) -> Any:
        for handle in self.handles:
            handle.remove()
        judges = {name for name, data, _ in self.calls if data}
        self.calls = [call for call in self.calls if call[0] in judges]
        return super().__exit__(*error)

    def _asked(self, name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            given = [i for i in inputs if isinstance(i, Tensor) and i.is_floating_point()]
            if given and given[0].numel() == self.real.numel():
                data = torch.equal(given[0].detach().reshape(-1), self.real.reshape(-1).to(given[0]))
                self.calls.append((name, data, given[0].requires_grad))

        return hook

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        scores = arguments[0] if arguments else None
        name = getattr(function, "__name__", "")
        if name.startswith("binary_cross_entropy") and isinstance(scores, Tensor) and scores.requires_grad:
            signs, place = self.signs, len(self.signs)  # a hook that held all of this would never be let go
            signs.append(None)
            asked = scores * 1.0  # a number of its own, so that two losses of one score are told apart

            def note(gradient: Tensor) -> None:
                signs[place] = float(gradient.sum())

            asked.register_hook(note)
            arguments = (asked, *arguments[1:])
        return super().__torch_function__(function, types, arguments, named)

    def found_out(self) -> bool:
        """Whether the maker's loss pushes scores as the judge's loss on what is made does, and not as on the data."""
        if len(self.calls) != len(self.signs) or None in self.signs:
            return False
        ways: dict[str, list[float]] = {"data": [], "made": [], "maker": []}
        for (_, data, leads), sign in zip(self.calls, self.signs, strict=True):
            ways["data" if data else "maker" if leads else "made"].append(float(sign or 0.0))
        if any(len(found) != 1 for found in ways.values()):
            return False
        on_data, on_made, of_maker = (found[0] for found in ways.values())
        return on_data * on_made < 0 < on_made * of_maker


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
