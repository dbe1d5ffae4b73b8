"""Further slices of real data, read as `data` does: cut-out objects, novels, genres, faces."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import data  # noqa: F401  (puts the folder of `loaders` on the path)
import numpy as np
import pandas as pd
from loaders import _home

sys.path.append(str(Path(__file__).resolve().parent.parent / "seen"))  # loaders that earlier programs came with
from data_acre import cutouts  # noqa: E402
from data_birch import molecules, paragraphs, spoken  # noqa: E402

__all__ = ["austen", "cutouts", "faces", "genres", "molecules", "paragraphs", "spoken", "stamps"]


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


def faces() -> tuple[np.ndarray, np.ndarray]:
    """100 faces (1) and 100 other pictures (0): uint8 (200, 25, 25)."""
    with np.load(_home() / "vision" / "lfw_subset_25x25.npz") as z:
        return z["x"].copy(), z["y"].astype(np.int64)


def genres(films: int = 1500, least: int = 60) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The films with most ratings: stars by user (0: none), genres as 0 or 1, their names."""
    with np.load(_home() / "recsys" / "ml_latest_small_2016.npz") as z:
        user, movie, stars = z["user"], z["movie"], z["rating"]
    frame = pd.read_csv(_home() / "recsys" / "ml_latest_small_2016_movies.tsv.gz", sep="\t")
    top = pd.Series(movie).value_counts().index[:films]
    frame = frame[frame["movieId"].isin(top)].reset_index(drop=True)
    number = {m: i for i, m in enumerate(frame["movieId"])}
    keep = np.isin(movie, frame["movieId"].to_numpy())
    grid = np.zeros((len(frame), int(user.max()) + 1), dtype=np.float32)
    grid[[number[m] for m in movie[keep]], user[keep]] = stars[keep]
    flags = frame["genres"].str.get_dummies("|")
    flags = flags[[c for c in flags if flags[c].sum() >= least]]
    return grid, flags.to_numpy(np.float32), list(flags)
