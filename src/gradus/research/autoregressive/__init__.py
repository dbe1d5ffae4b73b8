"""Directed models whose likelihood is exact: one variable after another, and flows that can be run backwards."""

from __future__ import annotations

from gradus.research.autoregressive.bit_models import FVBN, MADE, NADE
from gradus.research.autoregressive.flows import MaskedAutoregressiveFlow, NeuralSplineFlow, RealNVP
from gradus.research.autoregressive.orderless import OrderlessNADE
from gradus.research.autoregressive.pixel_cnn import PixelCNN

__all__ = [
    "FVBN",
    "MADE",
    "NADE",
    "MaskedAutoregressiveFlow",
    "NeuralSplineFlow",
    "OrderlessNADE",
    "PixelCNN",
    "RealNVP",
]
