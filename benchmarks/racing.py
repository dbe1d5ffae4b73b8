"""Sides that take turns: what the parts of the speed benchmark share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch

from gradus.training.loop import Trainer

__all__ = ["Asked", "compared", "raced", "stepping", "wait"]


@dataclass(frozen=True)
class Asked:
    """Where and how long to measure."""

    device: str
    rounds: int = 5
    quick: bool = False

    @property
    def cuda(self) -> bool:
        """Whether a GPU computes."""
        return self.device.startswith("cuda")


def wait(asked: Asked) -> None:
    """Let the device finish, so that the clock can be read."""
    if asked.cuda:
        torch.cuda.synchronize()


def stepping(trainer: Trainer) -> Callable[[int], None]:
    """Return a function that lets Gradus's loop take the given number of steps more."""

    def steps(n: int) -> None:
        trainer.options = replace(trainer.options, max_steps=trainer.step + n)
        trainer.finished = None
        trainer.run()
        trainer.network.train()

    return steps


def raced(
    sides: dict[str, Callable[[int], None]], asked: Asked, *, steps: int, warm: int, units: int
) -> dict[str, Any]:
    """Let the sides take turns, each round beginning with another one; return their speeds, and ratios of them.

    ``units`` is what a step works through: tokens, or windows.
    """
    for run in sides.values():
        run(2 if asked.quick else warm)
    wait(asked)
    steps, rounds = (2, 2) if asked.quick else (steps, asked.rounds)
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        names = list(sides)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = time.perf_counter()
            sides[name](steps)
            wait(asked)
            speeds[name].append(steps * units / (time.perf_counter() - start))
    return compared(speeds) | {"steps_a_round": steps, "rounds": rounds}


def compared(speeds: dict[str, list[float]]) -> dict[str, Any]:
    """Return medians, and Gradus over each other side, round by round."""
    found: dict[str, Any] = {"per_second": {name: round(median(each), 1) for name, each in speeds.items()}}
    ratios = {}
    for name in speeds.keys() - {"gradus"}:
        each = [ours / theirs for ours, theirs in zip(speeds["gradus"], speeds[name], strict=True)]
        ratios[name] = {"median": round(median(each), 3), "min": round(min(each), 3), "max": round(max(each), 3)}
    return found | {"ratio": ratios, "rounds_per_second": {k: [round(x) for x in v] for k, v in speeds.items()}}
