"""The loss inside an objective: what it makes of an output and a target, where that can be told from outside.

``objective(network, batch)`` hides how outputs are compared with targets. Handed a stand-in that gives a chosen output
in place of the network, it tells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gradus.practice.doctor.patient import Patient, as_scalar
from gradus.practice.doctor.task import task_of

__all__ = ["implied_loss"]


class _Stand(nn.Module):
    """Give the answer laid down, whatever is asked."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer, self.calls = answer, 0

    def forward(self, *_: Any, **__: Any) -> Tensor:
        self.calls += 1
        return self.answer


def implied_loss(patient: Patient, batch: Any) -> Callable[[Any, Any], Any] | None:
    """Return ``loss(output, target)`` as the objective of a patient computes it; None where it is not of that form.

    It is of that form where the network is asked once, by its own name, and each row's gradient depends on that row's
    output alone. A target handed in takes the place of the batch's last part, and of its inputs where those are the
    target.
    """
    objective = patient.objective
    if objective is None or not isinstance(batch, tuple | list) or len(batch) != 2:
        return None
    if not all(isinstance(part, Tensor) for part in batch):
        return None
    patient.network.eval()
    with torch.no_grad():
        output = patient.forward(batch)
    if not isinstance(output, Tensor) or not output.is_floating_point() or output.shape[:1] != batch[0].shape[:1]:
        return None
    kind = task_of(output, batch[1], batch[0]).kind
    if kind == "other" or len(output) < 3:
        return None

    def loss(output: Any, target: Any) -> Tensor:
        first = target.reshape(batch[0].shape) if kind == "reconstruction" else _rows(batch[0], len(output))
        return as_scalar(objective(_Stand(output), (first, target)))

    return loss if _by_rows(objective, output, batch) else None


def _rows(inputs: Tensor, count: int) -> Tensor:
    """Return inputs for a number of rows: an objective that is a loss does not look at them."""
    times = -(-count // len(inputs))
    return inputs.repeat(times, *[1] * (inputs.ndim - 1))[:count]


def _by_rows(objective: Callable[..., Any], output: Tensor, batch: Any) -> bool:
    """Whether it asks once, depends on the answer, and takes each row's for itself."""
    generator = torch.Generator().manual_seed(0)
    other = output.clone()
    other[1:] += torch.randn(other[1:].shape, generator=generator).to(other) * (1 + other.abs().mean())
    found = []
    try:
        for answer in (output, other):
            free = answer.detach().clone().requires_grad_()
            stand = _Stand(free)
            with torch.enable_grad():
                torch.manual_seed(0)
                value = as_scalar(objective(stand, batch))
                (gradient,) = torch.autograd.grad(value, free)
            if stand.calls != 1 or not bool(torch.isfinite(gradient).all()):
                return False
            found.append(gradient)
    except Exception:  # it takes the network apart, or asks for more than an answer
        return False
    size = float(found[0][0].abs().max())
    return size > 0 and float((found[0][0] - found[1][0]).abs().max()) < 1e-4 * size
