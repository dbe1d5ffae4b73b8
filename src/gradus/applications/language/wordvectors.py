"""Word vectors by the skip-gram model with negative sampling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from gradus.applications.language.sentences import without_end, words_of
from gradus.applications.language.skipgram import (
    ABSENT,
    NegativeSamplingLoss,
    SkipGram,
    SkipGramBatches,
    keep_probabilities,
    neighbours,
)
from gradus.core.errors import InputError, SettingError, nearest
from gradus.core.options import option
from gradus.core.randomness import derive, generator, resolve_seed
from gradus.data.batches import Batch
from gradus.estimators.callbacks import CallbackSupportMixin, ScikitCallbacks, with_callbacks
from gradus.estimators.gradient import GradientEstimator
from gradus.networks.softmax import AliasTable
from gradus.training.distribution import agreed
from gradus.training.losses import LossFunction
from gradus.training.options import ScheduleName

__all__ = ["Agreement", "WordVectors"]


class Agreement(NamedTuple):
    """Spearman's rank correlation with people's ratings, and how many pairs had both words known."""

    correlation: float
    pairs: int


@dataclass(kw_only=True, eq=False, repr=False)
class WordVectors(CallbackSupportMixin, GradientEstimator):
    """Learn a vector for each word from the words it stands among.

    A vector is learned that tells the words near a word from words of noise (skip-gram with negative sampling, the
    method of word2vec): frequent words are dropped at random, each word looks 1 to ``window`` words to both sides, and
    noise has the words' frequencies to the power ``noise_power``.

    Examples
    --------
    >>> text = " ".join(f"the {a} sleeps . the {t} drives ." for a in ("cat", "dog") for t in ("bus", "car")) + " "
    >>> settings = {"dimension": 8, "window": 1, "min_count": 1, "subsample": 0, "learning_rate": 0.05}
    >>> model = WordVectors(**settings, batch_size=32, max_epochs=10, random_state=0).fit(text * 20)
    >>> model.most_similar("cat", n=1)[0][0]
    'dog'
    >>> model.transform(["cat", "bus"]).shape
    (2, 8)

    References
    ----------
    Goodfellow et al. 2016, §12.4.2; Mikolov et al. 2013a, 2013b; Levy and Goldberg 2014.
    """

    dimension: int = option(100, "numbers in a word's vector", low=1)
    window: int = option(5, "words looked at on each side, at most", unit="words", low=1)
    dynamic_window: bool = option(True, "draw how far each word looks, so that near words count more")
    negatives: float = option(5.0, "weight of noise against one true neighbour: its words of noise", above=0)
    shared_noise: int = option(256, "words of noise drawn for all pairs of an update", unit="words", low=1)
    noise_power: float = option(0.75, "power of the frequencies that noise has", low=0)
    subsample: float = option(1e-3, "frequency above which words are dropped at random; 0 keeps all", low=0, high=1)
    min_count: int = option(5, "times a word must come to get a vector", low=1)
    vocabulary: int | None = option(None, "most words that get a vector, the frequent first", low=1)
    lowercase: bool = option(True, "whether capitals are lowered where texts are split into words")
    batch_size: int = option(512, "middle words a parameter update", unit="words", low=1)
    max_epochs: int = option(10, "most passes over the text", unit="epochs", low=0)
    learning_rate: float = option(0.01, "step size at the top of the schedule", above=0)
    schedule: ScheduleName = option("cosine", "how the learning rate changes")

    # -- fitting -------------------------------------------------------------------------------------------------

    @with_callbacks
    def fit(self, X: Any, y: Any = None, X_val: Any = None) -> Self:
        """Learn the vectors.

        Parameters
        ----------
        X : str, sequence of str, or sequence of sequences of str
            One text or several, which are split into words (signs left out); or words already split.
        y : None
            Not used; there for scikit-learn.
        X_val : as X, optional
            Validation texts, which early stopping follows. With ``early_stopping=True`` and none given, the last
            part of the words is held out.

        Returns
        -------
        self
            The fitted model.

        Raises
        ------
        InputError
            If no two known words stand together.
        """
        self._check_together()
        if self.retrain != "none":
            raise SettingError("retrain='none' for word vectors", repr(self.retrain), "set retrain='none'")
        warm = self.warm_start and hasattr(self, "network_")
        self.__dict__.pop("_memory", None)
        with self._learning(fresh=not warm):
            self.seed_ = agreed(resolve_seed(self.random_state))
            texts = words_of(X, lowercase=self.lowercase)
            held = None if X_val is None else words_of(X_val, lowercase=self.lowercase)
            if held is None and self.early_stopping is True:
                texts, held = without_end(texts, self.validation_fraction)
            if not warm:
                self._learn_words(texts)
            batches = SkipGramBatches(
                [self._ids(text) for text in texts],
                keep_probabilities(self.counts_, self.subsample),
                window=self.window,
                dynamic=self.dynamic_window,
                batch_size=self.batch_size,
                seed=derive(self.seed_, "order"),
            )
            valid = None if held is None else self._pairs(held)
            network = self.network_ if warm else self._make_network()
        told = ScikitCallbacks(self, X, y)
        self._run(self._trainer(network, batches, valid, [told] if told.active else [], phase="main"))
        told.finish()
        return self

    def _learn_words(self, texts: list[list[str]]) -> None:
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text)
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        known = [item for item in ordered if item[1] >= self.min_count][: self.vocabulary]
        if len(known) < 2:
            received = f"{len(known)} of {len(counts)}"
            raise InputError(f"2 words that come {self.min_count} times or more", received, "lower min_count")
        self.words_ = [word for word, _ in known]
        self.counts_ = np.array([n for _, n in known], dtype=np.int64)

    def _ids(self, text: Sequence[str]) -> np.ndarray:
        """Return the known words' numbers; the others are as if they were not there."""
        places = self._places
        return np.array([places[word] for word in text if word in places], dtype=np.int64)

    @property
    def _places(self) -> dict[str, int]:
        known = self.__dict__.get("_index")
        if known is None or known[0] is not self.words_:  # made anew with the words
            known = self._index = (self.words_, {word: i for i, word in enumerate(self.words_)})
        return known[1]

    def _encode(self, X: Any, y: Any = None, sample_weight: Any = None, *, reset: bool = False) -> Batch:
        return self._pairs(words_of(X, lowercase=self.lowercase))

    def _pairs(self, texts: list[list[str]]) -> Batch:
        """Return all pairs of neighbours, nothing dropped and every word looking as far as it may."""
        ids = [self._ids(text) for text in texts]
        words = np.concatenate([np.empty(0, np.int64), *ids])
        of_text = np.repeat(np.arange(len(ids)), [len(part) for part in ids])
        batch = neighbours(words, of_text, np.arange(len(words)), np.full(len(words), self.window), self.window)
        if not bool((batch["targets"] != ABSENT).any()):
            raise InputError("a validation text with two known words", "none", "pass a longer X_val")
        return batch

    def _build(self) -> nn.Module:
        return SkipGram(len(self.words_), self.dimension)

    def _loss(self, network: nn.Module) -> LossFunction:
        device = next(network.parameters()).device
        noise = AliasTable.of(self.counts_, float(self.noise_power)).to(device)
        return NegativeSamplingLoss(noise, self.negatives, self.shared_noise)

    def _measure(self, network: Any, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the sums of the loss and of the chances to tell a neighbour from noise; the same noise each time."""
        middle, around = batch["inputs"], batch["targets"]
        loss: Any = self._loss(network)
        seed = derive(self.seed_, "noise")
        measured = loss(network, batch, generator(seed, middle.device))
        drawn = loss.noise.sample(around.shape, generator(seed, middle.device))
        won = network(middle, around.clamp_min(0)) > network(middle, drawn)
        return measured.total, (won & (around != ABSENT)).sum(), torch.as_tensor(measured.count)

    # -- answering -----------------------------------------------------------------------------------------------

    @property
    def vectors_(self) -> np.ndarray:
        """The vectors, float32 of shape ``(words, dimension)``, in the order of ``words_``: the frequent first."""
        check_is_fitted(self)
        network: Any = self.network_
        return network.middle.weight.detach().cpu().numpy()

    def transform(self, X: Iterable[str]) -> np.ndarray:
        """Return the vectors of words, float32 of shape ``(n, dimension)``.

        Raises
        ------
        InputError
            If a word has none.
        """
        check_is_fitted(self)
        if isinstance(X, str):
            raise InputError("a sequence of words", f"one text, {X[:30]!r}", "pass a list, such as [word]")
        return self.vectors_[[self._place(word) for word in X]]

    def _place(self, word: Any) -> int:
        check_is_fitted(self)
        if word not in self._places:
            mend = f"{nearest(str(word), self.words_)}take a word among words_, or fit on a text that has it"
            raise InputError(f"a word that came {self.min_count} times or more in the texts", repr(word), mend)
        return self._places[word]

    def similarity(self, first: str, second: str) -> float:
        """Return the cosine of two words' vectors, in [-1, 1]."""
        a, b = _unit(self.transform([first, second]))
        return float(a @ b)

    def most_similar(self, word: str | np.ndarray, n: int = 10) -> list[tuple[str, float]]:
        """Return the words whose vectors point the same way, nearest first, with their cosines.

        Parameters
        ----------
        word : str or array of shape (dimension,)
            A word, which is left out of the answer, or any vector.
        n : int
            How many, 1 or more.

        Raises
        ------
        InputError
            If the word has no vector.
        """
        if isinstance(word, str):
            return self._nearest(self.transform([word])[0], n, [word])
        return self._nearest(np.asarray(word), n, [])

    def analogy(self, a: str, b: str, c: str, n: int = 1) -> list[tuple[str, float]]:
        """Return the words that are to ``c`` as ``b`` is to ``a``: nearest to b - a + c, the three left out.

        References
        ----------
        Mikolov, Yih and Zweig 2013 (of unit vectors).
        """
        of_a, of_b, of_c = _unit(self.transform([a, b, c]))
        return self._nearest(of_b - of_a + of_c, n, [a, b, c])

    def agreement(self, pairs: Iterable[tuple[str, str, float]]) -> Agreement:
        """Compare cosines with people's ratings of how similar two words are, by rank.

        Parameters
        ----------
        pairs : iterable of (str, str, float)
            Two words and a rating; pairs with an unknown word are left out.

        Raises
        ------
        InputError
            If fewer than three pairs are left.

        References
        ----------
        Finkelstein et al. 2002 (WordSim-353); Hill, Reichart and Korhonen 2015 (SimLex-999).
        """
        check_is_fitted(self)
        known = [pair for pair in pairs if pair[0] in self._places and pair[1] in self._places]
        if len(known) < 3:
            raise InputError("three pairs of known words or more", str(len(known)), "fit on a larger text")
        cosines = [self.similarity(first, second) for first, second, _ in known]
        return Agreement(float(spearmanr(cosines, [rating for *_, rating in known]).statistic), len(known))

    def _nearest(self, vector: np.ndarray, n: int, without: Sequence[str]) -> list[tuple[str, float]]:
        if n < 1:
            raise SettingError("n of 1 or more", str(n), "set for example n=10")
        if vector.shape != (self.vectors_.shape[1],):
            raise InputError(
                f"a vector of shape ({self.vectors_.shape[1]},)", str(vector.shape), "pass a word's vector"
            )
        cosines = _unit(self.vectors_) @ _unit(vector)
        cosines[[self._place(word) for word in without]] = -np.inf
        best = np.argsort(-cosines, kind="stable")[: min(n, len(cosines) - len(set(without)))]
        return [(self.words_[i], float(cosines[i])) for i in best]


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1.0)
