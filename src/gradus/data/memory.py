"""How much memory there is to hold data in, and how much of it a stream may use for what."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gradus.core.storage import memory_limit

__all__ = ["GIB", "Shares", "memory_free", "shares_of"]

GIB = 1 << 30

# A model chosen on more rows than these is not chosen better: an interval of accuracy is 0.3 points wide then.
HELD_ROWS = 100_000
# Boosted trees and a linear model take a minute on as many rows, and gain little from more.
SAMPLE_ROWS = 200_000
# Fewer rows than these tell nothing of a table, however little memory is asked for.
LEAST_SAMPLE, LEAST_HELD = 2000, 1000
# Beyond this, a larger window mixes no better.
WINDOW_ROWS = 1 << 18


class Shares(NamedTuple):
    """Rows of a stream held in memory: a sample to learn from, each held-out part, and one window of the shuffle."""

    sample: int
    held: int
    window: int


def memory_free() -> int:
    """Bytes of memory that a new process could have now, without pushing others out."""
    free = memory_limit() // 2
    with suppress(OSError, ValueError, IndexError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    with suppress(AttributeError, ValueError, OSError):
        if not Path("/proc/meminfo").exists():  # not Linux: what lies idle there is not counted, so it is less
            free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    group = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):
        most, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        free = min(free, most - used + int(stat.get("inactive_file", 0)))  # files read before can be let go
    return max(free, 1)


def shares_of(memory: float, row_bytes: float) -> Shares:
    """Divide memory among what a streamed run holds of the data.

    Parameters
    ----------
    memory : float
        Bytes of data to hold at once.
    row_bytes : float
        Bytes of one row in memory.

    Examples
    --------
    >>> shares_of(GIB, 1000.0)
    Shares(sample=134217, held=67108, window=67108)
    >>> shares_of(1000, 1000.0)
    Shares(sample=2000, held=1000, window=1)
    """
    # The whole is passed eight times over: a row is a piece of a file, of a frame and of a tensor in turn, and the
    # sample is gathered in twice its size.
    rows = memory / max(row_bytes, 1.0)
    return Shares(
        sample=int(min(SAMPLE_ROWS, max(rows / 8, LEAST_SAMPLE))),
        held=int(min(HELD_ROWS, max(rows / 16, LEAST_HELD))),
        window=int(min(WINDOW_ROWS, max(rows / 16, 1))),
    )
