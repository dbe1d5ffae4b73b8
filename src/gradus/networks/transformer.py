"""Transformers over tokens: a language model (GPT) and an encoder are settings of one network."""

from __future__ import annotations

from math import sqrt
from typing import Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.networks.attention import padding_mask
from gradus.networks.caching import KeyValueCache
from gradus.networks.checks import check_sizes, chosen
from gradus.networks.transformer_block import BlockSettings
from gradus.networks.transformer_stack import TransformerStack

__all__ = ["READOUTS", "TokenEmbedding", "Transformer", "parameter_count"]

READOUTS = ("tokens", "each", "mean", "first", "last")


def parameter_count(network: nn.Module, *, trainable: bool = False) -> int:
    """Return how many numbers a network's parameters hold; shared ones count once, buffers do not.

    Parameters
    ----------
    network : Module
        Any module; on the device ``"meta"`` a network of any size can be counted without its memory.
    trainable : bool
        Leave out frozen parameters.

    Examples
    --------
    >>> with torch.device("meta"):
    ...     gpt2 = Transformer(vocabulary=50257, context=1024, width=768, layers=12, heads=12)
    >>> parameter_count(gpt2)  # the smallest GPT-2
    124439808
    """
    return sum(p.numel() for p in network.parameters() if p.requires_grad or not trainable)


class TokenEmbedding(nn.Module):
    r"""A learned vector for each token, which can also score the tokens at the output.

    Parameters
    ----------
    vocabulary : int
        Number of tokens.
    width : int
        Width of the vectors.
    scaled : bool
        Multiply the vectors by :math:`\sqrt{\mathrm{width}}`, as where sinusoids of unit size are added.
    std : float
        Standard deviation at the start, above 0; 0.02 as in GPT-2.

    Attributes
    ----------
    weight : Parameter of shape (vocabulary, width)
        The vectors; normal at the start.

    Raises
    ------
    InputError
        If a token is outside the vocabulary (seen on the processor; an accelerator fails in its own way).

    Examples
    --------
    >>> embedding = TokenEmbedding(65, 16)
    >>> vectors = embedding(torch.tensor([[1, 2, 3]]))
    >>> vectors.shape, embedding.scores(vectors).shape
    (torch.Size([1, 3, 16]), torch.Size([1, 3, 65]))

    References
    ----------
    Goodfellow et al. 2016, §12.4.2; Vaswani et al. 2017, §3.4 (shared with the output, scaled); Press & Wolf
    2017, Using the Output Embedding to Improve Language Models.
    """

    def __init__(self, vocabulary: int, width: int, *, scaled: bool = False, std: float = 0.02) -> None:
        super().__init__()
        check_sizes(vocabulary=vocabulary, width=width)
        self.weight = nn.Parameter(torch.empty(vocabulary, width))
        nn.init.normal_(self.weight, std=std)
        self.scale = sqrt(width) if scaled else 1.0

    def forward(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time width"]:
        """Return each token's vector."""
        try:
            vectors = F.embedding(tokens, self.weight)
        except IndexError:
            low, high = (int(bound) for bound in tokens.aminmax())
            mend = "encode the text with the vocabulary the network was made for"
            raise InputError(f"tokens from 0 to {len(self.weight) - 1}", f"{low} to {high}", mend) from None
        return vectors if self.scale == 1.0 else vectors * self.scale

    def scores(self, vectors: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch vocabulary"]:
        """Return the product of vectors with each token's: logits of an output tied to the embedding."""
        return F.linear(vectors, self.weight)


class Transformer(nn.Module):
    """A transformer over tokens: by default the decoder of a language model (GPT).

    With ``causal=True`` and ``readout="tokens"`` it returns, at every position, the logits of the next token.
    With ``causal=False`` it is an encoder: ``readout="mean"`` makes features of a text for a head that
    classifies it, ``"each"`` features of each token for a tagger, ``"tokens"`` the logits of a masked model.

    Parameters
    ----------
    vocabulary : int
        Number of tokens.
    context : int
        The longest sequence, in tokens.
    width, layers, heads : int
        Width of the stream, number of blocks, attention heads of each.
    causal : bool
        Whether a position looks at itself and earlier ones only.
    readout : {"tokens", "each", "mean", "first", "last"}
        What is returned: the logits of a token at each position, features of each position, or of the whole:
        the mean over all that is no padding, the first position (an encoder only: put a token for the whole
        there), the last one (of a decoder, which has seen all).
    tied : bool
        Whether the logits' weights are the embedding (with ``readout="tokens"``).
    positions : {"learned", "sinusoidal", "rotary", "none"}
        How order is told; with ``"sinusoidal"``, embeddings are multiplied by the root of the width.
    std : float
        Standard deviation of embeddings and weights at the start; see
        :class:`gradus.networks.transformer_stack.TransformerStack`.
    **block : BlockSettings
        ``kv_heads``, ``hidden``, ``activation``, ``normalization``, ``bias``, ``dropout``, ``experts``,
        ``active``; see :class:`gradus.networks.transformer_block.BlockSettings`.

    Attributes
    ----------
    out_features : int
        Width of the last axis returned.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range.
    InputError
        If sequences are longer than the context, or tokens outside the vocabulary.

    Examples
    --------
    >>> gpt = Transformer(vocabulary=65, context=64, width=128, layers=4, heads=4)
    >>> tokens = torch.randint(65, (12, 64))
    >>> gpt(tokens).shape
    torch.Size([12, 64, 65])

    A modern decoder, decoding with a cache:

    >>> llama = Transformer(65, 64, 48, 2, 4, positions="rotary", normalization="rms", activation="swiglu",
    ...                     kv_heads=2, bias=False, tied=False)
    >>> state = llama.begin(tokens[:, :9])
    >>> logits, state = llama.step(state, tokens[:, 9])
    >>> logits.shape, state.longest
    (torch.Size([12, 65]), 10)

    An encoder for texts of different lengths:

    >>> encoder = Transformer(65, 64, 48, 2, 4, causal=False, readout="mean")
    >>> encoder(tokens[:2], torch.tensor([64, 10])).shape
    torch.Size([2, 48])

    References
    ----------
    Vaswani et al. 2017, Attention Is All You Need; Radford et al. 2019 (GPT-2); Devlin et al. 2018, BERT;
    Goodfellow et al. 2016, §12.4 (neural language models).
    """

    def __init__(
        self,
        vocabulary: int,
        context: int = 256,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        *,
        causal: bool = True,
        readout: str = "tokens",
        tied: bool = True,
        positions: str = "learned",
        std: float = 0.02,
        **block: Unpack[BlockSettings],
    ) -> None:
        super().__init__()
        chosen(readout, READOUTS, "readout")
        if causal and readout == "first":
            received = "readout='first' with causal=True"
            raise SettingError("a first position that sees the others", received, "set causal=False, or readout='last'")
        self.vocabulary, self.causal, self.readout = vocabulary, causal, readout
        self.embedding = TokenEmbedding(vocabulary, width, scaled=positions == "sinusoidal", std=std)
        self.stack = TransformerStack(
            context, width, layers, heads, causal=causal, positions=positions, std=std, **block
        )
        self.output: nn.Linear | None = None
        if readout == "tokens" and not tied:
            self.output = nn.Linear(width, vocabulary, bias=False)
            nn.init.normal_(self.output.weight, std=std)
        self.out_features = vocabulary if readout == "tokens" else width

    @property
    def context(self) -> int:
        """The longest sequence, in tokens."""
        return self.stack.context

    def features(
        self, tokens: Int[Tensor, "batch time"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch time width"]:
        """Return the features of each position, whatever the readout.

        Parameters
        ----------
        tokens : Tensor of shape (batch, time), integers
            Padded on the right with any token of the vocabulary.
        lengths : Tensor of shape (batch,), integers, optional
            How many tokens of each row are no padding; all by default.
        """
        return self.stack(self.embedding(tokens), lengths)

    def forward(
        self, tokens: Int[Tensor, "batch time"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, " batch *parameters"]:
        """Return what ``readout`` names; at positions of padding it has no meaning.

        Parameters
        ----------
        tokens : Tensor of shape (batch, time), integers
            Padded on the right with any token of the vocabulary.
        lengths : Tensor of shape (batch,), integers, optional
            How many tokens of each row are no padding; all by default. A row of none has a mean of zeros.

        Returns
        -------
        Tensor
            Of shape (batch, time, vocabulary) for ``"tokens"``, (batch, time, width) for ``"each"``, else
            (batch, width).
        """
        features = self.features(tokens, lengths)
        if self.readout == "tokens":
            return self._logits(features)
        if self.readout == "each":
            return features
        if self.readout == "first":
            return features[:, 0]
        if lengths is None:
            return features.mean(1) if self.readout == "mean" else features[:, -1]
        if self.readout == "last":
            return features[torch.arange(len(features), device=features.device), (lengths - 1).clamp_min(0)]
        kept = padding_mask(lengths, tokens.shape[1]).mT
        total = torch.where(kept, features, 0.0).sum(1)
        return total / lengths.clamp_min(1).unsqueeze(1).to(total.dtype)

    def _logits(self, features: Tensor) -> Tensor:
        return self.embedding.scores(features) if self.output is None else self.output(features)

    @torch.no_grad()
    def begin(
        self,
        prompt: Int[Tensor, "batch time"],
        lengths: Int[Tensor, " batch"] | None = None,
        *,
        capacity: int | None = None,
    ) -> KeyValueCache:
        """Read a prompt and return the state from which :meth:`step` goes on.

        To continue a prompt, begin with all but its last token, and step with that one. Call ``eval()``
        before: dropout acts here as anywhere. No gradient is kept.

        Parameters
        ----------
        prompt : Tensor of shape (batch, time), integers
            Padded on the right; of width 0 to begin with nothing.
        lengths : Tensor of shape (batch,), integers, optional
            How many tokens of each row are no padding, 0 or more; all by default.
        capacity : int, optional
            Tokens to make room for, at most the context, which is the default. Less takes less memory.

        Returns
        -------
        KeyValueCache
            Written in place by the next step; :func:`gradus.networks.decoding.select` copies rows of it.

        Raises
        ------
        SettingError
            If the network is no language model (``causal=True, readout="tokens"``).
        InputError
            If the prompt does not fit.
        """
        if not self.causal or self.readout != "tokens":
            received = f"causal={self.causal}, readout={self.readout!r}"
            raise SettingError("a language model", received, "make it with causal=True, readout='tokens'")
        state = self.stack.empty_cache(len(prompt), capacity)
        if lengths is not None:
            padding_mask(lengths, prompt.shape[1])
        return self.stack.extend(self.embedding(prompt), state, lengths)[1] if prompt.shape[1] else state

    @torch.no_grad()
    def extend(
        self, state: KeyValueCache, tokens: Int[Tensor, "batch new"], lengths: Int[Tensor, " batch"] | None = None
    ) -> tuple[Float[Tensor, "batch new vocabulary"], KeyValueCache]:
        """Read further tokens and return the logits after each, as ``forward`` would of the whole.

        Parameters
        ----------
        state : KeyValueCache
            From :meth:`begin`, :meth:`extend` or :meth:`step`; written in place, so go on from the one returned.
        tokens : Tensor of shape (batch, new), integers
            What follows, padded on the right.
        lengths : Tensor of shape (batch,), integers, optional
            How many of them are no padding in each row; all by default.

        Raises
        ------
        InputError
            If a row would hold more tokens than the state has room for.
        """
        if lengths is not None:
            padding_mask(lengths, tokens.shape[1])
        features, state = self.stack.extend(self.embedding(tokens), state, lengths)
        return self._logits(features), state

    @torch.no_grad()
    def step(
        self, state: KeyValueCache, tokens: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch vocabulary"], KeyValueCache]:
        """Read one token a row and return the logits of the next one.

        Parameters
        ----------
        state : KeyValueCache
            Written in place, so go on from the one returned.
        tokens : Tensor of shape (batch,), integers
            One token a row.

        Raises
        ------
        InputError
            If a row is full.
        """
        logits, state = self.extend(state, tokens.unsqueeze(1))
        return logits[:, 0], state
