"""Settings of classifiers that change what is learned from the rows: adversarial, semi-supervised, mixed, hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gradus.core.errors import SettingError
from gradus.core.options import option
from gradus.data.batches import Batch
from gradus.networks.preparation import Standardize
from gradus.training.adversarial import Norm, adversarial_loss
from gradus.training.losses import LossFunction, head_loss
from gradus.training.mixing import cutout_loss, mixup_loss
from gradus.training.semi_supervised import SemiSupervised, semi_supervised_loss
from gradus.training.tangent import image_tangents, tangent_loss

__all__ = ["InputSpace", "RegularizationOptions", "full_pixel", "input_space", "labelled_rows", "regularized_loss"]

# Labelled rows are repeated until they are at least this share of all: every batch then has some to learn from.
LABELLED_SHARE = 0.25


@dataclass(kw_only=True, eq=False, repr=False)
class RegularizationOptions:
    """What a classifier learns beside its rows as they are (§7.4-7.6, §7.13)."""

    adversarial_epsilon: float = option(
        0.0,
        "radius of the adversarial examples trained on: standard deviations of a column, or shares of a full pixel",
        low=0,
    )
    adversarial_norm: Norm = option("linf", "norm of that radius: the largest change of any column, or the length")
    adversarial_steps: int = option(1, "gradient steps to an adversarial example; 1: the fast gradient sign", low=1)
    adversarial_mixing: float = option(0.5, "share of the adversarial examples in the loss", above=0, high=1)
    input_range: tuple[float, ...] | None = option(
        None, "lowest and highest valid input, kept by adversarial examples; none: of pixels 0 to a full one"
    )
    semi_supervised: SemiSupervised | None = option(
        None, "how rows without a class are learned from, whose y is -1, none or NaN; none: -1 is a class"
    )
    unlabeled_weight: float = option(1.0, "weight of what is learned without classes, beside the classes", low=0)
    virtual_epsilon: float = option(
        1.0, "length of virtual adversarial changes, in the units of adversarial_epsilon", above=0
    )
    confidence: float = option(0.95, "probability from which a pseudo-label is believed", low=0, high=1)
    mixup: float = option(0.0, "alpha of the Beta distribution by which pairs of rows are mixed; 0 is off", low=0)
    cutout: float = option(0.0, "share of inputs replaced in training by those of other rows", low=0, high=1)
    tangent_weight: float = option(
        0.0, "weight of the penalty on how answers change as an image is shifted and turned by a pixel", low=0
    )


# Of these, one at a time.
EXCLUSIVE = ("adversarial_epsilon", "semi_supervised", "mixup", "cutout", "tangent_weight")

# None of these shapes the network.
REGULARIZATION = frozenset(RegularizationOptions.__dataclass_fields__)


class InputSpace(NamedTuple):
    """How far inputs may be moved.

    Attributes
    ----------
    entry : str
        Name of the batch's entry that is moved.
    unit : Tensor or float
        What a radius of 1 is, for each feature.
    low, high : Tensor, float or None
        Valid range.
    """

    entry: str
    unit: Tensor | float
    low: Tensor | float | None
    high: Tensor | float | None


def input_space(
    estimator: Any, network: nn.Module, pixel: float | None, limits: tuple[float, ...] | None
) -> InputSpace:
    """Return the space of the inputs that ``network`` takes: the estimator's, with or without its preparation.

    Parameters
    ----------
    estimator : SupervisedEstimator
        Knows the inputs' names and scales.
    network : nn.Module
        What the moved inputs will be passed to.
    pixel : float or None
        Value of a full pixel, of images.
    limits : (low, high) or None
        Valid range in the data's units.
    """
    entry = estimator._input_names[0]
    low: Tensor | float | None
    high: Tensor | float | None
    low, high = (None, None) if limits is None else limits
    if pixel is not None:
        return InputSpace(entry, pixel, *((0.0, pixel) if limits is None else (low, high)))
    layers = list(network.modules())
    standard = next((m for m in layers if isinstance(m, Standardize)), None)
    if standard is not None:
        return InputSpace(entry, standard.std, low, high)
    deviation = next((getattr(m, "deviation", None) for m in layers if hasattr(m, "deviation")), None)
    if isinstance(deviation, Tensor):
        return InputSpace(entry, deviation, low, high)
    if limits is not None and hasattr(estimator, "input_mean_"):  # the network takes what was standardized before
        layer = Standardize(torch.from_numpy(estimator.input_mean_), torch.from_numpy(estimator.input_std_))
        some = next(network.parameters())
        low, high = (((v - layer.mean) / layer.std).to(some) for v in limits)
    return InputSpace(entry, 1.0, low, high)


def full_pixel(estimator: Any, inputs: Tensor) -> float | None:
    """Return the value of a full pixel where inputs are images, else None."""
    if inputs.ndim != 4:
        return None
    given = getattr(estimator, "pixel_scale", None)
    if given is not None:
        return float(given)
    return 255.0 if inputs.dtype == torch.uint8 else max(1.0, float(inputs.amax()))


def check_regularization(estimator: Any, inputs: Batch) -> None:
    """Refuse settings that contradict each other, or that these inputs have no room for."""
    asked = [name for name in EXCLUSIVE if getattr(estimator, name)]
    if len(asked) > 1:
        raise SettingError(f"one of {' and '.join(asked)}", "several at once", "leave all but one out")
    limits = estimator.input_range
    if limits is not None and not (len(limits) == 2 and limits[0] < limits[1]):
        raise SettingError("input_range of a lowest and a higher number", str(limits), "set for example (0, 1)")
    if not asked or estimator.semi_supervised == "pseudo_label":
        return
    moved = list(inputs.values()) if asked[0] == "mixup" else [inputs[estimator._input_names[0]]]
    if any(not t.is_floating_point() and t.dtype != torch.uint8 for t in moved):
        kind = "tokens, categories or lengths" if len(moved) > 1 else "tokens or categories"
        mend = "leave it out, or pass numbers only"
        raise SettingError(f"{asked[0]} for inputs with values between two others", kind, mend)
    if asked[0] == "tangent_weight" and moved[0].ndim != 4:
        received = f"inputs of shape {tuple(moved[0].shape)}"
        mend = "pass images to an ImageClassifier, or use gradus.training.tangent with your own tangents"
        raise SettingError("tangent_weight for images", received, mend)
    if asked[0] in ("mixup", "cutout") and any(bool(t.isnan().any()) for t in moved if t.is_floating_point()):
        raise SettingError(f"{asked[0]} for inputs without gaps", "NaN", "fill the gaps, or leave it out")


def labelled_rows(targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return row numbers that repeat labelled rows until they have their share, and each one's weight in their mean.

    Parameters
    ----------
    targets : Tensor of shape (n,)
        Class numbers, -1 where there is none.

    Examples
    --------
    >>> rows, weights = labelled_rows(torch.tensor([-1, 2, -1, -1, -1, -1, -1]))
    >>> rows.tolist()
    [0, 1, 2, 3, 4, 5, 6, 1]
    >>> weights.tolist()  # their mean over the eight rows is that over labelled ones
    [0.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 4.0]
    """
    known = (targets >= 0).nonzero().squeeze(1)
    unknown = len(targets) - len(known)
    times = max(1, -(-round(unknown * LABELLED_SHARE / (1 - LABELLED_SHARE)) // max(1, len(known))))
    rows = torch.cat([torch.arange(len(targets)), known.repeat(times - 1)])
    weight = len(rows) / max(1, times * len(known))
    return rows, (targets[rows] >= 0).float() * weight


def regularized_loss(estimator: Any, network: Any) -> LossFunction:
    """Return the maximum likelihood loss of a classifier's network, changed as its settings say."""
    names, smoothing = estimator._input_names, estimator.label_smoothing
    if estimator.mixup:
        return mixup_loss(network.head, alpha=estimator.mixup, label_smoothing=smoothing, inputs=names)
    space = input_space(estimator, network, getattr(estimator, "full_pixel_", None), estimator.input_range)
    if estimator.semi_supervised is not None:
        return semi_supervised_loss(
            network.head,
            estimator.semi_supervised,
            weight=estimator.unlabeled_weight,
            epsilon=estimator.virtual_epsilon * space.unit,
            confidence=estimator.confidence,
            label_smoothing=smoothing,
            inputs=names,
        )
    loss = head_loss(network.head, label_smoothing=smoothing, inputs=names)
    if estimator.cutout:
        return cutout_loss(loss, share=estimator.cutout, inputs=space.entry)
    if estimator.tangent_weight:
        return tangent_loss(loss, weight=estimator.tangent_weight, tangents=image_tangents, inputs=names)
    if estimator.adversarial_epsilon:
        return adversarial_loss(
            loss,
            epsilon=estimator.adversarial_epsilon * space.unit,
            mixing=estimator.adversarial_mixing,
            steps=estimator.adversarial_steps,
            norm=estimator.adversarial_norm,
            low=space.low,
            high=space.high,
            inputs=space.entry,
        )
    return loss
