"""Multilayer perceptrons: affine maps and activations, chained (chapter 6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from math import sqrt

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradus.core.errors import SettingError, nearest

__all__ = ["ACTIVATIONS", "INITIALIZATIONS", "MLP", "Absolute", "activation_gain", "initialize"]


class Absolute(nn.Module):
    """Absolute value rectification, ``|z|``: features invariant to a change of polarity.

    Examples
    --------
    >>> Absolute()(torch.tensor([-2.0, 1.0])).tolist()
    [2.0, 1.0]

    References
    ----------
    Goodfellow et al. 2016, §6.3.1.
    """

    def forward(self, inputs: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        """Return the absolute value of each entry."""
        return inputs.abs()


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "absolute": Absolute,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "tanh": nn.Tanh,
    "hard_tanh": nn.Hardtanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "identity": nn.Identity,
}

INITIALIZATIONS = ("auto", "he", "glorot", "lecun", "orthogonal")


def _chosen(name: str, names: Sequence[str], setting: str) -> str:
    if name not in names:
        mend = f"{nearest(name, names)}set for example {setting}={names[0]!r}"
        raise SettingError(f"{setting} to be one of {', '.join(names)}", repr(name), mend)
    return name


@cache
def activation_gain(activation: str) -> float:
    r"""Return the gain that keeps a signal's power through an activation, ``1 / sqrt(E[f(z)²])``.

    For rectifiers this is He's :math:`\sqrt 2`; for every other activation it is the same argument, with the
    expectation over a standard normal z computed on a fine grid.

    Parameters
    ----------
    activation : str
        A name in ``ACTIVATIONS``.

    Returns
    -------
    float
        The factor by which to multiply weights of variance ``1 / fan_in``.

    Raises
    ------
    SettingError
        If there is no such activation.

    Examples
    --------
    >>> round(activation_gain("relu"), 4), round(activation_gain("tanh"), 4)
    (1.4142, 1.5925)

    References
    ----------
    He et al. 2015, Delving Deep into Rectifiers, eq. 10; Goodfellow et al. 2016, §8.4.
    """
    module = ACTIVATIONS[_chosen(activation, list(ACTIVATIONS), "activation")]().double()
    z = np.linspace(-10.0, 10.0, 40_001)
    with torch.no_grad():
        squared = module(torch.from_numpy(z)).square().numpy()
    weight = np.exp(-0.5 * z**2)
    return float(sqrt(weight.sum() / (squared * weight).sum()))


def initialize(
    layer: nn.Linear | nn.Conv2d, method: str = "auto", activation: str = "identity", *, first: bool = False
) -> None:
    """Draw a layer's weights and zero its biases, in place.

    Draws come from torch's global generator, as in every torch layer; wrap the construction in
    ``gradus.core.randomness.isolated`` to fix them.

    Parameters
    ----------
    layer : Linear or Conv2d
        The layer to initialize.
    method : str
        ``"auto"``: normal, variance ``gain² / fan_in`` with the exact gain of ``activation``, so that every
        layer's pre-activations keep their second moment. ``"he"``: normal, ``2 / fan_in``. ``"glorot"``:
        uniform, variance ``2 / (fan_in + fan_out)``. ``"lecun"``: normal, ``1 / fan_in``. ``"orthogonal"``:
        (semi-)orthogonal times gain.
    activation : str
        The activation that feeds this layer.
    first : bool
        Whether the layer sees the (standardized) data, which no activation has damped: the gain is then one.

    Raises
    ------
    SettingError
        If there is no such method or activation.

    Examples
    --------
    >>> layer = nn.Linear(400, 300)
    >>> initialize(layer, "he")
    >>> abs(layer.weight.var().item() * 400 / 2 - 1) < 0.05
    True

    References
    ----------
    Goodfellow et al. 2016, §8.4, eq. 8.23 (glorot); He et al. 2015; Saxe et al. 2013 (orthogonal).
    """
    _chosen(method, INITIALIZATIONS, "initialization")
    gain = 1.0 if first else activation_gain(activation)
    fan_in = layer.weight[0].numel()
    if method == "glorot":
        nn.init.xavier_uniform_(layer.weight)
    elif method == "orthogonal":
        nn.init.orthogonal_(layer.weight, gain=gain)
    else:
        scale = {"auto": gain, "he": sqrt(2.0), "lecun": 1.0}[method]
        nn.init.normal_(layer.weight, std=scale / sqrt(fan_in))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class _Residual(nn.Module):
    """Add the input of a block to its output."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, inputs: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        return inputs + self.block(inputs)


_NORMALIZATIONS: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class MLP(nn.Module):
    """A chain of affine maps and activations; its last hidden layer is the features a head reads.

    ``h_i = dropout(f(normalize(W_i h_{i-1} + b_i)))`` with ``h_0`` the inputs.

    Parameters
    ----------
    in_features : int
        Width of the inputs, 1 or more.
    hidden : sequence of int
        Width of each hidden layer; empty makes the identity, and with a head on top a linear model.
    activation : str
        A name in ``ACTIVATIONS``.
    dropout : float
        Probability in ``[0, 1)`` with which a hidden unit is dropped in training.
    input_dropout : float
        The same for inputs.
    normalization : {None, "batch", "layer"}
        Normalization of the pre-activations.
    residual : bool
        Add the input of every hidden layer whose width does not change to its output.
    initialization : str
        One of ``INITIALIZATIONS``; see :func:`initialize`.

    Attributes
    ----------
    out_features : int
        Width of the features returned.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range.

    Examples
    --------
    >>> MLP(64, (128, 32), activation="gelu", dropout=0.1)(torch.zeros(5, 64)).shape
    torch.Size([5, 32])

    References
    ----------
    Goodfellow et al. 2016, §6.1-6.4; §7.12 (dropout); §8.7.1 (batch normalization).
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int] = (128, 128),
        *,
        activation: str = "relu",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        normalization: str | None = None,
        residual: bool = False,
        initialization: str = "auto",
    ) -> None:
        super().__init__()
        _chosen(activation, list(ACTIVATIONS), "activation")
        if normalization is not None:
            _chosen(normalization, list(_NORMALIZATIONS), "normalization")
        for name, rate in {"dropout": dropout, "input_dropout": input_dropout}.items():
            if not 0.0 <= rate < 1.0:
                raise SettingError(f"{name} in [0, 1)", str(rate), f"set for example {name}=0.2")
        widths = [in_features, *hidden]
        if min(widths) < 1:
            raise SettingError("layers of 1 unit or more", str(widths), "set for example hidden=(128, 128)")
        layers: list[nn.Module] = [nn.Dropout(input_dropout)] if input_dropout else []
        for index, (fan_in, fan_out) in enumerate(pairwise(widths)):
            linear = nn.Linear(fan_in, fan_out)
            initialize(linear, initialization, activation, first=index == 0)
            block: list[nn.Module] = [linear]
            if normalization is not None:
                block.append(_NORMALIZATIONS[normalization](fan_out))
            block.append(ACTIVATIONS[activation]())
            if dropout:
                block.append(nn.Dropout(dropout))
            layers.extend([_Residual(nn.Sequential(*block))] if residual and fan_in == fan_out else block)
        self.in_features, self.out_features = in_features, widths[-1]
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: Float[Tensor, "batch {self.in_features}"]) -> Float[Tensor, "batch features"]:
        """Return the features of the last hidden layer."""
        return self.layers(inputs)
