"""A neural language model of a user's own text: fit, score, sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from torch import Tensor

from gradus.applications.language.neural import NeuralLanguageModel, next_token_loss, without_end
from gradus.applications.language.texts import texts_of
from gradus.estimators.callbacks import with_callbacks

__all__ = ["LanguageModel", "next_token_loss"]


@dataclass(kw_only=True, eq=False, repr=False)
class LanguageModel(NeuralLanguageModel):
    """Learn a text, character by character or in larger tokens, and continue it.

    The network sees ``context`` tokens and predicts each from those before it. ``fit`` takes one text or several;
    between several, and at the beginning of each, stands a token of its own.

    Examples
    --------
    >>> model = LanguageModel(network="gru", layers=1, width=32, context=16, batch_size=4, learning_rate=0.01,
    ...                       max_epochs=40, random_state=0)
    >>> model = model.fit("the cat sat on the mat and the dog sat on the log " * 8)
    >>> model.perplexity("the cat sat on the log") < 3.0
    True
    >>> len(model.sample(prompt="the ", length=12, random_state=0)[0])
    16

    References
    ----------
    Goodfellow et al. 2016, §10.2, §12.4; Radford et al. 2019 (GPT-2).
    """

    @with_callbacks
    def fit(self, X: Any, y: Any = None, X_val: Any = None) -> Self:
        """Learn the text.

        Parameters
        ----------
        X : str or sequence of str
            One text, or several.
        y : None
            Not used; there for scikit-learn.
        X_val : str or sequence of str, optional
            Validation text, which early stopping follows. With ``early_stopping=True`` and none given, the end
            of the text is held out.

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
        texts, held_texts = texts_of(X), None if X_val is None else texts_of(X_val)
        if held_texts is None and self.early_stopping is True:
            texts, held_texts = without_end(texts, self.validation_fraction)
        return self._fit_network(X, texts, held_texts)

    def _log_probabilities(self, text: str) -> np.ndarray:
        return -self._network_nats(text)

    def _next_logits(self, logits: Tensor, read: Tensor) -> Tensor:
        return logits
