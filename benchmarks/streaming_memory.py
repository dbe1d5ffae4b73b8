"""Peak memory over a Parquet file of 1x, 4x and 16x the rows: of one epoch, and of the command on a fixed budget.

Each measurement is a fresh process that does its work and reports the largest resident set the system saw
(`getrusage`), beside what the same process needed before it opened the file. First one epoch is read, streamed and
loaded; then `gradus fit` and `gradus predict` run with a `memory` that even the small file exceeds. Streamed memory
must stay flat: the script fails if 16x the rows take more than 1.25 times the memory of 1x.

Run with ``python benchmarks/streaming_memory.py``; it writes ``benchmarks/results/streaming_memory.json``.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COLUMNS = 20
ROWS = 200_000
FACTORS = (1, 4, 16)
ROW_GROUP = 32_768
WINDOW = 65_536
BATCH = 1024
# GiB: less than the smallest file needs, so that every run streams.
MEMORY = 0.02
FLAT = 1.25
FIT = ("--set", f"memory={MEMORY}", "--set", "max_epochs=1", "--set", "hidden=64,64", "--quiet")
RESULTS = Path(__file__).parent / "results" / "streaming_memory.json"


def write_table(path: Path, rows: int) -> None:
    """Write random numbers and a target of two classes, a row group at a time."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    names = [f"x{i}" for i in range(COLUMNS)]
    schema = pa.schema([(name, pa.float64()) for name in names] + [("y", pa.int64())])
    with pq.ParquetWriter(path, schema) as writer:
        for low in range(0, rows, ROW_GROUP):
            n = min(ROW_GROUP, rows - low)
            values = rng.normal(size=(COLUMNS, n))
            arrays = [*values, (values[0] > 0).astype("int64")]
            writer.write_table(pa.table(dict(zip([*names, "y"], arrays, strict=True)), schema=schema))


def peak_bytes() -> int:
    """Return the largest resident set of this process so far, bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def measure(path: Path, way: str) -> dict[str, float]:
    """Read one epoch in this process, streamed or from memory, and report rows, seconds and peak memory."""
    import numpy as np
    import pyarrow.parquet as pq
    import torch

    from gradus.data.batches import Batches, TensorBatches
    from gradus.data.streaming import ParquetBatches

    before = peak_bytes()
    start = time.perf_counter()
    batches: Batches
    if way == "streamed":
        batches = ParquetBatches(path, target="y", batch_size=BATCH, window=WINDOW)
    else:
        frame = pq.read_table(path).to_pandas()
        inputs = torch.from_numpy(frame.drop(columns="y").to_numpy(dtype=np.float32))
        targets = torch.from_numpy(frame["y"].to_numpy(copy=True))
        batches = TensorBatches({"inputs": inputs, "targets": targets}, batch_size=BATCH)
    rows, total = 0, 0.0
    for batch in batches.epoch(0):
        rows += len(batch["inputs"])
        total += float(batch["inputs"].double().sum())
    seconds = time.perf_counter() - start
    return {"rows": rows, "sum": total, "seconds": seconds, "before": before, "peak": peak_bytes()}


def command(words: list[str]) -> dict[str, float]:
    """Run a command of Gradus in this process and report seconds and peak memory."""
    import contextlib
    import io

    import gradus.runs.job
    import gradus.runs.predictions  # noqa: F401
    from gradus.cli.main import run

    before = peak_bytes()
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = run(words)
    if code:
        raise SystemExit(f"{' '.join(words)} ended with {code}: {said.getvalue()}")
    return {"seconds": time.perf_counter() - start, "before": before, "peak": peak_bytes()}


def in_a_process(*arguments: str) -> dict[str, float]:
    """Return what this script reports for those arguments when run afresh."""
    answer = subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(answer.stdout)
    return found


def epochs(path: Path, factor: int) -> list[dict[str, object]]:
    """Measure one epoch over a file, streamed and loaded."""
    records: list[dict[str, object]] = []
    sums = {}
    for way in ("streamed", "loaded"):
        found = in_a_process("--measure", str(path), way)
        if found["rows"] != ROWS * factor:
            raise SystemExit(f"expected {ROWS * factor} rows, read {found['rows']}")
        sums[way] = found.pop("sum")
        records.append({"way": way, "factor": factor, "file_bytes": path.stat().st_size, **found})
        print(f"{way:9} {factor:3}x {found['rows']:9,} rows  peak {found['peak'] / 2**20:7.1f} MiB")
    if abs(sums["streamed"] - sums["loaded"]) > 1e-3 * max(1.0, abs(sums["loaded"])):
        raise SystemExit(f"the two ways read different numbers: {sums}")
    return records


def commands(path: Path, factor: int) -> list[dict[str, object]]:
    """Measure `gradus fit` and `gradus predict` on a file."""
    out = path.with_suffix("")
    words = {
        "fit": ["fit", str(path), "--target", "y", "--out", str(out), *FIT],
        "predict": ["predict", str(out), str(path), "--out", str(path.with_suffix(".answers.parquet")), "--quiet"],
    }
    records: list[dict[str, object]] = []
    for name, arguments in words.items():
        found = in_a_process("--command", *arguments)
        rows = ROWS * factor
        records.append({"way": name, "factor": factor, "file_bytes": path.stat().st_size, "rows": rows, **found})
        print(f"{name:9} {factor:3}x {rows:9,} rows  peak {found['peak'] / 2**20:7.1f} MiB")
    return records


def growth(records: list[dict[str, object]], way: str) -> float:
    """Return the peak at the most rows as a multiple of that at the fewest."""
    peaks = {r["factor"]: float(str(r["peak"])) for r in records if r["way"] == way}
    return round(peaks[FACTORS[-1]] / peaks[FACTORS[0]], 3)


def main() -> None:
    """Write the tables, measure each way on each in a process of its own, and store the results."""
    if sys.argv[1:2] == ["--command"]:
        print(json.dumps(command(sys.argv[2:])))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", nargs=2, metavar=("PATH", "WAY"), help="what the child processes run")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(Path(options.measure[0]), options.measure[1])))
        return
    read: list[dict[str, object]] = []
    run: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for factor in FACTORS:
            path = Path(folder) / f"rows_{factor}.parquet"
            write_table(path, ROWS * factor)
            read += epochs(path, factor)
            run += commands(path, factor)
            path.unlink()
    grown = {"streamed": growth(read, "streamed"), "fit": growth(run, "fit"), "predict": growth(run, "predict")}
    result = {
        "command": "python benchmarks/streaming_memory.py",
        "machine": {"system": platform.platform(), "processor": platform.machine()},
        "versions": _versions(),
        "settings": {"columns": COLUMNS, "row_group": ROW_GROUP, "window": WINDOW, "batch_size": BATCH},
        "records": read,
        "streamed_peak_16x_over_1x": grown["streamed"],
        "commands": {"memory": MEMORY, "fit": " ".join(FIT), "records": run, "peak_16x_over_1x": grown},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    for way, ratio in grown.items():
        print(f"{way}: 16x the rows took {ratio:.2f} times the peak memory of 1x")
    if max(grown.values()) > FLAT:
        raise SystemExit("streamed memory is not flat")


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("torch", "numpy", "pandas", "pyarrow")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


if __name__ == "__main__":
    main()
