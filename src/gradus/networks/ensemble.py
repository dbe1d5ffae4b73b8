"""Several networks side by side, whose distributions are averaged (§7.11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, MixtureSameFamily, Normal
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.foundations.log_space import log_mean_exp
from gradus.networks.headed import HeadedNetwork
from gradus.networks.heads import (
    BinaryHead,
    CategoricalHead,
    ClassHead,
    GaussianHead,
    Head,
    MixtureDensityHead,
    MultiLabelHead,
    NumberHead,
    OrdinalHead,
    QuantileHead,
)
from gradus.networks.heads.base import Reduction

__all__ = ["EnsembleBody", "EnsembleClassHead", "EnsembleNumberHead", "ensemble", "mixture"]


def mixture(heads: Sequence[Any], parameters: Float[Tensor, " batch members *parameters"]) -> Distribution:
    """Return the even mixture of the distributions that heads of one kind make of their parameters.

    ``p(y|x) = 1/K Σ_k p_k(y|x)``. Quantiles are averaged level by level instead.

    Parameters
    ----------
    heads : sequence of Head
        One for each member, or one for all.
    parameters : Tensor of shape (batch, members, ...)
        What each member's head returned.

    Returns
    -------
    Distribution
        Of batch shape (batch,): ``Categorical`` for classes, ``Bernoulli`` for two, ``MixtureSameFamily`` for numbers
        and for several labels.

    Raises
    ------
    InputError
        If there are neither one nor as many heads as members.

    Examples
    --------
    >>> head = BinaryHead(1)
    >>> mixture([head], torch.tensor([[-100.0, 100.0]])).probs.tolist()
    [0.5]

    References
    ----------
    Goodfellow et al. 2016, §7.11; Lakshminarayanan et al. 2017, Simple and Scalable Predictive Uncertainty Estimation
    using Deep Ensembles, eq. 2.
    """
    members = parameters.shape[1]
    if len(heads) not in (1, members):
        raise InputError(f"1 or {members} heads", str(len(heads)), "pass one for each member")
    head = heads[0]
    own = list(heads) if len(heads) == members else [head] * members
    parts = list(zip(own, parameters.unbind(1), strict=True))
    if isinstance(head, CategoricalHead | OrdinalHead):
        categorical = isinstance(head, CategoricalHead)
        logs = [part.log_softmax(-1) if categorical else one.log_probabilities(part) for one, part in parts]
        return Categorical(logits=log_mean_exp(torch.stack(logs)))
    if isinstance(head, BinaryHead):
        return Bernoulli(logits=F.logsigmoid(parameters).logsumexp(1) - F.logsigmoid(-parameters).logsumexp(1))
    if isinstance(head, QuantileHead):
        return head.distribution(parameters.mean(1))
    even = Categorical(logits=torch.zeros(parameters.shape[:2], dtype=parameters.dtype, device=parameters.device))
    if isinstance(head, MultiLabelHead):
        return MixtureSameFamily(even, Independent(Bernoulli(logits=parameters), 1))
    if isinstance(head, GaussianHead):  # each member may have a variance of its own
        each = [one.distribution(part) for one, part in parts]
        normal = Normal(torch.stack([d.mean for d in each], 1), torch.stack([d.stddev for d in each], 1))
        return MixtureSameFamily(even, Independent(normal, 1) if head.event_shape else normal)
    if isinstance(head, MixtureDensityHead):  # a mixture of mixtures is one of all their components
        logits, means, stds = (torch.cat(split, 1) for split in zip(*(h._split(p) for h, p in parts), strict=True))
        joint = Categorical(logits=logits.unflatten(1, (members, -1)).log_softmax(-1).flatten(1))
        if head.event_shape:
            return MixtureSameFamily(joint, Independent(Normal(means, stds), 1))
        return MixtureSameFamily(joint, Normal(means.squeeze(-1), stds.squeeze(-1)))
    return MixtureSameFamily(even, head.distribution(parameters))


class EnsembleBody(nn.Module):
    """Bodies that read the same inputs.

    Parameters
    ----------
    members : sequence of Module
        Bodies of one kind, each with ``out_features``.

    Attributes
    ----------
    out_features : int
        Width of each member's features.

    Examples
    --------
    >>> from gradus.networks import MLP
    >>> EnsembleBody([MLP(4, (8,)) for _ in range(3)])(torch.zeros(5, 4)).shape
    torch.Size([5, 3, 8])
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.out_features: Any = members[0].out_features

    def forward(self, *inputs: Tensor) -> Float[Tensor, "batch members features"]:
        """Return each member's features."""
        return torch.stack([member(*inputs) for member in self.members], 1)


class _Members:
    """What both ensemble heads do: each member reads its features and pays for its own answer."""

    members: Any

    def forward(self, features: Float[Tensor, "batch members features"]) -> Float[Tensor, " batch members *rest"]:
        """Return each member's parameters."""
        return torch.stack([head(part) for head, part in zip(self.members, features.unbind(1), strict=True)], 1)

    def distribution(self, parameters: Float[Tensor, " batch members *rest"]) -> Distribution:
        """Return the even mixture of the members' distributions."""
        return mixture(list(self.members), parameters)

    def _likelihood_loss(self) -> bool:
        return False  # the training loss is the members' mean, not that of their mixture

    def _loss(self, parameters: Tensor, targets: Tensor, reduction: Reduction, smoothing: float) -> Tensor:
        parts = zip(self.members, parameters.unbind(1), strict=True)
        total: Tensor = sum(head._loss(part, targets, reduction, smoothing) for head, part in parts)
        # In value the mean, in gradient the sum: every member takes the steps it would take alone.
        return total - (1 - 1 / len(self.members)) * total.detach()


class EnsembleClassHead(_Members, ClassHead):
    """Heads over classes, one for each member; probabilities are the members' mean.

    Parameters
    ----------
    members : sequence of ClassHead
        Of one kind.

    Examples
    --------
    >>> head = EnsembleClassHead([CategoricalHead(8, 3) for _ in range(5)])
    >>> head.probabilities(head(torch.zeros(2, 5, 8))).shape
    torch.Size([2, 3])

    References
    ----------
    Goodfellow et al. 2016, §7.11; Lakshminarayanan et al. 2017.
    """

    def __init__(self, members: Sequence[ClassHead]) -> None:
        super().__init__(members[0].in_features, members[0].event_shape)
        self.members: Any = nn.ModuleList(members)
        self.task = members[0].task  # type: ignore[misc]
        self.integer_targets = members[0].integer_targets  # type: ignore[misc]

    def probabilities(self, parameters: Float[Tensor, " batch members *rest"]) -> Float[Tensor, "batch probabilities"]:
        """Return the members' mean probability of each class or label."""
        parts = zip(self.members, parameters.unbind(1), strict=True)
        return torch.stack([head.probabilities(part) for head, part in parts]).mean(0)

    def point(self, parameters: Float[Tensor, " batch members *rest"]) -> Shaped[Tensor, " batch *event"]:
        """Return the class of the highest mean probability; of labels, those likelier there than not."""
        mean = self.probabilities(parameters)
        return (mean > 0.5).long() if self.event_shape else mean.argmax(-1)

    def scores(
        self, parameters: Float[Tensor, " batch members *rest"], targets: Shaped[Tensor, " batch *event"]
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Return ``correct``, and as the members do ``exact`` (labels) or ``distance`` (ordered classes)."""
        point = self.point(parameters)
        right = (point == targets.round().long()).to(parameters.dtype)
        if isinstance(self.members[0], MultiLabelHead):
            return {"correct": right.mean(-1), "exact": right.amin(-1)}
        if isinstance(self.members[0], OrdinalHead):
            return {"correct": right, "distance": (point - targets).abs().to(parameters.dtype)}
        return {"correct": right}


class EnsembleNumberHead(_Members, NumberHead):
    """Heads over numbers, one for each member; the prediction is the members' mean.

    Parameters
    ----------
    members : sequence of NumberHead
        Of one kind.

    Examples
    --------
    >>> head = EnsembleNumberHead([GaussianHead(8, variance="learned") for _ in range(5)])
    >>> head.distribution(head(torch.zeros(2, 5, 8))).mean.shape
    torch.Size([2])

    References
    ----------
    Goodfellow et al. 2016, §7.11; Lakshminarayanan et al. 2017.
    """

    def __init__(self, members: Sequence[NumberHead]) -> None:
        outputs = members[0].event_shape
        super().__init__(members[0].in_features, outputs[0] if outputs else None)
        self.members: Any = nn.ModuleList(members)
        self.task = members[0].task  # type: ignore[misc]

    def _start(self, mean: Tensor, std: Tensor) -> None:
        self.location.copy_(mean)
        for head in self.members:
            head._start(mean, std)

    def point(self, parameters: Float[Tensor, " batch members *rest"]) -> Float[Tensor, " batch *event"]:
        """Return the mean of the members' predictions."""
        parts = zip(self.members, parameters.unbind(1), strict=True)
        return torch.stack([head.point(part) for head, part in parts]).mean(0)


def ensemble(networks: Sequence[nn.Module]) -> HeadedNetwork:
    """Return one network of several: they share the first one's preparation, and their distributions are averaged.

    Its loss is the members' mean loss, whose gradient in each member is that of the member alone. Members differ by
    where they start.

    Parameters
    ----------
    networks : sequence of HeadedNetwork
        Of one kind, with heads over classes or numbers.

    Raises
    ------
    SettingError
        If there is none, or one is no `HeadedNetwork`.

    Examples
    --------
    >>> from gradus.networks import MLP
    >>> both = ensemble([HeadedNetwork(None, MLP(4, (8,)), BinaryHead(8)) for _ in range(2)])
    >>> both.head.probabilities(both(torch.zeros(5, 4))).shape
    torch.Size([5, 2])
    """
    headed = [network for network in networks if type(network) is HeadedNetwork]
    if not headed or len(headed) != len(networks):
        kinds = ", ".join(sorted({type(network).__name__ for network in networks})) or "none"
        raise SettingError("networks of preparation, body and head", kinds, "set members=1")
    heads: list[Any] = [network.head for network in headed]
    body = EnsembleBody([network.body for network in headed])
    head: Head = EnsembleClassHead(heads) if isinstance(heads[0], ClassHead) else EnsembleNumberHead(heads)
    return HeadedNetwork(headed[0].prepare, body, head)
