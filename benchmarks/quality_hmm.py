"""Spoken digits by hidden Markov models, one a word: a recording is the word whose model finds it likeliest.

The 3,000 recordings of FSDD, six speakers; each speaker in turn is held out, so that every recording is judged once by
models that never heard its voice. Features are computed here: thirteen mel-cepstral coefficients of 25 ms every 10 ms,
their mean over the recording taken out (the voice and the microphone), with their differences in time.

All variants in ``VARIANTS`` are reported, none was chosen by these results. Intervals are 95 %, by resampling speakers:
recordings of one voice are not independent.

Run with GRADUS_DATA set and the package ``soundfile`` (the extra ``audio``):
``OMP_NUM_THREADS=1 python benchmarks/quality_hmm.py``. It takes some minutes on one thread and writes
``benchmarks/results/quality_hmm.json``; ``--quick`` holds out one speaker, fits a fifth, and stores nothing.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from recording import origin, store

from gradus.research.inference import HiddenMarkovModel

RESULTS = Path(__file__).parent / "results" / "quality_hmm.json"
RATE, WINDOW, HOP, BINS, FILTERS, KEPT = 8000, 200, 80, 256, 24, 13
VARIANTS: dict[str, dict[str, Any]] = {
    "one Gaussian a word, no time": {"n_states": 1, "covariance": "diag"},
    "6 states left to right, diagonal": {"n_states": 6, "covariance": "diag", "topology": "left-right"},
    "6 states left to right, full": {"n_states": 6, "covariance": "full", "topology": "left-right", "floor": 0.05},
    "6 states left to right, 3 Gaussians each": {
        "n_states": 6,
        "emission": "mixture",
        "n_mixtures": 3,
        "topology": "left-right",
        "floor": 0.02,
    },
    "6 states, any to any, diagonal": {"n_states": 6, "covariance": "diag"},
}


def filters() -> np.ndarray:
    """Return triangles, evenly spaced on the mel scale from 100 Hz to the top, as (filters, bins)."""
    low, high = (2595 * np.log10(1 + f / 700) for f in (100, RATE / 2))
    edges = 700 * (10 ** (np.linspace(low, high, FILTERS + 2) / 2595) - 1)
    frequency = np.arange(BINS // 2 + 1) * RATE / BINS
    left, centre, right = (edges[i : i + FILTERS, None] for i in range(3))
    return np.maximum(0, np.minimum((frequency - left) / (centre - left), (right - frequency) / (right - centre)))


def cepstra(sound: np.ndarray, mel: np.ndarray) -> np.ndarray:
    """Return coefficients and their differences in time, shape (frames, 2 * KEPT)."""
    sound = np.append(sound[0], sound[1:] - 0.97 * sound[:-1])
    sound = np.pad(sound, (0, max(0, WINDOW - len(sound))))
    frames = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP] * np.hamming(WINDOW)
    power = np.abs(np.fft.rfft(frames, BINS)) ** 2
    loud = np.log(power @ mel.T + 1e-6 * power.mean())
    waves = np.cos(np.pi / FILTERS * np.outer(np.arange(KEPT), np.arange(FILTERS) + 0.5))
    found = loud @ waves.T
    found -= found.mean(0)
    padded = np.pad(found, ((2, 2), (0, 0)), mode="edge")
    slopes = sum(i * (padded[2 + i : len(padded) - 2 + i] - padded[2 - i : len(padded) - 2 - i]) for i in (1, 2)) / 10
    return np.concatenate([found, slopes], 1)


def load_recordings(home: Path) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return features, digits and speakers of all recordings."""
    import soundfile

    sound, rate = soundfile.read(home / "speech" / "fsdd_8k.flac", dtype="float64")
    if rate != RATE:
        raise SystemExit(f"error: expected {RATE} samples a second, got {rate}; take the file of the data folder")
    table = pd.read_csv(home / "speech" / "fsdd_8k.tsv.gz", sep="\t")
    mel = filters()
    features = [cepstra(sound[a:b], mel) for a, b in zip(table["start"], table["end"], strict=True)]
    return features, table["digit"].to_numpy(), table["speaker"].to_numpy()


def judged(
    features: list[np.ndarray], digits: np.ndarray, train: np.ndarray, test: np.ndarray, settings: dict[str, Any]
) -> np.ndarray:
    """Fit ten models on some recordings and return the word each finds in the others."""
    scores = []
    heard = [features[i] for i in test]
    for digit in range(10):
        own = [features[i] for i in train if digits[i] == digit]
        model = HiddenMarkovModel(**settings, max_iter=30, tolerance=1e-3, random_state=0).fit(own)
        scores.append(model.score_samples(heard))
    return np.argmax(scores, 0)


def interval(right: dict[str, np.ndarray]) -> list[float]:
    """Return the 95 % interval of the accuracy over all ways to draw as many speakers with replacement."""
    shares = [float(each.mean()) for each in right.values()]
    draws = [sum(draw) / len(draw) for draw in itertools.product(shares, repeat=len(shares))]
    return [float(q) for q in np.quantile(draws, [0.025, 0.975])]


def measured(name: str, data: tuple[list[np.ndarray], np.ndarray, np.ndarray], quick: bool) -> dict[str, Any]:
    """Hold out every speaker once."""
    features, digits, speakers = data
    started, right = time.process_time(), {}
    confusion = np.zeros((10, 10), dtype=int)
    for speaker in np.unique(speakers)[: 1 if quick else None]:
        train, test = np.flatnonzero(speakers != speaker)[:: 5 if quick else 1], np.flatnonzero(speakers == speaker)
        said = judged(features, digits, train, test, VARIANTS[name])
        np.add.at(confusion, (digits[test], said), 1)
        right[str(speaker)] = said == digits[test]
    every = np.concatenate(list(right.values()))
    row = {
        "model": name,
        "settings": VARIANTS[name],
        "accuracy": float(every.mean()),
        "interval": interval(right),
        "by_speaker": {speaker: float(each.mean()) for speaker, each in right.items()},
        "confusion": confusion.tolist(),
        "processor_seconds": round(time.process_time() - started, 1),
    }
    print(f"{name:42} {row['accuracy']:.4f} {row['interval']}  {row['processor_seconds']} s", flush=True)
    return row


def main() -> None:
    """Measure all variants and store them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    data = load_recordings(Path(os.environ["GRADUS_DATA"]))
    record = {
        **origin("cpu", f"python benchmarks/quality_hmm.py {' '.join(sys.argv[1:])}".strip()),
        "data": "FSDD, 3,000 recordings of ten spoken digits by six speakers at 8 kHz; speakers held out in turn",
        "features": f"{KEPT} mel-cepstral coefficients every 10 ms, their mean taken out, and their slopes",
        "models": [measured(name, data, options.quick) for name in VARIANTS],
    }
    if not options.quick:
        store(options.out, record)


if __name__ == "__main__":
    main()
