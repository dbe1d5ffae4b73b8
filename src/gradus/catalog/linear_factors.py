"""Chapter 13: linear factor models."""

from __future__ import annotations

from gradus.catalog.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    Entry("PCA", "13.5", "estimator", "gradus.research.linear_factors.pca:PCA",
          "the plane that keeps most of the variance; rows may have gaps", "gradus config PCA"),
    Entry("ProbabilisticPCA", "13.1", "estimator", "gradus.research.linear_factors.factor_analysis:ProbabilisticPCA",
          "principal components as a Gaussian, in closed form or by EM; rows may have gaps",
          "gradus config ProbabilisticPCA"),
    Entry("FactorAnalysis", "13.1", "estimator", "gradus.research.linear_factors.factor_analysis:FactorAnalysis",
          "a Gaussian of few factors and noise of its own for each feature; rows may have gaps",
          "gradus config FactorAnalysis"),
    Entry("ICA", "13.2", "estimator", "gradus.research.linear_factors.ica:ICA",
          "independent sources of a mixture, by likelihood with adaptive densities or FastICA", "gradus config ICA"),
    Entry("Amari index", "13.2", "function", "gradus.research.linear_factors.ica:amari_index",
          "how far sources found are from the true ones, whatever their order and scale",
          "from gradus.research.linear_factors import amari_index"),
)  # fmt: skip
