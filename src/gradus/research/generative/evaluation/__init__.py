"""How good a generative model is (§20.14): by likelihoods where it has one, and by its samples."""

from __future__ import annotations

from gradus.research.generative.evaluation.distances import (
    KernelDistance,
    features_of,
    frechet_between,
    frechet_distance,
    kernel_distance,
)
from gradus.research.generative.evaluation.likelihoods import (
    HeldOutLikelihood,
    bits_per_dimension,
    dequantize,
    held_out_likelihood,
)
from gradus.research.generative.evaluation.neighbours import (
    Memorization,
    PrecisionRecall,
    covered_rows,
    memorization,
    nearest_rows,
    precision_recall,
)

__all__ = [
    "HeldOutLikelihood",
    "KernelDistance",
    "Memorization",
    "PrecisionRecall",
    "bits_per_dimension",
    "covered_rows",
    "dequantize",
    "features_of",
    "frechet_between",
    "frechet_distance",
    "held_out_likelihood",
    "kernel_distance",
    "memorization",
    "nearest_rows",
    "precision_recall",
]
