"""A stack of transformer blocks: decoder, encoder and the decoder of a pair are its settings."""

from __future__ import annotations

from math import sqrt
from typing import Unpack

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gradus.core.errors import InputError, SettingError
from gradus.networks.attention import KeysValues, padding_mask
from gradus.networks.caching import KeyValueCache, reserve
from gradus.networks.checks import check_sizes, chosen
from gradus.networks.positions import POSITIONS, LearnedPositions, RotaryPositions, Rotation, SinusoidalPositions
from gradus.networks.transformer_block import BlockSettings, TransformerBlock

__all__ = ["TransformerStack"]


class TransformerStack(nn.Module):
    r"""Positions, blocks and a last normalization: from a sequence of vectors to one of the same width.

    Weights are drawn as in GPT-2: normal with a standard deviation ``std`` of 0.02, divided by
    :math:`\sqrt{2L}` (:math:`\sqrt{3L}` with a source) for the maps that add to the stream, so that its
    variance does not grow with depth; biases are zero.

    Parameters
    ----------
    context : int
        The longest sequence.
    width, layers, heads : int
        Width of the stream, number of blocks, heads of each.
    causal : bool
        Whether positions look at earlier ones and themselves only.
    source_width : int, optional
        Width of a source to look at; by default there is none.
    positions : {"learned", "sinusoidal", "rotary", "none"}
        How the order is told: vectors added to the inputs, or queries and keys turned. A causal stack can
        learn order with ``"none"``; one that is not sees a set.
    std : float
        Standard deviation of the blocks' weights and of learned positions at the start, above 0. GPT-2's 0.02
        suits widths of a thousand or so; a small network learns faster from ``width ** -0.5``.
    **block : BlockSettings
        Settings of the blocks.

    Attributes
    ----------
    out_features : int
        Width of the vectors returned.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range.

    Examples
    --------
    >>> import torch
    >>> stack = TransformerStack(context=100, width=32, layers=2, heads=4, positions="rotary")
    >>> stack(torch.randn(2, 7, 32), torch.tensor([7, 3])).shape
    torch.Size([2, 7, 32])

    References
    ----------
    Vaswani et al. 2017, §3; Radford et al. 2019, §2.3 (initialization).
    """

    def __init__(
        self,
        context: int,
        width: int,
        layers: int,
        heads: int,
        *,
        causal: bool = False,
        source_width: int | None = None,
        positions: str = "learned",
        std: float = 0.02,
        **block: Unpack[BlockSettings],
    ) -> None:
        super().__init__()
        check_sizes(context=context, width=width, layers=layers, heads=heads)
        chosen(positions, POSITIONS, "positions")
        if not 0.0 < std < float("inf"):
            raise SettingError("std above 0", str(std), "set for example std=0.02")
        self.context, self.width, self.out_features, self.causal = context, width, width, causal
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads, causal=causal, source_width=source_width, **block) for _ in range(layers)
        )
        first = self._block(0)
        for index in range(layers):
            self._block(index).reset_parameters(std, std / sqrt(first.branches * layers))
        self.added: nn.Module | None = None
        self.rotary: nn.Module | None = None
        if positions == "learned":
            self.added = LearnedPositions(context, width, std)
        elif positions == "sinusoidal":
            self.added = SinusoidalPositions(context, width)
        elif positions == "rotary":
            self.rotary = RotaryPositions(context, first.attention.head_width)
        rms = isinstance(first.attention_norm, nn.RMSNorm)
        self.norm = nn.RMSNorm(width, eps=1e-5) if rms else nn.LayerNorm(width, bias=block.get("bias", True))
        self.drop = nn.Dropout(block["dropout"]) if block.get("dropout") else None

    def _block(self, index: int) -> TransformerBlock:
        block = self.blocks[index]
        return block  # type: ignore[return-value]

    def forward(
        self,
        vectors: Float[Tensor, "batch time {self.width}"],
        lengths: Int[Tensor, " batch"] | None = None,
        source: Float[Tensor, "batch source source_width"] | None = None,
        source_mask: Bool[Tensor, "batch 1 source"] | None = None,
    ) -> Float[Tensor, "batch time {self.width}"]:
        """Return the vectors after all blocks.

        Parameters
        ----------
        vectors : Tensor of shape (batch, time, width)
            The inputs, at most ``context`` of them.
        lengths : Tensor of shape (batch,), integers, optional
            How many vectors of each row, from the left, are no padding. What is returned for padding has no
            meaning.
        source : Tensor of shape (batch, source, source_width), optional
            What cross-attention looks at.
        source_mask : Tensor of shape (batch, 1, source), bool, optional
            True where the source is no padding.

        Raises
        ------
        InputError
            If there are more vectors than the context holds, or lengths are out of range.
        """
        time = vectors.shape[1]
        if time > self.context:
            mend = "cut the sequences, or make the network with a larger context"
            raise InputError(f"sequences of at most {self.context}", str(time), mend)
        stream, rotation = self._placed(vectors, slice(0, time))
        mask = None if lengths is None else padding_mask(lengths, time)
        valid = None if mask is None else mask.squeeze(1)
        if self.causal:
            mask = None  # padding comes after all that counts, where causality hides it already
        for block in self.blocks:
            stream = block(stream, source, mask=mask, source_mask=source_mask, rotation=rotation, valid=valid)
        return self.norm(stream)

    def empty_cache(self, batch: int, capacity: int | None = None) -> KeyValueCache:
        """Return an empty cache of keys and values for ``batch`` rows.

        Parameters
        ----------
        batch : int
            Rows.
        capacity : int, optional
            Tokens a row can hold, at most the context, which is the default.

        Raises
        ------
        SettingError
            If the stack is not causal, as stored keys would then depend on what comes, or the capacity is out
            of range.
        """
        if not self.causal:
            raise SettingError("a causal network", "one that looks ahead", "make it with causal=True")
        capacity = self.context if capacity is None else capacity
        if not 1 <= capacity <= self.context:
            mend = "leave it out, or make the network with a larger context"
            raise SettingError(f"capacity from 1 to {self.context}", str(capacity), mend)
        attention = self._block(0).attention
        return KeyValueCache.empty(
            attention.output.weight,
            layers=len(self.blocks),
            batch=batch,
            kv_heads=attention.kv_heads,
            capacity=capacity,
            head_width=attention.head_width,
        )

    def project(self, source: Float[Tensor, "batch source source_width"]) -> tuple[KeysValues, ...]:
        """Return each layer's keys and values of a source, for :meth:`extend`."""
        layers = [self._block(index).cross for index in range(len(self.blocks))]
        return tuple(layer.project(source) for layer in layers if layer is not None)

    def extend(
        self,
        vectors: Float[Tensor, "batch new {self.width}"],
        cache: KeyValueCache,
        lengths: Int[Tensor, " batch"] | None = None,
        source: tuple[KeysValues, ...] = (),
        source_mask: Bool[Tensor, "batch 1 source"] | None = None,
    ) -> tuple[Float[Tensor, "batch new {self.width}"], KeyValueCache]:
        """Return what :meth:`forward` would for further vectors, and the cache with them.

        Parameters
        ----------
        vectors : Tensor of shape (batch, new, width)
            Inputs that follow on those in the cache.
        cache : KeyValueCache
            Written in place; go on from the one returned.
        lengths : Tensor of shape (batch,), integers, optional
            How many new vectors of each row, from the left, are no padding.
        source : tuple of KeysValues
            From :meth:`project`, one a layer, where the stack has a source.
        source_mask : Tensor of shape (batch, 1, source), bool, optional
            True where the source is no padding.

        Raises
        ------
        InputError
            If a row would hold more than the cache's capacity.
        """
        slots, taken = reserve(cache, vectors.shape[1], lengths)
        stream, rotation = self._placed(vectors, slots.positions)
        for index in range(len(self.blocks)):
            stream = self._block(index).extend(
                stream,
                cache.keys[index],
                cache.values[index],
                slots,
                source[index] if source else None,
                source_mask=source_mask,
                rotation=rotation,
            )
        return self.norm(stream), taken

    def _placed(self, vectors: Tensor, positions: slice | Tensor) -> tuple[Tensor, Rotation | None]:
        """Return the vectors with their positions added, and the rotation where there is one."""
        if self.added is not None:
            vectors = vectors + self.added(positions)
        if self.drop is not None:
            vectors = self.drop(vectors)
        return vectors, None if self.rotary is None else self.rotary(positions)
