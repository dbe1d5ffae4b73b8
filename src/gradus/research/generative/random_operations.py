"""Gradients of expectations through random operations (§20.9), by three ways, as losses of one value and another slope.

A surrogate has the value of what it stands for and a gradient whose expectation is that of the expectation: add it to
a loss, and back-propagation does the rest.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gradus.core.errors import InputError
from gradus.foundations.log_space import log_mean_exp

__all__ = ["leave_one_out", "reparameterized_normal", "score_function", "straight_through_bernoulli", "vimco"]


def reparameterized_normal(
    mean: Float[Tensor, " *shape"], scale: Float[Tensor, " *shape"], noise: Float[Tensor, " *draws"]
) -> Tensor:
    """Return draws ``m + s ε`` of a normal distribution that depend smoothly on its parameters.

    Parameters
    ----------
    mean, scale : Tensor
        Parameters.
    noise : Tensor
        Standard normal ``ε``; leading axes are draws.

    Examples
    --------
    >>> mean = torch.zeros(1, requires_grad=True)
    >>> reparameterized_normal(mean, torch.ones(1), torch.tensor([[2.0]])).square().sum().backward()
    >>> mean.grad.item()  # of z² at z = 2
    4.0

    References
    ----------
    Goodfellow et al. 2016, §20.9, eq. 20.55-20.57.
    """
    return torch.addcmul(mean, scale, noise)


def score_function(
    costs: Float[Tensor, " *draws"], log_probs: Float[Tensor, " *draws"], baseline: Tensor | float = 0.0
) -> Float[Tensor, " *draws"]:
    """Return ``costs`` with the gradient of REINFORCE: ``∇J + (J - b) ∇ log p(y)``.

    The expectation over ``y ~ p`` is the gradient of ``E J(y)``, whatever the draws are; with a baseline that does not
    depend on the draw it stays so, and its variance falls.

    Parameters
    ----------
    costs : Tensor
        ``J`` of each draw; a gradient that it carries by itself is kept.
    log_probs : Tensor
        ``log p`` of each draw, with a gradient.
    baseline : Tensor or float
        Near the expected cost.

    Examples
    --------
    >>> logit = torch.zeros((), requires_grad=True)
    >>> draws = torch.tensor([0.0, 1.0])  # both, each with probability 1/2
    >>> log_probs = torch.distributions.Bernoulli(logits=logit).log_prob(draws)
    >>> (score_function(3 * draws, log_probs, 1.5) / 2).sum().backward()
    >>> logit.grad.item()  # 3 σ'(0)
    0.75

    References
    ----------
    Goodfellow et al. 2016, §20.9.1, eq. 20.59-20.65; Williams 1992.
    """
    if costs.shape != log_probs.shape:
        received = f"{tuple(costs.shape)} and {tuple(log_probs.shape)}"
        raise InputError("costs and log-probabilities of one shape", received, "pass one of each for each draw")
    weight = (costs - baseline).detach()
    return costs + weight * (log_probs - log_probs.detach())


def straight_through_bernoulli(
    logits: Float[Tensor, " *shape"], uniform: Float[Tensor, " *draws"]
) -> Float[Tensor, " *draws"]:
    """Return bits drawn with probabilities ``σ(a)``, which pass gradients on as if they were the probabilities.

    The gradient is right for costs that are linear in the bits, and biased for others.

    Parameters
    ----------
    logits : Tensor
        Log-odds ``a``.
    uniform : Tensor
        Uniform on [0, 1); leading axes are draws.

    Examples
    --------
    >>> logits = torch.zeros(1, requires_grad=True)
    >>> bits = straight_through_bernoulli(logits, torch.tensor([[0.2], [0.7]]))
    >>> bits.sum().backward()
    >>> bits.tolist(), logits.grad.tolist()
    ([[1.0], [0.0]], [0.5])

    References
    ----------
    Goodfellow et al. 2016, §20.9.1; Bengio, Léonard & Courville 2013, §4.
    """
    shares = torch.sigmoid(logits)
    bits = (uniform < shares).to(shares.dtype)
    return bits + (shares - shares.detach())


def leave_one_out(logs: Float[Tensor, " draws *batch"]) -> Float[Tensor, " draws *batch"]:
    """Return for each draw what ``log (1/k) Σ w`` would be with its weight replaced by the others' geometric mean.

    Parameters
    ----------
    logs : Tensor of shape (k, ...)
        Logarithms of the weights of two draws or more.

    Examples
    --------
    >>> leave_one_out(torch.tensor([0.0, 2.0])).tolist()  # each from the other alone
    [2.0, 0.0]

    References
    ----------
    Mnih & Rezende 2016, Variational Inference for Monte Carlo Objectives, eq. 9-10.
    """
    k = len(logs)
    if k < 2:
        raise InputError("two draws or more", str(k), "set samples=2 or more")
    others = (logs.sum(0) - logs) / (k - 1)
    replaced = logs.unsqueeze(0).expand(k, *logs.shape).clone()
    index = torch.arange(k, device=logs.device)
    replaced[index, index] = others
    return log_mean_exp(replaced, 1)


def vimco(logs: Float[Tensor, " draws *batch"], log_probs: Float[Tensor, " draws *batch"]) -> Float[Tensor, " *batch"]:
    """Return the bound ``log (1/k) Σ w`` with the gradient of VIMCO.

    ``Σ_i (L - L_{-i}) ∇ log q(h_i) + Σ_i v_i ∇ log w_i`` with ``v_i = w_i / Σ w``: each draw is credited with what the
    bound would lack without it, as told by the other draws, which are the control variate.

    Parameters
    ----------
    logs : Tensor of shape (k, ...)
        ``log w = log p(x, h) - log q(h | x)`` of two draws or more, with gradients.
    log_probs : Tensor of shape (k, ...)
        ``log q(h | x)``, with gradients.

    Examples
    --------
    >>> logs = torch.tensor([0.0, 0.0])
    >>> vimco(logs, torch.zeros(2)).item()
    0.0

    References
    ----------
    Mnih & Rezende 2016, Variational Inference for Monte Carlo Objectives, eq. 5 and 11.
    """
    given = logs.detach()
    bound = log_mean_exp(given)
    credit = bound - leave_one_out(given)
    surrogate = (credit * log_probs).sum(0) + (given.softmax(0) * logs).sum(0)
    return bound + (surrogate - surrogate.detach())
