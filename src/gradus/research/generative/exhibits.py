"""What there is to see of generative models: samples, reconstructions, the latent map, walks over it, neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradus.estimators.exhibit import Exhibit, Picture, axis, floats, plain
from gradus.estimators.exhibits import learning_curves

__all__ = [
    "decoded_grid",
    "exhibits_of",
    "latent_map",
    "nearest_training_rows",
    "parts_of",
    "reconstructions",
    "samples",
]

SHOWN, BESIDE, POINTS, STEPS = 40, 12, 2000, 9
SEED = 20160110  # fixed: a report written twice shows the same samples


def parts_of(data: Any) -> tuple[Any, Any]:
    """Return rows and their classes, None where there are none, of a Dataset, ``(X, y)`` or ``X``."""
    if hasattr(data, "X"):
        return data.X, getattr(data, "y", None)
    if isinstance(data, tuple) and len(data) == 2:
        return data
    return data, None


def exhibits_of(estimator: Any, data: Any) -> Iterator[Exhibit]:
    """Yield everything there is to see of a fitted generative model on data.

    Parameters
    ----------
    estimator : estimator
        Fitted, with `sample`; with `transform` and `inverse_transform` there is more to see.
    data : Dataset, (X, y) or X
        Rows, with classes that colour them where there are some.
    """
    X, y = parts_of(data)
    rows = np.asarray(X)
    if estimator.history_:
        yield learning_curves(estimator.history_, estimator.best_epoch_)
    drawn = estimator.sample(SHOWN, random_state=SEED)
    yield samples(drawn, _names(estimator))
    if hasattr(estimator, "inverse_transform"):
        codes = estimator.transform(X[:POINTS])
        if len(estimator.row_shape_) > 1:
            yield reconstructions(rows[:BESIDE], estimator.reconstruct(X[:BESIDE]))
        if codes.shape[1] > 1:
            yield latent_map(codes, None if y is None else np.asarray(y)[:POINTS])
        if len(estimator.row_shape_) > 1:
            yield decoded_grid(estimator, codes)
    yield nearest_training_rows(drawn[:BESIDE], rows, _names(estimator))


def _names(estimator: Any) -> list[str]:
    size = int(np.prod(estimator.row_shape_))
    return [str(name) for name in getattr(estimator, "feature_names_in_", [f"feature {i}" for i in range(size)])]


def _range(*rows: NDArray[Any]) -> tuple[float, float]:
    """Return what is shown black, and how much more is white: a few values far out must not turn the rest grey."""
    whole = np.concatenate([r.ravel() for r in rows])
    low, high = (float(q) for q in np.quantile(whole, [0.002, 0.998]))
    if high <= low:
        low, high = float(whole.min()), float(whole.max())
    return low, (high - low) or 1.0


def _pictures(rows: NDArray[Any], labels: Sequence[str], bounds: tuple[float, float]) -> tuple[Picture, ...]:
    low, width = bounds
    return tuple(Picture.of((row - low) / width, label, 1.0) for row, label in zip(rows, labels, strict=True))


def samples(drawn: NDArray[Any], names: Sequence[str]) -> Exhibit:
    """Show rows that the model drew, as pictures where they are pictures, else as a table.

    Parameters
    ----------
    drawn : ndarray of shape (n, ...)
        Rows.
    names : sequence of str
        Of the columns of a table.

    Examples
    --------
    >>> samples(np.zeros((2, 3)), ["a", "b", "c"]).table.shape
    (2, 3)
    """
    caption = "Rows the model drew, the noise of its likelihood included where it has one. None of them was chosen."
    if drawn.ndim > 2:
        labels = [str(i + 1) for i in range(len(drawn))]
        return Exhibit("Samples", caption, "answers", None, None, _pictures(drawn, labels, _range(drawn)))
    return Exhibit("Samples", caption, "answers", None, pd.DataFrame(drawn, columns=list(names)).round(4))


def reconstructions(rows: NDArray[Any], decoded: NDArray[Any]) -> Exhibit:
    """Show pictures, and each beside it as it is decoded from its code.

    Parameters
    ----------
    rows, decoded : ndarray of shape (n, height, width[, channels])
        Pictures.

    Examples
    --------
    >>> len(reconstructions(np.zeros((3, 2, 2)), np.ones((3, 2, 2))).pictures)
    6
    """
    bounds = _range(rows, decoded)
    pairs = (
        [(row, f"{i + 1}") for i, row in enumerate(rows)],
        [(row, f"{i + 1} decoded") for i, row in enumerate(decoded)],
    )
    ordered = [entry for pair in zip(*pairs, strict=True) for entry in pair]
    pictures = _pictures(np.stack([row for row, _ in ordered]), [label for _, label in ordered], bounds)
    caption = "What a code keeps of a row: each picture, and beside it what the decoder makes of its code."
    return Exhibit("Reconstructions", caption, "answers", None, None, pictures)


def latent_map(codes: NDArray[Any], y: NDArray[Any] | None = None) -> Exhibit:
    """Draw codes on a plane: their two numbers of largest variance.

    Parameters
    ----------
    codes : ndarray of shape (n, width)
        Codes of two numbers or more.
    y : ndarray of shape (n,), optional
        Classes, which colour them.

    Examples
    --------
    >>> len(latent_map(np.eye(3), np.array([0, 1, 1])).figure["data"])
    2
    """
    first, second = np.sort(np.argsort(-codes.var(0), kind="stable")[:2])
    groups = [("rows", np.ones(len(codes), dtype=bool))]
    if y is not None and len(names := np.unique(np.asarray(y).astype(str))) <= 20:
        groups = [(name, np.asarray(y).astype(str) == name) for name in names]
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": plain(name),
            "x": floats(codes[mask, first]),
            "y": floats(codes[mask, second]),
            "marker": {"size": 4, "opacity": 0.7},
        }
        for name, mask in groups
    ]
    layout = {"height": 520, "xaxis": axis(f"number {first + 1}"), "yaxis": axis(f"number {second + 1}")}
    caption = "Each row's code. Under the prior all numbers are standard normal; look for holes and for classes apart."
    spread = pd.DataFrame({"number": np.arange(codes.shape[1]) + 1, "mean": codes.mean(0), "deviation": codes.std(0)})
    return Exhibit("Latent map", caption, "answers", {"data": traces, "layout": layout}, spread.round(3))


def decoded_grid(estimator: Any, codes: NDArray[Any]) -> Exhibit:
    """Show decodings over the plane of the latent map, at the quantiles of the prior.

    Parameters
    ----------
    estimator : VAE or IWAE
        Fitted on pictures.
    codes : ndarray of shape (n, width)
        Codes of rows, whose two numbers of largest variance span the plane; the others are zero.
    """
    from scipy.special import ndtri

    axes = np.sort(np.argsort(-codes.var(0), kind="stable")[:2])
    levels = ndtri((np.arange(STEPS) + 0.5) / STEPS)
    grid = np.zeros((STEPS * STEPS, codes.shape[1]))
    grid[:, axes[0]] = np.tile(levels, STEPS)
    if len(axes) > 1:
        grid[:, axes[1]] = np.repeat(levels[::-1], STEPS)
    rows = estimator.inverse_transform(grid)
    low, width = _range(rows)
    height, across = rows.shape[1:3]
    tiled = rows.reshape(STEPS, STEPS, height, across, -1).transpose(0, 2, 1, 3, 4)
    sheet = (tiled.reshape(STEPS * height, STEPS * across, -1) - low) / width
    picture = Picture.of(sheet, f"decodings over numbers {', '.join(str(a + 1) for a in axes)} of the code", 1.0)
    caption = "What the decoder makes of codes across the prior: every tile stands for an equal share of it."
    return Exhibit("Decodings over the latent map", caption, "answers", None, None, (picture,))


def nearest_training_rows(drawn: NDArray[Any], train: NDArray[Any], names: Sequence[str]) -> Exhibit:
    """Show samples, each beside the training row nearest to it: copies would stand out.

    Parameters
    ----------
    drawn, train : ndarray of shape (n, ...) and (m, ...)
        Rows.
    names : sequence of str
        Of the columns of a table.

    Examples
    --------
    >>> nearest_training_rows(np.array([[0.9]]), np.array([[0.0], [1.0]]), ["a"]).table["distance"].tolist()
    [0.1]
    """
    from gradus.research.generative.evaluation.neighbours import nearest_rows

    distances, numbers = nearest_rows(drawn, train)
    near, apart = train[numbers[:, 0]], distances[:, 0]
    caption = (
        "Each sample, and the row given here that is nearest to it. A distance near zero would be a copy; how near is "
        "too near, the memorization test says."
    )
    title = "Nearest rows"
    if drawn.ndim > 2:
        pairs = [entry for pair in zip(drawn, near, strict=True) for entry in pair]
        labels = [text for i, d in enumerate(apart) for text in (f"sample {i + 1}", f"nearest, {d:.3g} away")]
        return Exhibit(title, caption, "answers", None, None, _pictures(np.stack(pairs), labels, _range(drawn, near)))
    table = pd.DataFrame(np.asarray(drawn, dtype=np.float64), columns=[f"{name} drawn" for name in names])
    for column, name in enumerate(names):
        table[f"{name} of the nearest row"] = near[:, column]
    table["distance"] = apart
    return Exhibit(title, caption, "answers", None, table.round(4))
