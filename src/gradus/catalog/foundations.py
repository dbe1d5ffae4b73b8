"""Chapters 2 to 5: the mathematics that the rest stands on."""

from __future__ import annotations

from gradus.catalog.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    Entry("rank", "2.8", "function", "gradus.foundations.linear_algebra:rank",
          "rank of a matrix up to a stated tolerance",
          "import torch; from gradus.foundations.linear_algebra import rank; rank(torch.eye(3))"),
    Entry("randomized SVD", "2.8", "function", "gradus.foundations.linear_algebra:randomized_svd",
          "the largest singular values by a random sketch and power iterations",
          "from gradus.foundations.linear_algebra import randomized_svd"),
    Entry("pseudo-inverse", "2.9", "function", "gradus.foundations.linear_algebra:pseudo_inverse",
          "Moore-Penrose inverse with a tolerance for what counts as zero",
          "from gradus.foundations.linear_algebra import pseudo_inverse"),
    Entry("condition number", "4.2", "function", "gradus.foundations.linear_algebra:condition_number",
          "how far an error in the data can grow in a solution",
          "from gradus.foundations.linear_algebra import condition_number"),
)  # fmt: skip
