"""More slices of real data, read as `data` does: spoken digits, paragraphs, molecules, verses, genes, films."""

from __future__ import annotations

import gzip
import os
import re
import tempfile
from functools import lru_cache
from operator import mul
from pathlib import Path

import data  # noqa: F401  (puts the folder of `loaders` on the path)
import numpy as np
import pandas as pd
from loaders import _home

__all__ = ["films", "genes", "molecules", "paragraphs", "spoken", "verses"]

FRAME = 4096  # samples a frame of the recording
SPEAKERS = ("george", "jackson", "theo")


def _tsv(*parts: str) -> pd.DataFrame:
    with gzip.open(_home().joinpath(*parts), "rt", encoding="utf-8") as f:
        return pd.read_csv(f, sep="\t", keep_default_na=False, quoting=3)


def _number(raw: bytes, at: int) -> tuple[int, int]:
    """A number coded as UTF-8 codes characters: (number, its length)."""
    lead = raw[at]
    if lead < 128:
        return lead, 1
    more = 8 - (~lead & 255).bit_length()
    if not 2 <= more <= 6:
        return -1, 1
    value = lead & ((1 << (7 - more)) - 1)
    for b in raw[at + 1 : at + more]:
        if b >> 6 != 2:
            return -1, 1
        value = value << 6 | b & 63
    return value, more


def _crc8(raw: bytes) -> int:
    c = 0
    for b in raw:
        c ^= b
        for _ in range(8):
            c = (c << 1 ^ 7) & 255 if c & 128 else c << 1
    return c


def _frames(raw: bytes) -> dict[int, tuple[int, int]]:
    """Where each frame of a mono FLAC file starts: number -> (first byte after the header, samples)."""
    found = {}
    for hit in re.finditer(rb"\xff\xf8", raw):
        at = hit.start()
        if len(raw) < at + 16 or raw[at + 3] >> 4 != 0:
            continue
        number, n = _number(raw, at + 4)
        end = at + 4 + n
        kind, samples = raw[at + 2] >> 4, FRAME
        if kind == 6:
            samples, end = raw[end] + 1, end + 1
        elif kind == 7:
            samples, end = int.from_bytes(raw[end : end + 2], "big") + 1, end + 2
        if _crc8(raw[at:end]) == raw[end]:
            found.setdefault(number, (end + 1, samples))
    return found


def _signed(bits: str) -> int:
    return int(bits, 2) - (int(bits[0]) << len(bits))


def _frame(raw: bytes, at: int, n: int) -> np.ndarray:
    """Decode one frame of 16 bits a sample."""
    s = bin(int.from_bytes(b"\x01" + raw[at : at + 2 * n + 64], "big"))[3:]
    kind, at = int(s[1:7], 2), 8
    wasted = 0
    if s[7] == "1":
        one = s.index("1", 8)
        wasted, at = one - 7, one + 1
    width = 16 - wasted
    if kind == 0:
        return np.full(n, _signed(s[at : at + width]) << wasted)
    if kind == 1:
        return np.array([_signed(s[at + i * width : at + (i + 1) * width]) << wasted for i in range(n)])
    order = kind - 8 if kind < 32 else kind - 31
    out = [_signed(s[at + i * width : at + (i + 1) * width]) for i in range(order)]
    at += order * width
    if kind < 32:
        weights, shift = [[], [1], [2, -1], [3, -3, 1], [4, -6, 4, -1]][order], 0
    else:
        precision, shift = int(s[at : at + 4], 2) + 1, _signed(s[at + 4 : at + 9])
        at += 9
        weights = [_signed(s[at + i * precision : at + (i + 1) * precision]) for i in range(order)]
        at += order * precision
    wide, parts = 5 if s[at + 1] == "1" else 4, int(s[at + 2 : at + 6], 2)
    at += 6
    rest: list[int] = []
    for part in range(1 << parts):
        k = int(s[at : at + wide], 2)
        at += wide
        count = (n >> parts) - (order if part == 0 else 0)
        if k == (1 << wide) - 1:
            raw_bits = int(s[at : at + 5], 2)
            at += 5
            rest += [_signed(s[at + i * raw_bits : at + (i + 1) * raw_bits]) if raw_bits else 0 for i in range(count)]
            at += count * raw_bits
            continue
        for _ in range(count):
            one = s.index("1", at)
            high, at = one - at, one + 1 + k
            value = high << k | int(s[one + 1 : at], 2) if k else high
            rest.append(value >> 1 ^ -(value & 1))
    if not order:
        return np.array(rest) << wasted
    turned = weights[::-1]
    for e in rest:
        out.append(e + (sum(map(mul, turned, out[-order:])) >> shift))
    return np.array(out) << wasted


def _mel(sound: np.ndarray, bands: int = 20, size: int = 256, hop: int = 100) -> np.ndarray:
    """Logarithm of the energy in `bands` bands: float32 (time, bands)."""
    count = 1 + max(0, len(sound) - size) // hop
    sound = np.pad(sound, (0, max(0, size - len(sound)))) / 32768
    pieces = np.stack([sound[i * hop : i * hop + size] for i in range(count)]) * np.hanning(size)
    power = np.abs(np.fft.rfft(pieces)) ** 2
    edges = 700 * (
        10 ** (np.linspace(2595 * np.log10(1 + 100 / 700), 2595 * np.log10(1 + 3900 / 700), bands + 2) / 2595) - 1
    )
    hertz = np.fft.rfftfreq(size, 1 / 8000)[:, None]
    up, down = (hertz - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - hertz) / np.diff(edges)[1:]
    return np.log(power @ np.clip(np.minimum(up, down), 0, None) + 1e-7).astype(np.float32)


@lru_cache(maxsize=1)
def _spoken() -> tuple[np.ndarray, ...]:
    kept = Path(tempfile.gettempdir()) / "gradus_doctor_spoken_v1.npz"
    if kept.exists():
        with np.load(kept) as z:
            return z["x"], z["n"], z["digit"], z["speaker"], z["index"]
    rows = _tsv("speech", "fsdd_8k.tsv.gz")
    rows = rows[rows["speaker"].isin(SPEAKERS) & (rows["index"] < 17)]
    raw = (_home() / "speech" / "fsdd_8k.flac").read_bytes()
    frames = _frames(raw)
    decode = lru_cache(maxsize=64)(lambda i: _frame(raw, *frames[i]))
    mels = []
    for start, end in zip(rows["start"], rows["end"], strict=True):
        first, last = start // FRAME, (end - 1) // FRAME
        sound = np.concatenate([decode(i) for i in range(first, last + 1)])
        mels.append(_mel(sound[start - first * FRAME : end - first * FRAME])[:60])
    n = np.array([len(m) for m in mels])
    x = np.zeros((len(mels), 60, 20), np.float32)
    for i, m in enumerate(mels):
        x[i, : len(m)] = m
    found = (
        x,
        n,
        rows["digit"].to_numpy(np.int64),
        rows["speaker"].map(SPEAKERS.index).to_numpy(np.int64),
        rows["index"].to_numpy(),
    )
    beside = kept.with_suffix(f".{os.getpid()}.npz")
    try:
        np.savez(beside, x=found[0], n=n, digit=found[2], speaker=found[3], index=found[4])
        beside.replace(kept)
    except OSError:  # a read-only machine decodes each time
        pass
    return found


def spoken(per: int = 17) -> tuple[np.ndarray, ...]:
    """Digits spoken by three men: log-mel float32 (n, 60, 20), zeros after the end; lengths, digit, speaker, take.

    Rows come as the archive has them: by digit, then speaker, then take.
    """
    x, n, digit, speaker, take = (a.copy() for a in _spoken())
    keep = take < per
    return x[keep], n[keep].astype(np.int64), digit[keep], speaker[keep], take[keep]


def paragraphs(languages: tuple[str, ...]) -> list[tuple[str, int, int]]:
    """Paragraphs of one declaration in several languages (ISO 639-3): text, number of the language, section."""
    frame = _tsv("text", "udhr.tsv.gz")
    frame = frame[frame["iso6393"].isin(languages)]
    frame = frame[frame["code"].isin(frame.groupby("iso6393")["code"].first())]
    number = {name: i for i, name in enumerate(languages)}
    return [(t, number[a], int(s)) for t, a, s in zip(frame["text"], frame["iso6393"], frame["section"], strict=True)]


def molecules(n: int = 3000, seed: int = 0) -> list[tuple[str, float]]:
    """Molecules as SMILES (up to 60 characters), with their polar surface."""
    frame = _tsv("bio", "nci_smiles_tpsa.tsv.gz").drop_duplicates("smiles")
    frame = frame[frame["smiles"].str.len() <= 60].sample(frac=1.0, random_state=seed)[:n]
    return [(s, float(t)) for s, t in zip(frame["smiles"], frame["tpsa"], strict=True)]


def verses(books: tuple[str, ...], column: str = "kjv") -> list[tuple[str, int, int]]:
    """Verses: text, number of the book, chapter."""
    frame = _tsv("text", "bible_en_es.tsv.gz")
    frame = frame[frame["book"].isin(books)]
    return [(t, books.index(b), int(c)) for t, b, c in zip(frame[column], frame["book"], frame["chapter"], strict=True)]


def genes() -> tuple[np.ndarray, np.ndarray]:
    """Leukaemia: float32 (128, 2000) expressions, and 1 for T cells, 0 for B cells."""
    with np.load(_home() / "bio" / "leukaemia_ALL_2000genes.npz") as z:
        return z["x"].copy(), np.array([str(b).startswith("T") for b in z["BT"]], dtype=np.int64)


def films(least: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Ratings of films that at least `least` people rated: user, film (numbered from 0), stars, seconds since 1970."""
    with np.load(_home() / "recsys" / "ml_latest_small_2016.npz") as z:
        user, film, stars, when = (z[k] for k in ("user", "movie", "rating", "timestamp"))
    number, counts = np.unique(film, return_counts=True)
    keep = np.isin(film, number[counts >= least])
    user, film = (np.unique(a[keep], return_inverse=True)[1].astype(np.int64) for a in (user, film))
    return user, film, stars[keep].astype(np.float32), when[keep].astype(np.int64)
