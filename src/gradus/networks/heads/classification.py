"""Heads over classes: categorical, binary, multi-label and ordinal."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Distribution, Independent
from torch.nn import functional as F

from gradus.core.errors import SettingError
from gradus.foundations.log_space import inverse_softplus
from gradus.networks.feedforward import initialize
from gradus.networks.heads.base import Head, Reduction, reduce

__all__ = ["BinaryHead", "CategoricalHead", "ClassHead", "MultiLabelHead", "OrdinalHead"]


def _linear(in_features: int, out_features: int, *, bias: bool = True) -> nn.Linear:
    # Glorot rather than He: no rectifier follows the logits, and small ones start the loss near log(classes).
    layer = nn.Linear(in_features, out_features, bias=bias)
    initialize(layer, "glorot")
    return layer


class ClassHead(Head):
    """Base of the heads that predict classes or labels; adds ``probabilities``."""

    smooths = True

    @abstractmethod
    def probabilities(self, parameters: Float[Tensor, " batch *parameters"]) -> Float[Tensor, "batch probabilities"]:
        """Return a probability for each class (each label, for a multi-label head)."""


class CategoricalHead(ClassHead):
    """One of several classes: logits, one a class; ``p(y = k) = softmax(z)_k``.

    Parameters
    ----------
    in_features : int
        Width of the features.
    classes : int
        Number of classes, 2 or more; targets are int64 in ``[0, classes)``.

    Examples
    --------
    >>> head = CategoricalHead(8, 3)
    >>> parameters = head(torch.zeros(2, 8))
    >>> round(head.losses(parameters, torch.tensor([0, 2]))[0].item(), 4)  # log 3
    1.0986
    >>> head.distribution(parameters).entropy().shape
    torch.Size([2])

    References
    ----------
    Goodfellow et al. 2016, §6.2.2.3, eq. 6.29-6.30; §7.5.1 (label smoothing).
    """

    task = "classification"
    integer_targets = True

    def __init__(self, in_features: int, classes: int) -> None:
        super().__init__(in_features, ())
        if classes < 2:
            raise SettingError("2 classes or more", str(classes), "pass targets of at least two classes")
        self.classes = classes
        self.linear = _linear(in_features, classes)

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:
        """Return the logits."""
        return self.linear(features)

    def distribution(self, parameters: Float[Tensor, "batch classes"]) -> Distribution:
        """Return a ``Categorical``."""
        return Categorical(logits=parameters)

    def probabilities(self, parameters: Float[Tensor, "batch classes"]) -> Float[Tensor, "batch classes"]:
        """Return the softmax of the logits."""
        return parameters.softmax(-1)

    def point(self, parameters: Float[Tensor, "batch classes"]) -> Int[Tensor, " batch"]:
        """Return the index of the likeliest class."""
        return parameters.argmax(-1)

    def scores(
        self, parameters: Float[Tensor, "batch classes"], targets: Int[Tensor, " batch"]
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Return ``correct``: one where the likeliest class is the target, else zero."""
        return {"correct": (parameters.argmax(-1) == targets).to(parameters.dtype)}

    def _loss(self, parameters: Tensor, targets: Tensor, reduction: Reduction, smoothing: float) -> Tensor:
        return F.cross_entropy(parameters, targets, reduction=reduction, label_smoothing=smoothing)


class BinaryHead(ClassHead):
    """One of two classes: one logit; ``p(y = 1) = sigmoid(z)``.

    Parameters
    ----------
    in_features : int
        Width of the features. Targets are 0 or 1, best in the parameters' floating type.

    Examples
    --------
    >>> head = BinaryHead(8)
    >>> head.probabilities(head(torch.zeros(1, 8))).tolist()
    [[0.5, 0.5]]

    References
    ----------
    Goodfellow et al. 2016, §6.2.2.2, eq. 6.20-6.26.
    """

    task = "classification"

    def __init__(self, in_features: int) -> None:
        super().__init__(in_features, ())
        self.linear = _linear(in_features, 1)

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, " batch"]:
        """Return the logit of class 1."""
        return self.linear(features).squeeze(-1)

    def distribution(self, parameters: Float[Tensor, " batch"]) -> Distribution:
        """Return a ``Bernoulli``."""
        return Bernoulli(logits=parameters)

    def probabilities(self, parameters: Float[Tensor, " batch"]) -> Float[Tensor, "batch 2"]:
        """Return the probabilities of classes 0 and 1."""
        return torch.stack([torch.sigmoid(-parameters), torch.sigmoid(parameters)], -1)

    def point(self, parameters: Float[Tensor, " batch"]) -> Int[Tensor, " batch"]:
        """Return the likelier class."""
        return (parameters > 0).long()

    def scores(
        self, parameters: Float[Tensor, " batch"], targets: Shaped[Tensor, " batch"]
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Return ``correct``: one where the likelier class is the target, else zero."""
        return {"correct": ((parameters > 0) == (targets > 0.5)).to(parameters.dtype)}

    def _loss(self, parameters: Tensor, targets: Tensor, reduction: Reduction, smoothing: float) -> Tensor:
        targets = targets.to(parameters.dtype)
        if smoothing:
            targets = targets * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy_with_logits(parameters, targets, reduction=reduction)


class MultiLabelHead(ClassHead):
    """Any number of labels at once, independent given the features: one logit a label.

    Parameters
    ----------
    in_features : int
        Width of the features.
    labels : int
        Number of labels; targets are a matrix of 0 and 1 of shape ``(batch, labels)``.

    Examples
    --------
    >>> head = MultiLabelHead(8, 3)
    >>> head.probabilities(head(torch.zeros(1, 8))).tolist()
    [[0.5, 0.5, 0.5]]

    References
    ----------
    Goodfellow et al. 2016, §6.2.2.2, one sigmoid unit for each label.
    """

    task = "multilabel"

    def __init__(self, in_features: int, labels: int) -> None:
        super().__init__(in_features, (labels,))
        self.linear = _linear(in_features, labels)

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch labels"]:
        """Return the logit of each label."""
        return self.linear(features)

    def distribution(self, parameters: Float[Tensor, "batch labels"]) -> Distribution:
        """Return independent ``Bernoulli`` variables with an event of all labels."""
        return Independent(Bernoulli(logits=parameters), 1)

    def probabilities(self, parameters: Float[Tensor, "batch labels"]) -> Float[Tensor, "batch labels"]:
        """Return the probability of each label."""
        return parameters.sigmoid()

    def point(self, parameters: Float[Tensor, "batch labels"]) -> Int[Tensor, "batch labels"]:
        """Return one for each label that is likelier there than not."""
        return (parameters > 0).long()

    def scores(
        self, parameters: Float[Tensor, "batch labels"], targets: Shaped[Tensor, "batch labels"]
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Return ``correct``, the share of labels predicted rightly, and ``exact``, whether all were."""
        right = ((parameters > 0) == (targets > 0.5)).to(parameters.dtype)
        return {"correct": right.mean(-1), "exact": right.amin(-1)}

    def _loss(self, parameters: Tensor, targets: Tensor, reduction: Reduction, smoothing: float) -> Tensor:
        targets = targets.to(parameters.dtype)
        if smoothing:
            targets = targets * (1 - smoothing) + smoothing / 2
        if reduction == "sum":
            return F.binary_cross_entropy_with_logits(parameters, targets, reduction="sum")
        return reduce(F.binary_cross_entropy_with_logits(parameters, targets, reduction="none"), "none")


# Two thresholds never come closer than this many logits: their difference must survive single precision.
_MINIMUM_GAP = 1e-3
# The logit of a cumulative probability of one.
_CERTAIN = 1e4


class OrdinalHead(ClassHead):
    """One of several ordered classes: the cumulative logit (proportional odds) model.

    ``p(y <= k) = sigmoid(θ_k - w·h)`` with one slope ``w`` and ordered thresholds ``θ_0 < θ_1 < ...``.

    Parameters
    ----------
    in_features : int
        Width of the features.
    classes : int
        Number of classes, 2 or more, in order; targets are int64 in ``[0, classes)``.

    Examples
    --------
    >>> head = OrdinalHead(8, 4)  # thresholds start where all classes are equally likely
    >>> head.probabilities(head(torch.zeros(1, 8))).round(decimals=4).tolist()
    [[0.25, 0.25, 0.25, 0.25]]

    References
    ----------
    McCullagh 1980, Regression Models for Ordinal Data, §2.2.
    """

    task = "classification"
    integer_targets = True

    def __init__(self, in_features: int, classes: int) -> None:
        super().__init__(in_features, ())
        if classes < 2:
            raise SettingError("2 classes or more", str(classes), "pass targets of at least two classes")
        self.classes = classes
        self.linear = _linear(in_features, 1, bias=False)
        start = torch.logit(torch.arange(1, classes, dtype=torch.float64) / classes)
        gaps = inverse_softplus(start.diff() - _MINIMUM_GAP)
        self.first_threshold = nn.Parameter(start[:1].float())
        self.raw_gaps = nn.Parameter(gaps.float())

    @property
    def thresholds(self) -> Float[Tensor, " cuts"]:
        """The ordered cut points θ between the classes."""
        rises = F.softplus(self.raw_gaps) + _MINIMUM_GAP
        return self.first_threshold + F.pad(rises.cumsum(0), (1, 0))

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch cuts"]:
        """Return the cumulative logits ``θ_k - w·h``, increasing along the last axis."""
        return self.thresholds - self.linear(features)

    def log_probabilities(self, parameters: Float[Tensor, "batch cuts"]) -> Float[Tensor, "batch classes"]:
        """Return the logarithm of each class's probability, without cancellation."""
        upper, lower = F.pad(parameters, (0, 1), value=_CERTAIN), F.pad(parameters, (1, 0), value=-_CERTAIN)
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), each factor safe in logarithms.
        return F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(lower - upper))

    def distribution(self, parameters: Float[Tensor, "batch cuts"]) -> Distribution:
        """Return a ``Categorical``."""
        return Categorical(logits=self.log_probabilities(parameters))

    def probabilities(self, parameters: Float[Tensor, "batch cuts"]) -> Float[Tensor, "batch classes"]:
        """Return the probability of each class."""
        return self.log_probabilities(parameters).exp()

    def point(self, parameters: Float[Tensor, "batch cuts"]) -> Int[Tensor, " batch"]:
        """Return the likeliest class."""
        return self.log_probabilities(parameters).argmax(-1)

    def scores(
        self, parameters: Float[Tensor, "batch cuts"], targets: Int[Tensor, " batch"]
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Return ``correct``, and ``distance``: by how many classes the likeliest one is off."""
        off = (self.point(parameters) - targets).abs()
        return {"correct": (off == 0).to(parameters.dtype), "distance": off.to(parameters.dtype)}

    def _loss(self, parameters: Tensor, targets: Tensor, reduction: Reduction, smoothing: float) -> Tensor:
        logs = self.log_probabilities(parameters)
        # The softmax inside leaves normalized logarithms as they are.
        return F.cross_entropy(logs, targets, reduction=reduction, label_smoothing=smoothing)
