"""The model card: a run's README, for whoever finds the model later."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gradus.core.storage import atomic_write
from gradus.runs.record import RunRecord

__all__ = ["render_card", "write_card"]


def write_card(record: RunRecord, path: str | Path) -> None:
    """Write the model card of a run.

    Parameters
    ----------
    record : RunRecord
        What was done and found.
    path : str or Path
        Usually the run's ``README.md``.

    Raises
    ------
    StorageError
        If it cannot be written.

    References
    ----------
    Mitchell et al. 2019, Model Cards for Model Reporting.
    """
    atomic_write(path, render_card(record))


def render_card(record: RunRecord) -> str:
    """Return the card as Markdown.

    Examples
    --------
    >>> render_card(RunRecord(name="first", task="classification")).splitlines()[0]
    '# first'
    """
    named = record.kept or next((r.name for r in record.ladder if r.kind == "network"), None)
    network = record.rung(named)
    template = _environment().get_template("card.md.j2")
    text = template.render(record=record, chosen=record.rung(record.chosen), network=network)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"md": _md, "code": _code}
    return environment


def _md(text: object) -> str:
    """Escape what Markdown or HTML would read as markup; names of columns come from strangers."""
    line = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;")
    line = re.sub(r"([\\`*\[\]|])", r"\\\1", line)
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", line)


def _code(text: object) -> str:
    line = " ".join(str(text).split()).replace("|", "¦")
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"
