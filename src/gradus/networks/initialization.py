"""Initial weights that keep a signal's power from layer to layer (§8.4)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from math import isfinite, sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradus.core.errors import InputError
from gradus.networks.checks import check_sizes, chosen
from gradus.networks.hidden_units import ACTIVATIONS, GATES, HIDDEN_UNITS

__all__ = ["INITIALIZATIONS", "activation_gain", "initialize", "lsuv_"]

INITIALIZATIONS = ("auto", "he", "glorot", "lecun", "orthogonal")

_AFFINE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@cache
def activation_gain(activation: str, pieces: int = 2) -> float:
    r"""Return the gain that keeps a signal's power through a hidden unit, ``1 / sqrt(E[h²])``.

    For rectifiers this is He's :math:`\sqrt 2`; for every other unit it is the same argument, with the expectation
    over independent standard normal pre-activations computed on a fine grid. A power of one is then a fixed point
    from layer to layer. For saturating units it attracts; for rectifiers a deviation stays as it is; for units that
    grow faster than linearly (GELU, SiLU, Mish, softplus, every gate) a deviation grows with depth, so
    that beyond some ten layers they need normalization, residual links or :func:`lsuv_`.

    Parameters
    ----------
    activation : str
        A name in ``HIDDEN_UNITS``.
    pieces : int
        Pre-activations a maxout unit chooses among.

    Returns
    -------
    float
        The factor by which to multiply weights of variance ``1 / fan_in``.

    Raises
    ------
    SettingError
        If there is no such unit.

    Examples
    --------
    >>> round(activation_gain("relu"), 4), round(activation_gain("tanh"), 4), round(activation_gain("maxout"), 4)
    (1.4142, 1.5925, 1.0)

    References
    ----------
    He et al. 2015, Delving Deep into Rectifiers, eq. 10; Goodfellow et al. 2016, §8.4; Poole et al. 2016 (the map of
    a layer's power to the next one's).
    """
    chosen(activation, HIDDEN_UNITS, "activation")
    check_sizes(pieces=pieces)
    z = np.linspace(-10.0, 10.0, 40_001)
    grid = torch.from_numpy(z)
    weight = np.exp(-0.5 * z**2)
    if activation == "maxout":  # the density of the largest of k normals is k φ Φ^(k-1)
        weight = weight * torch.special.ndtr(grid).numpy() ** (pieces - 1)
        return float(sqrt(weight.sum() / (z**2 * weight).sum()))
    # The value of a gated unit is independent of its gate and has power one: what is left is the gate's.
    module = (GATES[activation] if activation in GATES else ACTIVATIONS[activation])().double()
    with torch.no_grad():
        squared = module(grid).square().numpy()
    return float(sqrt(weight.sum() / (squared * weight).sum()))


def initialize(
    layer: nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d,
    method: str = "auto",
    activation: str = "identity",
    *,
    first: bool = False,
    pieces: int = 2,
    blocks: int = 1,
) -> None:
    """Draw a layer's weights and zero its biases, in place.

    Draws come from torch's global generator, as in every torch layer; wrap the construction in
    ``gradus.core.randomness.isolated`` to fix them.

    Parameters
    ----------
    layer : Linear, Conv1d, Conv2d or Conv3d
        The layer to initialize.
    method : str
        ``"auto"``: normal, variance ``gain² / fan_in`` with the exact gain of ``activation``, so that every
        layer's pre-activations keep their second moment. ``"he"``: normal, ``2 / fan_in``. ``"glorot"``:
        uniform, variance ``2 / (fan_in + fan_out)``. ``"lecun"``: normal, ``1 / fan_in``. ``"orthogonal"``:
        (semi-)orthogonal times gain.
    activation : str
        The hidden unit that feeds this layer.
    first : bool
        Whether the layer sees the (standardized) data, which no activation has damped: the gain is then one.
    pieces : int
        Pre-activations of a maxout unit that feeds this layer.
    blocks : int
        Into how many maps from the same inputs the outputs fall, one after the other: the pieces of the maxout or
        gated units that read this layer. Each is orthogonal by itself.

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
    chosen(method, INITIALIZATIONS, "initialization")
    gain = 1.0 if first else activation_gain(activation, pieces)
    fan_in = layer.weight[0].numel()
    if method == "glorot":
        nn.init.xavier_uniform_(layer.weight)
    elif method == "orthogonal":
        for block in layer.weight.chunk(blocks):
            _orthogonal_(block, gain)
    else:
        scale = {"auto": gain, "he": sqrt(2.0), "lecun": 1.0}[method]
        nn.init.normal_(layer.weight, std=scale / sqrt(fan_in))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


@torch.no_grad()
def _orthogonal_(weight: Tensor, gain: float = 1.0) -> None:
    # torch flattens by a view, which weights in channels-last memory refuse.
    weight.copy_(nn.init.orthogonal_(torch.empty(weight.shape, dtype=weight.dtype, device=weight.device), gain=gain))


@torch.no_grad()
def lsuv_(
    module: nn.Module, batch: Tensor | tuple[Tensor, ...], *, tolerance: float = 0.01, max_iterations: int = 10
) -> dict[str, float]:
    """Initialize a network on a batch of its data: orthogonal weights, then outputs of unit variance, layer by layer.

    Every affine map and convolution gets orthogonal weights and biases of zero; then, from the first to be computed
    to the last, its weights are divided by the standard deviation of its outputs on the batch. One pass does it, for
    each layer hands on what it computes with its new weights. Works for any activation and any wiring, where
    formulas of fans do not know what happens between the layers. The network is read in evaluation mode and left in
    the mode it was in.

    Parameters
    ----------
    module : Module
        The network; linear, convolution and transposed convolution layers are set, all else stays.
    batch : Tensor or tuple of Tensor
        What the network reads: prepared inputs, some hundred examples.
    tolerance : float
        How far from one a variance may stay.
    max_iterations : int
        Rescalings of one layer at most; more than one or two happen only where rounding does.

    Returns
    -------
    dict of str to float
        Of each layer set, in the order computed: the variance of its outputs before it was divided away.

    Raises
    ------
    InputError
        If the outputs of a layer do not vary over the batch, or are not finite.
    SettingError
        If ``max_iterations`` is below 1.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(20, 50), nn.Tanh(), nn.Linear(50, 50))
    >>> list(lsuv_(network, torch.randn(200, 20)))
    ['0', '2']

    References
    ----------
    Mishkin & Matas 2016, All You Need Is a Good Init, algorithm 1; Goodfellow et al. 2016, §8.4.
    """
    check_sizes(max_iterations=max_iterations)
    names = {layer: name for name, layer in module.named_modules() if isinstance(layer, _AFFINE)}
    for layer in names:
        _orthogonal_(layer.weight)
        if layer.bias is not None:
            layer.bias.zero_()
    variances: dict[str, float] = {}
    done: set[int] = set()  # by weight: a tensor shared by two layers is set where it acts first

    def rescale(layer: Any, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if id(layer.weight) in done:
            return None
        done.add(id(layer.weight))
        for _ in range(max_iterations):
            variance = output.double().var(correction=0).item()
            if not isfinite(variance) or variance == 0.0:
                received = f"outputs of variance {variance} at layer {names[layer] or type(layer).__name__!r}"
                raise InputError(
                    "a batch on which every layer varies", received, "pass prepared inputs, 2 rows or more"
                )
            variances.setdefault(names[layer], variance)
            if abs(variance - 1.0) < tolerance:
                break
            layer.weight.div_(sqrt(variance))
            output = layer.forward(*inputs)  # not a call, which would come back here
        return output

    with _evaluating(module):
        handles = [layer.register_forward_hook(rescale) for layer in names]
        try:
            module(*(batch if isinstance(batch, tuple) else (batch,)))
        finally:
            for handle in handles:
                handle.remove()
    return variances


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Hold a module in evaluation mode; give each part back the mode it had."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
