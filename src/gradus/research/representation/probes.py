"""What each layer of a network knows of a target: a linear classifier on what it returns (§15.1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from gradus.core.errors import InputError
from gradus.estimators.exhibit import Exhibit, axis, floats, plain
from gradus.estimators.reliability import wilson

__all__ = ["Probe", "layer_features", "linear_probes", "probe_exhibit"]

# A map of more numbers than this is averaged over cells until it has fewer.
MOST_FEATURES = 2048


class Probe(NamedTuple):
    """How well a linear classifier answers from one layer.

    Attributes
    ----------
    layer : str
        Name of the layer, or ``"inputs"``.
    features : int
        Numbers that the probe reads.
    accuracy, low, high : float
        Share of right answers on test rows, with its 95 % interval (Wilson).
    """

    layer: str
    features: int
    accuracy: float
    low: float
    high: float


def layer_features(estimator: Any, X: Any) -> dict[str, NDArray[np.float32]]:
    """Return what each layer of a fitted network makes of rows, in the order of computation.

    A layer is a module without parts that has weights, together with the activation after it where one follows. Maps
    of pictures are averaged over cells until they have at most 2,048 numbers.

    Parameters
    ----------
    estimator : GradientEstimator
        Fitted, on rows that come as one tensor.
    X : array-like of shape (n, ...)
        Rows.

    Returns
    -------
    dict of str to ndarray of shape (n, features)
        ``"inputs"``, as the network gets them, first.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from gradus.estimators.mlp import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(hidden=(8, 5), max_epochs=1, random_state=0).fit(X, y)
    >>> {name: values.shape[1] for name, values in layer_features(model, X).items()}
    {'inputs': 4, 'body.layers.1': 8, 'body.layers.3': 5, 'head.linear': 3}
    """
    check_is_fitted(estimator)
    seen: dict[str, int] = {}

    def collect(network: nn.Module, *inputs: Tensor) -> Tensor:
        with _listening(network) as heard:
            network(*inputs)
        rows = [("inputs", inputs[0]), *heard]
        flat = [(name, _flat(value, len(inputs[0]))) for name, value in rows]
        kept = [(name, value.float()) for name, value in flat if value is not None]
        seen.clear()
        seen.update({name: value.shape[1] for name, value in kept})
        return torch.cat([value for _, value in kept], 1)

    whole = estimator._ask(estimator._encode(X), collect).numpy()
    ends = np.cumsum(list(seen.values()))
    return dict(zip(seen, np.split(whole, ends[:-1], axis=1), strict=True))


@contextmanager
def _listening(network: nn.Module) -> Iterator[list[tuple[str, Tensor]]]:
    """Collect what layers return inside the block: each weighted one's, replaced by its activation's."""
    heard: list[tuple[str, Tensor]] = []
    weighted: list[bool] = []

    def hear(name: str, module: nn.Module) -> Any:
        bears = any(True for _ in module.parameters(recurse=False))

        def listen(_: nn.Module, given: tuple[Any, ...], value: Any) -> None:
            if not isinstance(value, Tensor):
                return
            if bears:
                heard.append((_unused(name, heard), value))
                weighted.append(True)
            elif heard and weighted[-1] and given and isinstance(given[0], Tensor) and value.shape == given[0].shape:
                if not isinstance(module, nn.Dropout | nn.Identity):
                    heard[-1] = (_unused(name, heard), value)
                    weighted[-1] = False

        return listen

    leaves = [(name, m) for name, m in network.named_modules() if not any(True for _ in m.children())]
    handles = [m.register_forward_hook(hear(name, m)) for name, m in leaves if not name.startswith("prepare")]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


def _unused(name: str, heard: list[tuple[str, Tensor]]) -> str:
    """Return the name, numbered where a module is computed several times."""
    times = sum(known == name or known.startswith(f"{name} (") for known, _ in heard)
    return name if times == 0 else f"{name} ({times + 1})"


def _flat(value: Tensor, n: int) -> Tensor | None:
    if value.ndim < 2 or len(value) != n:
        return None
    if value.ndim == 4 and value[0].numel() > MOST_FEATURES:
        side = max(1, int((MOST_FEATURES / value.shape[1]) ** 0.5))
        value = nn.functional.adaptive_avg_pool2d(value.float(), side)
    return value.flatten(1)


def linear_probes(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    X_test: Any,
    y_test: ArrayLike,
    *,
    strength: float = 1.0,
    max_iter: int = 500,
) -> list[Probe]:
    """Return how well a linear classifier answers from each layer of a fitted network, by depth.

    Probes are logistic regressions on standardized features; the network is not trained on.

    Parameters
    ----------
    estimator : GradientEstimator
        Fitted: a classifier, an autoencoder, or any other on rows that come as one tensor.
    X, y : array-like
        Rows and classes that the probes learn from.
    X_test, y_test : array-like
        Rows and classes that they are judged by.
    strength : float
        Inverse of the probes' penalty, scikit-learn's ``C``; above 0.
    max_iter : int
        Most steps of each probe.

    Returns
    -------
    list of Probe
        The inputs' first, then in the order of computation.

    Raises
    ------
    InputError
        If rows and classes differ in number.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from gradus.estimators.mlp import MLPClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = MLPClassifier(hidden=(32,), max_epochs=10, random_state=0).fit(X[:1200], y[:1200])
    >>> [probe.layer for probe in linear_probes(model, X[:500], y[:500], X[1200:], y[1200:])]
    ['inputs', 'body.layers.1', 'head.linear']

    References
    ----------
    Goodfellow et al. 2016, §15.1; Alain & Bengio 2016, Understanding Intermediate Layers Using Linear Classifier
    Probes.
    """
    labels, truth = np.asarray(y), np.asarray(y_test)
    train, test = layer_features(estimator, X), layer_features(estimator, X_test)
    for name, found, given in (("y", len(labels), len(train["inputs"])), ("y_test", len(truth), len(test["inputs"]))):
        if found != given:
            raise InputError(f"{name} with {given} classes, one for each row", str(found), "pass one for each row")
    probes = []
    for layer, features in train.items():
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=max_iter, tol=1e-3))
        right = int((_quietly(probe, features, labels).predict(test[layer]) == truth).sum())
        low, high = wilson(right, len(truth))
        probes.append(Probe(layer, features.shape[1], right / len(truth), float(low), float(high)))
    return probes


def _quietly(probe: Any, features: NDArray[Any], labels: NDArray[Any]) -> Any:
    """Fit; a probe that would go on improving its training loss is a probe all the same."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return probe.fit(features, labels)


def probe_exhibit(probes: list[Probe]) -> Exhibit:
    """Draw the accuracy of linear probes by depth, with intervals.

    Parameters
    ----------
    probes : list of Probe
        What :func:`linear_probes` returned.

    Examples
    --------
    >>> probe_exhibit([Probe("inputs", 4, 0.5, 0.4, 0.6)]).figure["data"][0]["y"]
    [0.5]
    """
    accuracy = np.array([p.accuracy for p in probes])
    up, down = np.array([p.high for p in probes]) - accuracy, accuracy - np.array([p.low for p in probes])
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": list(range(len(probes))),
        "y": floats(accuracy),
        "text": [plain(p.layer) for p in probes],
        "error_y": {"type": "data", "symmetric": False, "array": floats(up), "arrayminus": floats(down)},
        "name": "linear probe",
    }
    ticks = {"tickvals": list(range(len(probes))), "ticktext": [plain(p.layer) for p in probes]}
    layout = {"height": 400, "xaxis": axis("layer", **ticks), "yaxis": axis("accuracy of a linear classifier")}
    caption = "How much of the target can be read off each layer by a linear classifier. A rise says that layers sort "
    caption += "rows by class; a fall in the last layers of an autoencoder, that they turn back to pixels."
    return Exhibit("Linear probes", caption, "answers", {"data": [trace], "layout": layout}, pd.DataFrame(probes))
