"""How training went, beside what simple models and a careful training of the same network reach."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from gradus.practice.doctor.judge import Judge
from gradus.practice.doctor.trial import Trial

__all__ = ["Course"]


@dataclass
class Course:
    """How training goes, and what was tried.

    Attributes
    ----------
    base : Trial
        Trained as given.
    reference : dict
        Skill of simple models on the same rows.
    inside : dict
        Skill of simple models trained and judged within the rows of one part.
    treated : list of dict
        What was tried, and the skill it reached.
    careful : float
        The skill that the same network reaches by plain steps, the usual loss and Adam; NaN where that was not tried.
    own : tuple of float
        The user's own score before and after training, where there is no other measure.
    answered : tuple of float
        The trained network's loss on training rows, with answers as they are, all zero, and exchanged between rows;
        where there is no other measure.
    """

    base: Trial
    judge: Judge
    reference: dict[str, float] = field(default_factory=dict)
    inside: dict[str, float] = field(default_factory=dict)
    treated: list[dict[str, Any]] = field(default_factory=list)
    train_skill: float = math.nan
    suspected: frozenset[str] = frozenset()
    players: bool = False
    careful: float = math.nan
    own: tuple[float, float] = (math.nan, math.nan)
    answered: tuple[float, ...] = (math.nan, math.nan, math.nan)

    @property
    def known(self) -> float:
        """What the simple models let one expect; NaN where there are none."""
        # trees often do better on tables than any network of moderate size
        factors = {"trees": 0.65, "token": 0.8, "two tokens": 0.5, "components": 0.6, "means": 0.9, "words": 0.5}
        found = [v * factors.get(name, 1.0) for name, v in self.reference.items() if math.isfinite(v)]
        return max(found) if found else math.nan

    @property
    def noise(self) -> float:
        """How far a skill may be off because rows are few; less where little of the numbers stays unexplained."""
        best = max((v for v in (self.base.skill, self.known) if math.isfinite(v)), default=0.0)
        usual = self.judge.task.kind != "numbers" or self.judge.linked
        return self.judge.noise * (1.0 if usual else min(1.0, max(0.25, 1.5 * (1 - best))))

    @property
    def poor(self) -> bool:
        """Whether the network does much worse than a simple model, or learns nothing."""
        skill, known = self.base.skill, self.known
        if self.judge.task.kind == "other" and skill > 100:
            return True
        if not self.base.finite:
            return True
        if self.judge.task.kind == "other" and self.risen and not self.pointless:
            return False
        if math.isfinite(known) and math.isfinite(skill) and known > 0.1:
            return skill < 0.65 * known and known - skill > 2 * self.noise
        return (math.isfinite(skill) and skill < 0.03) or self.pointless

    @property
    def risen(self) -> bool:
        """Whether the training loss fell, and the user's own score, where there is one, rose."""
        before, after = self.own
        known = math.isfinite(before) and math.isfinite(after)
        fallen = self.base.tail() < 0.9 * self.base.head()
        return after > before and self.base.tail() < self.base.head() if known else fallen

    @property
    def pointless(self) -> bool:
        """Whether the trained network does no better than one that always answers zero, nor by which row is asked."""
        loss, blank, turned = self.answered
        if not self.base.complete or blank == loss:  # an objective that does not look at the answers
            return False
        return 0 < 0.995 * blank <= loss < 3 * blank and abs(turned - loss) < 0.02 * abs(loss)

    @property
    def room(self) -> float:
        """How far one skill has to lie above another to be clearly better."""
        return max(0.06, 3 * self.noise)

    @property
    def below(self) -> bool:
        """Whether a simple model does better by more than chance."""
        known, skill = self.known, self.base.skill
        return self.poor or (math.isfinite(known) and known - skill > max(0.05, self.noise))

    @property
    def behind(self) -> bool:
        """Whether a simple model, or a careful training of the same network, does clearly better."""
        known, skill = self.known, self.base.skill
        if self.poor or not math.isfinite(skill):
            return self.poor
        if math.isfinite(known) and known > 0.1 and known - skill > self.room and skill < 0.9 * known:
            return True
        return math.isfinite(self.careful) and self.careful - skill > max(self.room, 0.35 * (1 - skill))

    @property
    def outdone(self) -> bool:
        """Whether a linear model does far better, and the network does not know its training rows either."""
        line, skill = self.reference.get("linear", math.nan), self.base.skill
        if not (self.base.complete and self.base.finite and math.isfinite(line) and math.isfinite(skill)):
            return False
        unlearned = math.isfinite(self.train_skill) and self.train_skill < line - 0.1
        return unlearned and line - skill > max(0.2, 5 * self.noise) and skill < 0.75 * line

    @property
    def enough(self) -> bool:
        """Whether a careful training does clearly better in as many steps."""
        return math.isfinite(self.careful) and self.careful - self.base.skill > self.room

    @property
    def endless(self) -> bool:
        """Whether the loss falls and falls below zero."""
        low = min((v for v in self.base.losses if math.isfinite(v)), default=0.0)
        first = abs(self.base.head()) + 1
        return low < -100 * first or (low < -20 * first and self.poor)
