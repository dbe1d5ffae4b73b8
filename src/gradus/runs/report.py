"""The report of a run: one HTML file that opens offline and needs nothing beside it.

The page allows no request at all (a content security policy says so), so that a column name or a class label
cannot make it call home, and every name is escaped. Figures are drawn by Plotly, carried inside, compressed;
what they show stands in tables as well, for readers without scripts, on paper, or with a screen reader.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gradus.core.storage import atomic_write
from gradus.estimators.exhibit import Exhibit
from gradus.practice.wording import show_seconds, show_value
from gradus.runs.record import RunRecord, ScoreRecord

__all__ = ["render_report", "write_report"]

TEMPLATES = Path(__file__).parent / "templates"
LONG_TABLE = 14
WIDE_TEXT = 160


def write_report(record: RunRecord, exhibits: Sequence[Exhibit], path: str | Path) -> None:
    """Write ``report.html``.

    Parameters
    ----------
    record : RunRecord
        What was done and found.
    exhibits : sequence of Exhibit
        What there is to see, in the order shown.
    path : str or Path
        The file.

    Raises
    ------
    StorageError
        If it cannot be written; an older report is then intact.
    """
    atomic_write(path, render_report(record, exhibits))


def render_report(record: RunRecord, exhibits: Sequence[Exhibit]) -> str:
    """Return the page as text; parameters as in `write_report`."""
    figures = [e.figure for e in exhibits if e.figure is not None]
    text = json.dumps(figures, allow_nan=False, separators=(",", ":"))
    # "</script>" inside JSON would end the element it is carried in
    carried = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    nonce = hashlib.sha256((carried + record.model_dump_json()).encode()).hexdigest()[:32]
    numbers = iter(range(len(figures)))
    shown = [_shown(e, next(numbers) if e.figure is not None else None) for e in exhibits]
    return _environment().get_template("report.html.j2").render(
        record=record,
        places={p: [e for e in shown if e["place"] == p] for p in ("data", "learning", "answers", "errors")},
        ladder=_ladder(record),
        chosen=record.rung(record.chosen),
        changed=[s for s in record.settings if s.changed],
        figures=Markup(carried),
        plotly=Markup(_packed_plotly() if figures else ""),
        nonce=nonce,
        style=Markup((TEMPLATES / "report.css").read_text()),
        script=Markup((TEMPLATES / "report.js").read_text()),
    )  # fmt: skip


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"seconds": show_seconds, "setting": _setting, "thousands": lambda n: f"{n:,}"}
    return environment


@cache
def _packed_plotly() -> str:
    """Return Plotly's script compressed to two fifths of its size; the browser unpacks it."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()


def _setting(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(map(_setting, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


# ---- the ladder as a dot plot in table cells ----


def _ladder(record: RunRecord) -> dict[str, Any]:
    """Rows of the ladder with the positions of dots and whiskers, in per cent of one common axis."""
    tested = any(r.test for r in record.ladder)
    scores = [(r.test if tested else r.valid) for r in record.ladder]
    low, high = _range([s for s in scores if s is not None])
    span = (high - low) or 1.0

    def at(value: float) -> float:
        return round(100 * min(1.0, max(0.0, (value - low) / span)), 2)

    rows = []
    for rung, score in zip(record.ladder, scores, strict=True):
        plot = None
        if score is not None and math.isfinite(score.value):
            plot = {
                "left": at(score.low),
                "width": round(at(score.high) - at(score.low), 2),
                "dot": at(score.value),
            }
        rows.append({"rung": rung, "score": score, "plot": plot, "chosen": rung.name == record.chosen})
    metric = record.metric
    ticks = [{"at": at(v), "label": _tick(v)} for v in _ticks(low, high)] if metric else []
    return {"rows": rows, "ticks": ticks, "tested": tested}


def _range(scores: list[ScoreRecord]) -> tuple[float, float]:
    values = [v for s in scores for v in (s.low, s.value, s.high) if math.isfinite(v)]
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    margin = 0.04 * ((high - low) or abs(high) or 1.0)
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 3
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= rough)
    first = math.ceil(low / step)
    return [k * step for k in range(first, math.floor(high / step) + 1)]


def _tick(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


# ---- exhibits ----


def _shown(exhibit: Exhibit, number: int | None) -> dict[str, Any]:
    pictures = [(base64.b64encode(p.png).decode(), p.label) for p in exhibit.pictures]
    figure = exhibit.figure or {}
    layout = figure.get("layout", {})
    return {
        "title": exhibit.title,
        "caption": exhibit.caption,
        "place": exhibit.place,
        "number": number,
        "height": int(layout.get("height", 420)),
        "width": layout.get("width"),
        "table": None if exhibit.table is None else _table(exhibit.table),
        "pictures": pictures,
        "passages": exhibit.passages,
    }


def _table(frame: pd.DataFrame) -> dict[str, Any]:
    columns = [frame.iloc[:, i] for i in range(frame.shape[1])]
    numeric = [pd.api.types.is_numeric_dtype(c.dtype) and not pd.api.types.is_bool_dtype(c.dtype) for c in columns]
    cells = [_cells(c, n) for c, n in zip(columns, numeric, strict=True)]
    rows = [list(row) for row in zip(*cells, strict=True)]
    return {
        "columns": [{"name": str(n), "numeric": k} for n, k in zip(frame.columns, numeric, strict=True)],
        "rows": rows,
        "long": len(rows) > LONG_TABLE,
    }


def _cells(column: pd.Series, numeric: bool) -> list[str]:
    if not numeric:
        return [_cell(value) for value in column.tolist()]
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    whole = bool(np.all(np.isnan(values) | (values == np.floor(values))))
    if whole:  # years and codes read badly with separators, so small numbers go without
        return ["" if math.isnan(v) else (f"{v:.0f}" if abs(v) < 10_000 else f"{v:,.0f}") for v in values]
    shares = bool(np.all(np.isnan(values) | (np.abs(values) <= 1)))
    return ["" if math.isnan(v) else (f"{v:.3f}" if shares else show_value(v, "number")) for v in values]


def _cell(value: Any) -> str:
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return text if len(text) <= WIDE_TEXT else f"{text[: WIDE_TEXT - 1]}…"
