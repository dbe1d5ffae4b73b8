"""Entropy, cross-entropy, divergences and mutual information in closed form, in nats (§3.13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch import distributions as td

from gradus.core.errors import InputError, SettingError
from gradus.foundations.information.families import family_cross_entropy, family_entropy, family_kl
from gradus.foundations.information.tables import (
    check_weight,
    table_cross_entropy,
    table_entropy,
    table_js,
    table_kl,
    table_mutual_information,
)

__all__ = ["cross_entropy", "entropy", "js_divergence", "kl_divergence", "mutual_information"]

Discrete = td.Categorical | td.OneHotCategorical


def _shown(*found: Any) -> None:
    """Raise `InputError` unless every one is a table or a distribution, and all are of one kind."""
    for one in found:
        if not isinstance(one, Tensor | td.Distribution):
            mend = "pass torch.tensor([...]) of probabilities, or a torch.distributions object"
            raise InputError("a table of probabilities or a distribution", type(one).__name__, mend)
    if len({isinstance(one, Tensor) for one in found}) > 1:
        raise InputError("two tables or two distributions", "one of each", "write the table as td.Categorical(p)")


def _over(of_tables: Callable[..., Tensor], of_families: Callable[..., Tensor], *found: Any) -> Tensor:
    """Compute by the kind of what is given; independent axes of an event add up."""
    _shown(*found)
    if isinstance(found[0], Tensor):
        return of_tables(*found)
    if all(isinstance(d, Discrete) for d in found):
        return of_tables(*(d.probs for d in found))
    if all(isinstance(d, td.Bernoulli) and "probs" in vars(d) for d in found):  # which may be 0 or 1
        return of_tables(*(_coin(d) for d in found))
    if all(isinstance(d, td.Independent) for d in found):
        axes = {d.reinterpreted_batch_ndims for d in found}
        if len(axes) > 1:
            raise InputError("events of as many axes", f"{axes}", "make both td.Independent over the same axes")
        each = _over(of_tables, of_families, *(d.base_dist for d in found))
        return each.flatten(each.ndim - axes.pop()).sum(-1)
    return of_families(*found)


def _coin(d: td.Bernoulli) -> Tensor:
    return torch.stack([1 - d.probs, d.probs], -1)


def entropy(p: Float[Tensor, "*batch outcomes"] | td.Distribution) -> Float[Tensor, " *batch"]:
    r"""Return the entropy :math:`H(p) = -E_p[\log p(x)]` in nats; of a density, the differential entropy.

    Parameters
    ----------
    p : Tensor of shape (..., outcomes) or Distribution
        Probabilities over the last axis, 0 or more, that sum to one (``0 log 0 = 0``); or a distribution of an
        exponential family, ``td.Independent`` ones included.

    Returns
    -------
    Tensor of shape (...)
        Of the batch; 0 to log(outcomes) for tables, any sign for densities.

    Raises
    ------
    InputError
        If it is no table of probabilities, or a distribution of no exponential family.

    Examples
    --------
    >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
    tensor([0.6931, 0.0000])
    >>> entropy(td.Poisson(torch.tensor(3.0)))  # a sum over counts
    tensor(1.9315)

    References
    ----------
    Goodfellow et al. 2016, §3.13, eq. 3.49; Wainwright & Jordan 2008, Graphical Models, Exponential Families, and
    Variational Inference, §3.6.
    """
    return _over(table_entropy, family_entropy, p)


def cross_entropy(
    p: Float[Tensor, "*batch outcomes"] | td.Distribution, q: Float[Tensor, "*batch outcomes"] | td.Distribution
) -> Float[Tensor, " *batch"]:
    r"""Return the cross-entropy :math:`H(p, q) = -E_p[\log q(x)] = H(p) + D(p \| q)` in nats.

    Parameters
    ----------
    p, q : Tensor of shape (..., outcomes) or Distribution
        Two tables over the same outcomes, or two distributions of one exponential family; batches broadcast.

    Returns
    -------
    Tensor of shape (...)
        Infinite where p is possible and q is not.

    Raises
    ------
    InputError
        If they are no tables of probabilities over the same outcomes, or not of one exponential family.

    Examples
    --------
    >>> cross_entropy(torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75]))
    tensor(0.8370)
    >>> cross_entropy(td.Normal(torch.tensor(0.0), 1.0), td.Normal(torch.tensor(1.0), 1.0))  # 0.5 log 2πe + 0.5
    tensor(1.9189)

    References
    ----------
    Goodfellow et al. 2016, §3.13, eq. 3.51; Nielsen & Nock 2010, Entropies and Cross-Entropies of Exponential
    Families, eq. 4.
    """
    return _over(table_cross_entropy, family_cross_entropy, p, q)


def kl_divergence(
    p: Float[Tensor, "*batch outcomes"] | td.Distribution, q: Float[Tensor, "*batch outcomes"] | td.Distribution
) -> Float[Tensor, " *batch"]:
    r"""Return the Kullback-Leibler divergence :math:`D(p \| q) = E_p[\log p(x) - \log q(x)]` in nats.

    Of an exponential family it is the Bregman divergence of the log-normalizer: one formula for families that
    ``torch.distributions.kl_divergence`` has a formula each for, and for some that it lacks.

    Parameters
    ----------
    p, q : Tensor of shape (..., outcomes) or Distribution
        As in `cross_entropy`.

    Returns
    -------
    Tensor of shape (...)
        0 or more; infinite where p is possible and q is not.

    Raises
    ------
    InputError
        As from `cross_entropy`.

    Examples
    --------
    >>> kl_divergence(torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75]))
    tensor(0.1438)
    >>> kl_divergence(td.VonMises(torch.tensor(0.0), torch.tensor(4.0)), td.VonMises(torch.tensor(0.5), 2.0))
    tensor(0.3375)

    References
    ----------
    Goodfellow et al. 2016, §3.13, eq. 3.50; Banerjee et al. 2005, Clustering with Bregman Divergences, §4.
    """
    return _over(table_kl, family_kl, p, q)


def js_divergence(
    p: Float[Tensor, "*batch outcomes"] | td.Distribution,
    q: Float[Tensor, "*batch outcomes"] | td.Distribution,
    *,
    weight: float = 0.5,
) -> Float[Tensor, " *batch"]:
    r"""Return the Jensen-Shannon divergence :math:`w D(p \| m) + (1 - w) D(q \| m)`, :math:`m = w p + (1 - w) q`.

    It is the information that an outcome has about which of the two it came from: symmetric at w = 0.5, and never more
    than log 2. The mixture m of two densities has no closed form: see `sampled_js` for those.

    Parameters
    ----------
    p, q : Tensor of shape (..., outcomes), or Categorical or Bernoulli
        Over the same outcomes.
    weight : float
        Share of p in the mixture, inside (0, 1).

    Returns
    -------
    Tensor of shape (...)
        In nats, 0 to log 2.

    Raises
    ------
    InputError
        If they are not over finitely many outcomes, the same in both.
    SettingError
        If the weight is out of range.

    Examples
    --------
    >>> js_divergence(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))  # log 2: never the same outcome
    tensor(0.6931)

    References
    ----------
    Lin 1991, Divergence Measures Based on the Shannon Entropy, eq. 4.1; Goodfellow et al. 2014, Generative Adversarial
    Nets, eq. 6.
    """
    check_weight(weight)

    def of_densities(*found: Any) -> Tensor:
        if not all(isinstance(d, td.Bernoulli) for d in found):
            names = " and ".join(type(d).__name__ for d in found)
            raise InputError("tables, Categorical or Bernoulli distributions", names, "estimate it by sampled_js")
        first, second = (_coin(d) for d in found)
        return table_js(first, second, weight)

    _shown(p, q)
    if any(isinstance(d, td.Independent) for d in (p, q)):  # of a product it is not the sum over factors
        raise InputError("distributions over single outcomes", "td.Independent", "estimate it by sampled_js")
    return _over(lambda a, b: table_js(a, b, weight), of_densities, p, q)


def mutual_information(
    joint: Float[Tensor, "*batch x y"] | td.MultivariateNormal, *, split: int | None = None
) -> Float[Tensor, " *batch"]:
    r"""Return the mutual information :math:`I(x; y) = D(p(x, y) \| p(x) p(y))` in nats, of a table or a Gaussian.

    Of a Gaussian it is :math:`-\frac12 \sum_i \log(1 - \rho_i^2)` with the canonical correlations ρ of the two blocks:
    of two numbers, with their correlation.

    Parameters
    ----------
    joint : Tensor of shape (..., x, y) or MultivariateNormal
        Joint probabilities over the last two axes that sum to one; or a joint Gaussian.
    split : int, optional
        Of a Gaussian, how many of its first components are x; the rest is y.

    Returns
    -------
    Tensor of shape (...)
        0 or more.

    Raises
    ------
    InputError
        If it is neither.
    SettingError
        If split is missing, out of range, or given for a table.

    Examples
    --------
    >>> mutual_information(torch.tensor([[0.5, 0.0], [0.0, 0.5]]))  # y says which x it was
    tensor(0.6931)
    >>> joint = td.MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, 0.6], [0.6, 1.0]]))
    >>> mutual_information(joint, split=1)
    tensor(0.2231)

    References
    ----------
    Cover & Thomas 2006, Elements of Information Theory, eq. 2.28 and 8.54; Goodfellow et al. 2016, §3.13.
    """
    if isinstance(joint, td.MultivariateNormal):
        return _gaussian_mutual_information(joint, split)
    if split is not None:
        raise SettingError("no split for a table, whose axes are x and y", str(split), "leave split out")
    if not isinstance(joint, Tensor):
        mend = "pass a table, or estimate it from samples: knn_mutual_information"
        raise InputError("a joint table or a MultivariateNormal", type(joint).__name__, mend)
    return table_mutual_information(joint)


def _gaussian_mutual_information(joint: td.MultivariateNormal, split: int | None) -> Tensor:
    size = joint.event_shape[0]
    if split is None or not 1 <= split < size:
        mend = f"say how many of the {size} components are x"
        raise SettingError(f"split from 1 to {size - 1}", str(split), mend)
    covariance = joint.covariance_matrix
    first, second = (torch.linalg.cholesky(part) for part in _blocks(covariance.double(), split))
    between = covariance.double()[..., :split, split:]
    left = torch.linalg.solve_triangular(first, between, upper=False)
    correlations = torch.linalg.svdvals(torch.linalg.solve_triangular(second, left.mT, upper=False))
    return (-0.5 * torch.log1p(-correlations.square().clamp_max(1.0)).sum(-1)).to(covariance.dtype)


def _blocks(covariance: Tensor, split: int) -> tuple[Tensor, Tensor]:
    return covariance[..., :split, :split], covariance[..., split:, split:]
