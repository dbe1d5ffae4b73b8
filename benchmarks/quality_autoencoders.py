"""What pretraining by autoencoders is worth on MNIST: errors of perceptrons of one hidden layer, and of three.

Published for one hidden layer (Rifai et al. 2011, Contractive Auto-Encoders, table 1): contractive 1.14 %, denoising
with Gaussian noise 1.18 %, autoencoder with weight decay 1.68 %, without 1.78 %; for three layers of denoising
autoencoders (Vincent et al. 2010, table 3): 1.28 %. Those were trained by plain gradient descent on 50,000 images, with
the other 10,000 for the choice of settings and of the epoch. Here all 60,000 are trained on, by Adam, for a number of
epochs fixed beforehand; the test part is read once. Settings are judged with ``--hold-out 10000``, which leaves the
test part alone: so were the rate of fine-tuning chosen (0.001 to 0.01, the same for all rows of one layer; 0.0005 to
0.003 for three), the penalty of the contractive row (0.1 to 2) and the noise of the denoising one (0.5 and 0.8).
Matrix products are in bfloat16.

``linear`` errors are those of a linear classifier on the codes before fine-tuning: what the code itself is worth.

Run with GRADUS_DATA set, for all rows and three seeds::

    python benchmarks/quality_autoencoders.py --seeds 3

It writes ``benchmarks/results/quality_autoencoders_<device>.json`` after each seed and goes on from what is there; rows
and seeds already measured with the same settings are left out, unless ``--again`` is given. Before it starts it says
how long a seed of each row will take, from a few timed steps.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import numpy as np
import torch
from recording import pictures_home
from sklearn.linear_model import RidgeClassifier

from gradus.core.devices import choose_device
from gradus.research.representation import PretrainedClassifier

RESULTS = Path(__file__).parent / "results"
ONE = {
    "hidden": (1000,),
    "activation": "sigmoid",
    "batch_size": 100,
    "pretrain_epochs": 40,
    "pretrain_learning_rate": 1e-3,
    "learning_rate": 6e-3,
    "schedule": "cosine",
    "max_epochs": 30,
    "precision": "bf16",
}
THREE = {**ONE, "hidden": (1000, 1000, 1000), "pretrain_epochs": 25, "learning_rate": 3e-3}


class Row(NamedTuple):
    """What begins how, and the published error."""

    published: float | None
    settings: dict[str, Any]


ROWS = {
    "contractive": Row(0.0114, {**ONE, "pretraining": "contractive", "contraction": 1.0}),
    "denoising": Row(0.0118, {**ONE, "pretraining": "denoising", "noise": "gaussian", "noise_level": 0.5}),
    "autoencoder-decay": Row(0.0168, {**ONE, "pretraining": "autoencoder", "pretrain_l2": 1e-3}),
    "autoencoder": Row(0.0178, {**ONE, "pretraining": "autoencoder"}),
    "plain": Row(None, {**ONE, "pretraining": "none"}),
    "denoising-3": Row(0.0128, {**THREE, "pretraining": "denoising", "noise": "masking", "noise_level": 0.25}),
}
ORDER = ("contractive", "denoising", "autoencoder-decay", "autoencoder")
TOLERANCE = 0.003


class Part(NamedTuple):
    """Images and their classes."""

    X: np.ndarray
    y: np.ndarray


def read() -> tuple[Part, Part]:
    """Return the training and test parts of MNIST, as bytes."""
    with np.load(pictures_home() / "mnist.npz", allow_pickle=False) as file:
        return Part(file["x_train"], file["y_train"]), Part(file["x_test"], file["y_test"])


def take(train: Part, rows: int | None, held: int) -> tuple[Part, Part | None]:
    """Return the training part, or a random part of it, and what is held out of it."""
    order = np.random.default_rng(0).permutation(len(train.y))
    kept, out = order[: len(order) - held][:rows], order[len(order) - held :]
    return Part(train.X[kept], train.y[kept]), Part(train.X[out], train.y[out]) if held else None


def settings_for(row: Row, options: argparse.Namespace) -> dict[str, Any]:
    """Return a row's settings, with what the command line and the device change."""
    changed: dict[str, Any] = {}
    if options.epochs is not None:
        changed["max_epochs"] = options.epochs
    if options.pretrain_epochs is not None:
        changed["pretrain_epochs"] = options.pretrain_epochs
    if choose_device(options.device).type == "cuda":
        changed["n_threads"] = 1
    return {**row.settings, **changed}


def linear_error(model: PretrainedClassifier, train: Part, judged: Part) -> float:
    """Return the error of a linear classifier on the codes of the pretrained stack."""
    body = model.network_.body.eval()
    codes = []
    for part in (train, judged):
        with torch.inference_mode():
            rows = torch.from_numpy(part.X.reshape(len(part.X), -1)).float()
            device = next(body.parameters()).device
            chunks = [body(model.network_.prepare(chunk.to(device))).cpu() for chunk in rows.split(4096)]
        codes.append(torch.cat(chunks).numpy())
    probe = RidgeClassifier(alpha=1.0).fit(codes[0], train.y)
    return float((probe.predict(codes[1]) != judged.y).mean())


def measure(name: str, seed: int, options: argparse.Namespace, train: Part, judged: Part) -> dict[str, Any]:
    """Train once and judge once; before fine-tuning, judge the code by a linear classifier."""
    settings = settings_for(ROWS[name], options)
    whole = {**settings, "device": str(choose_device(options.device)), "random_state": seed}
    with tempfile.TemporaryDirectory() as folder:
        whole["checkpoint"] = folder  # pretraining that is finished there is not done again
        start = time.perf_counter()
        first = PretrainedClassifier(**{**whole, "max_epochs": 0}).fit(train.X, train.y)
        pretraining = time.perf_counter() - start
        linear = linear_error(first, train, judged)
        start = time.perf_counter()
        model = PretrainedClassifier(**whole).fit(train.X, train.y)
        seconds = time.perf_counter() - start
    wrong = int((model.predict(judged.X) != judged.y).sum())
    return {
        "seed": seed,
        "wrong": wrong,
        "error": wrong / len(judged.y),
        "linear_error": linear,
        "pretrain_seconds": round(pretraining, 1),
        "fit_seconds": round(pretraining + seconds, 1),
        "train_loss": model.history_[-1]["loss"] if model.history_ else None,
    }


def expected_seconds(name: str, options: argparse.Namespace, train: Part) -> float:
    """Return how long a seed of a row will take, from an epoch of each kind over a few rows."""
    few = Part(train.X[:2000], train.y[:2000])
    settings = settings_for(ROWS[name], options) | {"device": str(choose_device(options.device)), "random_state": 0}
    spent = {}
    for key, epochs in (("none", (0, 0)), ("pretraining", (2, 0)), ("tuning", (0, 2))):
        start = time.perf_counter()
        PretrainedClassifier(**{**settings, "pretrain_epochs": epochs[0], "max_epochs": epochs[1]}).fit(few.X, few.y)
        spent[key] = time.perf_counter() - start
    scale = len(train.y) / len(few.y) / 2
    pretraining = (spent["pretraining"] - spent["none"]) * settings["pretrain_epochs"] * scale
    return max(0.0, pretraining + (spent["tuning"] - spent["none"]) * settings["max_epochs"] * scale)


def installed(package: str) -> str:
    """Return a package's version."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "source"


def summarized(records: list[dict[str, Any]], published: float | None) -> dict[str, Any]:
    """Return the mean and the spread over the seeds."""
    errors = [100 * record["error"] for record in records]
    known: dict[str, Any] = {"mean_percent": round(mean(errors), 4)}
    if len(errors) > 1:
        known["std_percent"] = round(stdev(errors), 4)
    known["linear_percent"] = round(mean(100 * record["linear_error"] for record in records), 4)
    known["mean_fit_seconds"] = round(mean(record["fit_seconds"] for record in records), 1)
    if published is not None:
        known |= {"published_percent": round(100 * published, 4)}
        known["reached"] = bool(mean(errors) <= 100 * (published + TOLERANCE))
    return known


def main() -> None:
    """Measure the rows asked for, seed by seed, and store each as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=",".join(ROWS), help="names joined by commas")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--epochs", type=int, help="of fine-tuning, instead of each row's own")
    parser.add_argument("--pretrain-epochs", type=int, help="instead of each row's own")
    parser.add_argument("--train-rows", type=int, help="learn from so many images only, to try the script")
    parser.add_argument(
        "--hold-out", type=int, default=0, help="judge on so many training images, not on the test part"
    )
    parser.add_argument("--out", type=Path, help="file of the results")
    parser.add_argument("--again", action="store_true", help="measure anew what the file already holds")
    options = parser.parse_args()
    names = options.rows.split(",")
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        parser.error(f"expected rows among {', '.join(ROWS)}, got {unknown[0]!r}; change --rows")
    device = choose_device(options.device)
    whole, test = read()
    train, held = take(whole, options.train_rows, options.hold_out)
    judged = test if held is None else held
    out = options.out or RESULTS / f"quality_autoencoders_{device.type}.json"
    result = json.loads(out.read_text()) if out.is_file() else {"rows": {}}
    result |= {
        "command": "python benchmarks/quality_autoencoders.py --seeds 3",
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
        "versions": {name: installed(name) for name in ("torch", "scikit-learn")} | {"gradus": installed("gradus-dl")},
        "protocol": "error on the official test part after training on the full training part; see the script",
    }
    for name in names:
        known = {"settings": json.loads(json.dumps(settings_for(ROWS[name], options)))}
        known |= {"trained_on": len(train.y), "judged_on": f"{len(judged.y)} {'test' if held is None else 'held out'}"}
        stored = result["rows"].get(name, {})
        same = all(stored.get(key) == value for key, value in known.items()) and not options.again
        records = {record["seed"]: record for record in stored.get("records", [])} if same else {}
        missing = [seed for seed in range(options.seeds) if seed not in records]
        if missing:
            seconds = expected_seconds(name, options, train)
            print(f"{name:18} expects {seconds / 60:.1f} minutes a seed, {len(missing)} to go", flush=True)
        for seed in missing:
            records[seed] = measure(name, seed, options, train, judged)
            every = [records[key] for key in sorted(records)]
            result["rows"][name] = {**known, "summary": summarized(every, ROWS[name].published), "records": every}
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(result, indent=2) + "\n")
            record = records[seed]
            percent = f"error {100 * record['error']:.2f} %  linear {100 * record['linear_error']:.2f} %"
            print(f"{name:18} seed {seed}  {percent}  {record['fit_seconds']:7.1f} s", flush=True)
    means = {name: result["rows"][name]["summary"]["mean_percent"] for name in ORDER if name in result["rows"]}
    ranked = sorted(means, key=means.__getitem__)
    if len(ranked) > 1:
        print("order: " + " < ".join(f"{name} {means[name]:.2f}" for name in ranked))
    missed = [name for name in names if not result["rows"][name]["summary"].get("reached", True)]
    if missed:
        print(f"more than {100 * TOLERANCE:.1f} points above what is published: {', '.join(missed)}")


if __name__ == "__main__":
    main()
