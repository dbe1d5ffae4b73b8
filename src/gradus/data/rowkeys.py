"""One number a row, the same wherever the row is read: what a stream is split and fingerprinted by.

A key depends on values and types of columns alone, never on where a row group begins or which process reads it.
The mixing is written out here, so that no other package's release can move a row to another side of a split.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradus.core.randomness import derive

__all__ = ["bytes_key", "column_keys", "joined_keys", "key_of_numbers", "uniform"]

Keys = NDArray[np.uint64]

MISSING = np.uint64(0x9E3779B97F4A7C15)
_START = np.uint64(0x243F6A8885A308D3)  # digits of pi: nothing up the sleeve


def _mixed(values: Keys) -> Keys:
    """Spread every bit over all 64, one to one."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def key_of_numbers(values: NDArray[Any]) -> Keys:
    """Return a key for each whole or floating-point number; NaN and infinity count as missing, as in a table.

    Parameters
    ----------
    values : array of shape (n,)
        Integers, booleans, or floating-point numbers.

    Examples
    --------
    >>> keys = key_of_numbers(np.array([0.0, -0.0, 1.0, np.nan, np.inf]))
    >>> bool(keys[0] == keys[1] != keys[2]), bool(keys[3] == keys[4])
    (True, True)
    """
    if values.dtype.kind == "f":
        values = values.astype(np.float64) + 0.0  # the two zeros are one value
        bits = np.ascontiguousarray(values).view(np.uint64)
        return np.where(np.isfinite(values), _mixed(bits + MISSING), MISSING)
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    with np.errstate(over="ignore"):
        return _mixed(values.astype(np.int64 if values.dtype.kind == "i" else np.uint64).view(np.uint64) + MISSING)


def bytes_key(content: bytes | memoryview) -> int:
    """Return the key of some bytes, an unsigned 64-bit number."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def column_keys(column: Any) -> Keys:
    """Return a key for each value of an Arrow column, ``uint64`` of shape ``(n,)``; missing ones share one.

    Parameters
    ----------
    column : pyarrow Array or ChunkedArray
        Of any type; nested values are taken as their JSON text.

    Examples
    --------
    >>> import pyarrow as pa
    >>> a, b, c = column_keys(pa.array(["x", "y", "x"]))
    >>> bool(a == c), bool(a == b)
    (True, False)
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # more text than one array can hold
            return np.concatenate([column_keys(chunk) for chunk in column.chunks])
    kind, types = column.type, pa.types
    if types.is_dictionary(kind):
        return column_keys(column.cast(kind.value_type))
    if types.is_null(kind):
        return np.full(len(column), MISSING)
    if types.is_boolean(kind):
        column = column.cast(pa.uint8())
    elif types.is_date32(kind) or types.is_time32(kind):
        column = column.cast(pa.int32())
    elif types.is_temporal(kind):
        column = column.cast(pa.int64())
    if types.is_integer(column.type):
        keys = key_of_numbers(column.fill_null(0).to_numpy(zero_copy_only=False))
    elif types.is_floating(column.type):
        keys = key_of_numbers(column.fill_null(float("nan")).to_numpy(zero_copy_only=False))
    else:
        return _keys_of_text(column)
    if column.null_count:
        keys = np.where(pc.is_null(column).to_numpy(zero_copy_only=False), MISSING, keys)
    return keys


def _keys_of_text(column: Any) -> Keys:
    """Hash each different value once."""
    import pyarrow as pa

    kind = column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind)):
        if pa.types.is_large_binary(kind) or pa.types.is_decimal(kind) or pa.types.is_string_view(kind):
            column = column.cast(pa.large_binary() if pa.types.is_large_binary(kind) else pa.string())
        else:
            texts = [None if v is None else json.dumps(v, default=str, sort_keys=True) for v in column.to_pylist()]
            column = pa.array(texts, pa.string())
    coded = column.dictionary_encode()
    words = coded.dictionary.to_pylist()
    hashed = (bytes_key(word if isinstance(word, bytes) else word.encode("utf-8", "surrogatepass")) for word in words)
    keys = np.append(np.fromiter(hashed, dtype=np.uint64, count=len(words)), MISSING)
    return keys[coded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)]


def joined_keys(columns: Iterable[Keys], n: int) -> Keys:
    """Return one key a row from those of its columns, whose order counts.

    Parameters
    ----------
    columns : iterable of uint64 arrays of shape (n,)
        The columns' keys.
    n : int
        Number of rows.

    Examples
    --------
    >>> one, two = key_of_numbers(np.array([1, 2])), key_of_numbers(np.array([2, 1]))
    >>> ab, ba = joined_keys([one, two], 2)
    >>> bool(ab == ba)
    False
    """
    joined = np.full(n, _START)
    for keys in columns:
        joined = _mixed(joined * np.uint64(0x5851F42D4C957F2D) + keys)
    return joined


def uniform(keys: Keys, seed: int, purpose: str) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each key: a function of key, seed and purpose, independent between purposes.

    Examples
    --------
    >>> draws = uniform(np.arange(10_000, dtype=np.uint64), 0, "split")
    >>> bool(abs(draws.mean() - 0.5) < 0.02), bool((draws == uniform(np.arange(10_000, dtype=np.uint64), 1, "x")).any())
    (True, False)
    """
    salted = _mixed(_mixed(keys ^ np.uint64(derive(seed, purpose))) + MISSING)
    return (salted >> np.uint64(11)).astype(np.float64) * 2.0**-53
