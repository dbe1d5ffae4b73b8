"""Examine a script in a process of its own, which may fail, print, hang or leave without harm."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from gradus.core.apart import ReadOnlyError, Script, ask_apart, serve
from gradus.core.errors import DataError
from gradus.practice.doctor.findings import Diagnosis, Finding

__all__ = ["examine_script"]

GRACE = 45.0  # seconds beyond the budget: what it imports, and a step that takes long


def examine_script(place: str, *, max_time: float, seed: int = 0, view: bool = False) -> Diagnosis:
    """Examine what a script's function ``build(seed=0)`` returns.

    Parameters
    ----------
    place : str
        ``script.py`` or ``script.py:function``.
    max_time : float
        Most time to take, in seconds; a script that is not back some time after that is ended.
    seed : int
        Handed to ``build``.
    view : bool
        Record histograms and the graph as well, for the page.

    Raises
    ------
    DataError
        If the script is missing, fails, leaves, writes or hangs before anything could be examined; with its line.
    """
    asked = [str(max_time), str(seed), *["view"] * view]
    found = ask_apart(
        __name__, place, *asked, seconds=max_time + GRACE, deed="be examined",
        wanted="a Python script or a run's folder",
    )  # fmt: skip
    return Diagnosis(
        [Finding(f["cause"], f["place"], f["evidence"], f["confidence"], f["line"]) for f in found["findings"]],
        found["measures"], found["tables"], found["seconds"], found.get("view", {}),
    )  # fmt: skip


def _work(script: Script) -> dict[str, Any]:
    from gradus.practice.doctor.examination import examine_build
    from gradus.practice.doctor.places import with_lines
    from gradus.practice.doctor.range_test import with_range
    from gradus.practice.doctor.recording import look_inside

    max_time, seed, *view = script.arguments
    build = script.function()
    given = build(seed=int(seed)) if _takes_seed(build) else build()
    diagnosis = examine_build(build, max_time=float(max_time), seed=int(seed))
    diagnosis = with_lines(with_range(diagnosis, build), script.path, build, given)
    del given
    if any(f.cause == "program_fails" and f.evidence.startswith(ReadOnlyError.__name__) for f in diagnosis.findings):
        raise DataError(*script.wrote())
    inside = {"view": look_inside(build, diagnosis, seed=int(seed))} if view else {}
    return diagnosis.as_dict() | inside


def _takes_seed(build: Callable[..., Any]) -> bool:
    try:
        return "seed" in inspect.signature(build).parameters
    except (TypeError, ValueError):
        return False


if __name__ == "__main__":
    import torch  # noqa: F401 - before the script, so that what it writes by torch is seen

    serve(_work)
