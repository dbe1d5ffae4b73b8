"""A trial: train the patient for a while as the user would, and watch from outside."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from gradus.core.errors import GradusError
from gradus.practice.doctor.patient import Patient, as_scalar

__all__ = ["Trial", "quiet", "run_trial"]


@dataclass
class Trial:
    """What a trial showed.

    Attributes
    ----------
    losses : list of float
        The training loss of each step.
    epochs : list of dict
        At the end of each epoch: step, mean training loss, skill and loss on validation rows.
    rates : list of float
        Learning rate at each step.
    plateaus : list of tuple
        Mode and number of each call of a schedule that waits for a plateau.
    error : str
        What the user's program raised, and empty where it raised nothing.
    complete : bool
        Whether it ran all its epochs.
    asleep : float
        Share of the passes with gradients, of those in steps, that the network made in evaluation mode.
    """

    losses: list[float] = field(default_factory=list)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    plateaus: list[tuple[str, float]] = field(default_factory=list)
    error: str = ""
    exception: BaseException | None = None
    complete: bool = False
    asleep: float = 0.0
    seconds: float = 0.0
    patient: Patient | None = None

    @property
    def skill(self) -> float:
        """The skill at the end; NaN where it cannot be told."""
        return self.epochs[-1].get("skill", math.nan) if self.epochs else math.nan

    @property
    def finite(self) -> bool:
        """Whether every loss was finite."""
        return all(map(math.isfinite, self.losses))

    def tail(self, share: float = 0.2) -> float:
        """Return the mean of the last losses."""
        last = self.losses[-max(1, int(len(self.losses) * share)) :]
        return sum(last) / len(last) if last else math.nan

    def head(self, count: int = 5) -> float:
        """Return the mean of the first losses."""
        first = self.losses[:count]
        return sum(first) / len(first) if first else math.nan


@contextmanager
def quiet() -> Iterator[None]:
    """Let a program that is examined warn as it likes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def run_trial(
    patient: Patient,
    *,
    seconds: float,
    steps: int | None = None,
    judge: Callable[[Patient], dict[str, Any]] | None = None,
    watch: Callable[[Patient, int, Any], None] | None = None,
    in_order: bool = False,
) -> Trial:
    """Train for the patient's epochs, or until time or steps are used up.

    Parameters
    ----------
    patient : Patient
        Is changed: pass a fresh one.
    seconds : float
        Most time of the processor to take, and half of what it may take by the clock: a busy machine cuts less off.
    steps : int, optional
        Most steps to take.
    judge : callable, optional
        ``(patient) -> dict`` with ``skill`` and ``valid_loss``, asked at the end of each epoch (a few times in all).
    watch : callable, optional
        ``(patient, step, batch)`` before each step.
    in_order : bool
        Take the rows of tensors as they lie.
    """
    trial, begin, worked = Trial(patient=patient), time.perf_counter(), time.process_time()
    heard: list[float] = []
    patient = _listening(patient, heard)
    order = None if in_order else torch.Generator().manual_seed(patient.seed)
    # an epoch may be a single step: judging each would take longer than training
    due, judged, closed = max(1, patient.epochs // 12), 0.0, 0
    patient.network.train()
    modes: list[bool] = []
    stepping = [False]

    def note(network: Any, _: Any) -> None:
        if stepping[0] and torch.is_grad_enabled():
            modes.append(network.training)

    handle = patient.network.register_forward_pre_hook(note)
    try:
        with quiet(), _plateaus(trial):
            for epoch in range(patient.epochs):
                patient.network.train()
                over = False
                for batch in patient.train.batches(order):
                    if watch is not None:
                        watch(patient, len(trial.losses), batch)
                    heard.clear()
                    stepping[0] = True
                    answered = patient.advance(batch)
                    stepping[0] = False
                    trial.losses.append(heard[-1] if heard else _number(answered))
                    trial.rates.append(float(patient.optimizers[0].param_groups[0]["lr"]))
                    spent = max(time.process_time() - worked, 0.5 * (time.perf_counter() - begin))
                    over = spent - judged > seconds or (steps is not None and len(trial.losses) >= steps)
                    if over or not math.isfinite(trial.losses[-1]):
                        break
                last = over or epoch == patient.epochs - 1 or not trial.finite
                trial.complete = epoch == patient.epochs - 1 and not over
                if last or epoch % due == 0:
                    since = time.process_time()
                    row = {"epoch": epoch, "step": len(trial.losses), "loss": _mean(trial.losses[closed:])}
                    closed = len(trial.losses)
                    trial.epochs.append(row if judge is None else row | judge(patient))
                    judged += time.process_time() - since
                if last:
                    break
    except GradusError as error:
        trial.error, trial.exception = str(error), error
    except Exception as error:  # whatever the user's program raises is part of what is found
        words = str(error).splitlines()[0] if str(error) else ""
        trial.error, trial.exception = f"{type(error).__name__}: {words}", error
    finally:
        handle.remove()
    trial.seconds = time.perf_counter() - begin
    trial.asleep = 1 - sum(modes) / len(modes) if modes else 0.0
    return trial


@contextmanager
def _plateaus(trial: Trial) -> Iterator[None]:
    """Hear what schedules that wait for a plateau are shown, and which way they take for better."""
    kind = torch.optim.lr_scheduler.ReduceLROnPlateau
    plain = kind.step

    def step(self: Any, metrics: Any, *arguments: Any, **named: Any) -> Any:
        with suppress(TypeError, ValueError, RuntimeError):
            trial.plateaus.append((self.mode, float(metrics)))
        return plain(self, metrics, *arguments, **named)

    kind.step = step  # type: ignore[method-assign]
    try:
        yield
    finally:
        kind.step = plain  # type: ignore[method-assign]


def _listening(patient: Patient, heard: list[float]) -> Patient:
    """Return the patient with losses that are overheard, whatever the user's own step makes of them."""

    def listen(function: Callable[..., Any] | None) -> Callable[..., Any] | None:
        if function is None:
            return None
        user = function

        def heard_of(*arguments: Any, **named: Any) -> Any:
            value = user(*arguments, **named)
            try:
                number = as_scalar(value)
            except GradusError:
                return value
            with suppress(RuntimeError):  # of a row under vmap no number can be told
                if torch.is_grad_enabled():
                    heard.append(float(number.detach()))
            return value

        return heard_of

    return replace(patient, loss=listen(patient.loss), objective=listen(patient.objective))


def _number(value: Any) -> float:
    if isinstance(value, Tensor) and value.numel() == 1:
        return float(value.detach())
    if isinstance(value, tuple | list) and value:
        return _number(value[0])
    if isinstance(value, dict) and value:
        return _number(next(iter(value.values())))
    return float(value) if isinstance(value, int | float) else 0.0


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
