"""Draw ``docs/quality_research.md`` from what the benchmarks stored: ``python benchmarks/draw_research.py``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from draw import RESULTS, ROOT, table, write
from draw_quality import load, over_seeds

PAGE = ROOT / "docs" / "quality_research.md"
QUIET = 3.0  # processes that ran when a race began, from which on it is called rough: two cores, and the race before it

INTRODUCTION = """# Quality and speed of Part III

Drawn by `benchmarks/draw_research.py` from what the scripts in `benchmarks/` stored; nothing on this page is typed by
hand. Figures are means over the seeds, with their standard deviation where there are several. Published figures stand
beside; where they were measured otherwise, it is said.
"""

MODELS = {
    "fvbn": "FVBN, logistic",
    "nade": "NADE",
    "made": "MADE, one hidden layer, 32 masks",
    "made2": "MADE, two hidden layers, 32 masks",
    "orderless": "NADE for every order, two hidden layers",
    "pixelcnn": "PixelCNN, gated",
    "vae": "VAE, one layer of latents, bound of 5,000 draws",
    "iwae": "IWAE trained with 50 draws, bound of 5,000 draws",
    "sbn": "sigmoid belief network, 200 units, bound of 1,000 draws",
    "gmmn": "moment matching",
    "gan": "GAN, non-saturating",
    "gan-penalty": "GAN, Wasserstein with penalty",
    "gan-spectral": "GAN, hinge, spectral norm",
    "contractive": "contractive",
    "denoising": "denoising, Gaussian noise",
    "autoencoder-decay": "autoencoder, weight decay",
    "autoencoder": "autoencoder",
    "plain": "none",
    "denoising-3": "denoising, masking noise, three layers",
}
DISTANCES = ("frechet", "kernel", "precision", "recall", "density", "coverage", "nearer")


def minutes(seconds: Iterable[float]) -> str:
    """Return the mean in minutes."""
    values = list(seconds)
    return f"{sum(values) / len(values) / 60:.0f}"


def epochs(seeds: Sequence[dict[str, Any]]) -> str:
    """Return how many epochs were trained."""
    return "-".join(str(number) for number in sorted({seed["epochs"] for seed in seeds}))


def pretraining(found: dict[str, Any]) -> str:
    """Return the table of pretrained perceptrons."""
    rows = []
    for name, row in found["rows"].items():
        records, summary = row["records"], row["summary"]
        published = summary.get("published_percent")
        rows.append(
            (
                MODELS[name],
                over_seeds([100 * r["error"] for r in records]),
                "" if published is None else f"{published:.2f}",
                "" if published is None else ("yes" if summary["reached"] else "no"),
                over_seeds([100 * r["linear_error"] for r in records], 1),
                minutes(r["fit_seconds"] for r in records),
                str(len(records)),
            )
        )
    head = ["pretraining", "error, %", "published, %", "within 0.3 points", "linear classifier on the code, %"]
    head += ["minutes", "seeds"]
    return f"""## Pretraining by autoencoders (§15.1)

MNIST, official test part, after fine-tuning for a number of epochs fixed beforehand. The published perceptrons were
trained by plain gradient descent and chosen by a validation part (Rifai et al. 2011, table 1; three layers: Vincent et
al. 2010, table 3); these are trained by Adam on all 60,000.

{table(head, rows)}

By `{found["command"]}`, on {found["machine"]["cores"]} cores.
"""


def likelihoods(mixtures: Any, exact: Any, bounds: Any) -> str:
    """Return the table of nats of binarized digits."""
    rows = []
    for row in mixtures["models"] if mixtures else ():
        name = f"mixture of {row['components']} Bernoullis"
        published = mixtures["published"].get(name)
        rows.append(_nats(name, "fixed", row["seeds"], "test", published, "seconds"))
    for key, row in exact["digits"].items() if exact else ():
        name = key.split(",")[0]
        rows.append(_nats(MODELS[name], "fixed", row["seeds"], "test", row["published"], "seconds"))
    for name, row in bounds["rows"].items() if bounds else ():
        if "nats" in row["seeds"][0]:
            rows.append(_nats(MODELS[name], "resampled", row["seeds"], "nats", row["published"], "fit_seconds"))
    head = ["", "digits", "test nats", "published", "above published", "epochs", "minutes", "seeds"]
    return f"""## Likelihood of binarized digits (§20.10)

MNIST as bits, each pixel drawn with its brightness as the probability. *Fixed*: drawn once, from our own seed, so that
tenths of a nat do not compare with figures on Larochelle and Murray's draw. *Resampled*: training digits are drawn
anew in each step, which makes figures better than fixed ones. Test digits are drawn once, and read once. Bounds lie
below the likelihood they stand for. The emissions of the mixtures are smoothed as the validation part likes best; how
the published mixture was fitted is not known here.

{table(head, rows)}

By `benchmarks/quality_mixtures.py`, `benchmarks/quality_autoregressive.py` and `benchmarks/quality_generative.py`, each
fit on one or two cores. Minutes are those of the clock, on a machine that did other work as well.
"""


def _nats(
    title: str, digits: str, seeds: Sequence[dict[str, Any]], key: str, published: float | None, clock: str
) -> tuple[str, ...]:
    values = [seed[key] for seed in seeds]
    beside = ("", "") if published is None else (f"{published:.1f}", f"{sum(values) / len(values) - published:+.1f}")
    trained = epochs(seeds) if "epochs" in seeds[0] else ""
    return title, digits, over_seeds(values), *beside, trained, minutes(seed[clock] for seed in seeds), str(len(seeds))


def distances(found: dict[str, Any]) -> str:
    """Return the table of samples compared with test digits."""
    measured = {"training digits themselves": [found["digits"]]}
    measured |= {MODELS[name]: row["seeds"] for name, row in found["rows"].items() if "frechet" in row["seeds"][0]}
    rows = [
        (title, *(over_seeds([s[key] for s in seeds], 3) for key in DISTANCES)) for title, seeds in measured.items()
    ]
    head = ["", "Fréchet", "kernel", "precision", "recall", "density", "coverage", "nearer to training than test"]
    return f"""## Samples beside test digits (§20.14)

Distances in the features of a classifier of digits trained by the same script, between as many samples as there are
test digits and the test digits. Smaller is better for the first two, nearer to one for the others; a sample is as
often nearer to a training as to a test digit (0.5) where nothing is copied.

{table(head, rows)}

By `{found["command"]}`.
"""


def densities(found: dict[str, Any]) -> str:
    """Return the table of flows and mixtures on rows of numbers."""
    rows = []
    for name, kinds in found["tables"].items():
        for kind, row in kinds.items():
            size = f"{row['rows']:,} x {row['columns']}"
            values = [seed["test"] for seed in row["seeds"]]
            rows.append((f"{name}, {size}", kind, over_seeds(values), minutes(s["seconds"] for s in row["seeds"])))
    return f"""## Density of tables (§20.10.2)

Nats a row, held out; columns of whole numbers carry uniform noise of width one, the same for all models.

{table(["", "model", "test nats", "minutes"], rows)}

By `benchmarks/quality_autoregressive.py`.
"""


def factors(found: dict[str, Any]) -> str:
    """Return what linear factors found in real data."""
    rows, parts = found["rows"], []
    if "amari" in rows:
        ours = [
            (name, f"{row['mean']:.4f} ± {row['spread']:.4f}", f"{row['worst']:.4f}", f"{row['asked']:g}")
            for name, row in rows["amari"].items()
            if isinstance(row, dict) and "worst" in row
        ]
        parts.append(f"{rows['amari']['title']}\n\n{table(['', 'mean', 'worst', 'asked, at most'], ours)}")
    if "speakers" in rows:
        row = rows["speakers"]
        lines = [(key, f"{row[key]['mean']:.1f} ± {row[key]['spread']:.1f}") for key in ("mixed", "separated")]
        parts.append(f"{row['title']}\n\n{table(['', 'dB'], lines)}")
    if "photographs" in rows:
        row = rows["photographs"]
        fit, noise = row["r2"], row["r2 of noise of the same spectrum"]
        lines = [
            ("R² of the atoms, median (quarters)", f"{fit['median']:.2f} ({fit['lower']:.2f}-{fit['upper']:.2f})"),
            ("R² of noise of the same spectrum, median (largest)", f"{noise['median']:.2f} ({noise['largest']:.2f})"),
            ("share of atoms above 0.8", f"{row['share above 0.8']:.2f}"),
            ("directions covered, of 8", str(row["directions covered, of 8"])),
        ]
        parts.append(f"{row['title']}\n\n{table(['', ''], lines)}")
    if "gaps" in rows:
        lines = [(name, f"{value:.3f}") for name, value in rows["gaps"]["error"].items()]
        parts.append(f"{rows['gaps']['title']}\n\n{table(['', 'error'], lines)}")
    body = "\n\n".join(parts)
    return f"## Linear factors (chapter 13)\n\n{body}\n\nBy `benchmarks/quality_linear_factors.py`.\n"


def words(found: dict[str, Any]) -> str:
    """Return the table of hidden Markov models of spoken digits."""
    rows = [
        (row["model"], f"{100 * row['accuracy']:.1f}", "-".join(f"{100 * end:.0f}" for end in row["interval"]))
        for row in found["models"]
    ]
    return f"""## Spoken digits by hidden Markov models (§12.3)

{found["data"]}. {found["features"][0].upper()}{found["features"][1:]}. The interval is over speakers.

{table(["a model a word", "right, %", "95 % interval"], rows)}

By `{found["command"]}`.
"""


def speeds(rooms: Sequence[dict[str, Any]]) -> str:
    """Return the table of races, and what the peers' settings were."""
    rows, notes = [], []
    for found in rooms:
        for race in found["races"].values():
            if "rows" not in race:
                continue
            for row in race["rows"]:
                threads = "own threads" if row["threads"] == "default" else "one thread"
                for side, ratio in sorted(row["ratio"].items()):
                    times = "not comparable: " + ratio["not comparable"] if "not comparable" in ratio else _times(ratio)
                    asked = f"{ratio['target']:.3g}" if "target" in ratio else ""
                    reached = {True: "yes", False: "no"}.get(ratio.get("reached"), "")
                    took = f"{row['median_seconds']['gradus']:.2f}"
                    rows.append(
                        (f"{race['title']}, {threads}", race["sides"][side]["label"], took, times, asked, reached)
                    )
            load = race["machine"]["load"][0]
            rough = f" The machine was busy (load {load:g}) when it began: rough." if load > QUIET else ""
            quality = race["rows"][0]["quality"]
            reached = "; ".join(
                f"{side} " + ", ".join(f"{key} {value:.6g}" for key, value in numbers.items())
                for side, numbers in quality.items()
            )
            notes.append(f"- {race['title']}: {race['data']}. {race['note']} Reached: {reached}.{rough}")
    head = ["", "beside", "Gradus, seconds", "times as fast", "asked", "reached"]
    return f"""## Speed beside other libraries

All sides in one process, taking turns; a ratio is the median over the rounds, with the smallest and largest, and is
given only where our result is as good.

{table(head, rows)}

{chr(10).join(notes)}

By `benchmarks/research.py`.
"""


def _times(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f})"


def page(results: Path) -> str:
    """Return the page of everything that was measured."""
    mixtures, exact = load(results, "quality_mixtures"), load(results, "quality_autoregressive")
    bounds = load(results, "quality_generative_cuda") or load(results, "quality_generative_cpu")
    learned = load(results, "quality_autoencoders_cuda") or load(results, "quality_autoencoders_cpu")
    rooms = [load(results, f"research_{room}") for room in ("linear_factors", "inference", "generative")]
    parts = [INTRODUCTION]
    parts += [pretraining(learned)] if learned else []
    parts += [likelihoods(mixtures, exact, bounds)] if mixtures or exact or bounds else []
    parts += [distances(bounds)] if bounds and bounds["digits"] else []
    parts += [densities(exact)] if exact and exact["tables"] else []
    for name, draw in (("quality_linear_factors", factors), ("quality_hmm", words)):
        found = load(results, name)
        parts += [draw(found)] if found else []
    present = [found for found in rooms if found]
    parts += [speeds(present)] if present else []
    return "\n".join(parts)


if __name__ == "__main__":
    write(page, RESULTS, PAGE, __doc__)
