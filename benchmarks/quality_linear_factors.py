"""What linear factor models reach on real data: separation, filters of photographs, gaps: ``--rows`` picks some.

``python benchmarks/quality_linear_factors.py`` with GRADUS_DATA set, and soundfile for the speakers; about fifteen
minutes on one core. Every row is stored as soon as it is measured, in
``benchmarks/results/quality_linear_factors.json``.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import sys
import time
import traceback
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from recording import load, origin, pictures_home, spread, store

from gradus.networks.convolutional.gabor import fit_gabor
from gradus.research.linear_factors import ICA, PCA, FactorAnalysis, ProbabilisticPCA, SparseCoding, amari_index

RESULTS = Path(__file__).parent / "results" / "quality_linear_factors.json"
NATURAL = ("astronaut", "coffee", "chelsea", "rocket", "camera", "china", "flower", "grass", "gravel", "brick")


def five_sources(n: int, drawing: np.random.Generator) -> np.ndarray:
    """Draw Laplace, uniform, t5, two-humped and exponential sources."""
    humps = np.where(drawing.random(n) < 0.5, -1.0, 1.0) + 0.4 * drawing.normal(size=n)
    each = [drawing.laplace(size=n), drawing.uniform(-1, 1, n), drawing.standard_t(5, n), humps]
    return np.stack([*each, drawing.exponential(size=n)], 1)


def amari(quick: bool) -> dict[str, Any]:
    """Amari index of ICA with default settings: 5 sources of different kinds, 20 random mixtures."""
    found: dict[str, Any] = {}
    for n, most in ((1000, 0.028), (10_000, 0.0085)):
        for label, settings in {"likelihood": {}, "symmetric logcosh": {"method": "symmetric"}}.items():
            values = []
            for seed in range(3 if quick else 20):
                drawing = np.random.default_rng(seed)
                sources, mixing = five_sources(n, drawing), drawing.normal(size=(5, 5))
                model = ICA(random_state=seed, **settings).fit(sources @ mixing.T)
                values.append(amari_index(model.components_, mixing))
            found[f"{label}, {n} rows"] = spread(values) | {"worst": max(values), "asked": most}
    return found


def _speakers(seconds: float) -> tuple[np.ndarray, list[str]]:
    """Return running digits of two speakers, of unit variance, at 8 kHz."""
    import soundfile

    folder = pictures_home().parent / "speech"
    sound, rate = soundfile.read(folder / "fsdd_8k.flac", dtype="float64")
    table = io.StringIO(gzip.decompress((folder / "fsdd_8k.tsv.gz").read_bytes()).decode())
    rows = list(csv.DictReader(table, delimiter="\t"))
    names = sorted({row["speaker"] for row in rows})[:2]
    voices = []
    for name in names:
        parts = [sound[int(row["start"]) : int(row["end"])] for row in rows if row["speaker"] == name]
        voices.append(np.concatenate(parts)[: int(seconds * rate)])
    both = np.stack([voice[: min(map(len, voices))] for voice in voices], 1)
    return (both - both.mean(0)) / both.std(0), names


def speakers(quick: bool) -> dict[str, Any]:
    """Separate two speakers mixed in two microphones: signal to interference, in dB, over random mixtures."""
    voices, names = _speakers(2.0 if quick else 10.0)
    before, after = [], []
    for seed in range(3 if quick else 10):
        mixing = np.random.default_rng(seed).uniform(0.3, 1.0, (2, 2))
        mixed = voices @ mixing.T
        before.append(_interference(np.eye(2) @ mixing))
        model = ICA(random_state=seed).fit(mixed)
        after.append(_interference(model.components_ @ mixing))
    return {"speakers": names, "seconds": len(voices) / 8000, "mixed": spread(before), "separated": spread(after)}


def _interference(through: np.ndarray) -> float:
    """Return the mean over outputs of the strongest source's power over the other's, in dB."""
    power = np.sort(np.square(through), axis=1)
    return float(np.mean(10 * np.log10(power[:, -1] / power[:, 0])))


def photographs(quick: bool) -> dict[str, Any]:
    """Sparse coding of whitened patches of photographs: how well Gabor functions fit the atoms."""
    size, atoms, many = 12, (32 if quick else 192), (5000 if quick else 60_000)
    drawing, cut = np.random.default_rng(0), []
    with np.load(pictures_home() / "photos.npz", allow_pickle=False) as photos:
        for name in NATURAL:
            photo = photos[name].astype(np.float64)
            photo = np.log1p(photo.mean(2) if photo.ndim == 3 else photo)
            places = [drawing.integers(0, side - size + 1, many // len(NATURAL)) for side in photo.shape]
            cut += [photo[i : i + size, j : j + size].ravel() for i, j in zip(*places, strict=True)]
    rows = np.stack(cut)
    rows -= rows.mean(1, keepdims=True)
    rows = rows[rows.std(1) > 0.2 * rows.std()]  # flat patches say nothing of edges
    # Directions of the least variance are the camera's noise and the grid's corners: whiten the others only.
    whitener = PCA(n_components=100, whiten=True).fit(rows)
    white = whitener.transform(rows)
    white /= np.linalg.norm(white, axis=1, keepdims=True) / np.sqrt(white.shape[1])
    model = SparseCoding(n_components=atoms, penalty=1.5, max_iter=20 if quick else 150, tol=0, random_state=0)
    model.fit(white)
    # what a unit of a code adds to a patch, in the space of patches
    shown = (model.components_ * np.sqrt(whitener.explained_variance_)) @ whitener.components_
    noise = (drawing.normal(size=(40, 100)) * np.sqrt(whitener.explained_variance_)) @ whitener.components_
    fits = fit_gabor(shown.reshape(-1, size, size))
    of_noise = fit_gabor(noise.reshape(-1, size, size)).r2
    along, across = (np.sqrt(0.5 / np.maximum(decay, 1e-6)) for decay in (fits.decay_x, fits.decay_y))
    codes = model.transform(white[:5000])
    quartiles = {"lower": 0.25, "median": 0.5, "upper": 0.75}
    return {
        "patches": len(rows),
        "atoms": atoms,
        "size": size,
        "r2": {name: float(np.quantile(fits.r2, q)) for name, q in quartiles.items()},
        "r2 of noise of the same spectrum": {"median": float(np.median(of_noise)), "largest": float(of_noise.max())},
        "share above 0.8": float((fits.r2 > 0.8).mean()),
        "median deviation along and across the wave, pixels": [median(along.tolist()), median(across.tolist())],
        "directions covered, of 8": int((np.histogram(fits.angle, 8, (0, np.pi))[0] > 0).sum()),
        "atoms a patch": float((codes != 0).sum(1).mean()),
    }


def gaps(quick: bool) -> dict[str, Any]:
    """Fill 30 % of MNIST's pixels, taken at random, from 50 factors: squared error as a share of column means'."""
    rows = 300 if quick else 3000
    with np.load(pictures_home() / "mnist.npz", allow_pickle=False) as data:
        X = data["x_train"][:rows].reshape(rows, -1) / 255.0
    X = X[:, X.std(0) > 0.05]
    missing = np.random.default_rng(0).random(X.shape) < 0.3
    holed = np.where(missing, np.nan, X)
    base = np.square(X - np.nanmean(holed, 0))[missing].sum()
    found = {}
    k = 10 if quick else 50
    for model in (ProbabilisticPCA(n_components=k, tol=1e-3), FactorAnalysis(n_components=k, tol=1e-3),
                  PCA(n_components=k, tol=1e-4)):  # fmt: skip
        again = model.fit(holed).inverse_transform(model.transform(holed))
        found[type(model).__name__] = float(np.square(again - X)[missing].sum() / base)
    return {"rows": rows, "columns": X.shape[1], "factors": k, "error": found}


ROWS = {"amari": amari, "speakers": speakers, "photographs": photographs, "gaps": gaps}


def main() -> None:
    """Measure the rows asked for and store each at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--quick", action="store_true", help="a reduced size, to try the script; stores nothing")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in options.rows:
        start = time.perf_counter()
        try:
            found = ROWS[name](options.quick)
        except Exception as error:
            traceback.print_exc()
            found = {"error": f"{type(error).__name__}: {error}"[:500]}
        row = {"title": ROWS[name].__doc__.splitlines()[0], **found, "seconds": round(time.perf_counter() - start, 1)}
        print(f"{name}: {row}", flush=True)
        if not options.quick:
            record = load(RESULTS)
            command = f"python benchmarks/quality_linear_factors.py {' '.join(sys.argv[1:])}"
            record.setdefault("rows", {})[name] = {**origin("cpu", command), **row}
            store(RESULTS, record)


if __name__ == "__main__":
    main()
