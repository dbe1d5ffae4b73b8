"""Byte pair encoding, by the library `tokenizers`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gradus.applications.language.tokenization import Ids, Tokenizer
from gradus.core.errors import InputError, MissingExtraError, SettingError

__all__ = ["BytePairTokenizer"]


class BytePairTokenizer(Tokenizer):
    """Byte pair encoding: bytes, and the pairs that were merged into longer tokens, most frequent first.

    Any text can be encoded, since every byte is a token. Words are cut as in GPT-2, with the space before them.

    Parameters
    ----------
    tokens : sequence of str
        Every token by id, its bytes written as GPT-2 writes them.
    merges : sequence of str
        The merges in order, each two tokens with a space between.

    Raises
    ------
    MissingExtraError
        If the package ``tokenizers`` is not installed (the extra ``language``).
    InputError
        From `encode`, for a lone surrogate, which UTF-8 has no bytes for.

    References
    ----------
    Sennrich, Haddow and Birch 2016 (byte pairs); Radford et al. 2019 (on bytes).
    """

    kind = "byte_pair"

    def __init__(self, tokens: Sequence[str], merges: Sequence[str]) -> None:
        self._tokens, self.merges = list(tokens), list(merges)
        pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in self.merges)]
        self._model = _byte_pair_model({token: i for i, token in enumerate(self._tokens)}, pairs)
        if self._model.get_vocab_size() != len(self._tokens):
            raise InputError("tokens that differ", "one of them twice", "save it again")

    @classmethod
    def fit(cls, texts: Iterable[str], size: int = 4096, min_count: int = 2) -> BytePairTokenizer:
        """Learn merges from texts until there are ``size`` tokens, or no pair comes ``min_count`` times.

        Parameters
        ----------
        texts : iterable of str
            What to learn from.
        size : int
            Tokens wanted, 257 or more: 256 bytes and the merges.
        min_count : int
            Times a pair must come to be merged.

        Raises
        ------
        SettingError
            If ``size`` is 256 or less.
        """
        if size <= 256:
            raise SettingError("a byte-pair vocabulary of 257 tokens or more", str(size), "set for example size=4096")
        library, model = _library(), _byte_pair_model({}, [])
        trainer = library.trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=min_count,
            initial_alphabet=sorted(library.pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        model.train_from_iterator(texts, trainer)
        learned = _described(model)
        vocabulary = sorted(learned["vocab"], key=learned["vocab"].get)
        return cls(vocabulary, [" ".join(pair) for pair in learned["merges"]])

    @property
    def size(self) -> int:
        """Number of tokens."""
        return len(self._tokens)

    def tokens(self, ids: Ids) -> list[str]:
        """Return the text of each token by itself."""
        return [self._decode(np.array([i])) for i in self._checked(ids).tolist()]

    def _encode(self, text: str) -> np.ndarray:
        try:
            return np.array(self._model.encode(text).ids, dtype=np.int64)
        except TypeError as error:
            raise InputError("text that UTF-8 can hold", "a lone surrogate", "remove it from the text") from error

    def _decode(self, ids: np.ndarray) -> str:
        return str(self._model.decode(ids.tolist(), skip_special_tokens=False))

    def _plain(self) -> dict[str, Any]:
        return {"tokens": self._tokens, "merges": self.merges}


def _library() -> Any:
    """Return the package `tokenizers`, imported when a byte pair tokenizer is made."""
    try:
        import tokenizers
    except ImportError as error:
        mend = "install it (pip install 'gradus-dl[language]'), or choose characters or bytes"
        raise MissingExtraError("the package tokenizers for byte pairs", "none", mend) from error
    return tokenizers


def _byte_pair_model(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Any:
    library = _library()
    try:
        model = library.Tokenizer(library.models.BPE(vocabulary, merges))
    except Exception as error:  # the library raises nothing narrower
        raise InputError("merges of known tokens", str(error), "save the tokenizer again") from error
    model.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = library.decoders.ByteLevel()
    return model


def _described(model: Any) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(model.to_str())["model"]
    return described
