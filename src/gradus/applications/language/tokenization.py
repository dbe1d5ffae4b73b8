"""What every tokenizer is: text to whole numbers and back, made of plain data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from gradus.core.errors import GradusError, InputError

__all__ = ["Ids", "Tokenizer", "TokenizerName", "count_bytes"]

TokenizerName = Literal["characters", "bytes", "byte_pair", "words", "spaces"]
Ids = np.ndarray | Sequence[int]


def count_bytes(text: str) -> int:
    """Return the length of a text in UTF-8, the unit of bits per byte.

    Examples
    --------
    >>> count_bytes("né")
    3
    """
    return len(text.encode("utf-8", "surrogatepass"))


class Tokenizer(ABC):
    """Base of the tokenizers.

    Attributes
    ----------
    kind : str
        Its name in `TOKENIZERS`.
    lossless : bool
        Whether ``decode(encode(text)) == text`` for every text that `encode` takes.
    """

    kind: ClassVar[TokenizerName]
    lossless: bool = True

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of different tokens; ids lie in ``[0, size)``."""

    @abstractmethod
    def tokens(self, ids: Ids) -> list[str]:
        """Return each token as one would print it; of a token that is half a character, a replacement sign."""

    @abstractmethod
    def _encode(self, text: str) -> np.ndarray: ...

    @abstractmethod
    def _decode(self, ids: np.ndarray) -> str: ...

    @abstractmethod
    def _plain(self) -> dict[str, Any]: ...

    def encode(self, text: str) -> np.ndarray:
        """Return the ids of a text's tokens, int64 of shape ``(n,)``.

        Raises
        ------
        InputError
            If ``text`` is no string, or holds a character that this tokenizer refuses.
        """
        if not isinstance(text, str):
            mend = "decode bytes first, and pass texts one at a time"
            raise InputError("a text to encode", type(text).__name__, mend)
        return self._encode(text)

    def decode(self, ids: Ids) -> str:
        """Return the text of ids; bytes that are no UTF-8 become the replacement sign.

        Raises
        ------
        InputError
            If an id is no whole number in ``[0, size)``, or they have more than one axis.
        """
        return self._decode(self._checked(ids))

    def to_dict(self) -> dict[str, Any]:
        """Return the tokenizer as strings, numbers and lists, as JSON holds them."""
        return {"kind": self.kind, **self._plain()}

    @staticmethod
    def from_dict(plain: Mapping[str, Any]) -> Tokenizer:
        """Make the tokenizer that `to_dict` described.

        Raises
        ------
        InputError
            If this is no description of a tokenizer.

        Examples
        --------
        >>> from gradus.applications.language.tokenizers import CharacterTokenizer
        >>> same = Tokenizer.from_dict(CharacterTokenizer("abc").to_dict())
        >>> same.encode("cab").tolist()
        [2, 0, 1]
        """
        from gradus.applications.language.tokenizers import TOKENIZERS

        settings = dict(plain)
        kind = settings.pop("kind", None)
        if kind not in TOKENIZERS:
            raise InputError(f"a kind of tokenizer, one of {', '.join(TOKENIZERS)}", repr(kind), "save it again")
        try:
            return TOKENIZERS[kind](**settings)
        except GradusError:
            raise
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"a description of a {kind} tokenizer", str(error), "save it again") from error

    def __reduce__(self) -> tuple[Any, tuple[dict[str, Any]]]:
        """Cross process borders as the same plain data that is saved."""
        return Tokenizer.from_dict, (self.to_dict(),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size})"

    def _checked(self, ids: Ids) -> np.ndarray:
        array = np.asarray(ids)
        if array.size == 0:
            return np.empty(0, np.int64)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            mend = "pass one sequence of ids at a time"
            raise InputError("ids of shape (n,), whole numbers", f"{array.dtype} of shape {array.shape}", mend)
        low, high = int(array.min()), int(array.max())
        if low < 0 or high >= self.size:
            received = f"{low if low < 0 else high}"
            raise InputError(f"ids in [0, {self.size})", received, "decode with the tokenizer that encoded")
        return array.astype(np.int64)
