"""Weights that are exchanged for others for a while: what holds under all of them is not their doing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["put_back", "redraw"]


@contextmanager
def put_back(tensors: Iterable[Tensor]) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Give each tensor with a copy of it, and put all back at the end.

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> before = layer.weight.tolist()
    >>> with put_back(layer.parameters()) as pairs, torch.no_grad():
    ...     for p, value in pairs:
    ...         _ = p.copy_(2 * value)
    >>> layer.weight.tolist() == before
    True
    """
    pairs = [(t, t.detach().clone()) for t in tensors]
    try:
        yield pairs
    finally:
        with torch.no_grad():
            for t, value in pairs:
                t.copy_(value)


@torch.no_grad()
def redraw(module: nn.Module, scale: float, generator: torch.Generator) -> None:
    """Draw all parameters anew, with a spread of ``scale`` over the root of the numbers that a unit reads."""
    for p in module.parameters():
        fan = p[0].numel() if p.ndim > 1 else p.numel()
        p.copy_(torch.randn(p.shape, generator=generator).to(p) * scale / max(fan, 1) ** 0.5)
