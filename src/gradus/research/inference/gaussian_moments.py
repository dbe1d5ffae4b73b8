"""The E-step of Gaussians in blocks that stay in the cache: responsibilities, and the moments they weigh."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from gradus.research.inference.gaussians import Covariance, GaussianMixtureState

__all__ = [
    "Moments",
    "Natural",
    "Scales",
    "block_rows",
    "centered",
    "centered_logits",
    "expanded",
    "log_densities",
    "natural_parameters",
    "normalize_",
    "pair_features",
    "unpaired",
    "weigh",
]

CACHE_BYTES = 1 << 21


class Scales(NamedTuple):
    """What whitens each component: ``whiten`` (components, d, d) or (components, d), and its log-determinant."""

    whiten: Tensor
    log_volume: Tensor


class Moments(NamedTuple):
    """Expected counts, first and second moments about a reference point of each component, and the log-likelihood."""

    counts: Tensor
    first: Tensor
    second: Tensor
    reference: Tensor
    log_likelihood: Tensor


class Natural(NamedTuple):
    """A log-density as ``offset + weights @ features``: shapes (components,) and (components, features)."""

    offset: Tensor
    weights: Tensor


def block_rows(X: Tensor, numbers_a_row: int) -> int:
    """Return how many rows go with their intermediate numbers into the cache."""
    return max(64, CACHE_BYTES // (X.element_size() * max(1, numbers_a_row)))


def normalize_(logits: Tensor) -> Tensor:
    """Turn log-joints, components first, into responsibilities in place; return the log-likelihood of each column."""
    top = logits.amax(0)
    logits.sub_(top).exp_()
    total = logits.sum(0)
    logits.div_(total)
    return total.log_().add_(top)


# ---- expanded: linear in products of columns ----


def pair_features(X: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function that writes columns and all products of pairs of them, features first, into one buffer."""
    d = X.shape[1]
    held: dict[int, Tensor] = {}

    def features(rows: Tensor) -> Tensor:
        n = len(rows)
        if n not in held:
            held.clear()
            held[n] = rows.new_empty(d + d * (d + 1) // 2, n)
        out, columns = held[n], rows.T
        out[:d] = columns
        columns, place = out[:d], d
        for i in range(d):
            torch.mul(columns[i:], columns[i], out=out[place : place + d - i])
            place += d - i
        return out

    return features


def square_features(X: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function that gives columns and their squares, features first."""
    return lambda rows: torch.cat([rows.T, rows.T.square()])


def unpaired(sums: Tensor, d: int) -> Tensor:
    """Return symmetric matrices from their upper triangles, row by row."""
    i, j = torch.triu_indices(d, d, device=sums.device)
    found = sums.new_empty(*sums.shape[:-1], d, d)
    found[..., i, j] = sums
    found[..., j, i] = sums
    return found


def natural_parameters(means: Tensor, scales: Scales) -> Natural:
    r"""Return Gaussians as exponential families: weights :math:`(P\mu, -\tfrac12 P)` and log-normalizers.

    Parameters
    ----------
    means : Tensor of shape (components, features)
        Means about the point that features are about.
    scales : Scales
        Of matrices (features are those of `pair_features`) or of vectors (`square_features`).
    """
    d = means.shape[1]
    whiten = scales.whiten
    if whiten.ndim == 3:
        precision = whiten.mT @ whiten
        linear = (precision @ means[:, :, None])[:, :, 0]
        i, j = torch.triu_indices(d, d, device=means.device)
        quadratic = precision[:, i, j] * torch.where(i == j, -0.5, -1.0).to(precision)
    else:
        precision = whiten.square()
        linear, quadratic = precision * means, -0.5 * precision
    offset = scales.log_volume - 0.5 * d * math.log(2 * math.pi) - 0.5 * (linear * means).sum(1)
    return Natural(offset, torch.cat([linear, quadratic], 1))


def expanded(state: GaussianMixtureState, scales: Scales, X: Tensor, covariance: Covariance) -> Moments:
    """Return the moments about the origin by two matrix products a block."""
    k, d = state.means.shape
    natural = natural_parameters(state.means, scales)
    offset = (natural.offset + state.weights.log()).to(X.dtype)[:, None]
    weights = natural.weights.to(X.dtype)
    wide = scales.whiten.ndim == 3
    features = pair_features(X) if wide else square_features(X)
    counts = state.means.new_zeros(k)
    sums = torch.zeros_like(natural.weights)
    total = state.means.new_zeros(())
    for rows in X.split(block_rows(X, weights.shape[1] + 2 * k)):
        phi = features(rows)
        shares = torch.addmm(offset, weights, phi)
        total += normalize_(shares).sum().double()
        counts += shares.sum(1).double()
        sums += shares @ phi.T
    second = unpaired(sums[:, d:], d) if wide else sums[:, d:]
    return Moments(counts, sums[:, :d], second, torch.zeros_like(state.means), total)


# ---- centred: each component's mean subtracted first ----


def centered_logits(state: GaussianMixtureState, scales: Scales, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-joints (components, rows) and the rows about each mean (components, features, rows)."""
    d = state.means.shape[1]
    whiten = scales.whiten.to(rows.dtype)
    apart = rows.T[None] - state.means.to(rows.dtype)[:, :, None]
    white = whiten @ apart if whiten.ndim == 3 else whiten[:, :, None] * apart
    offset = state.weights.log() + scales.log_volume - 0.5 * d * math.log(2 * math.pi)
    return white.square_().sum(1).mul_(-0.5).add_(offset.to(rows.dtype)[:, None]), apart


def centered(state: GaussianMixtureState, scales: Scales, X: Tensor, covariance: Covariance) -> Moments:
    """Return the moments about each component's old mean."""
    k, d = state.means.shape
    wide = scales.whiten.ndim == 3
    counts, first = state.means.new_zeros(k), torch.zeros_like(state.means)
    second = state.means.new_zeros((k, d, d) if wide else (k, d))
    total = state.means.new_zeros(())
    for rows in X.split(block_rows(X, 3 * k * d)):
        shares, apart = centered_logits(state, scales, rows)
        total += normalize_(shares).sum().double()
        counts += shares.sum(1).double()
        weighted = apart * shares[:, None]
        first += weighted.sum(2).double()
        second += weighted @ apart.mT if wide else (weighted * apart).sum(2)
    return Moments(counts, first, second, state.means, total)


# ---- in two halves, where responsibilities come from elsewhere ----


def log_densities(state: GaussianMixtureState, scales: Scales, X: Tensor, *, expand: bool) -> Tensor:
    """Return log-joints of shape (components, rows)."""
    k, d = state.means.shape
    out = X.new_empty(k, len(X))
    if not expand:
        for place, rows in _blocks(X, 2 * k * d):
            out[:, place] = centered_logits(state, scales, rows)[0]
        return out
    natural = natural_parameters(state.means, scales)
    offset = (natural.offset + state.weights.log()).to(X.dtype)[:, None]
    weights = natural.weights.to(X.dtype)
    features = pair_features(X) if scales.whiten.ndim == 3 else square_features(X)
    for place, rows in _blocks(X, weights.shape[1] + k):
        torch.addmm(offset, weights, features(rows), out=out[:, place])
    return out


def weigh(state: GaussianMixtureState, scales: Scales, X: Tensor, shares: Tensor, *, expand: bool) -> Moments:
    """Return the moments of rows under given responsibilities of shape (components, rows)."""
    k, d = state.means.shape
    wide = scales.whiten.ndim == 3
    counts = shares.sum(1).double()
    nothing = state.means.new_zeros(())
    if expand:
        features = pair_features(X) if wide else square_features(X)
        sums = state.means.new_zeros(k, d + (d * (d + 1) // 2 if wide else d))
        for place, rows in _blocks(X, sums.shape[1] + k):
            sums += shares[:, place] @ features(rows).T
        second = unpaired(sums[:, d:], d) if wide else sums[:, d:]
        return Moments(counts, sums[:, :d], second, torch.zeros_like(state.means), nothing)
    first = torch.zeros_like(state.means)
    second = state.means.new_zeros((k, d, d) if wide else (k, d))
    means = state.means.to(X.dtype)[:, :, None]
    for place, rows in _blocks(X, 2 * k * d):
        apart = rows.T[None] - means
        weighted = apart * shares[:, None, place]
        first += weighted.sum(2).double()
        second += weighted @ apart.mT if wide else (weighted * apart).sum(2)
    return Moments(counts, first, second, state.means, nothing)


def _blocks(X: Tensor, numbers_a_row: int) -> list[tuple[slice, Tensor]]:
    size = block_rows(X, numbers_a_row)
    return [(slice(start, start + size), X[start : start + size]) for start in range(0, len(X), size)]
