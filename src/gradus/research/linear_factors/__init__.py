"""Linear factor models (chapter 13): few causes, mixed linearly."""

from __future__ import annotations

from gradus.research.linear_factors.factor_analysis import FactorAnalysis, ProbabilisticPCA
from gradus.research.linear_factors.ica import ICA, amari_index
from gradus.research.linear_factors.nice import NICE
from gradus.research.linear_factors.pca import PCA
from gradus.research.linear_factors.slow_features import SlowFeatureAnalysis
from gradus.research.linear_factors.sparse_coding import SparseCoding
from gradus.research.linear_factors.sparse_inference import lasso_objective, sparse_codes

__all__ = [
    "ICA",
    "NICE",
    "PCA",
    "FactorAnalysis",
    "ProbabilisticPCA",
    "SlowFeatureAnalysis",
    "SparseCoding",
    "amari_index",
    "lasso_objective",
    "sparse_codes",
]
