"""More small slices of real data, beside those of `data`; read from the folder that GRADUS_DATA names."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd


def _home() -> Path:
    return Path(os.environ["GRADUS_DATA"])


@lru_cache(maxsize=1)
def _stars() -> tuple[np.ndarray, pd.DataFrame]:
    with np.load(_home() / "recsys" / "ml_latest_small_2016.npz") as z:
        user, movie, rating = z["user"], z["movie"], z["rating"]
    films = pd.read_csv(_home() / "recsys" / "ml_latest_small_2016_movies.tsv.gz", sep="\t")
    count = pd.Series(movie).value_counts()
    films = films[films["movieId"].isin(count.index[:2000]) & (films["genres"] != "(no genres listed)")]
    number = {m: i for i, m in enumerate(films["movieId"])}
    keep = np.isin(movie, films["movieId"].to_numpy())
    grid = np.zeros((len(films), int(user.max()) + 1), dtype=np.float32)
    grid[[number[m] for m in movie[keep]], user[keep]] = rating[keep]
    return grid, films.reset_index(drop=True)


def films(least: int = 60) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """The 2000 films with most ratings: stars by user (0: none), genres as 0/1, names of genres, titles."""
    grid, frame = _stars()
    flags = frame["genres"].str.get_dummies("|")
    flags = flags[[c for c in flags if flags[c].sum() >= least]]
    return grid.copy(), flags.to_numpy(np.float32), list(flags), [str(t) for t in frame["title"]]


def diseases(disease: str) -> pd.DataFrame:
    """Weekly reports summed by year and state: columns state, year, count, population."""
    frame = pd.read_csv(_home() / "timeseries" / "us_contagious_diseases.csv.gz")
    frame = frame[(frame["disease"] == disease) & frame["population"].notna()]
    return frame.sort_values(["state", "year"]).reset_index(drop=True)


def first_names(n: int = 3000, seed: int = 0) -> list[tuple[str, int]]:
    """First names of women (1) and men (0) in Latin letters, in random order."""
    frame = pd.read_csv(
        _home() / "text" / "first_names_gender_country.tsv.gz", sep="\t", keep_default_na=False, quoting=3
    )
    frame = frame[frame["gender"].isin(["M", "F"]) & frame["name"].str.fullmatch("[A-Za-z]{3,12}")]
    frame = frame.drop_duplicates("name", keep=False).sample(n=n, random_state=seed)
    return [(name.lower(), int(g == "F")) for name, g in zip(frame["name"], frame["gender"], strict=True)]


def molecules(n: int = 3000, seed: int = 0) -> list[tuple[str, float]]:
    """Molecules as SMILES with their polar surface area."""
    frame = pd.read_csv(_home() / "bio" / "nci_smiles_tpsa.tsv.gz", sep="\t")
    frame = frame[frame["smiles"].str.len() <= 60].sample(frac=1.0, random_state=seed)[:n]
    return [(str(s), float(t)) for s, t in zip(frame["smiles"], frame["tpsa"], strict=True)]


def digits8() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Digits of 8 x 8 pixels (0 to 16), the official halves: `x, y, x_valid, y_valid`."""
    with np.load(_home() / "vision" / "optdigits.npz") as z:
        x, y = z["x"], z["y"].astype(np.int64)
    return x[:3823], y[:3823], x[3823:], y[3823:]


def leukaemia() -> tuple[np.ndarray, np.ndarray]:
    """Expression of 2000 genes in 128 patients, and whether it is the T-cell form."""
    with np.load(_home() / "bio" / "leukaemia_ALL_2000genes.npz") as z:
        return z["x"], np.array([b[0] == "T" for b in z["BT"]], dtype=np.int64)
