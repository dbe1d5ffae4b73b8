"""The skip-gram model with negative sampling: its network, its loss, its batches of neighbouring words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError
from gradus.core.randomness import derive
from gradus.data.batches import Batch
from gradus.networks.softmax import AliasTable
from gradus.training.losses import Loss

__all__ = ["ABSENT", "NegativeSamplingLoss", "SkipGram", "SkipGramBatches", "keep_probabilities", "neighbours"]


ABSENT = -1  # in place of a neighbour that is not there


class SkipGram(nn.Module):
    """Two vectors for each word: one as the word in the middle, one as its neighbour.

    Vectors of middle words start uniform in ± 1 / (2 dimension), those of neighbours at zero, as in word2vec.

    Parameters
    ----------
    words, dimension : int
        Sizes, 1 or more.

    Examples
    --------
    >>> SkipGram(5, 3)(torch.tensor([0, 1]), torch.tensor([[2, 3], [4, 0]])).shape
    torch.Size([2, 2])
    """

    def __init__(self, words: int, dimension: int) -> None:
        super().__init__()
        self.middle, self.around = nn.Embedding(words, dimension), nn.Embedding(words, dimension)
        nn.init.uniform_(self.middle.weight, -0.5 / dimension, 0.5 / dimension)
        nn.init.zeros_(self.around.weight)

    def forward(
        self, middle: Int[Tensor, " words"], around: Int[Tensor, "words neighbours"]
    ) -> Float[Tensor, "words neighbours"]:
        """Return the product of the vectors of each middle word and each of its own neighbours."""
        return (self.around(around) * self.middle(middle).unsqueeze(1)).sum(2)  # bmm is slow on single rows

    def against(self, middle: Int[Tensor, " words"], others: Int[Tensor, " others"]) -> Float[Tensor, "words others"]:
        """Return the product of the vectors of each middle word and of the same others, as neighbours."""
        return self.middle(middle) @ self.around(others).T


@dataclass(frozen=True)
class NegativeSamplingLoss:
    r"""Tell each true neighbour from words of noise.

    .. math:: -\log \sigma(w \cdot c) - \frac{K}{S} \sum_{s=1}^{S} \log \sigma(-w \cdot n_s), \qquad n_s \sim q

    The expectation is that of the paper's loss, which draws K words for each pair; here S words serve all pairs of a
    step, in one matrix product. Where vectors have dimensions enough, the optimum is
    :math:`w \cdot c = \log \frac{p(c \mid w)}{q(c)} - \log K`: pointwise mutual information, shifted.

    The batch holds middle words, and a row of neighbours for each, -1 where there is none; each pair counts as one.

    Parameters
    ----------
    noise : AliasTable
        q; counts to the power 0.75 by custom.
    negatives : float
        K: how much noise weighs against one true neighbour, above 0.
    shared : int
        S, 1 or more.

    References
    ----------
    Mikolov et al. 2013b, eq. 4; Levy and Goldberg 2014, §3.1.
    """

    noise: AliasTable
    negatives: float
    shared: int

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the loss summed over pairs, in nats."""
        model: Any = network
        middle, around = batch["inputs"], batch["targets"]
        there = around != ABSENT
        drawn = self.noise.to(middle.device).sample((self.shared,), generator)
        true = F.softplus(-model(middle, around.clamp_min(0))) * there
        false = F.softplus(model.against(middle, drawn)).sum(1) * there.sum(1)
        return Loss(true.sum() + false.sum() * (self.negatives / self.shared), there.sum(), {})


def keep_probabilities(counts: np.ndarray, subsample: float) -> np.ndarray:
    r"""Return the probability of each word to stay, :math:`\min(1, \sqrt{t / f} + t / f)` at frequency f.

    The formula of the word2vec program; the paper's has no second term.

    Parameters
    ----------
    counts : array of shape (words,)
        How often each comes, 1 or more.
    subsample : float
        t; 0 keeps every word.

    Examples
    --------
    >>> keep_probabilities(np.array([9999, 1]), 1e-2).round(2).tolist()
    [0.11, 1.0]

    References
    ----------
    Mikolov et al. 2013b, §2.3.
    """
    if not subsample:
        return np.ones(len(counts))
    ratio = subsample * counts.sum() / counts
    return np.minimum(1.0, np.sqrt(ratio) + ratio)


def neighbours(words: np.ndarray, texts: np.ndarray, places: np.ndarray, radii: np.ndarray, window: int) -> Batch:
    """Return middle words, and the neighbours of each at most ``radii`` away in the same text.

    Parameters
    ----------
    words, texts : arrays of shape (n,)
        The words in a row, and which text each is from.
    places, radii : arrays of shape (m,)
        Where the middle words are, and how far each looks, at most ``window``.

    Returns
    -------
    dict of Tensor
        ``inputs`` of shape (m,) and ``targets`` of shape (m, 2 window), -1 where there is no neighbour.

    Examples
    --------
    >>> words, texts = np.array([5, 6, 7]), np.array([0, 0, 1])
    >>> neighbours(words, texts, np.array([1, 2]), np.array([1, 1]), 1)["targets"].tolist()
    [[5, -1], [-1, -1]]
    """
    steps = np.array([*range(-window, 0), *range(1, window + 1)], dtype=np.int64)
    others = places[:, None] + steps
    inside = (others >= 0) & (others < len(words)) & (np.abs(steps) <= radii[:, None])
    others = np.where(inside, others, places[:, None])
    inside &= texts[others] == texts[places][:, None]
    around = np.where(inside, words[others], ABSENT)
    return {"inputs": torch.from_numpy(words[places]), "targets": torch.from_numpy(around)}


class SkipGramBatches:
    """Words and their neighbours, drawn anew each epoch; what an epoch holds is a function of the seed and it.

    Frequent words are dropped at random before neighbours are looked for, so that windows reach further; each middle
    word looks as far as a number drawn from 1 to ``window``, so that near words count more. Every epoch has the same
    number of steps, with about ``batch_size`` middle words each.

    Parameters
    ----------
    texts : sequence of int arrays
        Words of each text; neighbours lie in one text.
    keep : array of shape (words,)
        Probability of each word to stay.
    window : int
        Most words between a word and a neighbour, plus one.
    dynamic : bool
        Draw how far each looks; else all look as far as ``window``.
    batch_size : int
        Middle words a step, on average.
    seed : int
        Source of what is dropped, drawn and shuffled.

    Raises
    ------
    InputError
        If no text has two words.

    Examples
    --------
    >>> batches = SkipGramBatches([np.arange(6)], np.ones(6), window=1, batch_size=3)
    >>> len(batches), sum(len(batch["inputs"]) for batch in batches.epoch(0))
    (2, 6)

    References
    ----------
    Mikolov et al. 2013a (window drawn); Mikolov et al. 2013b, §2.3 (dropping); Levy, Goldberg and Dagan 2015, §3.1.
    """

    def __init__(
        self,
        texts: Sequence[np.ndarray],
        keep: np.ndarray,
        *,
        window: int,
        dynamic: bool = True,
        batch_size: int = 1024,
        seed: int = 0,
    ) -> None:
        if not any(len(text) > 1 for text in texts):
            mend = "pass longer texts, or lower min_count"
            raise InputError("a text of two known words or more", "none", mend)
        self.words = np.concatenate(texts)
        self.texts = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
        self.keep, self.window, self.dynamic, self.seed = keep, window, dynamic, seed
        self.steps = max(1, round(float(keep[self.words].sum()) / batch_size))

    def __len__(self) -> int:
        """Return the number of steps in one epoch."""
        return self.steps

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of ``epoch`` from step ``start`` on."""
        rng = np.random.default_rng(derive(self.seed, "pairs", epoch))
        kept = rng.random(len(self.words)) < self.keep[self.words]
        words, texts = self.words[kept], self.texts[kept]
        radii = rng.integers(1, self.window + 1, len(words)) if self.dynamic else np.full(len(words), self.window)
        order = rng.permutation(len(words))
        for places in np.array_split(order, self.steps)[start:]:
            batch = neighbours(words, texts, places, radii[places], self.window)
            yield batch if bool((batch["targets"] != ABSENT).any()) else self._any()

    def _any(self) -> Batch:
        """Return two words of a text, where all that belonged into a step was dropped: a step needs a pair."""
        place = np.flatnonzero(self.texts[1:] == self.texts[:-1])[:1]
        return neighbours(self.words, self.texts, place, np.ones(1, np.int64), self.window)
