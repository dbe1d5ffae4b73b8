"""A two-layer network on digits: the engine of `gradus.foundations.graph` beside PyTorch's autograd.

Both sides start from the same weights, see the same minibatches and take the same steps, in float64 on one thread; they
must end with the same weights before a time is stored: ``python benchmarks/graph.py [--rounds 9] [--epochs 10]``.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from recording import origin, store
from sklearn.datasets import load_digits

from gradus.foundations.graph import log_softmax, value_and_grad

OUT = Path(__file__).parent / "results" / "graph.json"
BATCH, HIDDEN, RATE = 64, 64, 0.2


def data():
    """Return rows and classes to learn from, and those to be tested on."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = X[order] / 16, y[order]
    return (X[:1437], y[:1437]), (X[1437:], y[1437:])


def beginning():
    """Return the weights both sides start from."""
    rng = np.random.default_rng(1)
    return {
        "W": rng.normal(size=(64, HIDDEN)) * np.sqrt(2 / 64),
        "b": np.zeros(HIDDEN),
        "V": rng.normal(size=(HIDDEN, 10)) * np.sqrt(1 / HIDDEN),
        "c": np.zeros(10),
    }


def batches(n, epochs):
    """Yield the rows of each step."""
    rng = np.random.default_rng(2)
    for _ in range(epochs):
        order = rng.permutation(n)
        yield from (order[i : i + BATCH] for i in range(0, n, BATCH))


def ours(X, y, epochs):
    """Train with the engine."""

    def cost(p, x, t):
        scores = np.tanh(x @ p["W"] + p["b"]) @ p["V"] + p["c"]
        return -log_softmax(scores)[np.arange(len(t)), t].mean()

    step, p = value_and_grad(cost), beginning()
    for rows in batches(len(X), epochs):
        _, slopes = step(p, X[rows], y[rows])
        p = {name: p[name] - RATE * slopes[name] for name in p}
    return p


def theirs(X, y, epochs):
    """Train with PyTorch, written the same way."""
    p = {name: torch.tensor(value, requires_grad=True) for name, value in beginning().items()}
    X, y = torch.tensor(X), torch.tensor(y)
    for rows in batches(len(X), epochs):
        rows = torch.from_numpy(rows)
        scores = torch.tanh(X[rows] @ p["W"] + p["b"]) @ p["V"] + p["c"]
        torch.nn.functional.cross_entropy(scores, y[rows]).backward()
        with torch.no_grad():
            for value in p.values():
                value -= RATE * value.grad
                value.grad = None
    return {name: value.detach().numpy() for name, value in p.items()}


def main() -> None:
    """Race, check, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    (X, y), (X_test, y_test) = data()
    sides = {"gradus": ours, "torch": theirs}
    ends = {name: side(X, y, asked.epochs) for name, side in sides.items()}  # warms up as well
    apart = max(float(np.abs(ends["gradus"][name] - ends["torch"][name]).max()) for name in ends["torch"])
    if apart > 1e-8:
        raise SystemExit(f"error: expected the same weights on both sides, got a difference of {apart:.1e}")
    p = ends["gradus"]
    right = float(((np.tanh(X_test @ p["W"] + p["b"]) @ p["V"] + p["c"]).argmax(1) == y_test).mean())
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(asked.rounds):
        for name in list(sides)[:: 1 if turn % 2 else -1]:
            start = time.perf_counter()
            sides[name](X, y, asked.epochs)
            seconds[name].append(time.perf_counter() - start)
    ratios = [a / b for a, b in zip(seconds["gradus"], seconds["torch"], strict=True)]
    record = origin("cpu", f"python benchmarks/graph.py {' '.join(sys.argv[1:])}".strip()) | {
        "title": "a 64-64-10 network on digits, minibatches of 64, float64, one thread",
        "steps": asked.epochs * -(-len(X) // BATCH),
        "accuracy": right,
        "largest_difference_of_weights": apart,
        "seconds": {name: median(each) for name, each in seconds.items()},
        "ratio": {"median": median(ratios), "min": min(ratios), "max": max(ratios)},
        "target": "at most 10 times torch's time",
    }
    store(asked.out, record)
    print({name: record[name] for name in ("accuracy", "seconds", "ratio", "largest_difference_of_weights")})


if __name__ == "__main__":
    main()
