"""How well rows of digits of unknown length are read: sequence accuracy, and coverage at 98 % accuracy.

The book's example (Goodfellow et al. 2016, §11.6; Goodfellow et al. 2014) read house numbers from photographs. Here
rows of 1 to 5 digits are composed from MNIST on a canvas of 32 x 96, with sizes, gaps and places of their own:
training canvases from the first 55,000 training digits, validation canvases from the last 5,000, test canvases from
the test digits. A reading counts as right if every digit and their number are right. Coverage is the share of canvases
left when those with the least confident readings are rejected until 98 % of the rest are read right; it is reported
with the threshold chosen on the test canvases themselves, as in the paper, and with one chosen on validation canvases,
which is what a user can do.

Rows: ``attention``, the default, finds each position and tells its digit by one network for all; ``dense`` is the
paper's read-out, every answer from one layer over all cells of the last maps; ``augmented`` is ``attention`` on
canvases turned and scaled at random in training. Sizes were chosen on validation canvases.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from recording import load, origin, pictures_home, store, summary

from gradus.applications.vision.canvases import compose_sequences
from gradus.applications.vision.reader import SequenceReader
from gradus.core.devices import choose_device
from gradus.estimators.coverage import Coverage
from gradus.estimators.reliability import wilson

RESULTS = Path(__file__).parent / "results"
ACCURACY = 0.98
SIZE, LENGTHS = (32, 96), (1, 5)
TRAIN_DIGITS = 55_000
VALID, TEST = 3_000, 3_000
CHUNK = 5_000  # canvases composed by one process at a time, each from a seed of its own

ROWS: dict[str, dict[str, str]] = {
    "attention": {"readout": "attention"},
    "dense": {"readout": "dense"},
    "augmented": {"readout": "attention", "augment": "rotate,scale", "augment_padding": "zeros"},
}
# What one thread learns in some minutes, and what an accelerator does.
SMALL = {"canvases": 60_000, "settings": {"max_epochs": 4}}
LARGE = {
    "canvases": 200_000,
    "settings": {
        "max_epochs": 12,
        "channels": (32, 64, 128, 256),
        "features": 512,
        "batch_size": 128,
        "dropout": 0.3,
        "precision": "bf16",
    },
}
NUMBERS = (
    "sequence_accuracy",
    "coverage",
    "coverage_promised",
    "accuracy_promised",
    "length_accuracy",
    "nats",
    "fit_seconds",
)


class Part(NamedTuple):
    """Canvases and what they say."""

    X: np.ndarray
    y: np.ndarray


def compose(pictures: np.ndarray, labels: np.ndarray, seed: int, n: int) -> Part:
    """Compose some canvases."""
    made = compose_sequences(pictures, labels, n, size=SIZE, lengths=LENGTHS, random_state=seed)
    return Part(made.images, made.texts)


def canvases(pictures: np.ndarray, labels: np.ndarray, n: int, first: int, workers: int) -> Part:
    """Compose canvases in chunks, the same whatever the number of processes."""
    sizes = [min(CHUNK, n - at) for at in range(0, n, CHUNK)]
    work = partial(compose, pictures, labels)
    seeds = range(first, first + len(sizes))
    if workers == 1:
        parts = [work(seed, size) for seed, size in zip(seeds, sizes, strict=True)]
    else:
        # Processes of their own, with one thread each: a fork of one that computes with torch may hang.
        spawned = get_context("spawn")
        with ProcessPoolExecutor(workers, spawned, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            parts = list(pool.map(work, seeds, sizes))
    return Part(np.concatenate([part.X for part in parts]), np.concatenate([part.y for part in parts]))


def read_all(n: int, workers: int) -> tuple[Part, Part, Part]:
    """Return training, validation and test canvases."""
    with np.load(pictures_home() / "mnist.npz", allow_pickle=False) as file:
        train, test = ((file[f"x_{name}"], file[f"y_{name}"]) for name in ("train", "test"))
    learned, held = ([part[:TRAIN_DIGITS] for part in train], [part[TRAIN_DIGITS:] for part in train])
    return (
        canvases(*learned, n, 1_000, workers),
        canvases(*held, VALID, 2_000, workers),
        canvases(*test, TEST, 3_000, workers),
    )


def measure(settings: dict[str, Any], seed: int, device: str, train: Part, valid: Part, test: Part) -> dict[str, Any]:
    """Train once and judge once."""
    model = SequenceReader(**settings, device=device, random_state=seed)
    start = time.perf_counter()
    model.fit(train.X, train.y)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    texts, sure = model.read(test.X)
    answering = time.perf_counter() - start
    right = texts == test.y
    found: Coverage = model.coverage_at(ACCURACY, test.X, test.y)
    promised = model.coverage_at(ACCURACY, valid.X, valid.y)
    kept = sure >= promised.threshold
    low, high = wilson(int(right.sum()), len(right))
    kept_low, kept_high = wilson(int(right[kept].sum()), int(kept.sum()))
    lengths = np.char.str_len(test.y)
    return {
        "seed": seed,
        "sequence_accuracy": float(right.mean()),
        "sequence_accuracy_interval": [float(low), float(high)],
        "coverage": found.coverage,
        "coverage_interval": [found.low, found.high],
        "coverage_accuracy": found.accuracy if found.kept else None,
        "coverage_promised": float(kept.mean()),
        "accuracy_promised": float(right[kept].mean()) if kept.any() else None,
        "accuracy_promised_interval": [float(kept_low), float(kept_high)],
        "length_accuracy": float((np.char.str_len(texts) == lengths).mean()),
        "accuracy_by_length": {str(n): float(right[lengths == n].mean()) for n in np.unique(lengths)},
        "nats": float(-model.log_proba(test.X, test.y).mean()),
        "train_loss": model.history_[-1]["loss"],
        "fit_seconds": round(seconds, 1),
        "read_seconds": round(answering, 2),
        "steps": model.n_steps_,
        "parameters": sum(p.numel() for p in model.network_.parameters()),
        "execution": model.execution_,
    }


def main() -> None:
    """Measure seed by seed, and store each as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", default=["attention"], choices=list(ROWS), help="what to train")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--canvases", type=int, help="training canvases, instead of the device's own number")
    parser.add_argument("--epochs", type=int, help="instead of the device's own")
    parser.add_argument("--workers", type=int, default=1, help="processes that compose canvases")
    parser.add_argument("--out", type=Path, help="file of the results")
    options = parser.parse_args()
    device = choose_device(options.device)
    chosen = LARGE if device.type == "cuda" else SMALL
    n = options.canvases or chosen["canvases"]
    settings = chosen["settings"] | ({} if options.epochs is None else {"max_epochs": options.epochs})
    out = options.out or RESULTS / f"quality_reader_{device.type}.json"
    start = time.perf_counter()
    train, valid, test = read_all(n, options.workers)
    composing = time.perf_counter() - start
    print(f"composed {len(train.y) + len(valid.y) + len(test.y):,} canvases in {composing:.0f} s", flush=True)
    record = load(out)
    record |= origin(str(device), " ".join(["python", "benchmarks/quality_reader.py", *sys.argv[1:]]))
    record["data"] = {
        "source": "mnist.npz",
        "canvas": f"{SIZE[0]} x {SIZE[1]}, {LENGTHS[0]} to {LENGTHS[1]} digits, scale 0.6 to 1, gaps of -1 to 4 pixels",
        "train": f"{n} canvases of training digits 0 to {TRAIN_DIGITS - 1}",
        "valid": f"{VALID} canvases of the other training digits, for a threshold only",
        "test": f"{TEST} canvases of the 10,000 test digits (each is used about once)",
        "seconds_to_compose": round(composing, 1),
    }
    record["protocol"] = (
        "training for a fixed number of epochs, no early stopping; seeds differ in weights, order and dropout; "
        f"coverage at {ACCURACY:.0%} sequence accuracy with the threshold from the test canvases (coverage), and from "
        "the validation canvases (coverage_promised, accuracy_promised); intervals of 95 % over test canvases"
    )
    rows = record.setdefault("rows", {})
    for row in options.rows:
        given = {**settings, **ROWS[row]}
        known = {"settings": {name: list(v) if isinstance(v, tuple) else v for name, v in given.items()}, "canvases": n}
        if {name: rows.get(row, {}).get(name) for name in known} != known:
            rows[row] = {**known, "seeds": []}
        for seed in options.seeds:
            if seed in {found["seed"] for found in rows[row]["seeds"]}:
                continue
            found = measure(given, seed, str(device), train, valid, test)
            rows[row]["seeds"].append(found)
            rows[row]["summary"] = summary(rows[row]["seeds"], NUMBERS)
            store(out, record)
            shown = {name: found[name] for name in NUMBERS}
            print(f"{row} seed {seed}:", ", ".join(f"{name} {value}" for name, value in shown.items()), flush=True)


if __name__ == "__main__":
    main()
