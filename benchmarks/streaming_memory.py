"""Peak memory of one epoch over a Parquet file of 1x, 4x and 16x the rows, streamed and loaded.

Each measurement is a fresh process that reads one epoch and reports the largest resident set the system saw
(`getrusage`), beside what the same process needed before it opened the file. Streamed memory must stay flat:
the script fails if 16x the rows take more than 1.25 times the memory of 1x.

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


def main() -> None:
    """Write the tables, measure each way on each in a process of its own, and store the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", nargs=2, metavar=("PATH", "WAY"), help="what the child processes run")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(Path(options.measure[0]), options.measure[1])))
        return
    records = []
    with tempfile.TemporaryDirectory() as folder:
        for factor in FACTORS:
            path = Path(folder) / f"rows_{factor}.parquet"
            write_table(path, ROWS * factor)
            sums = {}
            for way in ("streamed", "loaded"):
                command = [sys.executable, __file__, "--measure", str(path), way]
                answer = subprocess.run(command, check=True, capture_output=True, text=True)
                found = json.loads(answer.stdout)
                if found["rows"] != ROWS * factor:
                    raise SystemExit(f"expected {ROWS * factor} rows, read {found['rows']}")
                sums[way] = found.pop("sum")
                records.append({"way": way, "factor": factor, "file_bytes": path.stat().st_size, **found})
                print(f"{way:9} {factor:3}x {found['rows']:9,} rows  peak {found['peak'] / 2**20:7.1f} MiB")
            if abs(sums["streamed"] - sums["loaded"]) > 1e-3 * max(1.0, abs(sums["loaded"])):
                raise SystemExit(f"the two ways read different numbers: {sums}")
            path.unlink()
    peaks = {r["factor"]: r["peak"] for r in records if r["way"] == "streamed"}
    ratio = peaks[FACTORS[-1]] / peaks[FACTORS[0]]
    result = {
        "command": "python benchmarks/streaming_memory.py",
        "machine": {"system": platform.platform(), "processor": platform.machine()},
        "versions": _versions(),
        "settings": {"columns": COLUMNS, "row_group": ROW_GROUP, "window": WINDOW, "batch_size": BATCH},
        "records": records,
        "streamed_peak_16x_over_1x": round(ratio, 3),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(f"streamed: 16x the rows took {ratio:.2f} times the peak memory of 1x")
    if ratio > 1.25:
        raise SystemExit("streamed memory is not flat")


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("torch", "numpy", "pandas", "pyarrow")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


if __name__ == "__main__":
    main()
