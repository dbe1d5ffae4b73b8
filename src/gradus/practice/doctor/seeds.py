"""How much of a result is luck: train from several seeds, and tell the spread of what comes out."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from gradus.core.errors import InputError
from gradus.core.randomness import isolated
from gradus.core.threads import threads
from gradus.practice.doctor.judge import Judge
from gradus.practice.doctor.recording import built
from gradus.practice.doctor.trial import quiet, run_trial

__all__ = ["OverSeeds", "over_seeds"]


@dataclass(frozen=True)
class OverSeeds:
    """Skill by seed.

    Attributes
    ----------
    skills : dict of int to float
        Skill on validation rows by seed; NaN where training failed.
    """

    skills: dict[int, float]

    @property
    def mean(self) -> float:
        """Mean of the finite skills."""
        found = self._finite()
        return statistics.fmean(found) if found else math.nan

    @property
    def spread(self) -> float:
        """Standard deviation from seed to seed."""
        found = self._finite()
        return statistics.stdev(found) if len(found) > 1 else math.nan

    @property
    def failed(self) -> int:
        """Seeds that ended without a finite skill."""
        return len(self.skills) - len(self._finite())

    def sentence(self) -> str:
        """Say it.

        Examples
        --------
        >>> OverSeeds({0: 0.90, 1: 0.92, 2: 0.94}).sentence()
        'skill 0.920 over 3 seeds, from seed to seed ± 0.020: two programs that differ by less than 0.045 may be equal'
        """
        if len(self._finite()) < 2:
            return f"{self.failed} of {len(self.skills)} seeds failed"
        # 95 % of a difference of two means of so many seeds, by Student's t
        from scipy.special import stdtrit

        n = len(self._finite())
        least = float(stdtrit(2 * n - 2, 0.975)) * self.spread * math.sqrt(2 / n)
        words = f"skill {self.mean:.3f} over {n} seeds, from seed to seed ± {self.spread:.3f}"
        words += f": two programs that differ by less than {least:.3f} may be equal"
        return words + (f"; {self.failed} more failed" if self.failed else "")

    def _finite(self) -> list[float]:
        return [v for v in self.skills.values() if math.isfinite(v)]


def over_seeds(
    build: Callable[..., Mapping[str, Any]], seeds: Iterable[int] = range(5), *, max_time: float = 60.0
) -> OverSeeds:
    """Train a program from several seeds and return its skill by seed.

    Parameters
    ----------
    build : callable
        ``build(seed=0)`` as the doctor takes it; the seed must decide its weights.
    seeds : iterable of int
        At least two; rows are shuffled by the seed as well.
    max_time : float
        Most time in all, in seconds; shared evenly.

    Returns
    -------
    OverSeeds

    Raises
    ------
    InputError
        If there are fewer than two seeds.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from torch import nn
    >>> X, y = (torch.tensor(part) for part in load_iris(return_X_y=True))
    >>> def build(seed=0):
    ...     torch.manual_seed(seed)
    ...     network = nn.Linear(4, 3)
    ...     return {"network": network, "loss": nn.CrossEntropyLoss(), "train": (X.float(), y), "epochs": 20,
    ...             "optimizer": torch.optim.Adam(network.parameters(), lr=0.05)}
    >>> found = over_seeds(build, range(3))
    >>> len(found.skills), found.mean > 0.7
    (3, True)

    References
    ----------
    Goodfellow et al. 2016, §11.4.5, §5.4.
    """
    chosen = list(dict.fromkeys(seeds))
    if len(chosen) < 2:
        raise InputError("two or more seeds", f"{len(chosen)}", "pass range(5)")
    skills: dict[int, float] = {}
    for seed in chosen:
        with quiet(), threads(1), isolated(seed):
            torch.manual_seed(seed)
            patient = built(build, seed)
            judge = Judge.of(patient)
            torch.manual_seed(seed)
            trial = run_trial(built(build, seed), seconds=max_time / len(chosen), judge=judge)
            skills[seed] = trial.skill if trial.finite and not trial.error else math.nan
    return OverSeeds(skills)
