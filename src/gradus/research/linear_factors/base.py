"""What linear factor models share: rows in, factors out, and back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import resolve_seed
from gradus.estimators.base import Estimator
from gradus.estimators.exhibit import Exhibit
from gradus.estimators.inputs import check_n_samples

__all__ = ["Array", "LinearFactors", "signed"]

Array = NDArray[np.floating[Any]]  # float64 where nothing else is said


class _Learned:
    row_shape_: tuple[int, ...]
    n_components_: int


@dataclass(kw_only=True, eq=False, repr=False)
class LinearFactors(_Learned, ClassNamePrefixFeaturesOutMixin, TransformerMixin, Estimator):
    """Base of the estimators of chapter 13.

    Rows are those of a table, or pictures of shape (n, height, width[, channels]): ``row_shape_`` remembers what one
    looked like, and answers that are rows look so again. Everything is computed in float64.
    """

    _missing: ClassVar[bool] = False  # whether NaN stands for a value that was not observed
    _least_rows: ClassVar[int] = 2

    @abstractmethod
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the factors of rows."""

    @abstractmethod
    def transform(self, X: Any) -> Array:
        """Return the factors of rows."""

    @property
    def _n_features_out(self) -> int:
        return int(self.n_components_)

    def _table(self, X: Any, *, reset: bool, dtype: Any = np.float64) -> Any:
        """Check rows and return them flat, of shape (n, features); with ``reset``, learn their shape."""
        shape = getattr(X, "shape", None)
        if shape is None and not hasattr(X, "__dataframe__"):
            found = np.asarray(X)
            X, shape = (found, found.shape) if found.ndim > 2 else (X, None)
        row: tuple[int, ...] | None = None
        if shape is not None and len(shape) > 2:
            row = tuple(int(size) for size in shape[1:])
            if not reset and row != tuple(self.row_shape_):
                raise InputError(
                    f"rows of shape {tuple(self.row_shape_)}", f"{row}", "reshape the rows as fit got them"
                )
            X = np.asarray(X).reshape(shape[0], -1)
        finite = "allow-nan" if self._missing else True
        least = self._least_rows if reset else 1
        table = validate_data(self, X, reset=reset, dtype=dtype, ensure_all_finite=finite, ensure_min_samples=least)
        if reset:
            self.row_shape_ = (int(table.shape[1]),) if row is None else row
        return table

    def _codes(self, Z: ArrayLike) -> Array:
        """Check factors."""
        codes = np.asarray(Z, dtype=np.float64)
        if codes.ndim != 2 or codes.shape[1] != self.n_components_:
            expected = f"factors of shape (n, {self.n_components_})"
            raise InputError(expected, f"shape {codes.shape}", "pass what transform returned")
        return codes

    def _shaped(self, rows: Array) -> Array:
        return rows.reshape(len(rows), *self.row_shape_)

    def _drawing(self, n_samples: int, random_state: Any) -> np.random.Generator:
        """Check what `sample` got and return a generator; None draws anew."""
        check_is_fitted(self)
        check_n_samples(n_samples)
        return np.random.default_rng(resolve_seed(random_state))

    def _width(self, asked: int | None, most: int, default: int | None = None) -> int:
        """Return the number of components asked for, at most ``most``."""
        if asked is None:
            return max(1, most if default is None else min(default, most))
        if not 1 <= asked <= most:
            mend = f"set n_components={most} or lower"
            raise SettingError(f"n_components from 1 to {most} for this table", str(asked), mend)
        return int(asked)

    def exhibits(self, data: Any) -> Iterator[Exhibit]:
        """Yield the components and the map of ``data`` in the first two factors.

        Parameters
        ----------
        data : array-like
            Rows as `fit` takes them.
        """
        from gradus.research.linear_factors.exhibits import components_shown, latent_map, reconstructions

        check_is_fitted(self)
        components = getattr(self, "components_", None)
        if components is not None:
            yield components_shown(components, tuple(self.row_shape_), getattr(self, "feature_names_in_", None))
        codes = self.transform(data)
        if codes.shape[1] > 1:
            yield latent_map(codes)
        if len(self.row_shape_) > 1 and hasattr(self, "inverse_transform"):
            some = np.asarray(data, dtype=np.float64)[:8]
            yield reconstructions(some, self.inverse_transform(codes[:8]))

    def _rebuild(self) -> dict[str, nn.Module]:
        return {}

    def __sklearn_tags__(self) -> Tags:
        """Say whether gaps are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._missing
        return tags


def signed(components: Array) -> Array:
    """Return components, one a row, each with its largest weight positive: their sign means nothing."""
    largest = np.take_along_axis(components, np.abs(components).argmax(1)[:, None], 1)
    return np.ascontiguousarray(components * np.where(largest < 0, -1.0, 1.0))
