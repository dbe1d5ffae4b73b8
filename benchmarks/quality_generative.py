"""How well latent-variable models and generators learn MNIST: nats of test digits, and distances of samples.

Likelihoods are of digits drawn as bits with their brightness as probability: training rows anew in each step
(resampled), test rows once, from a fixed seed. Published beside: VAE of one layer -86.8 and IWAE with 50 draws -84.8
(Burda et al. 2016, table 1, 5,000 draws), resampled likewise; a belief network of one layer of 200 units by NVIL
-113.1 (Mnih & Gregor 2014, table 1, on digits binarized once, which is harder).

Generators have no likelihood. Their samples are compared with the test digits in the features of a classifier trained
here: Fréchet and kernel distance, precision and recall, density and coverage, and the memorization test against
training digits. The same distances between training and test digits stand beside, and those of a VAE's samples.

How the settings came about: those of the published models (tanh, two layers of 200, 50 numbers); the learning rate and
the number of epochs were fixed beforehand by the time there is. The test part is read once, at the end.

Run with GRADUS_DATA set, for all rows and one seed::

    python benchmarks/quality_generative.py                              # on the CPU: less than an hour a row
    python benchmarks/quality_generative.py --setting large --device cuda

The small setting (`SMALL`) has as many epochs as one core gets through in about an hour; the schedule of the learning
rate is fitted to them; where products of bfloat16 take half the time of float32 there, it has those (judging is in
float32 always). ``--minutes`` only cuts a training off. The script writes
``benchmarks/results/quality_generative_<device>.json`` after each seed and goes on from what is there, unless
``--again`` is given.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from recording import load, origin, pictures_home, store, summary

from gradus.applications.vision import ImageClassifier
from gradus.core.devices import choose_device
from gradus.research.generative import GAN, IWAE, VAE, MomentMatchingNetwork, SigmoidBeliefNet
from gradus.research.generative.binarization import binarize
from gradus.research.generative.evaluation import (
    features_of,
    frechet_distance,
    held_out_likelihood,
    kernel_distance,
    memorization,
    precision_recall,
)

RESULTS = Path(__file__).parent / "results"
CODES = {
    "n_components": 50,
    "hidden": (200, 200),
    "activation": "tanh",
    "binarize": "resample",
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "batch_size": 100,
    "max_epochs": 300,
}
PICTURES = {"network": "conv", "channels": (64, 128), "hidden": (), "batch_size": 128}
MEASURES = ("frechet", "kernel", "precision", "recall", "density", "coverage", "nearer")


class Row(NamedTuple):
    """A model, its settings, and the published nats, if there are any."""

    estimator: type[Any]
    settings: dict[str, Any]
    published: float | None = None
    draws: int = 0


ROWS = {
    "vae": Row(VAE, CODES, -86.8, 5000),
    "iwae": Row(IWAE, {**CODES, "samples": 50}, -84.8, 5000),
    "sbn": Row(
        SigmoidBeliefNet,
        {
            "hidden": (200,),
            "samples": 10,
            "binarize": "resample",
            "learning_rate": 1e-3,
            "schedule": "cosine",
            "batch_size": 100,
            "max_epochs": 200,
        },
        -113.1,
        1000,
    ),
    "gmmn": Row(
        MomentMatchingNetwork,
        {
            "n_components": 32,
            "prior": "uniform",
            "hidden": (512, 256, 64),
            "code_size": 32,
            "code_epochs": 50,
            "batch_size": 1000,
            "learning_rate": 1e-3,
            "schedule": "cosine",
            "max_epochs": 200,
        },
    ),
    "gan": Row(
        GAN,
        {**PICTURES, "n_components": 64, "normalization": "batch", "critic_normalization": "batch", "max_epochs": 30},
    ),
    "gan-penalty": Row(
        GAN,
        {
            **PICTURES,
            "n_components": 64,
            "loss": "wasserstein",
            "gradient_penalty": 10.0,
            "critic_steps": 5,
            "beta1": 0.0,
            "learning_rate": 1e-4,
            "normalization": "batch",
            "max_epochs": 60,
        },
    ),
    "gan-spectral": Row(
        GAN,
        {**PICTURES, "n_components": 64, "loss": "hinge", "spectral_norm": True, "learning_rate": 1e-3,
         "normalization": "batch",
         "max_epochs": 30},
    ),
}  # fmt: skip

SMALL = {
    "iwae": {"max_epochs": 60, "precision": "bf16"},
    "sbn": {"max_epochs": 150, "precision": "bf16"},
    "gmmn": {"max_epochs": 100, "code_epochs": 30},
    "gan": {"max_epochs": 15, "precision": "bf16"},
    "gan-penalty": {"max_epochs": 15, "precision": "bf16"},
    "gan-spectral": {"max_epochs": 15, "precision": "bf16"},
}


class Digits(NamedTuple):
    """Pictures as bytes, their classes, and the test pictures as bits of 0 and 255."""

    train: np.ndarray
    train_classes: np.ndarray
    test: np.ndarray
    bits: np.ndarray


def digits(rows: int | None, test_rows: int | None) -> Digits:
    """Return MNIST, or parts of it."""
    with np.load(pictures_home() / "mnist.npz", allow_pickle=False) as file:
        train, classes, test = file["x_train"][:rows], file["y_train"][:rows], file["x_test"][:test_rows]
    return Digits(train, classes, test, 255 * binarize(test, full=255, random_state=0))


def settings_for(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return a row's settings with what the command line changes."""
    row = ROWS[name]
    changed: dict[str, Any] = dict(SMALL.get(name, {})) if options.setting == "small" else {}
    if options.epochs is not None:
        changed["max_epochs"] = options.epochs
    if options.minutes is not None:
        changed["max_time"] = 60 * options.minutes
    if options.epochs is not None and "code_epochs" in row.settings:
        changed["code_epochs"] = options.epochs
    return {**row.settings, **changed}


def judged(samples: np.ndarray, data: Digits, judge: ImageClassifier) -> dict[str, float]:
    """Return the distances of samples, as many as there are test digits, from the test digits."""
    real, drawn = features_of(judge, data.test), features_of(judge, samples)
    known = features_of(judge, data.train)
    kernel = kernel_distance(real, drawn)
    found = precision_recall(real, drawn)
    copies = memorization(drawn, known, real)
    return {
        "frechet": frechet_distance(real, drawn),
        "kernel": kernel.value,
        "kernel_low": kernel.low,
        "kernel_high": kernel.high,
        **found._asdict(),
        "nearer": copies.nearer,
        "copies": copies.copies,
    }


def measure(
    name: str, seed: int, options: argparse.Namespace, data: Digits, judge: ImageClassifier | None
) -> dict[str, Any]:
    """Train once and judge once."""
    device, row = choose_device(options.device), ROWS[name]
    model = row.estimator(**settings_for(name, options), device=str(device), random_state=seed)
    start = time.perf_counter()
    model.fit(data.train)
    found: dict[str, Any] = {
        "seed": seed,
        "fit_seconds": round(time.perf_counter() - start, 1),
        "epochs": model.n_epochs_,
        "steps": model.n_steps_,
        "parameters": sum(p.numel() for p in model.network_.parameters() if p.requires_grad),
        "stopped_by": model.stopped_by_,
    }
    start = time.perf_counter()
    if row.draws:
        told = held_out_likelihood(model, data.bits, samples=options.draws or row.draws)
        found |= {"nats": told.nats, "low": told.low, "high": told.high, "kind": told.kind, "gain": told.gain}
        found["bits_a_pixel"] = told.bits
    if judge is not None:
        found |= judged(samples_of(model, len(data.test), seed), data, judge)
    return {**found, "judging_seconds": round(time.perf_counter() - start, 1)}


def samples_of(model: Any, n: int, seed: int) -> np.ndarray:
    """Return grey pictures: of models of bits, the probabilities rather than the draws of single pixels."""
    if hasattr(model, "inverse_transform"):
        rng = np.random.default_rng(seed)
        return model.inverse_transform(rng.standard_normal((n, model.n_components)))
    return model.sample(n, random_state=seed)


def main() -> None:
    """Measure the rows asked for, seed by seed, and store each as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=",".join(ROWS), help="names joined by commas")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--setting", choices=("small", "large"), default="small", help="how long to train")
    parser.add_argument("--epochs", type=int, help="instead of each row's own")
    parser.add_argument("--minutes", type=float, help="longest training of one row and seed")
    parser.add_argument("--draws", type=int, help="draws a row of the bound, instead of each row's own")
    parser.add_argument("--train-rows", type=int, help="learn from so many digits only, to try the script")
    parser.add_argument("--test-rows", type=int, help="judge on so many digits only, to try the script")
    parser.add_argument("--judge-epochs", type=int, default=10, help="of the classifier whose features are compared")
    parser.add_argument("--no-distances", action="store_true", help="likelihoods only")
    parser.add_argument("--out", type=Path, help="file of the results")
    parser.add_argument("--again", action="store_true", help="measure anew what the file already holds")
    options = parser.parse_args()
    names = options.rows.split(",")
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        parser.error(f"expected rows among {', '.join(ROWS)}, got {unknown[0]!r}; change --rows")
    device = choose_device(options.device)
    out = options.out or RESULTS / f"quality_generative_{device.type}.json"
    data = digits(options.train_rows, options.test_rows)
    judge, between = None, {}
    if not options.no_distances:
        judge = ImageClassifier(max_epochs=options.judge_epochs, device=str(device), random_state=0)
        judge.fit(data.train, data.train_classes)
        half = len(data.train) // 2
        fresh = Digits(data.train[:half], data.train_classes[:half], data.test, data.bits)
        between = judged(data.train[half:][: len(data.test)], fresh, judge)
        print(f"{'digits':13} " + shown(between), flush=True)
    record = load(out)
    record |= {
        **origin(str(device), "python benchmarks/quality_generative.py"),
        "protocol": "nats of test digits drawn as bits once, training digits resampled; distances in features of a "
        "classifier trained here, between samples and test digits",
        "digits": between,
    }
    record.setdefault("rows", {})
    for name in names:
        row = ROWS[name]
        known = {
            "estimator": row.estimator.__name__,
            "settings": json.loads(json.dumps(settings_for(name, options))),
            "trained_on": len(data.train),
            "judged_on": len(data.test),
            "draws": (options.draws or row.draws) if row.draws else 0,
        }
        kept = record["rows"].get(name, {})
        same = all(kept.get(key) == value for key, value in known.items()) and not options.again
        seeds = {found["seed"]: found for found in kept.get("seeds", [])} if same else {}
        for seed in options.seeds:
            if seed in seeds:
                continue
            seeds[seed] = measure(name, seed, options, data, judge)
            every = [seeds[key] for key in sorted(seeds)]
            told = summary(every, ("nats", "fit_seconds", *MEASURES))
            record["rows"][name] = {**known, "published": row.published, "summary": told, "seeds": every}
            store(out, record)
            print(f"{name:13} seed {seed} {shown(seeds[seed])}  {seeds[seed]['fit_seconds']:.0f} s", flush=True)


def shown(found: dict[str, Any]) -> str:
    """Return the numbers of one record as words."""
    nats = [f"{found['nats']:.2f} nats (gain {found['gain']:.2f})"] if "nats" in found else []
    return "  ".join([*nats, *(f"{key} {found[key]:.3g}" for key in MEASURES if key in found)])


if __name__ == "__main__":
    main()
