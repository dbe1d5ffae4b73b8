"""NumPy's files from strangers: every size checked before a byte is allocated, and no pickle.

An ``.npy`` header can claim 2**60 elements, an ``.npz`` is a zip archive that can hold a million members or
inflate a thousandfold, and an object array is a pickle, which runs code. All are refused by reading headers
only.
"""

from __future__ import annotations

import io
import math
import os
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradus.core.errors import DataError
from gradus.core.storage import memory_limit, storage_errors

__all__ = ["ArrayHeader", "check_npz", "load_npy", "load_npz"]

MAX_ARRAY_BYTES = 8 << 30
MAX_MEMBERS = 10_000
MAX_DIRECTORY_BYTES = 2 << 20
MAX_HEADER = 10_000  # what NumPy itself trusts its parser with
DEFLATE_RATIO = 1032  # no deflated byte yields more than this many, so a larger claim is a lie


class ArrayHeader(NamedTuple):
    """Shape, dtype and size in bytes of an array, as its checked header says."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    nbytes: int


def _refused(path: str | Path, expected: str, received: str, mend: str) -> DataError:
    return DataError(f"{expected} in {path}", received, mend)


def _limit(limit_bytes: int | None) -> int:
    return min(MAX_ARRAY_BYTES, memory_limit() // 2) if limit_bytes is None else limit_bytes


def _read_header(file: io.BufferedIOBase, where: str | Path) -> tuple[ArrayHeader, int]:
    """Read an .npy header; return it with the number of bytes it takes."""
    start = file.read(12)
    if start[:6] != b"\x93NUMPY" or len(start) < 12:
        raise _refused(where, "a NumPy array", "something else", "write it with numpy.save or numpy.savez")
    version, wide = start[6], start[6] >= 2
    length = int.from_bytes(start[8:12] if wide else start[8:10], "little")
    taken = (12 if wide else 10) + length
    if version > 2 or length > MAX_HEADER:
        received = f"version {version} and {length} bytes"
        raise _refused(where, "an array header of version 1 or 2 and ordinary size", received, "save it again")
    text = start + file.read(max(taken - 12, 0))
    stream = io.BytesIO(text[8:])
    parse = np.lib.format.read_array_header_2_0 if wide else np.lib.format.read_array_header_1_0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # files of Python 2 are read with a warning
            shape, _, dtype = parse(stream)
    except Exception as error:  # the parser meets arbitrary text, and fails in as many ways
        raise _refused(where, "a NumPy array", "a header that makes no sense", "save it again") from error
    if dtype.hasobject:
        raise _refused(
            where,
            "numbers or strings",
            "pickled Python objects, which could run code when read",
            "save the array with a numeric or string dtype",
        )
    count = math.prod(shape)
    if any(d < 0 for d in shape) or max(shape, default=0) > 2**48 or (count and not dtype.itemsize):
        raise _refused(where, "an array", f"the impossible shape {shape}", "save it again")
    return ArrayHeader(tuple(shape), dtype, count * dtype.itemsize), taken


def _check_filled(header: ArrayHeader, size: int, where: str | Path) -> None:
    """Check that as many bytes follow the header as it says."""
    if header.nbytes != size:
        received = f"{size} bytes for shape {header.shape} of {header.dtype}"
        raise _refused(where, f"{header.nbytes} bytes of values", received, "save the array again")


def _read_array(file: io.BufferedIOBase, path: str | Path) -> np.ndarray:
    """Read the array that was checked just before."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.lib.format.read_array(file, allow_pickle=False, max_header_size=MAX_HEADER)
    except (ValueError, MemoryError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise _refused(path, "a complete array", f"a damaged one ({error})", "save it again") from error


def load_npy(path: str | Path, limit_bytes: int | None = None) -> np.ndarray:
    """Read one array from an ``.npy`` file.

    Parameters
    ----------
    path : str or Path
        The file.
    limit_bytes : int, optional
        Refuse a larger array; by default 8 GiB or half of the memory, whichever is less.

    Raises
    ------
    StorageError
        If the file cannot be read.
    DataError
        If it is no array, holds pickled objects, is cut short, or is over the limit.
    """
    with storage_errors(path, "to read"), Path(path).open("rb") as file:
        size = Path(path).stat().st_size
        header, taken = _read_header(file, path)
        if header.nbytes > _limit(limit_bytes):
            received = f"{header.nbytes} bytes of shape {header.shape}"
            raise _refused(path, f"at most {_limit(limit_bytes)} bytes", received, "split the array")
        _check_filled(header, size - taken, path)
        file.seek(0)
        return _read_array(file, path)


class _Bounded(io.FileIO):
    """A file that lends no more than the limit at once while the archive's directory is read."""

    bounded = True

    def read(self, size: int | None = -1) -> bytes:
        """Read, refusing a directory that would take seconds to parse."""
        wanted = os.fstat(self.fileno()).st_size - self.tell() if size is None or size < 0 else size
        if self.bounded and wanted > MAX_DIRECTORY_BYTES:
            raise OverflowError
        return super().read(wanted)


def _open_archive(path: str | Path) -> tuple[zipfile.ZipFile, _Bounded]:
    file = _Bounded(path, "rb")
    try:
        archive = zipfile.ZipFile(file)
        if len(archive.infolist()) > MAX_MEMBERS:
            raise OverflowError
        file.bounded = False
        # The library reads members until the directory's bytes run out and ignores how many there should
        # be, so one damaged length would lose the members after it without a word.
        file.seek(-len(archive.comment) - 12, os.SEEK_END)
        if int.from_bytes(file.read(2), "little") not in {len(archive.infolist()), 0xFFFF}:
            raise zipfile.BadZipFile("the number of members is not what the directory holds")
        return archive, file
    except OverflowError:
        file.close()
        raise _refused(path, f"at most {MAX_MEMBERS} arrays", "more", "stack arrays of equal shape into one") from None
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        file.close()
        raise _refused(
            path, "an .npz archive", "something else", "write it with numpy.savez or numpy.savez_compressed"
        ) from error
    except BaseException:
        file.close()
        raise


def _check_members(members: list[zipfile.ZipInfo], size: int, limit: int, path: str | Path) -> None:
    """Check what the archive's directory claims, before any member is opened."""
    names = {member.filename for member in members}
    if len(names) != len(members) or not all(name.endswith(".npy") for name in names):
        raise _refused(path, "one .npy member an array", "other or repeated members", "write it with numpy.savez")
    if sum(member.file_size for member in members) > limit:
        total = sum(member.file_size for member in members)
        raise _refused(path, f"at most {limit} bytes of arrays", f"{total}", "split the archive")
    if any(not 0 <= member.header_offset < size for member in members):
        raise _refused(path, "members inside the file", "one outside", "write it with numpy.savez")
    if sum(member.compress_size for member in members) > size:
        raise _refused(path, "members side by side", "overlapping ones", "write it with numpy.savez")
    for member in members:
        stored = member.compress_type == zipfile.ZIP_STORED
        most = member.compress_size if stored else DEFLATE_RATIO * member.compress_size
        if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED} or member.flag_bits & 1:
            raise _refused(path, "stored or deflated members", "another or encrypted", "write it with numpy.savez")
        if member.file_size > most:
            received = f"{member.file_size} bytes claimed from {member.compress_size}"
            raise _refused(path, "sizes that deflate can reach", received, "write it with numpy.savez")


def _check_archive(archive: zipfile.ZipFile, size: int, limit: int, path: str | Path) -> dict[str, ArrayHeader]:
    members = archive.infolist()
    _check_members(members, size, limit, path)
    headers = {}
    for member in members:
        where = f"{path}:{member.filename}"
        try:
            with archive.open(member) as file:
                header, taken = _read_header(file, where)  # type: ignore[arg-type]
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise _refused(where, "an array", f"a damaged member ({error})", "save it again") from error
        _check_filled(header, member.file_size - taken, where)
        headers[member.filename.removesuffix(".npy")] = header
    return headers


@contextmanager
def _checked(path: str | Path, limit_bytes: int | None) -> Iterator[tuple[zipfile.ZipFile, dict[str, ArrayHeader]]]:
    """Open an archive whose headers have all been checked."""
    with storage_errors(path, "to read"):
        archive, file = _open_archive(path)
        with file, archive:
            yield archive, _check_archive(archive, Path(path).stat().st_size, _limit(limit_bytes), path)


def check_npz(path: str | Path, limit_bytes: int | None = None) -> dict[str, ArrayHeader]:
    """Check an ``.npz`` archive by its headers alone, and return them.

    Parameters
    ----------
    path : str or Path
        The file.
    limit_bytes : int, optional
        Refuse more bytes of arrays in all; by default 8 GiB or half of the memory, whichever is less.

    Raises
    ------
    StorageError
        If the file cannot be read.
    DataError
        If it is no archive of arrays, holds pickled objects, or claims what it cannot or must not hold.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(Path(folder) / "a.npz", x=np.zeros((3, 2)))
    ...     check_npz(Path(folder) / "a.npz")["x"].shape
    (3, 2)
    """
    with _checked(path, limit_bytes) as (_, headers):
        return headers


def load_npz(path: str | Path, limit_bytes: int | None = None) -> dict[str, np.ndarray]:
    """Read all arrays of an ``.npz`` archive, checked as by `check_npz` first.

    Parameters
    ----------
    path, limit_bytes
        As in `check_npz`.

    Raises
    ------
    StorageError, DataError
        As from `check_npz`, and if a member's content is damaged.
    """
    arrays = {}
    with _checked(path, limit_bytes) as (archive, headers):
        for name, member in zip(headers, archive.infolist(), strict=True):
            with archive.open(member) as stream:
                arrays[name] = _read_array(stream, f"{path}:{member.filename}")  # type: ignore[arg-type]
    return arrays
