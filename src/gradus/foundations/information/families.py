r"""Exponential families by their natural parameters: one closed form of entropy and divergence for all of them.

A family is :math:`p(x) = h(x) \exp(\eta \cdot t(x) - A(\eta))`. The gradient of the log-normalizer A is the mean of the
statistics t, and everything else follows:

.. math::
    H(p, q) &= A(\eta_q) - \eta_q \cdot \nabla A(\eta_p) - E_p[\log h(x)] \\
    D(p \| q) &= A(\eta_q) - A(\eta_p) - (\eta_q - \eta_p) \cdot \nabla A(\eta_p)

so that a row of `FAMILIES` says three things: the natural parameters, A, and the expectation of log h. Gradients of A
come from automatic differentiation. Everything is computed in double precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch import distributions as td
from torch.nn import functional as F

from gradus.core.errors import InputError

__all__ = ["FAMILIES", "Family", "family_cross_entropy", "family_entropy", "family_kl", "family_of", "mean_statistics"]

Parameters = tuple[Tensor, ...]
MOST_TERMS = 20_000_000


@dataclass(frozen=True)
class Family:
    """What makes an exponential family.

    Parameters
    ----------
    natural : callable
        ``(distribution, origin) -> η``, a tuple of tensors of batch shape, each followed by its own axes; ``origin`` is
        a distribution on whose mean statistics of location families are centred, so that nothing large cancels.
    log_normalizer : callable
        ``η -> A(η)``, of batch shape.
    axes : tuple of int
        How many axes after those of the batch each part of η has.
    log_base : callable, optional
        ``(distribution, η, A) -> E[log h(x)]``; by default h is 1.
    fixed : tuple of str
        Parameters that are none of η, and in which two members must agree.
    """

    natural: Callable[[Any, Any], Parameters]
    log_normalizer: Callable[[Parameters], Tensor]
    axes: tuple[int, ...] = (0,)
    log_base: Callable[[Any, Parameters, Tensor], Tensor] | None = None
    fixed: tuple[str, ...] = ()


# -- natural parameters -----------------------------------------------------------------------------------------------


def _logits(d: Any) -> Tensor:
    """Return log-odds; of probabilities, in double precision before the logarithm."""
    if "logits" in vars(d):
        return d.logits.double()
    return torch.logit(d.probs.double())


def _log_probability(d: Any) -> Tensor:
    return F.logsigmoid(_logits(d))


def _normal(d: Any, origin: Any) -> Parameters:
    precision = d.scale.double() ** -2
    return (d.loc.double() - origin.loc.double()) * precision, -0.5 * precision


def _gaussian(d: Any, origin: Any) -> Parameters:
    covariance = d.covariance_matrix.double()
    precision = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
    centred = d.loc.double() - origin.loc.double()
    return (precision @ centred.unsqueeze(-1)).squeeze(-1), -0.5 * precision


def _von_mises(d: Any, origin: Any) -> Parameters:
    return d.concentration.double() * d.loc.double().cos(), d.concentration.double() * d.loc.double().sin()


# -- log-normalizers --------------------------------------------------------------------------------------------------


def _normal_log_normalizer(eta: Parameters) -> Tensor:
    first, second = eta
    return -(first**2) / (4 * second) - 0.5 * (-second / math.pi).log()


def _gaussian_log_normalizer(eta: Parameters) -> Tensor:
    first, precision = eta[0], -2 * eta[1]
    factor = torch.linalg.cholesky(precision)
    whitened = torch.linalg.solve_triangular(factor, first.unsqueeze(-1), upper=False).squeeze(-1)
    log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return 0.5 * (whitened.square().sum(-1) - log_det + first.shape[-1] * math.log(2 * math.pi))


def _gamma_log_normalizer(eta: Parameters) -> Tensor:
    return torch.lgamma(eta[0] + 1) - (eta[0] + 1) * (-eta[1]).log()


def _inverse_gamma_log_normalizer(eta: Parameters) -> Tensor:
    return torch.lgamma(-eta[0] - 1) + (eta[0] + 1) * (-eta[1]).log()


def _dirichlet_log_normalizer(eta: Parameters) -> Tensor:
    return torch.lgamma(eta[0] + 1).sum(-1) - torch.lgamma((eta[0] + 1).sum(-1))


def _von_mises_log_normalizer(eta: Parameters) -> Tensor:
    length = (eta[0] ** 2 + eta[1] ** 2 + torch.finfo(torch.float64).tiny).sqrt()  # its slope at zero must be a number
    return math.log(2 * math.pi) + torch.special.i0e(length).log() + length


# -- expectations of log h --------------------------------------------------------------------------------------------


def _over_counts(
    eta: Tensor, normalizer: Tensor, log_h: Callable[[Tensor], Tensor], mean: Tensor, reach: Tensor
) -> Tensor:
    """Return ``Σ p(x) log h(x)`` over the whole numbers within ``reach`` of the mean, which hold all but rounding."""
    low = (mean - reach).floor().clamp_min(0).detach()
    width = int((2 * reach).max()) + 2 if reach.numel() else 1
    if width * eta.numel() > MOST_TERMS:
        received = f"{eta.numel()} distributions with up to {width} likely counts each"
        raise InputError("counts whose entropy is a sum of 20 million terms or fewer", received, "pass fewer at once")
    x = low.unsqueeze(-1) + torch.arange(width, dtype=torch.float64, device=eta.device)
    log_base = log_h(x)
    possible = log_base > -math.inf  # up to the last possible count
    log_base = torch.where(possible, log_base, 0.0)
    logs = eta.unsqueeze(-1) * x - normalizer.unsqueeze(-1) + log_base
    mass = torch.where(possible, logs, -math.inf).softmax(-1)  # they sum to one, but for rounding: now to the last bit
    middle = (mass.detach() * log_base.detach()).sum(-1, keepdim=True)  # of counts near a million, a large number
    return (mass * (log_base - middle)).sum(-1) + middle.squeeze(-1)


def _poisson_base(d: Any, eta: Parameters, normalizer: Tensor) -> Tensor:
    rate = d.rate.double()
    return _over_counts(eta[0], normalizer, lambda x: -torch.lgamma(x + 1), rate, 60 + 40 * rate.detach().sqrt())


def _log_binomial(n: Tensor, x: Tensor) -> Tensor:
    return torch.lgamma(n + 1) - torch.lgamma(x + 1) - torch.lgamma(n - x + 1)


def _binomial_base(d: Any, eta: Parameters, normalizer: Tensor) -> Tensor:
    n = d.total_count.double()
    mean = n * eta[0].sigmoid()
    reach = torch.minimum(60 + 40 * (n * eta[0].sigmoid() * eta[0].neg().sigmoid()).sqrt(), n).detach()

    def log_h(x: Tensor) -> Tensor:
        within = x <= n.unsqueeze(-1)
        return torch.where(within, _log_binomial(n.unsqueeze(-1), torch.where(within, x, 0.0)), -math.inf)

    return _over_counts(eta[0], normalizer, log_h, mean, reach)


def _negative_binomial_base(d: Any, eta: Parameters, normalizer: Tensor) -> Tensor:
    n, odds = d.total_count.double(), _logits(d).exp()
    # Far out a count is less likely by exp(η) than the one before: forty times that length is left out at no loss.
    reach = (60 + 40 * (n * odds * (1 + odds)).sqrt() - 40 / eta[0]).detach()

    def log_h(x: Tensor) -> Tensor:
        return torch.lgamma(x + n.unsqueeze(-1)) - torch.lgamma(x + 1) - torch.lgamma(n).unsqueeze(-1)

    return _over_counts(eta[0], normalizer, log_h, n * odds, reach)


FAMILIES: dict[type, Family] = {
    td.Bernoulli: Family(lambda d, _: (_logits(d),), lambda eta: F.softplus(eta[0])),
    td.Geometric: Family(lambda d, _: (F.logsigmoid(-_logits(d)),), lambda eta: -(-eta[0].expm1()).log()),
    td.Poisson: Family(lambda d, _: (d.rate.double().log(),), lambda eta: eta[0].exp(), log_base=_poisson_base),
    td.Normal: Family(_normal, _normal_log_normalizer, (0, 0)),
    td.LogNormal: Family(_normal, _normal_log_normalizer, (0, 0), lambda d, *_: -d.loc.double()),
    td.HalfNormal: Family(
        lambda d, _: (-0.5 * d.scale.double() ** -2,), lambda eta: -0.5 * (-4 * eta[0] / math.pi).log()
    ),
    td.MultivariateNormal: Family(_gaussian, _gaussian_log_normalizer, (1, 2)),
    td.Exponential: Family(lambda d, _: (-d.rate.double(),), lambda eta: -(-eta[0]).log()),
    td.Laplace: Family(lambda d, _: (-1 / d.scale.double(),), lambda eta: (-2 / eta[0]).log(), fixed=("loc",)),
    td.Gamma: Family(lambda d, _: (d.concentration.double() - 1, -d.rate.double()), _gamma_log_normalizer, (0, 0)),
    td.InverseGamma: Family(
        lambda d, _: (-d.concentration.double() - 1, -d.rate.double()), _inverse_gamma_log_normalizer, (0, 0)
    ),
    td.Beta: Family(
        lambda d, _: (torch.stack([d.concentration1, d.concentration0], -1).double() - 1,),
        _dirichlet_log_normalizer,
        (1,),
    ),
    td.Dirichlet: Family(lambda d, _: (d.concentration.double() - 1,), _dirichlet_log_normalizer, (1,)),
    td.VonMises: Family(_von_mises, _von_mises_log_normalizer, (0, 0)),
}
# Of these, how many trials there are stands in A, and is no part of η.
COUNTED: dict[type, Callable[[Any], Family]] = {
    td.Binomial: lambda d: Family(
        lambda e, _: (_logits(e),),
        lambda eta: d.total_count.double() * F.softplus(eta[0]),
        log_base=_binomial_base,
        fixed=("total_count",),
    ),
    td.NegativeBinomial: lambda d: Family(
        lambda e, _: (_log_probability(e),),
        lambda eta: -d.total_count.double() * (-eta[0].expm1()).log(),
        log_base=_negative_binomial_base,
        fixed=("total_count",),
    ),
}


ALIASES: dict[type, type] = {td.LowRankMultivariateNormal: td.MultivariateNormal}


def _kind(distribution: td.Distribution) -> type:
    """Return the class under which the tables have a distribution's family."""
    for cls in type(distribution).__mro__:
        if cls in FAMILIES or cls in COUNTED or cls in ALIASES:
            return ALIASES.get(cls, cls)
    mend = "estimate it from samples: sampled_entropy, sampled_kl, sampled_js"
    raise InputError("a distribution of an exponential family", type(distribution).__name__, mend)


def family_of(distribution: td.Distribution) -> Family:
    """Return the family of a distribution, that of its nearest parent class in the tables.

    Raises
    ------
    InputError
        If it has none.

    Examples
    --------
    >>> family_of(td.Chi2(torch.tensor(3.0))) is FAMILIES[td.Gamma]
    True
    """
    kind = _kind(distribution)
    return FAMILIES[kind] if kind in FAMILIES else COUNTED[kind](distribution)


def mean_statistics(family: Family, eta: Parameters) -> Parameters:
    """Return ``∇A(η)``, the means of the statistics; further gradients flow through where η has them.

    Examples
    --------
    >>> coin = td.Bernoulli(torch.tensor(0.2, dtype=torch.float64))
    >>> family = family_of(coin)
    >>> [round(mean.item(), 6) for mean in mean_statistics(family, family.natural(coin, coin))]
    [0.2]
    """
    wanted = torch.is_grad_enabled() and any(part.requires_grad for part in eta)
    with torch.enable_grad():
        moved = tuple(part if wanted and part.requires_grad else part.detach().requires_grad_() for part in eta)
        return torch.autograd.grad(family.log_normalizer(moved).sum(), moved, create_graph=wanted)


def _dot(family: Family, eta: Parameters, means: Parameters) -> Tensor:
    products = [part * mean for part, mean in zip(eta, means, strict=True)]
    parts = [
        product.flatten(product.ndim - axes).sum(-1) if axes else product
        for product, axes in zip(products, family.axes, strict=True)
    ]
    return torch.stack(torch.broadcast_tensors(*parts)).sum(0)


def _matched(p: Any, q: Any) -> Family:
    mend = "estimate it from samples: sampled_kl, sampled_cross_entropy"
    if _kind(p) is not _kind(q):
        raise InputError(f"two distributions of one family, as p is {type(p).__name__}", type(q).__name__, mend)
    family = family_of(p)
    for name in family.fixed:
        if not torch.equal(*torch.broadcast_tensors(getattr(p, name), getattr(q, name))):
            raise InputError(f"the same {name} in both, or it is another family", "different ones", mend)
    return family


def _natural(family: Family, distribution: Any, origin: Any) -> Parameters:
    """Return η, which must be finite: what is sure to happen lies on the edge of a family, not in it."""
    eta = family.natural(distribution, origin)
    if not all(bool(part.isfinite().all()) for part in eta):
        name = type(distribution).__name__
        mend = "leave the sure outcomes out: their entropy is 0"
        raise InputError(f"a {name} whose outcomes are not sure", "parameters on the edge of their range", mend)
    return eta


def family_cross_entropy(p: Any, q: Any) -> Tensor:
    """Return ``H(p, q) = A(η_q) - η_q·∇A(η_p) - E_p[log h]`` in nats, of batch shape."""
    family = _matched(p, q)
    own, other = _natural(family, p, p), _natural(family, q, p)
    found = family.log_normalizer(other) - _dot(family, other, mean_statistics(family, own))
    if family.log_base is not None:
        found = found - family.log_base(p, own, family.log_normalizer(own))
    return found.to(torch.promote_types(p.mean.dtype, q.mean.dtype))


def family_entropy(p: Any) -> Tensor:
    """Return ``H(p) = A(η) - η·∇A(η) - E[log h]`` in nats, of batch shape."""
    return family_cross_entropy(p, p)


def family_kl(p: Any, q: Any) -> Tensor:
    """Return the Bregman divergence ``A(η_q) - A(η_p) - (η_q - η_p)·∇A(η_p)`` in nats, of batch shape."""
    family = _matched(p, q)
    own, other = _natural(family, p, p), _natural(family, q, p)
    apart = tuple(b - a for a, b in zip(own, other, strict=True))
    found = family.log_normalizer(other) - family.log_normalizer(own)
    found = found - _dot(family, apart, mean_statistics(family, own))
    found = found.clamp_min(0)  # rounding can make the divergence of two equal ones negative
    return found.to(torch.promote_types(p.mean.dtype, q.mean.dtype))
