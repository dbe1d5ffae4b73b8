"""Losses: pure functions from a network and a batch to a sum over examples and their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradus.core.errors import InputError, SettingError
from gradus.data.batches import Batch
from gradus.networks.heads import Head

__all__ = ["HeadLoss", "Loss", "LossFunction", "head_loss"]


class Loss(NamedTuple):
    """A loss as a sum, so that accumulation, weights and averages over an epoch are exact.

    Attributes
    ----------
    total : Tensor
        Scalar: the loss summed over examples, each times its weight.
    count : Tensor or float
        The number of examples, or the sum of their weights.
    metrics : dict of str to Tensor
        Scalars: sums of further measures, to be divided by ``count`` when reported. They stay on the device.
    """

    total: Float[Tensor, ""]
    count: Tensor | float  # type: ignore[assignment]  # hides tuple.count, which nothing needs here
    metrics: dict[str, Tensor]


LossFunction = Callable[[nn.Module, Batch, torch.Generator], Loss]


def head_loss(
    head: Head,
    *,
    label_smoothing: float = 0.0,
    metrics: bool = False,
    inputs: Sequence[str] = ("inputs",),
) -> HeadLoss:
    """Return the maximum likelihood loss of a network that ends in ``head``.

    ``total = Σ w_i loss(network(x_i), y_i)`` and ``count = Σ w_i``, with weights of one where the batch has
    none.

    Parameters
    ----------
    head : Head
        Measures the parameters that the network returns. Only its buffers are used, so a copy of the
        network, such as an average of its weights, may be passed to the loss with the original head.
    label_smoothing : float
        Share in ``[0, 1)`` of a target's probability that is spread evenly over all classes.
    metrics : bool
        Add the head's scores (``correct``, ``squared_error``). Off in the training step, where each operation
        counts.
    inputs : sequence of str
        Names of the batch's entries that the network takes, in order.

    Returns
    -------
    callable
        ``(network, batch, generator) -> Loss``. The batch holds the inputs, ``targets``, and ``weights`` of
        shape ``(batch,)`` where examples count differently. The loss itself draws nothing from the generator.

    Raises
    ------
    SettingError
        If ``label_smoothing`` is out of range, or the head has no classes to smooth over.
    InputError
        From the loss, if targets or weights have a wrong shape; nothing is broadcast.

    Examples
    --------
    >>> from gradus.networks import CategoricalHead
    >>> head = CategoricalHead(4, 3)
    >>> batch = {"inputs": torch.zeros(5, 4), "targets": torch.zeros(5, dtype=torch.int64)}
    >>> loss = head_loss(head, metrics=True)(head, batch, torch.Generator())
    >>> round(loss.total.item() / loss.count, 4), loss.metrics["correct"].item()
    (1.0986, 5.0)

    References
    ----------
    Goodfellow et al. 2016, §5.5, eq. 5.63; §7.5.1 (label smoothing).
    """
    if not 0.0 <= label_smoothing < 1.0:
        raise SettingError("label_smoothing in [0, 1)", str(label_smoothing), "set for example label_smoothing=0.1")
    if label_smoothing and not head.smooths:
        received = f"{label_smoothing} for a {type(head).__name__}"
        raise SettingError("label_smoothing with a head over classes", received, "set label_smoothing=0")
    return HeadLoss(head, label_smoothing, metrics, tuple(inputs))


@dataclass(frozen=True)
class HeadLoss:
    """What `head_loss` returns: a loss that says what it is made of."""

    head: Head
    label_smoothing: float
    metrics: bool
    inputs: tuple[str, ...]

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        head, smoothing = self.head, self.label_smoothing
        parameters = network(*[batch[name] for name in self.inputs])
        targets, weights = batch["targets"], batch.get("weights")
        if weights is None:
            total = head.total_loss(parameters, targets, label_smoothing=smoothing)
            measured = _summed_scores(head, parameters, targets, None) if self.metrics else {}
            return Loss(total, float(targets.shape[0]), measured)
        if weights.shape != targets.shape[:1]:
            expected = f"weights of shape {tuple(targets.shape[:1])}"
            raise InputError(expected, str(tuple(weights.shape)), "pass one weight for each example")
        each = head.losses(parameters, targets, label_smoothing=smoothing)
        measured = _summed_scores(head, parameters, targets, weights) if self.metrics else {}
        return Loss(torch.dot(weights.to(each.dtype), each), weights.sum(), measured)


@torch.no_grad()
def _summed_scores(head: Head, parameters: Tensor, targets: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
    scores = head.scores(parameters.detach(), targets)
    if weights is None:
        return {name: score.sum() for name, score in scores.items()}
    return {name: torch.dot(weights.to(score.dtype), score) for name, score in scores.items()}
