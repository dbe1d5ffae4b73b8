"""Downloads that are whole or absent: resumed after a cut, checked by checksum, renamed into place."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gradus.core.errors import DataError, GradusError
from gradus.core.storage import storage_errors, sync_folder

__all__ = ["cache_folder", "fetch", "md5"]

Progress = Callable[[str, int, int], None]
CHUNK = 1 << 16
ATTEMPTS = 5


def cache_folder() -> Path:
    """Return the folder of downloads: ``GRADUS_CACHE``, or ``gradus`` in the platform's cache folder."""
    named = os.environ.get("GRADUS_CACHE")
    if named:
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "gradus"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "gradus" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradus"


def md5(path: Path) -> str:
    """Return the MD5 of a file as 32 hexadecimal digits; these sets' publishers give no other checksum."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def fetch(
    url: str,
    path: Path,
    *,
    checksum: str,
    max_bytes: int = 1 << 28,
    timeout: float = 30.0,
    mend: str = "connect to the network and try again",
    progress: Progress | None = None,
) -> Path:
    """Download ``url`` to ``path`` unless it is there, whole, already.

    What has arrived stays in ``path.part`` when the connection is cut, and the next attempt, of this process
    or a later one, asks only for the rest. One process at a time downloads into a folder.

    Parameters
    ----------
    url : str
        An http or https address.
    path : Path
        Where the file is to lie.
    checksum : str
        Its MD5, 32 hexadecimal digits.
    max_bytes : int
        Give up on anything larger.
    timeout : float
        Seconds of silence after which a connection counts as cut.
    mend : str
        What the error tells the user to do when there is no network.
    progress : callable or None
        Called with the file's name, the bytes here and the bytes in all (0 where the server does not say).

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    DataError
        If there is no connection, no such file, or one with another checksum, which is removed.
    StorageError
        If it cannot be written.
    """
    if path.is_file() and md5(path) == checksum:
        return path
    if not url.startswith(("http://", "https://")):
        raise DataError("an http or https address", repr(url), "check the address")
    part = path.with_name(path.name + ".part")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path.parent):
        if path.is_file() and md5(path) == checksum:  # another process was first
            return path
        resumed = part.is_file() and part.stat().st_size > 0
        _receive(url, part, max_bytes, timeout, mend, progress)
        if md5(part) != checksum and resumed:  # the old piece may have been of another file
            part.unlink()
            _receive(url, part, max_bytes, timeout, mend, progress)
        found = md5(part)
        if found != checksum:
            part.unlink()
            raise DataError(
                f"a file of MD5 {checksum} at {url}", f"one of MD5 {found}", "try again later, or report it"
            )
        with storage_errors(path):
            part.replace(path)
            sync_folder(path.parent)
    return path


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, waiting for it; the operating system frees it when its holder dies."""
    with storage_errors(folder):
        file = (folder / ".lock").open("wb")
    with file:
        try:
            import fcntl
        except ImportError:  # on Windows two downloads at once cost a second attempt, no more: the checksum tells
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _receive(url: str, part: Path, max_bytes: int, timeout: float, mend: str, progress: Progress | None) -> None:
    """Fill ``part``, resuming at its end, in at most five attempts."""
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(0.1 * 2**attempt)
        have = part.stat().st_size if part.is_file() else 0
        headers = {"User-Agent": "gradus", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout) as response:
                if _copy(response, part, have, max_bytes, url, progress):
                    return
                reason = "the connection was cut again and again"
        except GradusError:
            raise
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 416 and have:  # nothing is left to send, or the piece is longer than the file
                    if _is_complete(error, have):
                        return
                    part.unlink()
                elif error.code < 500 and error.code != 429:
                    raise DataError(f"a file at {url}", f"HTTP {error.code} ({error.reason})", mend) from None
                reason = f"HTTP {error.code} ({error.reason})"
        except urllib.error.URLError as error:
            raise DataError(f"a connection to {url}", f"none ({error.reason})", mend) from None
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
    raise DataError(f"the whole of {url}", f"{reason}, in {ATTEMPTS} attempts", f"{mend}; what arrived is kept")


def _is_complete(error: urllib.error.HTTPError, have: int) -> bool:
    return (error.headers.get("Content-Range") or "").strip() == f"bytes */{have}"


def _copy(response: Any, part: Path, have: int, max_bytes: int, url: str, progress: Progress | None) -> bool:
    """Append the answer to ``part`` (or start it anew where the server sends all); tell if it is whole."""
    span = response.headers.get("Content-Range") or ""
    if response.status == 206 and not span.startswith(f"bytes {have}-"):
        raise DataError(f"the rest of {url} from byte {have}", f"the range {span!r}", "try again later")
    start = have if response.status == 206 else 0
    length = response.headers.get("Content-Length")
    total = start + int(length) if length and length.isdigit() else 0
    got = start
    with storage_errors(part):
        file = part.open("ab" if start else "wb")
    with file:
        while chunk := response.read(CHUNK):
            got += len(chunk)
            if max(got, total) > max_bytes:
                file.close()
                part.unlink()
                raise DataError(f"at most {max_bytes >> 20} MiB at {url}", "more", "check the address")
            with storage_errors(part):
                file.write(chunk)
            if progress is not None:
                progress(part.name.removesuffix(".part"), got, total)
        with storage_errors(part):
            file.flush()
            os.fsync(file.fileno())
    return not total or got == total
