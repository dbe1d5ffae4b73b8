"""Autoencoders (chapter 14): networks, losses and estimators."""

from __future__ import annotations

from gradus.research.autoencoders.estimators import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
)
from gradus.research.autoencoders.hashing import SemanticHashing
from gradus.research.autoencoders.predictive import PredictiveSparseDecomposition
from gradus.research.autoencoders.retrieval import HammingIndex, hamming_distances, retrieval_precision
from gradus.research.autoencoders.stochastic import StochasticAutoencoder

__all__ = [
    "Autoencoder",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "HammingIndex",
    "PredictiveSparseDecomposition",
    "SemanticHashing",
    "SparseAutoencoder",
    "StochasticAutoencoder",
    "hamming_distances",
    "retrieval_precision",
]
