"""Recursive networks: one composition applied at every node of a binary tree (§10.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradus.core.errors import InputError
from gradus.networks.checks import check_sizes, chosen

__all__ = ["COMPOSITIONS", "Composed", "Forest", "Level", "Tree", "TreeNetwork"]

# A leaf is the position of its features in the sequence; an inner node is a pair. Written so, a type checker
# needs recursion: Tree = int | tuple[Tree, Tree].
Tree = Any

COMPOSITIONS = ("affine", "tensor", "lstm")


class Level(NamedTuple):
    """Inner nodes of one height: the numbers of their left and right children."""

    left: Tensor
    right: Tensor


@dataclass(frozen=True)
class Forest:
    """A batch of binary trees, its nodes ordered by height so that each height is one matrix product.

    Node numbers count all leaves first, then the inner nodes of height 1, of height 2, and so on.

    Attributes
    ----------
    examples, positions : Tensor of shape (leaves,)
        Where in the batch each leaf takes its features.
    levels : tuple of Level
        Inner nodes by height, lowest first.
    roots : Tensor of shape (trees,)
        Number of each tree's root.
    postorder : Tensor of shape (nodes,)
        Numbers of all nodes, tree after tree, children before their parents and left before right: the order
        in which labelled trees are written.
    counts : Tensor of shape (trees,)
        Number of nodes of each tree.

    Examples
    --------
    >>> forest = Forest.of([((0, 1), 2), 0])
    >>> [len(level.left) for level in forest.levels], forest.counts.tolist(), forest.roots.tolist()
    ([1, 1], [5, 1], [5, 3])
    """

    examples: Tensor
    positions: Tensor
    levels: tuple[Level, ...]
    roots: Tensor
    postorder: Tensor
    counts: Tensor

    @classmethod
    def of(cls, trees: Sequence[Tree]) -> Forest:
        """Plan the evaluation of trees given as nested pairs of positions.

        Parameters
        ----------
        trees : sequence
            One for each example: a leaf is an integer, the position of its features; an inner node is a pair
            ``(left, right)``. Of any depth.

        Returns
        -------
        Forest
            The plan, to be used again whenever the same trees come.

        Raises
        ------
        InputError
            If there is no tree, or a node is neither a position nor a pair.
        """
        if not len(trees):
            raise InputError("one tree or more", "none", "leave empty batches out")
        height: list[int] = []  # of every node, in postorder over all trees
        children: list[tuple[int, int] | None] = []
        leaves: list[tuple[int, int]] = []
        roots, counts = [], []
        for example, tree in enumerate(trees):
            before = len(height)
            for item in _postorder(tree, example):
                if isinstance(item, int):
                    leaves.append((example, item))
                    children.append(None)
                    height.append(0)
                else:
                    left, right = (before + child for child in item)
                    children.append((left, right))
                    height.append(1 + max(height[left], height[right]))
            roots.append(len(height) - 1)
            counts.append(len(height) - before)
        order = torch.tensor(height).argsort(stable=True)
        number = torch.empty_like(order)
        number[order] = torch.arange(len(order))
        levels = []
        by_level: list[list[tuple[int, int]]] = [[] for _ in range(max(height))]
        for node in order[len(leaves) :].tolist():
            pair = children[node]
            if pair is not None:
                by_level[height[node] - 1].append(pair)
        for pairs in by_level:
            columns = number[torch.tensor(pairs)]
            levels.append(Level(columns[:, 0].contiguous(), columns[:, 1].contiguous()))
        where = torch.tensor(leaves)
        return cls(where[:, 0], where[:, 1], tuple(levels), number[torch.tensor(roots)], number, torch.tensor(counts))

    def to(self, device: torch.device | str) -> Forest:
        """Return the plan on another device."""
        levels = tuple(Level(*(part.to(device) for part in level)) for level in self.levels)
        rest = (self.roots, self.postorder, self.counts)
        return Forest(self.examples.to(device), self.positions.to(device), levels, *(part.to(device) for part in rest))


def _postorder(tree: Tree, example: int) -> list[int | tuple[int, int]]:
    """List leaves as positions and inner nodes as pairs of indices into the list, without recursion."""
    listed: list[int | tuple[int, int]] = []
    waiting: list[tuple[Tree, bool]] = [(tree, False)]
    finished: list[int] = []
    while waiting:
        node, below_done = waiting.pop()
        if isinstance(node, int) and not isinstance(node, bool) and node >= 0:
            listed.append(node)
        elif not (isinstance(node, tuple | list) and len(node) == 2):
            mend = "write a tree as ((0, 1), 2)"
            raise InputError("positions of 0 or more and pairs", f"{str(node)[:40]!r} in tree {example}", mend)
        elif not below_done:
            waiting += [(node, True), (node[1], False), (node[0], False)]
            continue
        else:
            right, left = finished.pop(), finished.pop()
            listed.append((left, right))
        finished.append(len(listed) - 1)
    return listed


class Composed(NamedTuple):
    """What a recursive network makes of a batch of trees.

    Attributes
    ----------
    roots : Tensor of shape (trees, width)
        The representation of each whole tree.
    nodes : Tensor of shape (nodes, width)
        That of every node, tree after tree, each in postorder (children before parents, left before right).
    """

    roots: Float[Tensor, "trees width"]
    nodes: Float[Tensor, "nodes width"]


class TreeNetwork(nn.Module):
    r"""A recursive network: the same composition of two children at every node of a binary tree.

    Leaves are :math:`\tanh(V x + b_0)`. With :math:`z = [l; r]` an inner node is

    - ``"affine"``: :math:`\tanh(W z + b)`;
    - ``"tensor"``: :math:`\tanh(z^\top T z + W z + b)`, one bilinear form a unit, through which children multiply;
    - ``"lstm"``: :math:`c = i \odot u + f_l \odot c_l + f_r \odot c_r, \; h = o \odot \tanh c` with gates from
      ``z``, its forget gates open at the start; the cell of a leaf is :math:`V x + b_0`.

    All nodes of the same height, of all trees, are one product. A sequence of length τ composed along a balanced
    tree passes O(log τ) compositions instead of τ.

    Parameters
    ----------
    in_features : int
        Width of a leaf's features, 1 or more.
    width : int
        Width of the representation of a node, 1 or more.
    composition : {"affine", "tensor", "lstm"}
        What happens at a node.

    Attributes
    ----------
    out_features : int
        Width of the representations.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range.

    Examples
    --------
    >>> network = TreeNetwork(3, 8)
    >>> words = torch.randn(2, 4, 3)
    >>> roots, nodes = network(words, Forest.of([((0, 1), (2, 3)), (0, (1, 2))]))
    >>> roots.shape, nodes.shape
    (torch.Size([2, 8]), torch.Size([12, 8]))

    References
    ----------
    Goodfellow et al. 2016, §10.6, figure 10.14; Pollack 1990; Socher et al. 2013 (tensor); Tai et al. 2015,
    §3.2 (lstm).
    """

    def __init__(self, in_features: int, width: int = 128, *, composition: str = "affine") -> None:
        super().__init__()
        chosen(composition, COMPOSITIONS, "composition")
        check_sizes(in_features=in_features, width=width)
        self.in_features, self.out_features, self.composition = in_features, width, composition
        self.leaf = nn.Linear(in_features, width)
        self.node = nn.Linear(2 * width, 5 * width if composition == "lstm" else width)
        for linear in (self.leaf, self.node):
            nn.init.zeros_(linear.bias)
        for block in self.node.weight.data.split(width):
            nn.init.xavier_uniform_(block)
        if composition == "lstm":
            self.node.bias.data[: 2 * width] = 1.0
        elif composition == "tensor":
            # Small beside the affine part, which thus begins as the network without it.
            self.interactions = nn.Parameter(torch.randn(width, 2 * width, 2 * width) * 0.1 / (2 * width))

    def forward(self, inputs: Float[Tensor, "batch positions features"], forest: Forest) -> Composed:
        """Compose the features of leaves along trees.

        Parameters
        ----------
        inputs : Tensor of shape (batch, positions, in_features)
            Features by position; positions that no leaf names are not read.
        forest : Forest
            One tree for each example, made by :meth:`Forest.of`, on the device of the inputs.

        Returns
        -------
        Composed
            ``(roots, nodes)``.

        Raises
        ------
        InputError
            If shapes do not fit, or a leaf names a position that is not there.
        """
        if inputs.ndim != 3 or inputs.shape[2] != self.in_features:
            expected = f"leaves of shape (batch, positions, {self.in_features})"
            raise InputError(expected, str(tuple(inputs.shape)), "put the batch first, then positions, then features")
        if len(forest.roots) != len(inputs):
            mend = "plan one tree for each example"
            raise InputError(f"{len(inputs)} trees", str(len(forest.roots)), mend)
        if int(forest.positions.max()) >= inputs.shape[1]:
            mend = "number the leaves by their position in the sequence, from 0"
            raise InputError(f"leaves from 0 to {inputs.shape[1] - 1}", str(int(forest.positions.max())), mend)
        begin = self.leaf(inputs[forest.examples, forest.positions])
        # An LSTM's nodes are hidden units and cells side by side.
        nodes = torch.cat([torch.tanh(begin), begin], 1) if self.composition == "lstm" else torch.tanh(begin)
        for left, right in forest.levels:
            nodes = torch.cat([nodes, self._compose(nodes[left], nodes[right])])
        hidden = nodes[:, : self.out_features]
        return Composed(hidden[forest.roots], hidden[forest.postorder])

    def _compose(self, left: Tensor, right: Tensor) -> Tensor:
        width = self.out_features
        children = torch.cat([left[:, :width], right[:, :width]], 1)
        if self.composition == "affine":
            return torch.tanh(self.node(children))
        if self.composition == "tensor":
            products = torch.einsum("ni,kij,nj->nk", children, self.interactions, children)
            return torch.tanh(products + self.node(children))
        keep_left, keep_right, let_in, let_out, new = self.node(children).chunk(5, 1)
        cell = torch.sigmoid(keep_left) * left[:, width:] + torch.sigmoid(keep_right) * right[:, width:]
        cell = cell + torch.sigmoid(let_in) * torch.tanh(new)
        return torch.cat([torch.sigmoid(let_out) * torch.tanh(cell), cell], 1)
