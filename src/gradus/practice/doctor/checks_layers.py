"""Stage two, goes on: the layers and their weights, whatever the loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gradus.practice.doctor.findings import Finding
from gradus.practice.doctor.patient import Patient, parts_of

__all__ = ["check_layers"]

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def check_layers(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Yield what is wrong with the layers and their weights, whatever the loss."""
    yield from _unregistered(patient, batch)
    yield from _same_layer(patient)
    yield from _initial_weights(patient)
    yield from _tiny_batches(patient, batch)


def _unregistered(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Layers and parameters kept in plain lists, dicts or attributes that the network does not know of."""
    known = {id(p) for p in patient.network.parameters()}
    for name, module in patient.network.named_modules():
        for attribute, value in vars(module).items():
            if attribute in ("_parameters", "_buffers", "_modules") or attribute.endswith("_hooks"):
                continue
            for found in _hidden(value):
                lost = [p for p in found if id(p) not in known and p.requires_grad]
                if lost:
                    place = f"{name}.{attribute}".lstrip(".")
                    held = {id(p) for o in patient.optimizers for group in o.param_groups for p in group["params"]}
                    if all(id(p) in held for p in lost) or not _learns(patient, batch, lost):
                        continue
                    seen = f"{sum(p.numel() for p in lost)} weights in a {type(value).__name__} are unknown to it"
                    yield Finding("unregistered_layers", place, seen, 0.95)
                    return


def _learns(patient: Patient, batch: Any, parameters: list[Tensor]) -> bool:
    """Whether a loss would move parameters; also where that cannot be asked."""
    if patient.loss is None and patient.objective is None:
        return True
    try:
        patient.network.train()
        loss = patient.measure(batch)
        if not loss.requires_grad:
            return True
        return any(g is not None for g in torch.autograd.grad(loss, parameters, allow_unused=True))
    except Exception:  # a program that fails is told so elsewhere
        return True


def _hidden(value: Any) -> Iterator[list[Tensor]]:
    if isinstance(value, nn.Module):
        yield list(value.parameters())
    elif isinstance(value, Tensor) and value.requires_grad and value.is_leaf:
        yield [value]
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _hidden(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _hidden(item)


def _same_layer(patient: Patient) -> Iterator[Finding]:
    """One layer object at several places of a list of layers."""
    for name, module in patient.network.named_modules():
        if isinstance(module, nn.Sequential | nn.ModuleList):
            children = [c for c in module._modules.values() if c is not None and any(True for _ in c.parameters())]
            if len({id(c) for c in children}) < len(children):
                seen = f"{len(children)} layers, of which {len({id(c) for c in children})} are different objects"
                yield Finding("shared_state", name or "network", seen, 0.7)
                return


def _initial_weights(patient: Patient) -> Iterator[Finding]:
    """Units that start equal, and weights of a strange size."""
    layers = [(n, m) for n, m in patient.network.named_modules() if isinstance(m, LINEAR)]
    for k, (name, module) in enumerate(layers):
        weight = module.weight.detach()
        rows = weight.reshape(len(weight), -1)
        if len(rows) > 1 and bool((rows == rows[:1]).all()) and (k < len(layers) - 1 or len(layers) == 1):
            if bool((rows == 0).all()):
                continue  # as the last layer of a branch may: whether units stay equal, training shows
            seen = f"all {len(rows)} units start with the same weights ({float(rows.flatten()[0]):.3g} ...)"
            yield Finding("symmetric_initialization", name, seen, 0.93)
            return


def _unlike(places: list[tuple[Tensor, Tensor]]) -> bool:
    """Whether what goes into a layer at its calls has other means, or other spreads."""
    if not places:
        return False
    (center, spread), *others = places
    size = spread.mean().clamp_min(1e-12)
    return any(
        float((c - center).abs().mean() / size) > 0.3 or not 0.6 < float(s.mean() / size) < 1.6 for c, s in others
    )


def _tiny_batches(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Batch statistics over a handful of numbers."""
    norms = [(n, m) for n, m in patient.network.named_modules() if isinstance(m, NORMS)]
    if not norms:
        return
    counts: dict[str, int] = {}
    calls: dict[str, int] = {}
    places: dict[str, list[tuple[Tensor, Tensor]]] = {}
    parents = {n: n.rpartition(".")[0] for n, _ in norms}

    def count(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            calls[name] = calls.get(name, 0) + 1
            if name in parents and module.training:
                counts[name] = min(counts.get(name, 1 << 30), inputs[0].numel() // inputs[0].shape[1])
                rows = inputs[0].transpose(0, 1).reshape(inputs[0].shape[1], -1)
                places.setdefault(name, []).append((rows.mean(1), rows.std(1)))

        return hook

    watched = [*norms, *((p, patient.network.get_submodule(p)) for p in set(parents.values()))]
    handles = [m.register_forward_pre_hook(count(n)) for n, m in watched]
    try:
        patient.network.train()
        if patient.step is None:
            with torch.no_grad():
                patient.forward(batch)
        else:
            patient.advance(batch)
    finally:
        for handle in handles:
            handle.remove()
    for name, parent in parents.items():
        if calls.get(name, 0) > 1 and calls.get(parent, 0) <= 1 and _unlike(places.get(name, [])):
            seen = f"its running statistics mix those of {calls[name]} places where it is called in one pass"
            yield Finding("shared_state", name, seen, 0.75)
            break
    if counts:
        name = min(counts, key=lambda n: counts[n])
        rows = len(parts_of(batch)[0])
        if counts[name] <= 4:
            seen = f"means and variances are taken over {counts[name]} values (batches of {rows})"
            yield Finding("tiny_batch_norm", name, seen, 0.85)
