"""Words in a row: texts split into words, and the last of them held out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gradus.applications.language.tokenizers import split_words
from gradus.core.errors import InputError

__all__ = ["without_end", "words_of"]


def words_of(X: Any, *, lowercase: bool = True) -> list[list[str]]:
    """Return the words of each text, without signs; words already split are taken as they are.

    Parameters
    ----------
    X : str, sequence of str, or sequence of sequences of str
        One text or several, or their words.
    lowercase : bool
        Whether capitals are lowered where texts are split.

    Raises
    ------
    InputError
        If there is something else among them.

    Examples
    --------
    >>> words_of(["The cat.", ["The", "."]])
    [['the', 'cat'], ['The', '.']]
    """
    if isinstance(X, bytes) or not isinstance(X, Iterable):
        raise InputError("a text, texts or lists of words", type(X).__name__, "pass a str or a list of str")
    texts: list[list[str]] = []
    for text in [X] if isinstance(X, str) else X:
        if isinstance(text, str):
            texts.append([word for word in split_words(text, lowercase) if word[0].isalnum()])
        elif isinstance(text, Sequence | np.ndarray) and all(isinstance(word, str) for word in text):
            texts.append([str(word) for word in text])
        else:
            mend = "drop or convert what is no str"
            raise InputError("a text, texts or lists of words", f"{type(text).__name__} among them", mend)
    return texts


def without_end(texts: Sequence[list[str]], fraction: float) -> tuple[list[list[str]], list[list[str]]]:
    """Cut off the last share of all words; a text may be cut in two.

    Examples
    --------
    >>> without_end([["a", "b"], ["c", "d"]], 0.25)
    ([['a', 'b'], ['c']], [[], ['d']])
    """
    left = round(sum(map(len, texts)) * (1 - fraction))
    kept: list[list[str]] = []
    held: list[list[str]] = []
    for text in texts:
        kept.append(text[:left])
        held.append(text[left:])
        left = max(0, left - len(text))
    return kept, held
