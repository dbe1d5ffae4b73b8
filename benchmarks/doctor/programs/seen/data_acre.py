"""One more slice of real data, read as `data` does: cut-out objects on textures, with their outlines."""

from __future__ import annotations

import data  # noqa: F401  (puts the folder of `loaders` on the path)
import numpy as np
from loaders import _home

__all__ = ["cutouts"]


def cutouts(n: int = 500, side: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Objects in the middle of a piece of gravel, grass or brick: uint8 (n, side, side, 3) and masks of 0 and 1."""
    with np.load(_home() / "vision" / "stamps64.npz") as z:
        rgba, category = z["x"].astype(np.float32), z["category"]
    with np.load(_home() / "vision" / "photos.npz") as z:
        grounds = [z[name].astype(np.float32) for name in ("gravel", "grass", "brick")]
    cover = rgba[..., 3].mean((1, 2)) / 255
    rgba = rgba[(cover > 0.2) & (cover < 0.75) & (np.bincount(category)[category] < 249)]
    rng = np.random.default_rng(seed)
    rgba = rgba[rng.permutation(len(rgba))[:n]]
    places = np.linspace(0, 63, side).round().astype(int)
    rgba = rgba[:, places][:, :, places]
    alpha = rgba[..., 3:] / 255
    ground = np.empty((len(rgba), side, side, 1), np.float32)
    for i in range(len(rgba)):
        photo = grounds[rng.integers(len(grounds))]
        top, left = rng.integers(0, 512 - side, 2)
        ground[i, :, :, 0] = photo[top : top + side, left : left + side]
    pictures = rgba[..., :3] * alpha + ground * (1 - alpha)
    return pictures.astype(np.uint8), (alpha[..., 0] > 0.5).astype(np.int64)
