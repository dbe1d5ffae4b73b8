"""Draw ``docs/benchmarks.md`` from the results that the benchmarks stored: ``python benchmarks/draw.py``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
# How many times faster than every framework Gradus shall be.
FRAMEWORK_TARGET = 1.4
# Share of a core that others may have used before a measurement is called rough.
QUIET = 0.1

INTRODUCTION = """# Benchmarks

Drawn by `benchmarks/draw.py` from what the scripts in `benchmarks/` stored; nothing on this page is typed by hand.
Each comparison is the same work on both sides, in one run, taking turns, several times over; that both sides reached
the same quality is checked before a speed counts.
"""

RUN = """## Run them

On an idle machine, from a checkout, with GRADUS_DATA naming the folder of the data sets:

```console
$ pip install -c constraints.txt -e .
$ pip install -c constraints.txt -r benchmarks/requirements.txt
$ python benchmarks/trainer.py
$ python benchmarks/streaming_memory.py
$ python benchmarks/draw.py
```
"""

TRAINING = """## Time to train

The time from data in memory to a trained network, as a multiple of the plain PyTorch loop with a DataLoader. Every
side trains the same network with Adam (learning rate 0.001), the same batch size and number of updates, shuffled
anew each epoch. A ratio is the median over the rounds of one run, with the smallest and largest in brackets; accuracy
is the median on the test part. Ratios in both columns of times are to the plain loop at its own number of threads.
Where Gradus is judged, it runs as it comes, and the others at whichever number of threads suits them better.
"""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose first column is text and whose others are numbers."""
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, marks, *rows])


def spread(values: Sequence[float]) -> str:
    """Return the median, with the smallest and the largest."""
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def over(rows: dict[str, Any], below: dict[str, Any]) -> list[float]:
    """Return the times of one row over those of another, round by round."""
    return [a / b for a, b in zip(rows["seconds"], below["seconds"], strict=True)]


def fastest(record: dict[str, Any], side: str) -> dict[str, Any] | None:
    """Return a side's row at the number of threads that suits it best, if it did equal work with equal success."""
    rows = [row for row in record["rows"] if row["side"] == side and row["comparable"]]
    return min(rows, key=lambda row: row["median_seconds"]) if rows else None


def sides_table(record: dict[str, Any]) -> str:
    """Return one line a side: accuracy, and times at the library's own number of threads and on one."""
    rows = {(row["side"], row["threads"]): row for row in record["rows"]}
    counts = list(dict.fromkeys(row["threads"] for row in record["rows"]))
    names = {"default": "own number of threads", "1": "one thread"}
    lines = []
    for side, about in record["sides"].items():
        cells = [about["label"], f"{median(rows[side, counts[0]]['accuracy']):.4f}"]
        for count in counts:
            row = rows.get((side, count))
            if row is None:
                cells.append("")
                continue
            ratio = row["ratio"]
            measured = f"{ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f})"
            cells.append(f"{measured}, {row['median_seconds']:.2f} s" if row["comparable"] else "not comparable")
        lines.append(cells)
    drawn = table(["", "accuracy", *(names[count] for count in counts)], lines)
    wrong = [f"{record['sides'][r['side']]['label']}: {r['reason']}." for r in record["rows"] if not r["comparable"]]
    return "\n\n".join([drawn, *dict.fromkeys(wrong)])


def targets(record: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    """Return what was asked of Gradus, what was measured, and whether it was reached.

    Gradus counts as it comes; the others at the number of threads that suits them best.
    """
    ours = next(row for row in record["rows"] if row["side"] == "gradus")
    answers = []
    plain = fastest(record, "plain")
    if plain is not None and ours["comparable"]:
        each = over(ours, plain)
        asked = f"at most {record['target']:.2f} of the plain loop's time"
        answers.append((asked, spread(each), "", median(each) <= record["target"]))
    peers = {side: FRAMEWORK_TARGET for side, about in record["sides"].items() if about["framework"]}
    if record["sklearn_target"] is not None:
        peers = {"sklearn": record["sklearn_target"], **peers}
    for side, least in peers.items():
        row = fastest(record, side)
        if row is not None and ours["comparable"]:
            label, each = record["sides"][side]["label"], over(row, ours)
            answers.append((f"{least:.1f} times as fast as {label}", spread(each), label, median(each) >= least))
    return answers


def verdict(record: dict[str, Any]) -> str:
    """Return the targets beside what was measured, and a sentence on what was not reached."""
    judged = targets(record)
    if not judged:
        return "Gradus did not learn as much as the plain loop here: no speed is compared."
    drawn = table(
        ["asked of Gradus", "measured", "reached"],
        [(asked, measured, "yes" if reached else "no") for asked, measured, _, reached in judged],
    )
    missed = [f"{asked} (measured {measured})" for asked, measured, _, reached in judged if not reached]
    words = f"Not reached: {'; '.join(missed)}." if missed else "All of it was reached."
    return f"{drawn}\n\n{words}"


def conditions(record: dict[str, Any]) -> str:
    """Return where, when and how a workload was measured."""
    machine = record["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    elsewhere = machine["cores_busy_elsewhere"]
    lines = [
        f"Measured {record['when']} on {machine['processor']}, {machine['cores']} cores, {machine['system']}, "
        f"by `{record['command'].strip()}`, {record['repeats']} rounds. Load average {machine['load_before'][0]} "
        f"before, {machine['load_after'][0]} after. {versions}.",
        f"The clock: {record['clock']}. Quality: a side counts if its test accuracy is at most {record['tolerance']} "
        "below the plain loop's.",
    ]
    if not elsewhere <= QUIET:
        lines.append(f"Others used {elsewhere} cores meanwhile: take these numbers as rough.")
    if record["absent"]:
        lines.append(f"Not installed, so not measured: {', '.join(record['absent'])}.")
    return "\n\n".join(lines)


def training(stored: dict[str, Any]) -> str:
    """Return the section on time to train."""
    parts = [TRAINING]
    settings: dict[str, str] = {}
    for name, record in sorted(stored["workloads"].items()):
        parts += [f"### ({name}) {record['title']}", f"Data: {record['data']}."]
        parts += [sides_table(record), verdict(record), conditions(record)]
        settings |= {about["label"]: about["settings"] for about in record["sides"].values()}
    listed = "\n".join(f"- **{label}**: {words}." for label, words in settings.items())
    return "\n\n".join([*(part.strip() for part in parts), f"### What each side is\n\n{listed}"])


def streaming(stored: dict[str, Any]) -> str:
    """Return the section on the memory that streaming takes."""
    mebi = 2**20
    lines = [
        (
            f"{record['factor']}x, {record['rows']:,} rows, {record['way']}",
            f"{record['file_bytes'] / mebi:.0f}",
            f"{record['peak'] / mebi:.0f}",
            f"{(record['peak'] - record['before']) / mebi:.0f}",
        )
        for record in stored["records"]
    ]
    head = ["one epoch over a Parquet file", "file, MiB", "peak memory, MiB", "above the start, MiB"]
    ratio = stored["streamed_peak_16x_over_1x"]
    versions = ", ".join(f"{name} {number}" for name, number in stored["versions"].items())
    return "\n\n".join(
        [
            "## Memory of streamed data",
            "Peak resident memory of a fresh process that reads one epoch in shuffled batches, streamed from the file "
            "or loaded as a whole.",
            table(head, lines),
            f"Streamed, 16 times the rows took {ratio:.2f} times the peak memory of the small file.",
            *(commands(stored["commands"]) if "commands" in stored else ()),
            f"By `{stored['command']}` on {stored['machine']['system']}. {versions}.",
        ]
    )


def commands(stored: dict[str, Any]) -> list[str]:
    """Return the paragraphs on the memory that the command takes."""
    mebi = 2**20
    lines = [
        (
            f"`gradus {record['way']}`, {record['factor']}x, {record['rows']:,} rows",
            f"{record['file_bytes'] / mebi:.0f}",
            f"{record['peak'] / mebi:.0f}",
            f"{(record['peak'] - record['before']) / mebi:.0f}",
        )
        for record in sorted(stored["records"], key=lambda record: (record["way"], record["factor"]))
    ]
    head = ["command", "file, MiB", "peak memory, MiB", "above the start, MiB"]
    grown = stored["peak_16x_over_1x"]
    return [
        f"The whole command on the same files, data in memory limited to {stored['memory'] * 1024:.0f} MiB "
        f"(`{stored['fit']}`): survey, ladder, one epoch of the network, report; then the answers for every row.",
        table(head, lines),
        f"16 times the rows took {grown['fit']:.2f} times the peak memory to fit, "
        f"{grown['predict']:.2f} times to predict.",
    ]


def page(results: Path) -> str:
    """Return the whole page."""
    parts = [INTRODUCTION.strip()]
    for name, draw in (("trainer.json", training), ("streaming_memory.json", streaming)):
        if (results / name).exists():
            parts.append(draw(json.loads((results / name).read_text())))
    return "\n\n".join([*parts, RUN.strip()]) + "\n"


def write(page: Callable[[Path], str], results: Path, path: Path, about: str) -> None:
    """Read the command, and write a page drawn from a folder of results."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--results", type=Path, default=results, help="folder of the stored results")
    parser.add_argument("--page", "--out", type=Path, default=path, help="the page to write")
    options = parser.parse_args()
    options.page.write_text(page(options.results), "utf-8")
    print(f"drew {options.page}")


if __name__ == "__main__":
    write(page, RESULTS, PAGE, __doc__)
