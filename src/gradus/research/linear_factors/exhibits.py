"""What there is to see of linear factors: components, spectra, latent maps, the manifold of a Gaussian."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradus.estimators.exhibit import Exhibit, Picture, axis, floats, plain

__all__ = ["components_shown", "latent_map", "pancake", "reconstructions", "variance_curve", "walks"]

SHOWN, POINTS, WEIGHTS = 64, 2000, 12
Shape = tuple[int, ...]


def _picture(values: NDArray[Any], shape: Shape, label: str) -> Picture:
    """Draw a pattern with its zero at middle grey."""
    largest = float(np.abs(values).max()) or 1.0
    return Picture.of((values.reshape(shape) / largest + 1) / 2, label, 1.0)


def components_shown(components: NDArray[Any], shape: Shape, names: Sequence[Any] | None = None) -> Exhibit:
    """Show components as pictures where rows are pictures, else as a table of their largest weights.

    Parameters
    ----------
    components : array of shape (k, features)
        One a row.
    shape : tuple of int
        Of one row: ``(features,)`` or ``(height, width[, channels])``.
    names : sequence, optional
        Of the features.

    Examples
    --------
    >>> components_shown(np.eye(2), (2,), ["age", "size"]).table["component 1"][0]
    'age +1'
    """
    if len(shape) > 1:
        pictures = tuple(_picture(row, shape, str(i + 1)) for i, row in enumerate(components[:SHOWN]))
        caption = "What each factor adds to a row; middle grey is zero."
        if len(components) > SHOWN:
            caption += f" The first {SHOWN} of {len(components)}."
        return Exhibit("Components", caption, "learning", None, None, pictures)
    labels = [f"feature {i}" for i in range(components.shape[1])] if names is None else [str(name) for name in names]
    columns = {}
    for i, row in enumerate(components[:10]):
        order = np.argsort(-np.abs(row), kind="stable")[:WEIGHTS]
        columns[f"component {i + 1}"] = [f"{labels[j]} {row[j]:+.3g}" for j in order]
    caption = "The features each factor moves most, with its weights."
    return Exhibit("Components", caption, "learning", None, pd.DataFrame(columns))


def variance_curve(ratio: NDArray[Any]) -> Exhibit:
    """Draw the share of the variance that the first components explain together.

    Parameters
    ----------
    ratio : array of shape (k,)
        Share of each.

    Examples
    --------
    >>> variance_curve(np.array([0.5, 0.25])).table["together"].tolist()
    [0.5, 0.75]
    """
    number, together = np.arange(1, len(ratio) + 1), np.cumsum(ratio)
    bars = {"type": "bar", "x": number.tolist(), "y": floats(ratio), "name": "each"}
    line = {"type": "scatter", "mode": "lines+markers", "x": number.tolist(), "y": floats(together), "name": "together"}
    layout = {
        "height": 360,
        "xaxis": axis("component"),
        "yaxis": axis("share of the variance", range=[0, 1.02], tickformat=".0%"),
    }
    table = pd.DataFrame({"component": number, "share": ratio, "together": together})
    caption = f"{len(ratio)} components explain {together[-1]:.1%} of the variance. Look for the bend."
    return Exhibit("Explained variance", caption, "learning", {"data": [bars, line], "layout": layout}, table.head(200))


def latent_map(codes: NDArray[Any], labels: Sequence[Any] | None = None) -> Exhibit:
    """Draw rows at their first two factors.

    Parameters
    ----------
    codes : array of shape (n, k)
        k of 2 or more.
    labels : sequence, optional
        A class for each row, which gets a colour.

    Examples
    --------
    >>> latent_map(np.eye(3), ["a", "b", "a"]).figure["data"][0]["x"]
    [1.0, 0.0]
    """
    some = np.unique(np.linspace(0, len(codes) - 1, min(POINTS, len(codes))).astype(int))
    groups: list[tuple[str, NDArray[Any]]] = [("", some)]
    if labels is not None:
        of = np.asarray(labels)
        groups = [(plain(name), some[of[some] == name]) for name in pd.unique(of[some])]
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "showlegend": bool(name),
            "x": floats(codes[rows, 0]),
            "y": floats(codes[rows, 1]),
            "marker": {"size": 5, "opacity": 0.6},
        }
        for name, rows in groups
    ]
    layout = {"height": 440, "xaxis": axis("factor 1"), "yaxis": axis("factor 2")}
    caption = "Each point is a row. Groups and bends here are structure that two numbers keep."
    return Exhibit("Latent map", caption, "answers", {"data": data, "layout": layout})


def reconstructions(rows: NDArray[Any], again: NDArray[Any]) -> Exhibit:
    """Show rows that are pictures beside what the factors keep of them, in turns."""
    low, high = float(np.nanmin(rows)), float(np.nanmax(rows))
    span = (high - low) or 1.0
    pictures = []
    for i, (given, kept) in enumerate(zip(rows, again, strict=True)):
        pictures += [
            Picture.of(np.clip((part - low) / span, 0, 1), f"{i + 1} {word}", 1.0)
            for part, word in ((given, "given"), (kept, "kept"))
        ]
    caption = "Rows as given, each followed by what its factors keep of it."
    return Exhibit("Reconstructions", caption, "answers", None, None, tuple(pictures))


def pancake(inside: NDArray[Any], outside: float) -> Exhibit:
    """Draw how far data spread along a plane and off it: the manifold view of a Gaussian with a thin direction.

    Parameters
    ----------
    inside : array of shape (k,)
        Variance along each direction of the plane.
    outside : float
        Mean variance of the directions off the plane.

    Examples
    --------
    >>> pancake(np.array([4.0, 1.0]), 0.01).table["deviation"].tolist()
    [2.0, 1.0, 0.1]

    References
    ----------
    Goodfellow et al. 2016, §13.5, figure 13.3.
    """
    spread = np.sqrt(np.maximum(np.append(inside, outside), 0))
    names = [*(f"along {i + 1}" for i in range(len(inside))), "off the plane"]
    bars = {"type": "bar", "x": names, "y": floats(spread)}
    layout = {"height": 340, "xaxis": axis("direction"), "yaxis": axis("standard deviation")}
    thin = spread[-1] / spread[0] if spread[0] > 0 else float("nan")
    caption = (
        f"The Gaussian is a pancake: wide along the plane of the components, thin off it ({thin:.3g} of its widest). "
        "The nearer the last bar is to zero, the better the plane stands for the data."
    )
    table = pd.DataFrame({"direction": names, "deviation": spread})
    return Exhibit("Manifold", caption, "learning", {"data": [bars], "layout": layout}, table.head(200))


def walks(mean: NDArray[Any], directions: NDArray[Any], shape: Shape, count: int = 4) -> Exhibit:
    """Show steps along the plane: pictures at -2, -1, 0, 1 and 2 standard deviations along each direction.

    Parameters
    ----------
    mean : array of shape (features,)
        Where all walks pass.
    directions : array of shape (k, features)
        Each one standard deviation long.
    shape : tuple of int
        Of a picture.
    count : int
        How many directions.

    References
    ----------
    Goodfellow et al. 2016, §13.5.
    """
    steps = (-2.0, -1.0, 0.0, 1.0, 2.0)
    rows = np.stack([mean + step * way for way in directions[:count] for step in steps])
    low, high = float(rows.min()), float(rows.max())
    labels = [f"factor {i + 1} at {step:+.0f}" for i in range(len(directions[:count])) for step in steps]
    pictures = tuple(
        Picture.of((row.reshape(shape) - low) / ((high - low) or 1.0), label, 1.0)
        for row, label in zip(rows, labels, strict=True)
    )
    caption = "Walks on the manifold: each line of five goes along one factor, in standard deviations from the mean."
    return Exhibit("Walks", caption, "learning", None, None, pictures)
