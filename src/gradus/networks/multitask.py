"""Several targets of different kinds read from the same features (§7.7)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from gradus.core.errors import SettingError
from gradus.networks.heads import Head
from gradus.networks.heads.base import Reduction

__all__ = ["Joint", "MultiTaskHead"]


class Joint(Distribution):
    """Independent distributions of several single targets: one row of a table with a column each.

    Parameters
    ----------
    parts : sequence of Distribution
        Of one batch shape, each over a single number or class.

    Examples
    --------
    >>> from torch.distributions import Categorical, Normal
    >>> joint = Joint([Normal(torch.zeros(3), 1.0), Categorical(logits=torch.zeros(3, 2))])
    >>> joint.batch_shape, joint.event_shape, joint.log_prob(torch.zeros(3, 2)).shape
    (torch.Size([3]), torch.Size([2]), torch.Size([3]))
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012 - torch's own convention
    support = constraints.real_vector

    def __init__(self, parts: Sequence[Distribution]) -> None:
        self.parts = tuple(parts)
        super().__init__(self.parts[0].batch_shape, torch.Size([len(self.parts)]), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the sum of the columns' log densities; a NaN is a target that was not seen, and counts nothing."""
        total = torch.zeros(value.shape[:-1], dtype=value.dtype, device=value.device)
        for part, column in zip(self.parts, value.unbind(-1), strict=True):
            seen = ~column.isnan()
            total = total + torch.where(seen, part.log_prob(torch.where(seen, column, part.sample().to(column))), 0)
        return total

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Return draws, a column each."""
        draws = [part.sample(torch.Size(sample_shape)) for part in self.parts]
        kind = torch.promote_types(torch.float32, draws[0].dtype)
        return torch.stack([draw.to(kind) for draw in draws], -1)


class MultiTaskHead(Head):
    """Heads of several targets on the same features; the loss is their weighted sum.

    ``-Σ_k w_k log p_k(y_k | h)``, over the targets that are known. Targets are one floating-point column each: numbers,
    or the index of a class; NaN marks one that is not known, so rows that lack some still teach the others.

    Parameters
    ----------
    heads : sequence of Head
        One for each target, of single numbers or classes, on features of the same width.
    weights : sequence of float, optional
        Weight of each target's loss, above 0; 1 by default.

    Attributes
    ----------
    heads : ModuleList
        The heads, in order.

    Raises
    ------
    SettingError
        If there is no head, one is of several outputs, or the weights do not fit.

    Examples
    --------
    >>> from gradus.networks import CategoricalHead, GaussianHead
    >>> head = MultiTaskHead([CategoricalHead(8, 3), GaussianHead(8)])
    >>> targets = torch.tensor([[2.0, 0.5], [0.0, float("nan")]])
    >>> head.total_loss(head(torch.zeros(2, 8)), targets).shape
    torch.Size([])

    References
    ----------
    Goodfellow et al. 2016, §7.7, figure 7.2; Caruana 1997, Multitask Learning.
    """

    task = "multitask"  # type: ignore[assignment]

    def __init__(self, heads: Sequence[Head], weights: Sequence[float] | None = None) -> None:
        if not heads or any(head.event_shape for head in heads) or len({head.in_features for head in heads}) != 1:
            received = ", ".join(f"{type(h).__name__} of {h.in_features} to {h.event_shape or 'one'}" for h in heads)
            mend = "give each target a head of its own"
            raise SettingError("heads of single targets on the same features", received or "none", mend)
        super().__init__(heads[0].in_features, (len(heads),))
        given = [1.0] * len(heads) if weights is None else [float(w) for w in weights]
        if len(given) != len(heads) or not all(0 < w < math.inf for w in given):
            raise SettingError(f"{len(heads)} positive weights", str(list(given)), "pass one for each target")
        self.heads: Any = nn.ModuleList(heads)
        self.weights = given
        some = next(self.parameters())
        with torch.no_grad():
            probe = torch.zeros(1, self.in_features, dtype=some.dtype, device=some.device)
            self._shapes = [tuple(head(probe).shape[1:]) for head in heads]

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch parameters"]:
        """Return all heads' parameters, flattened and side by side."""
        return torch.cat([head(features).reshape(len(features), -1) for head in self.heads], 1)

    def split(self, parameters: Float[Tensor, "batch parameters"]) -> list[Tensor]:
        """Return each head's parameters in its own shape."""
        sizes = [math.prod(shape) for shape in self._shapes]
        parts = parameters.split(sizes, 1)
        return [part.reshape(len(part), *shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def distribution(self, parameters: Float[Tensor, "batch parameters"]) -> Distribution:
        """Return a `Joint` of the heads' distributions."""
        return Joint([head.distribution(p) for head, p in zip(self.heads, self.split(parameters), strict=True)])

    def point(self, parameters: Float[Tensor, "batch parameters"]) -> Float[Tensor, "batch targets"]:
        """Return each target's prediction: a number, or the index of a class."""
        points = [head.point(p) for head, p in zip(self.heads, self.split(parameters), strict=True)]
        return torch.stack([point.to(parameters.dtype) for point in points], 1)

    def scores(
        self, parameters: Float[Tensor, "batch parameters"], targets: Float[Tensor, "batch targets"]
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Return ``correct_k`` or ``squared_error_k`` of each target, and ``known_k``; zeros where it is not known."""
        found: dict[str, Tensor] = {}
        for k, (head, part) in enumerate(zip(self.heads, self.split(parameters), strict=True)):
            known, column = _known(head, targets[:, k])
            for name, score in head.scores(part, column).items():
                if name in ("correct", "squared_error"):
                    found[f"{name}_{k}"] = torch.where(known, score, 0)
            found[f"known_{k}"] = known.to(parameters.dtype)
        return found

    def _loss(self, parameters: Tensor, targets: Tensor, reduction: Reduction, smoothing: float) -> Tensor:
        total = torch.zeros(len(parameters), dtype=parameters.dtype, device=parameters.device)
        for k, (head, part) in enumerate(zip(self.heads, self.split(parameters), strict=True)):
            known, column = _known(head, targets[:, k])
            total = total + self.weights[k] * torch.where(known, head.losses(part, column), 0)
        return total.sum() if reduction == "sum" else total


def _known(head: Head, column: Tensor) -> tuple[Tensor, Tensor]:
    """Return which targets are known, and all of them in the head's type, unknown ones filled with any valid one."""
    known = ~column.isnan()
    filled = torch.nan_to_num(column, nan=0.0)
    return known, filled.round().long() if head.integer_targets else filled
