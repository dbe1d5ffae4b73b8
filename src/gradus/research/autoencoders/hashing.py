"""Semantic hashing: binary codes under which like rows have like addresses (§14.9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradus.core.options import option
from gradus.data.batches import Batch
from gradus.estimators.unsupervised import DrawingEstimator
from gradus.research.autoencoders.base import AutoencoderAnswers, AutoencoderShape, autoencoder_network, unit_output
from gradus.research.autoencoders.losses import summed
from gradus.research.autoencoders.outputs import Output, OutputName
from gradus.research.autoencoders.retrieval import HammingIndex
from gradus.training.losses import Loss, LossFunction

__all__ = ["BinaryEncoder", "HashingLoss", "SemanticHashing"]


class BinaryEncoder(nn.Module):
    """An encoder whose codes are bits: ones where its logits are above zero.

    Parameters
    ----------
    logits : Module
        From rows to logits of the bits, with ``out_features``.

    Examples
    --------
    >>> from gradus.research.autoencoders.networks import DenseEncoder
    >>> sorted(set(BinaryEncoder(DenseEncoder(4, (), 50))(torch.randn(20, 4)).flatten().tolist()))
    [0.0, 1.0]
    """

    def __init__(self, logits: Any) -> None:
        super().__init__()
        self.logits, self.out_features = logits, logits.out_features

    def forward(self, inputs: Float[Tensor, "batch features"]) -> Float[Tensor, "batch bits"]:
        """Return the bits."""
        logits = self.logits(inputs)
        return (logits > 0).to(logits.dtype)


@dataclass(frozen=True, eq=False)
class HashingLoss:
    """Reconstruction from ``sigmoid(z + σ ε)``: what is to survive the noise has to be far from zero, that is a bit.

    Parameters
    ----------
    output : Output
        The distribution whose parameters the network returns.
    noise : float
        σ, 0 or more.

    References
    ----------
    Goodfellow et al. 2016, §14.9; Salakhutdinov & Hinton 2009, Semantic Hashing, §3.2.
    """

    output: Output
    noise: float

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        auto: Any = network
        clean = auto.prepare(batch["inputs"])
        logits = auto.encoder.logits(clean)
        drawn = torch.randn(logits.shape, generator=generator, dtype=logits.dtype, device=logits.device)
        codes = torch.sigmoid(logits + self.noise * drawn)
        return summed(self.output.losses(auto.decode(codes), clean), batch)


@dataclass(kw_only=True, eq=False, repr=False)
class SemanticHashing(AutoencoderAnswers, AutoencoderShape, DrawingEstimator):
    """Autoencoder whose code is an address of bits, near to which like rows are found.

    Noise before the sigmoid units of the code makes them saturate; `transform` gives bits, `index` a table to search.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> images = load_digits().images
    >>> model = SemanticHashing(n_components=16, max_epochs=5, random_state=0).fit(images[:1500])
    >>> found = model.index(images[:1500]).nearest(model.transform(images[1500:1503]), 5)
    >>> found.rows.shape
    (3, 5)

    References
    ----------
    Goodfellow et al. 2016, §14.9; Salakhutdinov & Hinton 2009, Semantic Hashing; Krizhevsky & Hinton 2011, Using Very
    Deep Autoencoders for Content-Based Image Retrieval.
    """

    hidden: tuple[int, ...] = option(
        (256,), "units of each dense layer before the code; the decoder mirrors them", low=1
    )
    output: OutputName = option(
        "bernoulli", "distribution of a row given its code: gaussian (squared error), bernoulli (cross-entropy)"
    )
    code_noise: float = option(2.0, "standard deviation of the noise on the logits of bits in training", low=0)

    def _build(self) -> nn.Module:
        network = autoencoder_network(self, code_activation="identity")
        network.encoder = BinaryEncoder(network.encoder)
        return network

    def _loss(self, network: nn.Module) -> LossFunction:
        return HashingLoss(self._output(), self.code_noise)

    def _output(self) -> Output:
        return unit_output(self)

    def index(self, X: Any) -> HammingIndex:
        """Return a table of rows by their bits, to search in.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows as `fit` got them.
        """
        return HammingIndex(self.transform(X))
