"""What commands say, and where: results on standard output, progress and errors on standard error.

rich is imported inside the functions: ``gradus --help`` need not pay for what it does not draw.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["emit_json", "emit_json_rows", "plain", "progress_console", "result_console", "show", "table", "write"]

# A file or a pipe has no width to fit: wide enough for every table, so that none is cut.
PIPE_WIDTH = 160


def result_console() -> Console:
    """Return the console for results, on standard output."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def progress_console(quiet: bool = False) -> Console:
    """Return the console for progress, on standard error; a quiet one says nothing."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, quiet=quiet, width=None if sys.stderr.isatty() else PIPE_WIDTH)


def plain(value: Any) -> Any:
    """Turn paths, tuples, NumPy scalars and non-finite numbers into what JSON has words for.

    Examples
    --------
    >>> plain({"loss": float("nan"), "hidden": (64, 32)})
    {'loss': None, 'hidden': [64, 32]}
    """
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)


def emit_json(value: Any) -> None:
    """Write ``value`` to standard output as one JSON document."""
    write(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def emit_json_rows(blocks: Iterable[Sequence[Any]]) -> None:
    """Write the rows of many blocks to standard output as one JSON list, each block as it comes."""
    rows = 0
    for block in blocks:
        for row in block:
            text = json.dumps([plain(row)], indent=2, ensure_ascii=False, allow_nan=False)
            write(("," if rows else "[") + text[1:-2])
            rows += 1
    write("\n]\n" if rows else "[]\n")


def write(text: str) -> None:
    """Write ``text`` to standard output as it is."""
    sys.stdout.write(text)


def table(rows: Iterable[Sequence[Any]], header: Sequence[str], title: str | None = None) -> None:
    """Write a table to standard output."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for name in header:
        drawn.add_column(name, overflow="fold")
    for row in rows:
        # Text, not str: a column called "[red]" is data, not markup
        drawn.add_row(*(Text(_word(cell)) for cell in row))
    result_console().print(drawn)


def show(facts: Mapping[str, Any]) -> None:
    """Write facts to standard output: single values as lines, lists of records as tables."""
    console = result_console()
    names = [k for k, v in facts.items() if not _is_records(v)]
    width = max((len(name) for name in names), default=0)
    for name in names:
        console.print(f"{name.replace('_', ' '):<{width}}  {_word(facts[name])}", markup=False, soft_wrap=True)
    for name, value in facts.items():
        if _is_records(value):
            header = list(dict.fromkeys(key for record in value for key in record))
            table(
                ([record.get(key) for key in header] for record in value),
                header,
                title=name.replace("_", " "),
            )


def _is_records(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(v, Mapping) for v in value)


def _word(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_word(v)}" for k, v in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(_word(v) for v in value) or "-"
    return str(value)
