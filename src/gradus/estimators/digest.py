"""A digest of data and settings: which fit a checkpoint belongs to."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from gradus.core.options import settings_of

if TYPE_CHECKING:
    from gradus.data.batches import Batch

__all__ = ["digest"]

# Settings that do not change which steps are taken, only how many, where and how loudly.
FREE = {
    *("max_epochs", "max_steps", "max_time", "checkpoint", "checkpoint_every", "verbose"),
    *("n_threads", "device", "compile", "cuda_graphs", "shard"),
}


def digest(estimator: Any, tensors: Batch) -> str:
    """Return the SHA-256 of an estimator's class and settings, the seed in force and the training tensors.

    Budgets are left out, so that a run can be taken up with a larger one; but a schedule that is a function of the
    budget (cosine, one-cycle) takes the new budget from there on.
    """
    hasher = hashlib.sha256(type(estimator).__qualname__.encode())
    for name in sorted(settings_of(type(estimator))):
        if name not in FREE | {"random_state"}:
            hasher.update(f"{name}={_plain(getattr(estimator, name))!r};".encode())
    hasher.update(str(estimator.seed_).encode())
    for name, tensor in tensors.items():
        hasher.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        hasher.update(tensor.detach().cpu().contiguous().view(-1).numpy().tobytes())
    return hasher.hexdigest()


def _plain(value: Any) -> Any:
    """Write one value in one way: a NumPy number as a number, a list as a tuple."""
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    if isinstance(value, dict):
        return sorted((repr(_plain(key)), _plain(item)) for key, item in value.items())
    return value.item() if isinstance(value, np.generic) else value
