"""Stage one, goes on: columns of a series that were made of values which are still to come."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gradus.practice.doctor.findings import Finding
from gradus.practice.doctor.patient import Patient
from gradus.practice.doctor.task import Task

__all__ = ["check_series"]

REACH = 8  # rows before and after that a column may have been made of
ROWS = 3000
COLUMNS = 200


def check_series(patient: Patient, task: Task) -> Iterator[Finding]:
    """Yield a column that targets of its own row and later ones give exactly, and earlier ones do not.

    Rows are taken as they are stored, which of a series is the order of time.
    """
    rows = patient.train.as_they_lie(ROWS)
    if task.kind != "numbers" or rows is None or len(rows) != 2 or rows[0].ndim != 2 or len(rows[0]) < 20 * REACH:
        return
    x, y = rows[0].double(), rows[1].double().reshape(len(rows[1]), -1)
    if y.shape[1] != 1 or not 1 <= x.shape[1] <= COLUMNS or not bool(torch.isfinite(torch.cat([x, y], 1)).all()):
        return
    moved = {k: y[REACH + k : len(y) - REACH + k] for k in range(-REACH, REACH + 1)}
    inner = x[REACH : len(x) - REACH]
    known = _left(inner, torch.cat([moved[k] for k in range(-REACH, 0)], 1))
    whole = _left(inner, torch.cat([moved[k] for k in range(-REACH, REACH + 1)], 1))
    for column in ((known > 1e-3) & (whole < 1e-6)).nonzero()[:, 0].tolist():
        seen = f"column {column} is a sum of targets, of its own row and of rows after it as well (within {REACH} rows)"
        yield Finding("target_in_inputs", f"column {column}", seen, 0.9)
        return


def _left(columns: Tensor, given: Tensor) -> Tensor:
    """Return the share of each column's variance that no linear function of the numbers given explains."""
    design = torch.cat([given - given.mean(0), torch.ones(len(given), 1, dtype=given.dtype)], 1)
    left = columns - design @ torch.linalg.lstsq(design, columns, driver="gelsd").solution
    spread = columns.var(0)
    return torch.where(spread > 0, left.var(0) / spread.clamp_min(1e-30), torch.zeros_like(spread))
