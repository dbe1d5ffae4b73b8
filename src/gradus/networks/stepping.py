"""One token at a time through a decoder, with everything looked up beforehand that is the same at each step.

A step of a small network takes less time in its operations than in what surrounds them: calls of modules, searches
for their parts, checks. Here the parts are found once for many steps.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError
from gradus.networks.caching import KeyValueCache
from gradus.networks.experts import FeedForward
from gradus.networks.positions import RotaryPositions
from gradus.networks.transformer import Transformer
from gradus.networks.transformer_block import TransformerBlock

__all__ = ["Stepper"]


class _Norm(NamedTuple):
    """Layer normalization, or its scale alone."""

    weight: Tensor | None
    bias: Tensor | None
    eps: float
    shape: tuple[int, ...]
    centred: bool

    @classmethod
    def of(cls, norm: nn.Module) -> _Norm:
        if isinstance(norm, nn.LayerNorm):
            return cls(norm.weight, norm.bias, norm.eps, tuple(norm.normalized_shape), True)
        if isinstance(norm, nn.RMSNorm) and norm.eps is not None:
            return cls(norm.weight, None, norm.eps, tuple(norm.normalized_shape), False)
        raise InputError("a normalization of a transformer", type(norm).__name__, "use Transformer.step")

    def __call__(self, x: Tensor) -> Tensor:
        if self.centred:
            return torch.layer_norm(x, self.shape, self.weight, self.bias, self.eps, False)
        return torch.rms_norm(x, self.shape, self.weight, self.eps)


class _Affine(NamedTuple):
    """An affine map."""

    weight: Tensor
    bias: Tensor | None

    @classmethod
    def of(cls, layer: nn.Linear) -> _Affine:
        return cls(layer.weight, layer.bias)


class _Parts(NamedTuple):
    """One block."""

    attention_norm: _Norm
    query_key_value: _Affine
    output: _Affine
    feedforward_norm: _Norm
    up: _Affine
    down: _Affine
    keys: Tensor
    values: Tensor

    @classmethod
    def of(cls, block: TransformerBlock, keys: Tensor, values: Tensor) -> _Parts:
        feedforward = block.feedforward
        if not isinstance(feedforward, FeedForward):
            raise InputError("blocks with one feed-forward network", "experts", "use Transformer.step")
        return cls(
            _Norm.of(block.attention_norm),
            _Affine.of(block.attention.query_key_value),
            _Affine.of(block.attention.output),
            _Norm.of(block.feedforward_norm),
            _Affine.of(feedforward.up),
            _Affine.of(feedforward.down),
            keys,
            values,
        )


class Stepper:
    """Many steps of a :class:`gradus.networks.transformer.Transformer`; the logits are those of its ``step``.

    Parameters
    ----------
    network : Transformer
        A language model without experts. Its weights of this moment are used, without dropout and hooks.
    state : KeyValueCache
        From the network's ``begin``, all rows of one length; taken over and written in place.

    Attributes
    ----------
    room : int
        How many more tokens the state holds.

    Raises
    ------
    InputError
        If the network has experts, rows differ in length, or there is no room for a token.

    Examples
    --------
    >>> network = Transformer(65, context=16, width=32, layers=2, heads=4).eval()
    >>> tokens = torch.randint(65, (2, 5))
    >>> step = Stepper(network, network.begin(tokens[:, :4]))
    >>> logits = step(tokens[:, 4])
    >>> bool(torch.allclose(logits, network(tokens)[:, -1], atol=1e-5)), step.room
    (True, 11)
    """

    def __init__(self, network: Transformer, state: KeyValueCache) -> None:
        if state.ragged:
            raise InputError("rows of one length", "rows of several", "use Transformer.step")
        stack = network.stack
        first: Any = stack.blocks[0]
        pairs: Any = zip(stack.blocks, state.keys, state.values, strict=True)
        self._blocks = [_Parts.of(block, keys, values) for block, keys, values in pairs]
        self._embedding, self._scale = network.embedding.weight, network.embedding.scale
        self._table: Tensor | None = None if stack.added is None else stack.added.table  # type: ignore[assignment]
        self._cos: Tensor | None = None
        if isinstance(stack.rotary, RotaryPositions):
            self._cos, self._sin = stack.rotary.cos, stack.rotary.sin
        self._norm = _Norm.of(stack.norm)
        self._scores = network.embedding.weight if network.output is None else network.output.weight
        self._heads: int = first.attention.heads
        self._kv_heads: int = first.attention.kv_heads
        self._head_width: int = first.attention.head_width
        self._activation: str = first.feedforward.activation
        self._capacity, self._filled = state.capacity, state.longest

    @property
    def room(self) -> int:
        """How many more tokens the state holds."""
        return self._capacity - self._filled

    @torch.no_grad()
    def __call__(self, tokens: Int[Tensor, " batch"]) -> Float[Tensor, "batch vocabulary"]:
        """Read one token a row and return the logits of the next one."""
        place = self._filled
        if place >= self._capacity:
            mend = "begin again with the last tokens of the text, or make the network with a larger context"
            raise InputError(f"at most {self._capacity} tokens in all", str(place + 1), mend)
        self._filled = seen = place + 1
        heads, kv_heads, width = self._heads, self._kv_heads, self._head_width
        x = F.embedding(tokens, self._embedding)
        rows = len(x)
        if self._scale != 1.0:
            x = x * self._scale
        if self._table is not None:
            x = x + self._table[place]
        cos = sin = x
        if self._cos is not None:
            cos, sin = self._cos[place], self._sin[place]
        for part in self._blocks:
            packed = F.linear(part.attention_norm(x), *part.query_key_value).view(rows, -1, width)
            if self._cos is None:
                queries, keys, values = packed.split([heads, kv_heads, kv_heads], 1)
            else:
                turned, values = packed.split([heads + kv_heads, kv_heads], 1)
                turned = torch.addcmul(turned * cos, turned.roll(width // 2, -1), sin)
                queries, keys = turned.split([heads, kv_heads], 1)
            part.keys.select(2, place).copy_(keys)
            part.values.select(2, place).copy_(values)
            mixed = F.scaled_dot_product_attention(
                queries.unsqueeze(2),
                part.keys.narrow(2, 0, seen),
                part.values.narrow(2, 0, seen),
                enable_gqa=heads != kv_heads,
            )
            x = x + F.linear(mixed.reshape(rows, -1), *part.output)
            x = x + F.linear(self._active(F.linear(part.feedforward_norm(x), *part.up)), *part.down)
        return F.linear(self._norm(x), self._scores)

    def _active(self, hidden: Tensor) -> Tensor:
        if self._activation == "gelu":
            return F.gelu(hidden)
        if self._activation == "relu":
            return F.relu(hidden)
        gate, value = hidden.chunk(2, -1)
        return F.silu(gate) * value
