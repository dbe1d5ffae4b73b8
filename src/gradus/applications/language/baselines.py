"""What a network that reads has to beat: weighted counts of words and of pieces of words, and a linear model."""

from __future__ import annotations

from typing import Literal

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion, Pipeline

from gradus.core.errors import SettingError, nearest

__all__ = ["text_baseline"]

# As `tokenizers.split_words` cuts; signs count too, since "!" tells as much as many a word.
WORDS_AND_SIGNS = r"(?u)\w+(?:['’]\w+)*|[^\w\s]"
MOST_FEATURES = 200_000


def text_baseline(task: Literal["classification", "regression"], *, characters: bool = True) -> Pipeline:
    """Return an unfitted pipeline from texts to classes or numbers: tf-idf and a linear model.

    Words and pairs of words, and pieces of two to five characters inside words, are counted; counts are damped
    (one plus their logarithm), rare terms weigh more, and each text has length one. Classes are then told by
    logistic regression, numbers by ridge regression.

    Parameters
    ----------
    task : {"classification", "regression"}
        What is predicted.
    characters : bool
        Count pieces of words too: better on misspelt and inflected words, and several times slower.

    Returns
    -------
    Pipeline
        With steps ``tfidf`` and ``model``; takes a sequence of str.

    Raises
    ------
    SettingError
        If the task is unknown.

    Examples
    --------
    >>> texts, moods = ["good film", "bad film", "a good one", "really bad"], ["up", "down", "up", "down"]
    >>> text_baseline("classification").fit(texts, moods).predict(["good", "a bad one"]).tolist()
    ['up', 'down']

    References
    ----------
    Goodfellow et al. 2016, §11.2; Wang and Manning 2012.
    """
    if task not in ("classification", "regression"):
        mend = f"{nearest(str(task), ('classification', 'regression'))}choose one of these"
        raise SettingError("task classification or regression", repr(task), mend)
    common = {"sublinear_tf": True, "max_features": MOST_FEATURES}
    counted = [("words", TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORDS_AND_SIGNS, **common))]
    if characters:
        counted.append(("characters", TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **common)))
    model = (
        LogisticRegression(C=3.0, max_iter=1000) if task == "classification" else Ridge(alpha=0.5, solver="sparse_cg")
    )
    return Pipeline([("tfidf", FeatureUnion(counted)), ("model", model)])
