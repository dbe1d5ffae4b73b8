"""Exhibits of single rows and columns: the data, the worst errors, what a model leans on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from gradus.core.errors import InputError
from gradus.estimators.exhibit import Exhibit, Picture, axis, floats, plain, share

__all__ = [
    "example_pictures",
    "feature_summary",
    "permutation_importance",
    "worst_errors_pictures",
    "worst_errors_rows",
]


# ---- the worst errors ----


def _surprise(y: NDArray[Any], prediction: Any) -> tuple[NDArray[np.float64], list[str], str]:
    """How bad each answer is, in words too: nats of surprise, 0 or 1, or distance."""
    labels, q, values = prediction.labels, prediction.probabilities, prediction.values
    if values is not None:
        gap = np.abs(np.asarray(values, dtype=np.float64) - np.asarray(y, dtype=np.float64))
        return gap, [f"true {t:,.4g}, said {v:,.4g}" for t, v in zip(y, values, strict=True)], "distance"
    if labels is None:
        raise InputError("labels or values", "neither", "pass Prediction(labels=predict(X))")
    words = [f"true {t}, said {s}" for t, s in zip(y, labels, strict=True)]
    if q is None or prediction.classes is None:
        return (np.asarray(y) != np.asarray(labels)).astype(np.float64), words, "wrong"
    column = {name: i for i, name in enumerate(np.asarray(prediction.classes).tolist())}
    at = np.array([column.get(t, -1) for t in np.asarray(y).tolist()])
    p = np.where(at >= 0, np.asarray(q, dtype=np.float64)[np.arange(len(y)), at], 0.0)
    said = np.asarray(q, dtype=np.float64).max(1)
    return (
        -np.log(np.clip(p, 1e-12, 1)),
        [f"{w} ({share(s)})" for w, s in zip(words, said, strict=True)],
        "surprise",
    )


def _worst(y: NDArray[Any], prediction: Any, limit: int) -> tuple[NDArray[np.int64], list[str], NDArray, int]:
    badness, words, _ = _surprise(y, prediction)
    order = np.argsort(-badness, kind="stable")
    if prediction.values is None:
        order = np.array([i for i in order if y[i] != prediction.labels[i]], dtype=np.int64)
    return order[:limit], words, badness, len(order)


def worst_errors_pictures(
    images: NDArray[Any],
    y_true: ArrayLike,
    prediction: Any,
    limit: int = 24,
    scale: int | float | None = None,
) -> Exhibit:
    """Show the pictures the model was most wrong about.

    Parameters
    ----------
    images : ndarray, shape (n, height, width[, channels])
        The pictures predicted.
    y_true : array_like, shape (n,)
        True classes or values.
    prediction : object
        With ``labels``, ``probabilities``, ``classes``, ``values``, as `gradus.practice.metrics.Prediction`.
    limit : int
        Pictures at most.
    scale : float, optional
        The brightest value a pixel can have; by default that of all the pictures.
    """
    y = np.asarray(y_true)
    chosen, words, _, n_wrong = _worst(y, prediction, limit)
    scale = scale or float(np.max(images)) or 1.0
    pictures = tuple(Picture.of(images[i], words[i], scale) for i in chosen)
    caption = f"{n_wrong:,} of {len(y):,} answers are wrong; these surprised the model most. "
    caption += "Look for wrong labels, cut-off or unusual pictures."
    if not pictures:
        caption = f"None of the {len(y):,} answers is wrong."
    return Exhibit("Worst errors", caption, "errors", None, None, pictures)


def worst_errors_rows(frame: pd.DataFrame, y_true: ArrayLike, prediction: Any, limit: int = 15) -> Exhibit:
    """Show the rows of a table the model was most wrong about; parameters as in `worst_errors_pictures`.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> said = SimpleNamespace(labels=None, probabilities=None, classes=None, values=np.array([1.0, 5.0]))
    >>> worst_errors_rows(pd.DataFrame({"size": [7, 8]}), [1.0, 2.0], said, limit=1).table["size"].tolist()
    [8]
    """
    y = np.asarray(y_true)
    chosen, _, badness, n_wrong = _worst(y, prediction, limit)
    said = prediction.values if prediction.values is not None else prediction.labels
    table = pd.DataFrame({"row": frame.index[chosen], "true": y[chosen], "said": np.asarray(said)[chosen]})
    if prediction.values is not None:
        table["off by"] = badness[chosen]
        caption = "The predictions farthest off. Look for typing errors and for what no column tells."
    else:
        if prediction.probabilities is not None:
            table["sure"] = np.asarray(prediction.probabilities, dtype=np.float64).max(1)[chosen]
        caption = f"{n_wrong:,} of {len(y):,} answers are wrong; these surprised the model most."
    rest = frame.iloc[chosen, :40].reset_index(drop=True)
    taken = set(table.columns)
    rest.columns = [f"{c} (column)" if c in taken else str(c) for c in rest.columns]
    return Exhibit("Worst errors", caption, "errors", None, pd.concat([table, rest], axis=1))


# ---- the data ----


def feature_summary(frame: pd.DataFrame, kinds: Mapping[str, str] | None = None, limit: int = 100) -> Exhibit:
    """Describe each column: how many values are missing and different, and what they are like.

    Parameters
    ----------
    frame : DataFrame
        The training rows.
    kinds : mapping of str to str, optional
        What each column was taken for.
    limit : int
        Columns at most.

    Examples
    --------
    >>> feature_summary(pd.DataFrame({"size": [1.0, None, 3.0]})).table["missing"].tolist()
    ['33 %']
    """
    rows = []
    for i, name in enumerate(frame.columns[:limit]):
        column = frame.iloc[:, i]
        present = column.dropna()
        row = {"column": str(name)} | ({"kind": kinds.get(str(name), "")} if kinds else {})
        row |= {"missing": share(float(column.isna().mean())) if column.isna().any() else ""}
        row |= {"different": f"{present.nunique():,}" if len(present) else "0", "values": _values(present)}
        rows.append(row)
    caption = f"{len(frame):,} rows, {frame.shape[1]:,} columns"
    caption += f"; the first {limit} are shown." if frame.shape[1] > limit else "."
    return Exhibit("Columns", caption, "data", None, pd.DataFrame(rows))


def _values(present: pd.Series) -> str:
    if not len(present):
        return ""
    if pd.api.types.is_numeric_dtype(present.dtype) and not pd.api.types.is_bool_dtype(present.dtype):
        low, middle, high = (f"{float(v):,.4g}" for v in np.quantile(present.to_numpy(dtype=float), [0, 0.5, 1]))
        return f"{low} to {high}, median {middle}"
    if pd.api.types.is_datetime64_any_dtype(present.dtype):
        return f"{present.min():%Y-%m-%d} to {present.max():%Y-%m-%d}"
    top = present.astype(str).value_counts()
    shown = ", ".join(f"{_short(name)} ({share(n / len(present))})" for name, n in top.head(4).items())
    return shown + (", ..." if len(top) > 4 else "")


def _short(text: Any, limit: int = 40) -> str:
    return str(text) if len(str(text)) <= limit else f"{str(text)[: limit - 1]}…"


def example_pictures(images: NDArray[Any], y: ArrayLike | None = None, limit: int = 20) -> Exhibit:
    """Show some pictures of the data, every class in turn."""
    order = np.arange(len(images))
    labels = None if y is None else np.asarray(y)
    if labels is not None:
        turn = pd.Series(labels).groupby(labels).cumcount().to_numpy()
        order = np.lexsort((labels, turn)) if labels.dtype != object else np.argsort(turn, kind="stable")
    scale = float(np.max(images)) or 1.0
    pictures = [Picture.of(images[i], "" if labels is None else str(labels[i]), scale) for i in order[:limit]]
    size = " x ".join(map(str, images.shape[1:]))
    caption = f"{len(images):,} pictures of {size}; the first of each class in turn."
    return Exhibit("Examples", caption, "data", None, None, tuple(pictures))


def permutation_importance(
    answer: Callable[[pd.DataFrame], ArrayLike],
    score: Callable[[NDArray[Any], NDArray[Any]], float],
    X: pd.DataFrame,
    y: ArrayLike,
    *,
    seed: int = 0,
    repeats: int = 2,
    max_rows: int = 250,
    max_columns: int = 60,
) -> Exhibit:
    """Shuffle one column at a time and see how much worse the answers get.

    Parameters
    ----------
    answer : callable
        Maps rows to predictions, one a row: ``estimator.predict`` or ``estimator.predict_proba``.
    score : callable
        Maps (true targets, predictions) to a number, higher is better.
    X : DataFrame
        Rows the model has not seen.
    y : array_like
        Their true targets.
    seed : int
        Seed of the shuffles.
    repeats : int
        Shuffles a column.
    max_rows, max_columns : int
        Bounds on the work: it costs the prediction of ``repeats * columns * rows`` rows.

    Examples
    --------
    >>> X = pd.DataFrame({"used": [0, 1] * 50, "idle": [0, 0, 1, 1] * 25})
    >>> right = lambda true, said: float((true == said).mean())
    >>> shown = permutation_importance(lambda rows: rows["used"], right, X, X["used"])
    >>> shown.table["column"].tolist(), float(shown.table["loss of score"][1])
    (['used', 'idle'], 0.0)

    References
    ----------
    Breiman 2001, Random Forests, §10.
    """
    rng, y = np.random.default_rng(seed), np.asarray(y)
    rows = rng.permutation(len(X))[:max_rows]
    X, y = X.iloc[rows].reset_index(drop=True), y[rows]
    n, base = len(X), score(y, np.asarray(answer(X)))
    found = []
    each = max(1, 20_000 // (n * repeats))  # columns a call: reading a frame costs more than its rows
    names = list(X.columns[:max_columns])
    for start in range(0, len(names), each):
        chosen = names[start : start + each]
        copies = pd.concat([X] * (repeats * len(chosen)), ignore_index=True)
        for i, name in enumerate(chosen):
            shuffled = np.concatenate([rng.permutation(n) for _ in range(repeats)])
            column = copies.columns.get_loc(name)
            span = slice(i * repeats * n, (i + 1) * repeats * n)
            copies.isetitem(column, _replaced(copies[name], span, X[name].iloc[shuffled]))
        said = np.asarray(answer(copies))
        losses = [base - score(y, said[k * n : (k + 1) * n]) for k in range(repeats * len(chosen))]
        for i, name in enumerate(chosen):
            of_name = losses[i * repeats : (i + 1) * repeats]
            found.append((str(name), float(np.mean(of_name)), min(of_name), max(of_name)))
    table = pd.DataFrame(found, columns=["column", "loss of score", "least", "most"])
    table = table.sort_values("loss of score", ascending=False, kind="stable", ignore_index=True)
    top = table.head(20).iloc[::-1]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": floats(top["loss of score"]),
        "y": [plain(c) for c in top["column"]],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": floats(top["most"] - top["loss of score"]),
            "arrayminus": floats(top["loss of score"] - top["least"]),
            "thickness": 1.2,
        },
        "hovertemplate": "%{y}: %{x:.4g}<extra></extra>",
    }
    layout = {
        "height": 110 + 22 * len(top),
        "xaxis": axis("loss of score when shuffled"),
        "yaxis": {"type": "category", "automargin": True, "showgrid": False},
    }
    caption = "The score lost when a column is shuffled. Columns that say the same share the loss."
    return Exhibit("Importance of columns", caption, "answers", {"data": [bars], "layout": layout}, table)


def _replaced(column: pd.Series, span: slice, values: pd.Series) -> pd.Series:
    parts = [column.iloc[: span.start], values, column.iloc[span.stop :]]
    return pd.concat([p for p in parts if len(p)], ignore_index=True)
