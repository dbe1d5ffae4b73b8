"""More slices of real data, read as `data` does: stamps, faces, patches, verses, films and diseases."""

from __future__ import annotations

import gzip
from functools import lru_cache

import data  # noqa: F401  (puts the folder of `loaders` on the path)
import numpy as np
import pandas as pd
from loaders import _home

__all__ = ["diseases", "faces", "films", "patches", "stamps", "verses"]


def stamps(n: int = 700, side: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Cut-out pictures somewhere on a photograph's texture, uint8 (n, side, side, 3), and masks of 0 and 1."""
    with np.load(_home() / "vision" / "stamps64.npz") as z:
        rgba, category = z["x"].astype(np.float32), z["category"]
    with np.load(_home() / "vision" / "photos.npz") as z:
        ground = [z[k].astype(np.float32) for k in ("gravel", "grass", "brick")]
    opaque = rgba[..., 3].mean((1, 2)) / 255
    rgba = rgba[(opaque > 0.15) & (opaque < 0.8) & (np.bincount(category)[category] < 249)]
    rng = np.random.default_rng(0)
    rgba = rgba[rng.permutation(len(rgba))[:n]]
    rgba = rgba[:, :63, :63].reshape(len(rgba), 21, 3, 21, 3, 4).mean((2, 4))
    pictures, masks = [], []
    for one in rgba:
        photo = ground[rng.integers(len(ground))]
        i, j = rng.integers(0, 512 - side, 2)
        top, left = rng.integers(0, side - 21 + 1, 2)
        canvas = np.zeros((side, side, 4), np.float32)
        canvas[top : top + 21, left : left + 21] = one
        alpha = canvas[..., 3:] / 255
        pictures.append(canvas[..., :3] * alpha + photo[i : i + side, j : j + side, None] * (1 - alpha))
        masks.append(alpha[..., 0] > 0.5)
    return np.stack(pictures).astype(np.uint8), np.stack(masks).astype(np.int64)


def faces() -> tuple[np.ndarray, np.ndarray]:
    """Faces and other things: uint8 (200, 25, 25), 1 for a face, in random order."""
    with np.load(_home() / "vision" / "lfw_subset_25x25.npz") as z:
        x, y = z["x"], z["y"]
    order = np.random.default_rng(0).permutation(len(x))
    return x[order], y[order].astype(np.int64)


def patches(name: str = "camera", side: int = 16, n: int = 2000, seed: int = 0) -> np.ndarray:
    """Random patches of a grey photograph: float32 (n, side, side), 0 to 1."""
    with np.load(_home() / "vision" / "photos.npz") as z:
        photo = z[name].astype(np.float32) / 255
    if photo.ndim == 3:
        photo = photo.mean(-1)
    rng = np.random.default_rng(seed)
    corners = zip(rng.integers(0, photo.shape[0] - side, n), rng.integers(0, photo.shape[1] - side, n), strict=True)
    return np.stack([photo[i : i + side, j : j + side] for i, j in corners])


@lru_cache(maxsize=1)
def _bible() -> pd.DataFrame:
    with gzip.open(_home() / "text" / "bible_en_es.tsv.gz", "rt", encoding="utf-8") as f:
        return pd.read_csv(f, sep="\t", keep_default_na=False, quoting=3)


def verses(n: int = 3000, seed: int = 0) -> list[tuple[str, str]]:
    """Verses of the Bible in English (WEB) and Spanish, in random order."""
    frame = _bible()
    english, spanish = "web", "es_rv1909"
    long = frame[english].str.len() / frame[spanish].str.len().clip(lower=1)
    frame = frame[(long > 0.6) & (long < 1.7)].sample(n=n, random_state=seed)
    return list(zip(frame[english], frame[spanish], strict=True))


def films() -> list[tuple[str, int, list[str]]]:
    """Films: title, year and genres."""
    frame = pd.read_csv(_home() / "recsys" / "ml_latest_small_2016_movies.tsv.gz", sep="\t", keep_default_na=False)
    rows = zip(frame["title"], frame["year"], frame["genres"], strict=True)
    return [(str(t), int(y), g.split("|")) for t, y, g in rows if str(y).isdigit()]


def diseases(name: str = "Measles") -> pd.DataFrame:
    """Cases of a disease by state and year, rows with a count and a population only."""
    frame = pd.read_csv(_home() / "timeseries" / "us_contagious_diseases.csv.gz")
    return frame[frame["disease"] == name].dropna().reset_index(drop=True)
