"""Stochastic variational inference: unbiased gradients of the evidence lower bound for any log-joint (§19.4, §20.9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gradus.core.errors import InputError
from gradus.foundations.log_space import log_mean_exp
from gradus.research.inference.guides import BernoulliGuide, Guide

__all__ = [
    "Control",
    "GradientEstimate",
    "SVIInfo",
    "SVIState",
    "elbo_estimate",
    "importance_log_likelihood",
    "reparameterized_gradient",
    "score_function_gradient",
    "svi_init",
    "svi_step",
]

LogJoint = Callable[[Tensor], Tensor]
Control = Literal["none", "leave-one-out", "rao-blackwell"]

FIRST, SECOND, TINY = 0.9, 0.999, 1e-8  # Adam's


class GradientEstimate(NamedTuple):
    """An estimate of the gradient of the evidence lower bound by the guide's parameters.

    Attributes
    ----------
    gradient : Tensor of shape (parameters,)
        Mean over draws.
    draws : Tensor of shape (draws, parameters)
        What each draw says: the spread is the estimator's noise.
    elbo : Tensor, scalar
        Estimate of the bound in nats.
    """

    gradient: Tensor
    draws: Tensor
    elbo: Tensor


def elbo_estimate(
    log_joint: LogJoint, guide: Guide, parameters: Tensor, draws: int, generator: torch.Generator
) -> Float[Tensor, " draws"]:
    r"""Return :math:`\log p(x, z_s) - \log q(z_s)` of each draw; their mean estimates the bound without bias.

    Parameters
    ----------
    log_joint : callable
        ``z -> log p(x, z)``: draws of shape (draws, dimensions) to nats of shape (draws,).
    guide : Guide
        Family of *q*.
    parameters : Tensor
        Of *q*.
    draws : int
        Number of draws.
    generator : torch.Generator
        On the CPU.

    Examples
    --------
    >>> from gradus.research.inference.guides import MeanFieldGaussianGuide
    >>> guide = MeanFieldGaussianGuide(1)
    >>> normal = torch.distributions.Normal(0.0, 1.0)  # q = p: every draw gives the evidence, which is one
    >>> parameters = guide.init(torch.zeros(1), scale=1.0)
    >>> found = elbo_estimate(lambda z: normal.log_prob(z).sum(1), guide, parameters, 4, torch.Generator())
    >>> bool(found.abs().max() < 1e-6)
    True
    """
    with torch.no_grad():
        z = guide.draw(parameters, guide.noise(parameters, draws, generator))
        return _checked(log_joint(z), draws) - guide.log_prob(parameters, z)


def importance_log_likelihood(
    log_joint: LogJoint, guide: Guide, parameters: Tensor, draws: int, generator: torch.Generator
) -> Tensor:
    r"""Return :math:`\log \frac1S \sum_s p(x, z_s) / q(z_s)`, which rises to the log-likelihood with more draws.

    Parameters are those of `elbo_estimate`.

    References
    ----------
    Goodfellow et al. 2016, §17.2; Burda, Grosse & Salakhutdinov 2016, eq. 8.
    """
    return log_mean_exp(elbo_estimate(log_joint, guide, parameters, draws, generator))


def reparameterized_gradient(
    log_joint: LogJoint, guide: Any, parameters: Tensor, draws: int, generator: torch.Generator
) -> GradientEstimate:
    r"""Estimate the gradient through the draws: :math:`\nabla_\phi \log p(x, z_\phi(\epsilon)) + \nabla_\phi H(q)`.

    Parameters
    ----------
    log_joint : callable
        As in `elbo_estimate`, differentiable; a minibatch's, scaled up to all examples, will do.
    guide : MeanFieldGaussianGuide or FullGaussianGuide
        Family of *q*; one of binary units has no such gradient.
    parameters, draws, generator
        As in `elbo_estimate`.

    Returns
    -------
    GradientEstimate
        Unbiased.

    References
    ----------
    Goodfellow et al. 2016, §20.9, eqs. 20.54-20.58; Kingma & Welling 2014.
    """
    if not hasattr(guide, "pull_back"):
        mend = "use score_function_gradient"
        raise InputError("a guide whose draws move smoothly", type(guide).__name__, mend)
    with torch.no_grad():
        noise = guide.noise(parameters, draws, generator)
        z = guide.draw(parameters, noise)
    with torch.enable_grad():
        z = z.requires_grad_()
        values = _checked(log_joint(z), draws)
        slopes = torch.autograd.grad(values.sum(), z)[0]
    by_entropy = _entropy_slope(guide, parameters)
    found = guide.pull_back(parameters, noise, slopes) + by_entropy
    elbo = values.detach().mean() + guide.entropy(parameters)
    return GradientEstimate(found.mean(0), found, elbo)


def score_function_gradient(
    log_joint: LogJoint,
    guide: Guide,
    parameters: Tensor,
    draws: int,
    generator: torch.Generator,
    control: Control = "leave-one-out",
) -> GradientEstimate:
    r"""Estimate the gradient from values alone: :math:`(f(z_s) - c) \nabla_\phi \log q_\phi(z_s)`, *f* the log-weight.

    Parameters
    ----------
    log_joint : callable
        As in `elbo_estimate`; no derivative is taken, so latent variables may be discrete.
    guide, parameters, generator
        As in `elbo_estimate`.
    draws : int
        1 or more; 2 or more with ``"leave-one-out"``.
    control : {"none", "leave-one-out", "rao-blackwell"}
        How noise is taken out without a bias. ``"leave-one-out"``: *c* is the mean of the other draws.
        ``"rao-blackwell"``, for binary units: each unit's part is its expectation given the other units of the draw,
        at the price of evaluating *f* once more for each unit.

    Returns
    -------
    GradientEstimate
        Unbiased.

    Raises
    ------
    InputError
        If the control needs more draws, or another guide.

    Examples
    --------
    >>> pull = torch.tensor([2.0, -1.0])
    >>> found = score_function_gradient(
    ...     lambda z: z @ pull, BernoulliGuide(2), torch.zeros(2), 1, torch.Generator(), "rao-blackwell")
    >>> found.gradient.tolist()  # p (1 - p) times the pull: exact, as the units do not interact
    [0.5, -0.25]

    References
    ----------
    Goodfellow et al. 2016, §20.9.1, eqs. 20.61-20.66; Ranganath, Gerrish & Blei 2014; Mnih & Rezende 2016 (leave one
    out); Titsias & Lázaro-Gredilla 2015 (expectations of single units).
    """
    with torch.no_grad():
        z = guide.draw(parameters, guide.noise(parameters, draws, generator))
        values = _checked(log_joint(z), draws)
        if control == "rao-blackwell":
            if not isinstance(guide, BernoulliGuide):
                mend = "use control='leave-one-out', or reparameterized_gradient"
                raise InputError("a BernoulliGuide, whose units have two values", type(guide).__name__, mend)
            found = _unit_expectations(log_joint, z, parameters) + _entropy_slope(guide, parameters)
            return GradientEstimate(found.mean(0), found, values.mean() + guide.entropy(parameters))
        weights = values - guide.log_prob(parameters, z)
        centred = weights
        if control == "leave-one-out":
            if draws < 2:
                raise InputError("2 draws or more for leave-one-out", str(draws), "set control='none'")
            centred = (weights - weights.mean()) * (draws / (draws - 1))
        found = centred[:, None] * guide.score(parameters, z)
        return GradientEstimate(found.mean(0), found, weights.mean())


def _unit_expectations(log_joint: LogJoint, z: Tensor, parameters: Tensor) -> Tensor:
    """Return p (1 - p) (f(z_i = 1) - f(z_i = 0)) for every draw and unit."""
    p = torch.sigmoid(parameters)
    found = torch.empty_like(z)
    for i in range(z.shape[1]):
        on, off = z.clone(), z.clone()
        on[:, i], off[:, i] = 1.0, 0.0
        found[:, i] = log_joint(on) - log_joint(off)
    return found * (p * (1 - p))


def _entropy_slope(guide: Guide, parameters: Tensor) -> Tensor:
    with torch.enable_grad():
        moved = parameters.detach().clone().requires_grad_()
        return torch.autograd.grad(guide.entropy(moved), moved)[0]


def _checked(values: Tensor, draws: int) -> Tensor:
    if values.shape != (draws,):
        mend = "sum over everything but the draws"
        raise InputError(f"a log-joint of shape ({draws},), one number a draw", str(tuple(values.shape)), mend)
    return values


# ---- climbing ----


class SVIState(NamedTuple):
    """Parameters of the guide, Adam's running moments, and the number of steps taken."""

    parameters: Tensor
    first: Tensor
    second: Tensor
    steps: int


class SVIInfo(NamedTuple):
    """Estimate of the bound before the step in nats, and the length of the gradient."""

    elbo: Tensor
    gradient_norm: Tensor


def svi_init(parameters: Tensor) -> SVIState:
    """Return the state before the first step, from a guide's ``init``."""
    return SVIState(parameters, torch.zeros_like(parameters), torch.zeros_like(parameters), 0)


def svi_step(
    state: SVIState,
    log_joint: LogJoint,
    guide: Any,
    generator: torch.Generator,
    *,
    learning_rate: float = 0.01,
    draws: int = 10,
    gradient: Literal["reparameterized", "score"] = "reparameterized",
    control: Control = "leave-one-out",
) -> tuple[SVIState, SVIInfo]:
    """Move the guide one step of Adam up the evidence lower bound.

    Parameters
    ----------
    state : SVIState
        Old state.
    log_joint : callable
        As in `elbo_estimate`; it may be another minibatch's at each step.
    guide : Guide
        Family of the approximate posterior.
    generator : torch.Generator
        On the CPU.
    learning_rate : float
        Of Adam; lower it towards the end, for the noise never ends.
    draws : int
        Draws a step.
    gradient : {"reparameterized", "score"}
        Through the draws, or from values alone.
    control : {"none", "leave-one-out", "rao-blackwell"}
        As in `score_function_gradient`.

    Returns
    -------
    SVIState
        New state.
    SVIInfo
        The bound, and the gradient's length.

    Examples
    --------
    >>> from gradus.research.inference.guides import MeanFieldGaussianGuide
    >>> guide, source = MeanFieldGaussianGuide(1), torch.Generator().manual_seed(0)
    >>> target = torch.distributions.Normal(3.0, 0.5)
    >>> state = svi_init(guide.init(torch.zeros(1), scale=1.0))
    >>> for _ in range(500):
    ...     state, info = svi_step(
    ...         state, lambda z: target.log_prob(z).sum(1), guide, source, learning_rate=0.03, draws=50)
    >>> [round(value, 1) for value in (state.parameters[0].item(), state.parameters[1].exp().item())]
    [3.0, 0.5]

    References
    ----------
    Hoffman, Blei, Wang & Paisley 2013; Kucukelbir et al. 2017; Kingma & Ba 2015.
    """
    if gradient == "score":
        found = score_function_gradient(log_joint, guide, state.parameters, draws, generator, control)
    else:
        found = reparameterized_gradient(log_joint, guide, state.parameters, draws, generator)
    steps = state.steps + 1
    first = torch.lerp(found.gradient, state.first, FIRST)
    second = torch.lerp(found.gradient.square(), state.second, SECOND)
    size = learning_rate / (1 - FIRST**steps)
    moved = state.parameters + size * first / ((second / (1 - SECOND**steps)).sqrt() + TINY)
    return SVIState(moved, first, second, steps), SVIInfo(found.elbo, found.gradient.norm())
