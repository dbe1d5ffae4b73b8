"""Texts with a class, a number or another text each: which network reads them, and what there is to see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from gradus.applications.base import Application
from gradus.applications.exhibited import of_classes
from gradus.applications.language.classifier import TextClassifier, TextRegressor
from gradus.applications.language.translator import Translator, edit_distance
from gradus.data.columns import infer_columns
from gradus.data.dataset import Dataset
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
    """Texts with a class, a number, or another text each."""

    kind = "texts"

    def __init__(self, data: Dataset, task: str = "auto") -> None:
        column = None if data.y is None else pd.Series(data.y, name=data.target).reset_index(drop=True)
        written = column is not None and infer_columns(column.to_frame())[0].kind == "text"
        super().__init__(data, "translate" if task == "auto" and written else task)
        if task == "auto" and written:
            self.why = f"{data.target} holds texts too"

    def _check(self, estimator: Any) -> None:
        """Let every setting pass: none of them names a part of the data."""

    def _network(self) -> tuple[Any, dict[str, Any]]:
        if self.task == "translate":
            return Translator, self._for_pairs()
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

    def _for_pairs(self) -> dict[str, Any]:
        """Return settings by the length of the texts: words where there are many, else characters."""
        cut = ["words" if np.mean([text.count(" ") for text in texts]) >= 2 else "characters" for texts in self._pairs]
        defaults: dict[str, Any] = {"source_tokens": cut[0], "max_epochs": 20, "patience": 3}
        # Words would lose spaces and signs of the answer: those that keep them are cut at spaces.
        defaults["target_tokens"] = "spaces" if cut[1] == "words" else "characters"
        return defaults | ({"source_tokens": "spaces"} if cut[0] == "words" else {})

    @property
    def _pairs(self) -> tuple[Any, Any]:
        return self.data.X, self.y

    def _describe(self, estimator: Any) -> tuple[str, Any, str]:
        if self.task == "translate":
            looks = "" if estimator.attention == "none" and estimator.network != "transformer" else " with attention"
            name = {"lstm": "LSTM", "gru": "GRU"}.get(estimator.network, estimator.network)
            return f"{name}{looks}", estimator, "reads the whole source, then writes"
        name = READERS[estimator.network]
        if estimator.tokens != "words":
            name = name.replace("word", estimator.tokens.replace("_", "-").removesuffix("s"))
        return name, estimator, "reads words in their order"

    def exhibits(self, estimator: Any, test: tuple[Any, np.ndarray], prediction: Any) -> Iterator[Exhibit]:
        """Yield lengths of the texts, answers and the worst of them."""
        X, y = test
        yield _lengths(self.data.X)
        if self.task == "translate":
            yield _worst_texts(X, y, prediction.texts)
            if isinstance(estimator, Translator):
                yield from (shown for shown in estimator.exhibits((X[:20], y[:20])) if shown.place != "learning")
            return
        if self.task == "classification":
            yield from of_classes(y, prediction, np.unique(self.y).tolist())
        else:
            yield residuals(y, prediction.values, self.data.target or "target")
        yield worst_errors_rows(pd.DataFrame({"text": X}), y, prediction)


def _worst_texts(sources: Any, truth: Any, said: Any, limit: int = 12) -> Exhibit:
    far = np.array([edit_distance(a, b) / max(1, len(a)) for a, b in zip(truth, said, strict=True)])
    order = np.argsort(-far, kind="stable")[:limit]
    table = pd.DataFrame(
        {"source": [sources[i] for i in order], "true": [truth[i] for i in order], "said": [said[i] for i in order]}
    ).assign(error=far[order])
    caption = "Answers furthest from the truth: edits over the characters of the truth."
    return Exhibit("Worst answers", caption, "errors", table=table)


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
