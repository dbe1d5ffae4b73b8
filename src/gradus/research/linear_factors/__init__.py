"""Linear factor models (chapter 13): few causes, mixed linearly."""

from __future__ import annotations

from gradus.research.linear_factors.factor_analysis import FactorAnalysis, ProbabilisticPCA
from gradus.research.linear_factors.ica import ICA, amari_index
from gradus.research.linear_factors.pca import PCA

__all__ = ["ICA", "PCA", "FactorAnalysis", "ProbabilisticPCA", "amari_index"]
