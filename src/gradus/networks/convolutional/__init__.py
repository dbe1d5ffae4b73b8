"""Convolutional networks, their layers, and features that need no training (chapter 9)."""

from __future__ import annotations

from gradus.networks.convolutional.features import PatchFeatures, RandomFilters, learn_patches
from gradus.networks.convolutional.gabor import GaborFit, fit_gabor, gabor
from gradus.networks.convolutional.grids import PADDINGS, convolution, output_size, padding_of, receptive_field
from gradus.networks.convolutional.layers import DepthwiseSeparable, DilatedStack, TransposedConvolution
from gradus.networks.convolutional.local import LocallyConnected2d, TiledConv2d
from gradus.networks.convolutional.plain import ConvNet, LeNet5
from gradus.networks.convolutional.residual import ResNet
from gradus.networks.convolutional.unet import UNet

__all__ = [
    "PADDINGS",
    "ConvNet",
    "DepthwiseSeparable",
    "DilatedStack",
    "GaborFit",
    "LeNet5",
    "LocallyConnected2d",
    "PatchFeatures",
    "RandomFilters",
    "ResNet",
    "TiledConv2d",
    "TransposedConvolution",
    "UNet",
    "convolution",
    "fit_gabor",
    "gabor",
    "learn_patches",
    "output_size",
    "padding_of",
    "receptive_field",
]
