"""Outputs over many classes that cost less than a full softmax (§12.4.3)."""

from __future__ import annotations

from gradus.networks.softmax.alias import AliasTable
from gradus.networks.softmax.hierarchical import HierarchicalSoftmax, StructuredSoftmax
from gradus.networks.softmax.trees import Tree, balanced_tree, huffman_tree
from gradus.networks.softmax.two_level import TwoLevelSoftmax

__all__ = [
    "AliasTable",
    "HierarchicalSoftmax",
    "StructuredSoftmax",
    "Tree",
    "TwoLevelSoftmax",
    "balanced_tree",
    "huffman_tree",
]
