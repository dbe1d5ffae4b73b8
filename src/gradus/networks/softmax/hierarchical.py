"""Hierarchical softmax: a class is a row of decisions, one at each node of a binary tree."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.networks.feedforward import initialize
from gradus.networks.heads.base import Reduction
from gradus.networks.heads.classification import ClassHead
from gradus.networks.softmax.trees import Tree

__all__ = ["HierarchicalSoftmax", "StructuredSoftmax", "check_targets"]


class StructuredSoftmax(ClassHead, ABC):
    """Base of the heads over classes that know one class's probability without computing all.

    As a head it answers like `CategoricalHead`; its parameters are log-probabilities.

    Parameters
    ----------
    in_features : int
        Width of the features.
    classes : int
        Number of classes, 2 or more.
    """

    task = "classification"
    integer_targets = True

    def __init__(self, in_features: int, classes: int) -> None:
        super().__init__(in_features, ())
        if classes < 2:
            raise SettingError("2 classes or more", str(classes), "pass as many as there are targets")
        self.classes = classes

    @abstractmethod
    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:
        """Return the log-probabilities of all classes, in nats."""

    @abstractmethod
    def log_prob(
        self, features: Float[Tensor, "batch features"], targets: Int[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """Return the log-probability of one class for each row, in nats, without computing the others'."""

    def distribution(self, parameters: Float[Tensor, "batch classes"]) -> Distribution:
        """Return a ``Categorical``."""
        return Categorical(logits=parameters)

    def probabilities(self, parameters: Float[Tensor, "batch classes"]) -> Float[Tensor, "batch classes"]:
        """Return the probabilities of all classes."""
        return parameters.exp()

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


def check_targets(features: Tensor, targets: Tensor) -> None:
    """Refuse targets that are not one class a row; values are left to the look-up."""
    if targets.shape != features.shape[:1]:
        mend = "pass one class for each row of features"
        raise InputError(f"targets of shape {tuple(features.shape[:1])}", str(tuple(targets.shape)), mend)


class HierarchicalSoftmax(StructuredSoftmax):
    r"""A distribution over classes as decisions on the way from a tree's root to a leaf.

    .. math::
        \log p(y \mid h) = \sum_{n \in \mathrm{way}(y)} \log \sigma\bigl(s_n(y)\, (w_n^\top h + b_n)\bigr)

    with the sign :math:`s_n(y)` positive where the way goes left. The probability of one class, and its gradient,
    costs as many products as its code is long: about :math:`\log_2` of the number of classes, with Huffman's tree
    about the entropy of the classes in bits. The probabilities of all sum to one in any tree.

    Parameters
    ----------
    in_features : int
        Width of the features, 1 or more.
    tree : Tree
        From `huffman_tree` or `balanced_tree`.

    Raises
    ------
    SettingError
        If the width is less than one.

    Examples
    --------
    >>> from gradus.networks.softmax import huffman_tree
    >>> head = HierarchicalSoftmax(8, huffman_tree([50, 30, 15, 5]))
    >>> features = torch.randn(2, 8)
    >>> head(features).exp().sum(1).allclose(torch.ones(2))
    True
    >>> head.log_prob(features, torch.tensor([0, 3])).shape
    torch.Size([2])

    References
    ----------
    Goodfellow et al. 2016, §12.4.3.2; Morin and Bengio 2005; Mikolov et al. 2013 (Huffman's tree).
    """

    nodes: Tensor
    signs: Tensor

    def __init__(self, in_features: int, tree: Tree) -> None:
        super().__init__(in_features, len(tree.nodes))
        self.register_buffer("nodes", tree.nodes)
        self.register_buffer("signs", tree.signs)
        self.decisions = nn.Linear(in_features, self.classes - 1)
        initialize(self.decisions, "glorot")

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:
        """Return the log-probabilities of all classes, in nats."""
        scores = self.decisions(features)
        total = scores.new_zeros(len(features), self.classes)
        for nodes, signs in zip(self.nodes.unbind(1), self.signs.unbind(1), strict=True):
            total = total + F.logsigmoid(scores[:, nodes] * signs) * signs.abs()
        return total

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
        nodes, signs = self.nodes[targets], self.signs[targets]
        if signs.device.type == "cpu" and len(signs):  # on an accelerator, looking would cost more than it saves
            longest = int((signs != 0).sum(1).max())
            nodes, signs = nodes[:, :longest], signs[:, :longest]
        weights = F.embedding(nodes, self.decisions.weight)
        scores = torch.einsum("bnf,bf->bn", weights, features) + self.decisions.bias[nodes]
        return (F.logsigmoid(scores * signs) * signs.abs()).sum(1)
