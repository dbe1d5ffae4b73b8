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
    Entry("NICE", "13.2", "estimator", "gradus.research.linear_factors.nice:NICE",
          "independent components of a curved, invertible map of additive couplings", "gradus config NICE"),
    Entry("SlowFeatureAnalysis", "13.3", "estimator",
          "gradus.research.linear_factors.slow_features:SlowFeatureAnalysis",
          "what changes least over time, linear or quadratic in the rows", "gradus config SlowFeatureAnalysis"),
    Entry("SparseCoding", "13.4", "estimator", "gradus.research.linear_factors.sparse_coding:SparseCoding",
          "a dictionary of which few atoms explain a row, whole or in mini-batches", "gradus config SparseCoding"),
    Entry("PatchFactors", "13.4", "estimator", "gradus.research.linear_factors.patches:PatchFactors",
          "filters of patches of large pictures, by sparse coding, ICA, PCA, or patches as they are",
          "gradus config PatchFactors"),
    Entry("patches", "13.4", "function", "gradus.research.linear_factors.patches:cut_patches",
          "patches cut from pictures at random places, or side by side",
          "from gradus.research.linear_factors.patches import cut_patches, tiled_patches"),
    Entry("sparse inference", "19.3", "function", "gradus.research.linear_factors.sparse_inference:sparse_codes",
          "lasso codes under a dictionary by ISTA, FISTA or coordinate descent",
          "from gradus.research.linear_factors import sparse_codes"),
    Entry("EM for Gaussian factors", "19.2", "function", "gradus.research.linear_factors.em:step",
          "one step of EM for probabilistic PCA or factor analysis, exact with gaps",
          "from gradus.research.linear_factors import em; em.init, em.step"),
)  # fmt: skip
