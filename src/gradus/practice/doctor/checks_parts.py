"""Stage three: what simple models say of training and validation rows, apart and across."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gradus.practice.doctor.findings import Finding
from gradus.practice.doctor.judge import is_rare, reference_skill
from gradus.practice.doctor.patient import Patient, Source
from gradus.practice.doctor.task import Task, turns

__all__ = ["Parts", "check_parts", "skill_of_parts"]

LEAST = 40


@dataclass(frozen=True)
class Parts:
    """Skill of simple models, the best of them, with the rows they learn from and those they are judged by.

    Attributes
    ----------
    across : float
        From training to validation rows.
    train : float
        From three quarters of the training rows to the fourth.
    valid : float
        From one half of the validation rows to the other.
    noise : float
        How far the first two may lie apart because the rows they are judged by are few: about a standard error.
    """

    across: float
    train: float
    valid: float
    noise: float = 0.0


def _source(rows: tuple[Tensor, ...], name: str) -> Source:
    return Source(rows, 256, name)


def _best(patient: Patient, task: Task, train: tuple[Tensor, ...], valid: tuple[Tensor, ...]) -> float:
    asked = replace(patient, train=_source(train, "train"), valid=_source(valid, "valid"))
    found = [v for v in reference_skill(asked, task).values() if math.isfinite(v)]
    return max(found) if found else math.nan


def skill_of_parts(patient: Patient, task: Task) -> Parts | None:
    """Return what simple models reach within and across the parts; None of too few rows."""
    if patient.valid is None:
        return None
    train, valid = patient.train.rows(1500), patient.valid.rows(1500)
    three, half = 3 * len(train[0]) // 4, len(valid[0]) // 2
    if len(train[0]) - three < LEAST or half < LEAST:
        return None
    train, valid = _mixed(train, task), _mixed(valid, task)
    known, rest = tuple(p[:three] for p in train), tuple(p[three:] for p in train)
    return Parts(
        _best(patient, task, known, valid),
        _best(patient, task, known, rest),
        _best(patient, task, tuple(p[:half] for p in valid), tuple(p[half:] for p in valid)),
        math.hypot(_noise(rest[-1], task), _noise(valid[-1], task)),
    )


def _mixed(rows: tuple[Tensor, ...], task: Task) -> tuple[Tensor, ...]:
    """Return rows in random order where they are sorted by class: parts of them would hold other classes."""
    target = rows[-1].reshape(len(rows[-1]), -1)
    if task.kind not in ("classes", "binary") or target.shape[1] != 1:
        return rows
    changes, by_chance = turns(target)
    if changes > 0.3 * by_chance * len(target):
        return rows
    order = torch.randperm(len(target), generator=torch.Generator().manual_seed(0))
    return tuple(part[order] for part in rows)


def _noise(target: Tensor, task: Task) -> float:
    """Return about a standard error of the skill that is measured on rows with these targets."""
    if task.kind in ("classes", "binary") and target.numel() == len(target):
        counts = target.reshape(-1).unique(return_counts=True)[1].double()
        if is_rare([target], task):
            return float(counts.min()) ** -0.5
        return 0.5 * len(target) ** -0.5 / max(0.05, 1 - float(counts.max() / counts.sum()))
    return len(target) ** -0.5


def check_parts(parts: Parts, skill: float, loads: bool, averages: bool = False) -> Iterator[Finding]:
    """Yield what the three numbers say.

    Parameters
    ----------
    parts : Parts
        Skill of simple models.
    skill : float
        Skill of the trained network on validation rows.
    loads : bool
        Whether training rows are drawn anew each time they are fetched, as augmentation does.
    averages : bool
        Whether targets are numbers, of which noise averages out.
    """
    across, train, valid = parts.across, parts.train, parts.valid
    shown = (
        f"simple models reach skill {across:.2f} from training to validation rows, "
        f"{train:.2f} within the training rows, {valid:.2f} within the validation rows"
    )
    low = not math.isfinite(skill) or skill < max(0.1, 0.6 * valid)
    if not (math.isfinite(across) and math.isfinite(train) and math.isfinite(valid)):
        return
    if valid > 0.25 and across < 0.3 * valid and low:
        if train > 0.25 and train > 0.5 * valid:
            yield Finding("inconsistent_preparation", "train and valid", f"{shown}: the parts differ", 0.85)
        elif across < 0.08 and not loads:
            yield Finding("shuffled_pairs", "train", f"{shown}: training pairs do not belong together", 0.93)
        elif loads:
            yield Finding("destructive_augmentation", "train", shown, 0.85)
        else:
            yield Finding("label_noise", "train", shown, 0.6)
    elif train > 0.25 and across < 0.2 * train and valid < 0.2 * train and low:
        yield Finding("shuffled_pairs", "valid", f"{shown}: validation pairs do not belong together", 0.8)
    elif max(across, train, valid) < 0.05 and (not math.isfinite(skill) or skill < 0.04):
        yield Finding("shuffled_pairs", "train and valid", f"{shown}: targets do not depend on inputs", 0.7)
    elif across > 0.15 and train < 0.65 * across and across - train > max(0.12, 2.5 * parts.noise):
        if averages and skill > 0.95 * max(across, valid):
            return  # what is wrong with the training targets does no harm
        seen = f"{shown}: training targets agree less with their inputs than validation targets"
        cause = "destructive_augmentation" if loads else "label_noise"
        yield Finding(cause, "train" if loads else "train targets", seen, 0.55 if loads else 0.8)
    elif valid - across > 0.35 and valid > 0.4 and (not math.isfinite(skill) or skill < 0.5 * valid):
        apart = train > 0.7 * valid and not loads  # each part is sound by itself
        if apart:
            yield Finding("inconsistent_preparation", "train and valid", f"{shown}: the parts differ", 0.75)
        else:
            yield Finding("destructive_augmentation", "train", shown, 0.6)
