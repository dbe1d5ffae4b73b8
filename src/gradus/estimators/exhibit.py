"""An exhibit: one thing to see, as plain data.

A figure is a Plotly figure written as plain data (``{"data": [...], "layout": {...}}``), so that building one
imports nothing and storing one is JSON. Colours are left to whoever shows it, which knows whether the page is
light or dark.
"""

from __future__ import annotations

import html
import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from gradus.core.errors import InputError

__all__ = ["Exhibit", "Picture", "axis", "floats", "plain", "share"]

Place = Literal["data", "learning", "answers", "errors"]


@dataclass(frozen=True)
class Picture:
    """One small picture with a label.

    Attributes
    ----------
    png : bytes
        The encoded picture.
    label : str
        Shown under it, and read aloud in its place.
    """

    png: bytes
    label: str

    @classmethod
    def of(cls, array: ArrayLike, label: str, scale: int | float | None = None) -> Picture:
        """Encode an array of shape (height, width) or (height, width, 1, 3 or 4).

        Parameters
        ----------
        array : array_like
            Brightness of each pixel.
        label : str
            What it shows.
        scale : float, optional
            The brightest value possible: 255, 16 for the digits, 1 for shares; by default the picture's own
            maximum.

        Examples
        --------
        >>> Picture.of(np.eye(8), "a diagonal").png[1:4]
        b'PNG'
        """
        from PIL import Image

        a = np.asarray(array, dtype=np.float64)
        a = a[..., 0] if a.ndim == 3 and a.shape[-1] == 1 else a
        if a.ndim != 2 and not (a.ndim == 3 and a.shape[-1] in (3, 4)):
            mend = "pass one picture, channels last"
            raise InputError("a picture of shape (height, width[, 1, 3 or 4])", f"shape {a.shape}", mend)
        brightest = scale or float(np.nanmax(a, initial=0)) or 1.0
        file = io.BytesIO()
        pixels = np.clip(np.nan_to_num(a) / brightest * 255, 0, 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(file, "PNG", optimize=True)
        return cls(file.getvalue(), label)


@dataclass(frozen=True)
class Exhibit:
    """One thing to see.

    Attributes
    ----------
    title, caption : str
        A heading, and one or two sentences on what to look for.
    place : {"data", "learning", "answers", "errors"}
        Part of the report it belongs to.
    figure : dict, optional
        A Plotly figure as JSON-able data.
    table : DataFrame, optional
        The same in numbers, or more.
    pictures : tuple of Picture
        Small pictures.
    passages : tuple of (str, str)
        Texts to read, each under a label.
    """

    title: str
    caption: str
    place: Place = "answers"
    figure: dict[str, Any] | None = None
    table: pd.DataFrame | None = None
    pictures: tuple[Picture, ...] = ()
    passages: tuple[tuple[str, str], ...] = ()


def plain(text: Any) -> str:
    """Escape a label: Plotly reads a few HTML tags, and a column may be called ``<b>``."""
    return html.escape(str(text), quote=False)


def floats(values: ArrayLike) -> list[float | None]:
    """Return plain numbers for JSON, None where not finite."""
    return [round(float(v), 6) if np.isfinite(v) else None for v in np.asarray(values, dtype=np.float64).ravel()]


def share(value: float) -> str:
    """Write a share in per cent."""
    return f"{100 * value:.0f} %" if 0.01 <= value <= 0.99 else f"{100 * value:.1f} %"


def axis(title: str, **more: Any) -> dict[str, Any]:
    """Return a Plotly axis with a title."""
    return {"title": {"text": title}, **more}
