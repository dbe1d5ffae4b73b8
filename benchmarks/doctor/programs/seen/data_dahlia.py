"""Further slices of real data, read as `data` does: cut-out objects, novels."""

from __future__ import annotations

import gzip

import data  # noqa: F401  (puts the folder of `loaders` on the path)
import numpy as np
from data_acre import cutouts
from data_birch import molecules, paragraphs, spoken
from loaders import _home

__all__ = ["austen", "cutouts", "molecules", "paragraphs", "spoken", "stamps"]


def stamps(side: int = 32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut-out objects: uint8 (n, side, side, 4) with alpha, number of the category, number of the folder."""
    with np.load(_home() / "vision" / "stamps64.npz") as z:
        x, category, folder = z["x"], z["category"], z["folder"]
    step = 64 // side
    return x[:, ::step, ::step].copy(), category.astype(np.int64), folder.astype(np.int64)


def austen(n: int = 60_000, skip: int = 2000) -> str:
    """Return n characters of Jane Austen's novels, after `skip` of them."""
    with gzip.open(_home() / "text" / "austen.txt.gz", "rt", encoding="utf-8") as f:
        return f.read(skip + n)[skip:]
