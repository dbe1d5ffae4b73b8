"""How many threads compute: measured, recorded, and restored after.

A small network on two threads was measured fifty times slower than on one when another process was busy, and a large
one nearly twice as fast on two. Which holds can only be measured. One and two threads differ in the last bits of a
sum, so the number is part of a run's record and a resumed run computes with the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

import torch

from gradus.core.errors import SettingError

__all__ = ["candidates", "measure_threads", "threads"]


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Compute with ``n`` intra-op threads inside the block; restore the number found.

    Examples
    --------
    >>> before = torch.get_num_threads()
    >>> with threads(1):
    ...     torch.get_num_threads()
    1
    >>> torch.get_num_threads() == before
    True
    """
    if n < 1:
        raise SettingError("n_threads to be 1 or more", str(n), "set n_threads='auto'")
    before = torch.get_num_threads()
    if n != before:
        torch.set_num_threads(n)
    try:
        yield
    finally:
        if n != before:
            torch.set_num_threads(before)


def candidates(limit: int | None = None) -> list[int]:
    """Thread counts worth trying, ``1, 2, 4, ...`` up to ``limit`` (the number in force by default)."""
    limit = torch.get_num_threads() if limit is None else limit
    counts = [1]
    while counts[-1] * 2 <= limit:
        counts.append(counts[-1] * 2)
    return counts if counts[-1] == limit else [*counts, limit]


def measure_threads(work: Callable[[], object], *, seconds: float = 0.06, gain: float = 1.15) -> int:
    """Return the number of threads on which ``work()`` runs fastest.

    The candidates take turns, so that a machine that slows down meanwhile slows all of them; more threads must win by
    the factor ``gain`` in the median to be chosen, since idle cores are worth something to others.

    Parameters
    ----------
    work : callable
        A side-effect-free piece of the real work, such as one forward and backward pass.
    seconds : float
        Time to spend, in seconds; three turns of each candidate are taken at least.
    gain : float
        Speed-up over fewer threads that justifies more of them.
    """
    counts = candidates()
    if len(counts) == 1:
        return 1
    times: dict[int, list[float]] = {n: [] for n in counts}
    with threads(1):
        work()  # lazy initialization is not part of the measurement
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or len(times[counts[-1]]) < 3:
        for n in counts:
            with threads(n):
                start = time.perf_counter()
                work()
                times[n].append(time.perf_counter() - start)
    best = 1
    for n in counts[1:]:
        if median(times[best]) > gain * median(times[n]):
            best = n
    return best
