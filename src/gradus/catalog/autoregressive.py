"""Chapter 20: directed models whose likelihood is exact: one variable after another, and flows."""

from __future__ import annotations

from gradus.catalog.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    Entry(
        "PixelCNN",
        "20.10.6",
        "estimator",
        "gradus.research.autoregressive.pixel_cnn:PixelCNN",
        "gated, masked convolutions: exact likelihoods of pictures of bits or 256 levels, and samples",
        "gradus config PixelCNN",
    ),
    Entry(
        "FVBN",
        "20.10.7",
        "estimator",
        "gradus.research.autoregressive.bit_models:FVBN",
        "fully visible belief net: a logistic regression of each bit on the bits before it",
        "gradus config FVBN",
    ),
    Entry(
        "MADE",
        "20.10.9",
        "estimator",
        "gradus.research.autoregressive.bit_models:MADE",
        "masked autoencoder: all conditionals of bits in one pass, several orders and masks averaged",
        "gradus config MADE",
    ),
    Entry(
        "MaskedNetwork",
        "20.10.9",
        "network",
        "gradus.research.autoregressive.masked:MaskedNetwork",
        "dense network whose masks keep each output from the columns that follow its own",
        "from gradus.research.autoregressive.masked import MaskedNetwork",
    ),
    Entry(
        "NADE",
        "20.10.10",
        "estimator",
        "gradus.research.autoregressive.bit_models:NADE",
        "neural autoregressive density of bits, weights shared among the columns' hidden units",
        "gradus config NADE",
    ),
    Entry(
        "OrderlessNADE",
        "20.10.10",
        "estimator",
        "gradus.research.autoregressive.orderless:OrderlessNADE",
        "NADE trained for all orders of the bits: exact in any, averaged over several, fills gaps",
        "gradus config OrderlessNADE",
    ),
    Entry(
        "RealNVP",
        "20.10.2",
        "estimator",
        "gradus.research.autoregressive.flows:RealNVP",
        "flow of affine couplings: exact densities, codes, and samples as cheap as densities",
        "gradus config RealNVP",
    ),
    Entry(
        "NeuralSplineFlow",
        "20.10.2",
        "estimator",
        "gradus.research.autoregressive.flows:NeuralSplineFlow",
        "flow of couplings by monotone rational-quadratic splines: exact densities of any shape",
        "gradus config NeuralSplineFlow",
    ),
    Entry(
        "MaskedAutoregressiveFlow",
        "20.10.2",
        "estimator",
        "gradus.research.autoregressive.flows:MaskedAutoregressiveFlow",
        "flow of masked networks: each column standardized by those before it, exact densities",
        "gradus config MaskedAutoregressiveFlow",
    ),
)
