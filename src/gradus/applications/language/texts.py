"""Texts as they come in: one or several, checked, and joined into one sequence of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradus.core.errors import InputError

__all__ = ["joined", "texts_of"]


def texts_of(X: Any) -> list[str]:
    """Return one text or several as a list.

    Raises
    ------
    InputError
        If something else than text is among them, or there is none.

    Examples
    --------
    >>> texts_of("one"), texts_of(np.array(["one", "two"]))
    (['one'], ['one', 'two'])
    """
    if isinstance(X, str):
        return [X]
    if isinstance(X, bytes):
        raise InputError("texts", "bytes", "decode them first: X.decode('utf-8')")
    try:
        texts = [text.item() if isinstance(text, np.generic) else text for text in X]
    except TypeError:
        raise InputError("a text, or a sequence of texts", type(X).__name__, "pass a str or a list of str") from None
    strange = next((text for text in texts if not isinstance(text, str)), None)
    if strange is not None or not texts:
        received = "none" if not texts else f"{type(strange).__name__} {strange!r}"[:60]
        raise InputError("a text, or a sequence of texts", received, "drop or convert what is no str")
    return texts


def joined(encoded: Sequence[np.ndarray], *, boundary: int) -> np.ndarray:
    """Return all tokens as one sequence, with ``boundary`` before each text, as int64.

    Examples
    --------
    >>> joined([np.array([0, 1]), np.array([2])], boundary=3).tolist()
    [3, 0, 1, 3, 2]
    """
    parts = [part for tokens in encoded for part in ([boundary], tokens)]
    return np.concatenate(parts).astype(np.int64)
