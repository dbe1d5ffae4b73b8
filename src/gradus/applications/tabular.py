"""Tables as they come: numbers, categories, dates, gaps. Columns are read by kind, categories are embedded."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import _check_feature_names, _check_n_features, validate_data
from torch import Tensor, nn

from gradus.core.errors import InputError, SettingError, nearest
from gradus.core.numbers import check_size
from gradus.core.options import option
from gradus.data.batches import Batch
from gradus.data.columns import infer_columns
from gradus.data.frames import DATE_PARTS, as_frame, as_number, as_text, date_parts, written_as
from gradus.estimators.classification import GradientClassifier
from gradus.estimators.mlp import MLPOptions
from gradus.estimators.regression import GradientRegressor
from gradus.networks.headed import HeadedNetwork
from gradus.networks.heads import Head
from gradus.networks.preparation import moments
from gradus.networks.tabular import TabularNetwork

__all__ = ["TabularClassifier", "TabularRegressor", "check_column_kinds"]

NUMERIC, USED = ("number", "boolean"), ("number", "boolean", "date", "category")


@dataclass(kw_only=True, eq=False, repr=False)
class TableOptions(MLPOptions):
    """How a table is read."""

    column_kinds: dict[str, str] | None = option(
        None, "kind of a column where the guess is wrong: number, category, date, boolean or ignore"
    )
    min_category_rows: int = option(2, "rows a category needs to get an embedding; rarer ones share one", low=1)


def check_column_kinds(column_kinds: Mapping[str, str] | None, columns: Iterable[str]) -> None:
    """Raise a `SettingError` if a kind is given for no column of the table, or is none."""
    known = list(columns)
    for name, kind in (column_kinds or {}).items():
        if name not in known:
            mend = f"{nearest(name, known)}name a column of the table"
            raise SettingError("column_kinds of columns in the table", repr(name), mend)
        if kind not in (*USED, "ignore"):
            mend = f"{nearest(kind, USED)}choose number, category, date, boolean or ignore"
            raise SettingError(f"a kind for column {name!r}", repr(kind), mend)


class _FrameInputs:
    """Read frames by the kinds of their columns, arrays as numbers; numbers that are missing stay NaN."""

    def _encode_inputs(self: Any, X: Any, weights: Tensor | None, *, reset: bool) -> Batch:
        frame = self._check_frame(X, reset=reset)
        if reset:
            self._learn_columns(frame, known=not isinstance(X, pd.DataFrame))
        numbers = self._numbers(frame)
        if reset:
            used = weights if weights is None or len(weights) == len(frame) else None
            mean, std, _ = moments(numbers, used)
            self.number_mean_, self.number_std_ = mean.numpy(), std.numpy()
            self.number_missing_ = np.isnan(numbers).any(0)
        batch = {"numbers": torch.from_numpy(numbers.astype(np.float32))}
        if self.categories_:
            codes = [self._codes(frame[name], known) for name, known in self.categories_.items()]
            batch["categories"] = torch.from_numpy(np.stack(codes, axis=1))
        return batch

    @property
    def _input_names(self: Any) -> tuple[str, ...]:
        return ("numbers", "categories") if self.categories_ else ("numbers",)

    def _check_frame(self: Any, X: Any, *, reset: bool) -> pd.DataFrame:
        if not isinstance(X, pd.DataFrame):
            return as_frame(validate_data(self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan"))
        repeated = X.columns[X.columns.duplicated()]
        if len(repeated):
            raise InputError("column names that differ", f"{repeated[0]!r} twice", "rename one of the columns")
        if not len(X):
            raise InputError("at least one row", "a table of 0 rows", "check how the table was filtered")
        frame = as_frame(X)
        if not reset and hasattr(self, "feature_names_in_"):
            missing = [name for name in self.feature_names_in_ if name not in frame.columns]
            if missing:
                hint = nearest(missing[0], frame.columns)
                raise InputError(f"the column {missing[0]!r}", "a table without it", f"{hint}pass the fitted columns")
            return frame[list(self.feature_names_in_)]
        _check_feature_names(self, frame, reset=reset)
        _check_n_features(self, frame, reset=reset)
        return frame

    def _learn_columns(self: Any, frame: pd.DataFrame, *, known: bool) -> None:
        if known:  # an array has one type, and it passed as numbers
            kinds = dict.fromkeys(frame.columns, "number")
        else:
            kinds = {column.name: column.kind for column in infer_columns(frame)}
        check_column_kinds(self.column_kinds, kinds)
        kinds |= self.column_kinds or {}
        self.column_kinds_ = kinds
        self.ignored_columns_ = [name for name, kind in kinds.items() if kind not in USED]
        if len(self.ignored_columns_) == len(kinds):
            raise InputError(
                "at least one column to learn from",
                f"only {', '.join(sorted(set(kinds.values())))} columns",
                "say what they are with column_kinds={'name': 'category'}",
            )
        texts = [name for name in self.ignored_columns_ if kinds[name] == "text"]
        if texts:
            warnings.warn(f"columns of text are left out: {', '.join(texts)}", stacklevel=2)
        # new rows are read in the training rows' format: few of them may fit several
        self.date_formats_ = {name: written_as(frame[name]) for name, kind in kinds.items() if kind == "date"}
        self.categories_ = {}
        for name, kind in kinds.items():
            if kind == "category":
                counts = pd.Series(as_text(frame[name])).value_counts()
                counts = counts[(counts >= self.min_category_rows) & (counts.index != "")]
                self.categories_[name] = sorted(counts.index) or ["(none)"]

    def _numbers(self: Any, frame: pd.DataFrame) -> np.ndarray:
        columns = []
        for name, kind in self.column_kinds_.items():
            if kind in NUMERIC:
                values = frame[name].to_numpy() if frame[name].dtype.kind == "f" else as_number(frame[name])
                if np.isinf(values).any():
                    raise InputError(f"finite or missing numbers in column {name!r}", "infinity", "replace it by NaN")
                check_size(f"column {name!r}", values)
                columns.append(values)
            elif kind == "date":
                parts = date_parts(frame[name], self.date_formats_[name])
                columns += [parts[part] for part in DATE_PARTS]
        return np.stack(columns, axis=1).astype(np.float64) if columns else np.empty((len(frame), 0))

    @staticmethod
    def _codes(column: pd.Series, known: list[str]) -> np.ndarray:
        """Return 1, 2, ... for known categories and 0 for missing, rare and new ones."""
        return pd.Index(known).get_indexer(as_text(column)).astype(np.int64) + 1

    def _network(self: Any, head_of: Callable[[int], Head]) -> nn.Module:
        body = TabularNetwork(
            torch.from_numpy(self.number_mean_),
            torch.from_numpy(self.number_std_),
            [len(known) for known in self.categories_.values()],
            indicators=torch.from_numpy(self.number_missing_),
            **self._shape(),
        )
        return HeadedNetwork(None, body, head_of(body.out_features))

    def __sklearn_tags__(self) -> Any:
        """Say to scikit-learn that gaps, categories and words are welcome."""
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        return tags


@dataclass(kw_only=True, eq=False, repr=False)
class TabularClassifier(_FrameInputs, TableOptions, GradientClassifier):
    """Multilayer perceptron for classes on a pandas frame with numbers, categories, dates and gaps.

    Examples
    --------
    >>> frame = pd.DataFrame({"size": [1.0, None, 8.0, 9.0] * 5, "colour": ["red", "red", "blue", "blue"] * 5})
    >>> model = TabularClassifier(max_epochs=60, random_state=0).fit(frame, ["small", "small", "big", "big"] * 5)
    >>> model.predict(pd.DataFrame({"size": [7.0], "colour": ["green"]}))
    array(['big'], dtype='<U5')

    References
    ----------
    Goodfellow et al. 2016, chapter 6 and §12.4.2 (embeddings).
    """


@dataclass(kw_only=True, eq=False, repr=False)
class TabularRegressor(_FrameInputs, TableOptions, GradientRegressor):
    """Multilayer perceptron for numbers on a pandas frame with numbers, categories, dates and gaps.

    Examples
    --------
    >>> frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=60), "shop": ["a", "b"] * 30})
    >>> y = [1.0, 5.0] * 30
    >>> model = TabularRegressor(max_epochs=60, learning_rate=0.01, random_state=0).fit(frame, y)
    >>> bool(model.score(frame, y) > 0.9)
    True

    References
    ----------
    Goodfellow et al. 2016, §6.2.2.1 and §12.4.2 (embeddings).
    """
