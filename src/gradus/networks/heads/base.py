"""What every head does: features in, parameters of a distribution out, and a loss over them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import expm1, log
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.distributions import Distribution

from gradus.core.errors import InputError, SettingError

__all__ = ["Head", "NumberHead", "Reduction", "inverse_softplus", "reduce", "single"]

Reduction = Literal["none", "sum"]

_HALF = frozenset({torch.bfloat16, torch.float16})


def inverse_softplus(value: float) -> float:
    """Return the number whose softplus is ``value > 0``, where a positive parameter shall start."""
    return log(expm1(value))


def single(parameters: Tensor) -> Tensor:
    """Return half-precision parameters in single precision: a log-likelihood of them is still computed so.

    Examples
    --------
    >>> single(torch.zeros(2, dtype=torch.bfloat16)).dtype, single(torch.zeros(2, dtype=torch.float64)).dtype
    (torch.float32, torch.float64)
    """
    return parameters.float() if parameters.dtype in _HALF else parameters


def reduce(values: Float[Tensor, " batch *event"], reduction: Reduction) -> Float[Tensor, " *shape"]:
    """Sum a loss over everything (``"sum"``) or over all axes but the first (``"none"``)."""
    if reduction == "sum":
        return values.sum()
    return values.flatten(1).sum(1) if values.ndim > 1 else values


class Head(nn.Module, ABC):
    """Base of the heads: from features to the parameters of a distribution over targets.

    Everything trainable is in the parameters that ``forward`` returns, so the loss of a copied or averaged
    network is computed rightly by the head of the original. The parameters are in the units of the targets.

    Attributes
    ----------
    task : str
        ``"classification"``, ``"multilabel"``, ``"regression"`` or ``"count"``.
    integer_targets : bool
        Whether targets are int64 class indices; otherwise they are of the parameters' floating type.
    smooths : bool
        Whether the loss takes ``label_smoothing``.
    event_shape : tuple of int
        Shape of one example's target; ``()`` for a single number or class.
    """

    task: ClassVar[Literal["classification", "multilabel", "regression", "count"]]
    integer_targets: ClassVar[bool] = False
    smooths: ClassVar[bool] = False

    def __init__(self, in_features: int, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        if in_features < 1 or any(size < 1 for size in event_shape):
            sizes = f"{in_features} features and targets of shape {event_shape}"
            raise SettingError("a head of 1 or more inputs and outputs", sizes, "check the width of the body")
        self.in_features, self.event_shape = in_features, event_shape

    @abstractmethod
    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, " batch *parameters"]:
        """Return the parameters of the distribution, in the units of the targets."""

    @abstractmethod
    def distribution(self, parameters: Float[Tensor, " batch *parameters"]) -> Distribution:
        """Return the predictive distribution, of batch shape ``(batch,)``."""

    @abstractmethod
    def point(self, parameters: Float[Tensor, " batch *parameters"]) -> Shaped[Tensor, " batch *event"]:
        """Return the prediction: the likeliest class, the mean, or the median, as the head says."""

    @abstractmethod
    def scores(
        self, parameters: Float[Tensor, " batch *parameters"], targets: Shaped[Tensor, " batch *event"]
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Return further measures of each example: ``correct`` or ``squared_error``."""

    @abstractmethod
    def _loss(self, parameters: Tensor, targets: Tensor, reduction: Reduction, smoothing: float) -> Tensor:
        """Return the checked loss, per example or summed."""

    def _likelihood_loss(self) -> bool:
        """Whether the training loss is the negative log-likelihood of ``distribution``."""
        return True

    def _checked(self, parameters: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        # Tuples are compared, nothing is read from the device: this runs at every step.
        expected = (parameters.shape[0], *self.event_shape)
        if targets.shape != expected:
            mend = "pass the same number of examples"
            if targets.numel() == torch.Size(expected).numel():
                mend = f"reshape them with .reshape{expected}"
            raise InputError(f"targets of shape {expected}", str(tuple(targets.shape)), mend)
        if smoothing and not (self.smooths and 0.0 < smoothing < 1.0):
            expected_text = "label_smoothing in [0, 1)" if self.smooths else "no label_smoothing in a regression"
            raise SettingError(expected_text, str(smoothing), "set label_smoothing=0")
        return single(parameters)

    def total_loss(
        self,
        parameters: Float[Tensor, " batch *parameters"],
        targets: Shaped[Tensor, " ..."],
        *,
        label_smoothing: float = 0.0,
    ) -> Float[Tensor, ""]:
        """Return the training loss summed over examples: the hot path, with no distribution object.

        Parameters
        ----------
        parameters : Tensor of shape (batch, ...)
            What ``forward`` returned.
        targets : Tensor of shape (batch, *event_shape)
            The targets, in their own units.
        label_smoothing : float
            Share in ``[0, 1)`` of a target's probability that is spread evenly over all classes.

        Raises
        ------
        InputError
            If the targets have another shape; nothing is broadcast.
        SettingError
            If ``label_smoothing`` is out of range or the head has no classes.
        """
        return self._loss(self._checked(parameters, targets, label_smoothing), targets, "sum", label_smoothing)

    def losses(
        self,
        parameters: Float[Tensor, " batch *parameters"],
        targets: Shaped[Tensor, " ..."],
        *,
        label_smoothing: float = 0.0,
    ) -> Float[Tensor, " batch"]:
        """Return the training loss of each example; see :meth:`total_loss`."""
        return self._loss(self._checked(parameters, targets, label_smoothing), targets, "none", label_smoothing)

    def negative_log_likelihood(
        self, parameters: Float[Tensor, " batch *parameters"], targets: Shaped[Tensor, " ..."]
    ) -> Float[Tensor, " batch"]:
        """Return ``-log p(target)`` of each example, in nats, for targets in their own units."""
        if self._likelihood_loss():
            return self.losses(parameters, targets)
        return -self.distribution(self._checked(parameters, targets, 0.0)).log_prob(targets)


class NumberHead(Head):
    """Base of the heads over numbers, which know where their targets lie: real ones and counts.

    Parameters
    ----------
    in_features : int
        Width of the features.
    outputs : int or None
        ``None`` for one number an example, targets of shape ``(batch,)``; ``k`` for ``(batch, k)``, also for
        ``k = 1``.
    """

    location: Tensor

    def __init__(self, in_features: int, outputs: int | None) -> None:
        super().__init__(in_features, () if outputs is None else (outputs,))
        self.register_buffer("location", torch.zeros(self.event_shape))

    def set_scale(self, mean: float | np.ndarray | Tensor, std: float | np.ndarray | Tensor) -> None:
        """Tell the head the mean and standard deviation of the training targets, where its parameters start.

        Parameters
        ----------
        mean, std : float or array of shape event_shape
            In the targets' units. A standard deviation of zero (constant targets) counts as one; of counts, a mean
            of zero counts as 0.01.

        Raises
        ------
        InputError
            If a value is not finite, ``std`` is negative, the mean of counts is negative, or the shape is another.
        """
        values = [torch.as_tensor(value, dtype=torch.float64).cpu() for value in (mean, std)]
        for name, value in zip(("mean", "std"), values, strict=True):
            if value.shape not in {(), self.event_shape}:
                raise InputError(f"a {name} of shape {self.event_shape}", str(tuple(value.shape)), "pass one a column")
            if not bool(value.isfinite().all()) or (name == "std" and bool((value < 0).any())):
                raise InputError(f"a finite {name} of the targets", str(value.tolist()), "remove such targets first")
        self._start(*values)

    @abstractmethod
    def _start(self, mean: Tensor, std: Tensor) -> None:
        """Store what the moments, in float64, say."""

    def scores(
        self, parameters: Float[Tensor, " batch *parameters"], targets: Float[Tensor, " batch *event"]
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Return ``squared_error`` of the prediction in squared target units, the mean over outputs."""
        error = (self.point(parameters) - targets).square()
        return {"squared_error": error.flatten(1).mean(1) if error.ndim > 1 else error}
