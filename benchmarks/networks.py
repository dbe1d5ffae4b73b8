"""How fast deep networks train and answer, beside plain torch: ``python benchmarks/networks.py --part language``.

Each part is a module ``networks_<part>.py`` with a table ``ROWS`` of its measurements. Every row is stored as soon
as it is measured, in ``benchmarks/results/networks_<part>_<cpu|cuda>.json``; one that fails says so there, and the
next one runs. Set GRADUS_DATA to the folder of the data sets.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch
from recording import load, origin, store

RESULTS = Path(__file__).parent / "results"
PARTS = ("language", "vision", "forecasting")


def measured(part: Any, name: str, asked: Any) -> dict[str, Any]:
    """Measure one row; a failure is part of the record."""
    start = time.perf_counter()
    try:
        found = part.ROWS[name](asked)
    except Exception as error:
        traceback.print_exc()
        found = {"error": f"{type(error).__name__}: {error}"[:500]}
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return {"title": part.ROWS[name].__doc__.splitlines()[0], **found, "seconds": round(time.perf_counter() - start, 1)}


def main() -> None:
    """Measure the rows asked for and store each at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, required=True)
    parser.add_argument("--rows", nargs="+", help="names in the part's ROWS; all by default")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a few steps, to try the script; stores nothing")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    part = importlib.import_module(f"networks_{options.part}")
    names = options.rows or list(part.ROWS)
    unknown = sorted(set(names) - set(part.ROWS))
    if unknown:
        parser.error(f"expected rows among {', '.join(part.ROWS)}, got {', '.join(unknown)}")
    out = options.out or RESULTS / f"networks_{options.part}_{options.device.partition(':')[0]}.json"
    asked = part.Asked(device=options.device, rounds=options.rounds, quick=options.quick)
    command = f"python benchmarks/networks.py {' '.join(sys.argv[1:])}"
    for name in names:
        row = measured(part, name, asked)
        print(f"{name}: {row}", flush=True)
        if not options.quick:
            record = load(out)
            record.setdefault("rows", {})[name] = {**origin(options.device, command), **row}
            store(out, record)


if __name__ == "__main__":
    main()
