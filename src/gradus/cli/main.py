"""The ``gradus`` command: its parts put together, and every error turned into one sentence."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gradus import __version__
from gradus.cli import book, check, doctor, fitting, graph, looking, predicting, sampling, settings
from gradus.cli.usage import usage_error
from gradus.core.errors import GradusError

__all__ = ["app", "main", "run"]

INTERRUPTED, TERMINATED = 130, 143  # 128 + SIGINT and SIGTERM, what a shell reports
USAGE = 2
FAULT = 70  # EX_SOFTWARE: the program is wrong, not the person

app = typer.Typer(
    name="gradus",
    help="Deep learning from a baseline to a saved model: `gradus fit customers.csv --target churn`.",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for register in (fitting, predicting, sampling, doctor, graph, looking, settings, book, check):
    register.add_to(app)


def _say_version(asked: bool) -> bool:
    if asked:
        typer.echo(f"gradus {__version__}")
        raise typer.Exit
    return asked


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Show the version and leave."),
    ] = False,
) -> None:
    pass


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code.

    0 is success, 2 an error that the message tells how to mend, 70 a fault of Gradus, 130 an interrupt,
    143 a SIGTERM. With ``GRADUS_DEBUG=1`` in the environment errors are raised as they are.
    """
    try:
        code = app(args=list(arguments) or ["--help"], prog_name="gradus", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, a pager) has left. Without this the interpreter's own last flush complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except SystemExit as end:  # SIGTERM, answered by the run
        code = end.code
    except Exception as error:
        if os.environ.get("GRADUS_DEBUG") == "1":
            raise
        sentence, code = _explain(error, arguments)
        _complain(f"error: {sentence}")
    if code == INTERRUPTED:
        _complain("stopped: interrupted from the keyboard")
    elif code == TERMINATED:
        _complain("stopped: terminated from outside")
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run ``gradus`` with the arguments of the process and exit."""
    _open_streams()
    sys.exit(run(sys.argv[1:]))


def _open_streams() -> None:
    """Give what was closed (``>&-``) an end in nothing, and write what an encoding lacks as its code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))
        elif isinstance(getattr(sys, name), io.TextIOWrapper):
            getattr(sys, name).reconfigure(errors="backslashreplace")


def _explain(error: Exception, arguments: Sequence[str]) -> tuple[str, int]:
    if isinstance(error, GradusError):
        return str(error), USAGE
    if hasattr(error, "format_message"):
        return str(usage_error(error, arguments)), USAGE
    if isinstance(error, OSError) and error.strerror:
        named = "" if error.filename is None else f" {os.fspath(error.filename)!r}"
        return f"expected to read or write{named}, got {error.strerror.lower()}; check path, rights and disk", USAGE
    if isinstance(error, MemoryError):
        return "expected enough free memory, got too little; try fewer rows or a smaller batch_size", USAGE
    return f"{type(error).__name__}: {error}; this is a fault of Gradus: GRADUS_DEBUG=1 shows where", FAULT


def _complain(sentence: str) -> None:
    sys.stderr.write(" ".join(sentence.split()) + "\n")
