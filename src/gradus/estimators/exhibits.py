"""What there is to see of a fitted model: figures, tables and pictures that need not know the method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from gradus.core.errors import InputError
from gradus.estimators.exhibit import Exhibit, Picture, axis, floats, plain
from gradus.estimators.exhibits_of_rows import (
    example_pictures,
    feature_summary,
    permutation_importance,
    worst_errors_pictures,
    worst_errors_rows,
)
from gradus.estimators.reliability import reliability_curve, wilson

__all__ = [
    "Exhibit",
    "Picture",
    "calibration",
    "confusion_matrix",
    "example_pictures",
    "feature_summary",
    "learning_curves",
    "per_class",
    "permutation_importance",
    "residuals",
    "worst_errors_pictures",
    "worst_errors_rows",
]

Names = Sequence[Any] | NDArray[Any]

MANY_CLASSES = 30
NEUTRAL = "#8a929b"  # a grey that reads on white and on black
POINTS = 2000  # in a scatter; more would only slow the page down


# ---- learning ----


def learning_curves(history: Sequence[Mapping[str, Any]], best_epoch: int | None = None) -> Exhibit:
    """Draw every quantity a training history follows, training and validation together.

    Parameters
    ----------
    history : sequence of mappings
        One row an epoch: ``epoch`` (from 0), and numbers such as ``loss``, ``valid_loss``, ``accuracy``,
        ``valid_accuracy``; names that share their end share a panel.
    best_epoch : int, optional
        Epoch whose weights were kept.

    Examples
    --------
    >>> curves = learning_curves([{"epoch": 0, "loss": 2.0, "valid_loss": 2.1}, {"epoch": 1, "loss": 1.0}])
    >>> [trace["name"] for trace in curves.figure["data"]]
    ['training loss', 'validation loss']
    """
    if not history:
        raise InputError("at least one epoch of history", "none", "train the model first")
    names = [n for n in dict.fromkeys(k for row in history for k in row) if n not in NOT_CURVES]
    names = [n for n in names if any(_is_number(row.get(n)) for row in history)]
    panels: dict[str, list[str]] = {}
    for name in names:
        if name == "learning_rate":  # in the table; the schedule is known beforehand
            continue
        panels.setdefault(name.removeprefix("valid_").removeprefix("train_"), []).append(name)
    epochs = [int(row.get("epoch", i)) + 1 for i, row in enumerate(history)]
    layout: dict[str, Any] = {"height": 60 + 240 * len(panels), "hovermode": "x unified"}
    data = []
    for i, (panel, members) in enumerate(panels.items()):
        suffix = "" if i == 0 else str(i + 1)
        top = 1 - i / len(panels)
        gap = 0.12 if i + 1 < len(panels) else 0.0
        layout[f"yaxis{suffix}"] = axis(plain(panel.replace("_", " ")), domain=[top - 1 / len(panels) + gap, top])
        layout[f"xaxis{suffix}"] = axis("epoch" if i + 1 == len(panels) else "", anchor=f"y{suffix}")
        if i:
            layout[f"xaxis{suffix}"]["matches"] = "x"
        for name in members:
            valid = name.startswith("valid_")
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers" if len(history) == 1 else "lines",
                    "x": epochs,
                    "y": [_number(row.get(name)) for row in history],
                    "xaxis": f"x{suffix}",
                    "yaxis": f"y{suffix}",
                    "name": plain(("validation " if valid else "training ") + panel.replace("_", " ")),
                    "line": {"dash": "solid" if valid else "dot"},
                }
            )
    caption = "Training falls while validation rises: the model memorizes. Both high: it is too small."
    if best_epoch is not None:
        x = best_epoch + 1
        layout["shapes"] = [
            {
                "type": "line",
                "x0": x,
                "x1": x,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "line": {"width": 1, "dash": "dash"},
            }
        ]
        caption = f"The dashed line marks epoch {x}, whose weights were kept. {caption}"
    table = pd.DataFrame({"epoch": epochs} | {n: [row.get(n) for row in history] for n in names})
    every = max(1, -(-len(table) // 40))
    shown = table.iloc[sorted({*range(0, len(table), every), len(table) - 1})]
    return Exhibit("Learning curves", caption, "learning", {"data": data, "layout": layout}, shown)


NOT_CURVES = {
    "epoch",
    "step",
    "steps",
    "seconds",
    "time",
    "elapsed",
    "examples",
    "examples_per_second",
    "finished",
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    return float(value) if _is_number(value) and np.isfinite(value) else None


# ---- classes ----


def _coded(y_true: ArrayLike, y_pred: ArrayLike, classes: Names | None) -> tuple[list[Any], NDArray, NDArray]:
    true, pred = np.asarray(y_true).tolist(), np.asarray(y_pred).tolist()
    if len(true) != len(pred) or not true:
        raise InputError("as many labels as true classes", f"{len(pred)} and {len(true)}", "predict the same rows")
    given = list(np.asarray(classes).tolist()) if classes is not None else sorted(set(true) | set(pred), key=_order)
    code = {name: i for i, name in enumerate(dict.fromkeys([*given, *true, *pred]))}
    return list(code), np.array([code[n] for n in true]), np.array([code[n] for n in pred])


def _order(name: Any) -> tuple[int, float, str]:
    return (0, float(name), "") if isinstance(name, int | float) else (1, 0.0, str(name))


def _counts(names: Sequence[Any], true: NDArray, pred: NDArray) -> NDArray[np.int64]:
    k = len(names)
    return np.bincount(true * k + pred, minlength=k * k).reshape(k, k)


def confusion_matrix(y_true: ArrayLike, y_pred: ArrayLike, classes: Names | None = None) -> Exhibit:
    """Count which class was taken for which; past 30 classes only the worst pairs are listed.

    Parameters
    ----------
    y_true, y_pred : array_like, shape (n,)
        True and predicted classes.
    classes : sequence, optional
        Their order; sorted by default.

    Examples
    --------
    >>> confusion_matrix(["a", "b", "b"], ["a", "b", "a"]).table.to_numpy()[:, 1:].tolist()
    [[1, 0], [1, 1]]
    """
    names, true, pred = _coded(y_true, y_pred, classes)
    counts = _counts(names, true, pred)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    worst = [(i, j) for i, j in zip(*np.unravel_index(np.argsort(-wrong, axis=None)[:20], wrong.shape), strict=True)]
    pairs = [(names[i], names[j], int(wrong[i, j])) for i, j in worst if wrong[i, j]]
    caption = "Rows are true classes, columns what the model said; each row is coloured by its shares."
    if pairs:
        caption += f" The most frequent mistake: {pairs[0][0]} taken for {pairs[0][1]}, {pairs[0][2]} times."
    if len(names) > MANY_CLASSES:
        table = pd.DataFrame(pairs, columns=["true class", "taken for", "rows"])
        return Exhibit("Most frequent confusions", caption.split(". ", 1)[-1], "answers", None, table)
    labels = [plain(n) for n in names]
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    heat = {
        "type": "heatmap",
        "x": labels,
        "y": labels,
        "z": [floats(r) for r in share],
        "customdata": counts.tolist(),
        "text": counts.tolist(),
        "xgap": 1,
        "ygap": 1,
        "zmin": 0,
        "zmax": 1,
        "showscale": False,
        "hovertemplate": "true %{y}, said %{x}: %{customdata} rows (%{z:.1%})<extra></extra>",
    }
    if len(names) <= 15:
        heat["texttemplate"] = "%{text}"
    side = int(np.clip(140 + 38 * len(names), 300, 720))
    layout = {
        "height": side,
        "width": side + 60,
        "xaxis": axis("predicted class", type="category", showgrid=False, constrain="domain"),
        "yaxis": axis("true class", type="category", autorange="reversed", showgrid=False),
    }
    table = pd.DataFrame(counts, columns=[f"said {n}" for n in names])
    table.insert(0, "true class", names)
    return Exhibit("Confusion matrix", caption, "answers", {"data": [heat], "layout": layout}, table)


def per_class(y_true: ArrayLike, y_pred: ArrayLike, classes: Names | None = None) -> Exhibit:
    """Precision, recall and F1 of each class, with Wilson intervals; the weakest class first.

    Examples
    --------
    >>> per_class(["a", "a", "b", "b"], ["a", "a", "a", "b"]).table["class"].tolist()
    ['b', 'a']
    """
    names, true, pred = _coded(y_true, y_pred, classes)
    counts = _counts(names, true, pred)
    hits, truths, said = np.diag(counts), counts.sum(1), counts.sum(0)
    recall_low, recall_high = wilson(hits, truths)
    precision_low, precision_high = wilson(hits, said)
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = {
            "class": names,
            "true rows": truths,
            "predicted": said,
            "recall": hits / truths,
            "recall low": recall_low,
            "recall high": recall_high,
            "precision": hits / said,
            "precision low": precision_low,
            "precision high": precision_high,
            "F1": 2 * hits / (truths + said),
        }
    table = pd.DataFrame(columns).sort_values("F1", kind="stable", na_position="first", ignore_index=True)
    caption = (
        "Recall: the share of a class that was found. Precision: the share of answers that were right. "
        "Low and high are 95 % intervals; few rows make them wide. The weakest class stands first."
    )
    return Exhibit("Class by class", caption, "answers", None, table.head(200))


def calibration(y_true: ArrayLike, probabilities: ArrayLike, classes: Names, bins: int = 10) -> Exhibit:
    """Compare predicted probabilities with observed frequencies.

    With two classes the probability of the second is looked at, with more that of the class predicted.

    Parameters
    ----------
    y_true : array_like, shape (n,)
        True classes.
    probabilities : array_like, shape (n, classes)
        Columns in the order of ``classes``.
    classes : sequence
        Names of the columns.
    bins : int
        Equal intervals of probability.

    Examples
    --------
    >>> calibration(["n", "y", "y", "y"], [[0.1, 0.9]] * 4, ["n", "y"]).table["came true"].tolist()
    [0.75]
    """
    names, q, y = (
        np.asarray(classes).tolist(),
        np.asarray(probabilities, dtype=np.float64),
        np.asarray(y_true),
    )
    if q.ndim != 2 or q.shape != (len(y), len(names)):
        expected = f"probabilities of shape ({len(y)}, {len(names)})"
        raise InputError(expected, f"shape {q.shape}", "pass predict_proba(X) and classes_")
    if len(names) == 2:
        p, hit, of = q[:, 1], np.array([n == names[1] for n in y.tolist()]), f"of {names[1]}"
    else:
        best = q.argmax(1)
        hit = np.array([names[b] == n for b, n in zip(best, y.tolist(), strict=True)])
        p, of = q[np.arange(len(y)), best], "of the class predicted"
    curve = reliability_curve(np.clip(p, 0, 1), hit, bins)
    points = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "observed",
        "x": floats(curve.predicted),
        "y": floats(curve.observed),
        "customdata": curve.counts.tolist(),
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": floats(curve.high - curve.observed),
            "arrayminus": floats(curve.observed - curve.low),
            "thickness": 1.2,
        },
        "hovertemplate": "said %{x:.1%}, came true %{y:.1%} of %{customdata} rows<extra></extra>",
    }
    honest = {
        "type": "scatter",
        "mode": "lines",
        "name": "honest",
        "x": [0, 1],
        "y": [0, 1],
        "line": {"dash": "dot", "width": 1, "color": NEUTRAL},
        "hoverinfo": "skip",
    }
    bars = {
        "type": "bar",
        "marker": {"color": NEUTRAL},
        "name": "rows",
        "x": floats(curve.predicted),
        "y": curve.counts.tolist(),
        "width": 0.05,
        "xaxis": "x2",
        "yaxis": "y2",
        "showlegend": False,
    }
    layout = {
        "height": 440,
        "xaxis": {"range": [0, 1], "anchor": "y", "tickformat": ".0%", "showticklabels": False},
        "yaxis": axis("came true", range=[0, 1.02], domain=[0.3, 1], tickformat=".0%"),
        "xaxis2": axis(plain(f"probability {of}"), range=[0, 1], anchor="y2", tickformat=".0%"),
        "yaxis2": axis("rows", domain=[0, 0.2], rangemode="tozero", nticks=3),
    }
    table = pd.DataFrame(
        {
            "said": curve.predicted,
            "came true": curve.observed,
            "low": curve.low,
            "high": curve.high,
            "rows": curve.counts,
        }
    )
    caption = (
        f"Expected calibration error {curve.error:.3f}: on average the probability {of} is off by "
        f"{100 * curve.error:.1f} points. Below the dotted line the model is too sure, above it too modest. "
        "Bars are 95 % intervals."
    )
    return Exhibit("Calibration", caption, "answers", {"data": [points, honest, bars], "layout": layout}, table)


# ---- numbers ----


def residuals(y_true: ArrayLike, y_pred: ArrayLike, name: str = "target") -> Exhibit:
    """Show predicted against true values, and how the errors are distributed.

    Parameters
    ----------
    y_true, y_pred : array_like, shape (n,)
        True and predicted values.
    name : str
        What they are, with the unit if known.

    Examples
    --------
    >>> residuals([1.0, 2.0, 3.0], [1.0, 2.0, 4.0]).table.columns.tolist()
    ['error (predicted - true)', 'value']
    """
    y, p = np.asarray(y_true, dtype=np.float64), np.asarray(y_pred, dtype=np.float64)
    if y.shape != p.shape or y.ndim != 1 or not len(y):
        raise InputError("two arrays of the same length", f"shapes {y.shape} and {p.shape}", "pass y.ravel()")
    error = p - y
    some = np.unique(np.linspace(0, len(y) - 1, min(POINTS, len(y))).astype(int))
    low, high = float(min(y.min(), p.min())), float(max(y.max(), p.max()))
    heights, edges = _histogram(error)
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": floats(y[some]),
            "y": floats(p[some]),
            "showlegend": False,
            "marker": {"size": 5, "opacity": 0.55},
            "hovertemplate": "true %{x:,.4g}, predicted %{y:,.4g}<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "x": [low, high],
            "y": [low, high],
            "line": {"dash": "dot", "width": 1, "color": NEUTRAL},
            "hoverinfo": "skip",
            "showlegend": False,
        },
        {
            "type": "bar",
            "marker": {"color": NEUTRAL},
            "x": floats((edges[1:] + edges[:-1]) / 2),
            "y": heights.tolist(),
            "xaxis": "x2",
            "yaxis": "y2",
            "width": floats(np.diff(edges)),
            "showlegend": False,
            "hovertemplate": "%{x:,.4g}: %{y} rows<extra></extra>",
        },
    ]
    layout = {
        "height": 640,
        "bargap": 0,
        "yaxis": axis(plain(f"predicted {name}"), domain=[0.42, 1]),
        "xaxis": axis(plain(f"true {name}"), anchor="y"),
        "yaxis2": axis("rows", domain=[0, 0.26]),
        "xaxis2": axis("error (predicted - true)", anchor="y2"),
    }
    levels = [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0]
    words = ["least", "5 % below", "25 % below", "median", "75 % below", "95 % below", "greatest"]
    rows: dict[str, Any] = {"error (predicted - true)": [*words, "mean"]}
    rows["value"] = [*np.quantile(error, levels), error.mean()]
    caption = "Points on the dotted line are right. A fan: large values are harder. A bend: a form was missed."
    if len(some) < len(y):
        caption += f" {len(some):,} of {len(y):,} points are drawn."
    return Exhibit("Predicted and true", caption, "answers", {"data": data, "layout": layout}, pd.DataFrame(rows))


def _histogram(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Count values in bins; equal ones get bins too, which NumPy refuses."""
    low, high = float(values.min()), float(values.max())
    size = max(abs(low), abs(high)) or 1.0
    if high - low < 1e-6 * size:
        low, high = low - 0.1 * size, high + 0.1 * size
    return np.histogram(values, bins=int(np.clip(np.sqrt(len(values)), 5, 50)), range=(low, high))
