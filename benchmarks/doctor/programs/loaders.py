"""Small slices of real data for the programs beside this file: arrays and frames, read once, given as copies.

The folder of data sets is named by the environment variable GRADUS_DATA; scikit-learn's embedded sets need none.
"""

from __future__ import annotations

import gzip
import io
import os
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

__all__ = [
    "chorales",
    "cifar",
    "emoji",
    "fashion",
    "mnist",
    "motions",
    "names",
    "peptides",
    "power",
    "pronunciations",
    "ratings",
    "sentences",
    "series",
    "shakespeare",
    "splice",
    "table",
    "vowels",
]


def _home() -> Path:
    named = os.environ.get("GRADUS_DATA")
    if not named or not Path(named).is_dir():
        raise FileNotFoundError("set the environment variable GRADUS_DATA to the folder that holds the data sets")
    return Path(named)


@lru_cache(maxsize=4)
def _pictures(name: str) -> tuple[np.ndarray, ...]:
    with np.load(_home() / "vision" / f"{name}.npz") as z:
        return tuple(z[key][:12000] for key in ("x_train", "y_train", "x_test", "y_test"))


def mnist(n: int = 2000, n_valid: int = 1000) -> tuple[np.ndarray, ...]:
    """Handwritten digits: `x, y, x_valid, y_valid`; x is uint8 (n, 28, 28), y int64."""
    x, y, xv, yv = _pictures("mnist")
    return x[:n].copy(), y[:n].astype(np.int64), xv[:n_valid].copy(), yv[:n_valid].astype(np.int64)


def fashion(n: int = 2000, n_valid: int = 1000) -> tuple[np.ndarray, ...]:
    """Return pictures of clothes, as `mnist` returns digits."""
    x, y, xv, yv = _pictures("fashion_mnist")
    return x[:n].copy(), y[:n].astype(np.int64), xv[:n_valid].copy(), yv[:n_valid].astype(np.int64)


@lru_cache(maxsize=1)
def _cifar() -> tuple[np.ndarray, ...]:
    kept = Path(tempfile.gettempdir()) / "gradus_doctor_cifar_v1.npz"
    if kept.exists():
        with np.load(kept) as z:
            return z["x"], z["y"], z["xv"], z["yv"]
    from PIL import Image

    frame = pd.read_parquet(_home() / "vision" / "cifar10_jpeg.parquet")
    classes = sorted(frame["label"].unique())
    found = []
    for split, count in (("train", 500), ("test", 200)):
        part = frame[frame["split"] == split].groupby("label", sort=True).head(count)
        part = part.sample(frac=1.0, random_state=0)
        found.append(np.stack([np.asarray(Image.open(io.BytesIO(b)).convert("RGB")) for b in part["image"]]))
        found.append(part["label"].map(classes.index).to_numpy(np.int64))
    beside = kept.with_suffix(f".{os.getpid()}.npz")
    try:
        np.savez(beside, x=found[0], y=found[1], xv=found[2], yv=found[3])
        beside.replace(kept)
    except OSError:  # a read-only machine reads the JPEGs each time
        pass
    return tuple(found)


def cifar(n: int = 2000, n_valid: int = 1000, classes: tuple[int, ...] | None = None) -> tuple[np.ndarray, ...]:
    """Colour photographs: x is uint8 (n, 32, 32, 3); with `classes`, only those, numbered from 0."""
    x, y, xv, yv = _cifar()
    if classes is not None:
        keep, keep_valid = np.isin(y, classes), np.isin(yv, classes)
        x, y, xv, yv = x[keep], y[keep], xv[keep_valid], yv[keep_valid]
        number = {c: i for i, c in enumerate(classes)}
        y, yv = (np.array([number[int(c)] for c in values], dtype=np.int64) for values in (y, yv))
    return x[:n].copy(), y[:n].copy(), xv[:n_valid].copy(), yv[:n_valid].copy()


def emoji() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Emoji: uint8 (7562, 32, 32, 3), category 0..8, and the short name to split by."""
    with np.load(_home() / "vision" / "emoji32.npz") as z:
        return z["x"], z["category"].astype(np.int64), z["short_name"]


def _text(name: str) -> str:
    return gzip.decompress((_home() / "text" / name).read_bytes()).decode("utf-8")


def shakespeare(n: int = 100_000, skip: int = 0) -> str:
    """Return n characters of Shakespeare's plays, after `skip` of them."""
    return _text("tinyshakespeare.txt.gz")[skip : skip + n]


def _tsv(*parts: str) -> pd.DataFrame:
    return pd.read_csv(_home().joinpath(*parts), sep="\t", keep_default_na=False, quoting=3)


def names(locales: tuple[str, ...], kind: str = "L", n: int = 500, seed: int = 0) -> list[tuple[str, int]]:
    """Up to n names of each locale, as (name, number of the locale), in random order."""
    frame = _tsv("text", "names_by_locale.tsv.gz")
    rows = []
    for i, locale in enumerate(locales):
        chosen = frame[(frame["locale"] == locale) & (frame["kind"] == kind)]["name"].drop_duplicates()
        rows += [(name, i) for name in chosen.sample(frac=1.0, random_state=seed)[:n]]
    order = np.random.default_rng(seed).permutation(len(rows))
    return [rows[i] for i in order]


def pronunciations(n: int = 3000, seed: int = 0) -> list[tuple[str, list[str]]]:
    """Words with their phonemes (without stress), in random order."""
    frame = _tsv("text", "cmudict.tsv.gz")
    frame = frame[frame["word"].str.fullmatch("[a-z]{3,10}")].sample(n=n, random_state=seed)
    return [(w, [p.rstrip("012") for p in a.split()]) for w, a in zip(frame["word"], frame["arpabet"], strict=True)]


def sentences(domain: str = "movie", n: int = 2000, seed: int = 0) -> list[tuple[str, float]]:
    """Sentences with the mean of 20 people's rating of their mood, -4 to 4."""
    frame = _tsv("text", "sentiment_vader_4domains.tsv.gz")
    frame = frame[frame["domain"].str.startswith(domain)]
    frame = frame.sample(n=min(n, len(frame)), random_state=seed)
    return [(str(t), float(r)) for t, r in zip(frame["text"], frame["mean_rating_-4_4"], strict=True)]


def splice(n: int = 2000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pieces of DNA: int64 (n, 60) with A, C, G, T as 0..3, and 0 none, 1 donor (EI), 2 acceptor (IE)."""
    frame = _tsv("bio", "splice_junctions.tsv.gz").drop_duplicates("sequence60")
    frame = frame[frame["sequence60"].str.fullmatch("[ACGT]{60}")].sample(frac=1.0, random_state=seed)[:n]
    x = np.array([["ACGT".index(c) for c in s] for s in frame["sequence60"]], dtype=np.int64)
    return x, frame["class"].map({"N": 0, "EI": 1, "IE": 2}).to_numpy(np.int64)


def peptides(n: int = 2000, seed: int = 0) -> list[tuple[str, int]]:
    """Peptides that kill microbes (1) and others (0)."""
    frame = _tsv("bio", "peptides_modlamp.tsv.gz")
    frame = frame[frame["set"] == "AMPvsUniProt"].drop_duplicates("sequence", keep=False)
    frame = frame.sample(n=min(n, len(frame)), random_state=seed)
    return [(s, int(y)) for s, y in zip(frame["sequence"], frame["y"], strict=True)]


def table(name: str) -> pd.DataFrame:
    """Return a table of the folder `tabular`."""
    return pd.read_csv(_home() / "tabular" / f"{name}.csv.gz")


def series(name: str) -> pd.DataFrame:
    """Return a table of the folder `timeseries`."""
    return pd.read_csv(_home() / "timeseries" / f"{name}.csv.gz")


def _archive(name: str) -> tuple[np.ndarray, ...]:
    with np.load(_home() / "timeseries" / f"{name}.npz") as z:
        classes = sorted(set(z["y_train"].tolist()))
        number = {c: i for i, c in enumerate(classes)}
        y, yv = (np.array([number[c] for c in z[k].tolist()], dtype=np.int64) for k in ("y_train", "y_test"))
        return z["x_train"], y, z["len_train"].astype(np.int64), z["x_test"], yv, z["len_test"].astype(np.int64)


def vowels() -> tuple[np.ndarray, ...]:
    """Nine men say two vowels: `x, y, lengths` twice; x float32 (n, 12, time), NaN after the end."""
    return _archive("JapaneseVowels")


def motions() -> tuple[np.ndarray, ...]:
    """Four movements, from a watch's sensors: `x, y` twice; x float32 (40, 6, 100)."""
    x, y, _, xv, yv, _ = _archive("BasicMotions")
    return x, y, xv, yv


def power() -> tuple[np.ndarray, ...]:
    """A day's demand of electricity in Italy, winter or summer: `x, y` twice; x float32 (n, 24)."""
    x, y, _, xv, yv, _ = _archive("ItalyPowerDemand")
    return x[:, 0], y, xv[:, 0], yv


def ratings(n: int = 20_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ratings of films: user, film (both numbered from 0) and 0.5 to 5 stars."""
    with np.load(_home() / "recsys" / "ml_latest_small_2016.npz") as z:
        user, film, stars = (z[k] for k in ("user", "movie", "rating"))
    pick = np.random.default_rng(seed).permutation(len(user))[:n]
    user = np.unique(user, return_inverse=True)[1][pick]
    film = np.unique(film, return_inverse=True)[1][pick]
    return user.astype(np.int64), film.astype(np.int64), stars[pick]


def chorales(n: int = 20_000) -> np.ndarray:
    """Bach's chorales in sixteenths: int8 (n, 4), pitches of four voices, -1 for rests."""
    with np.load(_home() / "music" / "bach_chorales.npz") as z:
        return z["pitch"][:n]
