"""Weights of models that are averaged: expectation maximization on text that none of them has read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from gradus.core.errors import InputError

__all__ = ["MixtureWeights", "mix", "mixture_weights"]

ROUNDS = 10_000


class MixtureWeights(NamedTuple):
    """How much each model counts.

    Attributes
    ----------
    weights : array of shape (groups, models)
        Of each group; they sum to one.
    gap : float
        Nats a token by which the best weights there are can be better at most.
    rounds : int
        Rounds of EM that it took.
    """

    weights: np.ndarray
    gap: float
    rounds: int


def mixture_weights(
    log_p: Float[np.ndarray, "models tokens"],
    groups: Int[np.ndarray, " tokens"],
    n_groups: int,
    *,
    tolerance: float = 1e-6,
) -> MixtureWeights:
    r"""Find the weights under which an average of models gives tokens the highest likelihood.

    Each token belongs to a group, such as that of contexts that are well known, and each group has its own weights:
    :math:`p(w \mid h) = \sum_m \lambda_{g(h) m}\, p_m(w \mid h)`. EM takes the share of a token's probability that each
    model contributed, and averages the shares of a group. The likelihood is concave in the weights, and no weights
    are better than the present ones by more than :math:`\max_m \frac{1}{n} \sum_i p_m(w_i) / p(w_i) - 1` nats a token
    of a group, so that the rounds end when that falls below ``tolerance``. Where one model alone is better than what
    EM found (it only approaches such an end), it is taken alone.

    Parameters
    ----------
    log_p : array of shape (models, tokens)
        Log-probability that each model gives each token, in nats.
    groups : array of shape (tokens,)
        Group of each token, in ``[0, n_groups)``.
    n_groups : int
        Number of groups; one without a token gets equal weights.
    tolerance : float
        Largest gap to the best weights, in nats a token.

    Returns
    -------
    MixtureWeights
        ``(weights, gap, rounds)``.

    Raises
    ------
    InputError
        If there is no token, or one that no model holds for possible.

    Examples
    --------
    >>> sure, doubtful = np.log([0.9, 0.9, 0.9, 0.1]), np.log([0.5, 0.5, 0.5, 0.5])
    >>> found = mixture_weights(np.stack([sure, doubtful]), np.zeros(4, int), 1)
    >>> found.weights.round(3).tolist()  # 0.75 of the answers are right, as 0.5 + 0.4 * 0.625 is
    [[0.625, 0.375]]

    References
    ----------
    Jelinek and Mercer 1980, Interpolated estimation of Markov source parameters from sparse data; Goodfellow et al.
    2016, §12.4.4; Cover 1984 (the bound).
    """
    models, n = log_p.shape
    if not n:
        raise InputError("a token or more to learn weights from", "none", "pass a longer text that no model has read")
    highest = log_p.max(0)
    if not np.isfinite(highest).all():
        raise InputError("tokens that one of the models holds for possible", "one that none does", "check the models")
    p = np.exp(log_p - highest)  # what they have in common cancels
    sizes = np.bincount(groups, minlength=n_groups)
    alone = np.stack([np.bincount(groups, log_p[m] - highest, n_groups) for m in range(models)], 1)
    weights = np.full((n_groups, models), 1 / models)
    gap, done = np.inf, 0
    while gap > tolerance and done < ROUNDS:
        mixed = np.einsum("mn,nm->n", p, weights[groups])
        factors = np.stack([np.bincount(groups, p[m] / mixed, n_groups) for m in range(models)], 1)
        factors = np.where(sizes[:, None] > 0, factors / np.maximum(sizes, 1)[:, None], 1.0)
        gap = float((factors.max(1) - 1) @ sizes / n)
        weights = weights * factors
        weights /= weights.sum(1, keepdims=True)  # one already but for rounding
        done += 1
    together = np.bincount(groups, np.log(np.einsum("mn,nm->n", p, weights[groups])), n_groups)
    best = alone.argmax(1)
    single = (alone[np.arange(n_groups), best] >= together) & (sizes > 0)
    weights[single] = np.eye(models)[best[single]]
    return MixtureWeights(weights, gap, done)


def mix(
    log_p: Float[np.ndarray, "models tokens"], weights: Float[np.ndarray, "tokens models"]
) -> Float[np.ndarray, " tokens"]:
    r"""Return :math:`\log \sum_m \lambda_m p_m` of each token, in nats.

    Examples
    --------
    >>> float(np.exp(mix(np.log([[0.2], [0.6]]), np.array([[0.5, 0.5]]))[0]).round(3))
    0.4
    """
    with np.errstate(divide="ignore"):  # a weight or a probability of zero
        return np.logaddexp.reduce(log_p + np.log(weights.T), axis=0)
