"""One row of the catalog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Entry", "Kind"]

Kind = Literal[
    "estimator",
    "network",
    "layer",
    "head",
    "loss",
    "optimizer",
    "schedule",
    "regularizer",
    "training",
    "practice",
    "function",
]


@dataclass(frozen=True)
class Entry:
    """One method of the book.

    Parameters
    ----------
    name : str
        The field's standard term; for an estimator, the name of its class.
    section : str
        Number of a chapter or section, a key of `SECTIONS`.
    kind : str
        What it is.
    where : str
        ``module:attribute``.
    summary : str
        One line.
    try_it : str
        A command or a line of Python.
    """

    name: str
    section: str
    kind: Kind
    where: str
    summary: str
    try_it: str
