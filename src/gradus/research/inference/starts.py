"""Where EM begins: spread-out centres, and a few rounds of k-means."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gradus.core.errors import InputError

__all__ = ["KMeansInfo", "KMeansState", "kmeans", "kmeans_init", "kmeans_step"]

BLOCK_BYTES = 1 << 22
ROWS_A_CENTRE = 50  # centres are sought among that many rows each: more change little
FEWEST_ROWS = 5000


class KMeansState(NamedTuple):
    """Centres of shape (clusters, features)."""

    centers: Tensor


class KMeansInfo(NamedTuple):
    """Cluster of each row under the old centres, shape (rows,), and the sum of squared distances to them."""

    labels: Tensor
    inertia: Tensor


def kmeans_init(X: Float[Tensor, "rows features"], clusters: int, generator: torch.Generator) -> KMeansState:
    r"""Draw centres among the rows, each with probability proportional to its squared distance from those drawn.

    :math:`P(x_n) \propto \min_{j} \lVert x_n - c_j \rVert^2`; of a few candidates the one that leaves the least sum
    is taken.

    Parameters
    ----------
    X : Tensor of shape (rows, features)
        Rows, on scales that may be compared.
    clusters : int
        1 or more, at most the number of rows.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    KMeansState
        Centres; rows drawn twice where fewer than ``clusters`` differ.

    Examples
    --------
    >>> X = torch.tensor([[0.0], [0.0], [9.0], [9.0]])
    >>> kmeans_init(X, 2, torch.Generator().manual_seed(0)).centers.flatten().sort().values.tolist()
    [0.0, 9.0]

    References
    ----------
    Arthur & Vassilvitskii 2007, k-means++: the advantages of careful seeding.
    """
    n = len(X)
    if not 1 <= clusters <= n:
        raise InputError(f"1 to {n} clusters, as there are {n} rows", str(clusters), "pass more rows or ask for fewer")
    squares = X.square().sum(1)
    trials = 2 + int(torch.tensor(float(clusters)).log())
    first = int(torch.randint(n, (1,), generator=generator))
    chosen, nearest = [first], _distances(X, squares, X[first : first + 1])[:, 0]
    for _ in range(clusters - 1):
        reach = nearest.double().cumsum(0)
        aims = torch.rand(trials, generator=generator, dtype=torch.float64).to(X.device) * reach[-1]
        found = torch.searchsorted(reach, aims, right=True).clamp_(max=n - 1)
        left = torch.minimum(_distances(X, squares, X[found]), nearest[:, None])
        best = int(left.sum(0).argmin())
        chosen.append(int(found[best]))
        nearest = left[:, best]
    return KMeansState(X[chosen].clone())


def kmeans_step(state: KMeansState, X: Float[Tensor, "rows features"]) -> tuple[KMeansState, KMeansInfo]:
    """Assign every row to its nearest centre and move the centres to their rows' means; one without rows stays.

    Examples
    --------
    >>> state, info = kmeans_step(KMeansState(torch.tensor([[0.0], [5.0]])), torch.tensor([[1.0], [2.0], [6.0]]))
    >>> state.centers.flatten().tolist(), float(info.inertia)
    ([1.5, 6.0], 6.0)
    """
    k = len(state.centers)
    labels = torch.empty(len(X), dtype=torch.long, device=X.device)
    sums = torch.zeros_like(state.centers, dtype=torch.float64)
    inertia = torch.zeros((), dtype=torch.float64, device=X.device)
    size = max(64, BLOCK_BYTES // (X.element_size() * (k + X.shape[1])))
    for start in range(0, len(X), size):
        rows = X[start : start + size]
        least, label = _distances(rows, rows.square().sum(1), state.centers).min(1)
        labels[start : start + size] = label
        inertia += least.double().sum()
        sums.index_add_(0, label, rows.double())
    counts = torch.bincount(labels, minlength=k).double()[:, None]
    centers = torch.where(counts > 0, sums / counts.clamp(min=1), state.centers.double()).to(X.dtype)
    return KMeansState(centers), KMeansInfo(labels, inertia)


def kmeans(
    X: Float[Tensor, "rows features"], clusters: int, generator: torch.Generator, *, rounds: int = 10
) -> tuple[Float[Tensor, "clusters features"], Int[Tensor, " rows"]]:
    """Return centres after a few rounds of k-means, and the cluster of each row.

    Centres are drawn, and all but the last round done, on a part of many rows.

    Examples
    --------
    >>> centers, labels = kmeans(torch.tensor([[0.0], [1.0], [9.0]]), 2, torch.Generator().manual_seed(0))
    >>> labels.bincount().sort().values.tolist()
    [1, 2]
    """
    most = max(FEWEST_ROWS, ROWS_A_CENTRE * clusters)
    part = X[torch.randperm(len(X), generator=generator)[:most].to(X.device)] if len(X) > most else X
    state = kmeans_init(part, clusters, generator)
    before = None
    for _ in range(rounds):
        state, info = kmeans_step(state, part)
        if before is not None and bool(info.inertia >= before):
            break
        before = info.inertia
    _, info = kmeans_step(state, X)
    return state.centers, info.labels


def _distances(rows: Tensor, squares: Tensor, centers: Tensor) -> Tensor:
    found = torch.addmm(centers.square().sum(1), rows, centers.T, alpha=-2).add_(squares[:, None])
    return found.clamp_(min=0)
