"""Mixing and hiding inputs (§7.4, §7.13): mixup, cutout, and noise made of other rows.

For arrays of any shape; whatever knows that pixels have neighbours lives with the images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from gradus.core.errors import InputError, SettingError
from gradus.data.batches import Batch
from gradus.networks.heads import Head
from gradus.training.losses import Loss, LossFunction

__all__ = ["Corruption", "CutoutLoss", "Mixed", "MixupLoss", "corrupt", "cutout_loss", "mixup", "mixup_loss"]


class Mixed(NamedTuple):
    """Examples mixed in pairs.

    Attributes
    ----------
    inputs : Tensor of shape (batch, ...)
        ``share * x + (1 - share) * x[partner]``.
    partner : Tensor of shape (batch,)
        Which example each was mixed with; every one is partner once.
    share : Tensor of shape (batch,)
        What is left of the example itself, in [0, 1].
    """

    inputs: Float[Tensor, " batch *shape"]
    partner: Int[Tensor, " batch"]
    share: Float[Tensor, " batch"]


def mixup(inputs: Float[Tensor, " batch *shape"], alpha: float, generator: torch.Generator) -> Mixed:
    """Mix each example with another one: ``x̃ = λ x + (1 - λ) x'`` with ``λ ~ Beta(α, α)``.

    Parameters
    ----------
    inputs : Tensor of shape (batch, ...)
        Floating point.
    alpha : float
        Above 0: near 0 pairs stay almost unmixed, 1 makes every share equally likely.
    generator : torch.Generator
        Draws partners and shares, on the device of the inputs.

    Raises
    ------
    InputError
        If inputs are not floating point.
    SettingError
        If ``alpha`` is not positive.

    Examples
    --------
    >>> mixed = mixup(torch.eye(4), 0.4, torch.Generator().manual_seed(0))
    >>> mixed.inputs.sum(1).tolist(), sorted(mixed.partner.tolist())
    ([1.0, 1.0, 1.0, 1.0], [0, 1, 2, 3])

    References
    ----------
    Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization, eq. 1.
    """
    if not inputs.is_floating_point():
        raise InputError("floating-point inputs", str(inputs.dtype), "convert them, as in inputs.float()")
    if not 0 < alpha < math.inf:
        raise SettingError("a positive alpha", str(alpha), "set for example alpha=0.2")
    n = len(inputs)
    # Two gamma variables make a beta one; torch.distributions cannot be given a generator.
    dtype = torch.float64 if inputs.dtype == torch.float64 else torch.float32
    shape = torch.full((2, n), alpha, dtype=dtype, device=inputs.device)
    drawn = torch._standard_gamma(shape, generator=generator).clamp_min(torch.finfo(dtype).tiny)
    share = (drawn[0] / drawn.sum(0)).to(inputs.dtype)
    partner = torch.randperm(n, generator=generator, device=inputs.device)
    weight = share.view(-1, *[1] * (inputs.ndim - 1))
    return Mixed(torch.lerp(inputs[partner], inputs, weight), partner, share)


def mixup_loss(
    head: Head, *, alpha: float = 0.2, label_smoothing: float = 0.0, inputs: Sequence[str] = ("inputs",)
) -> MixupLoss:
    """Return the maximum likelihood loss of mixed examples: ``λ J(x̃, y) + (1 - λ) J(x̃, y')``.

    Parameters
    ----------
    head : Head
        The network's head, of classes or numbers.
    alpha : float
        As in :func:`mixup`.
    label_smoothing : float
        As in `head_loss`.
    inputs : sequence of str
        Names of the batch's entries that the network takes, in order. All have to be numbers: categories, tokens and
        series of unequal length have no value between two others.

    Returns
    -------
    callable
        ``(network, batch, generator) -> Loss``. A sample weight goes with its target. Pairs are drawn within a batch,
        or within its parts where gradients are accumulated.

    Raises
    ------
    SettingError
        If ``alpha`` is not positive.

    Examples
    --------
    >>> from gradus.networks import CategoricalHead
    >>> head = CategoricalHead(4, 3)
    >>> batch = {"inputs": torch.eye(4), "targets": torch.tensor([0, 1, 2, 0])}
    >>> mixup_loss(head, alpha=1.0)(head, batch, torch.Generator()).count
    4.0

    References
    ----------
    Goodfellow et al. 2016, §7.4; Zhang et al. 2018.
    """
    if not 0 < alpha < math.inf:
        raise SettingError("a positive alpha", str(alpha), "set for example alpha=0.2")
    return MixupLoss(head, alpha, label_smoothing, tuple(inputs))


@dataclass(frozen=True, eq=False)
class MixupLoss:
    """What `mixup_loss` returns."""

    head: Head
    alpha: float
    label_smoothing: float
    inputs: tuple[str, ...]

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        given = [_floating(batch[name], network) for name in self.inputs]
        first = mixup(given[0], self.alpha, generator)
        partner, share = first.partner, first.share
        others = [torch.lerp(x[partner], x, share.view(-1, *[1] * (x.ndim - 1)).to(x.dtype)) for x in given[1:]]
        parameters, targets = network(first.inputs, *others), batch["targets"]
        weights = batch.get("weights")
        own = share if weights is None else share * weights.to(share.dtype)
        other = 1 - share if weights is None else (1 - share) * weights[partner].to(share.dtype)
        total = torch.zeros((), dtype=parameters.dtype, device=parameters.device)
        for rows, part in ((targets, own), (targets[partner], other)):
            each = self.head.losses(parameters, rows, label_smoothing=self.label_smoothing)
            total = total + torch.dot(part.to(each.dtype), each)
        return Loss(total, float(len(targets)) if weights is None else weights.sum(), {})


class Corruption(NamedTuple):
    """Inputs some of whose entries were replaced, and which ones (True)."""

    inputs: Float[Tensor, " batch *shape"]
    replaced: Shaped[Tensor, " batch *shape"]


def corrupt(
    inputs: Float[Tensor, " batch *shape"],
    share: float,
    generator: torch.Generator,
    *,
    fill: float | Tensor | None = None,
) -> Corruption:
    """Replace entries at random: by a constant (cutout), or by the same entry of another row (swap noise).

    Parameters
    ----------
    inputs : Tensor of shape (batch, ...)
        Floating point.
    share : float
        Probability in [0, 1] with which an entry is replaced, each by itself.
    generator : torch.Generator
        Draws which.
    fill : float or Tensor, optional
        What replaces them: a number, or a tensor that broadcasts against the inputs, such as the mean. By default, the
        entries of a row drawn for each entry anew, which have the right distribution whatever the columns are.

    Raises
    ------
    InputError
        If inputs are not floating point.
    SettingError
        If ``share`` is out of range.

    Examples
    --------
    >>> corrupt(torch.ones(2, 3), 1.0, torch.Generator(), fill=0.0).inputs.tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]

    References
    ----------
    Goodfellow et al. 2016, §7.5; DeVries & Taylor 2017, Improved Regularization of Convolutional Neural Networks with
    Cutout; Vincent et al. 2010, Stacked Denoising Autoencoders, §4.1 (masking noise).
    """
    if not inputs.is_floating_point():
        raise InputError("floating-point inputs", str(inputs.dtype), "convert them, as in inputs.float()")
    if not 0 <= share <= 1:
        raise SettingError("a share in [0, 1]", str(share), "set for example share=0.1")
    replaced = torch.empty(inputs.shape, device=inputs.device).uniform_(generator=generator) < share
    if fill is None:
        rows = torch.randint(len(inputs), inputs.shape, generator=generator, device=inputs.device)
        values: Any = inputs.gather(0, rows)
    else:
        values = torch.as_tensor(fill, dtype=inputs.dtype, device=inputs.device)
    return Corruption(torch.where(replaced, values, inputs), replaced)


def cutout_loss(
    loss: LossFunction, *, share: float, fill: float | Tensor | None = None, inputs: str = "inputs"
) -> CutoutLoss:
    """Return a loss whose inputs lose a random ``share`` of their entries at every step; see :func:`corrupt`.

    Examples
    --------
    >>> from gradus.networks import CategoricalHead
    >>> from gradus.training.losses import head_loss
    >>> head = CategoricalHead(4, 3)
    >>> batch = {"inputs": torch.eye(4), "targets": torch.tensor([0, 1, 2, 0])}
    >>> cutout_loss(head_loss(head), share=0.5, fill=0.0)(head, batch, torch.Generator()).count
    4.0
    """
    if not 0 <= share <= 1:
        raise SettingError("a share in [0, 1]", str(share), "set for example share=0.1")
    return CutoutLoss(loss, share, fill, inputs)


@dataclass(frozen=True, eq=False)
class CutoutLoss:
    """What `cutout_loss` returns."""

    loss: LossFunction
    share: float
    fill: float | Tensor | None
    inputs: str

    @property
    def decomposes(self) -> bool:
        """Whether parts of a batch add up to the whole."""
        return bool(getattr(self.loss, "decomposes", True))

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        given = _floating(batch[self.inputs], network)
        moved = corrupt(given, self.share, generator, fill=self.fill).inputs
        return self.loss(network, {**batch, self.inputs: moved}, generator)


def _floating(inputs: Tensor, network: nn.Module) -> Tensor:
    return inputs.to(next(network.parameters()).dtype) if inputs.dtype == torch.uint8 else inputs
