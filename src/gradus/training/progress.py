"""A progress bar on a terminal, and nothing where the output is no terminal."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from gradus.training.loop import Event, Trainer

__all__ = ["ProgressBar"]


class ProgressBar:
    """Show epoch, loss, the last validation value, speed and time left while a network trains.

    Parameters
    ----------
    label : str
        What is being trained.
    console : rich.console.Console, optional
        Where to draw; standard error by default. Nothing is drawn unless it is a terminal.
    """

    def __init__(self, label: str = "training", console: Console | None = None) -> None:
        self.label, self._console = label, console
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __call__(self, trainer: Trainer, event: Event) -> None:
        """Draw what `event` changed."""
        if event == "start":
            self._open(trainer)
        if self._bar is None or self._task is None:
            return
        if event in ("tick", "epoch"):
            speed = trainer.step / max(trainer.seconds, 1e-9)
            left = (trainer.total_steps - trainer.step) / max(speed, 1e-9)
            if trainer.options.max_time is not None:
                left = min(left, trainer.options.max_time - trainer.seconds)
            self._bar.update(
                self._task,
                completed=trainer.step,
                note=_note(trainer),
                speed=f"{speed:,.0f} steps/s",
                left=f"{_duration(left)} left at most",
            )
        if event == "stop":
            self._bar.stop()
            self._bar = None

    def _open(self, trainer: Trainer) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        console = self._console or Console(file=sys.stderr)
        if not console.is_terminal:
            return
        words = [TextColumn(f"{{task.fields[{name}]}}") for name in ("note", "speed", "left")]
        columns = (TextColumn("{task.description}"), BarColumn(), *words)
        self._bar = Progress(*columns, console=console, transient=True, refresh_per_second=5)
        self._task = self._bar.add_task(
            self.label, total=trainer.total_steps, completed=trainer.step, note="", speed="", left=""
        )
        self._bar.start()


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 120 else str(timedelta(seconds=whole))


def _note(trainer: Trainer) -> str:
    """Return the epoch, the newest training loss (one number fetched) and the last validation values."""
    planned = trainer.options.max_epochs
    words = [f"epoch {min(trainer.epoch + 1, planned)}/{planned}"]
    player = trainer.players[0]
    if player.totals:
        words.append(f"loss {float(player.totals[-1]) / float(player.counts[-1]):.4g}")
    elif trainer.history:
        words += [f"loss {v:.4g}" for k, v in trainer.history[-1].items() if k.endswith("loss")][:1]
    if trainer.history:
        words += [f"{k} {v:.4g}" for k, v in trainer.history[-1].items() if k.startswith("valid_")]
    return "  ".join(words)
