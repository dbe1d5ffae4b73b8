"""More slices of real data, read as `data` does: declarations, first names, novels and photographs."""

from __future__ import annotations

import gzip
from functools import lru_cache

import data  # noqa: F401  (puts the folder of `loaders` on the path)
import numpy as np
import pandas as pd
from loaders import _home

__all__ = ["austen", "declarations", "given_names", "photo"]


def _tsv(name: str) -> pd.DataFrame:
    with gzip.open(_home() / "text" / name, "rt", encoding="utf-8") as f:
        return pd.read_csv(f, sep="\t", keep_default_na=False, quoting=3)


@lru_cache(maxsize=1)
def _udhr() -> pd.DataFrame:
    return _tsv("udhr.tsv.gz")


def declarations(languages: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """Paragraphs of the Declaration of Human Rights: (language's code, section, text), in the text's order."""
    frame = _udhr()
    frame = frame[frame["iso6393"].isin(languages)]
    frame = frame[frame["code"].isin(frame.groupby("iso6393")["code"].first())]
    return list(zip(frame["iso6393"], frame["section"].astype(str), frame["text"], strict=True))


def given_names(n: int = 4000, seed: int = 0) -> list[tuple[str, str]]:
    """First names of Latin letters with M or F, in random order."""
    frame = _tsv("first_names_gender_country.tsv.gz")
    frame = frame[frame["gender"].isin(["M", "F"]) & frame["name"].str.fullmatch("[A-Za-z]{3,12}")]
    frame = frame.drop_duplicates("name", keep=False).sample(n=n, random_state=seed)
    return list(zip(frame["name"].str.lower(), frame["gender"], strict=True))


@lru_cache(maxsize=1)
def _austen() -> str:
    with gzip.open(_home() / "text" / "austen.txt.gz", "rt", encoding="utf-8") as f:
        return f.read()


def austen(n: int = 100_000, skip: int = 0) -> str:
    """Return n characters of Jane Austen's novels, after `skip` of them."""
    return _austen()[skip : skip + n]


def photo(name: str = "camera") -> np.ndarray:
    """Return a grey photograph: float32 (height, width), 0 to 1."""
    with np.load(_home() / "vision" / "photos.npz") as z:
        one = z[name].astype(np.float32) / 255
    return one.mean(-1) if one.ndim == 3 else one
