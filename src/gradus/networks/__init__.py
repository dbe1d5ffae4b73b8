"""Plain modules that return features, predictions or distribution parameters, never a loss (Part II)."""

from __future__ import annotations

from gradus.networks.attention import Attention
from gradus.networks.contrast import GlobalContrastNormalization, ImageSize, LocalContrastNormalization, ZCAWhitening
from gradus.networks.convolutional import (
    ConvNet,
    DepthwiseSeparable,
    DilatedStack,
    LeNet5,
    LocallyConnected2d,
    PatchFeatures,
    RandomFilters,
    ResNet,
    TiledConv2d,
    TransposedConvolution,
    UNet,
)
from gradus.networks.experts import MixtureOfExperts
from gradus.networks.feedforward import ACTIVATIONS, INITIALIZATIONS, MLP, ResidualMLP
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
from gradus.networks.hidden_units import HIDDEN_UNITS, Gated, Maxout
from gradus.networks.initialization import lsuv_
from gradus.networks.preparation import PixelScale, Standardize
from gradus.networks.recurrent import (
    EchoStateNetwork,
    NeuralTuringMachine,
    RecurrentNetwork,
    Seq2Seq,
    TreeNetwork,
)
from gradus.networks.recurrent.language import RecurrentLanguageModel
from gradus.networks.tabular import TabularNetwork
from gradus.networks.texts import TextNetwork
from gradus.networks.transformer import Transformer
from gradus.networks.vision_transformer import VisionTransformer

__all__ = [
    "ACTIVATIONS",
    "HEADS",
    "HIDDEN_UNITS",
    "INITIALIZATIONS",
    "MLP",
    "Attention",
    "BinaryHead",
    "CategoricalHead",
    "ConvNet",
    "DepthwiseSeparable",
    "DilatedStack",
    "EchoStateNetwork",
    "Gated",
    "GaussianHead",
    "GlobalContrastNormalization",
    "Head",
    "HeadedNetwork",
    "ImageSize",
    "LeNet5",
    "LocalContrastNormalization",
    "LocallyConnected2d",
    "Maxout",
    "MixtureDensityHead",
    "MixtureOfExperts",
    "MultiLabelHead",
    "NegativeBinomialHead",
    "NeuralTuringMachine",
    "OrdinalHead",
    "PatchFeatures",
    "PixelScale",
    "PoissonHead",
    "QuantileHead",
    "RandomFilters",
    "RecurrentLanguageModel",
    "RecurrentNetwork",
    "ResNet",
    "ResidualMLP",
    "Seq2Seq",
    "Standardize",
    "TabularNetwork",
    "TextNetwork",
    "TiledConv2d",
    "Transformer",
    "TransposedConvolution",
    "TreeNetwork",
    "UNet",
    "VisionTransformer",
    "ZCAWhitening",
    "lsuv_",
]
