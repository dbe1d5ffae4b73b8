"""How a network does on rows that it has not seen, and what would help: tuning, more rows, cleaner targets.

Four questions, each answered where there is time, and left out with a reason where there is not: does it under- or
overfit, measured against the best baseline or a goal; how much of its score is luck of the seed; what would more rows
bring; how many targets look wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from gradus.practice.doctor.label_noise import LabelNoise
from gradus.practice.doctor.seeds import OverSeeds
from gradus.practice.learning_curve import LearningCurve

__all__ = ["Fit", "Generalization"]


@dataclass(frozen=True)
class Fit:
    """Scores of a network, against what it should reach.

    Attributes
    ----------
    metric : str
        What the scores are of.
    higher : bool
        Whether more is better.
    train, valid : float
        On the rows learned from, and on others.
    low, high : float
        The interval of the latter: how well so few rows can tell.
    bar : float
        What is to be reached, on rows that were not learned from.
    bar_is : str
        Where that comes from: the name of a baseline, or ``goal``.
    """

    metric: str
    higher: bool
    train: float
    valid: float
    low: float
    high: float
    bar: float
    bar_is: str

    def reaches(self, score: float) -> bool:
        """Whether a score is as good as the bar."""
        return score >= self.bar if self.higher else score <= self.bar

    @property
    def verdict(self) -> Literal["reached", "within noise", "underfits", "overfits"]:
        """Where it stands: what does not reach the bar on rows it learned from cannot do so on others.

        Examples
        --------
        >>> Fit("accuracy", True, 0.99, 0.90, 0.88, 0.92, 0.95, "trees").verdict
        'overfits'
        >>> Fit("rmse", False, 3.0, 3.1, 2.9, 3.3, 2.0, "goal").verdict
        'underfits'
        """
        if self.reaches(self.valid):
            return "reached"
        if self.reaches(self.high if self.higher else self.low):
            return "within noise"
        return "overfits" if self.reaches(self.train) else "underfits"

    def sentence(self) -> str:
        """Say it.

        Examples
        --------
        >>> Fit("accuracy", True, 0.99, 0.90, 0.88, 0.92, 0.95, "trees").sentence()
        'overfitting: accuracy 0.99 on rows it learned from and 0.9 on others, where trees reach 0.95'
        """
        bar = f"{self.bar:.3g}"
        asked = f"the goal of {bar}" if self.bar_is == "goal" else f"{bar} of {self.bar_is}"
        said = f"{self.metric} {self.train:.3g} on rows it learned from and {self.valid:.3g} on others"
        if self.verdict == "reached":
            return f"{said}: no worse than {asked}"
        if self.verdict == "within noise":
            return f"{said} ({self.low:.3g} to {self.high:.3g}): not to be told from {asked} by so few rows"
        word = "overfitting" if self.verdict == "overfits" else "underfitting"
        there = f"where the goal is {bar}" if self.bar_is == "goal" else f"where {self.bar_is} reach {bar}"
        return f"{word}: {said}, {there}"


@dataclass
class Generalization:
    """Answers, and what was left out.

    Attributes
    ----------
    fit : Fit, optional
        Under- or overfitting.
    seeds : OverSeeds, optional
        Luck of the seed.
    curve : LearningCurve, optional
        What more rows would bring.
    noise : LabelNoise, optional
        Targets that look wrong.
    left_out : list of str
        What was not measured, each with its reason.
    """

    fit: Fit | None = None
    seeds: OverSeeds | None = None
    curve: LearningCurve | None = None
    noise: LabelNoise | None = None
    left_out: list[str] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """Say all of it, a sentence each."""
        found = [part.sentence() for part in (self.fit, self.curve, self.seeds, self.noise) if part is not None]
        return found + [f"not measured: {reason}" for reason in self.left_out]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data.

        Examples
        --------
        >>> Generalization(left_out=["the curve: no time"]).as_dict()["sentences"]
        ['not measured: the curve: no time']
        """
        found: dict[str, Any] = {"sentences": self.sentences()}
        if self.fit is not None:
            names = ("metric", "train", "valid", "low", "high", "bar", "bar_is", "verdict")
            found["fit"] = {name: getattr(self.fit, name) for name in names}
        if self.seeds is not None:
            skills = {str(seed): skill for seed, skill in self.seeds.skills.items()}
            found["seeds"] = {"skills": skills, "mean": self.seeds.mean, "spread": self.seeds.spread}
        if self.curve is not None:
            found["curve"] = _facts(self.curve)
        if self.noise is not None:
            found["noise"] = {"share": self.noise.share, "rows": self.noise.rows[:50].tolist()}
        return found


def _facts(curve: LearningCurve) -> dict[str, Any]:
    """Return a learning curve as numbers: means by size, and the interval at half as many rows again, up to four times.

    The law is that of the fit to all the means.
    """
    last = int(curve.sizes[-1])
    ahead = [round(last * factor) for factor in (1.0, 1.5, 2.0, 3.0, 4.0)]
    spans = [curve.expected(rows) for rows in ahead]
    return {
        "kind": curve.kind, "sizes": curve.sizes.tolist(), "error": curve.errors.mean(0).tolist(),
        "spread": curve.errors.std(0, ddof=1).tolist(), "training_error": curve.training_errors.mean(0).tolist(),
        "repeats": len(curve.errors), "ahead": ahead, "low": [low for low, _ in spans],
        "high": [high for _, high in spans], "law": [float(curve.law.at(rows)[0]) for rows in ahead],
        "more_rows_pay": curve.gains,
    }  # fmt: skip
