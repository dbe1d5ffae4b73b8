"""A whole network: preparation, body, head."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from gradus.networks.heads import Head

__all__ = ["HeadedNetwork"]


class HeadedNetwork(nn.Module):
    """Preparation, body and head in a row; returns the parameters of the head's distribution.

    Parameters
    ----------
    prepare : Module or None
        Turns raw inputs into the body's (``Standardize``, ``PixelScale``); ``None`` where the body takes
        them raw.
    body : Module
        Turns inputs into features.
    head : Head
        Turns features into distribution parameters.

    Examples
    --------
    >>> import torch
    >>> from gradus.networks import MLP, CategoricalHead, Standardize
    >>> X = torch.tensor([[1.0, 200.0], [3.0, 400.0]])
    >>> network = HeadedNetwork(Standardize.from_data(X), MLP(2, (8,)), CategoricalHead(8, 3))
    >>> network.head.probabilities(network(X)).shape
    torch.Size([2, 3])
    """

    def __init__(self, prepare: nn.Module | None, body: nn.Module, head: Head) -> None:
        super().__init__()
        self.prepare, self.body, self.head = prepare, body, head

    def features(self, *inputs: Tensor) -> Float[Tensor, " batch *features"]:
        """Return what the head reads: the body's output."""
        return self.body(*inputs) if self.prepare is None else self.body(self.prepare(*inputs))

    def forward(self, *inputs: Tensor) -> Float[Tensor, " batch *parameters"]:
        """Return the parameters of the head's distribution, in the units of the targets."""
        return self.head(self.features(*inputs))
