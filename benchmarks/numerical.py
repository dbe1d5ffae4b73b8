"""L-BFGS of `gradus.foundations.numerical` beside SciPy's and PyTorch's, on the same functions from the same starts.

All sides remember ten steps, work in float64 on one thread and stop at the same largest component of the gradient; each
must have reached it, and the same value, before a ratio is stored. Evaluations of value and gradient are counted, which
does not depend on the machine; times are taken in turns: ``python benchmarks/numerical.py [--rounds 7]``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from recording import origin, store
from scipy.optimize import minimize as scipy_minimize
from sklearn.datasets import load_digits
from torch.nn import functional as F

from gradus.foundations.numerical import evaluate, lbfgs_init, lbfgs_step, minimize

OUT = Path(__file__).parent / "results" / "numerical.json"
TOLERANCE, MEMORY, MOST = 1e-6, 10, 20_000

Function = Callable[[torch.Tensor], torch.Tensor]


class Reached(NamedTuple):
    """Where a side ended, and how often it asked for value and gradient."""

    vector: torch.Tensor
    evaluations: int


def rosenbrock(x):
    """Return the height in a curved valley."""
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def works() -> dict[str, tuple[Function, torch.Tensor]]:
    """Return functions and starts."""
    X, y = (torch.from_numpy(a) for a in load_digits(return_X_y=True))
    X = X / 16

    def regression(w):
        W = w.view(10, 65)
        return F.cross_entropy(X @ W[:, :64].T + W[:, 64], y) + 5e-4 * W[:, :64].square().sum()

    return {
        "Rosenbrock, 2 numbers": (rosenbrock, torch.tensor([-1.2, 1.0], dtype=torch.float64)),
        "Rosenbrock, 100 numbers": (rosenbrock, torch.tensor([-1.2, 1.0], dtype=torch.float64).repeat(50)),
        "softmax regression, 650 weights": (regression, torch.zeros(650, dtype=torch.float64)),
    }


def ours(f: Function, start: torch.Tensor) -> Reached:
    """Minimize with Gradus."""
    first = lbfgs_init(f, start, memory=MEMORY)
    state, outcome = minimize(lambda s: lbfgs_step(s, f), first, tolerance=TOLERANCE, max_steps=MOST)
    return Reached(state.point.vector, outcome.evaluations + 1)


def scipy_side(f: Function, start: torch.Tensor) -> Reached:
    """Minimize with SciPy's L-BFGS-B, whose gradients are the same."""

    def both(x: np.ndarray) -> tuple[float, np.ndarray]:
        at = evaluate(f, torch.from_numpy(x))
        return at.value, at.gradient.numpy()

    options = {"gtol": TOLERANCE, "ftol": 0.0, "maxcor": MEMORY, "maxiter": MOST, "maxfun": MOST}
    found = scipy_minimize(both, start.numpy(), jac=True, method="L-BFGS-B", options=options)
    return Reached(torch.from_numpy(found.x), found.nfev)


def torch_side(f: Function, start: torch.Tensor) -> Reached:
    """Minimize with torch.optim.LBFGS and its line search."""
    x = start.clone().requires_grad_()
    settings: dict[str, Any] = {"tolerance_grad": TOLERANCE, "tolerance_change": 0.0, "history_size": MEMORY}
    search = torch.optim.LBFGS([x], max_iter=MOST, max_eval=MOST, line_search_fn="strong_wolfe", **settings)
    count = 0

    def closure() -> torch.Tensor:
        nonlocal count
        count += 1
        search.zero_grad()
        value = f(x)
        value.backward()
        return value

    search.step(closure)
    return Reached(x.detach(), count)


SIDES = {"gradus": ours, "scipy": scipy_side, "torch": torch_side}


def measured(f: Function, start: torch.Tensor, rounds: int) -> dict[str, Any]:
    """Let the sides take turns; return evaluations, seconds, and the ratios of those that reached the same."""
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    reached: dict[str, Reached] = {}
    for turn in range(rounds):
        names = list(SIDES)
        for name in names[turn % 3 :] + names[: turn % 3]:
            begun = time.perf_counter()
            reached[name] = SIDES[name](f, start)
            seconds[name].append(time.perf_counter() - begun)
    ends = {name: evaluate(f, found.vector) for name, found in reached.items()}
    rows = {
        name: {
            "evaluations": reached[name].evaluations,
            "seconds": median(seconds[name]),
            "value": ends[name].value,
            "residual": float(ends[name].gradient.abs().max()),
        }
        for name in SIDES
    }
    ratios = {}
    for name in ("scipy", "torch"):
        same = abs(rows[name]["value"] - rows["gradus"]["value"]) <= 1e-6 * max(1, abs(rows["gradus"]["value"]))
        if same and max(rows[name]["residual"], rows["gradus"]["residual"]) <= 1.01 * TOLERANCE:
            each = [b / a for a, b in zip(seconds["gradus"], seconds[name], strict=True)]
            ratios[name] = {"median": median(each), "min": min(each), "max": max(each)}
    return {"sides": rows, "time over ours": ratios}


def main() -> None:
    """Race, check, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    record: dict[str, Any] = origin("cpu", " ".join(["python", "benchmarks/numerical.py", *sys.argv[1:]]))
    record["races"] = {}
    for title, (f, start) in works().items():
        found = measured(f, start, asked.rounds)
        record["races"][title] = found
        counts = ", ".join(f"{name} {row['evaluations']}" for name, row in found["sides"].items())
        ratios = ", ".join(f"{name} {row['median']:.2f}" for name, row in found["time over ours"].items())
        print(f"{title}: evaluations {counts}; time over ours {ratios}")
    store(asked.out, record)


if __name__ == "__main__":
    main()
