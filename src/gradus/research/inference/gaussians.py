"""Mixtures of Gaussians: parameters, exact log-densities, and EM as `init` and `step` (§3.9.6, §19.2).

The E-step has two forms with the same answers. In the *expanded* one a log-density is linear in the features
:math:`(x, x_i x_j)`, so that one matrix product gives all components, and a second one all their moments: fast, but
digits cancel when a component is far narrower than the data are wide. The *centred* one subtracts each mean first.
A step takes the expanded form where a bound on its rounding error allows it.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gradus.core.errors import InputError
from gradus.research.inference.em import EMInfo
from gradus.research.inference.gaussian_moments import Moments, Scales, centered, expanded

__all__ = [
    "Covariance",
    "GaussianMixtureState",
    "exact_enough",
    "gaussian_log_joint",
    "gaussian_mixture_init",
    "gaussian_mixture_step",
    "gaussian_scales",
    "maximize_gaussians",
    "sample_gaussians",
]

Covariance = Literal["full", "tied", "diag", "spherical"]

# Estimated error of a typical log-density in nats up to which the expanded form is taken.
ERROR = {torch.float64: 1e-7, torch.float32: 2e-3}
MOST_PRODUCTS = 64  # columns up to which all products of pairs fit the cache
FEWEST = 1e-8  # expected rows below which a component keeps its parameters


class GaussianMixtureState(NamedTuple):
    r"""Parameters of :math:`p(x) = \sum_k \pi_k \mathcal{N}(x; \mu_k, \Sigma_k)`, float64.

    Attributes
    ----------
    weights : Tensor of shape (components,)
        :math:`\pi`, the prior of each component; they sum to one.
    means : Tensor of shape (components, features)
        :math:`\mu`.
    covariances : Tensor
        :math:`\Sigma`: (components, features, features) if full, (features, features) if tied, (components,
        features) if diag, (components,) if spherical.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor


def gaussian_scales(state: GaussianMixtureState, covariance: Covariance) -> Scales:
    r"""Return whitening matrices, :math:`W_k^\top W_k = \Sigma_k^{-1}`, and their log-determinants.

    Raises
    ------
    InputError
        If a covariance is singular: a component has shrunk onto rows that lie in a plane.
    """
    k, d = state.means.shape
    found = state.covariances
    if covariance in ("diag", "spherical"):
        if not bool((found > 0).all()):
            _collapsed(int((found.reshape(k, -1) <= 0).any(1).nonzero()[0]))
        whiten = found.rsqrt() if covariance == "diag" else found.rsqrt()[:, None].expand(k, d)
        return Scales(whiten, whiten.log().sum(1))
    lower, failed = torch.linalg.cholesky_ex(found if found.ndim == 3 else found[None])
    if bool(failed.any()):
        _collapsed(int(failed.nonzero()[0]))
    eye = torch.eye(d, dtype=lower.dtype, device=lower.device).expand_as(lower)
    whiten = torch.linalg.solve_triangular(lower, eye, upper=False)
    log_volume = -lower.diagonal(dim1=1, dim2=2).log().sum(1)
    return Scales(whiten.expand(k, d, d), log_volume.expand(k))


def _collapsed(component: int) -> None:
    mend = "raise floor, ask for fewer components, or take covariance='diag' or 'tied'"
    raise InputError("covariances that can be inverted", f"a singular one of component {component}", mend)


def gaussian_log_joint(
    state: GaussianMixtureState, X: Float[Tensor, "rows features"], covariance: Covariance
) -> Float[Tensor, "rows components"]:
    r"""Return :math:`\log \pi_k + \log \mathcal{N}(x_n; \mu_k, \Sigma_k)`, in nats, in the precision of ``X``.

    Parameters
    ----------
    state : GaussianMixtureState
        The mixture.
    X : Tensor of shape (rows, features)
        Rows.
    covariance : {"full", "tied", "diag", "spherical"}
        How the state's covariances are stored.

    Examples
    --------
    >>> state = GaussianMixtureState(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
    >>> joint = gaussian_log_joint(state, torch.zeros(1, 2), "spherical")
    >>> round(joint.item(), 4) == round(-math.log(2 * math.pi), 4)
    True
    """
    from gradus.research.inference.gaussian_moments import block_rows, centered_logits

    scales = gaussian_scales(state, covariance)
    k, d = state.means.shape
    size = block_rows(X, (2 * d + 1) * k)
    parts = [centered_logits(state, scales, rows)[0].T for rows in X.split(size)]
    return torch.cat(parts) if parts else X.new_empty(0, k)


def gaussian_mixture_init(
    X: Float[Tensor, "rows features"],
    responsibilities: Float[Tensor, "rows components"],
    covariance: Covariance = "full",
    floor: float | Tensor = 0.0,
) -> GaussianMixtureState:
    """Return the M-step's answer to given responsibilities, such as the clusters of k-means.

    Parameters
    ----------
    X : Tensor of shape (rows, features)
        Rows.
    responsibilities : Tensor of shape (rows, components)
        Shares of each row, summing to one over components; each component needs some.
    covariance : {"full", "tied", "diag", "spherical"}
        Form of the covariances.
    floor : float or Tensor of shape (features,)
        Added to each variance, in squared units.

    Examples
    --------
    >>> X = torch.tensor([[0.0], [2.0], [7.0], [9.0]])
    >>> R = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    >>> gaussian_mixture_init(X, R, "diag").means.flatten().tolist()
    [1.0, 8.0]
    """
    k, d = responsibilities.shape[1], X.shape[1]
    counts = responsibilities.double().sum(0)
    first = (responsibilities.to(X.dtype).T @ X).double()
    means = first / counts.clamp(min=FEWEST)[:, None]
    wide = covariance in ("full", "tied")
    second = torch.zeros((k, d, d) if wide else (k, d), dtype=torch.float64, device=X.device)
    for j in range(k):  # once, about the component's own mean: nothing cancels
        held = responsibilities[:, j] > 0
        rest = X[held].double() - means[j]
        weighted = rest * responsibilities[held, j, None].double()
        second[j] = weighted.T @ rest if wide else (weighted * rest).sum(0)
    total = (X.double() - X.double().mean(0)).square().mean(0)
    spread = total.diag() if wide else total
    weights = counts / counts.sum()
    # a component without rows begins as wide as all of them
    old = _floored(_formed(spread.expand_as(second), weights, covariance), covariance, floor, d)
    moments = Moments(counts, torch.zeros_like(means), second, means, torch.zeros(()))
    return maximize_gaussians(moments, GaussianMixtureState(weights, means, old), covariance, floor)


def gaussian_mixture_step(
    state: GaussianMixtureState,
    X: Float[Tensor, "rows features"],
    covariance: Covariance = "full",
    floor: float | Tensor = 0.0,
    *,
    form: Literal["auto", "expanded", "centered"] = "auto",
) -> tuple[GaussianMixtureState, EMInfo]:
    r"""One step of EM.

    .. math::
        r_{nk} \propto \pi_k \mathcal{N}(x_n; \mu_k, \Sigma_k), \quad
        \mu_k = \frac{\sum_n r_{nk} x_n}{\sum_n r_{nk}}, \quad
        \Sigma_k = \frac{\sum_n r_{nk} (x_n - \mu_k)(x_n - \mu_k)^\top}{\sum_n r_{nk}} + \operatorname{diag}(f)

    With the floor *f* at 0 the likelihood never falls.

    Parameters
    ----------
    state : GaussianMixtureState
        Old parameters.
    X : Tensor of shape (rows, features)
        Rows, in the precision to compute in: float64 or float32. Centred columns, and those contiguous
        (``X.T.contiguous().T``), are fastest.
    covariance : {"full", "tied", "diag", "spherical"}
        Form of the covariances.
    floor : float or Tensor of shape (features,)
        *f*, added to each variance, in squared units.
    form : {"auto", "expanded", "centered"}
        How the E-step is computed.

    Returns
    -------
    GaussianMixtureState
        New parameters.
    EMInfo
        Log-likelihood of the old ones.

    Raises
    ------
    InputError
        If a covariance has become singular.

    Examples
    --------
    >>> X = torch.tensor([[0.0], [2.0], [7.0], [9.0]], dtype=torch.float64)
    >>> R = torch.eye(2, dtype=torch.float64).repeat_interleave(2, 0)
    >>> state = gaussian_mixture_init(X, R, "spherical")
    >>> state, info = gaussian_mixture_step(state, X, "spherical")
    >>> state.means.round().flatten().tolist()
    [1.0, 8.0]

    References
    ----------
    Goodfellow et al. 2016, §3.9.6, §19.2; Dempster, Laird & Rubin 1977.
    """
    scales = gaussian_scales(state, covariance)
    if form == "expanded" or (form == "auto" and exact_enough(state, scales, X)):
        moments = expanded(state, scales, X, covariance)
    else:
        moments = centered(state, scales, X, covariance)
    return maximize_gaussians(moments, state, covariance, floor), EMInfo(moments.log_likelihood, moments.counts)


def maximize_gaussians(
    moments: Moments, old: GaussianMixtureState, covariance: Covariance, floor: float | Tensor
) -> GaussianMixtureState:
    """Return the parameters that the expected moments ask for; a component that no row asks for stays as it was."""
    counts, first, second, reference, _ = moments
    held = counts > FEWEST
    share = counts.clamp(min=FEWEST)
    shift = first / share[:, None]
    means = torch.where(held[:, None], reference + shift, old.means)
    weights = counts / counts.sum()
    if second.ndim == 3:
        spread = second / share[:, None, None] - shift[:, :, None] * shift[:, None, :]
    else:
        spread = second / share[:, None] - shift.square()
    found = _formed(spread, torch.where(held, weights, 0.0), covariance)
    found = _floored(found, covariance, floor, means.shape[1])
    if covariance != "tied":
        found = torch.where(held.reshape(-1, *[1] * (found.ndim - 1)), found, old.covariances)
    return GaussianMixtureState(weights, means, found)


def _formed(spread: Tensor, weights: Tensor, covariance: Covariance) -> Tensor:
    if covariance == "tied":
        return (spread * weights[:, None, None]).sum(0) / weights.sum()
    return spread.mean(1) if covariance == "spherical" else spread


def _floored(found: Tensor, covariance: Covariance, floor: float | Tensor, columns: int) -> Tensor:
    """Return covariances with the floor added to each variance."""
    added = torch.as_tensor(floor, dtype=torch.float64, device=found.device)
    if covariance in ("full", "tied"):
        return found + torch.diag_embed(added.expand(columns))
    return found.clamp(min=0) + (added if covariance == "diag" else added.mean())


def exact_enough(state: GaussianMixtureState, scales: Scales, X: Tensor) -> bool:
    """Estimate the rounding error of the expanded form: the sum of absolute terms at a typical distance."""
    if scales.whiten.ndim == 3 and X.shape[1] > MOST_PRODUCTS:
        return False
    reach = torch.linalg.vector_norm(X, dim=0).double() / math.sqrt(len(X)) + state.means.abs()
    if scales.whiten.ndim == 3:
        precision = (scales.whiten.mT @ scales.whiten).abs()
        terms = ((precision @ reach[:, :, None])[:, :, 0] * reach).sum(1)
    else:
        terms = (scales.whiten * reach).square().sum(1)
    return float(terms.max()) * torch.finfo(X.dtype).eps < ERROR.get(X.dtype, 0.0)


def sample_gaussians(
    state: GaussianMixtureState, component: Int[Tensor, " n"], covariance: Covariance, generator: torch.Generator
) -> Float[Tensor, "n features"]:
    """Draw one row of each of the given components, float64.

    Examples
    --------
    >>> state = GaussianMixtureState(torch.ones(2) / 2, torch.tensor([[0.0], [9.0]]), torch.zeros(2))
    >>> sample_gaussians(state, torch.tensor([1, 0]), "spherical", torch.Generator().manual_seed(0)).flatten().tolist()
    [9.0, 0.0]
    """
    d = state.means.shape[1]
    noise = torch.randn(len(component), d, generator=generator, dtype=torch.float64)
    if covariance in ("full", "tied"):
        lower = torch.linalg.cholesky(state.covariances)
        if covariance == "tied":
            noise = noise @ lower.T
        else:
            for k in component.unique().tolist():
                drawn = component == k
                noise[drawn] = noise[drawn] @ lower[k].T
    else:
        deviation = state.covariances.sqrt()
        noise = noise * (deviation if covariance == "diag" else deviation[:, None])[component]
    return state.means[component] + noise
