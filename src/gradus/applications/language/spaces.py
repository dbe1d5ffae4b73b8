"""Tokens that white space parts: for texts that are cut already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from gradus.applications.language.tokenization import Ids, Tokenizer
from gradus.core.errors import InputError, SettingError

__all__ = ["SpaceTokenizer"]


class SpaceTokenizer(Tokenizer):
    """One token a stretch between white space, as it stands: for texts that are cut already, such as phonemes.

    Not lossless: `decode` joins with single spaces, and rare tokens become one unknown token.

    Parameters
    ----------
    words : sequence of str
        The tokens known, the most frequent first; they get the ids 1, 2, ..., and 0 is the unknown one.

    Examples
    --------
    >>> tokenizer = SpaceTokenizer.fit(["K AE1 T", "K AA1 T"])
    >>> tokenizer.encode("K AE1 D").tolist(), tokenizer.decode(tokenizer.encode("T AA1 K"))
    ([1, 4, 0], 'T AA1 K')
    """

    kind = "spaces"
    lossless = False
    unknown: ClassVar[str] = "<unk>"

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)
        self._ids = {word: i for i, word in enumerate(self.words, 1)}
        if len(self._ids) != len(self.words):
            raise InputError("tokens that differ", "one of them twice", "give each one once")

    @classmethod
    def fit(cls, texts: Iterable[str], size: int | None = None) -> SpaceTokenizer:
        """Learn the tokens of texts, or the ``size - 1`` most frequent ones.

        Raises
        ------
        SettingError
            If ``size`` is less than 2.
        """
        if size is not None and size < 2:
            raise SettingError("a vocabulary of 2 tokens or more", str(size), "set for example size=20000")
        counts = Counter(token for text in texts for token in text.split())
        known = sorted(counts, key=lambda token: (-counts[token], token))
        return cls(known[: None if size is None else size - 1])

    @property
    def size(self) -> int:
        """Number of tokens, the unknown one included."""
        return len(self.words) + 1

    def tokens(self, ids: Ids) -> list[str]:
        """Return each token."""
        return [self.words[i - 1] if i else self.unknown for i in self._checked(ids).tolist()]

    def _encode(self, text: str) -> np.ndarray:
        found = text.split()
        return np.fromiter((self._ids.get(token, 0) for token in found), np.int64, len(found))

    def _decode(self, ids: np.ndarray) -> str:
        return " ".join(self.tokens(ids))

    def _plain(self) -> dict[str, Any]:
        return {"words": self.words}
