"""Hashes of content: one of a data set that changes when any value, type or order does, and one of each row.

A fingerprint is the same in every process and on every machine: text is hashed as UTF-8 whatever class holds
it, numbers little-endian with their width, and every NaN counts as the same missing value.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["fingerprint", "row_hashes"]


def fingerprint(*parts: Any) -> str:
    """Return the SHA-256, in hexadecimal, of arrays, series, frames, text and ``None`` in their order.

    Parameters
    ----------
    *parts : array, Series, DataFrame, str or None
        What to hash; the order of rows and columns counts.

    Examples
    --------
    >>> frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    >>> fingerprint(frame) == fingerprint(frame.copy())
    True
    >>> fingerprint(frame) == fingerprint(frame.iloc[::-1])
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        if part is None:
            digest.update(b"none;")
        elif isinstance(part, str):
            _update_text(digest, np.array([part], dtype=object))
        elif isinstance(part, pd.DataFrame):
            digest.update(f"frame {part.shape};".encode())
            for position, name in enumerate(part.columns):
                _update_text(digest, np.array([name], dtype=object))
                _update_series(digest, part.iloc[:, position])
        elif isinstance(part, pd.Series):
            _update_series(digest, part)
        else:
            _update_array(digest, np.asarray(part))
    return digest.hexdigest()


def row_hashes(X: pd.DataFrame | pd.Series | np.ndarray) -> np.ndarray:
    """Return one 64-bit hash a row, ``uint64`` of shape ``(n,)``; equal rows have equal hashes.

    Parameters
    ----------
    X : DataFrame, Series or array
        Rows along the first axis.

    Examples
    --------
    >>> a, b, c = row_hashes(np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]]))
    >>> bool(a == c), bool(a == b)
    (True, False)
    """
    if isinstance(X, pd.Series):
        X = X.to_frame()
    if isinstance(X, pd.DataFrame):
        if X.shape[1] == 0:
            return np.zeros(len(X), dtype=np.uint64)
        plain = {i: _hashable(X.iloc[:, i]) for i in range(X.shape[1])}
        return pd.util.hash_pandas_object(pd.DataFrame(plain), index=False).to_numpy(dtype=np.uint64)
    array = np.asarray(X)
    if array.dtype.kind == "O":
        return row_hashes(pd.DataFrame(array.reshape(len(array), -1)))
    rows = _canonical(array.reshape(len(array), -1))
    hashes = [int.from_bytes(hashlib.blake2b(row, digest_size=8).digest(), "little") for row in rows]
    return np.array(hashes, dtype=np.uint64)


def _hashable(series: pd.Series) -> pd.Series:
    """Give the series without its index, in a type that pandas hashes by value."""
    series = series.reset_index(drop=True)
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(object)
    if series.dtype.kind == "f":
        return series + 0.0  # the two zeros are one value
    if series.dtype == object:
        # Lists and arrays cannot be hashed, and pandas takes 1 and "1" for the same.
        return series.map(lambda value: value if isinstance(value, str) else _tagged(value))
    return series


def _tagged(value: Any) -> str:
    return "\0missing" if _is_missing(value) else f"\0{type(value).__name__}:{value}"


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)


def _canonical(array: np.ndarray) -> np.ndarray:
    """Contiguous and little-endian, with one NaN and one zero."""
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), array.dtype.type(np.nan), array + array.dtype.type(0))
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))


def _update_array(digest: Any, array: np.ndarray) -> None:
    if array.dtype.kind in "OUST":
        digest.update(f"shape {array.shape};".encode())
        _update_text(digest, array.astype(object).reshape(-1))
        return
    digest.update(f"array {array.dtype.newbyteorder('<').str} {array.shape};".encode())
    if array.size:
        digest.update(_canonical(array).reshape(-1).view(np.uint8))


def _update_series(digest: Any, series: pd.Series) -> None:
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        series = series.astype(object)
    elif isinstance(dtype, pd.DatetimeTZDtype):
        digest.update(b"utc;")
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    if series.dtype.kind in "biufcmM":
        if isinstance(series.dtype, np.dtype):
            _update_array(digest, series.to_numpy())
        else:  # nullable numbers: where they are missing, and a zero there
            _update_array(digest, series.isna().to_numpy())
            _update_array(digest, series.fillna(series.dtype.type(0)).to_numpy(dtype=series.dtype.numpy_dtype))
        return
    digest.update(f"shape {series.shape};".encode())
    _update_text(digest, series.to_numpy(dtype=object))


def _update_text(digest: Any, values: np.ndarray) -> None:
    """Hash missing marks, lengths, then bytes: no two lists of strings give the same stream."""
    missing = np.fromiter((_is_missing(v) for v in values), dtype=bool, count=len(values))
    encoded = [
        b"" if absent else (value if isinstance(value, str) else _tagged(value)).encode("utf-8", "surrogatepass")
        for value, absent in zip(values, missing, strict=True)
    ]
    digest.update(f"text {len(encoded)};".encode())
    digest.update(missing.tobytes())
    digest.update(np.fromiter(map(len, encoded), dtype="<i8", count=len(encoded)).tobytes())
    digest.update(b"".join(encoded))
