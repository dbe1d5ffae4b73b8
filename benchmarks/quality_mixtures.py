"""How likely mixtures of Bernoullis find handwritten digits: nats of the test rows beside the published figure.

MNIST is binarized once, each pixel drawn with its brightness as the probability (fixed binarization, seed 0): 50,000
rows to learn from, the last 10,000 training rows to choose the pseudo-counts by, the 10,000 test rows looked at once.
Larochelle & Murray 2011 (table 1) quote -137.64 nats for a mixture of 500 Bernoullis on their own fixed binarization.

Run with GRADUS_DATA set: ``OMP_NUM_THREADS=2 python benchmarks/quality_mixtures.py``. It takes some minutes on two
cores and writes ``benchmarks/results/quality_mixtures.json``; ``--quick`` tries it on a tenth and stores nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from recording import origin, pictures_home, store, summary

from gradus.research.inference import BernoulliMixture

RESULTS = Path(__file__).parent / "results" / "quality_mixtures.json"
PUBLISHED = -137.64
SMOOTHING = (0.1, 0.5, 2.0)
SEEDS = (0, 1, 2)


def binarized(quick: bool) -> dict[str, np.ndarray]:
    """Return the three parts as zeros and ones."""
    with np.load(pictures_home() / "mnist.npz", allow_pickle=False) as z:
        grey = np.concatenate([z["x_train"], z["x_test"]]).reshape(70_000, 784)
    rng = np.random.default_rng(0)
    bits = (rng.random(grey.shape, dtype=np.float32) * 255 < grey).astype(np.float32)
    parts = {"train": bits[:50_000], "valid": bits[50_000:60_000], "test": bits[60_000:]}
    return {name: part[::10] for name, part in parts.items()} if quick else parts


def model_of(components: int, smoothing: float, seed: int) -> BernoulliMixture:
    """Return an unfitted mixture."""
    return BernoulliMixture(
        n_components=components, smoothing=smoothing, n_init=1, max_iter=100, tolerance=1e-2, random_state=seed
    )


def measured(components: int, parts: dict[str, np.ndarray], seeds: tuple[int, ...]) -> dict[str, Any]:
    """Choose the pseudo-counts by the validation rows, then fit once a seed."""
    chosen = []
    for smoothing in SMOOTHING:
        fitted = model_of(components, smoothing, SEEDS[0]).fit(parts["train"])
        chosen.append({"smoothing": smoothing, "valid": fitted.score(parts["valid"])})
        print(f"{components} components, smoothing {smoothing}: {chosen[-1]['valid']:.2f}", file=sys.stderr, flush=True)
    best = max(chosen, key=lambda row: row["valid"])["smoothing"]
    rows = []
    for seed in seeds:
        started = time.perf_counter()
        fitted = model_of(components, best, seed).fit(parts["train"])
        row = {"seed": seed, "seconds": time.perf_counter() - started, "steps": fitted.n_iter_}
        row |= {name: fitted.score(part) for name, part in parts.items()}
        rows.append(row)
        print(f"{components} components, seed {seed}: test {row['test']:.2f}", file=sys.stderr, flush=True)
    found = {"components": components, "smoothing": best, "chosen_from": chosen, "seeds": rows}
    return found | summary(rows, ("train", "valid", "test", "seconds", "steps"))


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, one seed; stores nothing")
    parser.add_argument("--components", type=int, nargs="+", default=[10, 100, 500])
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    parts = binarized(options.quick)
    seeds = SEEDS[:1] if options.quick else SEEDS
    models = [measured(components, parts, seeds) for components in options.components]
    record = {
        **origin("cpu", f"python benchmarks/quality_mixtures.py {' '.join(sys.argv[1:])}".strip()),
        "data": "MNIST, each pixel drawn once with its brightness as the probability (seed 0)",
        "published": {"mixture of 500 Bernoullis": PUBLISHED},
        "models": models,
    }
    for row in models:
        print(f"{row['components']:5} components  test {row['test']['mean']:.2f} +- {row['test']['spread']:.2f} nats")
    if not options.quick:
        store(options.out, record)


if __name__ == "__main__":
    main()
