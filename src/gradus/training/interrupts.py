"""Signals as requests: Ctrl-C and SIGTERM end training between two steps, never inside one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Signals", "interruptible"]


class Signals:
    """What has been asked for so far: ``None``, ``"interrupted"`` (Ctrl-C) or ``"terminated"`` (SIGTERM)."""

    def __init__(self) -> None:
        self.request: str | None = None

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Ask for a clean end; a second Ctrl-C does not wait for it."""
        if self.request == "interrupted":
            raise KeyboardInterrupt
        self.request = self.request or "interrupted"

    def terminate(self, number: int, frame: FrameType | None) -> None:
        """Ask for a checkpoint and an end; further SIGTERMs change nothing."""
        self.request = "terminated"


@contextmanager
def interruptible(*, terminate: bool = False) -> Iterator[Signals]:
    """Turn SIGINT, and SIGTERM if ``terminate``, into requests inside the block.

    Only the main thread can set handlers; elsewhere the requests stay empty. After a SIGTERM the signal stays ignored:
    the process is about to exit and a second one must not cut that short.
    """
    signals = Signals()
    found: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        found[signal.SIGINT] = signal.signal(signal.SIGINT, signals.interrupt)
        if terminate:
            found[signal.SIGTERM] = signal.signal(signal.SIGTERM, signals.terminate)
    try:
        yield signals
    finally:
        for number, handler in found.items():
            ignored = number == signal.SIGTERM and signals.request == "terminated"
            signal.signal(number, signal.SIG_IGN if ignored else handler)
