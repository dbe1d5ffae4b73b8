"""What a network has to beat: rungs that look at nothing, then linear models, and boosted trees for tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline

from gradus.applications.language.baselines import text_baseline
from gradus.applications.language.lexicon import Copy, LexiconTranslator
from gradus.core.errors import SettingError
from gradus.practice.ladder import Rung
from gradus.practice.preparation import BoostedTrees, PixelScaler, table_to_numbers

__all__ = ["baselines"]


def baselines(
    task: str,
    kind: str,
    n_rows: int,
    n_columns: int,
    seed: int = 0,
) -> list[Rung]:
    """Return the rungs below the network, the simplest first.

    Parameters
    ----------
    task : {"classification", "regression", "translate"}
        What is predicted; texts only are translated.
    kind : {"table", "images", "texts"}
        A table is a pandas frame (numbers, categories, dates, text, gaps) or a 2-D array; images are an array
        of shape (n, height, width[, channels]), bytes or floats; texts are a sequence of str.
    n_rows, n_columns : int
        Size of the training part, columns, values in an image or characters in a text; bounds the iterations spent.
    seed : int
        Seed of everything random.

    Raises
    ------
    SettingError
        If the task or kind is unknown.

    Examples
    --------
    >>> [rung.name for rung in baselines("classification", "images", 1000, 64)]
    ['most frequent class', 'logistic regression on pixels']
    >>> [rung.name for rung in baselines("regression", "table", 1000, 8)]
    ['mean', 'ridge regression', 'boosted trees']
    """
    if task == "translate" and kind == "texts":
        copied = Rung("copy of the source", "trivial", Copy(), "what is written the same in both")
        return [copied, Rung("word by word", "classical", LexiconTranslator(), "a lexicon, learned by counting pairs")]
    if task not in ("classification", "regression") or kind not in ("table", "images", "texts"):
        raise SettingError(
            "task classification or regression, kind table, images or texts",
            f"{task!r}, {kind!r}",
            "choose one of these",
        )
    large = n_rows * n_columns > 5_000_000
    prepare = PixelScaler() if kind == "images" else table_to_numbers()
    of_pixels = " on pixels" if kind == "images" else ""
    if task == "classification":
        guess = Rung("most frequent class", "trivial", DummyClassifier(strategy="prior"), "looks at no input")
        model: Any = LogisticRegression(max_iter=60 if large else 300, tol=1e-3)
        name, why = "logistic regression", "a linear boundary: what needs no depth"
    else:
        guess = Rung("mean", "trivial", DummyRegressor(), "looks at no input")
        model = RidgeCV(alphas=np.logspace(-2, 4, 13))
        name, why = "ridge regression", "a linear answer: what needs no depth"
    if kind == "texts":
        of_words = text_baseline("classification" if task == "classification" else "regression")
        why = "words and pieces of words, counted: what needs no order"
        return [guess, Rung(f"{name} on words", "classical", of_words, why)]
    rungs = [guess, Rung(name + of_pixels, "classical", make_pipeline(prepare, model), why)]
    if kind == "table":
        why = "hard to beat on tables: steps and interactions, gaps and categories as they are"
        rungs.append(Rung("boosted trees", "classical", BoostedTrees(task=task, random_state=seed), why))
    return rungs
