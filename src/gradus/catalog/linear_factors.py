"""Chapter 13: linear factor models."""

from __future__ import annotations

from gradus.catalog.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    Entry("PCA", "13.5", "estimator", "gradus.research.linear_factors.pca:PCA",
          "the plane that keeps most of the variance; rows may have gaps", "gradus config PCA"),
)  # fmt: skip
