"""From features to the parameters of a distribution over targets, and the loss that fits them (§6.2.2)."""

from __future__ import annotations

from gradus.networks.heads.base import Head, NumberHead
from gradus.networks.heads.classification import (
    BinaryHead,
    CategoricalHead,
    ClassHead,
    MultiLabelHead,
    OrdinalHead,
)
from gradus.networks.heads.counts import CountHead, NegativeBinomialHead, PoissonHead
from gradus.networks.heads.quantile import QuantileDistribution, QuantileHead
from gradus.networks.heads.regression import GaussianHead, MixtureDensityHead, RegressionHead

__all__ = [
    "HEADS",
    "BinaryHead",
    "CategoricalHead",
    "ClassHead",
    "CountHead",
    "GaussianHead",
    "Head",
    "MixtureDensityHead",
    "MultiLabelHead",
    "NegativeBinomialHead",
    "NumberHead",
    "OrdinalHead",
    "PoissonHead",
    "QuantileDistribution",
    "QuantileHead",
    "RegressionHead",
]

HEADS: dict[str, type[Head]] = {
    "categorical": CategoricalHead,
    "binary": BinaryHead,
    "multilabel": MultiLabelHead,
    "ordinal": OrdinalHead,
    "gaussian": GaussianHead,
    "mixture": MixtureDensityHead,
    "quantile": QuantileHead,
    "poisson": PoissonHead,
    "negative_binomial": NegativeBinomialHead,
}
