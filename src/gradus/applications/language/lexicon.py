"""Translation by counting: which word of one language goes with which of the other, learned from pairs of sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted
from torch import nn

from gradus.applications.language.texts import texts_of
from gradus.core.errors import InputError
from gradus.core.options import option
from gradus.estimators.base import Estimator

__all__ = ["Copy", "LexiconTranslator"]


@dataclass(kw_only=True, eq=False, repr=False)
class Copy(Estimator):
    """Say the source again: what a translator has to beat.

    Examples
    --------
    >>> Copy().fit(["no"], ["nein"]).predict(["radio"]).tolist()
    ['radio']
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Learn nothing."""
        self.n_pairs_ = len(texts_of(X))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the sources."""
        check_is_fitted(self)
        return np.array(texts_of(X), dtype=object)

    def _rebuild(self) -> dict[str, nn.Module]:
        return {}


@dataclass(kw_only=True, eq=False, repr=False)
class LexiconTranslator(Estimator):
    r"""Translate word by word, in the order of the source, by a lexicon learned from pairs (IBM model 1).

    Each target word is taken to come from one of the source's words, or from none, all alike:
    :math:`p(y \mid x) \propto \prod_j \sum_i t(y_j \mid x_i)`. EM estimates :math:`t`; its likelihood has one maximum.
    An answer has for each source word the target word that it most likely means. Texts without spaces are
    cut into characters.

    Examples
    --------
    >>> sources = ["the house", "the book", "a book"]
    >>> targets = ["das Haus", "das Buch", "ein Buch"]
    >>> LexiconTranslator().fit(sources, targets).predict(["a house"]).tolist()
    ['ein Haus']

    References
    ----------
    Brown et al. 1993, The Mathematics of Statistical Machine Translation, §4.1 (eq. 5-9).
    """

    rounds: int = option(10, "rounds of EM", low=1)

    def fit(self, X: Any, y: Any) -> Self:
        """Learn the lexicon.

        Parameters
        ----------
        X, y : sequences of str
            Sources, and the target of each.

        Raises
        ------
        InputError
            If there are not as many targets as sources.
        """
        self.check_settings()
        sources, targets = texts_of(X), texts_of(y)
        if len(sources) != len(targets):
            raise InputError(f"{len(sources)} targets", str(len(targets)), "give one for each source")
        self.spaced_ = [_spaced(sources), _spaced(targets)]
        both = zip((sources, targets), self.spaced_, strict=True)
        cut = [[_cut(text, spaced) for text in texts] for texts, spaced in both]
        words = [sorted({word for row in rows for word in row}) for rows in cut]
        number = [{word: i for i, word in enumerate(each)} for each in words]
        # Every way a target's word may come from a source's word (or from none, the last number), as one flat list.
        none = len(words[0])
        lines = [
            ([number[0][w] for w in source] + [none], [number[1][w] for w in target])
            for source, target in zip(*cut, strict=True)
        ]
        from_, to, link = _links(lines)
        shape = (none + 1, max(1, len(words[1])))
        flat = from_ * shape[1] + to
        places, where = np.unique(flat, return_inverse=True)
        heads = places // shape[1]
        t = np.full(len(places), 1 / shape[1])
        self.log_likelihoods_: list[float] = []
        for _ in range(self.rounds):
            each = t[where]
            total = np.bincount(link, weights=each)
            self.log_likelihoods_.append(float(np.log(np.maximum(total, 1e-300)).sum()))
            expected = np.bincount(where, weights=each / np.maximum(total, 1e-300)[link], minlength=len(places))
            t = expected / np.maximum(np.bincount(heads, weights=expected, minlength=shape[0]), 1e-300)[heads]
        table = sparse.csr_array((t, (heads, places % shape[1])), shape=shape)
        best = np.full(none, -1, dtype=np.int64)
        for i in range(none):
            row = slice(table.indptr[i], table.indptr[i + 1])
            if row.stop > row.start:
                best[i] = table.indices[row][int(np.argmax(table.data[row]))]
        self.words_ = {word: (words[1][best[i]] if best[i] >= 0 else "") for i, word in enumerate(words[0])}
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return a target for each source; words never seen are kept as they are."""
        check_is_fitted(self)
        joint = " " if self.spaced_[1] else ""
        said = []
        for text in texts_of(X):
            found = [self.words_.get(word, word) for word in _cut(text, self.spaced_[0])]
            said.append(joint.join(word for word in found if word))
        return np.array(said, dtype=object)

    def _rebuild(self) -> dict[str, nn.Module]:
        return {}


def _spaced(texts: list[str]) -> bool:
    return float(np.mean([" " in text.strip() for text in texts])) > 0.3


def _cut(text: str, spaced: bool) -> list[str]:
    return text.split() if spaced else list(text)


def _links(lines: list[tuple[list[int], list[int]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return source word, target word and number of the target's position, for every pair within a line."""
    sources, targets, positions, at = [], [], [], 0
    for source, target in lines:
        n = len(target)
        sources.append(np.repeat(np.array(source, dtype=np.int64)[None], n, axis=0).ravel())
        targets.append(np.repeat(np.array(target, dtype=np.int64), len(source)))
        positions.append(np.repeat(np.arange(at, at + n), len(source)))
        at += n
    return np.concatenate(sources), np.concatenate(targets), np.concatenate(positions)
