"""Bytes from files: found or the nearest name suggested, unpacked within bounds, decoded to UTF-8."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gradus.core.errors import DataError, nearest
from gradus.core.storage import memory_limit
from gradus.data.dataset import Note

__all__ = ["COMPRESSIONS", "kind_of", "must_exist", "read_bytes", "read_text"]

COMPRESSIONS = (".gz", ".bz2", ".xz")

# A table of zeros packs about 200:1; gzip reaches 1030:1 only on one repeated byte, and bzip2 far more.
BOMB_RATIO, BOMB_BYTES = 500, 1 << 26
CHUNK = 1 << 22


def kind_of(path: Path) -> str:
    """Return the suffix that says what a file is, in lower case, without that of its compression.

    Examples
    --------
    >>> kind_of(Path("Sales.CSV.gz"))
    '.csv'
    """
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def must_exist(path: Path, names: Iterable[str] = ()) -> None:
    """Raise a ``DataError`` with the nearest existing name if there is no such file or folder.

    Parameters
    ----------
    path : Path
        What the user asked for.
    names : iterable of str
        Further names that could have been meant, such as those of the named sets.
    """
    if path.exists():
        return
    if path.is_symlink():
        received = f"{str(path)!r}, a link that leads nowhere"
        raise DataError("a file, a folder or the name of a set", received, "check what it points to")
    siblings: list[str] = []
    if path.parent.is_dir():
        siblings = sorted(entry.name for entry in path.parent.iterdir())
    else:
        parent = next((p for p in path.parents if p.is_dir()), Path())
        missing = path.relative_to(parent).parts[0] if path.is_relative_to(parent) else str(path)
        hint = nearest(missing, sorted(entry.name for entry in parent.iterdir()))
        raise DataError(
            "a file, a folder or the name of a set",
            f"{str(path)!r}, and there is no folder {str(path.parent)!r}",
            f"{hint}check the path",
        )
    hint = nearest(path.name, [*siblings, *names])
    raise DataError(
        "a file, a folder or the name of a set",
        f"{str(path)!r}, which does not exist",
        f"{hint}check the path",
    )


def _open(path: Path, packed_as: str) -> Any:
    if packed_as == ".gz":
        return gzip.open(path, "rb")
    if packed_as == ".bz2":
        return bz2.open(path, "rb")
    return lzma.open(path, "rb") if packed_as == ".xz" else path.open("rb")


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes, unpacked if its name ends in .gz, .bz2 or .xz.

    Raises
    ------
    DataError
        If the file is empty, cannot be opened, is damaged, or unpacks to absurdly more than it holds.
    """
    limit, chunks, total = memory_limit() // 2, [], 0
    packed_as = path.suffix.lower() if path.suffix.lower() in COMPRESSIONS else ""
    try:
        packed = path.stat().st_size
        with _open(path, packed_as) as stream:
            while chunk := stream.read(CHUNK):
                total += len(chunk)
                bomb = packed_as and total > BOMB_BYTES and total > BOMB_RATIO * packed
                if bomb or total > limit:
                    raise DataError(
                        f"{path.name} to fit in memory when unpacked",
                        f"more than {total >> 20:,} MiB out of {max(packed >> 10, 1):,} KiB",
                        "unpack and check it, or convert it to Parquet and stream it",
                    )
                chunks.append(chunk)
    except PermissionError:
        raise DataError("a readable file", f"{str(path)!r} without permission", "change its mode") from None
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"a whole file in {path.name}", f"a damaged one ({error})", "fetch it again") from None
    if not total:
        raise DataError("a file with data", f"{path.name}, which is empty", "check how it was written")
    return b"".join(chunks)


def read_text(path: Path) -> tuple[bytes, list[Note]]:
    """Return a text file as UTF-8 without a byte-order mark, and notes on any other encoding found.

    A file that is UTF-8 in most lines and not in some is decoded line by line, those in Windows-1252;
    decoding all of it so would garble the lines that were right.
    """
    data = read_bytes(path)
    for mark, name in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if data.startswith(mark):
            try:
                text = data.decode(name)
            except UnicodeDecodeError:
                break
            return text.encode(), [Note("encoding", f"{path.name} is UTF-16, read as such")]
    data = data.removeprefix(codecs.BOM_UTF8)
    if not data.strip():
        raise DataError("a file with data", f"{path.name}, which is blank", "check how it was written")
    head = data[:65536]
    control = sum(byte < 9 or (13 < byte < 32 and byte not in (26, 27)) for byte in head)
    if b"\0" in head or control > len(head) / 100:
        raise DataError(f"text in {path.name}", "binary data", "name the file by what it is, or export it as CSV")
    try:
        data.decode()
    except UnicodeDecodeError:
        return _decode_lines(data, path)
    return data, []


def _decode_lines(data: bytes, path: Path) -> tuple[bytes, list[Note]]:
    lines, other, wide, first = data.split(b"\n"), 0, 0, 0
    for number, line in enumerate(lines):
        try:
            line.decode()
            wide += not line.isascii()
        except UnicodeDecodeError:
            try:
                text = line.decode("cp1252")
            except UnicodeDecodeError:
                text = line.decode("latin-1")
            if any("\x80" <= letter < "\xa0" for letter in text):
                raise DataError(
                    f"UTF-8, Windows-1252 or Latin-1 text in {path.name}",
                    f"line {number + 1}, which is none of them",
                    "save the file as UTF-8",
                ) from None
            lines[number], first = text.encode(), first or number + 1
            other += 1
    if wide:
        why = f"read as Windows-1252, line {first} first; the rest of {path.name} is UTF-8"
        return b"\n".join(lines), [Note("lines in a mixed encoding", why, other)]
    return b"\n".join(lines), [Note("encoding", f"{path.name} is not UTF-8; it was read as Windows-1252 (Latin-1)")]
