"""Search by binary codes: Hamming distances, neighbours, a table of addresses, precision (§14.9)."""

from __future__ import annotations

from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradus.core.errors import InputError

__all__ = ["HammingIndex", "Neighbours", "hamming_distances", "pack_codes", "retrieval_precision"]

_ONES = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)
_PAIRS_AT_ONCE = 1 << 24  # of bytes compared


def pack_codes(codes: ArrayLike) -> NDArray[np.uint8]:
    """Pack codes of zeros and ones, eight to a byte.

    Parameters
    ----------
    codes : array-like of shape (n, bits)
        Zeros and ones.

    Returns
    -------
    ndarray of shape (n, ceil(bits / 8)), uint8

    Raises
    ------
    InputError
        If there is anything else in them.

    Examples
    --------
    >>> pack_codes([[1, 0, 0, 0, 0, 0, 0, 1]]).tolist()
    [[129]]
    """
    bits = np.asarray(codes)
    if bits.ndim != 2 or not np.isin(bits, (0, 1)).all():
        received = f"shape {bits.shape}" if bits.ndim != 2 else "other values"
        raise InputError(
            "codes of zeros and ones, shape (n, bits)", received, "pass what SemanticHashing.transform gave"
        )
    return np.packbits(bits.astype(bool), axis=1)


def hamming_distances(queries: ArrayLike, codes: ArrayLike) -> NDArray[np.int64]:
    """Return in how many bits each query differs from each code.

    Parameters
    ----------
    queries : array-like of shape (m, bits)
        Zeros and ones.
    codes : array-like of shape (n, bits)
        Zeros and ones.

    Returns
    -------
    ndarray of shape (m, n)

    Raises
    ------
    InputError
        If they differ in length.

    Examples
    --------
    >>> hamming_distances([[0, 0, 1]], [[0, 0, 1], [1, 1, 1]]).tolist()
    [[0, 2]]
    """
    if np.shape(queries)[-1] != np.shape(codes)[-1]:
        received = f"{np.shape(queries)[-1]} and {np.shape(codes)[-1]}"
        raise InputError("codes of one length", received, "take both from one transform")
    return _distances(pack_codes(queries), pack_codes(codes))


def _distances(queries: NDArray[np.uint8], codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    found = np.empty((len(queries), len(codes)), dtype=np.int64)
    step = max(1, _PAIRS_AT_ONCE // max(1, codes.size))
    for low in range(0, len(queries), step):
        part = queries[low : low + step]
        found[low : low + step] = _ONES[part[:, None] ^ codes[None]].sum(2, dtype=np.int64)
    return found


class Neighbours(NamedTuple):
    """What a search found: distances in bits, and row numbers, nearest first, of equal ones the first row first."""

    distances: NDArray[np.int64]
    rows: NDArray[np.int64]


class HammingIndex:
    """Rows by their binary codes: the nearest of all, or those at addresses near a query's.

    Parameters
    ----------
    codes : array-like of shape (n, bits)
        Zeros and ones.

    Examples
    --------
    >>> index = HammingIndex([[0, 0, 0], [0, 1, 1], [1, 1, 1]])
    >>> index.nearest([[1, 1, 1]], 2).rows.tolist()
    [[2, 1]]
    >>> [rows.tolist() for rows in index.within([[0, 0, 1]], radius=1)]
    [[0, 1]]

    References
    ----------
    Goodfellow et al. 2016, §14.9; Salakhutdinov & Hinton 2009, Semantic Hashing.
    """

    def __init__(self, codes: ArrayLike) -> None:
        self.packed = pack_codes(codes)
        self.bits = int(np.shape(codes)[1])
        self._table: dict[bytes, list[int]] = {}
        for row, code in enumerate(self.packed):
            self._table.setdefault(code.tobytes(), []).append(row)

    def nearest(self, queries: ArrayLike, n_neighbors: int = 10) -> Neighbours:
        """Return the nearest codes of each query, by a look at every code.

        Parameters
        ----------
        queries : array-like of shape (m, bits)
            Zeros and ones.
        n_neighbors : int
            How many, from 1 to the number of codes.
        """
        packed = self._packed(queries)
        if not 1 <= n_neighbors <= len(self.packed):
            raise InputError(f"n_neighbors from 1 to {len(self.packed)}", str(n_neighbors), "ask for fewer")
        distances = _distances(packed, self.packed)
        rows = np.argsort(distances, axis=1, kind="stable")[:, :n_neighbors]
        return Neighbours(np.take_along_axis(distances, rows, 1), rows)

    def within(self, queries: ArrayLike, radius: int = 2) -> list[NDArray[np.int64]]:
        """Return the rows whose codes differ in at most ``radius`` bits, by a look at those addresses only.

        The time depends on the bits and the radius, not on how many rows there are.

        Parameters
        ----------
        queries : array-like of shape (m, bits)
            Zeros and ones.
        radius : int
            Bits, 0 or more; ``Σ_i bits! / (i! (bits - i)!)`` addresses are looked at for each query.

        Returns
        -------
        list of ndarray
            Row numbers in ascending order, for each query.
        """
        self._packed(queries)
        flips = [list(places) for size in range(radius + 1) for places in combinations(range(self.bits), size)]
        found = []
        for query in np.asarray(queries).astype(bool):
            rows: list[int] = []
            for places in flips:
                moved = query.copy()
                moved[places] ^= True
                rows += self._table.get(np.packbits(moved).tobytes(), [])
            found.append(np.array(sorted(rows), dtype=np.int64))
        return found

    def _packed(self, queries: Any) -> NDArray[np.uint8]:
        if np.shape(queries)[-1] != self.bits:
            raise InputError(f"codes of {self.bits} bits", str(np.shape(queries)), "take both from one transform")
        return pack_codes(queries)


def retrieval_precision(neighbours: Neighbours, query_labels: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Return the share of each query's neighbours that have its label.

    Parameters
    ----------
    neighbours : Neighbours
        Of m queries, k each.
    query_labels : array-like of shape (m,)
        What the queries are.
    labels : array-like of shape (n,)
        What the rows searched are.

    Returns
    -------
    ndarray of shape (m,)
        Precision at k of each query; their mean is the usual figure.

    Examples
    --------
    >>> index = HammingIndex([[0, 0, 0], [0, 1, 1], [1, 1, 1]])
    >>> retrieval_precision(index.nearest([[1, 1, 1]], 2), ["b"], ["a", "a", "b"]).tolist()
    [0.5]
    """
    same = np.asarray(labels)[neighbours.rows] == np.asarray(query_labels)[:, None]
    return same.mean(1)
