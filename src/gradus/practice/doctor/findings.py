"""What an examination finds: a cause, its place, the numbers seen, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from gradus.core.errors import InputError
from gradus.practice.doctor.causes import CAUSES

__all__ = ["HANDFUL", "SURE", "Diagnosis", "Finding", "as_far_as_they_go", "ranked"]

# A finding at least this sure makes the verdict; those below are told as hints.
SURE = 0.5
HANDFUL = 5


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    cause : str
        A code of `gradus.practice.doctor.causes.CAUSES`.
    place : str
        Module, parameter, tensor or part of the program.
    evidence : str
        What was seen, with numbers.
    confidence : float
        How sure, in [0, 1].
    line : str
        Where a script makes what is at fault, as ``script.py:39``; empty where that is not known.
    """

    cause: str
    place: str
    evidence: str
    confidence: float
    line: str = ""

    @property
    def stage(self) -> str:
        """Where the cause belongs."""
        return CAUSES[self.cause].stage

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data, with what its cause says of mend, confirming experiment and the book's section."""
        cause = CAUSES[self.cause]
        return {
            "cause": self.cause, "what": cause.what, "place": self.place, "line": self.line, "evidence": self.evidence,
            "confidence": round(self.confidence, 2), "mend": cause.mend, "confirm": cause.confirm,
            "section": cause.section, "stage": cause.stage,
        }  # fmt: skip


@dataclass
class Diagnosis:
    """The verdict, with its reasons.

    Attributes
    ----------
    findings : list of Finding
        Ranked, the likeliest cause first; at most a handful.
    measures : dict
        What was measured on the way: losses, scores, baselines.
    tables : dict of str to list of dict
        By layer or by step, for the page.
    seconds : float
        Time the examination took.
    view : dict
        What the page shows beyond that: histograms and the graph, where they were recorded.
    """

    findings: list[Finding]
    measures: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    seconds: float = 0.0
    view: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def verdict(self) -> Literal["healthy", "faulty"]:
        """``faulty`` where a finding is more likely than not."""
        return "faulty" if any(finding.confidence >= SURE for finding in self.findings) else "healthy"

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "verdict": self.verdict, "findings": [finding.as_dict() for finding in self.findings],
            "measures": self.measures, "tables": self.tables, "seconds": round(self.seconds, 2),
        }  # fmt: skip


def as_far_as_they_go(checks: Iterable[Callable[[], Iterable[Finding]]]) -> Iterator[Finding]:
    """Yield what each check finds until it fails: one that cannot be made on a program says nothing more.

    Examples
    --------
    >>> def check():
    ...     yield Finding("collapse", "output", "all alike", 0.9)
    ...     raise ValueError("a program of another kind")
    >>> [finding.cause for finding in as_far_as_they_go([check, check])]
    ['collapse', 'collapse']
    """
    for check in checks:
        try:
            yield from check()
        except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, InputError):
            continue


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Return the likeliest of each cause, the likeliest cause first, at most a handful.

    Examples
    --------
    >>> found = [Finding("dead_units", "0", "", 0.6), Finding("non_finite_data", "x", "", 0.99),
    ...          Finding("dead_units", "2", "", 0.7)]
    >>> [(f.cause, f.place) for f in ranked(found)]
    [('non_finite_data', 'x'), ('dead_units', '2')]
    """
    best: dict[str, Finding] = {}
    for finding in findings:
        kept = best.get(finding.cause)
        if kept is None or finding.confidence > kept.confidence:
            best[finding.cause] = finding
    return sorted(best.values(), key=lambda finding: -finding.confidence)[:HANDFUL]
