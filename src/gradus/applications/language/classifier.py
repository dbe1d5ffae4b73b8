"""Texts to classes or numbers: a network over their tokens, with the head that the target needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from gradus.applications.language.texts import texts_of
from gradus.applications.language.tokenizers import Tokenizer, TokenizerName, fit_tokenizer
from gradus.core.errors import InputError
from gradus.core.options import option
from gradus.data.batches import Batch
from gradus.estimators.classification import GradientClassifier
from gradus.estimators.regression import GradientRegressor
from gradus.networks.headed import HeadedNetwork
from gradus.networks.texts import TextNetwork

__all__ = ["TextClassifier", "TextRegressor"]


@dataclass(kw_only=True, eq=False, repr=False)
class _TextInputs:
    """Settings and inputs of the estimators that read texts."""

    network: Literal["bag", "gru", "lstm", "transformer"] = option(
        "gru", "what reads the tokens: their mean embedding, recurrent layers both ways, or a transformer"
    )
    tokens: TokenizerName = option("words", "what a text is cut into")
    vocabulary: int = option(20_000, "tokens to learn, at most, with words or byte_pair", unit="tokens", low=2)
    context: int = option(256, "tokens read of a text; what follows is not looked at", unit="tokens", low=1)
    width: int = option(128, "width of embeddings and features", unit="units", low=1)
    layers: int = option(1, "recurrent layers or transformer blocks", low=1)
    heads: int = option(4, "attention heads of each transformer block", low=1)
    dropout: float = option(0.3, "share of units dropped in training", low=0, high=0.95)

    @property
    def tokenizer_(self) -> Tokenizer:
        """What cuts the texts into tokens."""
        return Tokenizer.from_dict(self.tokenizer_state_)

    @property
    def _input_names(self) -> tuple[str, ...]:
        return ("inputs", "lengths")

    def _encode_inputs(self, X: Any, weights: Tensor | None, *, reset: bool) -> Batch:
        if isinstance(X, str):
            raise InputError("a sequence of texts", "one text", "put it into a list")
        texts = texts_of(X)
        if reset:
            self.tokenizer_state_ = fit_tokenizer(self.tokens, texts, size=self.vocabulary, unknown=True).to_dict()
        tokenizer = self.tokenizer_
        # A text without a token, such as an empty one, is one token of its own: the last.
        rows = [tokenizer.encode(text)[: self.context] for text in texts]
        rows = [row if len(row) else np.array([tokenizer.size]) for row in rows]
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        inputs = np.full((len(rows), int(lengths.max(initial=1))), tokenizer.size, dtype=np.int64)
        inputs[np.arange(inputs.shape[1]) < lengths[:, None]] = np.concatenate(rows) if len(rows) else []
        return {"inputs": torch.from_numpy(inputs), "lengths": torch.from_numpy(lengths)}

    def _network(self, head_of: Callable[[int], Any]) -> nn.Module:
        body = TextNetwork(
            self.tokenizer_.size + 1,
            self.network,
            context=self.context,
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            dropout=self.dropout,
        )
        return HeadedNetwork(None, body, head_of(body.out_features))

    def __sklearn_tags__(self) -> Any:
        """Say to scikit-learn that texts come in."""
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.two_d_array, tags.input_tags.string = False, True
        return tags


@dataclass(kw_only=True, eq=False, repr=False)
class TextClassifier(_TextInputs, GradientClassifier):
    """Classify texts: two classes, many, ordered ones, or several labels at once.

    Examples
    --------
    >>> texts = ["good film", "bad film", "a good one", "really bad", "so good", "what a bad one"] * 4
    >>> model = TextClassifier(network="bag", max_epochs=30, learning_rate=0.03, random_state=0)
    >>> model.fit(texts, ["up", "down"] * 12).predict(["good", "bad"]).tolist()
    ['up', 'down']

    References
    ----------
    Goodfellow et al. 2016, §10.2 (figure 10.5), §12.4.
    """

    _double: ClassVar[bool] = False


@dataclass(kw_only=True, eq=False, repr=False)
class TextRegressor(_TextInputs, GradientRegressor):
    """Predict a number, with its distribution, from a text.

    Examples
    --------
    >>> texts = ["one apple", "two apples", "one", "two"] * 6
    >>> model = TextRegressor(network="bag", max_epochs=40, learning_rate=0.03, dropout=0.0, random_state=0)
    >>> bool(model.fit(texts, [1.0, 2.0] * 12).score(texts, [1.0, 2.0] * 12) > 0.9)
    True

    References
    ----------
    Goodfellow et al. 2016, §10.2 (figure 10.5), §12.4.
    """
