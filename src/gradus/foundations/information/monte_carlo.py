"""Entropy and divergences of any densities that can be sampled, each with its standard error (§3.13, §17.1)."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from gradus.core.errors import SettingError
from gradus.core.randomness import isolated
from gradus.foundations.information.tables import check_weight

__all__ = ["Density", "Estimate", "sampled_cross_entropy", "sampled_entropy", "sampled_js", "sampled_kl"]


class Density(Protocol):
    """What is asked of a distribution; ``torch.distributions`` objects have it, mixtures included."""

    def sample(self, sample_shape: torch.Size) -> Tensor:
        """Return draws of shape (*sample_shape, *batch, *event)."""
        ...

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, or log probability, of each."""
        ...


class Estimate(NamedTuple):
    """A mean over samples.

    Attributes
    ----------
    estimate : Tensor of shape (...)
        In nats, of batch shape.
    standard_error : Tensor of shape (...)
        Of the estimate: how far it strays from sample to sample. It is itself a guess from the samples, and too small
        where rare samples that were not met count for much.
    """

    estimate: Float[Tensor, " *batch"]
    standard_error: Float[Tensor, " *batch"]


def _draws(p: Density, n_samples: int, generator: torch.Generator) -> Tensor:
    """Draw as the generator says: distributions of torch draw from its global generators, which are put back."""
    if isinstance(n_samples, bool) or not isinstance(n_samples, int) or n_samples < 2:
        raise SettingError("n_samples, an integer of 2 or more", repr(n_samples), "set for example n_samples=10_000")
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with isolated(seed, generator.device), torch.no_grad():
        return p.sample(torch.Size([n_samples]))


def _mean(values: Tensor) -> Estimate:
    """Return the mean over the first axis; where it is infinite, its error is not known."""
    wide = values.double()
    error = (wide.var(0) / len(values)).sqrt()
    return Estimate(wide.mean(0).to(values.dtype), error.to(values.dtype))


def sampled_entropy(p: Density, n_samples: int = 10_000, *, generator: torch.Generator) -> Estimate:
    r"""Estimate :math:`H(p) = -E_p[\log p(x)]` by the mean over draws from p.

    Parameters
    ----------
    p : Density
        Such as a mixture, whose entropy has no closed form.
    n_samples : int
        Draws, 2 or more.
    generator : Generator
        Source of the draws, on the device of p.

    Returns
    -------
    Estimate
        Unbiased; nats.

    Examples
    --------
    >>> from torch.distributions import Categorical, MixtureSameFamily, Normal
    >>> from gradus.foundations.information import entropy
    >>> p = MixtureSameFamily(Categorical(torch.ones(2)), Normal(torch.tensor([-9.0, 9.0]), 1.0))
    >>> found = sampled_entropy(p, generator=torch.Generator().manual_seed(0))  # that of one, and log 2
    >>> abs(found.estimate - entropy(Normal(torch.tensor(0.0), 1.0)) - math.log(2)) < 4 * found.standard_error
    tensor(True)

    References
    ----------
    Goodfellow et al. 2016, §3.13, eq. 3.49, and §17.1.2, eq. 17.2.
    """
    return sampled_cross_entropy(p, p, n_samples, generator=generator)


def sampled_cross_entropy(p: Density, q: Density, n_samples: int = 10_000, *, generator: torch.Generator) -> Estimate:
    r"""Estimate :math:`H(p, q) = -E_p[\log q(x)]` by the mean over draws from p.

    Parameters
    ----------
    p : Density
        Drawn from; its ``log_prob`` is not asked.
    q : Density
        Its log density is asked where p draws.
    n_samples, generator
        As in `sampled_entropy`.

    Returns
    -------
    Estimate
        Unbiased; nats.

    Examples
    --------
    >>> from torch.distributions import Normal
    >>> from gradus.foundations.information import cross_entropy
    >>> p, q = Normal(torch.tensor(0.0), 1.0), Normal(torch.tensor(1.0), 1.0)
    >>> found = sampled_cross_entropy(p, q, generator=torch.Generator().manual_seed(0))
    >>> abs(found.estimate - cross_entropy(p, q)) < 4 * found.standard_error
    tensor(True)

    References
    ----------
    Goodfellow et al. 2016, §3.13, eq. 3.51.
    """
    draws = _draws(p, n_samples, generator)
    with torch.no_grad():
        return _mean(-q.log_prob(draws))


def sampled_kl(p: Density, q: Density, n_samples: int = 10_000, *, generator: torch.Generator) -> Estimate:
    r"""Estimate :math:`D(p \| q) = E_p[\log p(x) - \log q(x)]` by the mean over draws from p.

    Parameters
    ----------
    p, q : Density
        Over the same space; batches broadcast.
    n_samples, generator
        As in `sampled_entropy`.

    Returns
    -------
    Estimate
        Unbiased, and below zero now and then where p and q are near; infinite where p drew what q cannot; nats.

    Examples
    --------
    >>> from torch.distributions import Categorical, MixtureSameFamily, Normal
    >>> p = MixtureSameFamily(Categorical(torch.ones(2)), Normal(torch.tensor([-2.0, 2.0]), 1.0))
    >>> q = Normal(torch.tensor(0.0), 5.0**0.5)  # the Gaussian of the same mean and variance
    >>> found = sampled_kl(p, q, generator=torch.Generator().manual_seed(0))
    >>> round(found.estimate.item(), 2)
    0.17

    References
    ----------
    Goodfellow et al. 2016, §3.13, eq. 3.50; Hershey & Olsen 2007, Approximating the Kullback Leibler Divergence between
    Gaussian Mixture Models, §2.
    """
    draws = _draws(p, n_samples, generator)
    with torch.no_grad():
        return _mean(p.log_prob(draws) - q.log_prob(draws))


def sampled_js(
    p: Density, q: Density, n_samples: int = 10_000, *, weight: float = 0.5, generator: torch.Generator
) -> Estimate:
    r"""Estimate the Jensen-Shannon divergence :math:`w D(p \| m) + (1 - w) D(q \| m)`, :math:`m = w p + (1 - w) q`.

    Parameters
    ----------
    p, q : Density
        Over the same space; batches broadcast.
    n_samples : int
        Draws from each, 2 or more.
    weight : float
        Share of p in the mixture, inside (0, 1).
    generator : Generator
        Source of the draws.

    Returns
    -------
    Estimate
        Unbiased; nats.

    Raises
    ------
    SettingError
        If the weight is out of range.

    Examples
    --------
    >>> from torch.distributions import Normal
    >>> p, q = Normal(torch.tensor(0.0), 1.0), Normal(torch.tensor(50.0), 1.0)
    >>> sampled_js(p, q, generator=torch.Generator().manual_seed(0)).estimate  # log 2: apart
    tensor(0.6931)

    References
    ----------
    Lin 1991, Divergence Measures Based on the Shannon Entropy, eq. 4.1.
    """
    check_weight(weight)
    parts = []
    for one, share in ((p, weight), (q, 1 - weight)):
        draws = _draws(one, n_samples, generator)
        with torch.no_grad():
            logs = p.log_prob(draws), q.log_prob(draws)
            mixed = torch.logaddexp(logs[0] + math.log(weight), logs[1] + math.log(1 - weight))
            parts.append((share, _mean(logs[0 if one is p else 1] - mixed)))
    estimate = torch.stack([share * part.estimate for share, part in parts]).sum(0)
    return Estimate(estimate, torch.hypot(*(share * part.standard_error for share, part in parts)))
