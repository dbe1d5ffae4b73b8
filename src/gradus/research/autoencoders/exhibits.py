"""What there is to see of an autoencoder: filters, reconstructions, codes, the surface it has learned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from gradus.estimators.exhibit import Exhibit, Picture, axis, floats, plain
from gradus.estimators.exhibits import learning_curves

__all__ = ["exhibits_of", "filters", "latent_map", "manifold", "reconstructions", "vector_field"]

SHOWN = 12  # pictures side by side
MOST_FILTERS = 64
POINTS = 2000  # in a scatter; more would only slow the page down
GRID = 15  # arrows, or decoded codes, along an axis


def exhibits_of(estimator: Any, data: Any) -> Iterator[Exhibit]:
    """Yield everything there is to see of a fitted autoencoder on data.

    Parameters
    ----------
    estimator : AutoencoderAnswers
        Fitted.
    data : Dataset, (X, y) or X
        Rows, with classes that colour them where there are some.
    """
    X, y = _parts(data)
    if estimator.history_:
        yield learning_curves(estimator.history_, estimator.best_epoch_)
    if len(estimator.row_shape_) > 1:
        yield filters(estimator)
        yield reconstructions(estimator, X)
    yield latent_map(estimator.transform(X), y)
    if len(estimator.row_shape_) > 1 and estimator._n_features_out == 2:
        yield manifold(estimator, X)
    if tuple(estimator.row_shape_) == (2,):
        yield vector_field(estimator, X)


def filters(estimator: Any, limit: int = MOST_FILTERS) -> Exhibit:
    """Show the weights into each unit of the first layer as a picture: bright excites, dark inhibits.

    Parameters
    ----------
    estimator : AutoencoderAnswers
        Fitted on pictures.
    limit : int
        Most filters shown, those of the largest weights first.

    References
    ----------
    Goodfellow et al. 2016, §9.10, figures 9.19 and 14.8 (what first layers learn).
    """
    layer = next(m for m in estimator.network_.encoder.modules() if isinstance(m, nn.Linear | nn.Conv2d))
    weights = layer.weight.detach().cpu().double()
    if isinstance(layer, nn.Conv2d):
        shaped = weights.permute(0, 2, 3, 1).numpy()
    else:
        shaped = weights.numpy().reshape(len(weights), *estimator.row_shape_)
    sizes = np.abs(shaped).reshape(len(shaped), -1).max(1)
    order = np.argsort(-np.linalg.norm(shaped.reshape(len(shaped), -1), axis=1), kind="stable")[:limit]
    pictures = tuple(_signed(shaped[unit], sizes[unit], f"unit {unit}") for unit in order)
    caption = "Weights into each unit of the first layer, grey where there are none. Strokes and edges say that units "
    caption += "stand for parts; what looks like noise has learned little."
    return Exhibit("Filters", caption, "learning", pictures=pictures)


def reconstructions(estimator: Any, X: Any, limit: int = SHOWN) -> Exhibit:
    """Show rows and what the network gives back, the easiest, the usual and the hardest.

    Parameters
    ----------
    estimator : AutoencoderAnswers
        Fitted on pictures.
    X : array-like of shape (n, height, width) or (n, height, width, channels)
        Rows.
    limit : int
        Rows shown.
    """
    rows = np.asarray(X)[:POINTS]
    errors = estimator.reconstruction_errors(rows)
    order = np.argsort(errors, kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, min(limit, len(order))).round().astype(int))]
    back = estimator.reconstruct(rows[chosen])
    scale = float(np.max(estimator.input_shift_ + estimator.input_scale_))
    pictures: list[Picture] = []
    for row, given, error in zip(rows[chosen], back, errors[chosen], strict=True):
        pictures += [Picture.of(row, "original", scale), Picture.of(given, f"error {error:.3g}", scale)]
    caption = "Originals, each followed by its reconstruction, from the smallest error to the largest."
    return Exhibit("Reconstructions", caption, "answers", pictures=tuple(pictures))


def latent_map(codes: NDArray[Any], y: Any = None) -> Exhibit:
    """Draw codes in two dimensions: as they are, or along their two principal components.

    Parameters
    ----------
    codes : ndarray of shape (n, code)
        Codes.
    y : array-like of shape (n,), optional
        Classes or numbers that colour the points.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> len(latent_map(rng.normal(size=(50, 5)), rng.integers(0, 3, 50)).figure["data"])
    3
    """
    some = np.unique(np.linspace(0, len(codes) - 1, min(POINTS, len(codes))).astype(int))
    kept = np.asarray(codes, dtype=np.float64)[some]
    names = ["code 1", "code 2"]
    if kept.shape[1] == 1:
        kept = np.concatenate([kept, np.zeros_like(kept)], 1)
    elif kept.shape[1] > 2:
        centred = kept - kept.mean(0)
        _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
        share = sizes[:2] ** 2 / max(float((sizes**2).sum()), 1e-300)
        kept, names = centred @ directions[:2].T, [f"component {i + 1} ({share[i]:.0%})" for i in range(len(share))]
        if kept.shape[1] == 1:
            kept, names = np.concatenate([kept, np.zeros_like(kept)], 1), [*names, ""]
    traces = []
    colours = None if y is None else np.asarray(y)[some]
    if colours is not None and len(np.unique(colours)) <= 20:
        for name in np.unique(colours):
            of = kept[colours == name]
            traces.append(_points(of, plain(name)))
    else:
        marker = {"size": 5} if colours is None else {"size": 5, "color": floats(colours), "showscale": True}
        traces.append({**_points(kept, "rows"), "marker": marker})
    layout = {"height": 480, "xaxis": axis(names[0]), "yaxis": axis(names[1])}
    caption = "Each point is the code of a row. Classes that fall into clouds of their own are easy to tell from it."
    return Exhibit("Latent map", caption, "answers", {"data": traces, "layout": layout})


def manifold(estimator: Any, X: Any, size: int = GRID) -> Exhibit:
    """Show what codes on a grid over the plane decode to: the surface that data lie on.

    Parameters
    ----------
    estimator : AutoencoderAnswers
        Fitted on pictures, with a code of two units.
    X : array-like
        Rows whose codes say where the grid lies: between their 2nd and 98th percentiles.
    size : int
        Codes along an axis.

    References
    ----------
    Goodfellow et al. 2016, §14.6, figure 20.6.
    """
    codes = estimator.transform(np.asarray(X)[:POINTS])
    low, high = np.quantile(codes, [0.02, 0.98], axis=0)
    across, up = (np.linspace(low[i], high[i], size) for i in range(2))
    plane = np.stack(np.meshgrid(across, up[::-1]), -1).reshape(-1, 2)
    decoded = estimator.inverse_transform(plane)
    tall, wide = decoded.shape[1:3]
    sheet = decoded.reshape(size, size, *decoded.shape[1:]).swapaxes(1, 2)
    picture = sheet.reshape(size * tall, size * wide, *decoded.shape[3:])
    scale = float(np.max(estimator.input_shift_ + estimator.input_scale_))
    caption = "What codes on a grid decode to. Neighbours look alike; where they do not, no data lie between."
    return Exhibit("Manifold", caption, "answers", pictures=(Picture.of(picture, "decoded codes", scale),))


def vector_field(estimator: Any, X: Any, size: int = GRID) -> Exhibit:
    """Draw where reconstruction moves points of the plane, over the rows it has learned from.

    Parameters
    ----------
    estimator : AutoencoderAnswers
        Fitted on rows of two features.
    X : array-like of shape (n, 2)
        Rows.
    size : int
        Arrows along an axis.

    References
    ----------
    Goodfellow et al. 2016, §14.5.1, figure 14.5.
    """
    rows = np.asarray(X, dtype=np.float64)
    some = rows[np.unique(np.linspace(0, len(rows) - 1, min(POINTS, len(rows))).astype(int))]
    low, high = rows.min(0), rows.max(0)
    margin = 0.15 * (high - low)
    across, up = (np.linspace(low[i] - margin[i], high[i] + margin[i], size) for i in range(2))
    start = np.stack(np.meshgrid(across, up), -1).reshape(-1, 2)
    moved = start + estimator.vector_field(start)
    traces = [
        {**_points(some, "rows"), "marker": {"size": 4, "opacity": 0.4}},
        _segments(start, moved, "r(x) - x"),
        {**_points(moved, "r(x)"), "marker": {"size": 4, "symbol": "circle"}},
    ]
    layout = {"height": 520, "xaxis": axis("first feature"), "yaxis": axis("second feature")}
    caption = "Lines lead from points of a grid to their reconstructions: towards the rows, along nothing they vary in."
    return Exhibit("Vector field", caption, "answers", {"data": traces, "layout": layout})


def _segments(start: NDArray[Any], end: NDArray[Any], name: str) -> dict[str, Any]:
    """Return lines from each start to its end as one trace, with gaps between."""
    gaps = np.full(len(start), np.nan)
    x, y = (floats(np.stack([start[:, i], end[:, i], gaps], 1)) for i in range(2))
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": name, "line": {"width": 1}}


def _points(points: NDArray[Any], name: str) -> dict[str, Any]:
    marker = {"size": 5}
    x, y = floats(points[:, 0]), floats(points[:, 1])
    return {"type": "scatter", "mode": "markers", "x": x, "y": y, "name": name, "marker": marker}


def _signed(array: NDArray[Any], largest: float, label: str) -> Picture:
    """Draw numbers around zero: grey is none, white the largest."""
    shown = array if array.ndim == 2 or array.shape[-1] in (1, 3) else array.mean(-1)
    return Picture.of(0.5 + 0.5 * shown / (largest or 1.0), label, 1.0)


def _parts(data: Any) -> tuple[Any, Any]:
    if isinstance(data, tuple) and len(data) == 2:
        return data
    if hasattr(data, "X") and hasattr(data, "y"):
        return data.X, data.y
    return data, None
