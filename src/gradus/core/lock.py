"""One writer a run folder, held by a lock of the operating system.

The kernel drops the lock when its holder ends, however it ends, so a killed run leaves nothing to clean up.
The file ``.lock`` stays; only the lock on it counts, and what is written in it names the holder.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import sys
import weakref
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from gradus.core.errors import LockedError
from gradus.core.storage import storage_errors

__all__ = ["RunLock"]

LOCK_NAME = ".lock"
MAX_HOLDER_BYTES = 4096

# Locks of this process. A forked child (a data worker, say) shares the open file and with it the lock,
# which would then outlive its holder: the child closes its copy, which does not release the parent's.
_held: weakref.WeakSet[RunLock] = weakref.WeakSet()
_state = {"hooked": False}


def _close_in_child() -> None:
    for lock in list(_held):
        lock._forget()


if sys.platform == "win32":
    import msvcrt

    # Windows locks ranges of bytes against reading too: this one lies far behind the holder's name.
    _RANGE = 1 << 30

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, _RANGE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in {errno.EACCES, errno.EDEADLOCK}:
                return False
            raise
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _RANGE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


class RunLock:
    """The right to write a run folder, for the length of a ``with`` block.

    Parameters
    ----------
    folder : str or Path
        The run folder, which must exist and be writable.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, RunLock(folder):
    ...     try:
    ...         RunLock(folder).acquire()
    ...     except LockedError as error:
    ...         "this process" in str(error)
    True
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock, in this process."""
        return self._descriptor is not None

    def acquire(self) -> RunLock:
        """Take the lock at once or not at all.

        Raises
        ------
        LockedError
            If another process, or another lock of this one, holds it; the message names the holder.
        StorageError
            If the folder is missing or cannot be written.
        """
        path = self.folder / LOCK_NAME
        with storage_errors(path):
            while not self.held:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
                try:
                    if not _try_lock(descriptor):
                        raise _locked(self.folder, descriptor)
                    if os.name != "nt" and not _still_there(path, descriptor):
                        continue  # someone removed the file in between: lock the one that replaced it
                    _write_holder(descriptor)
                    self._descriptor, descriptor = descriptor, -1
                finally:
                    if descriptor >= 0:
                        os.close(descriptor)
        if hasattr(os, "register_at_fork") and not _state["hooked"]:
            os.register_at_fork(after_in_child=_close_in_child)
            _state["hooked"] = True
        _held.add(self)
        return self

    def release(self) -> None:
        """Give the lock back; does nothing where it is not held."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            _unlock(self._descriptor)
        self._forget()

    def _forget(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        _held.discard(self)
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> RunLock:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _still_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _write_holder(descriptor: int) -> None:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    holder = {"pid": os.getpid(), "host": platform.node(), "started": started}
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, json.dumps(holder).encode())


def _locked(folder: Path, descriptor: int) -> LockedError:
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        holder: Any = json.loads(os.read(descriptor, MAX_HOLDER_BYTES))
        pid, host, started = int(holder["pid"]), str(holder["host"]), str(holder["started"])
    except (ValueError, TypeError, KeyError, RecursionError):  # taken a moment ago, the name not yet written
        return LockedError(
            f"to be the only writer of {folder}", "another process that writes there", "wait until it ends"
        )
    if pid == os.getpid() and host == platform.node():
        received, mend = "this process, which writes there already", "close the first run before the second"
    else:
        received = f"process {pid} on {host}, which writes there since {started}"
        mend = "wait until it ends, or stop it"
    return LockedError(f"to be the only writer of {folder}", received, mend)
