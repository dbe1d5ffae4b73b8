"""What is asked of a code beside that it reconstructs: sparse units, a small Jacobian (§14.2, §14.7)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradus.core.errors import InputError, SettingError
from gradus.networks.checks import check_sizes

__all__ = [
    "contractive_penalty",
    "curvature_estimate",
    "jacobian",
    "jacobian_norm_estimate",
    "rate_divergence",
    "unit_derivative",
]

# What lies outside (0, 1) by rounding has an infinite divergence.
_EDGE = 1e-6


def rate_divergence(rates: Float[Tensor, " code"], target: float) -> Float[Tensor, ""]:
    """Return how far the mean activities of units are from a target rate.

    ``Σ_j ρ log(ρ / ρ̂_j) + (1 - ρ) log((1 - ρ) / (1 - ρ̂_j))``, in nats.

    Parameters
    ----------
    rates : Tensor of shape (code,)
        Mean activity ρ̂ of each unit over a batch, between 0 and 1.
    target : float
        The rate ρ, inside (0, 1).

    Raises
    ------
    SettingError
        If the target is not inside (0, 1).

    Examples
    --------
    >>> round(rate_divergence(torch.tensor([0.5, 0.1]), 0.1).item(), 4)
    0.3681

    References
    ----------
    Goodfellow et al. 2016, §14.2.1; Ng 2011, Sparse Autoencoder (CS294A lecture notes).
    """
    if not 0 < target < 1:
        raise SettingError("a rate inside (0, 1)", str(target), "set for example rate=0.05")
    p = rates.clamp(_EDGE, 1 - _EDGE)
    on, off = torch.log(target / p), torch.log((1 - target) / (1 - p))
    return (target * on + (1 - target) * off).sum()


def unit_derivative(unit: nn.Module, pre: Tensor) -> Tensor | None:
    """Return ``f'(z)`` of a smooth or piecewise linear unit in closed form, None for others.

    Parameters
    ----------
    unit : Module
        Sigmoid, Tanh, ReLU, Softplus (of beta 1) or Identity.
    pre : Tensor
        Pre-activations z.

    Examples
    --------
    >>> unit_derivative(nn.Sigmoid(), torch.zeros(1)).tolist()
    [0.25]
    """
    if isinstance(unit, nn.Sigmoid):
        value = pre.sigmoid()
        return value * (1 - value)
    if isinstance(unit, nn.Tanh):
        return 1 - pre.tanh().square()
    if isinstance(unit, nn.ReLU):
        return (pre > 0).to(pre)
    if isinstance(unit, nn.Softplus) and unit.beta == 1:
        return pre.sigmoid()
    return torch.ones_like(pre) if isinstance(unit, nn.Identity) else None


def contractive_penalty(
    weight: Float[Tensor, "code features"], pre: Float[Tensor, "batch code"], unit: nn.Module
) -> Float[Tensor, " batch"]:
    """Return the squared Frobenius norm of the Jacobian of one layer ``h = f(W x + b)``, exactly.

    ``‖∂h/∂x‖² = Σ_j f'(z_j)² Σ_i W_ji²``: as cheap as the layer itself.

    Parameters
    ----------
    weight : Tensor of shape (code, features)
        W.
    pre : Tensor of shape (batch, code)
        Pre-activations ``z = W x + b``.
    unit : Module
        f, a unit that :func:`unit_derivative` knows.

    Raises
    ------
    InputError
        If the unit is another one.

    Examples
    --------
    >>> contractive_penalty(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 1), nn.Sigmoid()).tolist()
    [1.5625]

    References
    ----------
    Goodfellow et al. 2016, §14.7, eq. 14.18; Rifai et al. 2011, Contractive Auto-Encoders, eq. 9.
    """
    slope = unit_derivative(unit, pre)
    if slope is None:
        mend = "use jacobian_norm_estimate, or a sigmoid, tanh, relu or softplus unit"
        raise InputError("a unit whose derivative is known", type(unit).__name__, mend)
    return slope.square() @ weight.square().sum(1)


def jacobian(
    function: Callable[[Tensor], Tensor], inputs: Float[Tensor, "batch features"]
) -> Float[Tensor, "batch code features"]:
    """Return the Jacobian of each row's code, a row of it at a time; not to be differentiated further.

    Parameters
    ----------
    function : callable
        Rows to codes, each from its own row only.
    inputs : Tensor of shape (batch, features)
        Where.

    Examples
    --------
    >>> jacobian(lambda x: x @ torch.tensor([[1.0], [2.0]]), torch.zeros(1, 2)).tolist()
    [[[1.0, 2.0]]]
    """
    with torch.inference_mode(False), torch.enable_grad():
        leaf = inputs.detach().clone().requires_grad_()
        codes = function(leaf)
        width = codes.shape[1]
        rows = [torch.autograd.grad(codes[:, j].sum(), leaf, retain_graph=j + 1 < width)[0] for j in range(width)]
    return torch.stack(rows, 1)


def jacobian_norm_estimate(
    function: Callable[[Tensor], Tensor],
    inputs: Float[Tensor, "batch features"],
    generator: torch.Generator,
    probes: int = 1,
) -> Float[Tensor, " batch"]:
    """Return an unbiased estimate of the squared Frobenius norm of the Jacobian of any encoder.

    ``‖J‖² = E ‖Jᵀ v‖²`` over vectors v of random signs (Hutchinson): one backward pass a vector, whatever the depth,
    where the exact norm takes one for each unit of the code. It can be differentiated by the weights.

    Parameters
    ----------
    function : callable
        Rows to codes, each from its own row only.
    inputs : Tensor of shape (batch, features)
        Where.
    generator : torch.Generator
        Where the signs are drawn from.
    probes : int
        Vectors averaged over, 1 or more.

    Examples
    --------
    >>> scale = lambda x: 2 * x  # the norm is 4 for each feature, whatever the signs
    >>> jacobian_norm_estimate(scale, torch.zeros(1, 3), torch.Generator()).tolist()
    [12.0]

    References
    ----------
    Goodfellow et al. 2016, §14.7 (deep autoencoders); Hutchinson 1990, A Stochastic Estimator of the Trace.
    """
    check_sizes(probes=probes)
    with torch.enable_grad():
        leaf = inputs if inputs.requires_grad else inputs.detach().requires_grad_()
        codes = function(leaf)
        total = inputs.new_zeros(len(inputs))
        for _ in range(probes):
            signs = _signs(codes, generator)
            (pulled,) = torch.autograd.grad(codes, leaf, signs, create_graph=True)
            total = total + pulled.square().sum(1)
    return total / probes


def curvature_estimate(
    function: Callable[[Tensor], Tensor],
    inputs: Float[Tensor, "batch features"],
    generator: torch.Generator,
    *,
    noise: float = 0.1,
    probes: int = 1,
) -> Float[Tensor, " batch"]:
    """Return how much the Jacobian changes nearby, ``E ‖J(x) - J(x + ε)‖²``: zero for a linear encoder.

    As σ goes to 0 it is σ² times the squared norm of the Hessian. Estimated as :func:`jacobian_norm_estimate` is, with
    one draw of ``ε ~ N(0, σ² I)`` for each vector.

    Parameters
    ----------
    function : callable
        Rows to codes, each from its own row only.
    inputs : Tensor of shape (batch, features)
        Where.
    generator : torch.Generator
        Where signs and noise are drawn from.
    noise : float
        σ, above 0.
    probes : int
        Vectors averaged over, 1 or more.

    Examples
    --------
    >>> curvature_estimate(lambda x: 2 * x, torch.zeros(1, 3), torch.Generator()).tolist()
    [0.0]

    References
    ----------
    Rifai et al. 2011, Higher Order Contractive Auto-Encoder, eq. 3.
    """
    check_sizes(probes=probes)
    with torch.enable_grad():
        here = inputs.detach().requires_grad_()
        codes = function(here)
        total = inputs.new_zeros(len(inputs))
        for _ in range(probes):
            moved = torch.randn(here.shape, generator=generator, dtype=here.dtype, device=here.device)
            there = (inputs.detach() + noise * moved).requires_grad_()
            others = function(there)
            signs = _signs(codes, generator)
            (first,) = torch.autograd.grad(codes, here, signs, create_graph=True)
            (second,) = torch.autograd.grad(others, there, signs, create_graph=True)
            total = total + (first - second).square().sum(1)
    return total / probes


def _signs(like: Tensor, generator: torch.Generator) -> Tensor:
    drawn = torch.randint(2, like.shape, generator=generator, device=like.device)
    return drawn.to(like.dtype).mul_(2).sub_(1)
