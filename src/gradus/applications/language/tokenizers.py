"""Text to whole numbers and back: characters, bytes, byte pairs, words.

A tokenizer is plain data: `Tokenizer.to_dict` gives what JSON holds, `Tokenizer.from_dict` makes it again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from gradus.applications.language.byte_pairs import BytePairTokenizer
from gradus.applications.language.spaces import SpaceTokenizer
from gradus.applications.language.tokenization import Ids, Tokenizer, TokenizerName, count_bytes
from gradus.core.errors import InputError, SettingError, nearest

__all__ = [
    "TOKENIZERS",
    "BytePairTokenizer",
    "ByteTokenizer",
    "CharacterTokenizer",
    "SpaceTokenizer",
    "Tokenizer",
    "TokenizerName",
    "WordTokenizer",
    "count_bytes",
    "fit_tokenizer",
    "split_words",
]


class CharacterTokenizer(Tokenizer):
    """One token a character (Unicode code point).

    Parameters
    ----------
    characters : str
        Every character it knows, each once; the id is the place.
    unknown : str, optional
        One of ``characters``: what characters it does not know become. Without it they are refused.

    Raises
    ------
    InputError
        If characters repeat, there is none, or ``unknown`` is not among them; from `encode`, for an unknown
        character where ``unknown`` is not given.

    Examples
    --------
    >>> tokenizer = CharacterTokenizer.fit(["to be"])
    >>> tokenizer.encode("bet").tolist()
    [1, 2, 4]
    >>> tokenizer.encode("bat")
    Traceback (most recent call last):
    gradus.core.errors.InputError: expected one of the 5 known characters, got 'a'; fit on a text that has it, ...
    """

    kind = "characters"

    def __init__(self, characters: str, unknown: str | None = None) -> None:
        if not isinstance(characters, str) or not characters or len(set(characters)) != len(characters):
            raise InputError("different characters, one or more", repr(characters)[:40], "give each one once")
        if unknown is not None and (len(unknown) != 1 or unknown not in characters):
            raise InputError("unknown to be one of the characters", repr(unknown), "add it to characters")
        self.characters, self.unknown = characters, unknown
        self.lossless = unknown is None
        self._points = _code_points(characters)
        self._order = np.argsort(self._points)
        self._sorted = self._points[self._order]

    @classmethod
    def fit(cls, texts: Iterable[str], unknown: str | None = None) -> CharacterTokenizer:
        """Learn the characters of texts, in the order of their code points; ``unknown`` is added if absent."""
        found = set(unknown or "").union(*texts)
        return cls("".join(sorted(found)), unknown)

    @property
    def size(self) -> int:
        """Number of characters."""
        return len(self.characters)

    def tokens(self, ids: Ids) -> list[str]:
        """Return each character."""
        return list(self.decode(ids))

    def _encode(self, text: str) -> np.ndarray:
        points = _code_points(text)
        places = np.minimum(np.searchsorted(self._sorted, points), self.size - 1)
        ids = self._order[places]
        strange = self._sorted[places] != points
        if strange.any():
            if self.unknown is None:
                mend = "fit on a text that has it, or set unknown to the character that stands for such"
                first = chr(points[np.argmax(strange)])
                raise InputError(f"one of the {self.size} known characters", repr(first), mend)
            ids[strange] = self.characters.index(self.unknown)
        return ids.astype(np.int64)

    def _decode(self, ids: np.ndarray) -> str:
        return self._points[ids].astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")

    def _plain(self) -> dict[str, Any]:
        return {"characters": self.characters, "unknown": self.unknown}


class ByteTokenizer(Tokenizer):
    """One token a byte of UTF-8: 256 tokens, any text, nothing to learn.

    Examples
    --------
    >>> ByteTokenizer().encode("né").tolist()
    [110, 195, 169]
    >>> ByteTokenizer().decode([110, 195])  # half a character
    'n�'
    """

    kind = "bytes"

    @classmethod
    def fit(cls, texts: Iterable[str]) -> ByteTokenizer:
        """Return the tokenizer; there is nothing to learn."""
        return cls()

    @property
    def size(self) -> int:
        """256."""
        return 256

    def tokens(self, ids: Ids) -> list[str]:
        """Return each byte as a character, those beyond ASCII as hexadecimal digits."""
        return [chr(i) if i < 128 else f"0x{i:02x}" for i in self._checked(ids).tolist()]

    def _encode(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8).astype(np.int64)

    def _decode(self, ids: np.ndarray) -> str:
        data = ids.astype(np.uint8).tobytes()
        try:
            return data.decode("utf-8", "surrogatepass")  # as `encode` wrote it
        except UnicodeDecodeError:
            return data.decode("utf-8", "replace")

    def _plain(self) -> dict[str, Any]:
        return {}


_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


class WordTokenizer(Tokenizer):
    """One token a word or a sign; white space is dropped, and rare words become one unknown token.

    Not lossless: `decode` joins with single spaces.

    Parameters
    ----------
    words : sequence of str
        The words known, the most frequent first; they get the ids 1, 2, ..., and 0 is the unknown word.
    lowercase : bool
        Whether capitals are lowered first.

    Examples
    --------
    >>> tokenizer = WordTokenizer.fit(["the cat, the dog"], size=3)
    >>> tokenizer.encode("The dog, the cat").tolist()
    [1, 0, 2, 1, 0]
    >>> tokenizer.decode([1, 2, 0])
    'the , <unk>'
    """

    kind = "words"
    lossless = False
    unknown: ClassVar[str] = "<unk>"

    def __init__(self, words: Sequence[str], lowercase: bool = True) -> None:
        self.words, self.lowercase = list(words), bool(lowercase)
        self._ids = {word: i for i, word in enumerate(self.words, 1)}
        if len(self._ids) != len(self.words):
            raise InputError("words that differ", "one of them twice", "give each one once")

    @classmethod
    def fit(
        cls, texts: Iterable[str], size: int | None = None, min_count: int = 1, *, lowercase: bool = True
    ) -> WordTokenizer:
        """Learn the words of texts: the ``size - 1`` most frequent of those that come ``min_count`` times.

        Raises
        ------
        SettingError
            If ``size`` is less than 2.
        """
        if size is not None and size < 2:
            raise SettingError("a vocabulary of 2 words or more", str(size), "set for example size=20000")
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(split_words(text, lowercase))
        known = [word for word, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if n >= min_count]
        return cls(known[: None if size is None else size - 1], lowercase)

    @property
    def size(self) -> int:
        """Number of words, the unknown one included."""
        return len(self.words) + 1

    def tokens(self, ids: Ids) -> list[str]:
        """Return each word."""
        return [self.words[i - 1] if i else self.unknown for i in self._checked(ids).tolist()]

    def _encode(self, text: str) -> np.ndarray:
        found = split_words(text, self.lowercase)
        return np.fromiter((self._ids.get(word, 0) for word in found), np.int64, len(found))

    def _decode(self, ids: np.ndarray) -> str:
        return " ".join(self.tokens(ids))

    def _plain(self) -> dict[str, Any]:
        return {"words": self.words, "lowercase": self.lowercase}


TOKENIZERS: dict[str, Any] = {
    "characters": CharacterTokenizer,
    "bytes": ByteTokenizer,
    "byte_pair": BytePairTokenizer,
    "words": WordTokenizer,
    "spaces": SpaceTokenizer,
}


def fit_tokenizer(
    kind: TokenizerName, texts: Iterable[str], *, size: int | None = None, unknown: bool = False
) -> Tokenizer:
    """Learn a tokenizer from texts.

    Parameters
    ----------
    kind : {"characters", "bytes", "byte_pair", "words", "spaces"}
        What a token is.
    texts : iterable of str
        Training texts.
    size : int, optional
        Most tokens, for byte pairs (4096 by default), words and spaces (all by default).
    unknown : bool
        Let characters that ``texts`` lack become the replacement sign U+FFFD instead of being refused.

    Raises
    ------
    SettingError
        If the kind is unknown, or the size too small for it.
    InputError
        If there is no text.

    Examples
    --------
    >>> fit_tokenizer("characters", ["abba", "cab"], unknown=True).encode("abz").tolist()
    [0, 1, 3]
    """
    texts = [texts] if isinstance(texts, str) else list(texts)
    if not any(texts):
        raise InputError("texts to learn a tokenizer from", "none", "pass at least one text that is not empty")
    if kind == "characters":
        return CharacterTokenizer.fit(texts, unknown="\ufffd" if unknown else None)
    if kind == "bytes":
        return ByteTokenizer.fit(texts)
    if kind == "byte_pair":
        return BytePairTokenizer.fit(texts, 4096 if size is None else size)
    if kind in ("words", "spaces"):
        return TOKENIZERS[kind].fit(texts, size)
    mend = f"{nearest(kind, TOKENIZERS)}choose one of these"
    raise SettingError(f"tokenizer to be one of {', '.join(TOKENIZERS)}", repr(kind), mend)


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.int64)


def split_words(text: str, lowercase: bool = True) -> list[str]:
    """Return the words and signs of a text, in order.

    Examples
    --------
    >>> split_words("It's the cat's, isn't it?")
    ["it's", 'the', "cat's", ',', "isn't", 'it', '?']
    """
    return _WORD.findall(text.lower() if lowercase else text)
