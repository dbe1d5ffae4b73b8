"""What a segmenter is made of: its loss over pixels, changes of image and mask together, and scores of masks."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError
from gradus.data.batches import Batch
from gradus.networks.checks import names_in
from gradus.training.augmentation import Augmentation, move
from gradus.training.losses import Loss

__all__ = ["AugmentedMasks", "MaskScores", "SegmentationLoss", "mask_scores", "pixel_counts"]

IGNORED = -1  # the target of a pixel that says nothing
GEOMETRIC, PHOTOMETRIC = ("shift", "flip"), ("brightness", "contrast")
# What a Dice term adds above and below: a class that is in neither mask agrees with itself.
SMOOTH = 1.0


@dataclass(frozen=True)
class SegmentationLoss:
    """Cross-entropy of pixels, and a Dice term for each image where it is asked for.

    ``total = Σ_images v (Σ_pixels w nll + dice · W · (1 - D))`` and ``count = Σ_images v W``: w is the weight of the
    pixel's class, W the image's sum of them, v the weight of the image, and D the mean over classes of
    ``(2 Σ p g + 1) / (Σ p + Σ g + 1)`` with the probability p and the mask g of a class. Pixels with a target below 0
    are left out everywhere. Both terms are sums over images, so parts of a batch add up to the whole.

    Parameters
    ----------
    class_weights : Tensor of shape (classes,), optional
        Weight of each class; ones where absent.
    dice : float
        Weight of the Dice term, 0 or more.

    Examples
    --------
    >>> network = nn.Identity()
    >>> batch = {"inputs": torch.zeros(1, 2, 1, 3), "targets": torch.tensor([[[0, 1, -1]]])}
    >>> loss = SegmentationLoss()(network, batch, torch.Generator())
    >>> round(float(loss.total / loss.count), 4), float(loss.count)  # log 2
    (0.6931, 2.0)

    References
    ----------
    Ronneberger et al. 2015, eq. 1; Milletari et al. 2016, V-Net, §3 (Dice).
    """

    class_weights: Float[Tensor, " classes"] | None = None
    dice: float = 0.0

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        total, count, _ = self.measured(network, batch)
        return Loss(total, count, {})

    def measured(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the sums of loss, of weights, and of the weights of pixels told right."""
        logits, targets = network(batch["inputs"]), batch["targets"].long()
        if logits.dtype != torch.float64:  # sums over many pixels need more than bf16
            logits = logits.float()
        labelled = targets >= 0
        safe = targets.clamp_min(0)
        each = labelled.to(logits.dtype)
        if self.class_weights is not None:
            each = each * self.class_weights.to(logits)[safe]
        nats = (F.cross_entropy(logits, safe, reduction="none") * each).sum((1, 2))
        weight = each.sum((1, 2))
        if self.dice:
            nats = nats + self.dice * weight * (1 - _dice(logits, safe, labelled))
        right = ((logits.detach().argmax(1) == targets) * each).sum((1, 2))
        if (given := batch.get("weights")) is not None:
            nats, weight, right = (values * given.to(values.dtype) for values in (nats, weight, right))
        return nats.sum(), weight.sum(), right.sum()


def _dice(logits: Tensor, targets: Tensor, labelled: Tensor) -> Float[Tensor, " n"]:
    """Return how far the masks of all classes overlap in each image, 1 where they agree."""
    there = labelled.unsqueeze(1).to(logits.dtype)
    said = logits.softmax(1) * there
    truth = F.one_hot(targets, logits.shape[1]).movedim(3, 1).to(logits.dtype) * there
    both = (said * truth).sum((2, 3))
    return ((2 * both + SMOOTH) / (said.sum((2, 3)) + truth.sum((2, 3)) + SMOOTH)).mean(1)


class AugmentedMasks:
    """A loss on changed images, whose masks move with them.

    Parameters
    ----------
    inner : SegmentationLoss
        The loss without augmentation.
    options : AugmentationOptions
        What to do: shift and flip move image and mask alike, brightness and contrast change the image alone.
    mean, std : Tensor of shape (channels,)
        Mean and standard deviation of the training pixels, in the images' units.

    Examples
    --------
    >>> from gradus.training.augmentation import AugmentationOptions
    >>> changed = AugmentedMasks(SegmentationLoss(), AugmentationOptions(augment="flip"), torch.zeros(1), torch.ones(1))
    >>> images = torch.arange(12.0).reshape(2, 2, 3, 1)
    >>> moved, masks = changed.change(images, images[..., 0].long(), torch.Generator().manual_seed(0))
    >>> bool((moved[..., 0].long() == masks).all())
    True
    """

    def __init__(self, inner: SegmentationLoss, options: Any, mean: Tensor, std: Tensor) -> None:
        names = set(names_in(options.augment, (*GEOMETRIC, *PHOTOMETRIC), "augment"))
        self.inner, self.options, self.moves = inner, options, names & set(GEOMETRIC)
        values = {name: getattr(options, name) for name in vars(options) if name.startswith("augment_")}
        colours = ",".join(sorted(names & set(PHOTOMETRIC))) or "none"
        self.colours = Augmentation(SimpleNamespace(**{**values, "augment": colours}), mean, std)  # type: ignore[arg-type]

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        images, targets = self.change(batch["inputs"], batch["targets"], generator)
        return self.inner(network, {**batch, "inputs": images, "targets": targets}, generator)

    def change(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return changed images and their masks."""
        if self.moves:
            n, height, width = targets.shape
            draws = torch.rand((3, n), generator=generator, device=images.device)
            down = right = flipped = None
            if "shift" in self.moves:
                most = [round(self.options.augment_shift * size) for size in (height, width)]
                # every whole number from -most to most as often; a draw is below one
                down, right = (
                    (d * (2 * m + 1)).long().clamp_(max=2 * m) - m for d, m in zip(draws[:2], most, strict=True)
                )
            if "flip" in self.moves:
                flipped = draws[2] < 0.5
            padding = self.options.augment_padding
            images = move(images, down, right, flipped, padding)
            # Where black comes in, the mask says nothing: move brings in 0, which stands for no class here.
            targets = (move((targets + 1).unsqueeze(3), down, right, flipped, padding) - 1).squeeze(3)
        return self.colours(images, generator).images, targets


class MaskScores(NamedTuple):
    """How far masks agree.

    Attributes
    ----------
    iou : ndarray of shape (classes,)
        Intersection over union of each class: pixels that both masks give it, as a share of those that one of them
        does; not a number for a class that is in neither.
    mean_iou : float
        Their mean over the classes that occur.
    pixel_accuracy : float
        Share of pixels told right.
    counts : ndarray of int, shape (classes, classes)
        Pixels by true class (rows) and answered class (columns).
    """

    iou: NDArray[np.float64]
    mean_iou: float
    pixel_accuracy: float
    counts: NDArray[np.int64]


def pixel_counts(truth: Int[NDArray, " pixels"], said: Int[NDArray, " pixels"], classes: int) -> NDArray[np.int64]:
    """Return pixels by true and answered class, both numbered from 0; a true class below 0 is left out.

    Examples
    --------
    >>> pixel_counts(np.array([0, 0, 1, -1]), np.array([0, 1, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    known = truth >= 0
    codes = truth[known].astype(np.int64) * classes + said[known]
    return np.bincount(codes, minlength=classes**2).reshape(classes, classes)


def mask_scores(counts: ArrayLike) -> MaskScores:
    """Return the scores of masks from their `pixel_counts`, which may be summed over images.

    Raises
    ------
    InputError
        If there is no pixel.

    Examples
    --------
    >>> scores = mask_scores([[1, 1], [0, 1]])
    >>> scores.iou.tolist(), scores.mean_iou, round(scores.pixel_accuracy, 3)
    ([0.5, 0.5], 0.5, 0.667)

    References
    ----------
    Everingham et al. 2010, The PASCAL Visual Object Classes Challenge, §4.4 (segmentation).
    """
    table = np.asarray(counts, dtype=np.int64)
    if not table.any():
        raise InputError("a pixel with a class", "none", "pass masks with other targets than the ignored one")
    both = np.diag(table).astype(np.float64)
    either = table.sum(0) + table.sum(1) - both
    iou = np.divide(both, either, out=np.full(len(both), np.nan), where=either > 0)
    return MaskScores(iou, float(np.nanmean(iou)), float(both.sum() / table.sum()), table)
