"""How far written answers, such as translations, are from the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradus.applications.language.translator import edit_distance
from gradus.practice.answers import Answers

__all__ = ["character_error", "edit_rate", "edit_rows", "exact", "same_rows"]

Floats = NDArray[np.float64]


def edit_rows(a: Answers) -> Floats:
    """Return edits and characters of the truth for each row."""
    pairs = zip(a.truth, [] if a.texts is None else a.texts, strict=True)
    return np.array([(edit_distance(truth, said), len(truth)) for truth, said in pairs], dtype=np.float64)


def edit_rate(s: Floats) -> Any:
    """Return edits over characters from sums of weight, edits and characters."""
    return s[..., 1] / np.maximum(s[..., 2], 1)


def character_error(a: Answers) -> float:
    """Return the edits that all answers need to be right, over the characters of the truth."""
    rows = edit_rows(a) if a.weight is None else edit_rows(a) * a.weight[:, None]
    return float(edit_rate(np.concatenate([[0.0], rows.sum(0)])))


def same_rows(a: Answers) -> Floats:
    """Return whether each answer is right, as a column."""
    return (a.truth == a.texts).astype(np.float64)[:, None]


def exact(a: Answers) -> float:
    """Return the share of answers that are right."""
    return float(np.average(same_rows(a)[:, 0], weights=a.weight))
