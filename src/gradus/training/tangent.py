"""Tangent prop (§7.14): answers that do not change along directions in which the class does not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError, nearest
from gradus.data.batches import Batch
from gradus.foundations.numerical.products import jacobian_vector_product
from gradus.training.adversarial import evaluating
from gradus.training.losses import Loss, LossFunction

__all__ = ["ImageTangent", "TangentLoss", "image_tangents", "tangent_loss", "tangent_penalty"]

ImageTangent = Literal["shift_x", "shift_y", "rotation", "scale"]


def tangent_penalty(
    network: Callable[[Tensor], Tensor],
    inputs: Float[Tensor, " batch *shape"],
    tangents: Float[Tensor, " batch tangents *shape"],
) -> Float[Tensor, " batch"]:
    """Return how fast each answer changes along its tangent vectors: ``Σ_i ‖(∂f/∂x) v_i‖²``.

    The derivatives are exact, and can themselves be differentiated with respect to the weights.

    Parameters
    ----------
    network : callable
        ``inputs -> outputs`` of shape (batch, ...), each example's from its own input only.
    inputs : Tensor of shape (batch, ...)
        Floating point.
    tangents : Tensor of shape (batch, tangents, ...)
        Directions at each input.

    Raises
    ------
    InputError
        If the tangents' shape does not fit.

    Examples
    --------
    >>> weights = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    >>> along = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])  # the outputs change by 1 and 3, or not at all
    >>> tangent_penalty(lambda x: x @ weights.T, torch.zeros(1, 2), along).tolist()
    [10.0]

    References
    ----------
    Goodfellow et al. 2016, §7.14, eq. 7.67; Simard et al. 1992, Tangent Prop.
    """
    if tangents.ndim != inputs.ndim + 1 or tangents.shape[:1] + tangents.shape[2:] != inputs.shape:
        expected = f"tangents of shape ({len(inputs)}, tangents, {', '.join(map(str, inputs.shape[1:]))})"
        raise InputError(expected, str(tuple(tangents.shape)), "pass as many directions for each input")
    count = tangents.shape[1]
    repeated = inputs.repeat_interleave(count, 0)
    _, along = jacobian_vector_product(network, repeated)
    change = along(tangents.flatten(0, 1).to(inputs.dtype))
    return change.reshape(len(repeated), -1).square().sum(1).view(len(inputs), count).sum(1)


def image_tangents(
    images: Shaped[Tensor, "n height width channels"],
    kinds: Sequence[ImageTangent] = ("shift_x", "shift_y", "rotation"),
    *,
    smoothing: float = 0.9,
) -> Float[Tensor, "n kinds height width channels"]:
    """Return how each pixel changes as an image is shifted, turned or scaled about its centre.

    ``-∂I/∂x`` for a shift to the right, ``-∂I/∂y`` downwards, ``(y ∂I/∂x - x ∂I/∂y) / R`` for a clockwise turn,
    ``-(x ∂I/∂x + y ∂I/∂y) / R`` for growth, where ``R`` is half the longer side: all are changes for a move of one
    pixel, at the end of the longer axis where a move is not the same everywhere. Spatial derivatives are central
    differences of the smoothed image.

    Parameters
    ----------
    images : Tensor of shape (n, H, W, C)
        Bytes or floating point.
    kinds : sequence of {"shift_x", "shift_y", "rotation", "scale"}
        Which changes.
    smoothing : float
        Standard deviation in pixels of the Gaussian that images are smoothed by first, since edges between pixels have
        no derivative; 0 is off.

    Raises
    ------
    InputError
        If images have another shape.
    SettingError
        If a kind is unknown, or smoothing negative.

    Examples
    --------
    >>> ramp = torch.arange(5.0).expand(5, 5)[None, :, :, None]  # brighter to the right
    >>> image_tangents(ramp, ["shift_x"], smoothing=0.0)[0, 0, 2, 1:4, 0].tolist()
    [-1.0, -1.0, -1.0]

    References
    ----------
    Goodfellow et al. 2016, §7.14; Simard et al. 1998, Transformation Invariance in Pattern Recognition, §4.
    """
    if images.ndim != 4:
        mend = "reshape gray images with X.reshape(n, height, width, 1)"
        raise InputError("images of shape (n, height, width, channels)", str(tuple(images.shape)), mend)
    for kind in kinds:
        if kind not in get_args(ImageTangent):
            mend = f"{nearest(kind, get_args(ImageTangent))}choose among {', '.join(get_args(ImageTangent))}"
            raise SettingError("a kind of image tangent", repr(kind), mend)
    if not kinds or not 0 <= smoothing < math.inf:
        received = f"kinds={list(kinds)}, smoothing={smoothing}"
        raise SettingError("a kind or more and a smoothing of 0 or more", received, "leave both out")
    maps = images.permute(0, 3, 1, 2)
    maps = maps if maps.is_floating_point() else maps.float()
    maps = _smoothed(maps, smoothing) if smoothing else maps
    height, width = maps.shape[2:]
    wide = F.pad(maps, (1, 1, 1, 1), mode="replicate")
    dx = (wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2]) / 2
    dy = (wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]) / 2
    x = torch.arange(width, dtype=maps.dtype, device=maps.device) - (width - 1) / 2
    y = (torch.arange(height, dtype=maps.dtype, device=maps.device) - (height - 1) / 2)[:, None]
    reach = max(1.0, (max(height, width) - 1) / 2)
    made = {
        "shift_x": lambda: -dx,
        "shift_y": lambda: -dy,
        "rotation": lambda: (y * dx - x * dy) / reach,
        "scale": lambda: -(x * dx + y * dy) / reach,
    }
    return torch.stack([made[kind]() for kind in kinds], 1).permute(0, 1, 3, 4, 2)


def _smoothed(maps: Tensor, deviation: float) -> Tensor:
    reach = max(1, math.ceil(3 * deviation))
    offsets = torch.arange(-reach, reach + 1, dtype=maps.dtype, device=maps.device)
    kernel = torch.exp(-0.5 * (offsets / deviation).square())
    kernel = (kernel / kernel.sum()).expand(maps.shape[1], 1, 1, -1)
    rows = F.conv2d(F.pad(maps, (reach, reach, 0, 0), mode="replicate"), kernel, groups=maps.shape[1])
    columns = F.pad(rows, (0, 0, reach, reach), mode="replicate")
    return F.conv2d(columns, kernel.transpose(2, 3), groups=maps.shape[1])


def tangent_loss(
    loss: LossFunction,
    *,
    weight: float,
    tangents: str | Callable[[Tensor], Tensor] = "tangents",
    inputs: Sequence[str] = ("inputs",),
) -> TangentLoss:
    """Return a loss plus ``weight`` times the tangent penalty of each example.

    The penalty is on what the network returns, of classes the logits, in evaluation mode.

    Parameters
    ----------
    loss : LossFunction
        The loss of the network.
    weight : float
        Weight of the penalty, 0 or more.
    tangents : str or callable
        Name of the batch's entry of tangents, of shape (batch, tangents, ...); or a function that makes them of the
        inputs, such as :func:`image_tangents`.
    inputs : sequence of str
        Names of the batch's entries that the network takes, in order; tangents are those of the first.

    Raises
    ------
    SettingError
        If ``weight`` is negative.

    Examples
    --------
    >>> from gradus.networks import CategoricalHead
    >>> from gradus.training.losses import head_loss
    >>> head = CategoricalHead(4, 3)
    >>> batch = {"inputs": torch.zeros(2, 4), "targets": torch.tensor([0, 1]), "tangents": torch.ones(2, 1, 4)}
    >>> plain, held = head_loss(head), tangent_loss(head_loss(head), weight=0.1)
    >>> bool(held(head, batch, torch.Generator()).total > plain(head, batch, torch.Generator()).total)
    True

    References
    ----------
    Goodfellow et al. 2016, §7.14, eq. 7.67.
    """
    if not 0 <= weight < math.inf:
        raise SettingError("a weight of 0 or more", str(weight), "set for example weight=0.1")
    return TangentLoss(loss, weight, tangents, tuple(inputs))


@dataclass(frozen=True, eq=False)
class TangentLoss:
    """What `tangent_loss` returns."""

    loss: LossFunction
    weight: float
    tangents: str | Callable[[Tensor], Tensor]
    inputs: tuple[str, ...]

    @property
    def decomposes(self) -> bool:
        """Whether parts of a batch add up to the whole."""
        return bool(getattr(self.loss, "decomposes", True))

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch; the total includes the penalty, each example's times its weight."""
        plain = self.loss(network, batch, generator)
        first, *rest = (batch[name] for name in self.inputs)
        if first.dtype == torch.uint8:
            first = first.to(next(network.parameters()).dtype)
        with torch.no_grad():
            tangents = batch[self.tangents] if isinstance(self.tangents, str) else self.tangents(first)
        count = tangents.shape[1]
        others = [tensor.repeat_interleave(count, 0) for tensor in rest]
        with evaluating(network):
            each = tangent_penalty(lambda moved: network(moved, *others), first, tangents)
        weights = batch.get("weights")
        penalty = each.sum() if weights is None else torch.dot(weights.to(each.dtype), each)
        return Loss(plain.total + self.weight * penalty, plain.count, plain.metrics)
