"""``gradus check``: what is here of the things Gradus needs."""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from gradus import __version__
from gradus.cli.console import emit_json, show

__all__ = ["add_to", "check", "examine", "requirements"]

DISTRIBUTION = "gradus-dl"


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    app.command()(check)


def requirements() -> dict[str, list[str]]:
    """Return the distributions each extra needs, and under ``""`` those Gradus itself needs.

    Empty where Gradus runs from its source folder without being installed.
    """
    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return {}
    needed: dict[str, list[str]] = {"": []}
    for line in lines:
        name = re.split(r"[\s\[<>=!~;(]", line, maxsplit=1)[0]
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", line)
        needed.setdefault(extra.group(1) if extra else "", []).append(name)
    return needed


def check(as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False) -> None:
    """Check the installation: versions, devices, threads, extras, the cache."""
    facts = examine()
    if as_json:
        emit_json(facts)
    else:
        show({k: v for k, v in facts.items() if k != "ok"})
    if not facts["ok"]:
        raise typer.Exit(1)


def examine() -> dict[str, Any]:
    """Return what `gradus check` shows; ``ok`` is false where something needed is missing."""
    needed = requirements()
    problems = [f"{name} is not installed; pip install {name}" for name in needed.get("", []) if not _version(name)]
    facts: dict[str, Any] = {
        "gradus": f"{__version__} in {Path(__file__).parents[1]}",
        "installed": "yes" if needed else f"no, runs from its source; pip install {DISTRIBUTION} or pip install -e .",
        "python": f"{platform.python_version()} in {sys.prefix}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    if not any(problem.startswith("torch ") for problem in problems):
        facts |= _compute()
    folder, trouble = _cache()
    facts["cache"] = folder
    problems += [trouble] if trouble else []
    facts["versions"] = {name: _version(name) or "missing" for name in needed.get("", [])}
    facts["problems"] = problems or "none"
    facts["ok"] = not problems
    facts["extras"] = [
        {
            "extra": extra,
            "present": not missing,
            "missing": missing,
            "install": f"pip install '{DISTRIBUTION}[{extra}]'",
        }
        for extra, names in needed.items()
        if extra
        for missing in [[name for name in names if not _version(name)]]
    ]
    return facts


def _compute() -> dict[str, Any]:
    import torch

    from gradus.core.devices import available_devices

    return {
        "torch": torch.__version__,
        "devices": available_devices(),
        "threads": f"{torch.get_num_threads()} of {os.cpu_count()} processors",
    }


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _cache() -> tuple[Path, str | None]:
    from gradus.data.download import cache_folder

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder, None
    except OSError as error:
        return (
            folder,
            f"the cache {folder} cannot be written ({error.strerror}); set GRADUS_CACHE to a folder that can",
        )
