"""Binary trees whose leaves are classes: the way to a leaf is a code."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gradus.core.errors import InputError, SettingError

__all__ = ["Tree", "balanced_tree", "huffman_tree"]


class Tree(NamedTuple):
    """A binary tree with a class at each leaf, as the ways from the root.

    Attributes
    ----------
    nodes : Tensor of shape (classes, depth)
        Inner nodes passed on the way to each class, the root first; 0 after the end.
    signs : Tensor of shape (classes, depth)
        1 where the way goes left there, -1 where right; 0 after the end.

    Examples
    --------
    >>> huffman_tree([6, 3, 1]).codes()
    ['1', '01', '00']
    """

    nodes: Int[Tensor, "classes depth"]
    signs: Float[Tensor, "classes depth"]

    def codes(self) -> list[str]:
        """Return each class's code: ``0`` for left, ``1`` for right."""
        return ["".join("0" if sign > 0 else "1" for sign in row if sign) for row in self.signs.tolist()]

    def lengths(self) -> Int[Tensor, " classes"]:
        """Return the number of decisions that lead to each class."""
        return (self.signs != 0).sum(1)


def huffman_tree(counts: Sequence[float] | Sequence[int] | np.ndarray) -> Tree:
    """Return Huffman's tree: of all, the one with the fewest decisions on average, frequent classes near the root.

    Parameters
    ----------
    counts : array-like of shape (classes,)
        How often each class comes; 0 or more, of 2 classes or more.

    Raises
    ------
    InputError
        If a count is negative or not finite, or there are fewer than two.

    References
    ----------
    Huffman 1952; Goodfellow et al. 2016, §12.4.3.2.
    """
    weights = np.asarray(counts, dtype=np.float64)
    if weights.ndim != 1 or len(weights) < 2 or not np.isfinite(weights).all() or (weights < 0).any():
        received = f"{weights.shape}" if weights.ndim != 1 or len(weights) < 2 else "others"
        raise InputError("counts of 2 classes or more, finite and 0 or more", received, "pass one for each class")
    # Leaves are 0 to n - 1, inner nodes n to 2 n - 2 in the order made: the root is the last.
    n = len(weights)
    heap = [(weight, leaf) for leaf, weight in enumerate(weights.tolist())]
    heapq.heapify(heap)
    children: list[tuple[int, int]] = []
    while len(heap) > 1:
        (light, left), (heavy, right) = heapq.heappop(heap), heapq.heappop(heap)
        heapq.heappush(heap, (light + heavy, n + len(children)))
        children.append((left, right))
    return _from_children(children, n)


def balanced_tree(classes: int) -> Tree:
    """Return the tree that halves the classes, in their order, again and again: depth ``ceil(log2(classes))``.

    Classes near each other in the order share most of their way.

    Parameters
    ----------
    classes : int
        2 or more.

    Raises
    ------
    SettingError
        If there are fewer than two.

    Examples
    --------
    >>> balanced_tree(4).codes()
    ['00', '01', '10', '11']
    """
    if classes < 2:
        raise SettingError("2 classes or more", str(classes), "pass as many as there are targets")
    halves: list[tuple[int, int]] = []

    def halve(low: int, high: int) -> int:
        """Return the node over classes ``low`` to ``high``; below, before above, so that the root is the last."""
        if high - low == 1:
            return low
        middle = (low + high + 1) // 2
        halves.append((halve(low, middle), halve(middle, high)))
        return classes + len(halves) - 1

    halve(0, classes)
    return _from_children(halves, classes)


def _from_children(children: list[tuple[int, int]], classes: int) -> Tree:
    """Walk down from the root, which is the last inner node, and number the inner nodes from it."""
    ways: dict[int, list[tuple[int, float]]] = {classes + len(children) - 1: []}
    for inner in range(len(children) - 1, -1, -1):  # every node was made after those below it
        way, number = ways.pop(classes + inner), len(children) - 1 - inner
        for child, sign in zip(children[inner], (1.0, -1.0), strict=True):
            ways[child] = [*way, (number, sign)]
    depth = max(map(len, ways.values()))
    nodes = torch.zeros(classes, depth, dtype=torch.int64)
    signs = torch.zeros(classes, depth)
    for leaf, way in ways.items():
        nodes[leaf, : len(way)] = torch.tensor([node for node, _ in way])
        signs[leaf, : len(way)] = torch.tensor([sign for _, sign in way])
    return Tree(nodes, signs)
