"""Two-level softmax: first the group of a class, then the class within its group."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError
from gradus.networks.feedforward import initialize
from gradus.networks.softmax.hierarchical import StructuredSoftmax, check_targets

__all__ = ["TwoLevelSoftmax"]


class TwoLevelSoftmax(StructuredSoftmax):
    r"""A distribution over classes in two steps, each a softmax.

    .. math:: p(y \mid h) = p(g(y) \mid h)\, p(y \mid g(y), h)

    With about :math:`\sqrt{n}` groups of :math:`\sqrt{n}` classes, one class costs about :math:`2 \sqrt{n}` products
    instead of :math:`n`, in two matrix products: fewer operations than a tree saves, but of a kind that is fast.

    Parameters
    ----------
    in_features : int
        Width of the features, 1 or more.
    groups : int or sequence of int
        The number of classes, which are cut in their order into about its root of groups; or the group of each
        class, numbered from 0 without a gap. Memory follows the largest group.

    Raises
    ------
    SettingError
        If there are fewer than two classes, or the width is less than one.
    InputError
        If a group is empty.

    Examples
    --------
    >>> head = TwoLevelSoftmax(8, [0, 1, 1, 0, 2])
    >>> features = torch.randn(2, 8)
    >>> head(features).exp().sum(1).allclose(torch.ones(2))
    True

    References
    ----------
    Goodfellow et al. 2016, §12.4.3.2; Goodman 2001.
    """

    group_of: Tensor
    place_of: Tensor
    members: Tensor

    def __init__(self, in_features: int, groups: int | Sequence[int]) -> None:
        if isinstance(groups, int):
            size = ceil(sqrt(max(groups, 1)))
            groups = [i // size for i in range(groups)]
        super().__init__(in_features, len(groups))
        group_of = torch.tensor(list(groups))
        sizes = torch.bincount(group_of) if int(group_of.min()) >= 0 else torch.zeros(1)
        if int(sizes.min()) == 0:
            mend = "number the groups 0, 1, 2, ..., each with a class in it"
            raise InputError("groups without a gap", f"numbers from {int(group_of.min())}", mend)
        members = torch.full((len(sizes), int(sizes.max())), -1)
        place_of = torch.zeros_like(group_of)
        for group in range(len(sizes)):
            inside = (group_of == group).nonzero().squeeze(1)
            members[group, : len(inside)] = inside
            place_of[inside] = torch.arange(len(inside))
        self.register_buffer("group_of", group_of)
        self.register_buffer("place_of", place_of)
        self.register_buffer("members", members)
        self.between = nn.Linear(in_features, len(sizes))
        self.within = nn.Linear(in_features, self.classes)
        initialize(self.between, "glorot")
        initialize(self.within, "glorot")

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:
        """Return the log-probabilities of all classes, in nats."""
        scores = self.within(features)[:, self.members].masked_fill(self.members < 0, -torch.inf)
        inside = scores.log_softmax(2)[:, self.group_of, self.place_of]
        return self.between(features).log_softmax(1)[:, self.group_of] + inside

    def log_prob(
        self, features: Float[Tensor, "batch features"], targets: Int[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """Return the log-probability of one class for each row, in nats.

        Raises
        ------
        InputError
            If the targets are not one class a row.
        """
        check_targets(features, targets)
        groups = self.group_of[targets].unsqueeze(1)
        members = self.members[groups.squeeze(1)]
        weights = F.embedding(members.clamp_min(0), self.within.weight)
        scores = torch.einsum("bnf,bf->bn", weights, features) + self.within.bias[members.clamp_min(0)]
        inside = scores.masked_fill(members < 0, -torch.inf).log_softmax(1)
        chosen = self.place_of[targets].unsqueeze(1)
        return (self.between(features).log_softmax(1).gather(1, groups) + inside.gather(1, chosen)).squeeze(1)
