"""Soft attention over the outputs of an encoder: additive and scaled dot product (§12.4.5.1)."""

from __future__ import annotations

from math import sqrt

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

__all__ = ["AdditiveAttention", "DotAttention"]


def _attend(
    energies: Float[Tensor, "batch steps places"],
    values: Float[Tensor, "batch places features"],
    valid: Bool[Tensor, "batch places"] | None,
) -> tuple[Float[Tensor, "batch steps features"], Float[Tensor, "batch steps places"]]:
    """Average values with softmax weights, exactly zero where a place is not valid."""
    if valid is not None:
        energies = energies.masked_fill(~valid[:, None], -torch.inf)
    weights = energies.softmax(2)
    return weights @ values, weights


class AdditiveAttention(nn.Module):
    r"""Attention scored by a small network: :math:`e_{ij} = v^\top \tanh(W q_i + U k_j)`.

    .. math:: a_{ij} = \frac{\exp e_{ij}}{\sum_l \exp e_{il}}, \qquad c_i = \sum_j a_{ij} m_j

    Parameters
    ----------
    query_features : int
        Width of the queries ``q``.
    memory_features : int
        Width of the memory ``m`` that is attended to.
    width : int
        Hidden units of the scoring network.

    Examples
    --------
    >>> attention = AdditiveAttention(4, 6, 8)
    >>> memory = torch.randn(2, 5, 6)
    >>> valid = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    >>> context, weights = attention(torch.randn(2, 1, 4), attention.keys(memory), memory, valid)
    >>> context.shape, weights[1, 0, 3:].tolist()
    (torch.Size([2, 1, 6]), [0.0, 0.0])

    References
    ----------
    Goodfellow et al. 2016, §12.4.5.1, figure 12.6; Bahdanau et al. 2015, §3.1 and A.1.2.
    """

    def __init__(self, query_features: int, memory_features: int, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_features, width, bias=False)
        self.key = nn.Linear(memory_features, width)
        self.score = nn.Linear(width, 1, bias=False)

    def keys(self, memory: Float[Tensor, "batch places features"]) -> Float[Tensor, "batch places width"]:
        """Return the part of the score that depends on the memory alone, computed once a sequence."""
        return self.key(memory)

    def forward(
        self,
        queries: Float[Tensor, "batch steps features"],
        keys: Float[Tensor, "batch places width"],
        memory: Float[Tensor, "batch places values"],
        valid: Bool[Tensor, "batch places"] | None = None,
    ) -> tuple[Float[Tensor, "batch steps values"], Float[Tensor, "batch steps places"]]:
        """Return the context of each query and its weights over the memory; at least one place must be valid."""
        energies = self.score(torch.tanh(self.query(queries)[:, :, None] + keys[:, None])).squeeze(3)
        return _attend(energies, memory, valid)


class DotAttention(nn.Module):
    r"""Attention scored by a bilinear form: :math:`e_{ij} = (W q_i)^\top (U k_j) / \sqrt{d}`.

    The scale keeps the variance of the scores at one whatever the width d, so that the softmax starts out soft.

    Parameters
    ----------
    query_features : int
        Width of the queries.
    memory_features : int
        Width of the memory that is attended to.
    width : int
        Width d of the space in which the two meet.

    Examples
    --------
    >>> attention = DotAttention(4, 6, 8)
    >>> memory = torch.randn(2, 5, 6)
    >>> context, weights = attention(torch.randn(2, 3, 4), attention.keys(memory), memory)
    >>> context.shape, bool(torch.allclose(weights.sum(2), torch.ones(2, 3)))
    (torch.Size([2, 3, 6]), True)

    References
    ----------
    Goodfellow et al. 2016, §12.4.5.1; Luong et al. 2015, eq. 8 ("general"); Vaswani et al. 2017, eq. 1 (scale).
    """

    def __init__(self, query_features: int, memory_features: int, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_features, width, bias=False)
        self.key = nn.Linear(memory_features, width, bias=False)
        self.scale = 1 / sqrt(width)

    def keys(self, memory: Float[Tensor, "batch places features"]) -> Float[Tensor, "batch places width"]:
        """Return the keys of the memory, computed once a sequence."""
        return self.key(memory)

    def forward(
        self,
        queries: Float[Tensor, "batch steps features"],
        keys: Float[Tensor, "batch places width"],
        memory: Float[Tensor, "batch places values"],
        valid: Bool[Tensor, "batch places"] | None = None,
    ) -> tuple[Float[Tensor, "batch steps values"], Float[Tensor, "batch steps places"]]:
        """Return the context of each query and its weights over the memory; at least one place must be valid."""
        return _attend(self.scale * self.query(queries) @ keys.transpose(1, 2), memory, valid)
