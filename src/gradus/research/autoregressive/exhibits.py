"""What there is to see of models with exact likelihoods: samples, first-layer weights, the density of two columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradus.estimators.exhibit import Exhibit, Picture, axis, floats, plain
from gradus.estimators.exhibits import learning_curves
from gradus.research.generative.exhibits import latent_map, nearest_training_rows, parts_of, samples

__all__ = ["density_map", "exhibits_of", "filters", "likelihoods"]

SHOWN, BESIDE, POINTS, GRID, MOST_FILTERS = 40, 12, 2000, 81, 64
LONG = 200  # values of a row
SEED = 20110415  # fixed: a report written twice shows the same samples


def exhibits_of(estimator: Any, data: Any) -> Iterator[Exhibit]:
    """Yield everything there is to see of a fitted model on data.

    Parameters
    ----------
    estimator : estimator
        Fitted, with `sample` and `score_samples`; with `transform` there is a map of codes, too.
    data : Dataset, (X, y) or X
        Rows, with classes that colour the map where there are some.
    """
    X, y = parts_of(data)
    rows, shape = np.asarray(X, dtype=np.float64), tuple(estimator.row_shape_)
    names = [str(n) for n in getattr(estimator, "feature_names_in_", _numbered(int(np.prod(shape))))]
    if estimator.history_:
        yield learning_curves(estimator.history_, estimator.best_epoch_)
    drawn = estimator.sample(SHOWN, random_state=SEED)
    yield samples(drawn, names)
    weights = getattr(estimator.network_, "filters", None)
    if weights is not None and len(shape) > 1:
        yield filters(weights().cpu().double().numpy(), shape)
    scored = rows[:POINTS]
    if getattr(estimator, "binarize", "none") in ("fixed", "resample") and estimator.levels_ == 2:
        scored = estimator.binarized(scored, random_state=SEED)
    # long rows take long to draw: the few shown will do
    more = drawn if np.prod(shape) > LONG else estimator.sample(POINTS // 4, random_state=SEED + 1)
    yield likelihoods(estimator.score_samples(scored), estimator.score_samples(more))
    if hasattr(estimator, "inverse_transform"):
        if shape == (2,):
            yield density_map(estimator, rows, names)
        if np.prod(shape) > 1:
            yield latent_map(estimator.transform(scored), None if y is None else np.asarray(y)[:POINTS])
    yield nearest_training_rows(drawn[:BESIDE], rows, names)


def _numbered(size: int) -> list[str]:
    return [f"feature {i}" for i in range(size)]


def filters(weights: NDArray[Any], shape: tuple[int, ...]) -> Exhibit:
    """Show the weights into each unit of the first layer as a picture: bright excites, dark inhibits.

    Parameters
    ----------
    weights : ndarray of shape (units, height * width) or (units, height, width[, channels])
        Weights.
    shape : tuple of int
        Shape of a row, for flat weights.

    Examples
    --------
    >>> len(filters(np.eye(4), (2, 2)).pictures)
    4
    """
    shaped = weights.reshape(len(weights), *shape) if weights.ndim == 2 else weights
    if shaped.ndim == 4 and shaped.shape[-1] not in (1, 3):
        shaped = shaped.mean(-1)
    sizes = np.linalg.norm(shaped.reshape(len(shaped), -1), axis=1)
    order = np.argsort(-sizes, kind="stable")[:MOST_FILTERS]
    pictures = tuple(
        Picture.of(0.5 + 0.5 * shaped[unit] / (np.abs(shaped[unit]).max() or 1.0), f"unit {unit}", 1.0)
        for unit in order
    )
    caption = (
        "Weights from the pixels into each unit of the first layer, grey where there are none, the largest first. "
        "Strokes say that units stand for parts; what looks like noise has learned little."
    )
    return Exhibit("Filters", caption, "learning", pictures=pictures)


def likelihoods(given: NDArray[Any], drawn: NDArray[Any]) -> Exhibit:
    """Draw how likely the model finds rows, and its own samples.

    Parameters
    ----------
    given, drawn : ndarray of shape (n,) and (m,)
        Log-likelihoods in nats.

    Examples
    --------
    >>> likelihoods(np.array([-3.0, -1.0]), np.array([-2.0])).table["mean"].tolist()
    [-2.0, -2.0]
    """
    look = {"type": "histogram", "histnorm": "probability", "opacity": 0.6, "bingroup": "both"}
    traces = [{**look, "name": name, "x": floats(values)} for name, values in (("rows", given), ("samples", drawn))]
    layout = {"barmode": "overlay", "xaxis": axis("log-likelihood, nats"), "yaxis": axis("share")}
    table = pd.DataFrame(
        {
            "of": ["rows", "samples"],
            "number": [len(given), len(drawn)],
            "mean": [given.mean(), drawn.mean()],
            "lowest": [given.min(), drawn.min()],
        }
    )
    caption = (
        "Exact log-likelihoods of rows and of the model's own samples. The mean of the samples is minus the model's "
        "entropy: rows far below it are of a kind that the model does not expect; rows far above, simpler than most."
    )
    return Exhibit("Likelihoods", caption, "answers", {"data": traces, "layout": layout}, table.round(3))


def density_map(estimator: Any, rows: NDArray[Any], names: list[str]) -> Exhibit:
    """Draw the density over the plane of two columns, and rows on it.

    Parameters
    ----------
    estimator : estimator
        Fitted on two columns, with `score_samples`.
    rows : ndarray of shape (n, 2)
        Rows.
    names : list of str
        Of the columns.
    """
    low, high = np.quantile(rows, [0.005, 0.995], axis=0)
    margin = 0.15 * np.where(high > low, high - low, 1.0)
    across, up = (np.linspace(low[i] - margin[i], high[i] + margin[i], GRID) for i in range(2))
    plane = np.stack(np.meshgrid(across, up), -1).reshape(-1, 2)
    density = np.exp(estimator.score_samples(plane)).reshape(GRID, GRID)
    some = rows[np.unique(np.linspace(0, len(rows) - 1, min(500, len(rows))).astype(int))]
    heat = [[float(f"{v:.4g}") for v in line] for line in density]
    traces = [
        {
            "type": "heatmap",
            "x": floats(across),
            "y": floats(up),
            "z": heat,
            "colorbar": {"title": {"text": "density"}},
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": "rows",
            "x": floats(some[:, 0]),
            "y": floats(some[:, 1]),
            "marker": {"size": 3, "color": "white", "opacity": 0.5},
        },
    ]
    layout = {"height": 520, "xaxis": axis(plain(names[0])), "yaxis": axis(plain(names[1]))}
    caption = "The density, and some rows. It is wrong where it is bright without rows, or dark with rows."
    return Exhibit("Density", caption, "answers", {"data": traces, "layout": layout})
