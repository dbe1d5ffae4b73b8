"""How many labels a method needs: accuracy against their number, over several draws (§15.1.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import has_fit_parameter

from gradus.core.errors import InputError
from gradus.estimators.exhibit import Exhibit, axis, floats, plain

__all__ = ["label_efficiency", "label_efficiency_exhibit"]


def label_efficiency(
    models: Mapping[str, Any],
    X: Any,
    y: ArrayLike,
    X_test: Any,
    y_test: ArrayLike,
    *,
    labels: Sequence[int] = (20, 50, 100, 200, 500),
    seeds: Sequence[int] = (0, 1, 2),
) -> pd.DataFrame:
    """Return the test accuracy of methods by the number of labels, over several draws of which rows are labelled.

    Every method gets the same labelled rows, drawn with each class's share kept. One whose `fit` takes ``X_unlabeled``
    gets the others too, without their classes.

    Parameters
    ----------
    models : mapping of str to estimator
        Unfitted classifiers by name; clones of them are fitted, with the seed as ``random_state``.
    X, y : array-like
        Rows that may be labelled, with their classes.
    X_test, y_test : array-like
        Rows that all are judged by.
    labels : sequence of int
        Numbers of labelled rows, each from the number of classes to the number of rows.
    seeds : sequence of int
        One draw for each.

    Returns
    -------
    DataFrame
        One row for each method, number and seed: ``method``, ``labels``, ``seed``, ``accuracy``.

    Raises
    ------
    InputError
        If a number of labels is out of range.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = load_digits(return_X_y=True)
    >>> models = {"linear": LogisticRegression(max_iter=2000)}
    >>> table = label_efficiency(models, X[:1000], y[:1000], X[1000:], y[1000:], labels=(20, 200), seeds=(0, 1))
    >>> table.groupby("labels")["accuracy"].mean().is_monotonic_increasing, len(table)
    (True, 4)

    References
    ----------
    Goodfellow et al. 2016, §15.1.1; Erhan et al. 2010.
    """
    rows, classes, truth = np.asarray(X), np.asarray(y), np.asarray(y_test)
    known = len(np.unique(classes))
    for count in labels:
        if not known <= count <= len(rows):
            mend = "change labels"
            raise InputError(
                f"numbers of labels from {known} (the classes) to {len(rows)} (the rows)", str(count), mend
            )
    found = []
    for seed in seeds:
        for count in labels:
            picked = np.arange(len(rows))
            if len(rows) - count >= known:
                picked, _ = train_test_split(picked, train_size=count, random_state=seed, stratify=classes)
            elif count < len(rows):
                picked = np.random.default_rng(seed).permutation(picked)[:count]
            others = np.setdiff1d(np.arange(len(rows)), picked)
            for name, model in models.items():
                fresh = clone(model)
                if "random_state" in fresh.get_params():
                    fresh.set_params(random_state=seed)
                more = {"X_unlabeled": rows[others]} if len(others) and has_fit_parameter(fresh, "X_unlabeled") else {}
                fresh.fit(rows[picked], classes[picked], **more)
                accuracy = float((fresh.predict(X_test) == truth).mean())
                found.append({"method": name, "labels": int(count), "seed": int(seed), "accuracy": accuracy})
    return pd.DataFrame(found)


def label_efficiency_exhibit(table: pd.DataFrame) -> Exhibit:
    """Draw the errors of methods by the number of labels, with the spread over draws.

    Parameters
    ----------
    table : DataFrame
        What :func:`label_efficiency` returned.

    Examples
    --------
    >>> rows = [{"method": "m", "labels": n, "seed": s, "accuracy": 0.5 + n / 100} for n in (10, 20) for s in (0, 1)]
    >>> label_efficiency_exhibit(pd.DataFrame(rows)).figure["data"][0]["y"]
    [0.4, 0.3]
    """
    traces = []
    for method in dict.fromkeys(table["method"]):
        errors = 1 - table[table["method"] == method].groupby("labels")["accuracy"].agg(["mean"])
        spread = table[table["method"] == method].groupby("labels")["accuracy"].std().fillna(0.0)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": [int(n) for n in errors.index],
                "y": floats(errors["mean"].to_numpy()),
                "error_y": {"type": "data", "array": floats(spread.to_numpy())},
                "name": plain(method),
            }
        )
    layout = {"height": 420, "xaxis": axis("labels", type="log"), "yaxis": axis("share of errors", rangemode="tozero")}
    caption = "Test errors by the number of labelled rows; bars are one standard deviation over draws of them. The gap "
    caption += "to a method without pretraining is what rows without labels are worth."
    return Exhibit("Label efficiency", caption, "learning", {"data": traces, "layout": layout}, table)
