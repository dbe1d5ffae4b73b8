"""Watch every training inside a block, however deep it is called from.

A search or a pipeline clones the estimators it fits, so a callback handed to one of them would be lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradus.training.loop import Callback

__all__ = ["observed_by", "observers"]

_observers: ContextVar[tuple[Callback, ...]] = ContextVar("observers", default=())


@contextmanager
def observed_by(*callbacks: Callback) -> Iterator[None]:
    """Tell ``callbacks`` of every training that starts inside the block.

    Examples
    --------
    >>> from gradus.estimators.mlp import MLPClassifier
    >>> seen = []
    >>> with observed_by(lambda trainer, event: seen.append(event)):
    ...     model = MLPClassifier(max_epochs=1).fit([[0.0], [1.0]], [0, 1])
    >>> seen
    ['start', 'epoch', 'stop']
    """
    token = _observers.set((*_observers.get(), *callbacks))
    try:
        yield
    finally:
        _observers.reset(token)


def observers() -> tuple[Callback, ...]:
    """Return the callbacks of the blocks around the caller."""
    return _observers.get()
