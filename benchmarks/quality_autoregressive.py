"""How likely models with exact likelihoods find new rows: nats of binarized digits and of tables.

Digits: MNIST binarized once, each pixel drawn with its brightness as the probability (fixed, seed 0; nothing is drawn
anew in training): 50,000 rows to learn from, the last 10,000 training rows to stop by, the 10,000 test rows looked at
once. Published, in nats of the test rows, on Larochelle & Murray's own fixed binarization, so that tenths do not
compare: NADE -88.33; MADE with 32 masks -88.04 (one hidden layer of 8,000 units), -86.64 (two); NADE for every order,
two hidden layers, -85.10 with 128 orders averaged (the small setting has 8); PixelCNN -81.30.

Tables: rows divided at random into 60, 20 and 20 %; columns that are whole numbers get uniform noise of width one,
drawn once, in all parts alike (so a density of theirs bounds the logarithm of a probability from below). The mixture
of Gaussians takes its number of components, the flow its stopping point, by the second part.

Run with GRADUS_DATA set: ``OMP_NUM_THREADS=2 python benchmarks/quality_autoregressive.py``. Every fit of digits ends
after ``--minutes`` (60), so one seed of all six models takes up to six hours on two cores, less where validation
stops rising; the tables take about half an hour a seed. In the small setting the learning rate falls along a cosine
over as many epochs as an hour of one core has, by products of bfloat16 (scores are float32).
``--setting large --device cuda`` is for a GPU: the published sizes (with ``--minutes 600``, until validation stops
rising). ``--quick`` tries everything on a tenth of the rows for five minutes and stores nothing. Results are kept in
``benchmarks/results/quality_autoregressive.json`` after each fit.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from quality_mixtures import binarized
from recording import load, origin, pictures_home, store, summary

from gradus.research.autoregressive import (
    FVBN,
    MADE,
    NADE,
    MaskedAutoregressiveFlow,
    NeuralSplineFlow,
    OrderlessNADE,
    PixelCNN,
    RealNVP,
)
from gradus.research.inference import GaussianMixture

RESULTS = Path(__file__).parent / "results" / "quality_autoregressive.json"
PUBLISHED = {"nade": -88.33, "made": -88.04, "made2": -86.64, "orderless": -85.10, "pixelcnn": -81.30}
SHARED = {"batch_size": 100, "patience": 5, "max_epochs": 500}
FALLING = {"schedule": "plateau", "schedule_epochs": 2, "schedule_factor": 0.3, "patience": 7}
MASKS = {"masks": 32, "order": "each"}
MODELS = {
    "fvbn": (FVBN, {"learning_rate": 1e-3}),
    "nade": (NADE, {"hidden": 500, "learning_rate": 1e-3, **FALLING}),
    "made": (MADE, {"hidden": (2000,), "learning_rate": 1e-3, **MASKS, **FALLING}),
    "made2": (MADE, {"hidden": (2000, 2000), "learning_rate": 1e-3, **MASKS, **FALLING}),
    "orderless": (OrderlessNADE, {"hidden": (500, 500), "orders": 8, "learning_rate": 1e-3, **FALLING}),
    "pixelcnn": (PixelCNN, {"features": 32, "depth": 5, "learning_rate": 2e-3, **FALLING}),
}
SMALL = {
    "nade": {"schedule": "cosine", "max_epochs": 36, "precision": "bf16"},
    "made": {"schedule": "cosine", "max_epochs": 150, "precision": "bf16"},
    "made2": {"schedule": "cosine", "max_epochs": 90, "precision": "bf16"},
    "orderless": {"schedule": "cosine", "max_epochs": 500, "precision": "bf16", "patience": 60},  # orders are drawn
    "pixelcnn": {"schedule": "cosine", "max_epochs": 12, "precision": "bf16"},
}
LARGE = {
    "made": {"hidden": (8000,)},
    "made2": {"hidden": (8000, 8000)},
    "orderless": {"orders": 128},
    "pixelcnn": {"features": 64, "depth": 12},
}
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {"small": SMALL, "large": LARGE}
FLOWS = {"RealNVP": RealNVP, "NeuralSplineFlow": NeuralSplineFlow, "MaskedAutoregressiveFlow": MaskedAutoregressiveFlow}
FLOW = {"layers": 6, "hidden": (128, 128), "batch_size": 128, "max_epochs": 300, "patience": 10, "dropout": 0.1}
BESIDE = 2000  # rows of the other parts that are scored too
COMPONENTS = (1, 2, 5, 10, 20, 40)
TABLES = ("LetterRecognition", "Satellite", "Vowel")
KEPT = 0.5  # share of values that differ, from which on a column counts as continuous


def digits_parts(quick: bool) -> dict[str, np.ndarray]:
    """Return the three parts as pictures of zeros and ones."""
    return {name: part.reshape(-1, 28, 28) for name, part in binarized(quick).items()}


def digits_row(name: str, parts: dict[str, np.ndarray], seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Fit one model of digits from one seed."""
    cls, settings = MODELS[name]
    settings = SHARED | settings | SETTINGS[options.setting].get(name, {})
    minutes = 0.5 if options.quick else options.minutes
    model = cls(**settings, binarize="none", max_time=60 * minutes, random_state=seed, device=options.device)
    started = time.perf_counter()
    model.fit(parts["train"], X_val=parts["valid"])
    seconds = time.perf_counter() - started
    test = model.score_samples(parts["test"])
    row = {"seed": seed, "seconds": seconds, "epochs": model.n_epochs_, "stopped_by": model.stopped_by_}
    row |= {"test": float(test.mean()), "standard_error": float(test.std(ddof=1) / len(test) ** 0.5)}
    return row | {name: model.score(parts[name][:BESIDE]) for name in ("valid", "train")}


def table_parts(name: str, seed: int, quick: bool) -> tuple[dict[str, np.ndarray], int]:
    """Return the three parts of a table's numeric columns, and how many columns got noise."""
    frame = pd.read_csv(pictures_home().parent / "tabular" / f"{name}.csv.gz").select_dtypes("number").dropna()
    X = frame.to_numpy(np.float64)
    rng = np.random.default_rng(seed)
    whole = (X == X.round()).all(0)
    many = np.array([len(np.unique(column)) > KEPT * len(X) for column in X.T])
    X, noisy = (X[:, many], 0) if many.sum() > 5 else (X + rng.uniform(size=X.shape) * whole, int(whole.sum()))
    X = X[rng.permutation(len(X))][: len(X) // (10 if quick else 1)]
    low, high = int(0.6 * len(X)), int(0.8 * len(X))
    return {"train": X[:low], "valid": X[low:high], "test": X[high:]}, noisy


def table_row(kind: str, parts: dict[str, np.ndarray], seed: int, quick: bool) -> dict[str, Any]:
    """Fit a flow, or the best of several mixtures, from one seed."""
    started, found = time.perf_counter(), {}
    if kind == "GaussianMixture":
        usable = [k for k in COMPONENTS if k * parts["train"].shape[1] < len(parts["train"])]
        mixtures = [GaussianMixture(n_components=k, random_state=seed).fit(parts["train"]) for k in usable]
        model: Any = max(mixtures, key=lambda mixture: mixture.score(parts["valid"]))
        found["components"] = model.n_components
    else:
        budget = {"max_epochs": 10} if quick else {}
        model = FLOWS[kind](**FLOW | budget, random_state=seed).fit(parts["train"], X_val=parts["valid"])
        found["epochs"] = model.n_epochs_
    seconds = time.perf_counter() - started
    test = model.score_samples(parts["test"])
    error = float(test.std(ddof=1) / len(test) ** 0.5)
    row = {"seed": seed, "seconds": seconds, **found, "test": float(test.mean()), "standard_error": error}
    return row | {"valid": model.score(parts["valid"]), "train": model.score(parts["train"])}


def digits(options: argparse.Namespace, record: dict[str, Any]) -> None:
    """Measure the models of digits."""
    parts = digits_parts(options.quick)
    for name in options.models:
        rows = []
        for seed in options.seeds:
            rows.append(digits_row(name, parts, seed, options))
            said = f"{name:9} seed {seed}: test {rows[-1]['test']:.2f} +- {rows[-1]['standard_error']:.2f} nats"
            print(f"{said} (published {PUBLISHED.get(name, 'none')}), {rows[-1]['seconds']:.0f} s", flush=True)
            settings = {k: list(v) if isinstance(v, tuple) else v for k, v in MODELS[name][1].items()}
            kept = {
                "settings": settings | SETTINGS[options.setting].get(name, {}),
                "published": PUBLISHED.get(name),
                "seeds": rows,
            }
            record["digits"][f"{name}, {options.setting}"] = kept | summary(rows, ("test", "valid", "seconds"))
            keep(options, record)


def tables(options: argparse.Namespace, record: dict[str, Any]) -> None:
    """Measure flows and mixtures on tables."""
    for table in options.tables:
        for kind in ("GaussianMixture", *FLOWS):
            rows = []
            for seed in options.seeds:
                parts, noisy = table_parts(table, seed, options.quick)
                rows.append(table_row(kind, parts, seed, options.quick))
                row = rows[-1]
                said = f"{table:18} {kind:24} seed {seed}: test {row['test']:.2f} +- {row['standard_error']:.2f} nats"
                print(f"{said}, {row['seconds']:.0f} s", flush=True)
            known = {"rows": sum(map(len, parts.values())), "columns": parts["train"].shape[1], "noisy_columns": noisy}
            found = {**known, "seeds": rows, **summary(rows, ("test", "valid", "seconds"))}
            record["tables"].setdefault(table, {})[kind] = found
            keep(options, record)


def keep(options: argparse.Namespace, record: dict[str, Any]) -> None:
    """Store what is known so far: a run that is cut off keeps its finished fits."""
    if not options.quick:
        store(options.out, record)


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, half a minute a fit; stores nothing")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", nargs="*", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--tables", nargs="*", choices=TABLES, default=list(TABLES))
    parser.add_argument("--setting", choices=("small", "large"), default="small")
    parser.add_argument("--minutes", type=float, default=60.0, help="most time to fit one model of digits")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    known = load(options.out)
    record = {
        **origin(options.device, f"python benchmarks/quality_autoregressive.py {' '.join(sys.argv[1:])}".strip()),
        "data": "MNIST, each pixel drawn once with its brightness as the probability (seed 0)",
        "digits": known.get("digits", {}),
        "tables": known.get("tables", {}),
    }
    digits(options, record)
    tables(options, record)


if __name__ == "__main__":
    main()
