"""Examine a script in a process of its own, which may fail, print, hang or leave without harm."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradus.core.errors import DataError, GradusError
from gradus.core.scripts import function_of, line_of, split_place
from gradus.practice.doctor.findings import Diagnosis, Finding

__all__ = ["examine_script"]

GRACE = 45.0  # seconds beyond the budget: imports, and a step that takes long


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
        If the script is missing, fails, leaves or hangs before anything could be examined; with its line.
    """
    path, name = split_place(place)
    if not path.is_file():
        raise DataError("a Python script or a run's folder", f"no file {path}", "check the path")
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-m", __name__, str(path.resolve()), name, str(max_time), str(seed), str(answer)]
        command += ["view"] * view
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment,
            start_new_session=True,
        )  # fmt: skip
        try:
            _, told = process.communicate(timeout=max_time + GRACE)
        except subprocess.TimeoutExpired:
            raise DataError(
                f"{path.name} to be examined within {max_time:.0f} s", "a script that goes on and on",
                f"make {name} smaller, or give more time with --max-time",
            ) from None  # fmt: skip
        finally:
            _end(process)
        if not answer.is_file():
            last = told.decode("utf-8", "replace").strip().splitlines()
            received = f"the process ended with code {process.returncode}" + (f": {last[-1]}" if last else "")
            raise DataError(f"{path.name} to let itself be examined", received, "remove what ends the process")
        found = json.loads(answer.read_text("utf-8"))
    if "error" in found:
        raise DataError(*found["error"])
    return Diagnosis(
        [Finding(f["cause"], f["place"], f["evidence"], f["confidence"]) for f in found["findings"]],
        found["measures"], found["tables"], found["seconds"], found.get("view", {}),
    )  # fmt: skip


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    elif process.poll() is None:
        process.kill()
    process.wait()
    if process.stderr is not None:
        process.stderr.close()


def _work(path: Path, name: str, max_time: float, seed: int, view: bool) -> dict[str, Any]:
    from gradus.practice.doctor.examination import examine_build
    from gradus.practice.doctor.range_test import with_range
    from gradus.practice.doctor.recording import look_inside

    stage = "be imported"
    try:
        sys.path.insert(0, str(path.parent))
        sys.argv = [str(path)]
        build = function_of(path, name)
        stage = f"return from {name}"
        given = build(seed=seed) if _takes_seed(build) else build()
        del given
        diagnosis = with_range(examine_build(build, max_time=max_time, seed=seed), build)
        inside = {"view": look_inside(build, diagnosis, seed=seed)} if view else {}
        return diagnosis.as_dict() | inside
    except GradusError as error:
        return {"error": (error.expected, error.received, error.mend)}
    except (SystemExit, KeyboardInterrupt) as error:
        return {"error": (f"{path.name} to {stage}", f"it leaves at {line_of(error, path)}", "remove the exit")}
    except BaseException as error:  # whatever a script raises is told in one sentence
        words = (str(error).splitlines() or [""])[0]
        received = f"{type(error).__name__} at {line_of(error, path)}" + (f": {words}" if words else "")
        return {"error": (f"{path.name} to {stage}", received, "mend the script")}


def _takes_seed(build: Callable[..., Any]) -> bool:
    import inspect

    try:
        return "seed" in inspect.signature(build).parameters
    except (TypeError, ValueError):
        return False


def _main() -> None:
    path, name, max_time, seed, answer, *more = sys.argv[1:]
    found = _work(Path(path), name, float(max_time), int(seed), bool(more))
    beside = Path(answer).with_suffix(".part")
    beside.write_text(json.dumps(found), "utf-8")
    beside.replace(answer)
    os._exit(0)  # threads and workers that the script left behind must not hold it


if __name__ == "__main__":
    _main()
