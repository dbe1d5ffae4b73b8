"""Spelling to sound: how often a translator says an English word right, greedily and by beam search, three seeds.

Data: the CMU pronouncing dictionary, words of letters alone, the first pronunciation listed; in random order (fixed),
the last 2,000 words are the test, the 1,000 before them choose the best epoch. Spellings that differ are never in
both parts, but their relatives are, as everywhere this set is used.

Word accuracy is the share of words with every phoneme and stress right; phoneme accuracy is one minus the phoneme
error rate (edits over phonemes). Log-probabilities are of the answers found, in nats. The baseline copies
the pronunciation of the training word whose spelling shares most pairs of neighbouring letters.

Run with GRADUS_DATA set: ``OMP_NUM_THREADS=1 python benchmarks/quality_translation.py``; it writes
``benchmarks/results/quality_translation.json`` after each seed.
"""

from __future__ import annotations

import argparse
import gzip
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
from recording import load, origin, store, summary

from gradus.applications.language.translator import Translator, edit_distance
from gradus.networks.transformer import parameter_count

RESULTS = Path(__file__).parent / "results" / "quality_translation.json"
BEAMS = (1, 2, 4, 8)
TRAIN, VALID, TEST = 10_000, 1000, 2000
SHARED = {"target_tokens": "spaces", "width": 128, "max_epochs": 12, "batch_size": 64, "schedule": "cosine"}
MODELS: dict[str, dict[str, Any]] = {
    "additive": {**SHARED, "network": "gru", "attention": "additive"},
    "dot": {**SHARED, "network": "gru", "attention": "dot"},
    "none": {**SHARED, "network": "gru", "attention": "none"},
    "transformer": {**SHARED, "network": "transformer", "layers": 2, "learning_rate": 1e-3, "warmup_steps": 200},
}
Pairs = tuple[list[str], list[str]]


def words(home: Path, train: int) -> tuple[Pairs, Pairs, Pairs]:
    """Return training, validation and test pairs of spellings and phonemes."""
    rows = gzip.decompress((home / "text" / "cmudict.tsv.gz").read_bytes()).decode().splitlines()[1:]
    first: dict[str, str] = {}
    for word, phonemes in (row.split("\t") for row in rows):
        if word.isalpha() and word.isascii():
            first.setdefault(word, phonemes)
    pairs = list(first.items())
    order = np.random.default_rng(0).permutation(len(pairs))
    cuts = {
        "test": order[-TEST:],
        "valid": order[-TEST - VALID : -TEST],
        "train": order[: min(train, len(order) - 3000)],
    }

    def part(name: str) -> Pairs:
        return [pairs[i][0] for i in cuts[name]], [pairs[i][1] for i in cuts[name]]

    return part("train"), part("valid"), part("test")


def nearest(train: Pairs, test: Pairs, n: int = 200) -> dict[str, float]:
    """Judge the pronunciation of the training word with the nearest spelling, on the first words of the test."""
    known = [(set(zip(f"^{word}", f"{word}$", strict=True)), sound) for word, sound in zip(*train, strict=True)]
    right = edits = total = 0
    for word, truth in list(zip(*test, strict=True))[:n]:
        pairs = set(zip(f"^{word}", f"{word}$", strict=True))
        said = max(known, key=lambda one: len(pairs & one[0]) / len(pairs | one[0]))[1]
        right += said == truth
        edits += edit_distance(truth.split(), said.split())
        total += len(truth.split())
    return {"words": right / n, "phonemes": 1 - edits / total, "judged": n}


def measured(settings: dict[str, Any], data: tuple[Pairs, Pairs, Pairs], seed: int, quick: bool) -> dict[str, Any]:
    """Fit one translator and let it answer with each beam."""
    train, valid, test = data
    if quick:
        settings = {**settings, "max_steps": 20}
    start, busy = time.perf_counter(), time.process_time()
    model = Translator(**settings, random_state=seed).fit(*train, X_val=valid[0], y_val=valid[1])
    found: dict[str, Any] = {
        "seed": seed,
        "parameters": parameter_count(model.network_),
        "steps": model.n_steps_,
        "best_epoch": model.best_epoch_,
        "fit_seconds": round(time.perf_counter() - start, 1),
        "fit_processor_seconds": round(time.process_time() - busy, 1),
    }
    for beam in BEAMS:
        begun = time.perf_counter()
        best = [answers[0] for answers in model.candidates(test[0], beam=beam)]
        found[f"seconds_{beam}"] = round(time.perf_counter() - begun, 1)
        said = [(truth.split(), answer.text.split()) for truth, answer in zip(test[1], best, strict=True)]
        found[f"words_{beam}"] = float(np.mean([a == b for a, b in said]))
        found[f"phonemes_{beam}"] = 1 - sum(edit_distance(a, b) for a, b in said) / sum(len(a) for a, _ in said)
        found[f"log_probability_{beam}"] = float(np.mean([answer.log_probability for answer in best]))
    return found


def main() -> None:
    """Run the models asked for, seed by seed, and store each at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["additive"], help=f"of {', '.join(MODELS)}; additive by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--train", type=int, default=TRAIN, help="training words")
    parser.add_argument("--quick", action="store_true", help="a few steps, to try the script; stores nothing")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    unknown = sorted(set(options.models) - set(MODELS))
    if unknown:
        parser.error(f"expected models among {', '.join(MODELS)}, got {', '.join(unknown)}")
    data = words(Path(os.environ["GRADUS_DATA"]), 500 if options.quick else options.train)
    if options.quick:
        data = (data[0], (data[1][0][:50], data[1][1][:50]), (data[2][0][:50], data[2][1][:50]))
    command = f"python benchmarks/quality_translation.py {' '.join(sys.argv[1:])}"
    baseline = nearest(data[0], data[2], min(200, len(data[2][0])))
    print("nearest spelling", baseline, flush=True)
    for name in options.models:
        done: list[dict[str, Any]] = []
        for seed in options.seeds:
            try:
                done.append(measured(MODELS[name], data, seed, options.quick))
            except Exception as error:
                traceback.print_exc()
                done.append({"seed": seed, "error": f"{type(error).__name__}: {error}"[:500]})
            print(name, done[-1], flush=True)
            if options.quick:
                continue
            record = load(options.out)
            record["data"] = {"train": len(data[0][0]), "valid": len(data[1][0]), "test": len(data[2][0])}
            record["nearest_spelling"] = baseline
            numbers = [f"{what}_{beam}" for what in ("words", "phonemes", "log_probability") for beam in BEAMS]
            record.setdefault("models", {})[name] = {
                **origin("cpu", command),
                "settings": MODELS[name],
                "summary": summary(done, [*numbers, "fit_seconds"]),
                "seeds": done,
            }
            store(options.out, record)


if __name__ == "__main__":
    main()
