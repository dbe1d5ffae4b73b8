"""How well characters of Shakespeare are predicted: networks, and the n-grams they have to beat.

Data: tiny Shakespeare, 1,115,394 characters; the first nine tenths train, the last tenth is held out, as in nanoGPT.
Nothing is chosen on the held-out tenth but where a row says so.

Two figures a row, both in nats a character over the held-out text:

``nats``
    Every character once. Windows of the model's context overlap by half, so that a character is predicted from at
    least half a context (and the first ones from what there is). N-grams see all that came before.
``nats_windows``
    The published protocol: random windows, every position of a window counting alike, the first characters of a
    window being predicted from next to nothing. As many windows as published (20 batches of 12, or 200 of 64).

Bits per byte are ``nats / ln 2``, as every character here is one byte.

Rows::

    small     4 layers, 4 heads, 128 wide, context 64, batch 12, 2,000 steps (nanoGPT's setting for a processor;
              published: validation loss 1.88 in about three minutes)
    small-muon  the same, trained by Muon, whose steps take longer
    lstm      an LSTM with as many parameters, the same windows and steps
    ngram     modified Kneser-Ney; the order chosen on the end of the training part
    best-cpu  ten minutes on two cores, everything counted
    small-mixed  small-muon averaged with the n-grams
    mixture   best-cpu averaged with the n-grams
    gpu       6 layers, 6 heads, 384 wide, context 256, dropout 0.2, batch 64, 5,000 steps, bf16 (nanoGPT's setting
              for a GPU; published: 1.4697, the smallest of the validation losses seen in training, which is how the
              step is chosen here too; ``nats_last`` is the loss after the last step)

The weights of averages are learned on the beginning of the training part, which neither of the two then learns; the
end of it is worth more to both, as the held-out text goes on with the same play (without the last fiftieth n-grams
take 1.586 nats instead of 1.517).

Run with GRADUS_DATA set: ``python benchmarks/quality_language.py small lstm ngram``; it writes
``benchmarks/results/quality_language_cpu.json`` after each row and seed, or ``..._cuda.json``.
"""

from __future__ import annotations

import argparse
import gzip
import math
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from recording import load, origin, store, summary

from gradus.applications.language.mixed import MixedLanguageModel
from gradus.applications.language.model import LanguageModel, next_token_loss
from gradus.applications.language.ngrams import NGramLanguageModel
from gradus.data.windows import windows
from gradus.networks.recurrent.language import RecurrentLanguageModel
from gradus.networks.transformer import parameter_count

RESULTS = Path(__file__).parent / "results"
NUMBERS = ("nats", "bits_per_byte", "nats_windows", "nats_last", "seconds", "fit_seconds")
ENDLESS = 1_000_000  # epochs; what ends training is the number of steps
# Share of the training part, at its end, on which orders and weights are chosen.
TUNED = 0.02
MINUTES = 10

SMALL = {
    "context": 64,
    "width": 128,
    "layers": 4,
    "heads": 4,
    "batch_size": 12,
    "max_steps": 2000,
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "warmup_steps": 100,
    "weight_decay": 0.1,
}
MUON = {**SMALL, "optimizer": "muon", "learning_rate": 1e-2}
LSTM = {**SMALL, "network": "lstm", "layers": 1, "learning_rate": 1e-2}
# Wider and with twice the context: in ten minutes no better than small-muon, which takes a fifth of the time.
BEST = {
    "context": 128,
    "width": 192,
    "layers": 4,
    "heads": 6,
    "batch_size": 16,
    "learning_rate": 1e-2,
    "schedule": "cosine",
    "warmup_steps": 100,
    "weight_decay": 0.1,
    "dropout": 0.1,
    "optimizer": "muon",
}
GPU = {
    "context": 256,
    "width": 384,
    "layers": 6,
    "heads": 6,
    "dropout": 0.2,
    "batch_size": 64,
    "max_steps": 5000,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "warmup_steps": 100,
    "weight_decay": 0.1,
    "precision": "bf16",
    "early_stopping": True,
    "patience": 1000,
}


@dataclass(frozen=True)
class Work:
    """The texts, and where and how long to compute."""

    train: str
    valid: str
    device: str
    quick: bool

    def steps(self, asked: int) -> int:
        """Return the number of steps: a handful where the script is only tried."""
        return min(asked, 20) if self.quick else asked


def shakespeare(home: Path, *, device: str, quick: bool) -> Work:
    """Read the text and cut it."""
    text = gzip.decompress((home / "text" / "tinyshakespeare.txt.gz").read_bytes()).decode()
    cut = int(0.9 * len(text))
    valid = text[cut : cut + 4000] if quick else text[cut:]
    return Work(text[:cut], valid, device, quick)


def made(work: Work, seed: int, settings: dict[str, Any], **more: Any) -> LanguageModel:
    """Make a model; settings that this version does not have are left out by name, never silently mistyped."""
    known = LanguageModel.__dataclass_fields__
    settings = {"max_epochs": ENDLESS, "device": work.device, "random_state": seed, **settings, **more}
    if "compile" not in known:
        settings.pop("compile", None)
    if "max_steps" in settings:
        settings["max_steps"] = work.steps(settings["max_steps"])
        settings["warmup_steps"] = min(settings.get("warmup_steps", 0), settings["max_steps"] // 2)
    return LanguageModel(**settings)


@torch.inference_mode()
def over_windows(model: LanguageModel, text: str, *, batches: int, size: int, seed: int) -> float:
    """Return the mean loss of random windows, in nats a character."""
    network = model.network_.eval()
    device = next(network.parameters()).device
    tokens = torch.from_numpy(model.tokenizer_.encode(text)).to(device)
    source = torch.Generator().manual_seed(seed)
    total, count = 0.0, 0.0
    for _ in range(batches):
        starts = torch.randint(len(tokens) - model.context, (size,), generator=source).to(device)
        loss = next_token_loss(network, windows(tokens, starts, model.context), torch.Generator())
        total, count = total + float(loss.total), count + float(loss.count)
    return total / count


def judged(model: LanguageModel, work: Work, seed: int, *, batches: int = 20, size: int = 12) -> dict[str, Any]:
    """Return both figures of a fitted network, and what it took."""
    nats = -model.score(work.valid)
    return {
        "nats": nats,
        "bits_per_byte": nats / math.log(2) * len(work.valid) / len(work.valid.encode()),
        "nats_windows": over_windows(model, work.valid, batches=batches, size=size, seed=seed),
        "parameters": parameter_count(model.network_),
        "steps": model.n_steps_,
        "fit_seconds": round(model.fit_seconds_, 2),
        "precision": model.precision_,
        "n_threads": model.n_threads_,
    }


def small(work: Work, seed: int) -> dict[str, Any]:
    """Train in the well-known small setting."""
    return judged(made(work, seed, SMALL).fit(work.train), work, seed)


def small_muon(work: Work, seed: int) -> dict[str, Any]:
    """Train in the same setting by Muon."""
    return judged(made(work, seed, MUON).fit(work.train), work, seed)


def lstm(work: Work, seed: int) -> dict[str, Any]:
    """Train an LSTM with as many parameters as the small transformer."""
    shape = made(work, seed, {**SMALL, "max_epochs": 0}).fit(work.train)
    goal, tokens = parameter_count(shape.network_), shape.tokenizer_.size + 1

    def size(width: int) -> int:
        with torch.device("meta"):
            return parameter_count(RecurrentLanguageModel(tokens, width, layers=LSTM["layers"], cell="lstm"))

    width = min(range(8, 1024), key=lambda width: abs(size(width) - goal))
    return judged(made(work, seed, LSTM, width=width).fit(work.train), work, seed) | {"width": width}


def tuned_apart(work: Work) -> tuple[str, str]:
    """Return the training part without its end, and the end."""
    cut = int(len(work.train) * (1 - TUNED))
    return work.train[:cut], work.train[cut:]


def best_order(work: Work) -> int:
    """Choose the order of the n-grams on the end of the training part."""
    head, end = tuned_apart(work)
    return max(
        range(5, 6) if work.quick else range(5, 9),
        key=lambda order: NGramLanguageModel(order=order).fit(head).score(end),
    )


def ngram(work: Work, seed: int) -> dict[str, Any]:
    """Count the best n-grams; nothing of them is random."""
    order = best_order(work)
    nats = -NGramLanguageModel(order=order).fit(work.train).score(work.valid)
    return {"nats": nats, "bits_per_byte": nats / math.log(2), "order": order}


def in_minutes(work: Work, seed: int, text: str, seconds: float) -> LanguageModel:
    """Train for as many steps as fit into the time, by the speed of the first ones, so that the rate ends at zero."""
    start = time.perf_counter()
    probe = made(work, seed, BEST, max_steps=40).fit(text)
    rate = probe.n_steps_ / probe.fit_seconds_
    left = seconds - (time.perf_counter() - start)
    return made(work, seed, BEST, max_steps=max(1, int(0.97 * left * rate)), max_time=left).fit(text)


def best_cpu(work: Work, seed: int) -> dict[str, Any]:
    """Ten minutes, in which the held-out text is judged, too."""
    return judged(in_minutes(work, seed, work.train, MINUTES * 60 - 15), work, seed)


def mixed(work: Work, train: Callable[[str], LanguageModel]) -> dict[str, Any]:
    """Average a network with n-grams (Goodfellow et al. 2016, §12.4.4)."""
    cut = int(len(work.train) * TUNED)
    beginning, rest = work.train[:cut], work.train[cut:]
    learned, counted = train(rest), NGramLanguageModel(order=5 if work.quick else 7).fit(rest)
    both = MixedLanguageModel.of(learned, counted, beginning)
    one = MixedLanguageModel.of(learned, counted, beginning, groups=1)
    nats = -both.score(work.valid)
    return {
        "nats": nats,
        "bits_per_byte": nats / math.log(2) * len(work.valid) / len(work.valid.encode()),
        "nats_network": -learned.score(work.valid),
        "nats_ngram": -counted.score(work.valid),
        "nats_one_weight": -one.score(work.valid),
        "weights_of_network": [round(float(share), 3) for share in both.weights_[:, 0]],
        "fit_seconds": round(learned.fit_seconds_, 2),
        "steps": learned.n_steps_,
        "parameters": parameter_count(learned.network_),
    }


def small_mixed(work: Work, seed: int) -> dict[str, Any]:
    """Average the small network, trained by Muon, with n-grams."""
    return mixed(work, lambda text: made(work, seed, MUON).fit(text))


def mixture(work: Work, seed: int) -> dict[str, Any]:
    """Average the best of ten minutes with n-grams; the time is that of all."""
    return mixed(work, lambda text: in_minutes(work, seed, text, MINUTES * 60 - 40))


def gpu(work: Work, seed: int) -> dict[str, Any]:
    """Train in the well-known setting for a GPU."""
    tried = {"batch_size": 2} if work.quick else {}
    compiled = "auto" if work.device.startswith("cuda") else "off"
    model = made(work, seed, GPU, compile=compiled, **tried).fit(work.train, X_val=work.valid)
    curve = [{"step": row["step"], "train": row["loss"], "valid": row["valid_loss"]} for row in model.history_]
    found = judged(model, work, seed, batches=2 if work.quick else 200, size=model.batch_size)
    chosen = {"best_epoch": model.best_epoch_, "nats_last": curve[-1]["valid"]}
    return (
        found | chosen | {"nats_best": min(row["valid"] for row in curve), "curve": curve[:: max(1, len(curve) // 40)]}
    )


Row = Callable[[Work, int], dict[str, Any]]
# name -> (what runs, settings, published or to be reached)
ROWS: dict[str, tuple[Row, dict[str, Any], dict[str, Any]]] = {
    "small": (small, SMALL, {"nats_windows": 1.88, "seconds": 180}),
    "small-muon": (small_muon, MUON, {"nats_windows": 1.88}),
    "lstm": (lstm, LSTM, {}),
    "ngram": (ngram, {"smoothing": "kneser_ney", "discounts": 3}, {}),
    "small-mixed": (small_mixed, MUON, {}),
    "best-cpu": (best_cpu, BEST, {"seconds": MINUTES * 60}),
    "mixture": (mixture, BEST, {"seconds": MINUTES * 60}),
    "gpu": (gpu, GPU, {"nats_windows": 1.47}),
}


def measured(name: str, work: Work, seed: int) -> dict[str, Any]:
    """Run one row once; a failure is part of the record, and the next row runs."""
    start, busy = time.perf_counter(), time.process_time()
    try:
        found = ROWS[name][0](work, seed)
    except Exception as error:
        traceback.print_exc()
        found = {"error": f"{type(error).__name__}: {error}"[:500]}
    spent = {
        "seconds": round(time.perf_counter() - start, 1),
        "processor_seconds": round(time.process_time() - busy, 1),
    }
    return {"seed": seed} | found | spent


def main() -> None:
    """Run the rows asked for, seed by seed, and store each result at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="+", choices=list(ROWS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true", help="a few steps, to try the script; stores nothing")
    options = parser.parse_args()
    out = options.out or RESULTS / f"quality_language_{options.device.partition(':')[0]}.json"
    work = shakespeare(Path(os.environ["GRADUS_DATA"]), device=options.device, quick=options.quick)
    command = f"python benchmarks/quality_language.py {' '.join(sys.argv[1:])}"
    done: dict[str, list[dict[str, Any]]] = {name: [] for name in options.rows}
    for seed in options.seeds:
        for name in options.rows:
            if name == "ngram" and done[name]:
                continue  # the same from every seed
            done[name].append(measured(name, work, seed))
            shown = {key: value for key, value in done[name][-1].items() if key != "curve"}
            print(f"{name:9} {shown}", flush=True)
            if options.quick:
                continue
            record = load(out)
            record.setdefault("data", "tiny Shakespeare, split 9 : 1 in order")
            record.setdefault("rows", {})[name] = {
                **origin(options.device, command),
                "settings": ROWS[name][1],
                "target": ROWS[name][2],
                "summary": summary(done[name], NUMBERS),
                "seeds": done[name],
            }
            store(out, record)


if __name__ == "__main__":
    main()
