"""Expectation maximization: what every EM here shares (§19.2).

A model brings a state (a NamedTuple of parameters) and a pure ``step(state) -> (state, EMInfo)``: the E-step under the
old parameters, the M-step to the new ones. The log-likelihood in the information is that of the **old** state, which is
what the E-step sees.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

__all__ = ["EMFit", "EMInfo", "run_em"]

State = TypeVar("State")


class EMInfo(NamedTuple):
    """What a step of EM tells.

    Attributes
    ----------
    log_likelihood : Tensor, scalar, float64
        Nats, summed over rows or sequences, of the state the step began with.
    counts : Tensor of shape (components,)
        Expected number of rows (of steps, in a chain) of each component.
    """

    log_likelihood: Tensor
    counts: Tensor


class EMFit(NamedTuple):
    """Where EM ended.

    Attributes
    ----------
    state : NamedTuple
        The last parameters.
    history : list of float
        Log-likelihood per unit of each state visited but the last.
    converged : bool
        Whether the gain of a step fell below the tolerance.
    """

    state: Any
    history: list[float]
    converged: bool


def run_em(
    step: Callable[[Any], tuple[Any, EMInfo]],
    state: Any,
    *,
    units: float,
    max_iter: int,
    tolerance: float,
    history: list[float] | None = None,
) -> EMFit:
    r"""Repeat a step until the log-likelihood per unit gains less than a tolerance.

    The likelihood never falls: with :math:`q = p(h \mid v; \theta_t)` the bound
    :math:`\mathcal{L}(v, \theta, q)` touches it at :math:`\theta_t`, and the M-step raises the bound.

    Parameters
    ----------
    step : callable
        ``state -> (state, EMInfo)``.
    state : NamedTuple
        Where to begin.
    units : float
        Rows, or steps of sequences, by which log-likelihoods are divided.
    max_iter : int
        Steps at most, 1 or more, counting those in ``history``.
    tolerance : float
        Nats per unit; 0 runs on until the likelihood stands still.
    history : list of float, optional
        That of an earlier run, which this one continues.

    Returns
    -------
    EMFit
        Parameters, likelihoods, and whether the gain fell below the tolerance.

    Examples
    --------
    >>> import torch
    >>> def halve(x):  # a likelihood of -x^2, climbed by halving x
    ...     return x / 2, EMInfo(-(x**2), torch.ones(1))
    >>> found = run_em(halve, torch.tensor(1.0), units=1, max_iter=50, tolerance=1e-3)
    >>> found.converged, len(found.history)
    (True, 7)

    References
    ----------
    Goodfellow et al. 2016, §19.2; Dempster, Laird & Rubin 1977.
    """
    past = list(history or [])
    while len(past) < max_iter:
        before = past[-1] if past else -math.inf
        state, info = step(state)
        past.append(float(info.log_likelihood) / units)
        if past[-1] - before < tolerance or past[-1] == before:
            return EMFit(state, past, True)
    return EMFit(state, past, False)
