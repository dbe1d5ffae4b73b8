"""A data set as it was read: inputs, target, the publisher's test part, and notes on what was changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from gradus.core.errors import InputError
from gradus.data.fingerprint import fingerprint

__all__ = ["Dataset", "Note", "brief"]


def brief(values: Iterable[Any], limit: int = 5) -> str:
    """List the first few values in quotes, long ones cut, for a sentence.

    Examples
    --------
    >>> brief(["a", "b" * 60], limit=5)
    "'a', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb...'"
    >>> brief("abc", limit=2)
    "'a', 'b', ..."
    """
    shown: list[str] = []
    for value in values:
        if len(shown) == limit:
            return ", ".join(shown) + ", ..."
        text = value.item() if isinstance(value, np.generic) else value
        text = text if not isinstance(text, str) or len(text) <= 42 else text[:39] + "..."
        shown.append(repr(text))
    return ", ".join(shown)


@dataclass(frozen=True)
class Note:
    """Something that was dropped, changed or guessed while reading or splitting.

    Parameters
    ----------
    what : str
        The thing concerned: a column, some rows, the encoding, the target.
    why : str
        What was done with it and for what reason.
    count : int
        How many rows, columns, files or lines it concerns; 0 or more.

    Examples
    --------
    >>> str(Note("rows without a target", "dropped: nothing can be learned from them", 3))
    'rows without a target (3): dropped: nothing can be learned from them'
    """

    what: str
    why: str
    count: int = 1

    def __str__(self) -> str:
        number = f" ({self.count:,})" if self.count != 1 else ""
        return f"{self.what}{number}: {self.why}"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Dataset:
    """Inputs and target with their story.

    Parameters
    ----------
    name : str
        Short name for titles.
    kind : {"table", "images", "texts"}
        What one row is.
    X : DataFrame or array
        A table, images as uint8 of shape (n, height, width, channels), or an array of objects of shape (n,), all str.
    y : array, Series or None
        The target, one value a row.
    target : str or None
        The name of the target's column.
    test : tuple of X and y, or None
        The publisher's own test part.
    notes : tuple of Note
        What was dropped, changed or guessed.
    row_names : list of str or None
        File paths of images.
    origin : str
        Path or home of the data.
    groups : array or None
        Rows with equal values belong on one side of a split.
    time : array or None
        Sortable; the order a split by time keeps.
    scale : float
        The brightest value a pixel can have (16 for digits, 255 for most); 1 for tables.

    Examples
    --------
    >>> table = pd.DataFrame({"height": [1.6, 1.8]})
    >>> data = Dataset(name="people", kind="table", X=table, y=np.array(["f", "m"]), target="sex")
    >>> data
    Dataset('people', table of 2 rows and 1 columns, target 'sex')
    >>> data.take([1]).y.tolist()
    ['m']
    """

    name: str
    kind: Literal["table", "images", "texts"]
    X: pd.DataFrame | np.ndarray
    y: np.ndarray | pd.Series | None = None
    target: str | None = None
    test: tuple[Any, Any] | None = None
    notes: tuple[Note, ...] = ()
    row_names: list[str] | None = None
    origin: str = ""
    groups: np.ndarray | None = None
    time: np.ndarray | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.kind == "images" and (
            not isinstance(self.X, np.ndarray) or self.X.ndim != 4 or self.X.dtype != np.uint8
        ):
            received = f"{getattr(self.X, 'dtype', type(self.X).__name__)} {getattr(self.X, 'shape', '')}"
            raise InputError(
                "images as uint8 of shape (n, height, width, channels)", received, "convert or reshape them"
            )
        if self.kind == "table" and not isinstance(self.X, pd.DataFrame):
            raise InputError("a table as a pandas DataFrame", type(self.X).__name__, "wrap it in pd.DataFrame")
        if self.kind == "texts" and not (isinstance(self.X, np.ndarray) and all(isinstance(t, str) for t in self.X)):
            raise InputError("texts as an array of str", type(self.X).__name__, "pass np.array(texts, dtype=object)")
        for field in ("y", "row_names", "groups", "time"):
            value = getattr(self, field)
            if value is not None and len(value) != len(self.X):
                raise InputError(f"{len(self.X)} values in {field}", str(len(value)), "give one value a row")

    def __len__(self) -> int:
        return len(self.X)

    def __repr__(self) -> str:
        if self.kind == "table":
            shape = f"table of {len(self.X):,} rows and {self.X.shape[1]:,} columns"
        elif self.kind == "texts":
            shape = f"{len(self.X):,} texts of {np.median([len(text) for text in self.X]):,.0f} characters"
        else:
            shape = f"{len(self.X):,} images of {'x'.join(map(str, self.X.shape[1:]))}"
        target = f", target {self.target!r}" if self.y is not None else ", no target"
        test = f", test part of {len(self.test[0]):,}" if self.test else ""
        return f"Dataset({self.name!r}, {shape}{target}{test})"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over columns, types and values, of the test part too; the order of rows counts."""
        return fingerprint(self.kind, self.target, self.X, self.y, *(self.test or ()))

    def take(self, rows: Sequence[int] | np.ndarray) -> Dataset:
        """Return the rows at these positions, in this order, without the publisher's test part."""
        rows = np.asarray(rows, dtype=np.int64)

        def pick(values: Any) -> Any:
            if values is None:
                return None
            if isinstance(values, list):
                return [values[i] for i in rows]
            if isinstance(values, np.ndarray):
                return values[rows]
            return values.iloc[rows].reset_index(drop=True)

        picked = {field: pick(getattr(self, field)) for field in ("X", "y", "row_names", "groups", "time")}
        return replace(self, test=None, **picked)
