"""The picture of a graph as one HTML file that opens offline and needs nothing beside it.

The page allows no request at all, as the reports of runs do; names from a stranger's network are text, never markup.
Without scripts it still shows the drawing.
"""

from __future__ import annotations

import hashlib
import json
from html import escape
from pathlib import Path
from string import Template

from gradus.foundations.graph.drawing import STYLE, planned, render_svg
from gradus.foundations.graph.picture import Picture

__all__ = ["render_page"]

TEMPLATES = Path(__file__).parent / "templates"
BACK = """<marker id="back" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="6" markerHeight="6"
orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="var(--back)"/></marker></defs>"""


def render_page(picture: Picture) -> str:
    """Return the page as text.

    Parameters
    ----------
    picture : Picture
        What to show; its marks are shown in red, with the groups around them open.

    Examples
    --------
    >>> from gradus.foundations.graph.traced import picture_of_call
    >>> render_page(picture_of_call(lambda x: x * x, 3.0)).startswith("<!doctype html>")
    True
    """
    written, plan, opened = ready = planned(picture)
    levels = {
        key: {
            "layers": level.layers,
            "links": [[a, b, u, count] for (a, b, u), count in level.links.items()],
            "chains": [[a, u, bends] for (a, u), bends in level.chains.items() if bends],
        }
        for key, level in plan.levels.items()
    }
    known = {"picture": picture.facts(), "labels": written, "levels": levels, "opened": sorted(opened)}
    # "</script>" inside JSON would end the element it is carried in
    text = json.dumps(known, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    operations = sum(node.kind == "operation" for node in picture.nodes)
    parameters = {n.detail or n.number: n for n in picture.nodes if n.kind == "parameter"}.values()
    count = sum(_size(n.value.shape) for n in parameters if n.value)
    facts = f"{operations:,} operation{'' if operations == 1 else 's'}" + (f", {count:,} parameters" if count else "")
    return Template((TEMPLATES / "graph.html").read_text("utf-8")).substitute(
        title=escape(picture.title),
        facts=facts,
        nonce=hashlib.sha256(text.encode()).hexdigest()[:32],
        style=STYLE + (TEMPLATES / "graph.css").read_text("utf-8"),
        drawing=render_svg(picture, standalone=False, ready=ready).replace("</defs>", BACK),
        data=text,
        script=(TEMPLATES / "graph.js").read_text("utf-8"),
    )


def _size(shape: tuple[int, ...]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count
