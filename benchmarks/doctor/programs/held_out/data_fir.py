"""More slices of real data, read as `data` does: objects somewhere in a picture, novels."""

from __future__ import annotations

import data  # noqa: F401  (puts the folder of `loaders` on the path)
import numpy as np
from data_dahlia import austen as novel
from loaders import _home

__all__ = ["novel", "placed"]


def placed(n: int = 600, side: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut-out objects somewhere on a piece of a photograph: uint8 (n, side, side, 3), boxes x0 y0 x1 y1, masks."""
    with np.load(_home() / "vision" / "stamps64.npz") as z:
        rgba, category = z["x"].astype(np.float32), z["category"]
    with np.load(_home() / "vision" / "photos.npz") as z:
        grounds = [z[name].astype(np.float32) for name in ("gravel", "grass", "brick")]
    cover = rgba[..., 3].mean((1, 2)) / 255
    rgba = rgba[(cover > 0.2) & (np.bincount(category)[category] < 249)]
    rng = np.random.default_rng(seed)
    pictures = np.empty((n, side, side, 3), np.uint8)
    boxes = np.empty((n, 4), np.float32)
    masks = np.zeros((n, side, side), np.uint8)
    for i in range(n):
        photo = grounds[rng.integers(len(grounds))]
        top, left = rng.integers(0, 512 - side, 2)
        canvas = np.repeat(photo[top : top + side, left : left + side, None], 3, 2)
        size = int(rng.integers(side * 2 // 5, side * 7 // 10))
        at = np.linspace(0, 63, size).round().astype(int)
        thing = rgba[rng.integers(len(rgba))][at][:, at]
        y, x = rng.integers(0, side - size + 1, 2)
        alpha = thing[..., 3:] / 255
        canvas[y : y + size, x : x + size] = thing[..., :3] * alpha + canvas[y : y + size, x : x + size] * (1 - alpha)
        pictures[i] = canvas.astype(np.uint8)
        masks[i, y : y + size, x : x + size] = alpha[..., 0] > 0.5
        rows, columns = masks[i].any(1).nonzero()[0], masks[i].any(0).nonzero()[0]
        boxes[i] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return pictures, boxes, masks
