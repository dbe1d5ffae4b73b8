"""Counts of n-grams in sorted arrays, and the smoothed probabilities made of them.

An n-gram is a node: the node of its first n - 1 tokens and its last token, as one whole number. So a level of the
table is one sorted array whatever the order and the vocabulary, counting is sorting, and looking up is bisection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

__all__ = [
    "Counts",
    "Level",
    "LookedUp",
    "Smoothing",
    "Stream",
    "contexts_after",
    "count_ngrams",
    "discounts_of",
    "following",
    "left_over",
    "looked_up",
    "moved",
    "smooth",
    "stream",
]

Smoothing = Literal["kneser_ney", "absolute", "witten_bell", "add_k"]
FALLBACK = (0.5, 1.0, 1.5)  # of discounts where too few n-grams are rare to estimate them


class Stream(NamedTuple):
    """Texts in a row, each after ``order - 1`` padding tokens.

    Attributes
    ----------
    tokens : array of shape (positions,)
        Ids; the padding token has the largest, ``alphabet - 1``.
    alphabet : int
        Number of ids, padding included.
    """

    tokens: np.ndarray
    alphabet: int

    @property
    def padding(self) -> np.ndarray:
        """Where padding is."""
        return self.tokens == self.alphabet - 1


class Counts(NamedTuple):
    """The n-grams of one length that a stream holds.

    Attributes
    ----------
    keys : int64 array of shape (nodes,), ascending
        ``parent * alphabet + token``: the node of the n-gram without its last token, and that token.
    counts : int64 array of shape (nodes,)
        How often each comes; of padding alone, zero.
    shorter : int64 array of shape (nodes,)
        The node, one level below, of the n-gram without its first token.
    """

    keys: np.ndarray
    counts: np.ndarray
    shorter: np.ndarray


class Level(NamedTuple):
    """Smoothed probabilities of one length: ``p(w | h) = share(h w) + backoff(h) p(w | shorter h)``.

    Attributes
    ----------
    keys : int64 array of shape (nodes,), ascending
        As in `Counts`.
    shares : float64 array of shape (nodes,)
        What an n-gram has of its own.
    backoffs : float64 array of shape (nodes of the level below,)
        What a context leaves to the shorter one; 1 where nothing was seen after it.
    """

    keys: np.ndarray
    shares: np.ndarray
    backoffs: np.ndarray

    def nodes(self, parents: np.ndarray, tokens: np.ndarray, alphabet: int) -> np.ndarray:
        """Return the nodes of n-grams, -1 for those not seen (also where the parent is -1)."""
        keys = parents * alphabet + tokens
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where((self.keys[places] == keys) & (parents >= 0), places, -1)

    def node(self, parent: int, token: int, alphabet: int) -> int:
        """Return the node of one n-gram, as `nodes` does."""
        place = int(np.searchsorted(self.keys, parent * alphabet + token)) if parent >= 0 else -1
        return place if 0 <= place < len(self.keys) and self.keys[place] == parent * alphabet + token else -1


def stream(texts: Sequence[np.ndarray], order: int, alphabet: int) -> Stream:
    """Join texts, each after ``order - 1`` padding tokens.

    Examples
    --------
    >>> stream([np.array([0, 1]), np.array([1])], order=2, alphabet=3).tokens.tolist()
    [2, 0, 1, 2, 1]
    """
    padding = np.full(order - 1, alphabet - 1, np.int64)
    parts = [part for text in texts for part in (padding, text)]
    return Stream(np.concatenate([np.empty(0, np.int64), *parts]), alphabet)


def _parents(nodes: np.ndarray, padding: np.ndarray) -> np.ndarray:
    """Return the node before each position; before padding lies padding, whatever the text there."""
    before = np.empty_like(nodes)
    before[1:] = nodes[:-1]
    before[:1] = nodes[:1]
    before[padding] = nodes[0]
    return before


def count_ngrams(found: Stream, order: int) -> list[Counts]:
    """Count the n-grams of every length from 1 to ``order``.

    Examples
    --------
    >>> unigrams, bigrams = count_ngrams(stream([np.array([0, 1, 0, 1])], 2, 3), 2)
    >>> bigrams.keys.tolist(), bigrams.counts.tolist()  # (0, 1), (1, 0), (padding, 0), (padding, padding)
    ([1, 3, 6, 8], [2, 1, 1, 0])
    """
    padding = found.padding
    levels: list[Counts] = []
    nodes = np.zeros(len(found.tokens), np.int64)
    for _ in range(order):
        keys, places, counts = np.unique(
            _parents(nodes, padding) * found.alphabet + found.tokens, return_inverse=True, return_counts=True
        )
        shorter = np.empty(len(keys), np.int64)
        shorter[places] = nodes
        counts[places[padding]] = 0
        levels.append(Counts(keys, counts, shorter))
        nodes = places
    return levels


def discounts_of(counts: np.ndarray, kinds: Literal[1, 3]) -> np.ndarray:
    r"""Return what is taken off counts of 0, 1, 2 and 3 or more, estimated from how many n-grams are how rare.

    With :math:`n_r` n-grams that come r times and :math:`Y = n_1 / (n_1 + 2 n_2)`: one discount is :math:`D = Y`,
    three are :math:`D_r = r - (r + 1) Y n_{r+1} / n_r`. Where too few are rare for that, 0.5 (1 and 1.5) is taken.

    Parameters
    ----------
    counts : array of shape (nodes,)
        Counts of all n-grams of one length.
    kinds : {1, 3}
        One discount for all (Kneser and Ney), or three (Chen and Goodman).

    Examples
    --------
    >>> discounts_of(np.array([1, 1, 1, 1, 2, 2, 3]), kinds=1).tolist()
    [0.0, 0.5, 0.5, 0.5]

    References
    ----------
    Chen and Goodman 1999, §2.7 and eq. 26.
    """
    rare = np.bincount(counts[(counts > 0) & (counts < 5)], minlength=5).astype(np.float64)
    if kinds == 1:
        share = rare[1] / (rare[1] + 2 * rare[2]) if rare[1] and rare[2] else FALLBACK[0]
        return np.array([0.0, share, share, share])
    found = np.array(FALLBACK)
    if rare[1:4].all():
        share = rare[1] / (rare[1] + 2 * rare[2])
        r = np.arange(1, 4)
        estimated = r - (r + 1) * share * rare[2:5] / rare[1:4]
        if ((estimated > 0) & (estimated <= r)).all():
            found = estimated
    return np.concatenate([[0.0], found])


def smooth(
    levels: Sequence[Counts], alphabet: int, smoothing: Smoothing, *, kinds: Literal[1, 3], k: float
) -> list[Level]:
    """Turn counts into probabilities.

    Parameters
    ----------
    levels : sequence of Counts
        What `count_ngrams` returned.
    alphabet : int
        Ids, padding included; all but padding can be predicted.
    smoothing : {"kneser_ney", "absolute", "witten_bell", "add_k"}
        How mass goes to what was not seen.
    kinds : {1, 3}
        Number of discounts of "kneser_ney" and "absolute".
    k : float
        What "add_k" adds to each count.
    """
    smoothed = []
    for m, level in enumerate(levels):
        top = m + 1 == len(levels)
        counts = level.counts
        if smoothing == "kneser_ney" and not top:  # in how many contexts it comes, not how often
            longer = levels[m + 1]
            counts = np.bincount(longer.shorter[longer.counts > 0], minlength=len(counts))
        contexts = len(levels[m - 1].keys) if m else 1
        parents = level.keys // alphabet
        seen = np.bincount(parents, counts, contexts)
        own = counts.astype(np.float64)
        if smoothing in ("kneser_ney", "absolute"):
            taken = discounts_of(counts, kinds)[np.minimum(counts, 3)]
            own, left, total = own - taken, np.bincount(parents, taken, contexts), seen
        elif smoothing == "witten_bell":
            left = np.bincount(parents, counts > 0, contexts)
            total = seen + left
        else:
            left = np.full(contexts, k * (alphabet - 1))
            own, total = (own, seen + left) if top else (own * 0, left)  # nothing between it and the uniform
        divisor = np.where(total > 0, total, 1.0)
        smoothed.append(Level(level.keys, own / divisor[parents], np.where(total > 0, left / divisor, 1.0)))
    return smoothed


class LookedUp(NamedTuple):
    """What a stream's tokens have in the tables.

    Attributes
    ----------
    probabilities : array of shape (positions,)
        Of every token given those before it; of padding, NaN.
    left : array of shape (positions,)
        What the longest context that anything was seen after leaves to shorter ones: small where the tables know
        well what follows, 1 where they know nothing.
    """

    probabilities: np.ndarray
    left: np.ndarray


def looked_up(levels: Sequence[Level], found: Stream) -> LookedUp:
    """Look up every token of a stream after those before it."""
    padding = found.padding
    answer = np.full(len(found.tokens), 1.0 / (found.alphabet - 1))
    left = np.ones(len(found.tokens))
    nodes = np.zeros(len(found.tokens), np.int64)
    for level in levels:
        parents = _parents(nodes, padding)
        nodes = level.nodes(parents, found.tokens, found.alphabet)
        # A context not seen is node -1, whose entry, the last, is not used.
        leaves = np.where(parents >= 0, level.backoffs[parents], 1.0)
        mixed = np.where(nodes >= 0, level.shares[nodes], 0.0) + leaves * answer
        answer = np.where(parents >= 0, mixed, answer)
        left = np.where(leaves < 1, leaves, left)
    return LookedUp(np.where(padding, np.nan, answer), left)


def left_over(levels: Sequence[Level], contexts: Sequence[int]) -> float:
    """Return what the longest of a text's contexts that anything was seen after leaves to shorter ones."""
    leaves = [level.backoffs[node] for level, node in zip(levels, contexts, strict=True) if node >= 0]
    return float(next((one for one in reversed(leaves) if one < 1), 1.0))


def contexts_after(levels: Sequence[Level], ids: np.ndarray, alphabet: int) -> list[int]:
    """Return the node of the last 0, 1, ... tokens of a text's beginning; -1 where they were never in a row."""
    longest = len(levels) - 1
    contexts = [0] + [-1] * longest
    for token in [alphabet - 1] * longest + ids[max(0, len(ids) - longest) :].tolist():
        contexts = moved(levels, contexts, token, alphabet)
    return contexts


def moved(levels: Sequence[Level], contexts: Sequence[int], token: int, alphabet: int) -> list[int]:
    """Return the contexts after one more token."""
    pairs = zip(levels[:-1], contexts, strict=False)  # the longest context gives no longer one
    return [0, *(level.node(context, token, alphabet) for level, context in pairs)]


def following(levels: Sequence[Level], contexts: Sequence[int], alphabet: int) -> np.ndarray:
    """Return the probability of every token, padding left out, after the contexts of each length."""
    p = np.full(alphabet - 1, 1.0 / (alphabet - 1))
    for level, node in zip(levels, contexts, strict=True):
        if node < 0:
            break
        low, high = np.searchsorted(level.keys, [node * alphabet, node * alphabet + alphabet - 1])
        p *= level.backoffs[node]
        p[level.keys[low:high] - node * alphabet] += level.shares[low:high]
    return p
