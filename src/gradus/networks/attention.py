"""Multi-head attention: heads that share keys and values, masks, rotations, a cache (§12.4.5.1 and beyond)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import sqrt
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.networks.caching import Slots
from gradus.networks.checks import check_rate, check_sizes
from gradus.networks.positions import Rotation, rotate

__all__ = ["Attention", "KeysValues", "padding_mask", "watch_attention"]


def padding_mask(lengths: Int[Tensor, " batch"], time: int) -> Bool[Tensor, "batch 1 {time}"]:
    """Return which keys are no padding, for every query.

    Parameters
    ----------
    lengths : Tensor of shape (batch,), integers
        How many entries of each row, from the left, count: 0 to ``time``.
    time : int
        The padded length.

    Returns
    -------
    Tensor of shape (batch, 1, time), bool
        True where a query may look, as in ``torch.nn.functional.scaled_dot_product_attention`` (and the
        opposite of ``torch.nn.MultiheadAttention``).

    Raises
    ------
    InputError
        If a length is out of range. Looked at on the processor only: on an accelerator it would have to wait.

    Examples
    --------
    >>> padding_mask(torch.tensor([1, 3]), 3)[:, 0]
    tensor([[ True, False, False],
            [ True,  True,  True]])
    """
    if lengths.device.type == "cpu" and lengths.numel():
        low, high = lengths.aminmax()
        if low < 0 or high > time:
            received = f"{int(low)} to {int(high)}"
            raise InputError(f"lengths of 0 to {time}", received, "count the entries of each row without padding")
    return (torch.arange(time, device=lengths.device) < lengths.unsqueeze(1)).unsqueeze(1)


class KeysValues(NamedTuple):
    """A source as one attention layer sees it: computed once, looked at by every query after.

    Attributes
    ----------
    keys, values : Tensor of shape (batch, kv_heads, source, head_width)
        The projected source.
    """

    keys: Float[Tensor, "batch kv_heads source head_width"]
    values: Float[Tensor, "batch kv_heads source head_width"]


class Attention(nn.Module):
    r"""Multi-head scaled dot-product attention, of a sequence to itself or to a source.

    .. math::
        \mathrm{head}_h = \mathrm{softmax}\!\left(\frac{Q_h K_{g(h)}^\top}{\sqrt D} + M\right) V_{g(h)}, \qquad
        y = [\mathrm{head}_1, \dots, \mathrm{head}_H] \, W_o + b_o

    with queries, keys and values affine in the inputs (keys and values in the source, where there is one) and
    *M* minus infinity where a query may not look. With fewer ``kv_heads`` than ``heads``, each key and value
    head *g(h)* serves ``heads / kv_heads`` neighbouring query heads: one is multi-query attention, and the
    cache shrinks by that factor. Computed by torch's fused attention.

    A query that may look nowhere gets zeros from every head, and so the output bias; never NaN.

    Parameters
    ----------
    width : int
        Width of inputs and outputs; a multiple of ``heads``.
    heads : int
        Query heads *H*, each of width ``D = width / heads``.
    kv_heads : int, optional
        Key and value heads; divides ``heads``, which is the default.
    source_width : int, optional
        Width of the source; its presence makes this cross-attention.
    causal : bool
        Whether position t may look at positions up to t only.
    bias : bool
        Whether the affine maps have biases.
    dropout : float
        Probability in ``[0, 1)`` with which a weight is dropped in training. Above 0 torch leaves its fastest
        path on the processor.

    Attributes
    ----------
    head_width : int
        Width *D* of a head.

    Raises
    ------
    SettingError
        If sizes do not divide, or are out of range.

    Examples
    --------
    >>> layer = Attention(32, heads=4, kv_heads=2, causal=True)
    >>> layer(torch.randn(2, 5, 32)).shape
    torch.Size([2, 5, 32])
    >>> cross = Attention(32, heads=4, source_width=16)
    >>> cross(torch.randn(2, 5, 32), torch.randn(2, 7, 16), mask=padding_mask(torch.tensor([7, 3]), 7)).shape
    torch.Size([2, 5, 32])
    >>> layer.weights(torch.randn(2, 5, 32)).shape  # batch, heads, queries, keys
    torch.Size([2, 4, 5, 5])

    References
    ----------
    Vaswani et al. 2017, Attention Is All You Need, eq. 1 and §3.2.2; Ainslie et al. 2023, GQA (grouped
    heads); Goodfellow et al. 2016, §12.4.5.1 (attention as a weighted average).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        kv_heads: int | None = None,
        source_width: int | None = None,
        causal: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        kv_heads = heads if kv_heads is None else kv_heads
        check_sizes(width=width, heads=heads, kv_heads=kv_heads)
        check_rate("dropout", dropout)
        if width % heads:
            mend = f"set for example width={heads * max(1, round(width / heads))}"
            raise SettingError("a width that is a multiple of heads", f"width {width} for {heads} heads", mend)
        if heads % kv_heads:
            received = f"{kv_heads} for {heads} heads"
            raise SettingError("kv_heads that divide heads", received, f"set for example kv_heads={heads}")
        if causal and source_width is not None:
            received = "causal=True with source_width"
            raise SettingError("causal attention of a sequence to itself", received, "set causal=False")
        self.width, self.heads, self.kv_heads = width, heads, kv_heads
        self.head_width, self.causal, self.dropout = width // heads, causal, dropout
        both = 2 * kv_heads * self.head_width
        if source_width is None:  # one product for queries, keys and values, in this order
            self.query_key_value = nn.Linear(width, width + both, bias)
        else:
            check_sizes(source_width=source_width)
            self.query = nn.Linear(width, width, bias)
            self.key_value = nn.Linear(source_width, both, bias)
        self.crosses = source_width is not None
        self.output = nn.Linear(width, width, bias)

    def reset_parameters(self, std: float, output_std: float) -> None:
        """Draw all weights normal, the output map's with its own deviation, and zero the biases."""
        for layer in self.children():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=output_std if layer is self.output else std)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def project(self, source: Float[Tensor, "batch source source_width"]) -> KeysValues:
        """Return a source's keys and values, for use in place of the source (cross-attention only)."""
        batch, time, _ = source.shape
        both = self.key_value(source).view(batch, time, 2 * self.kv_heads, self.head_width).transpose(1, 2)
        return KeysValues(both[:, : self.kv_heads], both[:, self.kv_heads :])

    def forward(
        self,
        inputs: Float[Tensor, "batch time {self.width}"],
        source: Float[Tensor, "batch source source_width"] | KeysValues | None = None,
        *,
        mask: Bool[Tensor, "#batch #time #keys"] | None = None,
        rotation: Rotation | None = None,
    ) -> Float[Tensor, "batch time {self.width}"]:
        """Return the attended values of each position.

        Parameters
        ----------
        inputs : Tensor of shape (batch, time, width)
            What asks, and without a source also what is asked.
        source : Tensor of shape (batch, source, source_width) or KeysValues, optional
            What is asked, in cross-attention.
        mask : Tensor of shape (batch or 1, time or 1, keys), bool, optional
            True where a query may look; see :func:`padding_mask`. Comes on top of ``causal``.
        rotation : Rotation, optional
            Turns queries and keys by their positions (self-attention only).

        Raises
        ------
        InputError
            If a source is missing, or given where none belongs.
        """
        queries, keys, values = self._heads(inputs, source, rotation)
        if mask is None:
            return self._mix(queries, keys, values, None, self.causal)
        return self._mix(queries, keys, values, self._allowed(mask, inputs.shape[1]), False)

    @torch.no_grad()
    def weights(
        self,
        inputs: Float[Tensor, "batch time {self.width}"],
        source: Float[Tensor, "batch source source_width"] | KeysValues | None = None,
        *,
        mask: Bool[Tensor, "#batch #time #keys"] | None = None,
        rotation: Rotation | None = None,
    ) -> Float[Tensor, "batch {self.heads} time keys"]:
        """Return how much each query looks at each key: rows sum to 1, or to 0 where it may look nowhere.

        For pictures: takes what ``forward`` takes, carries no gradient, and knows no dropout.
        """
        queries, keys, _ = self._heads(inputs, source, rotation)
        keys = keys.repeat_interleave(self.heads // self.kv_heads, 1)
        scores = queries @ keys.mT / sqrt(self.head_width)
        if mask is None and self.causal:
            mask = torch.ones(1, 1, 1, dtype=torch.bool, device=inputs.device)
        if mask is not None:
            scores = scores.masked_fill(~self._allowed(mask, inputs.shape[1]), -torch.inf)
        return scores.softmax(-1).nan_to_num(0.0)

    def extend(
        self,
        inputs: Float[Tensor, "batch new {self.width}"],
        keys: Float[Tensor, "batch kv_heads capacity head_width"],
        values: Float[Tensor, "batch kv_heads capacity head_width"],
        slots: Slots,
        rotation: Rotation | None = None,
    ) -> Float[Tensor, "batch new {self.width}"]:
        """Return the attended values of new positions, which look at what is stored and are stored themselves.

        Parameters
        ----------
        inputs : Tensor of shape (batch, new, width)
            The new positions.
        keys, values : Tensor of shape (batch, kv_heads, capacity, head_width)
            What is stored of this layer; written in place.
        slots : Slots
            From :func:`gradus.networks.caching.reserve`.
        rotation : Rotation, optional
            For the new positions.
        """
        queries, new_keys, new_values = self._heads(inputs, None, rotation)
        slots.write(keys, new_keys)
        slots.write(values, new_values)
        if slots.fresh:
            return self._mix(queries, new_keys, new_values, None, True)
        mask = None if slots.mask is None else slots.mask.unsqueeze(1)
        seen, read = keys[:, :, : slots.visible], values[:, :, : slots.visible]
        return self._mix(queries, seen.to(queries.dtype), read.to(queries.dtype), mask, False)

    def _heads(
        self, inputs: Tensor, source: Tensor | KeysValues | None, rotation: Rotation | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values as (batch, heads, time, head_width), views of one product's result."""
        batch, time, _ = inputs.shape
        if self.crosses != (source is not None):
            expected, mend = ("no source", "leave it out") if source is not None else ("a source", "pass one")
            raise InputError(expected, "one" if source is not None else "none", f"{mend}, or change source_width")
        if source is not None:
            queries = self.query(inputs).view(batch, time, self.heads, self.head_width).transpose(1, 2)
            return queries, *(source if isinstance(source, KeysValues) else self.project(source))
        packed = self.query_key_value(inputs).view(batch, time, -1, self.head_width)
        if rotation is None:
            parts = packed.split([self.heads, self.kv_heads, self.kv_heads], 2)
        else:  # queries and keys turn together
            turned, values = packed.split([self.heads + self.kv_heads, self.kv_heads], 2)
            parts = (*rotate(turned, rotation).split([self.heads, self.kv_heads], 2), values)
        queries, keys, values = parts
        return queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2)

    def _allowed(self, mask: Tensor, time: int) -> Tensor:
        """Return mask and causality as one mask that broadcasts over heads."""
        if self.causal:
            mask = mask & torch.ones(time, time, dtype=torch.bool, device=mask.device).tril()
        return mask.unsqueeze(1)

    def _mix(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        mixed = F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal,
            enable_gqa=self.kv_heads != self.heads,
        )
        return self.output(mixed.transpose(1, 2).flatten(2))


@contextmanager
def watch_attention(network: nn.Module) -> Iterator[dict[str, Float[Tensor, "batch heads queries keys"]]]:
    """Collect the attention weights of every layer while a network runs, for pictures.

    Works on any network that contains :class:`Attention`, and leaves it as it was.

    Parameters
    ----------
    network : Module
        The network to watch.

    Yields
    ------
    dict of str to Tensor of shape (batch, heads, queries, keys)
        Filled by each pass: the weights by the name of the layer, in the order of the pass.

    Examples
    --------
    >>> from gradus.networks.transformer import Transformer
    >>> network = Transformer(vocabulary=65, context=8, width=16, layers=2, heads=4)
    >>> with watch_attention(network) as maps:
    ...     _ = network(torch.zeros(1, 5, dtype=torch.int64))
    >>> {name: tuple(weights.shape) for name, weights in maps.items()}
    {'stack.blocks.0.attention': (1, 4, 5, 5), 'stack.blocks.1.attention': (1, 4, 5, 5)}
    """
    maps: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: Attention, inputs: tuple, settings: dict[str, Any], output: Tensor) -> None:
            maps[name] = module.weights(*inputs, **settings)

        return hook

    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, Attention)]
    handles = [layer.register_forward_hook(keep(name), with_kwargs=True) for name, layer in layers]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()
