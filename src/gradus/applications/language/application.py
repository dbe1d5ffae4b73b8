"""Texts with a class or a number each: which network reads them, and what there is to see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from gradus.applications.base import Application
from gradus.applications.exhibited import of_classes
from gradus.applications.language.classifier import TextClassifier, TextRegressor
from gradus.estimators.exhibit import Exhibit
from gradus.estimators.exhibits import residuals
from gradus.estimators.exhibits_of_rows import worst_errors_rows

__all__ = ["Texts"]

READERS = {
    "bag": "mean of word embeddings",
    "gru": "GRU over words",
    "lstm": "LSTM over words",
    "transformer": "transformer over words",
}


class Texts(Application):
    """Texts with a class or a number each."""

    kind = "texts"

    def _check(self, estimator: Any) -> None:
        """Let every setting pass: none of them names a part of the data."""

    def _network(self) -> tuple[Any, dict[str, Any]]:
        cls = TextClassifier if self.task == "classification" else TextRegressor
        words = np.array([text.count(" ") + 1 for text in self.data.X])
        context = int(np.clip(np.quantile(words, 0.95) * 1.3, 8, 256)) if len(words) else 256
        small = len(self.data) <= 20_000
        defaults = {
            "context": context,
            "batch_size": 32 if small else 128,
            "max_epochs": 20,
            "patience": 3,
            "vocabulary": 20_000,
        }
        return cls, defaults

    def _describe(self, estimator: Any) -> tuple[str, Any, str]:
        name = READERS[estimator.network]
        if estimator.tokens != "words":
            name = name.replace("word", estimator.tokens.replace("_", "-").removesuffix("s"))
        return name, estimator, "reads words in their order"

    def exhibits(self, estimator: Any, test: tuple[Any, np.ndarray], prediction: Any) -> Iterator[Exhibit]:
        """Yield lengths of the texts, answers and the worst of them."""
        X, y = test
        yield _lengths(self.data.X)
        if self.task == "classification":
            yield from of_classes(y, prediction, np.unique(self.y).tolist())
        else:
            yield residuals(y, prediction.values, self.data.target or "target")
        yield worst_errors_rows(pd.DataFrame({"text": X}), y, prediction)


def _lengths(texts: Any) -> Exhibit:
    words = np.array([len(text.split()) for text in texts])
    levels = (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)
    table = pd.DataFrame(
        {
            "share of the texts": ["shortest", *(f"{level:.0%}" for level in levels[1:-1]), "longest"],
            "words, at most": np.quantile(words, levels, method="lower"),
            "characters, at most": np.quantile([len(text) for text in texts], levels, method="lower"),
        }
    )
    return Exhibit("Lengths", "How long the texts are.", "data", table=table)
