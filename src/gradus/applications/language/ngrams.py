"""Language models that count: n-grams with smoothing, the classical rung under every neural one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted
from torch import nn

from gradus.applications.language.ngram_tables import (
    Level,
    Smoothing,
    contexts_after,
    count_ngrams,
    following,
    looked_up,
    moved,
    smooth,
    stream,
)
from gradus.applications.language.texts import texts_of
from gradus.applications.language.tokenizers import Tokenizer, TokenizerName, count_bytes, fit_tokenizer
from gradus.core.errors import InputError, SettingError
from gradus.core.options import option
from gradus.core.randomness import resolve_seed
from gradus.estimators.base import Estimator

__all__ = ["NGramLanguageModel"]


@dataclass(kw_only=True, eq=False, repr=False)
class NGramLanguageModel(Estimator):
    r"""Predict each token from the ``order - 1`` before it, by smoothed counts.

    Interpolated: :math:`p(w \mid h) = \frac{\max(c(hw) - D, 0)}{c(h)} + \gamma(h)\, p(w \mid h')` with the context
    :math:`h'` one token shorter, down to the uniform distribution; :math:`\gamma(h)` is what the discounts took.
    Modified Kneser-Ney discounts counts of one, two, and three or more differently, and counts in the shorter
    n-grams in how many contexts they come instead of how often.

    Every text begins after padding. Where ``fit`` is given several texts, their ends are a token too, which is
    predicted but not counted in the scores.

    Examples
    --------
    >>> model = NGramLanguageModel(order=4).fit("the cat sat on the mat and the dog sat on the log " * 8)
    >>> model.perplexity("the cat sat on the log") < 1.7
    True
    >>> model.sample(prompt="the ", length=3, temperature=0)
    ['the dog']

    References
    ----------
    Goodfellow et al. 2016, §12.4.1; Chen and Goodman 1999, §2.5 (Witten-Bell), §2.7-2.8 and eq. 26 (Kneser-Ney).
    """

    order: int = option(5, "tokens of an n-gram: each is predicted from one less", unit="tokens", low=1, high=64)
    smoothing: Smoothing = option("kneser_ney", "how mass goes to n-grams that were not seen")
    discounts: Literal[1, 3] = option(3, "discounts of each order with kneser_ney and absolute: one, or modified")
    k: float = option(0.1, "what add_k adds to every count", above=0)
    tokens: TokenizerName = option("characters", "what the text is cut into")
    vocabulary: int = option(1000, "tokens to learn, at most, with byte_pair or words", unit="tokens", low=2)

    # -- fitting -------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Count.

        Parameters
        ----------
        X : str, sequence of str, array of int, or sequence of such arrays
            One text or several, or their tokens' ids; ids are taken to go up to the largest one given.
        y : None
            Not used; there for scikit-learn.

        Returns
        -------
        self
            The fitted model.

        Raises
        ------
        InputError
            If there is no token.
        """
        self.check_settings()
        ids = _ids_of(X)
        texts = texts_of(X) if ids is None else []
        if ids is None:
            tokenizer = fit_tokenizer(self.tokens, texts, size=self.vocabulary, unknown=True)
            ids = [tokenizer.encode(text) for text in texts]
            state, size = tokenizer.to_dict(), tokenizer.size
        else:
            state, size = None, 1 + max((int(part.max()) for part in ids if len(part)), default=-1)
        if not any(len(part) for part in ids):
            raise InputError("at least one token", "none", "pass a text that is not empty")
        ends = len(ids) > 1
        if ends:
            ids = [np.append(part, size) for part in ids]
        alphabet = size + ends + 1
        counts = count_ngrams(stream(ids, self.order, alphabet), self.order)
        levels = smooth(counts, alphabet, self.smoothing, kinds=self.discounts, k=self.k)
        self.tokenizer_state_, self.n_tokens_, self.ends_ = state, size, ends
        self.levels_ = [tuple(level) for level in levels]
        return self

    def _rebuild(self) -> dict[str, nn.Module]:
        return {}

    @property
    def tokenizer_(self) -> Tokenizer:
        """What cuts the text into tokens."""
        check_is_fitted(self)
        if self.tokenizer_state_ is None:
            raise InputError("a model fitted on texts", "one fitted on ids", "work with ids, or fit on texts")
        return Tokenizer.from_dict(self.tokenizer_state_)

    @property
    def _alphabet(self) -> int:
        return int(self.n_tokens_ + self.ends_ + 1)

    # -- answering -----------------------------------------------------------------------------------------------

    def token_log_probabilities(self, X: Any) -> list[np.ndarray]:
        """Return the log-probability of every token given those before it in its text, in nats.

        Parameters
        ----------
        X : str, sequence of str, array of int, or sequence of such arrays
            One text or several, as in `fit`.

        Returns
        -------
        list of arrays of shape (tokens,)
            One for each text.
        """
        ids = self._encoded(X)
        levels = [Level(*level) for level in self.levels_]
        found = stream(ids, len(levels), self._alphabet)
        logs = np.log(looked_up(levels, found).probabilities[~found.padding])
        return np.split(logs, np.cumsum([len(part) for part in ids])[:-1])

    def score_samples(self, X: Any) -> np.ndarray:
        """Return the log-likelihood of each text in nats, float64 of shape ``(texts,)``; ends are not counted."""
        return np.array([logs.sum() for logs in self.token_log_probabilities(X)])

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean log-likelihood of a token, in nats; higher is better."""
        logs = np.concatenate(self.token_log_probabilities(X))
        if not len(logs):
            raise InputError("at least one token to score", "none", "pass a text that is not empty")
        return float(logs.mean())

    def perplexity(self, X: Any) -> float:
        """Return the exponential of the mean negative log-likelihood of a token."""
        return math.exp(-self.score(X))

    def bits_per_byte(self, X: Any) -> float:
        """Return the length of an ideal code of the texts in bits, over their bytes in UTF-8.

        It compares models that cut the text differently; unknown tokens do not say what they stood for.
        """
        if _ids_of(X) is not None:
            raise InputError("texts, of which the bytes are known", "ids", "pass texts to a model fitted on texts")
        n_bytes = sum(map(count_bytes, texts_of(X)))
        if not n_bytes:
            raise InputError("at least one byte to score", "none", "pass a text that is not empty")
        return float(-self.score_samples(X).sum() / math.log(2) / n_bytes)

    def next_probabilities(self, context: Any) -> np.ndarray:
        """Return the probabilities of the next token after ``context``, the beginning of a text.

        Parameters
        ----------
        context : str or array of int
            May be empty.

        Returns
        -------
        array of shape (n_tokens_,) or (n_tokens_ + 1,)
            The last is the end of the text, where the model knows ends.
        """
        begun = self._begun(context)
        levels = [Level(*level) for level in self.levels_]
        return following(levels, contexts_after(levels, begun, self._alphabet), self._alphabet)

    def sample(
        self,
        n: int = 1,
        *,
        prompt: Any = "",
        length: int = 200,
        temperature: float = 1.0,
        random_state: Any = None,
    ) -> list[Any]:
        """Continue a prompt, or begin a text.

        Parameters
        ----------
        n : int
            Number of texts, 1 or more.
        prompt : str or array of int
            What they begin with.
        length : int
            Tokens to add, at most; a text that ends is not continued.
        temperature : float
            Below 1 the likely becomes likelier; 0 takes the likeliest each time.
        random_state : int, generator or None
            Seed of the draws; a new one each time by default.

        Returns
        -------
        list of str, or of arrays where the model was fitted on ids
            The texts, prompt included.
        """
        check_is_fitted(self)
        if n < 1 or length < 1 or not temperature >= 0:
            received = f"{n}, {length} and {temperature}"
            raise SettingError("n and length of 1 or more, temperature of 0 or more", received, "set temperature=1")
        rng = np.random.default_rng(resolve_seed(random_state))
        begun = self._begun(prompt)
        drawn = [np.fromiter(self._draw(begun, length, temperature, rng), np.int64) for _ in range(n)]
        if self.tokenizer_state_ is None:
            return [np.concatenate([begun, ids]) for ids in drawn]
        tokenizer = self.tokenizer_
        between = " " if tokenizer.kind in ("words", "spaces") and prompt else ""
        return [prompt + between + tokenizer.decode(ids) for ids in drawn]

    def _draw(self, begun: np.ndarray, length: int, temperature: float, rng: np.random.Generator) -> Iterator[int]:
        levels = [Level(*level) for level in self.levels_]
        contexts = contexts_after(levels, begun, self._alphabet)
        for _ in range(length):
            p = following(levels, contexts, self._alphabet)
            if temperature == 0:
                token = int(p.argmax())
            else:
                weights = np.cumsum(np.exp((np.log(p) - np.log(p.max())) / temperature))
                token = int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))
            if token == self.n_tokens_:
                return
            yield token
            contexts = moved(levels, contexts, token, self._alphabet)

    def _begun(self, text: Any) -> np.ndarray:
        """Return the ids of one text that is to be continued, which may be empty."""
        check_is_fitted(self)
        nothing = self.tokenizer_state_ is None and len(text) == 0
        parts = self._encoded(np.empty(0, np.int64) if nothing else text)
        if len(parts) != 1:
            raise InputError("one text to continue", f"{len(parts)} texts", "pass one at a time")
        return parts[0]

    def _encoded(self, X: Any) -> list[np.ndarray]:
        """Return the ids of texts, or check those given."""
        check_is_fitted(self)
        ids = _ids_of(X)
        if ids is None:
            tokenizer = self.tokenizer_
            return [tokenizer.encode(text) for text in texts_of(X)]
        for part in ids:
            if len(part) and not 0 <= part.min() <= part.max() < self.n_tokens_:
                received = f"{part.min()} to {part.max()}"
                raise InputError(f"ids in [0, {self.n_tokens_})", received, "use the ids the model was fitted on")
        return ids


def _ids_of(X: Any) -> list[np.ndarray] | None:
    """Return the ids in ``X`` as a list of arrays, or None where it holds texts."""
    if isinstance(X, str | bytes) or not hasattr(X, "__len__"):
        return None
    parts = [X] if len(X) == 0 or np.ndim(next(iter(X))) == 0 else list(X)
    arrays = [np.asarray(part) for part in parts]
    if all(a.ndim == 1 and a.dtype.kind in "iu" for a in arrays):
        if any(len(a) and a.min() < 0 for a in arrays):
            raise InputError("ids of 0 or more", "a negative one", "number the tokens from 0")
        return [a.astype(np.int64) for a in arrays]
    return None
