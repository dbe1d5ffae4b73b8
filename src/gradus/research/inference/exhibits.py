"""What there is to see of latent variables: components, responsibilities, transitions, decoded paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradus.estimators.exhibit import Exhibit, Picture, axis, floats, plain, share

__all__ = ["component_exhibit", "likelihood_exhibit", "path_exhibit", "responsibility_exhibit", "transition_exhibit"]

Floats = NDArray[np.float64]
MOST_PICTURES = 64
MOST_COLUMNS = 40
MOST_STEPS = 1000


def component_exhibit(
    centers: Floats, weights: Floats, shape: Sequence[int], names: Sequence[str] | None = None
) -> Exhibit:
    """Show the mean of each component, the heaviest first: as pictures where rows are pictures, else as a heat map.

    Parameters
    ----------
    centers : ndarray of shape (components, features)
        Means, or probabilities of a one.
    weights : ndarray of shape (components,)
        Priors.
    shape : sequence of int
        Shape of a row: a square table row is not taken for a picture.
    names : sequence of str, optional
        Names of the columns.

    Examples
    --------
    >>> shown = component_exhibit(np.ones((2, 4)), np.array([0.25, 0.75]), (2, 2))
    >>> [picture.label for picture in shown.pictures]
    ['component 1, 75 %', 'component 0, 25 %']
    """
    order = np.argsort(-weights, kind="stable")
    labels = [f"component {k}, {share(float(weights[k]))}" for k in order]
    title, caption = "Components", "The mean of each component, those that explain most rows first."
    if len(shape) > 1:
        low, high = float(centers.min()), float(centers.max())
        shown = (centers - min(low, 0.0)) / ((high - min(low, 0.0)) or 1.0)
        pictures = [Picture.of(shown[k].reshape(shape), label, 1.0) for k, label in zip(order, labels, strict=True)]
        return Exhibit(title, caption, pictures=tuple(pictures[:MOST_PICTURES]))
    columns = list(names) if names is not None else [f"x{j}" for j in range(centers.shape[1])]
    table = pd.DataFrame(centers[order], columns=columns, index=labels).iloc[:MOST_PICTURES, :MOST_COLUMNS]
    deviation = centers.std(0)
    z = ((centers - centers.mean(0)) / np.where(deviation > 0, deviation, 1.0))[order][:MOST_PICTURES, :MOST_COLUMNS]
    heat: dict[str, Any] = {"type": "heatmap", "z": [floats(row) for row in z], "x": [plain(c) for c in table.columns]}
    heat |= {"y": list(table.index), "zmid": 0, "colorscale": "RdBu", "colorbar": {"title": {"text": "deviations"}}}
    layout = {"xaxis": axis("column"), "yaxis": axis("", autorange="reversed"), "height": 160 + 24 * len(table)}
    caption += " Colours compare components within a column."
    return Exhibit(
        title, caption, figure={"data": [heat], "layout": layout}, table=table.reset_index(names="component")
    )


def responsibility_exhibit(responsibilities: Floats) -> Exhibit:
    """Show how surely rows belong to one component, and how many each one holds.

    Examples
    --------
    >>> responsibility_exhibit(np.array([[0.9, 0.1], [0.2, 0.8]])).table["rows"].tolist()
    [1, 1]
    """
    best, surest = responsibilities.argmax(1), responsibilities.max(1)
    k = responsibilities.shape[1]
    counts = np.bincount(best, minlength=k)
    sure = np.bincount(best, weights=surest, minlength=k) / np.maximum(counts, 1)
    table = pd.DataFrame({"component": range(k), "rows": counts, "mean posterior": sure.round(4)})
    heights, edges = np.histogram(surest, bins=20, range=(0, 1))
    bars = {"type": "bar", "x": floats((edges[1:] + edges[:-1]) / 2), "y": heights.tolist(), "width": 0.045}
    layout = {"xaxis": axis("posterior of the most probable component", range=[0, 1]), "yaxis": axis("rows")}
    caption = "Rows on the right belong clearly to one component, those on the left lie between several."
    return Exhibit("Responsibilities", caption, figure={"data": [bars], "layout": layout}, table=table)


def likelihood_exhibit(history: Sequence[Mapping[str, Any]]) -> Exhibit:
    """Show the log-likelihood that EM climbed.

    Examples
    --------
    >>> likelihood_exhibit([{"step": 0, "log_likelihood": -3.0}]).figure["data"][0]["y"]
    [-3.0]
    """
    y = floats([row["log_likelihood"] for row in history])
    line = {"type": "scatter", "mode": "lines+markers", "x": [row["step"] for row in history], "y": y}
    layout = {"xaxis": axis("step of EM"), "yaxis": axis("log-likelihood, nats")}
    caption = "Each step raises the likelihood; a curve still rising at its end asks for a larger max_iter."
    return Exhibit("Likelihood", caption, "learning", {"data": [line], "layout": layout})


def transition_exhibit(transitions: Floats) -> Exhibit:
    """Show the probabilities of the next state (columns) given the present one (rows).

    Examples
    --------
    >>> transition_exhibit(np.eye(2)).figure["data"][0]["z"]
    [[1.0, 0.0], [0.0, 1.0]]
    """
    states = [f"state {k}" for k in range(len(transitions))]
    heat: dict[str, Any] = {"type": "heatmap", "z": [floats(row) for row in transitions], "x": states, "y": states}
    heat |= {"zmin": 0, "zmax": 1, "colorscale": "Blues"}
    layout = {"xaxis": axis("next"), "yaxis": axis("present", autorange="reversed")}
    table = pd.DataFrame(transitions.round(4), columns=states)
    table.insert(0, "present", states)
    caption = "A strong diagonal means states that last; empty columns, states that are never entered."
    return Exhibit("Transitions", caption, figure={"data": [heat], "layout": layout}, table=table)


def path_exhibit(observed: Floats, path: NDArray[np.int64], posterior: Floats) -> Exhibit:
    """Show one sequence with its most probable states, and how probable each is at its step.

    Parameters
    ----------
    observed : ndarray of shape (steps, features)
        The sequence; its first column is drawn.
    path : ndarray of shape (steps,)
        Most probable states.
    posterior : ndarray of shape (steps, states)
        Their probabilities, step by step.

    Examples
    --------
    >>> path_exhibit(np.zeros((2, 1)), np.array([0, 1]), np.eye(2)).table["state"].tolist()
    [0, 1]
    """
    n = min(len(path), MOST_STEPS)
    steps = list(range(n))
    first = {"type": "scatter", "mode": "lines", "x": steps, "y": floats(observed[:n, 0]), "name": "observed"}
    states = {"type": "scatter", "mode": "lines", "x": steps, "y": path[:n].tolist(), "name": "state", "yaxis": "y2"}
    states["line"] = {"shape": "hv"}
    layout = {"xaxis": axis("step"), "yaxis": axis("first column", domain=[0.45, 1.0])}
    layout |= {"yaxis2": axis("state", domain=[0.0, 0.35], dtick=1)}
    sure = posterior[np.arange(n), path[:n]]
    table = pd.DataFrame({"step": steps, "state": path[:n], "posterior": sure.round(4)})
    caption = "The most probable path through the states, under the sequence it explains."
    return Exhibit("Decoded path", caption, figure={"data": [first, states], "layout": layout}, table=table)
