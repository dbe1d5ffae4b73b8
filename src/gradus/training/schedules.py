"""Learning-rate schedules as pure functions of the step.

A schedule that is a function of the step has no state to lose: a resumed run computes the factor the
uninterrupted one would have. Only the plateau schedule remembers, and its memory is an ``init``/``step`` pair
on a NamedTuple.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from gradus.training.options import TrainingOptions

__all__ = ["Plateau", "factor", "plateau_init", "plateau_step"]

# torch's ReduceLROnPlateau: the part of the loss that counts as a gain.
PLATEAU_GAIN = 1e-4
# torch's OneCycleLR: start at 1/25 of the peak, rise over 30 % of the steps, end at 1/10,000 of the start.
ONE_CYCLE_START, ONE_CYCLE_RISE, ONE_CYCLE_END = 1 / 25, 0.3, 1e-4 / 25


def factor(options: TrainingOptions, step: int, total_steps: int, steps_per_epoch: int) -> float:
    """Return the factor on ``learning_rate`` for the update number ``step`` (from 0).

    Parameters
    ----------
    options : TrainingOptions
        ``schedule``, ``warmup_steps``, ``schedule_epochs`` and ``schedule_factor`` are read.
    step : int
        Updates made so far.
    total_steps : int
        Updates planned in all.
    steps_per_epoch : int
        Updates in one epoch.

    Examples
    --------
    >>> cosine = TrainingOptions(schedule="cosine")
    >>> [round(factor(cosine, step, 4, 1), 3) for step in (0, 2, 4)]
    [1.0, 0.5, 0.0]
    """
    if step < options.warmup_steps:
        return (step + 1) / (options.warmup_steps + 1)
    step, total = step - options.warmup_steps, max(1, total_steps - options.warmup_steps)
    if options.schedule == "step":
        return options.schedule_factor ** (step // (options.schedule_epochs * steps_per_epoch))
    if options.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))
    if options.schedule == "one_cycle":
        return _one_cycle(step, total)
    return 1.0  # constant; the plateau's factor is state


def _one_cycle(step: int, total: int) -> float:
    peak, last = ONE_CYCLE_RISE * total - 1, total - 1
    if step <= peak:
        return _anneal(ONE_CYCLE_START, 1.0, step / peak)
    return _anneal(1.0, ONE_CYCLE_END, min(1.0, (step - peak) / (last - peak)) if last > peak else 1.0)


def _anneal(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * done))


class Plateau(NamedTuple):
    """Memory of the plateau schedule: the lowest loss seen, epochs since, and the factor in force."""

    best: float
    waited: int
    factor: float


def plateau_init() -> Plateau:
    """Return the memory before the first epoch."""
    return Plateau(math.inf, 0, 1.0)


def plateau_step(state: Plateau, loss: float, options: TrainingOptions) -> Plateau:
    """Cut the factor when ``loss`` has not fallen by a ten-thousandth for over ``schedule_epochs`` epochs.

    Examples
    --------
    >>> options = TrainingOptions(schedule="plateau", schedule_epochs=1, schedule_factor=0.5)
    >>> state = plateau_init()
    >>> for loss in (1.0, 1.0, 1.0):
    ...     state = plateau_step(state, loss, options)
    >>> state.factor
    0.5
    """
    # The relative threshold of torch's ReduceLROnPlateau; but below zero (minus the log of a density above
    # one) torch's product lies above the best loss, and calls a slightly worse one a gain.
    if loss < state.best * (1 - math.copysign(PLATEAU_GAIN, state.best)):
        return Plateau(loss, 0, state.factor)
    if state.waited + 1 > options.schedule_epochs:
        return Plateau(state.best, 0, state.factor * options.schedule_factor)
    return Plateau(state.best, state.waited + 1, state.factor)
