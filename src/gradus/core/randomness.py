"""Seeds: drawn once, split by name, and the global generators left as they were found."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = ["default_generator", "derive", "generator", "isolated", "resolve_seed"]


def resolve_seed(random_state: int | np.random.RandomState | np.random.Generator | None) -> int:
    """Turn scikit-learn's ``random_state`` into one seed in ``[0, 2**32)``.

    ``None`` draws entropy from the operating system and leaves NumPy's global generator alone.

    Examples
    --------
    >>> resolve_seed(7)
    7
    """
    if random_state is None:
        return secrets.randbits(32)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(0, 2**32, dtype=np.uint64))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(0, 2**32))
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool):
        if 0 <= int(random_state) < 2**32:
            return int(random_state)
        received = str(random_state)
    else:
        received = repr(random_state)
    from gradus.core.errors import SettingError

    raise SettingError(
        "random_state to be None, an integer in [0, 2**32) or a NumPy generator", received, "pass for example 0"
    )


def derive(seed: int, *keys: Any) -> int:
    """Derive an independent 63-bit seed from ``seed`` and any printable keys; pure and stable across versions.

    Examples
    --------
    >>> derive(0, "shuffle", 3) == derive(0, "shuffle", 3) != derive(0, "shuffle", 4)
    True
    """
    text = "/".join([str(seed), *map(str, keys)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a torch generator on ``device`` seeded with ``seed``."""
    return torch.Generator(device=device).manual_seed(seed)


def default_generator(device: torch.device | str = "cpu") -> torch.Generator:
    """Return torch's global generator of a device, from which dropout on it draws.

    Examples
    --------
    >>> default_generator() is torch.default_generator
    True
    """
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.init()
        return torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]
    if device.type == "mps":
        return torch.mps._get_default_mps_generator()
    return torch.default_generator


@contextmanager
def isolated(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch's global generators inside the block (dropout draws from them) and restore them after."""
    sources = [torch.default_generator]
    if torch.device(device).type != "cpu":
        sources.append(default_generator(device))
    states = [source.get_state() for source in sources]
    try:
        for source in sources:
            source.manual_seed(seed)
        yield
    finally:
        for source, state in zip(sources, states, strict=True):
            source.set_state(state)
