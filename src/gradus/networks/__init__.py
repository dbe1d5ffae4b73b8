"""Plain modules that return features, predictions or distribution parameters, never a loss (Part II)."""

from __future__ import annotations

from gradus.networks.convolutional import ConvNet
from gradus.networks.feedforward import ACTIVATIONS, INITIALIZATIONS, MLP
from gradus.networks.headed import HeadedNetwork
from gradus.networks.heads import (
    HEADS,
    BinaryHead,
    CategoricalHead,
    GaussianHead,
    Head,
    MixtureDensityHead,
    MultiLabelHead,
    NegativeBinomialHead,
    OrdinalHead,
    PoissonHead,
    QuantileHead,
)
from gradus.networks.preparation import PixelScale, Standardize
from gradus.networks.tabular import TabularNetwork

__all__ = [
    "ACTIVATIONS",
    "HEADS",
    "INITIALIZATIONS",
    "MLP",
    "BinaryHead",
    "CategoricalHead",
    "ConvNet",
    "GaussianHead",
    "Head",
    "HeadedNetwork",
    "MixtureDensityHead",
    "MultiLabelHead",
    "NegativeBinomialHead",
    "OrdinalHead",
    "PixelScale",
    "PoissonHead",
    "QuantileHead",
    "Standardize",
    "TabularNetwork",
]
