"""Files that are whole or absent: written beside, synced, then renamed.

A process can be killed, and a disk can fill, between any two system calls. So nothing is written in place:
the new content goes into a temporary file in the same folder, is forced to the disk, takes the old name
in one step, and the folder that records the name is forced to the disk too. A reader sees the old or the
new file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from gradus.core.errors import DamagedFileError, GradusError, StorageError
from gradus.core.strict_json import dump_json, parse_json

__all__ = [
    "TEMPORARY_SUFFIX",
    "Written",
    "atomic_write",
    "free_name",
    "memory_limit",
    "read_bytes",
    "read_json",
    "sha256",
    "storage_errors",
    "sweep",
    "sync_file",
    "sync_folder",
    "temporary_beside",
    "write_file",
    "write_json",
]

TEMPORARY_SUFFIX = ".gradus-tmp"
ORPHAN_SECONDS = 24 * 3600.0
MAX_JSON_BYTES = 64 << 20

_BUFFER = 1 << 20
_TEMPORARY = re.compile(r"\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}" + re.escape(TEMPORARY_SUFFIX))
# Temporaries this process is writing now. A restarted container often gets the same process id again, so "the
# writer's id is alive" must not protect what an earlier process with our own id left behind.
_in_use: set[str] = set()


class Written(NamedTuple):
    """Size in bytes and SHA-256 (64 hexadecimal digits) of what was written."""

    size: int
    sha256: str


# What the operating system's refusals mean, as (received, mend). Others are told in the system's own words.
_REFUSALS = {
    errno.ENOSPC: ("a full disk", "free some space or choose another disk"),
    errno.EDQUOT: ("a used-up disk quota", "free some space or choose another disk"),
    errno.EFBIG: ("a file-size limit", "raise it (ulimit -f)"),
    errno.EACCES: ("no permission", "change the permissions or choose another folder"),
    errno.EPERM: ("no permission", "change the permissions or choose another folder"),
    errno.EROFS: ("a read-only file system", "choose a folder that can be written"),
    errno.ENOENT: ("no such file or folder", "check the path"),
    errno.ENOTDIR: ("a file where a folder should be", "check the path"),
    errno.EEXIST: ("a file of that name", "choose another name"),
    errno.EISDIR: ("a folder", "name a file"),
    errno.ENAMETOOLONG: ("a name that is too long", "choose a shorter one"),
}


@contextmanager
def storage_errors(path: str | Path, purpose: str = "to write") -> Iterator[None]:
    """Turn the system's refusals inside the block into one sentence that names ``path``.

    Parameters
    ----------
    path : str or Path
        What is being read or written.
    purpose : str
        ``"to write"`` or ``"to read"``, for the sentence.

    Raises
    ------
    StorageError
        In place of any ``OSError``.

    Examples
    --------
    >>> with storage_errors("a.html"):
    ...     raise OSError(errno.EFBIG, "File too large")
    Traceback (most recent call last):
    gradus.core.errors.StorageError: expected to write a.html, got a file-size limit; raise it (ulimit -f)
    """
    try:
        yield
    except GradusError:
        raise
    except OSError as error:
        received, mend = _REFUSALS.get(error.errno or 0, (error.strerror or str(error), "check the disk and the path"))
        raise StorageError(f"{purpose} {path}", received, mend) from error


def sync_file(path: str | Path) -> None:
    """Force the content of a file written before to the disk."""
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: str | Path) -> None:
    """Force the names in ``folder`` to the disk, so that a rename survives a power cut."""
    if os.name == "nt":  # Windows cannot open a folder, and commits renames with its journal
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # some network file systems have no folder sync
            raise
    finally:
        os.close(descriptor)


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def free_name() -> str:
    """Return a fresh temporary name that tells `sweep` which process on which machine writes it."""
    return f".{_host()}-{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"


@contextmanager
def temporary_beside(path: str | Path) -> Iterator[Path]:
    """Lend a temporary path in the folder of ``path``; whatever is still under it afterwards is removed."""
    temporary = Path(path).parent / free_name()
    _in_use.add(temporary.name)
    try:
        yield temporary
    finally:
        _remove(temporary)
        _in_use.discard(temporary.name)


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def write_file(path: str | Path, chunks: Iterable[bytes | memoryview], *, sync: bool = True) -> Written:
    """Write a new file and return its size and SHA-256, computed on the way.

    Not atomic by itself: the building block of `atomic_write` and of folders that are renamed as a whole.

    Parameters
    ----------
    path : str or Path
        A name that is still free.
    chunks : iterable of bytes or memoryview
        The content, produced piece by piece so that it need not exist twice in memory.
    sync : bool
        Force the content to the disk before returning.

    Raises
    ------
    OSError
        As the system raises it; callers wrap a whole operation in `storage_errors`.
    """
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    with os.fdopen(descriptor, "wb", buffering=_BUFFER) as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
            size += memoryview(chunk).nbytes
        file.flush()
        if sync:
            os.fsync(file.fileno())
    return Written(size, digest.hexdigest())


def atomic_write(path: str | Path, data: bytes | str | Iterable[bytes | memoryview]) -> Written:
    """Write ``data`` so that ``path`` holds its old content or the new one, whatever happens meanwhile.

    A symbolic link is followed, and an existing file keeps its permissions.

    Parameters
    ----------
    path : str or Path
        The file to create or replace; its folder must exist.
    data : bytes, str or iterable of bytes
        The content; a string is written as UTF-8.

    Returns
    -------
    Written
        Size and SHA-256 of the content.

    Raises
    ------
    StorageError
        If the disk refuses; the old file is intact and no temporary is left.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = atomic_write(Path(folder) / "note.txt", "first")
    ...     size = atomic_write(Path(folder) / "note.txt", "second").size
    ...     (Path(folder) / "note.txt").read_text(), size, len(list(Path(folder).iterdir()))
    ('second', 6, 1)
    """
    if isinstance(data, str):
        data = data.encode()
    chunks = [data] if isinstance(data, bytes) else data
    target = Path(os.path.realpath(path))
    with storage_errors(path):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        with temporary_beside(target) as temporary:
            written = write_file(temporary, chunks)
            with suppress(FileNotFoundError):
                temporary.chmod(target.stat().st_mode & 0o7777)
            temporary.replace(target)
            sync_folder(target.parent)
    return written


def sweep(folder: str | Path, older_than: float = ORPHAN_SECONDS) -> list[str]:
    """Remove the temporaries that killed writers left directly in ``folder``, and return their names.

    Only names of our own making are touched: those whose writer is dead on this machine, and those older than
    ``older_than`` seconds. What cannot be removed (a read-only folder) is left.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / free_name()).write_text("left by an earlier process that had our id")
    ...     _ = (Path(folder) / "mine.gradus-tmp").write_text("not a name of our making")
    ...     len(sweep(folder)), len(list(Path(folder).iterdir()))
    (1, 1)
    """
    removed = []
    with suppress(OSError):
        for path in sorted(Path(folder).iterdir()):
            match = _TEMPORARY.fullmatch(path.name)
            if match and path.name not in _in_use and _orphaned(path, match[1], int(match[2]), older_than):
                _remove(path)
                if not path.exists():
                    removed.append(path.name)
    return removed


def _orphaned(path: Path, host: str, pid: int, older_than: float) -> bool:
    try:
        if time.time() - path.lstat().st_mtime > older_than:
            return True
    except OSError:
        return False
    return host == _host() and (pid == os.getpid() or not _alive(pid))


def _alive(pid: int) -> bool:
    if os.name == "nt":  # signal 0 would end the process there, so only age counts
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits.

    Raises
    ------
    StorageError
        If the file cannot be read.
    """
    with storage_errors(path, "to read"), Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def memory_limit() -> int:
    """Bytes of memory this process may have: the machine's, or its container's where that is less."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        total = 16 << 30
    with suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total


def read_bytes(path: str | Path, max_bytes: int) -> bytes:
    """Read a file that must not be larger than ``max_bytes``.

    Raises
    ------
    StorageError
        If the file cannot be read.
    DamagedFileError
        If it is larger.
    """
    with storage_errors(path, "to read"), Path(path).open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise DamagedFileError(
            f"at most {max_bytes} bytes in {path}", "a larger file", "check where the file comes from"
        )
    return data


def read_json(path: str | Path, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Read a JSON file, refusing bombs: more than ``max_bytes``, or nesting beyond 128 levels.

    Raises
    ------
    StorageError
        If the file cannot be read.
    DamagedFileError
        If it is too large or no JSON.
    """
    return parse_json(read_bytes(path, max_bytes), path)


def write_json(path: str | Path, value: Any, *, indent: int | None = 2) -> Written:
    """Write a value as JSON, atomically; `read_json` gives it back equal, tuples as lists.

    Raises
    ------
    InputError
        If the value holds something JSON has no word for; nothing is written.
    StorageError
        If the disk refuses; the old file is intact.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_json(Path(folder) / "config.json", {"patience": float("inf")})
    ...     read_json(Path(folder) / "config.json")
    {'patience': inf}
    """
    return atomic_write(path, dump_json(value, indent=indent) + b"\n")
