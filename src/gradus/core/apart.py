"""A user's script in a process of its own: it may fail, print, hang, leave or write, and does no harm.

The asking process starts ``python -m MODULE`` and waits; the module hands its work to `serve`, which runs it and
writes the answer, or what was wrong in one sentence with the script's line. While it runs, files can be written in
a temporary folder of its own and in the user's cache alone, as on a disk that is read-only elsewhere.
"""

from __future__ import annotations

import faulthandler
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from gradus.core.errors import DataError, GradusError
from gradus.core.scripts import function_of, last_return, line_of, split_place

__all__ = ["ReadOnlyError", "Script", "ask_apart", "serve"]

LATE = 90.0  # seconds for imports, before a script begins and its own time runs
TIMED_OUT = "Timeout ("  # how the dump of a process that ran out of time begins
SIGNALS = {-signal.SIGABRT: "it aborts", -signal.SIGSEGV: "it breaks down in native code"}
KILLED = -9
# of an event: which arguments name files that change, and how they do
CHANGES = {
    "os.mkdir": ((0,), "made"), "os.remove": ((0,), "removed"), "os.rmdir": ((0,), "removed"),
    "os.truncate": ((0,), "cut"), "os.rename": ((0, 1), "renamed"), "os.link": ((1,), "made"),
    "os.symlink": ((1,), "made"),
}  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class ReadOnlyError(PermissionError):
    """A script that is examined would have written a file."""


# ---- the process that asks ----


def ask_apart(module: str, place: str, *arguments: str, seconds: float, deed: str, wanted: str) -> Any:
    """Return what a module answers about a script's function, in a process of its own.

    Parameters
    ----------
    module : str
        Run as ``python -m``; it calls `serve`.
    place : str
        ``script.py`` or ``script.py:function``.
    *arguments : str
        Handed on, as `Script.arguments`.
    seconds : float
        After so many, imports of this package aside, the process is ended, with all that it started.
    deed : str
        What is to be done to the script, for messages: ``be examined``.
    wanted : str
        What a place may be, for messages.

    Raises
    ------
    DataError
        If the script is missing, fails, leaves or hangs; with its line.
    """
    path, name = split_place(place)
    if path.suffix != ".py" or not path.is_file():
        raise DataError(wanted, repr(place), "check the name; there is no such script")
    path = path.resolve()
    with tempfile.TemporaryDirectory() as folder:
        answer, trace = Path(folder) / "answer.json", Path(folder) / "trace"
        command = [sys.executable, "-m", module, str(path), name, str(answer), str(trace), str(seconds), *arguments]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=_environment(folder), start_new_session=True,
        )  # fmt: skip
        try:
            _, told = process.communicate(timeout=seconds + LATE)
        except subprocess.TimeoutExpired:
            told = b""
        finally:
            late = process.poll() is None
            _end(process)
        seen = trace.read_text("utf-8", "replace") if trace.is_file() else ""
        if not answer.is_file():
            hung = seconds if late or seen.startswith(TIMED_OUT) else None
            raise _silence(path, name, seen, process.returncode, told, hung, deed)
        found = json.loads(answer.read_text("utf-8"))
    if "error" in found:
        raise DataError(*found["error"])
    return found["answer"]


def _environment(folder: str) -> dict[str, str]:
    given = {"PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    # libraries that keep settings in the user's home make a folder there when they are imported
    return {**os.environ, **given, "TMPDIR": folder, "MPLCONFIGDIR": folder}


def _silence(
    path: Path, name: str, trace: str, code: int | None, told: bytes, hung: float | None, deed: str
) -> DataError:
    """Return the error of a script that gave no answer."""
    line = _traced(trace, path)
    at = f" at line {line} of {path.name}" if line else ""
    if hung is not None:
        mend = f"make {name} smaller, or give more time with --max-time"
        return DataError(f"{path.name} to {deed} within {hung:.0f} s", f"a script that goes on and on{at}", mend)
    if code in SIGNALS:
        return DataError(f"{path.name} to {deed}", f"{SIGNALS[code]}{at}", "mend what is called there")
    if code == KILLED:
        return DataError(f"{path.name} to {deed}", "a process that was killed: mostly for its memory", "use less data")
    last = told.decode("utf-8", "replace").strip().splitlines()
    words = f"the process ended with code {code}" + (f": {last[-1]}" if last else "")
    return DataError(f"{path.name} to {deed}", words, "remove what ends the process")


def _traced(trace: str, path: Path) -> int | None:
    """Return the script's line in a dump of all threads' frames: of the main thread, which comes last."""
    threads = re.split(r"^(?=(?:Current thread|Thread) )", trace, flags=re.MULTILINE)
    for frames in reversed(threads):
        found = re.findall(r'File "(.*)", line (\d+)', frames)
        own = [int(line) for file, line in found if file == str(path)]
        if own:
            return own[0]  # the innermost call comes first
    return None


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


# ---- the process that answers ----


@dataclass
class Script:
    """The script at work.

    Attributes
    ----------
    path : Path
        The script's file, resolved.
    name : str
        Of the function that is asked for.
    arguments : list of str
        What the asking process added.
    stage : str
        What the script is doing, for messages: ``be imported``.
    refused : str
        The first file that it would have written, with the script's line; empty where there was none.
    """

    path: Path
    name: str
    arguments: Sequence[str] = ()
    stage: str = "be imported"
    refused: str = ""

    def function(self) -> Callable[..., Any]:
        """Import the script and return its function, which from then on is what runs."""
        sys.path.insert(0, str(self.path.parent))
        sys.argv = [str(self.path)]
        found = function_of(self.path, self.name)
        self.stage = f"return from {self.name}"
        return found

    def refuse(self, file: Any, how: str) -> NoReturn:
        """Raise what a change to a file ends in, and remember the first."""
        shown = os.fsdecode(file)
        try:
            shown = os.path.relpath(shown)
        except ValueError:  # on another drive
            pass
        error = ReadOnlyError(f"{shown!r} would be {how}")
        if not self.refused:
            self.refused = f"{shown!r} {how} at {_line_here(self.path)}"
        raise error

    def wrote(self) -> tuple[str, str, str]:
        """Return the three parts of the sentence about what it would have written."""
        mend = "leave that out, or write to tempfile.gettempdir()"
        return f"{self.path.name} to write nothing", self.refused, mend


def serve(work: Callable[[Script], Any]) -> NoReturn:
    """Do a module's work on the script that the command line names, write the answer, and end the process.

    Parameters
    ----------
    work : callable
        ``(script) -> plain data``. Whatever it raises is told in one sentence, with the script's line.
    """
    path, name, answer, trace, seconds, *arguments = sys.argv[1:]
    script = Script(Path(path), name, arguments)
    leave = os._exit
    with Path(trace).open("w", encoding="utf-8") as told:
        faulthandler.enable(told)
        faulthandler.dump_traceback_later(float(seconds), file=told, exit=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # whoever asks would have to hold all that a script complains of
        _stay(leave)
        _write_nothing(script)
        found = _answered(script, work)
        faulthandler.cancel_dump_traceback_later()
        beside = Path(answer).with_suffix(".part")
        beside.write_text(json.dumps(found), "utf-8")
        beside.replace(answer)
        leave(0)  # threads and workers that the script left behind must not hold it
    raise AssertionError  # not reached


def _answered(script: Script, work: Callable[[Script], Any]) -> dict[str, Any]:
    path, name = script.path, script.path.name
    try:
        return {"answer": work(script)}
    except ReadOnlyError:
        return {"error": script.wrote()}
    except GradusError as error:  # of what the script returned, or of a function that is not there
        line = line_of(error, path)
        if line == name and script.stage not in ("be imported", "be called"):
            line = last_return(path, script.name) or line
        at = "" if line == name or name in error.received else f" ({line})"
        return {"error": (error.expected, error.received + at, error.mend)}
    except (SystemExit, KeyboardInterrupt) as error:
        return {"error": (f"{name} to {script.stage}", f"it leaves at {line_of(error, path)}", "remove the exit")}
    except BaseException as error:  # whatever a script raises is told in one sentence
        words = (str(error).strip().splitlines() or [""])[0]
        received = f"{type(error).__name__} at {line_of(error, path)}" + (f": {words}" if words else "")
        return {"error": (f"{name} to {script.stage}", received, "mend the script")}


def _stay(leave: Callable[[int], NoReturn]) -> None:
    """Let ``os._exit`` raise here, so that its line can be told; in processes that the script forks it works."""
    here = os.getpid()

    def stay(status: int) -> NoReturn:
        if os.getpid() != here:
            leave(status)
        raise SystemExit(status)

    os._exit = stay


def _write_nothing(script: Script) -> None:
    """Refuse every write outside the temporary folder and the user's cache, from Python and by ``torch.save``."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - the home may be absent
    # resolved once: nothing here may open files of its own while the hook runs
    free = [os.path.realpath(folder) + os.sep for folder in (tempfile.gettempdir(), cache, "/dev", "/proc")]

    def kept(file: Any) -> bool:
        if isinstance(file, int) or file is None:
            return True
        whole = os.path.realpath(os.fsdecode(file)) + os.sep
        return any(whole.startswith(folder) for folder in free)

    def look(event: str, given: tuple[Any, ...]) -> None:
        if event == "open":
            file, mode, flags = given
            wants = bool(flags & WRITING) if isinstance(flags, int) else any(c in str(mode) for c in "wax+")
            if wants and not kept(file):
                script.refuse(file, "written")
        elif event in CHANGES:
            places, how = CHANGES[event]
            for file in (given[place] for place in places):
                there = event == "os.mkdir" and os.path.isdir(file)  # noqa: PTH112 - what the hook is given
                if not there and not kept(file):
                    script.refuse(file, how)

    sys.addaudithook(look)
    torch: Any = sys.modules.get("torch")
    if torch is not None:  # it writes from C++, where nobody is asked
        save = torch.save

        def ask_and_save(obj: Any, f: Any, *more: Any, **named: Any) -> Any:
            if isinstance(f, str | os.PathLike):
                sys.audit("open", os.fspath(f), "wb", os.O_WRONLY | os.O_CREAT)
            return save(obj, f, *more, **named)

        torch.save = ask_and_save


def _line_here(path: Path) -> str:
    """Return the script's line that is being run, in words; its name where another file's is."""
    frame = sys._getframe()
    while frame is not None:
        if Path(frame.f_code.co_filename) == path:
            return f"line {frame.f_lineno} of {path.name}"
        frame = frame.f_back  # type: ignore[assignment]
    return path.name
