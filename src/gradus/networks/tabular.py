"""Tables of numbers and categories, with values missing."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from gradus.core.errors import InputError
from gradus.networks.feedforward import MLP
from gradus.networks.preparation import Standardize, moments

__all__ = ["TabularNetwork", "embedding_width"]


def embedding_width(categories: int) -> int:
    """Return the width of the embedding of a column: ``min(600, round(1.6 n^0.56))`` for ``n`` categories.

    The rule is fastai's, found by trial over many tables: 2 for 2 categories, 6 for 10, 21 for 100, 278 for
    10,000.

    Parameters
    ----------
    categories : int
        Number of known categories, 1 or more.

    Examples
    --------
    >>> [embedding_width(n) for n in (1, 2, 10, 100, 10_000)]
    [2, 2, 6, 21, 278]
    """
    return min(600, round(1.6 * categories**0.56))


class TabularNetwork(nn.Module):
    """Numbers standardized, missing ones marked, categories embedded; then a multilayer perceptron.

    A missing number (NaN) counts as its column's mean, and an indicator column says that it was missing.
    Category 0 means unknown or missing; its embedding starts at zero, the middle of the others, and stays
    there if training never meets it. Embeddings start with a variance that makes a category weigh as much as
    one number.

    Parameters
    ----------
    mean, std : Tensor of shape (numbers,)
        Of each number, over the values present; a deviation of zero counts as one.
    cardinalities : sequence of int
        Known categories of each categorical column: its indices run from 0 (unknown) to this number.
    indicators : Tensor of shape (numbers,), bool, optional
        Which numbers get an indicator of missing values; by default all.
    **mlp : Any
        Passed to :class:`MLP`: ``hidden``, ``activation``, ``dropout`` and so on.

    Attributes
    ----------
    out_features : int
        Width of the features returned.

    Raises
    ------
    InputError
        If a column has no category, or inputs come in another width.

    Examples
    --------
    >>> numbers = torch.tensor([[1.0, 10.0], [3.0, float("nan")]])
    >>> network = TabularNetwork.from_data(numbers, cardinalities=[4], hidden=(16,))
    >>> network.mlp.in_features  # two numbers, one of them with an indicator, an embedding of width 3
    6
    >>> network(numbers, torch.tensor([[1], [0]])).shape
    torch.Size([2, 16])

    References
    ----------
    Goodfellow et al. 2016, §12.4.2 (embeddings); Guo & Berkhahn 2016, Entity Embeddings of Categorical
    Variables.
    """

    indicated: Tensor

    def __init__(
        self,
        mean: Float[Tensor, " numbers"],
        std: Float[Tensor, " numbers"],
        cardinalities: Sequence[int] = (),
        *,
        indicators: Shaped[Tensor, " numbers"] | None = None,
        **mlp: Any,
    ) -> None:
        super().__init__()
        if any(n < 1 for n in cardinalities):
            raise InputError("1 category or more in each column", str(list(cardinalities)), "drop empty columns")
        if len(mean) + len(cardinalities) == 0:
            raise InputError("one column or more", "none", "pass numbers or categories")
        self.standardize = Standardize(mean, std)
        shown = torch.ones(len(mean), dtype=torch.bool) if indicators is None else indicators.bool()
        self.register_buffer("indicated", shown.nonzero().squeeze(1))
        self.embeddings = nn.ModuleList()
        for n in cardinalities:
            embedding = nn.Embedding(n + 1, embedding_width(n))
            with torch.no_grad():
                embedding.weight.normal_(std=1 / sqrt(embedding.embedding_dim))[0] = 0.0
            self.embeddings.append(embedding)
        width = len(mean) + len(self.indicated) + sum(embedding_width(n) for n in cardinalities)
        self.mlp = MLP(width, **mlp)
        self.out_features = self.mlp.out_features

    @classmethod
    def from_data(
        cls,
        numbers: Shaped[Tensor | np.ndarray, "rows numbers"],
        cardinalities: Sequence[int] = (),
        weights: Tensor | np.ndarray | None = None,
        **mlp: Any,
    ) -> TabularNetwork:
        """Return the network for a table: moments over the values present, indicators where any is missing.

        Parameters
        ----------
        numbers : Tensor or array of shape (rows, numbers)
            The training rows; NaN marks a missing value.
        cardinalities : sequence of int
            Known categories of each categorical column.
        weights : Tensor or array of shape (rows,), optional
            Weight of each row, 0 or more.
        **mlp : Any
            Passed to :class:`MLP`.
        """
        mean, std, _ = moments(numbers, weights)
        missing = torch.as_tensor(numbers).isnan().any(0).cpu()
        return cls(mean, std, cardinalities, indicators=missing, **mlp)

    def forward(
        self,
        numbers: Float[Tensor, "batch numbers"],
        categories: Int[Tensor, "batch columns"] | None = None,
    ) -> Float[Tensor, "batch features"]:
        """Return the features of each row.

        Parameters
        ----------
        numbers : Tensor of shape (batch, numbers)
            NaN marks a missing value. Of width zero where the table has no numbers.
        categories : Tensor of shape (batch, columns), int
            Index of each category, 0 for unknown or missing; ``None`` where the table has none.
        """
        width = 0 if categories is None else categories.shape[1]
        if width != len(self.embeddings):
            mend = "pass the columns the network was made for"
            raise InputError(f"{len(self.embeddings)} categorical columns", str(width), mend)
        # The mean becomes zero, so that is what a missing value becomes.
        parts = [torch.nan_to_num(self.standardize(numbers), nan=0.0)]
        if len(self.indicated):
            parts.append(numbers.index_select(1, self.indicated).isnan().to(parts[0].dtype))
        if categories is not None:
            parts.extend(
                embedding(column) for embedding, column in zip(self.embeddings, categories.unbind(1), strict=True)
            )
        return self.mlp(torch.cat(parts, 1) if len(parts) > 1 else parts[0])
