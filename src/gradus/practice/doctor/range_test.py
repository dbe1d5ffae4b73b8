"""Which learning rates lower the loss: one short training with a rate that rises from far too low to far too high."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gradus.core.errors import InputError
from gradus.core.randomness import isolated
from gradus.core.threads import threads
from gradus.practice.doctor.findings import Diagnosis
from gradus.practice.doctor.patient import Patient, untouched
from gradus.practice.doctor.recording import built
from gradus.practice.doctor.trial import Trial, quiet, run_trial

__all__ = ["RangeTest", "range_test", "with_range"]

Floats = NDArray[np.float64]

STEPS = 120
LOWEST, HIGHEST = 1e-7, 1e2
QUIET = 0.25  # share of the sweep, at its beginning, that tells the loss's own noise
SMOOTH = 0.85  # weight of the past in the mean of losses
FALL = 0.1  # share of the whole fall after which a rate counts as lowering the loss
BEFORE = 2.0  # the loss is lowest when steps begin to overshoot: rates end this factor earlier
CHEAP = 3.0  # seconds that the doctor spends on it


@dataclass(frozen=True)
class RangeTest:
    """Rates that lower the loss, or why there is no answer.

    Attributes
    ----------
    low, high : float
        Ends of the interval, the same for every seed; NaN without an answer.
    reason : str
        Why there is no answer; empty where there is one.
    rates : ndarray, shape (steps,)
        The rising rates.
    losses : list of ndarray
        The loss before each step, one array a seed; a sweep ends when the loss explodes.
    """

    low: float = math.nan
    high: float = math.nan
    reason: str = ""
    rates: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    losses: list[Floats] = field(default_factory=list, repr=False)

    @property
    def answered(self) -> bool:
        """Whether there is an interval."""
        return not self.reason

    @property
    def middle(self) -> float:
        """The rate in the middle, by ratio: a first choice."""
        return math.sqrt(self.low * self.high)

    def sentence(self) -> str:
        """Say it.

        Examples
        --------
        >>> RangeTest(1e-3, 0.1).sentence()
        'learning rates from 0.001 to 0.1 lower the loss'
        """
        return self.reason or f"learning rates from {self.low:.1g} to {self.high:.1g} lower the loss"


def range_test(
    subject: Callable[..., Mapping[str, Any]] | Mapping[str, Any],
    *,
    seeds: Iterable[int] = (0, 1, 2),
    steps: int = STEPS,
    low: float = LOWEST,
    high: float = HIGHEST,
    max_time: float = 30.0,
) -> RangeTest:
    """Find the learning rates that lower the loss, by a sweep over rising rates from each of several seeds.

    At step t of T the rate is low · (high / low)^(t / (T - 1)). While it is far too low the loss shows only its noise.
    The interval begins where the smoothed loss has fallen by a tenth of its whole fall, and ends at half the rate at
    which it is lowest. Seeds are combined so that the interval holds for each.

    Parameters
    ----------
    subject : callable or mapping
        ``build(seed=0)`` as the doctor takes it, or what it returns: then everything is put back as it was, and seeds
        differ in the order of rows alone.
    seeds : iterable of int
        One sweep each.
    steps : int
        Steps of a sweep, at least 30.
    low, high : float
        First and last rate, both above zero.
    max_time : float
        Most time in all, in seconds.

    Returns
    -------
    RangeTest

    Raises
    ------
    InputError
        If a setting is out of range.

    Notes
    -----
    Groups of parameters keep the ratios of their rates; the interval is that of the first group. A rate that is good
    for a whole training is mostly in the upper half of the interval at first, and lower later on.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from torch import nn
    >>> X, y = (torch.tensor(part) for part in load_digits(return_X_y=True))
    >>> def build(seed=0):
    ...     torch.manual_seed(seed)
    ...     network = nn.Linear(64, 10)
    ...     return {"network": network, "loss": nn.CrossEntropyLoss(), "train": (X.float() / 16, y),
    ...             "optimizer": torch.optim.Adam(network.parameters())}
    >>> found = range_test(build)
    >>> found.low < 0.02 < found.high
    True

    References
    ----------
    Goodfellow et al. 2016, §11.4.1; Smith 2017, Cyclical Learning Rates, §3.3.
    """
    chosen = list(dict.fromkeys(seeds))
    if steps < 30 or not 0 < low < high or not chosen:
        received = f"{steps} steps from {low:g} to {high:g} over {len(chosen)} seeds"
        raise InputError("30 or more steps, rates 0 < low < high, and a seed", received, "change the settings")
    rates = np.geomspace(low, high, steps)
    deadline, found = time.perf_counter() + max_time, []
    losses: list[Floats] = []
    for seed in chosen:
        left = deadline - time.perf_counter()
        trial = _sweep(subject, seed, rates, max(left, 0.0))
        if trial.error:
            return RangeTest(reason=f"no answer: the program fails ({trial.error})", rates=rates, losses=losses)
        losses.append(np.asarray(trial.losses))
        if trial.finite and len(trial.losses) < steps and not _exploded(losses[-1]):
            return RangeTest(reason="no answer: time is up before the rates have risen", rates=rates, losses=losses)
        found.append(_interval(rates, losses[-1]))
    answers = [pair for pair in found if pair is not None]
    if len(answers) < len(chosen):
        words = f"no answer: from {len(chosen) - len(answers)} of {len(chosen)} seeds no rate lowers the loss clearly"
        return RangeTest(reason=words, rates=rates, losses=losses)
    first, last = max(a for a, _ in answers), min(b for _, b in answers)
    if first >= last:
        told = ", ".join(f"{a:.1g} to {b:.1g}" for a, b in answers)
        return RangeTest(reason=f"no answer: seeds disagree ({told})", rates=rates, losses=losses)
    return RangeTest(first, last, "", rates, losses)


def _sweep(subject: Any, seed: int, rates: Floats, seconds: float) -> Trial:
    kept: AbstractContextManager[None] = nullcontext()
    with quiet(), threads(1), isolated(seed):
        torch.manual_seed(seed)
        if isinstance(subject, Mapping):
            patient = Patient.of(subject, seed)
            kept = untouched(patient)
        else:
            patient = built(subject, seed)
        with kept:
            torch.manual_seed(seed)
            return _risen(patient, rates, seconds)


def _risen(patient: Patient, rates: Floats, seconds: float) -> Trial:
    groups = [group for optimizer in patient.optimizers for group in optimizer.param_groups]
    first = float(groups[0]["lr"]) or 1.0
    ratios = [float(group["lr"]) / first if groups[0]["lr"] else 1.0 for group in groups]

    def set_rate(_: Patient, step: int, __: Any) -> None:
        for group, ratio in zip(groups, ratios, strict=True):
            group["lr"] = float(rates[step]) * ratio

    endless = dataclasses.replace(patient, epochs=len(rates))
    return run_trial(endless, seconds=seconds, steps=len(rates), watch=set_rate)


def _exploded(losses: Floats) -> bool:
    return not np.isfinite(losses[-1])


def _interval(rates: Floats, losses: Floats) -> tuple[float, float] | None:
    """Return where the loss of one sweep begins to fall, and where it is about to rise; None where it never falls."""
    finite = np.isfinite(losses)
    count = int(finite.argmin()) if not finite.all() else len(losses)
    still = max(5, int(QUIET * len(rates)))
    if count <= still + 5:
        return None
    smooth = _smoothed(losses[:count])
    start = float(np.median(losses[:still]))
    noise = float(np.std(losses[:still])) * math.sqrt((1 - SMOOTH) / (1 + SMOOTH))
    lowest = int(smooth.argmin())
    fall = start - float(smooth[lowest])
    if fall < max(4 * noise, 0.02 * abs(start), 1e-12):
        return None
    begun = np.flatnonzero(smooth[: lowest + 1] > start - max(FALL * fall, 2 * noise))
    first = int(begun[-1]) if len(begun) else 0
    # the mean lags behind its losses by about this many steps
    lag = round(SMOOTH / (1 - SMOOTH))
    low = float(rates[max(0, first - lag + 1)])
    high = float(rates[max(0, lowest - lag)]) / BEFORE if lowest < count - 1 else float(rates[lowest]) / BEFORE
    return (low, high) if high > low else None


def _smoothed(losses: Floats) -> Floats:
    """Return the exponential mean, its beginning corrected for what is missing before."""
    found, mean = np.empty(len(losses)), 0.0
    for t, value in enumerate(losses):
        mean = SMOOTH * mean + (1 - SMOOTH) * float(value)
        found[t] = mean / (1 - SMOOTH ** (t + 1))
    return found


def with_range(diagnosis: Diagnosis, build: Callable[..., Mapping[str, Any]]) -> Diagnosis:
    """Add the interval to what is said of a learning rate that is too low or too high, if it can be had in no time."""
    blamed = [k for k, f in enumerate(diagnosis.findings) if f.cause.startswith("learning_rate_")]
    if not blamed:
        return diagnosis
    try:
        found = range_test(build, max_time=CHEAP)
        own = float(built(build).optimizers[0].param_groups[0]["lr"])
    except Exception:  # a program that cannot be swept has been told of by now
        return diagnosis
    if found.answered:
        for k in blamed:
            finding = diagnosis.findings[k]
            words = f"{finding.evidence}; {found.sentence()}, its own is {own:g}"
            diagnosis.findings[k] = dataclasses.replace(finding, evidence=words)
    return diagnosis
