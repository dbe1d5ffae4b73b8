"""The doctor's page: one HTML file that opens offline and needs nothing beside it, and the same as JSON.

The page allows no request at all (a content security policy says so), so that a name in a stranger's program cannot
make it call home. Only the graph has a script; everything else is drawn without.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gradus.core.storage import atomic_write, storage_errors
from gradus.practice.doctor.findings import SURE, Diagnosis
from gradus.practice.doctor.page_figures import bars, growth, lines, ridges

__all__ = ["render_diagnosis", "write_diagnosis"]

TEMPLATES = Path(__file__).parent / "templates"
NONCE = re.compile(r"script-src 'nonce-([0-9a-f]+)'")

LAYER_COLUMNS = {
    "layer": "layer", "kind": "kind", "width": "width", "mean": "mean", "std": "spread", "zero": "zeros",
    "dead": "dead", "saturated": "saturated", "gradient": "gradient / weight",
}  # fmt: skip
SHARES = {"zero", "dead", "saturated"}
WORDS = {
    "task": "task", "skill": "skill on validation rows", "train_skill": "skill on training rows",
    "first_loss": "loss of the first step", "last_loss": "loss of the last steps", "steps": "steps trained",
    "complete": "trained to the end",
}  # fmt: skip
TASKS = {
    "classes": "one of several classes", "binary": "yes or no", "numbers": "numbers", "soft": "shares of classes",
    "reconstruction": "give back the inputs", "other": "a loss of its own",
}  # fmt: skip


def write_diagnosis(diagnosis: Diagnosis, folder: str | Path, *, title: str = "program") -> Path:
    """Write ``doctor.html`` and ``doctor.json`` into a folder, and nothing anywhere else.

    Parameters
    ----------
    diagnosis : Diagnosis
        What was found; its ``view``, filled by `look_inside`, adds histograms and the graph.
    folder : str or Path
        Made where it is missing.
    title : str
        What was examined.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    StorageError
        If it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_diagnosis(Diagnosis([], {"skill": 0.9}), folder, title="digits.py")
    ...     sorted(path.name for path in page.parent.iterdir())
    ['doctor.html', 'doctor.json']
    """
    folder = Path(folder)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    view = {name: rows for name, rows in diagnosis.view.items() if name != "graph"}
    facts = {"subject": title} | diagnosis.as_dict() | {"recorded": view}
    atomic_write(folder / "doctor.html", render_diagnosis(diagnosis, title=title))
    atomic_write(folder / "doctor.json", json.dumps(_finite(facts), indent=1, ensure_ascii=False) + "\n")
    return folder / "doctor.html"


def render_diagnosis(diagnosis: Diagnosis, *, title: str = "program") -> str:
    """Return the page as text; parameters as in `write_diagnosis`.

    Examples
    --------
    >>> "<h1>digits.py is healthy</h1>" in render_diagnosis(Diagnosis([]), title="digits.py")
    True
    """
    found, tables, view = diagnosis.as_dict(), diagnosis.tables, diagnosis.view
    graph = view.get("graph") or ""
    inner = NONCE.search(graph)
    return _environment().get_template("doctor.html.j2").render(
        title=title,
        verdict=diagnosis.verdict,
        findings=[f for f in found["findings"] if f["confidence"] >= SURE],
        hints=[f for f in found["findings"] if f["confidence"] < SURE],
        seconds=diagnosis.seconds,
        measures=_measures(diagnosis.measures),
        simple=_simple(diagnosis.measures),
        data=[_part(row) for row in tables.get("data", [])],
        layers=_layers(tables.get("layers", []), [f["place"] for f in found["findings"]]),
        columns=LAYER_COLUMNS,
        curves=[Markup(c) for c in _curves(tables.get("epochs", []), diagnosis.measures) if c],
        epochs=_epochs(tables.get("epochs", [])),
        growth=_growth(diagnosis.measures.get("generalization")),
        treatments=_treatments(tables.get("treatments", []), diagnosis.measures.get("skill")),
        recorded=_recorded(view),
        graph=_fitted(graph, inner.group(1)) if inner else graph,
        nonce=inner.group(1) if inner else "none",
        style=Markup((TEMPLATES / "doctor.css").read_text("utf-8")),
    )  # fmt: skip


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["number"] = _number
    return environment


def _number(value: Any) -> str:
    """Return a number with three digits, and words as they are."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) < 1e6):
        return f"{int(value):,}".replace("-", "−")
    if not isinstance(value, float):
        return str(value)
    digits, e, power = f"{value:.3g}".partition("e")
    return (digits + (f"e{int(power)}" if e else "")).replace("-", "−")


def _fitted(graph: str, nonce: str) -> str:
    """Let the graph fit its frame anew when that gets its size, until somebody has moved it."""
    script = (TEMPLATES / "frame.js").read_text("utf-8")
    map_hidden = "<style>@media (max-width: 36rem) { #map { display: none; } }</style>"
    return graph.replace("</body>", f'{map_hidden}<script nonce="{nonce}">{script}</script></body>')


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _measures(measures: Mapping[str, Any]) -> list[tuple[str, str]]:
    shown = {name: measures[name] for name in WORDS if measures.get(name) is not None}
    if shown.get("first_loss") == shown.get("last_loss") == 0:  # of a step that tells no loss
        del shown["first_loss"], shown["last_loss"]
    if "task" in shown:
        shown["task"] = TASKS.get(shown["task"], shown["task"])
    return [(WORDS[name], _number(value)) for name, value in shown.items()]


def _simple(measures: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, _number(v)) for name, v in (measures.get("simple_models") or {}).items() if v is not None]


def _part(row: Mapping[str, Any]) -> dict[str, str]:
    shape = " × ".join(map(str, row["shape"]))
    return {"shape": shape, "type": row["type"], "low": _number(row["low"]), "high": _number(row["high"])}


def _layers(rows: Sequence[Mapping[str, Any]], places: Sequence[str]) -> list[dict[str, Any]]:
    """Return cells of the table, those that a finding names first marked."""
    found = []
    named = {place.partition(" ")[0] for place in places}
    if rows and "output" in named:
        named.add(rows[-1]["layer"])
    for row in rows:
        cells = [(f"{row[c]:.0%}".replace("%", " %") if c in SHARES else _number(row[c])) for c in LAYER_COLUMNS]
        warn = [c in SHARES and c != "zero" and row[c] > 0.8 for c in LAYER_COLUMNS]
        cells[0] = cells[0] or "network"
        found.append({"cells": list(zip(cells, warn, strict=True)), "guilty": row["layer"] in named})
    return found


def _curves(rows: Sequence[Mapping[str, Any]], measures: Mapping[str, Any]) -> list[str]:
    """Return curves of loss and skill, with what simple models reach beside the latter."""
    if not rows:
        return []

    def points(name: str) -> list[tuple[float, float | None]]:
        return [(row["epoch"] + 1, row.get(name)) for row in rows]

    losses = {"training": points("loss"), "validation": points("valid_loss")}
    skills = {"network": points("skill")}
    best = max((v for v in (measures.get("simple_models") or {}).values() if v is not None), default=None)
    if best is not None:
        skills["best simple model"] = [(points("skill")[0][0], best), (points("skill")[-1][0], best)]
    shown = lines(skills, x="epoch", y="skill", title="Skill over epochs")
    if not any(v is not None and math.isfinite(v) for _, v in skills["network"]):
        shown = ""
    told = any(value for _, value in losses["training"])  # a step of the user's own may tell no loss
    return [lines(losses, x="epoch", y="loss", title="Loss over epochs") if told else "", shown]


def _epochs(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [
        [
            _number(row["epoch"] + 1),
            _number(row["step"]),
            *(_number(row.get(n)) for n in ("loss", "valid_loss", "skill")),
        ]
        for row in rows
    ]


def _treatments(rows: Sequence[Mapping[str, Any]], skill: float | None) -> dict[str, Any] | None:
    if not rows:
        return None
    drawn = bars([(r["treatment"], r["skill"]) for r in rows], base=skill)
    told = [
        bar | {"skill": _number(r["skill"]), "gain": _number(r["gain"])} for bar, r in zip(drawn, rows, strict=True)
    ]
    return {"rows": told, "before": _number(skill)}


def _growth(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what is said of rows that were not learned from, with the learning curve where there is one."""
    if not found:
        return None
    curve = found.get("curve")
    if curve is None:
        return {"sentences": found["sentences"], "drawn": "", "words": ""}
    words = (
        f"The {curve['kind']} by number of training rows, over {curve['repeats']} splits. Dotted: the power law "
        "through the means; shaded: where the mean is expected, in nine cases of ten."
    )
    drawn = growth(curve, title=f"The {curve['kind']} by number of training rows")
    return {"sentences": found["sentences"], "drawn": Markup(drawn), "words": words}


def _recorded(view: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a block for each kind of histogram, each with a drawing a layer."""
    told = {
        "activations": ("Activations", "What comes out of each layer, by value."),
        "gradients": ("Gradients", "What reaches each parameter, by size, in powers of ten; zeros are told apart."),
    }
    moved = {row["parameter"]: row for row in view.get("movement", [])}
    blocks = []
    for kind, (name, words) in told.items():
        shown = []
        for row in view.get(kind, []):
            notes = [f"{max(row['zeros']):.0%} zeros at most".replace("%", " %")] if max(row["zeros"]) >= 0.005 else []
            notes += [f"{sum(row['broken'])} not finite"] if sum(row["broken"]) else []
            if kind == "gradients" and row["layer"] in moved:
                ratios = [r for r in moved[row["layer"]]["ratios"] if r is not None]
                if ratios:
                    notes.append(
                        f"a step moves it by {_number(ratios[0])} of its size, at the end {_number(ratios[-1])}"
                    )
            notes += ["large values drawn closer together"] if row.get("unit") else []
            drawn = ridges(row, title=f"{name} of {row['layer']} at steps {', '.join(map(str, row['steps']))}")
            named = f"{row['layer']} · {row['kind']}" if row.get("kind") else row["layer"]
            shown.append({"layer": named, "notes": "; ".join(notes), "drawn": Markup(drawn)})
        if shown:
            blocks.append({"name": name, "words": words, "shown": shown})
    return blocks
