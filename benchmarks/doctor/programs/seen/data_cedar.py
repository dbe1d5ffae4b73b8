"""Further small slices of real data, read from the folder that GRADUS_DATA names."""

from __future__ import annotations

import gzip
import io
import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd


def _home() -> Path:
    return Path(os.environ["GRADUS_DATA"])


@lru_cache(maxsize=1)
def _udhr() -> pd.DataFrame:
    raw = gzip.decompress((_home() / "text" / "udhr.tsv.gz").read_bytes()).decode("utf-8")
    return pd.read_csv(io.StringIO(raw), sep="\t", keep_default_na=False, quoting=3)


def declaration(languages: tuple[str, ...]) -> pd.DataFrame:
    """Paragraphs of the declaration of human rights: columns iso6393, section (the article), text."""
    frame = _udhr()
    frame = frame[frame["iso6393"].isin(languages) & (frame["text"].str.len() > 40)]
    return frame[["iso6393", "section", "text"]].reset_index(drop=True)


def first_names(n: int = 4000, seed: int = 0) -> pd.DataFrame:
    """First names in Latin letters, in random order: columns name (lower case), gender (M or F)."""
    path = _home() / "text" / "first_names_gender_country.tsv.gz"
    frame = pd.read_csv(path, sep="\t", keep_default_na=False, quoting=3)
    frame = frame[frame["gender"].isin(["M", "F"]) & frame["name"].str.fullmatch("[A-Za-z]{3,12}")]
    frame = frame.drop_duplicates("name", keep=False).sample(n=n, random_state=seed)
    return frame.assign(name=frame["name"].str.lower())[["name", "gender"]].reset_index(drop=True)


def molecules(n: int = 3000, longest: int = 60, seed: int = 0) -> pd.DataFrame:
    """Molecules, in random order: columns smiles, tpsa (polar surface area)."""
    frame = pd.read_csv(_home() / "bio" / "nci_smiles_tpsa.tsv.gz", sep="\t")
    frame = frame[frame["smiles"].str.len() <= longest].sample(frac=1.0, random_state=seed)[:n]
    return frame.reset_index(drop=True)


def small_digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Digits of 8 x 8 pixels (0 to 16), the official parts: `x, y, x_test, y_test`."""
    with np.load(_home() / "vision" / "optdigits.npz") as z:
        x, y = z["x"], z["y"].astype(np.int64)
    return x[:3823].copy(), y[:3823].copy(), x[3823:].copy(), y[3823:].copy()


def genes() -> tuple[np.ndarray, np.ndarray]:
    """Expression of 2000 genes in 128 patients, and the letter of their leukaemia's cells (B, T)."""
    with np.load(_home() / "bio" / "leukaemia_ALL_2000genes.npz") as z:
        return z["x"].copy(), np.array([b[0] for b in z["BT"]])


def verses(n: int = 3000, seed: int = 0) -> list[tuple[str, str]]:
    """Verses of the Bible with the name of their book, in random order."""
    raw = gzip.decompress((_home() / "text" / "bible_en_es.tsv.gz").read_bytes()).decode("utf-8")
    frame = pd.read_csv(io.StringIO(raw), sep="\t", keep_default_na=False, quoting=3)
    frame = frame[frame["web"].str.len() > 60].sample(n=n, random_state=seed)
    return list(zip(frame["web"], frame["book"], strict=True))


def recordings(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Classified time series of one channel (GunPoint, ACSF1, ...): `x, y, x_test, y_test`; y numbered from 0."""
    with np.load(_home() / "timeseries" / f"{name}.npz") as z:
        classes, y = np.unique(z["y_train"], return_inverse=True)
        return z["x_train"][:, 0].copy(), y.astype(np.int64), z["x_test"][:, 0].copy(), np.searchsorted(classes, z["y_test"])
