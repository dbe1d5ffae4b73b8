r"""Lower bounds on mutual information from what a critic says of pairs: no density is needed (§3.13, chapter 15).

A critic f scores a pair. Of a batch of n pairs, ``scores[i, j] = f(x_i, y_j)``: on the diagonal, the pairs that came
together; off it, pairs of independent ones. Each bound is true whatever the critic; training raises it to where it is
tight. They are pure functions of the scores, in nats, differentiable, to be maximized.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from gradus.core.errors import InputError

__all__ = ["barber_agakov", "donsker_varadhan", "info_nce", "nwj"]


def _split(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean score of joint pairs, and ``log mean exp`` of that of the others."""
    n = _pairs(scores)
    off = scores.masked_fill(torch.eye(n, dtype=torch.bool, device=scores.device), -math.inf)
    return scores.diagonal().mean(), torch.logsumexp(off.flatten(), 0) - math.log(n * (n - 1))


def _pairs(scores: Tensor) -> int:
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1] or len(scores) < 2:
        mend = "score every x of a batch with every y of it"
        raise InputError("scores of shape (n, n) with n of 2 or more", str(tuple(scores.shape)), mend)
    return len(scores)


def info_nce(scores: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    r"""Return the bound :math:`\frac1n \sum_i \log \frac{e^{f(x_i, y_i)}}{\frac1n \sum_j e^{f(x_i, y_j)}}`.

    How well the critic picks each x's own y out of n. It never exceeds log n: where the information is larger, only a
    larger batch can show it. Its variance is low.

    Parameters
    ----------
    scores : Tensor of shape (n, n)
        ``scores[i, j] = f(x_i, y_j)``; tight at ``f = log p(y | x) + c(x)`` as n grows.

    Returns
    -------
    Tensor
        A scalar, at most log n.

    Raises
    ------
    InputError
        If the scores are not square.

    Examples
    --------
    >>> info_nce(1000 * torch.eye(8))  # the ceiling, log 8
    tensor(2.0794)

    References
    ----------
    van den Oord, Li & Vinyals 2018, Representation Learning with Contrastive Predictive Coding, eq. 4-5; Poole et al.
    2019, On Variational Bounds of Mutual Information, eq. 10.
    """
    n = _pairs(scores)
    return (scores.diagonal() - torch.logsumexp(scores, 1)).mean() + math.log(n)


def nwj(scores: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    r"""Return the bound :math:`E_{p(x, y)}[f] - e^{-1} E_{p(x) p(y)}[e^f]` of Nguyen, Wainwright and Jordan.

    The average over batches is a bound with no ceiling, but its variance grows like the exponential of the
    information. MINE-f and the f-GAN bound of the KL divergence are the same.

    Parameters
    ----------
    scores : Tensor of shape (n, n)
        ``scores[i, j] = f(x_i, y_j)``; tight at ``f = 1 + log p(x, y) / (p(x) p(y))``.

    Returns
    -------
    Tensor
        A scalar.

    Raises
    ------
    InputError
        If the scores are not square.

    Examples
    --------
    >>> nwj(torch.ones(5, 5))  # a critic of independent ones: no information
    tensor(0.)

    References
    ----------
    Nguyen, Wainwright & Jordan 2010, Estimating Divergence Functionals and the Likelihood Ratio by Convex Risk
    Minimization, §2; Poole et al. 2019, eq. 7.
    """
    joint, others = _split(scores)
    return joint - (others - 1).exp()


def donsker_varadhan(scores: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    r"""Return :math:`E_{p(x, y)}[f] - \log E_{p(x) p(y)}[e^f]`, the bound of Donsker and Varadhan that MINE trains.

    With expectations it is a bound for any critic, and no lower than `nwj`. Of a batch it is an estimate of one from
    above: the logarithm of a mean over few pairs is too small on average. Judge a critic by many pairs it has not seen.

    Parameters
    ----------
    scores : Tensor of shape (n, n)
        ``scores[i, j] = f(x_i, y_j)``; tight at ``f = log p(x, y) / (p(x) p(y)) + c``.

    Returns
    -------
    Tensor
        A scalar.

    Raises
    ------
    InputError
        If the scores are not square.

    Examples
    --------
    >>> donsker_varadhan(torch.full((5, 5), 7.0))
    tensor(0.)

    References
    ----------
    Donsker & Varadhan 1983; Belghazi et al. 2018, Mutual Information Neural Estimation, eq. 10; Poole et al.
    2019, §2.1.
    """
    joint, others = _split(scores)
    return joint - others


def barber_agakov(log_conditional: Float[Tensor, " n"], entropy: Float[Tensor, ""] | float) -> Float[Tensor, ""]:
    r"""Return the bound :math:`H(x) + E[\log q(x \mid y)]` of a model q that predicts x from y.

    How much the prediction takes off the entropy of x: for classes x, log-loss told as information. The gap is the mean
    divergence of q from the true conditional.

    Parameters
    ----------
    log_conditional : Tensor of shape (n,)
        ``log q(x_i | y_i)`` of joint pairs, such as held-out rows, in nats.
    entropy : Tensor or float
        H(x), known or estimated.

    Returns
    -------
    Tensor
        A scalar, at most H(x) for classes.

    Raises
    ------
    InputError
        If there is no pair.

    Examples
    --------
    >>> right = torch.tensor([0.9, 0.8, 0.95, 0.7])  # what a classifier gives to the true one of two even classes
    >>> barber_agakov(right.log(), math.log(2))
    tensor(0.5090)

    References
    ----------
    Barber & Agakov 2003, The IM Algorithm, eq. 3; Poole et al. 2019, eq. 2.
    """
    if log_conditional.ndim != 1 or len(log_conditional) == 0:
        received = str(tuple(log_conditional.shape))
        raise InputError("log_conditional of shape (n,) with n of 1 or more", received, "pass one number for each pair")
    return log_conditional.mean() + entropy
