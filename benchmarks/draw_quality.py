"""Draw ``docs/quality.md`` from the results that the benchmarks stored: ``python benchmarks/draw_quality.py``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from draw import RESULTS, ROOT, table, write

PAGE = ROOT / "docs" / "quality.md"

INTRODUCTION = """# Quality and speed of deep networks

Drawn by `benchmarks/draw_quality.py` from what the scripts in `benchmarks/` stored; nothing on this page is typed by
hand. Each figure is the mean over the seeds, with their standard deviation where there are several. What was asked for
and not reached says no.
"""

SPEEDS = ("networks_language", "networks_vision", "networks_forecasting")
TITLES = {
    "mlp": "MLP with dropout",
    "mlp-maxnorm": "MLP with dropout and max-norm",
    "lenet": "LeNet-5",
    "lenet-shifted": "LeNet-5, shifted copies",
    "resnet-mnist": "residual network",
    "resnet-fashion": "residual network",
    "resnet-cifar": "residual network",
    "small": "transformer, 4 layers, 128 wide, context 64, 2,000 steps of 12 windows",
    "small-muon": "the same, trained by Muon",
    "small-mixed": "that, averaged with n-grams",
    "lstm": "LSTM of equal size, the same windows and steps",
    "ngram": "modified Kneser-Ney n-grams",
    "best-cpu": "ten minutes on two cores",
    "mixture": "the same, averaged with n-grams",
    "gpu": "transformer, 6 layers, 384 wide, context 256, 5,000 steps of 64 windows",
}


def load(results: Path, name: str) -> dict[str, Any] | None:
    """Return a stored result, or None where it was never measured."""
    path = results / f"{name}.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def over_seeds(values: Sequence[float], digits: int = 2) -> str:
    """Return the mean, and the standard deviation where there are several."""
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def images(found: dict[str, Any]) -> str:
    """Return the table of the image classifier."""
    rows = []
    for name, row in found["rows"].items():
        errors = [100 * r["error"] for r in row["records"]]
        views = [100 * r["error_with_views"] for r in row["records"] if "error_with_views" in r]
        summary = row["summary"]
        rows.append(
            (
                f"{row['data']}, {TITLES.get(name, name)}",
                over_seeds(errors),
                over_seeds(views) if views else "",
                f"{summary['target_percent']:g}",
                "yes" if summary["reached"] else "no",
                f"{mean(r['fit_seconds'] for r in row['records']):.1f}",
                str(len(errors)),
            )
        )
    head = ["", "error, %", "answers over views, %", "asked, at most", "reached", "seconds to train", "seeds"]
    machine = found["machine"]
    return f"""## Images

Errors on the official test parts after training on the full training parts, for a number of epochs fixed beforehand.
The JPEG copy of CIFAR-10 compares only roughly with figures for CIFAR-10.

{table(head, rows)}

Measured on {machine["device"]}, torch {found["versions"]["torch"]}, by `{found["command"]} --device cuda`.
"""


def texts(parts: Sequence[dict[str, Any]]) -> str:
    """Return the table of the language models."""
    rows, measured = [], []
    for found in parts:
        for name, row in sorted(found["rows"].items(), key=lambda item: list(TITLES).index(item[0])):
            seeds = [seed for seed in row["seeds"] if "nats" in seed]
            target = row.get("target", {})
            aim = target.get("nats_windows", target.get("nats"))
            key = "nats_windows" if "nats_windows" in target else "nats"
            values = [seed[key] for seed in seeds] if seeds and key in seeds[0] else []
            rows.append(
                (
                    TITLES.get(name, name),
                    over_seeds([s["nats"] for s in seeds], 3),
                    over_seeds([s["nats_windows"] for s in seeds], 3) if "nats_windows" in seeds[0] else "",
                    over_seeds([s["bits_per_byte"] for s in seeds], 3),
                    "" if aim is None else f"{aim:g}",
                    "" if aim is None else ("yes" if max(values) <= aim else "no"),
                    f"{mean(s['fit_seconds'] for s in seeds):.0f}" if "fit_seconds" in seeds[0] else "",
                    str(len(seeds)),
                )
            )
            machine = row["machine"]
            where = machine.get("gpu") or f"{machine['threads']} of {machine['cores']} cores"
            measured.append(f"{name}: {where}, load {machine['load'][0]:g} when it began")
    head = ["", "nats", "nats, windows", "bits a byte", "asked", "reached", "seconds to train", "seeds"]
    return f"""## Characters of tiny Shakespeare

The first nine tenths are learned, the last is scored. *nats* scores all of it once, each character from at least half a
context; *windows* averages random windows, as the published figures do.

{table(head, rows)}

By `benchmarks/quality_language.py`. {"; ".join(measured)}.
"""


def reader(parts: Sequence[dict[str, Any]]) -> str:
    """Return the table of the reader of numbers."""
    rows = []
    for found in parts:
        where = found["machine"].get("gpu") or f"one thread of {found['machine']['processor']}"
        for row in found["rows"].values():
            seeds = row["seeds"]
            rows.append(
                (
                    f"{row['canvases']:,} canvases, {row['settings']['max_epochs']} epochs, {where}",
                    over_seeds([100 * s["sequence_accuracy"] for s in seeds]),
                    over_seeds([100 * s["coverage"] for s in seeds]),
                    over_seeds([100 * s["coverage_promised"] for s in seeds]),
                    over_seeds([100 * s["accuracy_promised"] for s in seeds]),
                    str(len(seeds)),
                )
            )
    head = ["", "numbers read right, %", "coverage, %", "coverage, threshold of other canvases, %"]
    head += ["accuracy of these, %", "seeds"]
    return f"""## Reading numbers of unknown length (§11.6)

One to five digits of MNIST on a canvas. Coverage is the share of canvases that are answered when the least certain are
passed on, so that 98 % of the answers are right.

{table(head, rows)}

By `benchmarks/quality_reader.py`.
"""


def translation(found: dict[str, Any]) -> str:
    """Return the table of spellings turned into sounds, by the width of the search."""
    rows = []
    for name, row in found["models"].items():
        seeds = [seed for seed in row["seeds"] if "words_1" in seed]
        beams = sorted(int(key.removeprefix("words_")) for key in seeds[0] if key.startswith("words_"))
        for beam in beams:
            gains = [100 * (seed[f"words_{beam}"] - seed["words_1"]) for seed in seeds]
            rows.append(
                (
                    f"{row['settings']['network'].upper()}, {name} attention, "
                    + (f"beam {beam}" if beam > 1 else "greedy"),
                    over_seeds([100 * seed[f"words_{beam}"] for seed in seeds]),
                    over_seeds(gains) if beam > 1 else "",
                    over_seeds([100 * seed[f"phonemes_{beam}"] for seed in seeds]),
                    over_seeds([seed[f"log_probability_{beam}"] for seed in seeds], 3),
                    "" if beam == 1 else ("yes" if min(gains) > 0 else "no"),
                    str(len(seeds)),
                )
            )
    head = ["", "words right, %", "above greedy, points", "phonemes right, %", "log-probability, nats"]
    head += ["beats greedy from every seed", "seeds"]
    data, nearest = found["data"], found["nearest_spelling"]
    return f"""## From spelling to sound, greedily and by beam search (§12.4.5)

English words of the CMU pronouncing dictionary: {data["train"]:,} learned, {data["test"]:,} others said. A word is
right when every phoneme and stress is. The pronunciation of the word with the nearest spelling is right for
{100 * nearest["words"]:.1f} % of the words and {100 * nearest["phonemes"]:.1f} % of the phonemes.

{table(head, rows)}

By `benchmarks/quality_translation.py`. That the search finds the best answer of all is tested on cases small enough to
try every one.
"""


def copying(found: dict[str, Any]) -> str:
    """Return the table of the neural Turing machine."""
    lengths = list(found["settings"]["bits_tested"])
    rows = [
        (f"seed {r['seed']}, {r['steps']:,} steps", *(f"{r['wrong_bits'][n]:,}" for n in lengths))
        for r in found["records"]
    ]
    faultless = sum(r["wrong_bits"]["20"] == r["wrong_bits"]["40"] == 0 for r in found["records"])
    every = faultless == len(found["records"])
    reached = "reached from every seed" if every else f"reached from {faultless} of {len(found['records'])} seeds"
    return f"""## Copying, by a neural Turing machine (§10.12)

Trained on sequences of up to {found["settings"]["longest"]} vectors; wrong bits at several lengths. Error-free at 40
was asked for: {reached}.

{table(["", *(f"length {n}" for n in lengths)], rows)}

By `{found["command"]}`.
"""


def steps(found: dict[str, Any]) -> str:
    """Return the table of training steps on a GPU."""
    rows = []
    for name, side in found["sides"].items():
        low, high = side["spread_of_ratio"]
        ratio = f"{side['times_eager_float32']:.2f} ({low:.2f}-{high:.2f})"
        rows.append((name, f"{side['steps_per_second']:.0f}", ratio, side["execution"]))
    return f"""## A training step on a GPU

{found["what"][0].upper()}{found["what"][1:]}. {found["data"]}; {found["protocol"]}.

{table(["", "steps a second", "times eager", "how"], rows)}

Measured on {found["device"]}, torch {found["versions"]["torch"]}, by `{found["command"]}`.
"""


def languages(parts: Sequence[dict[str, Any]]) -> str:
    """Return the tables of speed beside plain torch."""
    rows, notes = [], []
    for found in parts:
        for name, row in found["rows"].items():
            machine = row["machine"]
            where = "GPU" if machine.get("gpu") else "processor"
            if name == "sampling":
                for batch in ("batch_1", "batch_64"):
                    for other, ratio in row[batch]["ratio"].items():
                        rows.append(
                            _ratio(f"256 tokens, {batch.replace('_', ' of ')}, {where}", row[batch], other, ratio, "")
                        )
                continue
            for other, ratio in row["ratio"].items():
                equal = {True: "yes", False: "no", None: ""}[row.get("equal_loss")]
                rows.append(_ratio(f"{row['title'].rstrip('.')}, {where}", row, other, ratio, equal))
            if "utilisation" in row:
                share, rate = row["utilisation"]["usual"], row["per_second"]["gradus"]
                notes.append(
                    f"In the shape of the smallest GPT-2 ({row['parameters']:,} parameters, batch "
                    f"{row['shape']['batch_size']}, bf16, compiled) {machine['gpu']} takes in {rate:,.0f} tokens a "
                    f"second: {share:.0%} of what it could compute."
                )
    head = ["", "Gradus, a second", "beside", "times as fast", "equal loss"]
    return f"""## Beside plain torch

Both sides in one run, taking turns; a ratio is the median over the rounds, with the smallest and largest. Loss is equal
where it is at most 0.05 nats above the other side's. Where it says no, the sides had begun from other weights, which
weighs much in a few steps without warm-up; they begin from the same since.

{table(head, rows)}

{chr(10).join(notes)}

By `benchmarks/networks.py`.
"""


def _ratio(title: str, row: dict[str, Any], other: str, ratio: dict[str, float], equal: str) -> tuple[str, ...]:
    times = f"{ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f})"
    return title, f"{row['per_second']['gradus']:,.0f}", other, times, equal


def page(results: Path) -> str:
    """Return the page of everything that was measured."""
    cuda = load(results, "quality_images_cuda")
    several = {
        name: [found for kind in ("cuda", "cpu") if (found := load(results, f"{name}_{kind}")) is not None]
        for name in (
            "quality_language",
            "quality_reader",
            "networks_language",
            "networks_vision",
            "networks_forecasting",
        )
    }
    single = [
        (load(results, name), draw)
        for name, draw in (("quality_translation", translation), ("quality_ntm", copying), ("gpu_training", steps))
    ]
    parts = [INTRODUCTION]
    parts += [images(cuda)] if cuda else []
    parts += [texts(several["quality_language"])] if several["quality_language"] else []
    parts += [reader(several["quality_reader"])] if several["quality_reader"] else []
    parts += [draw(found) for found, draw in single if found]
    both = [found for name in SPEEDS for found in several[name]]
    parts += [languages(both)] if both else []
    return "\n".join(parts)


if __name__ == "__main__":
    write(page, RESULTS, PAGE, __doc__)
