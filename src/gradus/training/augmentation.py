"""Augmentation: changed copies of the training images, made batch by batch on the device (§7.4, §12.2.1.2).

Everything random comes from the generator that the loop hands to the loss and keeps in its checkpoints, so a resumed
training draws what the uninterrupted one would have. No image is touched alone, and nothing is fetched from the device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError
from gradus.core.options import option
from gradus.data.batches import Batch
from gradus.networks.checks import names_in
from gradus.training.losses import Loss

__all__ = ["AUGMENTATIONS", "Augmentation", "AugmentationOptions", "Augmented", "AugmentedLoss", "move", "turn"]

AUGMENTATIONS = ("shift", "flip", "rotate", "scale", "brightness", "contrast", "cutout", "mixup", "cutmix")
Padding = Literal["reflection", "border", "zeros"]
_DRAWS = {"shift": 2, "flip": 1, "rotate": 1, "scale": 1, "brightness": 1, "contrast": 1, "cutout": 2}


@dataclass(kw_only=True, eq=False, repr=False)
class AugmentationOptions:
    """Which changes training images undergo, and how strong they are (§7.4)."""

    augment: str = option("none", f"changes of training images, joined by commas: {', '.join(AUGMENTATIONS)}")
    augment_padding: Padding = option(
        "reflection", "what a shift or turn brings in from outside: the mirror image, the last pixel, or black"
    )
    augment_shift: float = option(0.125, "largest shift, as a share of height and width", low=0, high=1)
    augment_rotation: float = option(10.0, "largest turn to either side", unit="degrees", low=0, high=180)
    augment_scale: float = option(0.1, "largest growth or shrinkage; 0.1: by a factor of 1.1", low=0, high=10)
    augment_brightness: float = option(
        0.3, "largest change of brightness, in standard deviations of the training pixels", low=0
    )
    augment_contrast: float = option(0.3, "largest change of contrast; 0.3: by a factor of 1.3", low=0, high=10)
    augment_cutout: float = option(0.4, "side of the square cut out, as a share of the image's", low=0, high=1)
    augment_mixup: float = option(0.2, "mixup: both parameters of the beta distribution of the shares", above=0)
    augment_cutmix: float = option(1.0, "cutmix: both parameters of the beta distribution of the areas", above=0)


class Augmented(NamedTuple):
    """Augmented images, and where images were mixed, each one's share against that of the image before it."""

    images: Shaped[Tensor, "n height width channels"]
    share: Float[Tensor, " n"] | None


class Augmentation:
    """Change a batch of images at random, each in its own way.

    In this order: shift by whole pixels and flip left to right; turn and scale about the centre, with bilinear
    interpolation; contrast about the image's mean, and brightness; cut a square out, which gets the mean of the
    training pixels; mix with the image before it in the batch (the last, for the first).

    Parameters
    ----------
    options : AugmentationOptions
        What to do and how much; anything that has its fields.
    mean, std : Tensor of shape (channels,), optional
        Mean and standard deviation of the training pixels, in the images' units, on the images' device; 0 and 1
        where absent.

    Raises
    ------
    SettingError
        If there is no such augmentation.

    Examples
    --------
    >>> augment = Augmentation(AugmentationOptions(augment="shift,flip"))
    >>> images = torch.arange(2 * 8 * 8, dtype=torch.uint8).reshape(2, 8, 8, 1)
    >>> changed, share = augment(images, torch.Generator().manual_seed(0))
    >>> changed.shape, changed.dtype, share
    (torch.Size([2, 8, 8, 1]), torch.uint8, None)

    References
    ----------
    Goodfellow et al. 2016, §7.4, §12.2.1.2; DeVries & Taylor 2017 (cutout); Zhang et al. 2018 (mixup); Yun et al.
    2019 (cutmix).
    """

    def __init__(self, options: AugmentationOptions, mean: Tensor | None = None, std: Tensor | None = None) -> None:
        self.options, self.names = options, frozenset(names_in(options.augment, AUGMENTATIONS, "augment"))
        self.mean = torch.zeros(1) if mean is None else mean.detach()
        self.std = torch.ones(1) if std is None else std.detach()

    def __call__(self, images: Shaped[Tensor, "n height width channels"], generator: torch.Generator) -> Augmented:
        """Return changed images, of the same type where whole pixels only moved, and the shares of mixed ones."""
        if images.ndim != 4:
            mend = "put examples first and channels last"
            raise InputError("images of shape (n, height, width, channels)", str(tuple(images.shape)), mend)
        names, options = self.names, self.options
        draws = self._draw(len(images), images.device, generator)
        if "shift" in names or "flip" in names:
            images = self._move(images, draws)
        if names <= {"shift", "flip"}:
            return Augmented(images, None)
        images = images.to(self.std.dtype)
        if "rotate" in names or "scale" in names:
            angle = draws["rotate"][0] * math.radians(options.augment_rotation) if "rotate" in names else None
            factor = _factor(draws["scale"][0], options.augment_scale) if "scale" in names else None
            images = turn(images, angle, factor, options.augment_padding)
        if "contrast" in names:
            mean = images.mean((1, 2), keepdim=True)
            images = torch.lerp(mean, images, _each(_factor(draws["contrast"][0], options.augment_contrast), images))
        if "brightness" in names:
            change = _each(draws["brightness"][0] * options.augment_brightness, images)
            images = images + change * self.std.to(images.device)
        if "cutout" in names:
            side = draws["cutout"].new_full((len(images),), options.augment_cutout)
            hole = _boxes((draws["cutout"] + 1) / 2, side, images)
            images = torch.where(hole, self.mean.to(images), images)
        return self._mix(images, generator) if names & {"mixup", "cutmix"} else Augmented(images, None)

    def _draw(self, n: int, device: torch.device, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw every uniform number in [-1, 1) at once: a call for each would cost more than the arithmetic."""
        wanted = {name: rows for name, rows in _DRAWS.items() if name in self.names}
        numbers = torch.rand((sum(wanted.values()), n), generator=generator, device=device, dtype=torch.float32)
        parts = (numbers * 2 - 1).split(list(wanted.values()))
        return dict(zip(wanted, parts, strict=True))

    def _move(self, images: Tensor, draws: dict[str, Tensor]) -> Tensor:
        offsets: list[Tensor | None] = [None, None]
        if "shift" in self.names:
            for axis, draw in enumerate(draws["shift"]):
                most = round(self.options.augment_shift * images.shape[axis + 1])
                # every whole number from -most to most as often; the draw is below one
                offsets[axis] = ((draw + 1) * (most + 0.5)).long().clamp_(max=2 * most) - most
        flipped = draws["flip"][0] >= 0 if "flip" in self.names else None
        return move(images, offsets[0], offsets[1], flipped, self.options.augment_padding)

    def _mix(self, images: Tensor, generator: torch.Generator) -> Augmented:
        n, (height, width) = len(images), images.shape[1:3]
        device = images.device
        maps: list[Tensor] = []
        if "mixup" in self.names:
            maps.append(_each(_beta(self.options.augment_mixup, n, generator), images).expand(n, height, width, 1))
        if "cutmix" in self.names:
            side = (1 - _beta(self.options.augment_cutmix, n, generator)).sqrt()
            centres = torch.rand((2, n), generator=generator, device=device)
            maps.append((~_boxes(centres, side, images)).float())
        if len(maps) == 2:  # one of the two for each image, evenly
            coin = torch.rand(n, generator=generator, device=device) < 0.5
            maps = [torch.where(_each(coin, images), maps[0], maps[1])]
        kept = maps[0].to(images.dtype)
        # The batches' order is random already: the neighbour is as random a partner as any.
        return Augmented(torch.lerp(images.roll(1, 0), images, kept), maps[0].mean((1, 2, 3)))


def _each(values: Tensor, images: Tensor) -> Tensor:
    """Return one value for each image in a shape that broadcasts over its pixels."""
    kept = values if values.dtype == torch.bool else values.to(images.dtype)
    return kept.view(-1, 1, 1, 1)


def _factor(draw: Tensor, strength: float) -> Tensor:
    """Return factors from ``1 / (1 + strength)`` to ``1 + strength``, as often below one as above."""
    return torch.exp(draw * math.log1p(strength))


def _beta(parameter: float, n: int, generator: torch.Generator) -> Float[Tensor, " n"]:
    """Draw from a symmetric beta distribution; torch's public sampler takes no generator."""
    concentration = torch.full((n, 2), float(parameter), device=generator.device)
    return torch._sample_dirichlet(concentration, generator=generator)[:, 0]


def _boxes(centres: Float[Tensor, "2 n"], sides: Float[Tensor, " n"], images: Tensor) -> Bool[Tensor, "n h w 1"]:
    """Return where a rectangle lies in each image: its centre and its sides as shares of height and width."""
    inside = []
    for axis, centre in enumerate(centres):
        size = images.shape[axis + 1]
        cells = torch.arange(size, device=images.device) + 0.5
        inside.append((cells - centre[:, None] * size).abs() < sides[:, None] * size / 2)
    return (inside[0][:, :, None] & inside[1][:, None, :]).unsqueeze(3)


def move(
    images: Shaped[Tensor, "n height width channels"],
    down: Shaped[Tensor, " n"] | None = None,
    right: Shaped[Tensor, " n"] | None = None,
    flipped: Bool[Tensor, " n"] | None = None,
    padding: Padding = "reflection",
) -> Shaped[Tensor, "n height width channels"]:
    """Shift each image by whole pixels, after flipping some left to right; the type stays.

    Parameters
    ----------
    images : Tensor of shape (n, height, width, channels)
        Bytes or numbers.
    down, right : Tensor of shape (n,), optional
        Pixels by which the content moves, whole numbers.
    flipped : Tensor of shape (n,), optional
        Which images are flipped.
    padding : {"reflection", "border", "zeros"}
        What comes in: ``c b a | a b c``, ``a a a | a b c``, or ``0 0 0 | a b c``.

    Examples
    --------
    >>> image = torch.tensor([1, 2, 3]).reshape(1, 1, 3, 1)
    >>> [move(image, right=torch.tensor([1]), padding=p).flatten().tolist() for p in ("reflection", "zeros")]
    [[1, 1, 2], [0, 1, 2]]
    """
    n, height, width, channels = images.shape
    places, inside = [], []
    for size, offset in ((height, down), (width, right)):
        cells = torch.arange(size, device=images.device)[None]
        source = cells if offset is None else cells - offset[:, None]
        if offset is not None and padding == "zeros":
            inside.append((source >= 0) & (source < size))
        if offset is not None and padding == "reflection":
            source = source.remainder(2 * size)
            source = torch.minimum(source, 2 * size - 1 - source)
        places.append(source.clamp(0, size - 1))
    rows, columns = places
    if flipped is not None:
        columns = torch.where(flipped[:, None], width - 1 - columns, columns)
    starts = torch.arange(n, device=images.device)[:, None] * (height * width)
    flat = ((starts + rows * width)[:, :, None] + columns[:, None, :]).view(-1)
    # Pixels are gathered by one index: of gray images as numbers, which is the fastest copy there is.
    pixels = images.reshape(-1) if channels == 1 else images.reshape(-1, channels)
    moved = pixels.index_select(0, flat).view(images.shape)
    if not inside:
        return moved
    seen = inside[0][:, :, None, None] if down is not None else inside[0][:, None, :, None]
    if len(inside) == 2:
        seen = seen & inside[1][:, None, :, None]
    return moved * seen


def turn(
    images: Float[Tensor, "n height width channels"],
    angle: Float[Tensor, " n"] | None = None,
    factor: Float[Tensor, " n"] | None = None,
    padding: Padding = "reflection",
) -> Float[Tensor, "n height width channels"]:
    """Turn each image about its centre and scale it, with bilinear interpolation.

    Parameters
    ----------
    images : Tensor of shape (n, height, width, channels)
        Floating point.
    angle : Tensor of shape (n,), optional
        In radians, counter-clockwise as seen.
    factor : Tensor of shape (n,), optional
        Growth of the content, above 0.
    padding : {"reflection", "border", "zeros"}
        What lies outside, as in :func:`move`.

    Examples
    --------
    >>> image = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    >>> turn(image, torch.tensor([torch.pi / 2]))[0, :, :, 0].round(decimals=4).tolist()
    [[2.0, 4.0], [1.0, 3.0]]
    """
    n, height, width, _ = images.shape
    zero = images.new_zeros(n)
    angle = zero if angle is None else angle.to(images.dtype)
    inverse = zero + 1 if factor is None else factor.to(images.dtype).reciprocal()
    cosine, sine = angle.cos() * inverse, angle.sin() * inverse
    # From where in the input each output pixel comes; both axes run from -1 to 1, whatever their lengths.
    across = torch.stack([cosine, -sine * (height / width), zero], 1)
    along = torch.stack([sine * (width / height), cosine, zero], 1)
    with torch.autocast(images.device.type, enabled=False):
        grid = F.affine_grid(torch.stack([across, along], 1), [n, 1, height, width], align_corners=False)
        sampled = F.grid_sample(images.permute(0, 3, 1, 2), grid, padding_mode=padding, align_corners=False)
    return sampled.permute(0, 2, 3, 1)


@dataclass(frozen=True)
class AugmentedLoss:
    """A head's loss on augmented images: what training lowers, and validation never sees.

    An image mixed from two has the two targets, each with its share ``λ``:
    ``total = Σ λ w loss(z, y) + (1 - λ) w' loss(z, y')`` and ``count = Σ λ w + (1 - λ) w'``. For classes that is the
    cross-entropy with the mixed target.

    Parameters
    ----------
    inner : LossFunction
        The loss without augmentation; a `HeadLoss` where images are mixed.
    augmentation : Augmentation
        Applied to ``inputs``, in the stored form that the network's preparation takes.

    Examples
    --------
    >>> from gradus.networks import CategoricalHead, HeadedNetwork
    >>> from gradus.training.losses import head_loss
    >>> network = HeadedNetwork(None, nn.Flatten(), CategoricalHead(16, 3))
    >>> loss = AugmentedLoss(head_loss(network.head), Augmentation(AugmentationOptions(augment="mixup")))
    >>> batch = {"inputs": torch.rand(5, 4, 4, 1), "targets": torch.arange(5) % 3}
    >>> loss(network, batch, torch.Generator().manual_seed(0)).count
    5.0
    """

    inner: Any
    augmentation: Augmentation

    def __getattr__(self, name: str) -> Any:
        """Answer for the inner loss: whether it decomposes, can be recorded, or keeps state."""
        if name.startswith("__") or name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        images, share = self.augmentation(batch["inputs"], generator)
        if share is None:
            return self.inner(network, {**batch, "inputs": images}, generator)
        head, smoothing = self.inner.head, self.inner.label_smoothing
        parameters, targets, weights = network(images), batch["targets"], batch.get("weights")
        first = head.losses(parameters, targets, label_smoothing=smoothing)
        second = head.losses(parameters, targets.roll(1, 0), label_smoothing=smoothing)
        share = share.to(first.dtype)
        if weights is None:
            return Loss(torch.lerp(second, first, share).sum(), float(len(targets)), {})
        ours, theirs = share * weights, (1 - share) * weights.roll(1, 0)
        return Loss(torch.dot(ours, first) + torch.dot(theirs, second), ours.sum() + theirs.sum(), {})
