"""The IDX format of the MNIST family: a magic number, the sizes, then bytes; nothing else is accepted."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np

from gradus.core.errors import DataError

__all__ = ["parse_idx", "read_idx"]

MAX_BYTES = 1 << 28


def parse_idx(data: bytes, name: str = "data") -> np.ndarray:
    """Return the array of unsigned bytes an IDX file holds.

    Parameters
    ----------
    data : bytes
        ``00 00 08 d``, then ``d`` sizes as big-endian 32-bit integers, then exactly their product of bytes.
    name : str
        What to call it in an error.

    Raises
    ------
    DataError
        If the magic number, the number of axes or the length is another.

    Examples
    --------
    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9])).tolist()
    [7, 8, 9]

    References
    ----------
    LeCun, Cortes and Burges, The MNIST database, section "File formats".
    """
    if len(data) < 4 or data[:3] != b"\0\0\x08" or not 1 <= data[3] <= 4:
        raise DataError(f"an IDX file of bytes in {name}", f"the magic number {data[:4].hex()}", "fetch it again")
    axes = data[3]
    header = 4 + 4 * axes
    shape = tuple(int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(axes))
    if len(data) < header or len(data) - header != math.prod(shape):
        received = f"{max(len(data) - header, 0)} bytes for the shape {shape}"
        raise DataError(f"an IDX file of the size its header states in {name}", received, "fetch it again")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape).copy()


def read_idx(path: Path) -> np.ndarray:
    """Return the array in a gzipped IDX file, unpacking no more than 256 MiB."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(path.read_bytes())) as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"a whole gzip file in {path.name}", f"a damaged one ({error})", "fetch it again") from None
    if len(data) > MAX_BYTES:
        raise DataError(f"at most {MAX_BYTES >> 20} MiB in {path.name}", "more", "fetch it again")
    return parse_idx(data, path.name)
