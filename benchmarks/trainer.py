"""Time to train: Gradus beside plain PyTorch loops and other libraries, on three workloads.

Every side trains the same network for the same number of updates on the same numbers; the sides take turns, each at
the library's own number of threads and again on one, and what they learned is checked before a speed is printed.

Run on an idle machine with the peers of ``benchmarks/requirements.txt`` installed and GRADUS_DATA set:
``python benchmarks/trainer.py``. It takes about eight minutes on two cores and writes
``benchmarks/results/trainer.json``; ``python benchmarks/draw.py`` then draws ``docs/benchmarks.md``.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer_sides import Side
    from trainer_workloads import Workload

RESULTS = Path(__file__).parent / "results" / "trainer.json"
REPEATS = 5
WARM_UP_BATCHES = 10
REFERENCE = "plain"
# Some machines pin OpenBLAS to an old processor's kernels, or everything to one thread: the peers get what they
# choose by themselves. Has to happen before NumPy and torch are imported.
CLEARED = (
    *("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_NUM_THREADS"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
)


@dataclass
class Row:
    """What one side did on one workload at one number of threads."""

    side: str
    threads: str
    parameters: int = 0
    updates: list[int] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)
    comparable: bool = True
    reason: str = ""


@contextmanager
def using(threads: str) -> Iterator[None]:
    """Compute with the libraries' own number of threads (``"default"``), or with one."""
    if threads == "default":
        yield
        return
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    try:
        with threadpool_limits(1):
            torch.set_num_threads(1)
            yield
    finally:
        torch.set_num_threads(before)


def run(row: Row, side: Side, work: Workload, seed: int) -> None:
    """Fit once and add what it took, and what came of it, to ``row``."""
    gc.collect()
    null = Path(os.devnull).open("w")
    with null, redirect_stdout(null), redirect_stderr(null), using(row.threads):
        wall, processor = time.perf_counter(), time.process_time()
        fitted = side.fit(work, seed)
        row.seconds.append(time.perf_counter() - wall)
        row.processor_seconds.append(time.process_time() - processor)
        row.accuracy.append(float((fitted.predict() == work.y_test).mean()))
    row.parameters = fitted.parameters()
    row.updates.append(fitted.updates())


def measure(work: Workload, sides: dict[str, Side], threads: Sequence[str], repeats: int) -> list[Row]:
    """Let the sides take turns, each round beginning with another one, after each has warmed up."""
    pairs = [(name, count) for name in sides for count in threads]
    rows = [Row(name, count) for name, count in pairs if count == threads[0] or sides[name].one_thread]
    for row in rows:
        run(Row(row.side, row.threads), sides[row.side], work.head(WARM_UP_BATCHES), 0)
    for repeat in range(repeats):
        first = repeat * len(rows) // repeats
        for row in [*rows[first:], *rows[:first]]:
            run(row, sides[row.side], work, seed=repeat)
        print(f"  round {repeat + 1} of {repeats}", file=sys.stderr)
    return rows


def check(rows: list[Row], work: Workload) -> None:
    """Mark the rows that did other work than the plain loop, or learned less."""
    reference = next(row for row in rows if row.side == REFERENCE)
    least = median(reference.accuracy) - work.tolerance
    for row in rows:
        wrong = []
        if row.parameters != reference.parameters:
            wrong.append(f"{row.parameters} parameters, not {reference.parameters}")
        if set(row.updates) != {work.updates}:
            wrong.append(f"{sorted(set(row.updates))} updates, not {work.updates}")
        if median(row.accuracy) < least:
            wrong.append(f"test accuracy {median(row.accuracy):.4f}, below {least:.4f}")
        row.comparable, row.reason = not wrong, "; ".join(wrong)


def ratios(row: Row, reference: Row) -> dict[str, float]:
    """Return the times of ``row`` over those of ``reference``, round by round."""
    each = [ours / theirs for ours, theirs in zip(row.seconds, reference.seconds, strict=True)]
    spread = {"min": min(each), "median": median(each), "max": max(each)}
    return {name: round(value, 4) for name, value in spread.items()}


def found(rows: list[Row], reference_threads: str) -> list[dict[str, Any]]:
    """Return the rows as they are stored, with ratios to the plain loop: as it comes, and at the same threads."""
    reference = {row.threads: row for row in rows if row.side == REFERENCE}
    stored = []
    for row in rows:
        entry = vars(row) | {"median_seconds": round(median(row.seconds), 4)}
        for name in ("seconds", "processor_seconds", "accuracy"):
            entry[name] = [round(value, 4) for value in entry[name]]
        entry["ratio"] = ratios(row, reference[reference_threads])
        entry["ratio_same_threads"] = ratios(row, reference[row.threads])
        stored.append(entry)
    return stored


def show(name: str, record: dict[str, Any]) -> None:
    """Print a workload's table, its quality first."""
    print(f"\n({name}) {record['title']}")
    print(f"    {'':30} {'threads':>8} {'accuracy':>9} {'seconds':>8} {'ratio':>6}  spread")
    for row in record["rows"]:
        label = record["sides"][row["side"]]["label"]
        start = f"    {label:30} {row['threads']:>8} {median(row['accuracy']):9.4f}"
        if not row["comparable"]:
            print(f"{start}  not comparable: {row['reason']}")
            continue
        ratio = row["ratio"]
        spread = f"{ratio['min']:.2f}-{ratio['max']:.2f}"
        print(f"{start} {row['median_seconds']:8.3f} {ratio['median']:6.2f}  {spread}")
    machine = record["machine"]
    print(f"    load average {machine['load_before']} before, {machine['load_after']} after; ", end="")
    print(f"others took {machine['cores_busy_elsewhere']:.2f} of {machine['cores']} cores")


def compare(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one workload and return its record."""
    import torch
    from trainer_sides import SIDES
    from trainer_workloads import WORKLOADS

    print(f"({name}) preparing the data", file=sys.stderr)
    work = WORKLOADS[name]()
    if options.quick:
        work = replace(work.head(2 * WARM_UP_BATCHES), tolerance=1.0)  # too short to have learned as much
    asked = {key: side for key, side in SIDES.items() if side.images or not work.channels}
    sides = {key: side for key, side in asked.items() if side.present}
    threads = ("default", "1") if options.threads == "both" else (options.threads,)
    machine = {**_machine(), "torch_threads_default": torch.get_num_threads(), "load_before": _load()}
    start, busy = time.perf_counter(), _busy_elsewhere()
    rows = measure(work, sides, threads, options.repeats)
    machine["cores_busy_elsewhere"] = round((_busy_elsewhere() - busy) / (time.perf_counter() - start), 2)
    check(rows, work)
    return {
        "title": work.title,
        "data": work.data,
        "rows_to_train": len(work.x_train),
        "batch_size": work.batch_size,
        "epochs": work.epochs,
        "updates": work.updates,
        "tolerance": work.tolerance,
        "target": work.target,
        "sklearn_target": work.sklearn_target,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "python benchmarks/trainer.py " + " ".join(sys.argv[1:]),
        "commit": _commit(),
        "repeats": options.repeats,
        "clock": "from data in memory (standardized float32, the same for all) to a trained network; building the "
        "network and the optimizer counts, imports do not; every side warmed up on 10 batches first; what "
        "the libraries print goes to a null file",
        "environment": f"unset before anything was imported: {', '.join(CLEARED)}",
        "machine": {**machine, "load_after": _load()},
        "versions": {"python": platform.python_version()} | _versions(sides),
        "blas": _blas(),
        "absent": sorted(set(asked) - set(sides)),
        "sides": {
            key: {"label": side.label, "settings": side.settings, "framework": side.framework}
            for key, side in sides.items()
        },
        "rows": found(rows, threads[0]),
    }


def _machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "system": platform.platform(),
        "processor": model or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def _busy_elsewhere() -> float:
    """Return processor seconds that others than this process have used since the machine started, where it says."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return float("nan")
    user, nice, system, _idle, _wait, *interrupts = map(int, stat.read_text().split(maxsplit=9)[1:9])
    busy = user + nice + system + sum(interrupts)  # the last of which is what a hypervisor gave to other machines
    return busy / os.sysconf("SC_CLK_TCK") - time.process_time()


def _load() -> list[float]:
    return [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else []


def _versions(sides: dict[str, Side]) -> dict[str, str]:
    answers = {}
    for package in dict.fromkeys(["torch", "numpy", *(side.package for side in sides.values())]):
        try:
            answers[package] = version(package)
        except PackageNotFoundError:  # run from a source tree that is not installed
            import gradus

            answers[package] = gradus.__version__
    return answers


def _blas() -> list[str]:
    from threadpoolctl import threadpool_info

    pools = [f"{p['internal_api']} {p.get('version')} {p.get('architecture', '')}".strip() for p in threadpool_info()]
    return sorted(set(pools))


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    return done.stdout.strip()


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workload", choices=("a", "b", "c", "all"), default="all")
    parser.add_argument("--threads", choices=("default", "1", "both"), default="both")
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"rounds that are timed ({REPEATS})")
    parser.add_argument("--quick", action="store_true", help="20 batches a fit, to try the script; stores nothing")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where to store the results")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure the workloads asked for, and store each beside the others' newest results."""
    options = parsed()
    for name in CLEARED:
        os.environ.pop(name, None)
    os.environ["KERAS_BACKEND"] = "torch"
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    names = ("a", "b", "c") if options.workload == "all" else (options.workload,)
    stored = json.loads(options.output.read_text()) if options.output.exists() else {"workloads": {}}
    for name in names:
        record = compare(name, options)
        show(name, record)
        stored["workloads"][name] = record
        if not options.quick:
            options.output.parent.mkdir(exist_ok=True)
            options.output.write_text(json.dumps(stored, indent=2) + "\n")


if __name__ == "__main__":
    main()
