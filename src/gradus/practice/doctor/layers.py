"""What signals and gradients look like from layer to layer, at one moment of training."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from gradus.practice.doctor.patient import Patient

__all__ = ["first_non_finite", "layer_table"]


def layer_table(patient: Patient, batch: Any) -> list[dict[str, Any]]:
    """Return a row for each layer that is called: its output's size, dead and saturated units, its gradient.

    Returns
    -------
    list of dict
        ``layer``, ``kind``, ``width`` (numbers an example), ``taken`` (numbers an example that go in), ``mean``,
        ``std`` of the output, ``zero`` (share of zeros), ``dead`` (share of units that are zero for every example),
        ``saturated`` (share of values within a hundredth of a squashing unit's end), ``gradient`` (norm of the
        weights' gradient over the norm of the weights).
    """
    rows: dict[str, dict[str, Any]] = {}
    names = {id(m): n for n, m in patient.network.named_modules()}

    def look(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        found = output[0] if isinstance(output, tuple | list) and output else output
        if not isinstance(found, Tensor) or not found.is_floating_point() or found.numel() == 0:
            return
        taken = inputs[0] if inputs and isinstance(inputs[0], Tensor) and len(inputs[0]) else found
        x = found.detach()
        axis = 1 if x.ndim in (2, 4) else -1
        units = x.transpose(0, axis).reshape(x.shape[axis], -1) if x.ndim > 1 else x.reshape(1, -1)
        row = {
            "layer": names[id(module)], "kind": type(module).__name__, "width": x[0].numel() if x.ndim > 1 else 1,
            "taken": taken[0].numel(), "mean": float(x.mean()), "std": float(x.std(correction=0)),
            "zero": float((x == 0).double().mean()),
            "dead": float((units.abs().max(1).values == 0).double().mean()), "saturated": 0.0, "gradient": math.nan,
        }  # fmt: skip
        ends = {nn.Sigmoid: (0.0, 1.0), nn.Tanh: (-1.0, 1.0), nn.Softsign: (-1.0, 1.0), nn.Hardtanh: (-1.0, 1.0)}
        if type(module) in ends:
            low, high = ends[type(module)]
            near = 0.01 * (high - low)
            row["saturated"] = float(((x < low + near) | (x > high - near)).double().mean())
        rows[names[id(module)]] = row

    leaves = [m for m in patient.network.modules() if not any(True for _ in m.children())]
    handles = [m.register_forward_hook(look) for m in leaves]
    patient.network.train()
    try:
        loss = patient.measure(batch)
    finally:
        for handle in handles:
            handle.remove()
    weights = [(n, p) for n, p in patient.network.named_parameters() if p.requires_grad and p.ndim > 1]
    if loss.requires_grad and weights:
        found = torch.autograd.grad(loss, [p for _, p in weights], allow_unused=True)
        for (name, p), gradient in zip(weights, found, strict=True):
            layer = name.rpartition(".")[0]
            if layer in rows and gradient is not None:
                rows[layer]["gradient"] = float(gradient.norm() / p.detach().norm().clamp_min(1e-12))
    return list(rows.values())


def first_non_finite(patient: Patient, batch: Any) -> str:
    """Return the layer whose output is the first to hold NaN or infinity; empty where none does."""
    names = {id(m): n or "network" for n, m in patient.network.named_modules()}
    bad: list[str] = []

    def look(module: nn.Module, _: Any, output: Any) -> None:
        found = output[0] if isinstance(output, tuple | list) and output else output
        if isinstance(found, Tensor) and found.is_floating_point() and not bool(torch.isfinite(found).all()):
            bad.append(f"{names[id(module)]} ({type(module).__name__})")

    handles = [m.register_forward_hook(look) for m in patient.network.modules()]
    try:
        with torch.no_grad():
            patient.forward(batch)
    finally:
        for handle in handles:
            handle.remove()
    return bad[0] if bad else ""
