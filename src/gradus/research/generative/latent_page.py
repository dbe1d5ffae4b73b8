"""A page to walk about in: drag a point over the latent map and see what the decoder makes of it."""

from __future__ import annotations

import base64
import html
import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import nn

from gradus.core.errors import InputError
from gradus.core.storage import atomic_write
from gradus.research.autoencoders.networks import AutoencoderNetwork, DenseDecoder, TransposedLinear
from gradus.research.autoencoders.outputs import BernoulliOutput, GaussianOutput
from gradus.research.generative.exhibits import parts_of
from gradus.research.generative.networks import LatentVariableNetwork

__all__ = ["latent_page"]

TEMPLATES = Path(__file__).parent / "templates"
POINTS = 3000
WEIGHTS = 2_000_000  # parameters of a decoder that is sent along; a larger one sends a grid of decodings
STEPS, REACH = 33, 4.0  # of that grid, on either axis
UNITS = ("identity", "relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "softplus")  # that the page knows
NUMBERS = 4_000_000  # of a grid


def latent_page(
    estimator: Any,
    data: Any,
    path: str | Path,
    *,
    name: str | None = None,
    columns: Sequence[str] | None = None,
) -> Path:
    """Write a page that shows codes of rows on a map, and the decoding of whatever point is dragged over it.

    The page is one file and makes no request. It carries the weights of a dense or a linear decoder and computes with
    them; of other decoders a grid of decodings, between which it interpolates. Two numbers of the code are moved at a
    time; a click on a row takes over the others. An address that ends in ``#z=0.5,-1`` opens at that code.

    Parameters
    ----------
    estimator : VAE or IWAE, or any estimator with `transform` and `inverse_transform` and two numbers a code
        Fitted.
    data : Dataset, (X, y) or X
        Rows, with classes that colour them where there are some.
    path : str or Path
        The file.
    name : str, optional
        What to call the estimator; by default its class.
    columns : sequence of str, optional
        Names of the columns of a table; by default those that `fit` saw.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If there is nothing to decode, or codes have one number only, or more than two and no dense or linear decoder.
    StorageError
        If the file cannot be written.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from gradus.research.generative import VAE
    >>> X, y = load_iris(return_X_y=True)
    >>> model = VAE(n_components=2, hidden=(8,), max_epochs=5, random_state=0).fit(X)
    >>> latent_page(model, (X, y), "iris.html").stat().st_size > 10_000
    True

    References
    ----------
    Goodfellow et al. 2016, §20.10.3, figure 20.6.
    """
    check_is_fitted(estimator)
    if not (hasattr(estimator, "transform") and hasattr(estimator, "inverse_transform")):
        mend = "pass a fitted VAE or IWAE"
        raise InputError("an estimator that encodes and decodes", type(estimator).__name__, mend)
    X, y = parts_of(data)
    kept = np.linspace(0, len(X) - 1, min(len(X), POINTS)).astype(int)
    some = X.iloc[kept] if hasattr(X, "iloc") else np.asarray(X)[kept]
    codes = np.asarray(estimator.transform(some), dtype=np.float64)
    if codes.ndim != 2 or codes.shape[1] < 2:
        raise InputError("codes of two numbers or more for a map", str(codes.shape[1:]), "fit with n_components=2")
    labels, classes = None, []
    if y is not None:
        known, numbers = np.unique(np.asarray(y).astype(str)[kept], return_inverse=True)
        labels, classes = numbers.tolist(), known.tolist()
    shape = tuple(int(size) for size in getattr(estimator, "row_shape_", np.shape(some)[1:]))
    known_names = getattr(estimator, "feature_names_in_", range(int(np.prod(shape))))
    names = [str(each) for each in (columns if columns is not None else known_names)]
    prior = isinstance(getattr(estimator, "network_", None), LatentVariableNetwork)
    shown = np.asarray(estimator.inverse_transform(codes[:200]))
    low, high = (float(value) for value in np.quantile(shown, [0.002, 0.998]))
    content: dict[str, Any] = {
        "points": _packed(codes),
        "labels": labels,
        "classes": classes,
        "width": codes.shape[1],
        "axes": np.sort(np.argsort(-codes.var(0), kind="stable")[:2]).tolist(),
        "size": int(np.prod(shape)),
        "picture": [*shape, 1][:3] if len(shape) > 1 else None,
        "range": [low, max(high, low + 1e-9)],
        "names": names,
        "rule": {},
        # codes of a model with a prior lie around zero; of others, wherever training left them
        "home": [0.0] * codes.shape[1] if prior else np.median(codes, 0).tolist(),
        "far": 12.0 if prior else float(np.abs(codes).max()) * 1.05 + 1e-9,
        "near": 3.0 if prior else 0.0,
    }
    found = _weights(estimator) or _dense(estimator) or _linear(estimator, codes)
    content |= found or _grid(estimator, codes.shape[1], content["size"], REACH if prior else content["far"])
    title = f"{name or type(estimator).__name__}: {len(kept):,} rows as codes of {codes.shape[1]} numbers"
    how = "computed here with the decoder's own weights" if "layers" in content else "read from a grid of decodings"
    facts = f"Drag the ring, click a row's point, or use the arrow keys. The row beside the map is {how}."
    text = Template((TEMPLATES / "latent.html").read_text("utf-8")).substitute(
        title=html.escape(title),
        facts=html.escape(facts),
        nonce=secrets.token_urlsafe(16),
        style=(TEMPLATES / "latent.css").read_text("utf-8"),
        script=(TEMPLATES / "latent.js").read_text("utf-8"),
        data=json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
    )
    atomic_write(path, text)
    return Path(path)


def _packed(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode()


def _weights(estimator: Any) -> dict[str, Any] | None:
    """Return a dense decoder's layers and the rule that reads its outputs; None for a decoder that is another."""
    network: Any = getattr(estimator, "network_", None)
    if not isinstance(network, LatentVariableNetwork) or network.decoder.sizes:
        return None
    dense = [layer for layer in network.decoder.dense.layers if isinstance(layer, nn.Linear)]
    linear = [*dense, network.decoder.last]
    if sum(p.numel() for p in network.decoder.parameters()) > WEIGHTS:
        return None
    layers = [_layer(layer.weight.detach().cpu().numpy(), layer.bias.detach().cpu().numpy()) for layer in linear]
    likelihood: Any = network.likelihood
    kind = estimator.likelihood_
    rule: dict[str, Any] = {"kind": kind}
    if kind == "bernoulli":
        rule["full"] = likelihood.full
    elif kind == "discretized_logistic":
        rule["top"] = likelihood.levels - 1
    elif kind == "categorical":
        rule["values"] = [values.tolist() for values in estimator.values_]
    else:
        rule |= {name: _packed(getattr(likelihood, name).cpu().numpy()) for name in ("location", "scale")}
    return {"layers": layers, "activation": estimator.network_settings_["activation"], "rule": rule}


def _dense(estimator: Any) -> dict[str, Any] | None:
    """Return the layers of an autoencoder's dense decoder; None for another."""
    network: Any = getattr(estimator, "network_", None)
    decoder: Any = getattr(network, "decoder", None)
    if not isinstance(network, AutoencoderNetwork) or not isinstance(decoder, DenseDecoder):
        return None
    if estimator.activation not in UNITS or sum(p.numel() for p in decoder.parameters()) > WEIGHTS:
        return None
    squash = {GaussianOutput: "gaussian", BernoulliOutput: "squashed"}.get(type(estimator._output()))
    if squash is None:
        return None
    layers = []
    for layer in decoder.layers:
        if isinstance(layer, TransposedLinear):
            weight = layer.linear.weight.t()
        elif isinstance(layer, nn.Linear):
            weight = layer.weight
        else:  # a unit: the page knows which
            continue
        bias: Any = layer.bias
        layers.append(_layer(weight.detach().cpu().numpy(), bias.detach().cpu().numpy()))
    rule = {"kind": squash, "location": _packed(estimator.input_shift_), "scale": _packed(estimator.input_scale_)}
    return {"layers": layers, "activation": estimator.activation, "rule": rule}


def _layer(weight: NDArray[Any], bias: NDArray[Any]) -> dict[str, str]:
    return {"weight": _packed(weight), "bias": _packed(bias)}


def _linear(estimator: Any, codes: NDArray[Any]) -> dict[str, Any] | None:
    """Return the one layer of a decoder that is affine, as codes of rows show; None for another."""
    width = codes.shape[1]

    def decoded(z: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(estimator.inverse_transform(z), dtype=np.float64).reshape(len(z), -1)

    middle, unit = np.median(codes, 0), codes.std(0) + 1e-9
    found = decoded(np.vstack([middle, middle + np.diag(unit)]))
    if found.size > WEIGHTS:
        return None
    weight = (found[1:] - found[0]) / unit[:, None]
    some = codes[:50]
    guess, truth = found[0] + (some - middle) @ weight, decoded(some)
    if not np.allclose(guess, truth, rtol=1e-4, atol=1e-4 * float(np.abs(truth).max())):
        return None
    size = len(found[0])
    rule = {"kind": "gaussian", "location": _packed(np.zeros(size)), "scale": _packed(np.ones(size))}
    layer = _layer(weight.T.reshape(size, width), found[0] - middle @ weight)
    return {"layers": [layer], "activation": "identity", "rule": rule}


def _grid(estimator: Any, width: int, size: int, reach: float) -> dict[str, Any]:
    """Return decodings on a grid of codes of two numbers."""
    if width != 2:
        mend = "fit with n_components=2, or with a dense decoder"
        raise InputError("codes of two numbers where the decoder is sent as a grid", str(width), mend)
    steps = max(5, min(STEPS, int((NUMBERS / size) ** 0.5)))
    axis = np.linspace(-reach, reach, steps)
    codes = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    rows = np.asarray(estimator.inverse_transform(codes)).reshape(len(codes), -1)
    return {"grid": {"rows": _packed(rows), "steps": steps, "reach": reach}}
