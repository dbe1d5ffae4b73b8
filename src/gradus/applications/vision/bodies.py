"""The networks that read images, by name: from pixels to features for a head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from gradus.core.options import option
from gradus.networks.convolutional import ConvNet, LeNet5, ResNet
from gradus.networks.feedforward import MLP
from gradus.networks.vision_transformer import VisionTransformer

__all__ = ["SHAPE", "BodyOptions", "make_body"]

# From this height and width on, a residual network begins with a stride: its first maps would be most of the work.
LARGE_IMAGE = 96
# Settings that say which weights there are; the others (dropout) may differ between two trainings of one body.
SHAPE = ("network", "channels", "features", "hidden", "pooling", "depth", "width", "stages", "patch_size", "heads")


@dataclass(kw_only=True, eq=False, repr=False)
class BodyOptions:
    """Which network reads the pixels, and its size (chapter 9)."""

    network: Literal["convolutional", "lenet", "resnet", "vit", "mlp"] = option(
        "convolutional", "network that reads the pixels: a small one, LeNet-5, residual, transformer, fully connected"
    )
    channels: tuple[int, ...] = option((32, 64), "channels of each block of network='convolutional'", low=1)
    features: int = option(128, "units between its convolutions and the classes", unit="units", low=1)
    pooling: Literal["flatten", "global"] = option("flatten", "what follows its convolutions: all cells, or their mean")
    hidden: tuple[int, ...] = option((256, 256), "units in each hidden layer of network='mlp'", low=1)
    depth: int = option(2, "blocks in each stage of network='resnet', or of network='vit' in all", low=1)
    width: int = option(32, "channels of the first stage of network='resnet', or of each block of network='vit'", low=1)
    stages: int = option(3, "stages of network='resnet', each at half the resolution and twice the width", low=1)
    patch_size: int = option(4, "side of the patches of network='vit'", unit="pixels", low=1)
    heads: int = option(4, "attention heads of network='vit'", low=1)
    dropout: float = option(0.0, "share of units dropped in training", low=0, high=0.95)
    input_dropout: float = option(0.0, "share of pixels dropped in training by network='mlp'", low=0, high=0.95)


def make_body(options: Any, channels: int, size: tuple[int, int], dropout: float, input_dropout: float) -> nn.Module:
    """Return the network that ``options`` name, for images of ``channels`` channels and of ``size``.

    It takes images of shape (n, channels, height, width), returns features, and tells their width in
    ``out_features``.

    Parameters
    ----------
    options : object
        With the attributes of `SHAPE`.
    channels : int
        Channels of the images.
    size : (int, int)
        Height and width.
    dropout, input_dropout : float
        Shares of units and of pixels dropped in training.

    Examples
    --------
    >>> make_body(BodyOptions(network="resnet", width=8), 1, (28, 28), 0.0, 0.0).out_features
    32
    """
    if options.network == "mlp":
        mlp = MLP(channels * size[0] * size[1], options.hidden, dropout=dropout, input_dropout=input_dropout)
        body = nn.Sequential(nn.Flatten(), mlp)
        body.out_features = mlp.out_features  # type: ignore[assignment]
        return body
    if options.network == "lenet":
        return LeNet5(channels, dropout=dropout)
    if options.network == "resnet":
        stem = "large" if min(size) >= LARGE_IMAGE else "small"
        return ResNet(channels, options.depth, options.width, stages=options.stages, stem=stem, dropout=dropout)
    if options.network == "vit":
        return VisionTransformer(
            channels, size, options.patch_size, options.width, options.depth, options.heads, dropout=dropout
        )
    return ConvNet(channels, size, options.channels, options.features, dropout=dropout, pooling=options.pooling)
