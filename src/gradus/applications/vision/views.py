"""Test-time augmentation: one answer from several views of each image (§12.2.1.2)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from gradus.networks.checks import names_in
from gradus.training.augmentation import move

__all__ = ["VIEWS", "AveragedViews"]

VIEWS = ("flip", "shift")
# A shift of a pixel on small images; the same share of larger ones.
SHIFT_SHARE = 1 / 32


class AveragedViews(nn.Module):
    """Average the parameters that a network gives for views of each image: logits, for classes.

    The mean of logits is the normalized geometric mean of the views' probabilities.

    Parameters
    ----------
    network : Module
        Takes stored images, of shape (n, height, width, channels).
    views : str
        ``"flip"``: the image and its mirror image. ``"shift"``: the image, and moved by a 32nd of its height and
        width (a pixel or more) up, down, left and right. Joined by a comma: ten views.

    Examples
    --------
    >>> network = nn.Sequential(nn.Flatten())
    >>> AveragedViews(network, "flip")(torch.tensor([1.0, 2.0, 6.0]).reshape(1, 1, 3, 1)).tolist()
    [[3.5, 2.0, 3.5]]
    """

    def __init__(self, network: nn.Module, views: str) -> None:
        super().__init__()
        self.network, self.views = network, names_in(views, VIEWS, "test_augment")

    @property
    def head(self) -> Any:
        """The network's head."""
        return self.network.head

    def forward(self, images: Shaped[Tensor, "n height width channels"]) -> Float[Tensor, " n *parameters"]:
        """Return the mean over the views of what the network returns."""
        views = [images]
        if "shift" in self.views:
            down, right = (max(1, round(size * SHIFT_SHARE)) for size in images.shape[1:3])
            for rows, columns in ((-down, 0), (down, 0), (0, -right), (0, right)):
                below, beside = (torch.full((len(images),), by, device=images.device) for by in (rows, columns))
                views.append(move(images, below, beside, padding="border"))
        if "flip" in self.views:
            views += [view.flip(2) for view in views]
        total = self.network(views[0])
        for view in views[1:]:
            total = total + self.network(view)
        return total / len(views)
