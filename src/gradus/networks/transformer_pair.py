"""Encoder and decoder: from one sequence of tokens to another (translation)."""

from __future__ import annotations

from typing import NamedTuple, Unpack

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gradus.networks.attention import KeysValues, padding_mask
from gradus.networks.caching import KeyValueCache
from gradus.networks.transformer import TokenEmbedding
from gradus.networks.transformer_block import BlockSettings
from gradus.networks.transformer_stack import TransformerStack

__all__ = ["DecodingState", "EncoderDecoderTransformer"]


class DecodingState(NamedTuple):
    """What a decoder needs to go on: its cache, and the source as each layer sees it.

    Attributes
    ----------
    cache : KeyValueCache
        Keys and values of the target so far; shared with the state before, see there.
    source : tuple of KeysValues
        One a layer.
    source_mask : Tensor of shape (batch, 1, source), bool, or None
        True where the source is no padding.
    """

    cache: KeyValueCache
    source: tuple[KeysValues, ...]
    source_mask: Bool[Tensor, "batch 1 source"] | None


class EncoderDecoderTransformer(nn.Module):
    """A transformer that reads a source and writes a target: one stack encodes, a causal one looks at its result.

    The target is given with a token for its beginning in front: position t returns the logits of what
    follows the target's first t + 1 tokens.

    Parameters
    ----------
    source_vocabulary, target_vocabulary : int
        Number of tokens on each side.
    context : int
        The longest sequence of either side, in tokens.
    width, layers, heads : int
        Width of the streams, number of blocks and heads, of each stack.
    decoder_layers : int, optional
        Blocks of the decoder, where another number than the encoder's.
    tied : bool
        Whether the logits' weights are the target's embedding.
    positions : {"learned", "sinusoidal", "rotary", "none"}
        How order is told on both sides; with ``"sinusoidal"``, embeddings are multiplied by the root of the
        width.
    std : float
        Standard deviation of embeddings and weights at the start; see
        :class:`gradus.networks.transformer_stack.TransformerStack`.
    **block : BlockSettings
        Of both stacks; see :class:`gradus.networks.transformer_block.BlockSettings`.

    Attributes
    ----------
    out_features : int
        The target's vocabulary.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range.
    InputError
        If sequences are longer than the context, or tokens outside the vocabulary.

    Examples
    --------
    >>> network = EncoderDecoderTransformer(50, 60, context=20, width=32, layers=2, heads=4).eval()
    >>> source, target = torch.randint(50, (3, 9)), torch.randint(60, (3, 7))
    >>> lengths = torch.tensor([9, 4, 6])
    >>> network(source, target, lengths).shape
    torch.Size([3, 7, 60])
    >>> state = network.begin(source, lengths)
    >>> logits, state = network.step(state, target[:, 0])
    >>> logits.shape
    torch.Size([3, 60])

    References
    ----------
    Vaswani et al. 2017, §3.1, figure 1 (with normalization before each part); Goodfellow et al. 2016, §10.4,
    §12.4.5.
    """

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        context: int = 256,
        width: int = 128,
        layers: int = 3,
        heads: int = 4,
        *,
        decoder_layers: int | None = None,
        tied: bool = True,
        positions: str = "learned",
        std: float = 0.02,
        **block: Unpack[BlockSettings],
    ) -> None:
        super().__init__()
        scaled = positions == "sinusoidal"
        self.source_embedding = TokenEmbedding(source_vocabulary, width, scaled=scaled, std=std)
        self.target_embedding = TokenEmbedding(target_vocabulary, width, scaled=scaled, std=std)
        self.encoder = TransformerStack(context, width, layers, heads, positions=positions, std=std, **block)
        self.decoder = TransformerStack(
            context,
            width,
            layers if decoder_layers is None else decoder_layers,
            heads,
            causal=True,
            source_width=width,
            positions=positions,
            std=std,
            **block,
        )
        self.output: nn.Linear | None = None
        if not tied:
            self.output = nn.Linear(width, target_vocabulary, bias=False)
            nn.init.normal_(self.output.weight, std=std)
        self.out_features = target_vocabulary

    @property
    def context(self) -> int:
        """The longest sequence of either side, in tokens."""
        return self.decoder.context

    def encode(
        self, source: Int[Tensor, "batch source"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch source width"]:
        """Return the features of each source token.

        Parameters
        ----------
        source : Tensor of shape (batch, source), integers
            Padded on the right with any token of the vocabulary.
        lengths : Tensor of shape (batch,), integers, optional
            How many tokens of each row are no padding; all by default.
        """
        return self.encoder(self.source_embedding(source), lengths)

    def forward(
        self,
        source: Int[Tensor, "batch source"],
        target: Int[Tensor, "batch time"],
        source_lengths: Int[Tensor, " batch"] | None = None,
        target_lengths: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch time vocabulary"]:
        """Return, at each position of the target, the logits of its next token.

        Parameters
        ----------
        source : Tensor of shape (batch, source), integers
            Padded on the right.
        target : Tensor of shape (batch, time), integers
            The token for the beginning, then the target without its last token; padded on the right.
        source_lengths, target_lengths : Tensor of shape (batch,), integers, optional
            How many tokens of each row are no padding; all by default. The target's change nothing at
            positions that count, and matter to the balance of experts only.
        """
        mask = None if source_lengths is None else padding_mask(source_lengths, source.shape[1])
        encoded = self.encode(source, source_lengths)
        return self._logits(self.decoder(self.target_embedding(target), target_lengths, encoded, mask))

    def _logits(self, features: Tensor) -> Tensor:
        return self.target_embedding.scores(features) if self.output is None else self.output(features)

    @torch.no_grad()
    def begin(
        self,
        source: Int[Tensor, "batch source"],
        lengths: Int[Tensor, " batch"] | None = None,
        *,
        capacity: int | None = None,
    ) -> DecodingState:
        """Encode the source and return the state from which :meth:`step` writes.

        The first step takes the token for the beginning. Call ``eval()`` before: dropout acts here as
        anywhere. No gradient is kept.

        Parameters
        ----------
        source : Tensor of shape (batch, source), integers
            Padded on the right.
        lengths : Tensor of shape (batch,), integers, optional
            How many tokens of each row are no padding; all by default.
        capacity : int, optional
            Target tokens to make room for, at most the context, which is the default.

        Returns
        -------
        DecodingState
            Written in place by the next step; :func:`gradus.networks.decoding.select` copies rows of it.
        """
        mask = None if lengths is None else padding_mask(lengths, source.shape[1])
        cache = self.decoder.empty_cache(len(source), capacity)
        return DecodingState(cache, self.decoder.project(self.encode(source, lengths)), mask)

    @torch.no_grad()
    def step(
        self, state: DecodingState, tokens: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch vocabulary"], DecodingState]:
        """Write one token a row and return the logits of the next one.

        Parameters
        ----------
        state : DecodingState
            Written in place, so go on from the one returned.
        tokens : Tensor of shape (batch,), integers
            One token a row.

        Raises
        ------
        InputError
            If a row is full.
        """
        vectors = self.target_embedding(tokens.unsqueeze(1))
        features, cache = self.decoder.extend(vectors, state.cache, source=state.source, source_mask=state.source_mask)
        return self._logits(features[:, 0]), state._replace(cache=cache)
