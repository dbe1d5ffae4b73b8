"""Stage three, goes on: what a trained network answers, column by column."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gradus.practice.doctor.findings import Finding
from gradus.practice.doctor.patient import Patient
from gradus.practice.doctor.task import Task

__all__ = ["check_answers"]

COLUMNS = (3, 200)  # how many numbers a row has that are looked at one by one
LOST = 0.5  # share of columns that are given no better than by their means, from which on it is told
APART = 100  # how many times the smallest of the spreads that count lies below the largest


@torch.no_grad()
def check_answers(patient: Patient, task: Task) -> Iterator[Finding]:
    """Yield columns that a trained network leaves aside because those on a larger scale make all of its loss."""
    parts = None if patient.valid is None else patient.valid.rows(2000)
    if parts is None or task.kind not in ("numbers", "reconstruction") or len(parts) < 2:
        return
    target = parts[-1].double()
    if target.ndim != 2 or not COLUMNS[0] <= target.shape[1] <= COLUMNS[1] or len(target) < 50:
        return
    patient.network.eval()
    output = patient.forward(parts)
    if not isinstance(output, torch.Tensor) or output.shape != target.shape:
        return
    spread = target.std(0)
    moving = spread > 0
    error = (output.double() - target).pow(2).mean(0).sqrt()
    lost = (error >= spread) & moving
    small = lost & (spread < spread.max() / APART)
    share = float(small.sum()) / max(1, int(moving.sum()))
    if share >= LOST:
        seen = f"{int(small.sum())} of {int(moving.sum())} columns are given no better than by their means; their "
        seen += f"spreads lie up to {float(spread.max() / spread[small].min()):.0f} times below the largest"
        cause = "unnormalized_inputs" if task.kind == "reconstruction" else "target_scale"
        yield Finding(cause, "targets", f"{seen}, which makes all of the loss", 0.72)
