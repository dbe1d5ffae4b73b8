"""What every result says of where it comes from, and how results are kept: a file, rewritten at each measurement."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import mean, stdev
from typing import Any

__all__ = ["load", "machine", "origin", "pictures_home", "spread", "store", "summary"]

PACKAGES = ("torch", "numpy", "scikit-learn", "pandas")


def machine(device: str) -> dict[str, Any]:
    """Return what computes."""
    import torch

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    found: dict[str, Any] = {
        "system": platform.platform(),
        "processor": model or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else [],
        "device": device,
    }
    if device.startswith("cuda"):
        found |= {"gpu": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
    return found


def origin(device: str, command: str) -> dict[str, Any]:
    """Return the command, the time, the commit, the machine and the versions."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    git = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, cwd=Path(__file__).parent, check=False).stdout
    except OSError:  # no git where only the files were copied to
        commit = ""
    return {
        "command": command,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.strip(),
        "machine": machine(device),
        "versions": found,
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return mean and standard deviation over seeds, 0 where there is one."""
    return {"mean": mean(values), "spread": stdev(values) if len(values) > 1 else 0.0}


def summary(seeds: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return mean and spread over seeds of the named numbers that all of them have."""
    found = {name: [row[name] for row in seeds if isinstance(row.get(name), int | float)] for name in names}
    return {name: spread(values) for name, values in found.items() if values and len(values) == len(seeds)}


def pictures_home() -> Path:
    """Return the folder of the sets of pictures."""
    named = os.environ.get("GRADUS_DATA")
    if not named or not Path(named).is_dir():
        raise SystemExit(f"error: expected GRADUS_DATA to name the data folder, got {named!r}; set it")
    return Path(named) / "vision"


def load(path: Path) -> dict[str, Any]:
    """Return what is stored, or nothing yet."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def store(path: Path, record: dict[str, Any]) -> None:
    """Write the record beside the old one, then put it in its place: a run that is cut off leaves a whole file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    beside.replace(path)
