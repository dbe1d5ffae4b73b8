"""A network and counts together: the average of their probabilities, with weights learned on held-out text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from gradus.applications.language.mixing import mix, mixture_weights
from gradus.applications.language.model import LanguageModel
from gradus.applications.language.neural import NeuralLanguageModel, without_end
from gradus.applications.language.ngram_tables import (
    Level,
    Smoothing,
    contexts_after,
    count_ngrams,
    following,
    left_over,
    looked_up,
    smooth,
    stream,
)
from gradus.applications.language.ngrams import NGramLanguageModel
from gradus.applications.language.texts import texts_of
from gradus.core.errors import InputError
from gradus.core.options import option
from gradus.estimators.callbacks import with_callbacks

__all__ = ["MixedLanguageModel"]


@dataclass(kw_only=True, eq=False, repr=False)
class MixedLanguageModel(NeuralLanguageModel):
    r"""Average the probabilities of a network with those of smoothed n-grams.

    :math:`p(w \mid h) = \lambda_{g(h)}\, p_n(w \mid h) + (1 - \lambda_{g(h)})\, p_c(w \mid h)`, network and counts.
    Counts know by heart what came often, at the price of a look-up; the network knows what is alike. The weights
    are learned by EM on text that neither has read, one for each group of contexts ``g``: contexts are ordered by
    the probability that the longest one the counts have seen leaves to shorter ones (little where it was seen often)
    and cut into groups with equally many tokens of the held-out text. There, the average is never worse than either.

    ``fit`` learns both from the same tokens. The held-out text is ``X_val``, or else the end of the text
    (``validation_fraction``), which is then counted, too, once the weights are known. `of` averages two models that
    are fitted already.

    Examples
    --------
    >>> text = "the cat sat on the mat and the dog sat on the log " * 12
    >>> model = MixedLanguageModel(order=4, network="gru", layers=1, width=32, context=16, batch_size=4, groups=2,
    ...                            learning_rate=0.01, max_epochs=20, random_state=0).fit(text)
    >>> model.perplexity("the cat sat on the log") < 2.0
    True
    >>> model.weights_.shape, bool(np.allclose(model.weights_.sum(1), 1))  # of each group: network, counts
    ((2, 2), True)

    References
    ----------
    Goodfellow et al. 2016, §12.4.4; Bengio et al. 2003, §3.1 and table 1; Jelinek and Mercer 1980 (weights by groups
    of contexts).
    """

    order: int = option(6, "tokens of the longest n-gram that is counted", unit="tokens", low=1, high=64)
    smoothing: Smoothing = option("kneser_ney", "how mass goes to n-grams that were not seen")
    discounts: Literal[1, 3] = option(3, "discounts of each order with kneser_ney and absolute: one, or modified")
    k: float = option(0.1, "what add_k adds to every count", above=0)
    groups: int = option(8, "groups of contexts, each with its own weights; 1 for one weight", low=1, high=1000)

    # -- fitting -------------------------------------------------------------------------------------------------

    @with_callbacks
    def fit(self, X: Any, y: Any = None, X_val: Any = None) -> Self:
        """Learn the text: train the network, count, and learn the weights of both.

        Parameters
        ----------
        X : str or sequence of str
            One text, or several.
        y : None
            Not used; there for scikit-learn.
        X_val : str or sequence of str, optional
            Text from which the weights are learned, and which early stopping follows. By default the end of the
            text is held out, and counted once the weights are known.

        Returns
        -------
        self
            The fitted model.

        Raises
        ------
        InputError
            If there is no text, or less than a window of it.
        """
        self._check_fit()
        whole = texts_of(X)
        texts, held_texts = without_end(whole, self.validation_fraction) if X_val is None else (whole, texts_of(X_val))

        def count_and_weigh() -> None:
            self._count_ngrams(texts)
            self._weigh(held_texts)
            if X_val is None:
                self._count_ngrams(whole)

        return self._fit_network(X, texts, held_texts, count_and_weigh)

    @classmethod
    def of(cls, network: LanguageModel, counts: NGramLanguageModel, X_val: Any, *, groups: int = 8) -> Self:
        """Average two fitted models.

        Parameters
        ----------
        network : LanguageModel
            Its settings, and what it learned, are those of the answer; its weights are not copied.
        counts : NGramLanguageModel
            Fitted on texts cut into the same tokens.
        X_val : str or sequence of str
            Text that neither has read, from which their weights are learned.
        groups : int
            Groups of contexts, each with its own weights.

        Returns
        -------
        MixedLanguageModel
            Fitted.

        Raises
        ------
        InputError
            If the models cut texts into different tokens.

        Examples
        --------
        >>> text, other = "to be or not to be that is the question " * 20, "to be is not the question "
        >>> network = LanguageModel(network="gru", layers=1, width=16, context=16, max_epochs=10, learning_rate=0.01,
        ...                         random_state=0).fit(text)
        >>> model = MixedLanguageModel.of(network, NGramLanguageModel(order=4).fit(text), other, groups=1)
        >>> model.score(other) >= network.score(other)
        True
        """
        check_is_fitted(network)
        check_is_fitted(counts)
        if counts.tokenizer_state_ != network.tokenizer_state_:
            mend = "fit both on the same texts with the same tokens and vocabulary"
            raise InputError("models that cut texts into the same tokens", "different ones", mend)
        same = {name: getattr(counts, name) for name in ("order", "smoothing", "discounts", "k")}
        model = cls(**network.get_params(deep=False), **same, groups=groups)
        model.check_settings()
        for name in [name for name in vars(network) if name.endswith("_")]:
            setattr(model, name, getattr(network, name))
        model.levels_, model.n_counted_ = counts.levels_, counts.n_tokens_ + counts.ends_
        model._weigh(texts_of(X_val))
        return model

    def _count_ngrams(self, texts: Sequence[str]) -> None:
        """Count; where texts are several, their ends are a token too, as for the network."""
        tokenizer, ends = self.tokenizer_, len(texts) > 1
        ids = [tokenizer.encode(text) for text in texts]
        if ends:
            ids = [np.append(part, tokenizer.size) for part in ids]
        self.n_counted_ = tokenizer.size + ends
        counts = count_ngrams(stream(ids, self.order, self.n_counted_ + 1), self.order)
        levels = smooth(counts, self.n_counted_ + 1, self.smoothing, kinds=self.discounts, k=self.k)
        self.levels_ = [tuple(level) for level in levels]

    def _weigh(self, texts: Sequence[str]) -> None:
        """Learn the borders of the groups, and the weights in each."""
        found = [self._both(text) for text in texts]
        log_p = np.concatenate([one[0] for one in found], axis=1)
        left = np.concatenate([one[1] for one in found])
        if not len(left):
            raise InputError("a token or more of held-out text", "none", "pass X_val with some text")
        self.borders_ = np.quantile(left, np.arange(1, self.groups) / self.groups)
        weighed = mixture_weights(log_p, self._groups_of(left), self.groups)
        self.weights_ = weighed.weights

    # -- answering -----------------------------------------------------------------------------------------------

    @property
    def _levels(self) -> list[Level]:
        return [Level(*level) for level in self.levels_]

    def _both(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the log-probabilities of each token by network and counts, and what its context leaves over."""
        levels = self._levels
        found = stream([self.tokenizer_.encode(text)], len(levels), self.n_counted_ + 1)
        counted = looked_up(levels, found)
        kept = ~found.padding
        return np.stack([-self._network_nats(text), np.log(counted.probabilities[kept])]), counted.left[kept]

    def _groups_of(self, left: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.borders_, left)

    def _log_probabilities(self, text: str) -> np.ndarray:
        log_p, left = self._both(text)
        return mix(log_p, self.weights_[self._groups_of(left)])

    def _next_logits(self, logits: Tensor, read: Tensor) -> Tensor:
        """Return log-probabilities of the average."""
        levels, alphabet = self._levels, self.n_counted_ + 1
        counted, left = np.zeros(logits.shape), np.empty(len(logits))
        for row, tokens in enumerate(read[:, 1:].cpu().numpy()):  # the first stands before the text
            contexts = contexts_after(levels, tokens, alphabet)
            counted[row, : self.n_counted_] = following(levels, contexts, alphabet)
            left[row] = left_over(levels, contexts)
        weights = torch.from_numpy(self.weights_[self._groups_of(left)])
        p = weights[:, :1] * logits.double().softmax(1).cpu() + weights[:, 1:] * torch.from_numpy(counted)
        return p.log().to(logits.device, logits.dtype)
