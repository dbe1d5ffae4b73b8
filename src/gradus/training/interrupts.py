"""Signals as requests: Ctrl-C and SIGTERM end training between two steps, never inside one."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["TERMINATED", "Signals", "interruptible"]

# Exit code of a process that ended because of SIGTERM, as shells count: 128 + 15.
TERMINATED = 143
# A launcher's echo of a Ctrl-C comes within this time.
ECHO_SECONDS = 2.0


class Signals:
    """What has been asked for so far: ``None``, ``"interrupted"`` (Ctrl-C) or ``"terminated"`` (SIGTERM)."""

    def __init__(self, *, shared: bool = False) -> None:
        self.request: str | None = None
        self._echo = ECHO_SECONDS if shared else 0.0
        self._since = -math.inf

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Ask for a clean end; a second Ctrl-C does not wait for it."""
        if self.request == "interrupted" and time.monotonic() - self._since >= self._echo:
            raise KeyboardInterrupt
        if self.request is None:
            self.request, self._since = "interrupted", time.monotonic()

    def terminate(self, number: int, frame: FrameType | None) -> None:
        """Ask for a checkpoint and an end; further SIGTERMs change nothing."""
        self.request = "terminated"


@contextmanager
def interruptible(*, terminate: bool = False, shared: bool = False) -> Iterator[Signals]:
    """Turn SIGINT, and SIGTERM if ``terminate``, into requests inside the block.

    Only the main thread can set handlers; elsewhere the requests stay empty. The handlers found are put back
    after the block. Where a SIGTERM came and the block ended without an error, the process exits, and SIGTERM
    is ignored from there on: a second one must not cut the exit short.

    Parameters
    ----------
    terminate : bool
        Whether the block can answer a SIGTERM; otherwise it ends the process as ever.
    shared : bool
        Whether a launcher passes on what it receives: the terminal's Ctrl-C then comes twice, and counts once.

    Raises
    ------
    SystemExit
        After the block, with code 143, if a SIGTERM came inside it.

    Examples
    --------
    >>> import os
    >>> with interruptible() as signals:
    ...     os.kill(os.getpid(), signal.SIGINT)
    ...     signals.request
    'interrupted'
    """
    signals = Signals(shared=shared)
    found: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        found[signal.SIGINT] = signal.signal(signal.SIGINT, signals.interrupt)
        if terminate:
            found[signal.SIGTERM] = signal.signal(signal.SIGTERM, signals.terminate)
    try:
        yield signals
    except BaseException:
        _put_back(found)
        raise
    if signals.request == "terminated":
        found[signal.SIGTERM] = signal.SIG_IGN
    _put_back(found)
    if signals.request == "terminated":  # asked again: it may have come while the handlers were put back
        raise SystemExit(TERMINATED)


def _put_back(found: dict[int, Any]) -> None:
    for number, handler in found.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not set from Python
