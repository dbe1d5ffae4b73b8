"""The most probable point of any posterior, and a Gaussian laid around it (§5.6.1, §19.3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import MultivariateNormal

from gradus.core.errors import InputError
from gradus.foundations.numerical import lbfgs_init, lbfgs_step, minimize

__all__ = ["Laplace", "Mode", "laplace_approximation", "map_estimate"]

LogDensity = Callable[[Tensor], Tensor]


class Mode(NamedTuple):
    """A point of highest density.

    Attributes
    ----------
    values : Tensor
        Where, in the shape of the start.
    log_density : Tensor
        There, as the function gives it: in nats, up to the constant that it lacks.
    gradient : float
        Largest component of the gradient left.
    steps : int
        Of the search.
    converged : bool
        Whether the gradient met the tolerance.
    """

    values: Float[Tensor, " *shape"]
    log_density: Float[Tensor, " *examples"]
    gradient: float
    steps: int
    converged: bool


def map_estimate(
    log_density: LogDensity, start: Float[Tensor, " *shape"], *, tolerance: float = 1e-6, max_steps: int = 1000
) -> Mode:
    r"""Return the maximum a posteriori point :math:`\theta = \arg\max \log p(x \mid \theta) + \log p(\theta)`.

    It is found by L-BFGS, and a local one where there are several. With a flat prior it is the maximum likelihood
    estimate; a Gaussian prior is weight decay.

    Parameters
    ----------
    log_density : callable
        ``θ -> log p(x | θ) + log p(θ)``, in nats, up to a constant, differentiable by torch: one number, or one for
        each of many examples that have nothing to do with each other (then latents of all are found at once).
    start : Tensor
        Where to begin; float64 reaches small gradients.
    tolerance : float
        Largest component of the gradient to stop at, 0 or more.
    max_steps : int
        1 or more.

    Returns
    -------
    Mode
        Look at ``converged``: a density without a maximum has none.

    Raises
    ------
    InputError
        If the density is not one finite number at the start, or has no gradient.
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> heads, tails = 7, 3
    >>> def log_posterior(logit):  # a coin with a prior Beta(2, 2) on the probability
    ...     return ((heads + 1) * logit.sigmoid().log() + (tails + 1) * (1 - logit.sigmoid()).log()).sum()
    >>> mode = map_estimate(log_posterior, torch.zeros(1, dtype=torch.float64))
    >>> round(mode.values.sigmoid().item(), 4), mode.converged  # (7 + 1) / (7 + 3 + 2)
    (0.6667, True)

    References
    ----------
    Goodfellow et al. 2016, §5.6.1, eq. 5.79; §19.3, eqs. 19.13-19.14.
    """

    def surprise(vector: Tensor) -> Tensor:
        return -log_density(vector.view(start.shape)).sum()

    state, outcome = minimize(
        lambda state: lbfgs_step(state, surprise),
        lbfgs_init(surprise, start.detach().flatten()),
        tolerance=tolerance,
        max_steps=max_steps,
    )
    values = state.point.vector.view(start.shape)
    with torch.no_grad():
        return Mode(values, log_density(values), outcome.residual, outcome.steps, outcome.converged)


class Laplace(NamedTuple):
    """A Gaussian in place of a posterior.

    Attributes
    ----------
    distribution : MultivariateNormal
        Around the mode, with the inverse of minus the Hessian for a covariance.
    log_evidence : Tensor
        Logarithm of the integral of the density, approximately; exact where the density is Gaussian.
    """

    distribution: MultivariateNormal
    log_evidence: Float[Tensor, ""]


def laplace_approximation(log_density: LogDensity, mode: Float[Tensor, " n"]) -> Laplace:
    r"""Lay a Gaussian around a mode, with the curvature that the density has there.

    .. math:: p(\theta \mid x) \approx N(\hat\theta, H^{-1}), \quad H = -\nabla^2 \log p(x, \hat\theta), \qquad
        \log p(x) \approx \log p(x, \hat\theta) + \tfrac{n}{2} \log 2\pi - \tfrac12 \log |H|

    Exact for Gaussian posteriors, and the better the more data there are. It knows one mode, and depends on how θ is
    written: a probability is better given by its logit, a scale by its logarithm (with the change of variables in the
    density).

    Parameters
    ----------
    log_density : callable
        As in `map_estimate`, twice differentiable by torch. For ``log_evidence``, it must be all of
        ``log p(x | θ) + log p(θ)``, constants included.
    mode : Tensor of shape (n,)
        What `map_estimate` found.

    Returns
    -------
    Laplace

    Raises
    ------
    InputError
        If the density does not fall in every direction from there.

    Examples
    --------
    >>> gamma = torch.distributions.Gamma(torch.tensor(50.0).double(), torch.tensor(2.0).double())
    >>> def log_density(log_x):  # of the logarithm: with the change of variables
    ...     return (gamma.log_prob(log_x.exp()) + log_x).sum()
    >>> found = laplace_approximation(log_density, map_estimate(log_density, torch.zeros(1).double()).values)
    >>> round(found.distribution.stddev.item(), 3), abs(found.log_evidence.item()) < 0.002  # the integral is 1
    (0.141, True)

    References
    ----------
    MacKay 2003, Information Theory, Inference, and Learning Algorithms, chapter 27; Goodfellow et al. 2016, §5.6.1.
    """
    with torch.enable_grad():
        hessian = -torch.autograd.functional.hessian(log_density, mode.detach())
        value = log_density(mode.detach()).detach()
    hessian = (hessian + hessian.mT) / 2
    factor, failed = torch.linalg.cholesky_ex(hessian)
    if bool(failed) or not bool(factor.isfinite().all()):
        mend = "pass what map_estimate returned, and give flat directions a prior"
        raise InputError("a mode, from which the density falls in every direction", "another point", mend)
    log_det = 2 * factor.diagonal().log().sum()
    evidence = value.reshape(()) + 0.5 * (len(mode) * math.log(2 * math.pi) - log_det)
    return Laplace(MultivariateNormal(mode.detach(), precision_matrix=hessian), evidence)
