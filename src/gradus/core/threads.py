"""How many threads compute: measured, recorded, and restored after.

A small network on two threads was measured fifty times slower than on one when another process was busy, and a large
one nearly twice as fast on two. Which holds can only be measured. One and two threads differ in the last bits of a
sum, so the number is part of a run's record and a resumed run computes with the same.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

import torch
from threadpoolctl import threadpool_limits

from gradus.core.errors import SettingError

__all__ = ["candidates", "cores", "matrix_threads", "measure_threads", "threads"]

# A call longer than this wakes its threads within itself.
WARM_UP = 5e-3
# Multiplications in a matrix product below which NumPy's threads cost more than they bring: measured on products of
# 784 x 784 x 50 (3e7), two and a half times slower on two threads than on one.
SMALL_PRODUCT = 3e8


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


@contextmanager
def matrix_threads(multiplications: float) -> Iterator[None]:
    """Let NumPy and SciPy multiply on one thread inside the block where each product is small; restore what was.

    Parameters
    ----------
    multiplications : float
        In the largest product of the block: rows times columns times what is summed over.

    Examples
    --------
    >>> import numpy as np
    >>> with matrix_threads(784 * 784 * 50):
    ...     product = np.ones((784, 784)) @ np.ones((784, 50))
    >>> float(product[0, 0])
    784.0
    """
    if multiplications >= SMALL_PRODUCT:
        yield
        return
    with threadpool_limits(1, user_api="blas"):
        yield


def cores() -> int:
    """Return the number of processor cores this process may run on, 1 or more.

    Examples
    --------
    >>> 1 <= cores() <= (os.cpu_count() or 1)
    True
    """
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux tells which of the machine's cores are ours
        return os.cpu_count() or 1


def candidates(limit: int | None = None) -> list[int]:
    """Thread counts worth trying, ``1, 2, 4, ...`` up to ``limit`` (the number in force by default)."""
    limit = torch.get_num_threads() if limit is None else limit
    counts = [1]
    while counts[-1] * 2 <= limit:
        counts.append(counts[-1] * 2)
    return counts if counts[-1] == limit else [*counts, limit]


def measure_threads(work: Callable[[], object], *, seconds: float = 0.05, gain: float = 1.15) -> int:
    """Return the number of threads on which ``work()`` runs fastest.

    The candidates take turns, so that a machine that slows down meanwhile slows all of them. Several threads are
    warmed up by as many short calls as are timed: they were asleep, on cores whose caches hold nothing of the work,
    and reach their speed only after some milliseconds. More threads must win by the factor ``gain`` in the median
    to be chosen, since idle cores are worth something to others.

    Parameters
    ----------
    work : callable
        A side-effect-free piece of the real work, such as one forward and backward pass, run once before.
    seconds : float
        Time to spend, in seconds, on two turns of each candidate; where they disagree a third is taken.
    gain : float
        Speed-up over fewer threads that justifies more of them.
    """
    counts = candidates()
    if len(counts) == 1:
        return 1
    with threads(1):
        once = max(_seconds(work, 1), 1e-9)
    calls = max(1, min(8, int(seconds / (4 * len(counts) * once))))
    warm = calls if once < WARM_UP else 0
    rounds: list[dict[int, float]] = []
    while len(rounds) < 2 or _undecided(rounds, counts, gain):
        rounds.append({n: _turn(work, n, warm if n > 1 else 0, calls) for n in counts})
    best = 1
    for n in counts[1:]:
        if median(taken[best] / taken[n] for taken in rounds) > gain:
            best = n
    return best


def _undecided(rounds: list[dict[int, float]], counts: list[int], gain: float) -> bool:
    """Whether two rounds disagree about a number of threads being worth it."""
    return len(rounds) == 2 and any(len({taken[1] > gain * taken[n] for taken in rounds}) > 1 for n in counts[1:])


def _turn(work: Callable[[], object], n: int, warm: int, calls: int) -> float:
    """Return the seconds of a call on ``n`` threads, after ``warm`` that do not count."""
    with threads(n):
        _seconds(work, warm)
        return _seconds(work, calls) / calls


def _seconds(work: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return time.perf_counter() - start
