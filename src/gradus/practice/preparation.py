"""Tables and pictures as a linear model or a tree wants them: numbers, with what is missing dealt with.

Column kinds are inferred when fitting and kept, so that new rows are read as the training rows were.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted

from gradus.core.errors import InputError
from gradus.data.columns import infer_columns
from gradus.data.frames import as_frame, as_number, as_text, date_parts, written_as

__all__ = ["BoostedTrees", "ColumnReader", "PixelScaler", "table_to_numbers"]

TREE_CATEGORIES = 254  # histogram boosting has 255 bins, and one is for values never seen
EARLY_STOPPING_ROWS = 2000


class ColumnReader(TransformerMixin, BaseEstimator):
    """Read a frame (or a 2-D array) into clean columns named ``number:``, ``category:`` and ``text:``.

    Numbers (booleans and the parts of dates among them) become float64 with NaN where missing or infinite,
    categories and text become strings with ``""`` where missing. Constant and empty columns and identifiers
    are left out. Missing category values are a category of their own: that a value is missing often says
    something.

    Examples
    --------
    >>> frame = pd.DataFrame({"size": [1.5, None, 3.0], "kind": ["a", "b", None]})
    >>> read = ColumnReader().fit_transform(frame)
    >>> read.columns.tolist(), read["category:kind"].tolist()
    (['number:size', 'category:kind'], ['a', 'b', ''])
    """

    def fit(self, X: Any, y: Any = None) -> ColumnReader:
        """Infer the kind of each column."""
        frame = as_frame(X)
        self.kinds_ = {c.name: c.kind for c in infer_columns(frame)}
        dates = [name for name, kind in self.kinds_.items() if kind == "date"]
        # new rows are read in the training rows' format: few of them may fit several
        self.formats_ = {name: written_as(frame[name]) for name in dates}
        kept = {"number", "boolean", "date", "category", "text"}
        if not kept & set(self.kinds_.values()):
            raise InputError(
                "at least one usable column",
                f"only {', '.join(sorted(set(self.kinds_.values())))} columns",
                "look at the notes of the data",
            )
        return self

    def transform(self, X: Any) -> pd.DataFrame:
        """Return the clean columns."""
        check_is_fitted(self, "kinds_")
        frame = as_frame(X)
        missing = [name for name in self.kinds_ if name not in frame.columns]
        if missing:
            raise InputError(
                f"the column {missing[0]!r}", "a table without it", "pass the columns of the training data"
            )
        columns: dict[str, Any] = {}
        for name, kind in self.kinds_.items():
            if kind in ("category", "text"):
                columns[f"{kind}:{name}"] = as_text(frame[name])
            elif kind in ("number", "boolean"):
                columns[f"number:{name}"] = as_number(frame[name])
            elif kind == "date":
                columns |= {
                    f"number:{name} {part}": v for part, v in date_parts(frame[name], self.formats_[name]).items()
                }
        return pd.DataFrame(columns, index=frame.index)


def _starting(prefix: str) -> Callable[[pd.DataFrame], list[str]]:
    def chosen(frame: pd.DataFrame) -> list[str]:
        return [name for name in frame.columns if name.startswith(prefix)]

    return chosen


class TextCounts(TransformerMixin, BaseEstimator):
    """Weigh the words of each text column (tf-idf, at most 2000 words a column)."""

    def fit(self, X: pd.DataFrame, y: Any = None) -> TextCounts:
        """Learn the vocabularies."""
        self.vectorizers_ = {name: TfidfVectorizer(max_features=2000, sublinear_tf=True) for name in X.columns}
        for name, vectorizer in self.vectorizers_.items():
            vectorizer.fit(X[name])
        return self

    def transform(self, X: pd.DataFrame) -> Any:
        """Return the weights, sparse."""
        from scipy import sparse

        check_is_fitted(self, "vectorizers_")
        return sparse.hstack([v.transform(X[name]) for name, v in self.vectorizers_.items()], format="csr")


def table_to_numbers() -> Pipeline:
    """Return the preparation of a table for a linear model.

    Numbers: median for what is missing (and a column that says so), then mean 0 and variance 1. Categories:
    one column each for the frequent values, one for the rest together. Text: word weights.

    Examples
    --------
    >>> frame = pd.DataFrame({"size": [1.0, None, 3.0], "kind": ["a", "b", "a"]})
    >>> table_to_numbers().fit_transform(frame).shape
    (3, 4)
    """
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    # a share, not a count: on five rows every value would be "infrequent"
    categories = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.002, max_categories=200)
    clean = ColumnTransformer(
        [
            ("numbers", numbers, _starting("number:")),
            ("categories", categories, _starting("category:")),
            ("text", TextCounts(), _starting("text:")),
        ]
    )
    return make_pipeline(ColumnReader(), clean)


class BoostedTrees(BaseEstimator):
    """Histogram gradient boosting on a table as it is: categories and gaps native, dates as numbers, no text.

    Parameters
    ----------
    task : {"classification", "regression"}
        What is predicted.
    random_state : int or None
        Seed of the rows held out for early stopping.

    Examples
    --------
    >>> frame = pd.DataFrame({"size": [1.0, 2.0, None, 4.0] * 10, "kind": ["a", "a", "b", "b"] * 10})
    >>> BoostedTrees(task="classification").fit(frame, ["x", "x", "y", "y"] * 10).predict(frame[:3]).tolist()
    ['x', 'x', 'y']
    """

    def __init__(
        self,
        *,
        task: str = "classification",
        random_state: int | None = 0,
    ) -> None:
        self.task, self.random_state = task, random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> BoostedTrees:
        """Grow the trees; past 2000 rows a tenth is held out to decide when to stop."""
        self.reader_ = ColumnReader().fit(X)
        frame = self.reader_.transform(X)
        self._numbers = [c for c in frame.columns if c.startswith("number:")]
        self._categories = [c for c in frame.columns if c.startswith("category:")]
        if not self._numbers and not self._categories:
            raise InputError("a column of numbers or categories", "only text", "drop this rung for this table")
        self.encoder_ = (
            OrdinalEncoder(
                handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=TREE_CATEGORIES
            ).fit(frame[self._categories])
            if self._categories
            else None
        )
        y = np.asarray(y)
        early = len(y) > EARLY_STOPPING_ROWS
        if self.task == "classification" and early:
            early = bool(np.unique(y, return_counts=True)[1].min() >= 2)  # the held-out rows are stratified
        n_classes = len(np.unique(y)) if self.task == "classification" else 1
        arguments: dict[str, Any] = {
            "early_stopping": early,
            # many classes grow a tree each an iteration: fewer, faster steps there
            "max_iter": 300 if early else (100 if n_classes <= 3 else 40),
            "learning_rate": 0.1 if n_classes <= 3 else 0.2,
            "max_leaf_nodes": 31 if n_classes <= 3 else 15,
            "random_state": self.random_state,
            "categorical_features": [False] * len(self._numbers) + [True] * len(self._categories),
        }
        cls = HistGradientBoostingClassifier if self.task == "classification" else HistGradientBoostingRegressor
        self.model_ = cls(**arguments).fit(self._matrix(frame), y, sample_weight=sample_weight)
        if self.task == "classification":
            self.classes_ = self.model_.classes_
        return self

    def _matrix(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        numbers = frame[self._numbers].to_numpy(dtype=np.float64)
        if self.encoder_ is None:
            return numbers
        return np.concatenate([numbers, self.encoder_.transform(frame[self._categories])], axis=1)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return classes or values."""
        check_is_fitted(self, "model_")
        return self.model_.predict(self._matrix(self.reader_.transform(X)))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probabilities of the classes."""
        check_is_fitted(self, "model_")
        return self.model_.predict_proba(self._matrix(self.reader_.transform(X)))


class PixelScaler(TransformerMixin, BaseEstimator):
    """Flatten images and scale them by the brightest training pixel: float32 in [0, 1].

    Examples
    --------
    >>> PixelScaler().fit_transform(np.full((2, 4, 4), 51, dtype=np.uint8)).shape
    (2, 16)
    """

    def fit(self, X: Any, y: Any = None) -> PixelScaler:
        """Find the scale."""
        X = np.asarray(X)
        if X.ndim < 2 or not X.size:
            raise InputError("images of shape (n, height, width[, channels])", f"shape {X.shape}", "stack them")
        self.scale_ = float(np.abs(X).max()) or 1.0
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return one row of pixels an image."""
        check_is_fitted(self, "scale_")
        X = np.asarray(X)
        return X.reshape(len(X), -1).astype(np.float32) / np.float32(self.scale_)
