"""The one transformer block: normalize, look, add; normalize, transform, add."""

from __future__ import annotations

from typing import TypedDict

from jaxtyping import Bool, Float
from torch import Tensor, nn

from gradus.core.errors import InputError, SettingError
from gradus.networks.attention import Attention, KeysValues
from gradus.networks.caching import Slots
from gradus.networks.checks import check_rate, check_sizes, chosen
from gradus.networks.experts import FeedForward, MixtureOfExperts
from gradus.networks.positions import Rotation

__all__ = ["BlockSettings", "TransformerBlock"]

NORMALIZATIONS = ("layer", "rms")


class BlockSettings(TypedDict, total=False):
    """What can be set in a block of any transformer, by keyword; see :class:`TransformerBlock` for defaults.

    Attributes
    ----------
    kv_heads : int or None
        Key and value heads; divides ``heads``, which is the default.
    hidden : int or None
        Hidden width of the feed-forward network: by default four times the width, and for SwiGLU 8/3.
    activation : {"gelu", "relu", "swiglu"}
        Its hidden units.
    normalization : {"layer", "rms"}
        Layer normalization, or its scale alone.
    bias : bool
        Whether affine maps and layer normalizations have biases.
    dropout : float
        Probability in ``[0, 1)`` with which an attention weight, or an entry of what a block or the
        embedding adds, is dropped in training.
    experts : int
        Feed-forward networks a block, between which a router chooses if there are several.
    active : int or None
        How many of them each token gets; by default two, or all if there are fewer.
    """

    kv_heads: int | None
    hidden: int | None
    activation: str
    normalization: str
    bias: bool
    dropout: float
    experts: int
    active: int | None


class TransformerBlock(nn.Module):
    r"""Attention, then a feed-forward network, each added to a stream that is normalized before it is read.

    .. math::
        x \leftarrow x + \mathrm{attention}(\mathrm{norm}(x)), \quad
        [x \leftarrow x + \mathrm{attention}(\mathrm{norm}(x), \mathrm{source}),] \quad
        x \leftarrow x + \mathrm{feedforward}(\mathrm{norm}(x))

    Parameters
    ----------
    width, heads : int
        See :class:`gradus.networks.attention.Attention`.
    causal : bool
        Whether positions look at earlier ones and themselves only.
    source_width : int, optional
        Width of a source to look at; by default there is none.
    kv_heads, hidden, activation, normalization, bias, dropout, experts, active
        See :class:`BlockSettings`.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range.

    Examples
    --------
    >>> import torch
    >>> block = TransformerBlock(32, 4, causal=True, activation="swiglu", normalization="rms", kv_heads=2)
    >>> block(torch.randn(2, 5, 32)).shape
    torch.Size([2, 5, 32])

    References
    ----------
    Vaswani et al. 2017, §3.1; Xiong et al. 2020, On Layer Normalization in the Transformer Architecture
    (normalizing before); Zhang & Sennrich 2019, Root Mean Square Layer Normalization, eq. 4.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        causal: bool = False,
        source_width: int | None = None,
        kv_heads: int | None = None,
        hidden: int | None = None,
        activation: str = "gelu",
        normalization: str = "layer",
        bias: bool = True,
        dropout: float = 0.0,
        experts: int = 1,
        active: int | None = None,
    ) -> None:
        super().__init__()
        chosen(normalization, NORMALIZATIONS, "normalization")
        check_rate("dropout", dropout)
        check_sizes(width=width, experts=experts)
        if active is not None and active > experts:
            received = f"{active} of {experts}"
            raise SettingError("at most as many active experts as there are", received, f"set experts={active}")

        def norm() -> nn.Module:
            return nn.LayerNorm(width, bias=bias) if normalization == "layer" else nn.RMSNorm(width, eps=1e-5)

        self.width = width
        self.attention_norm = norm()
        self.attention = Attention(width, heads, kv_heads=kv_heads, causal=causal, bias=bias, dropout=dropout)
        self.cross: Attention | None = None
        if source_width is not None:
            self.cross_norm = norm()
            self.cross = Attention(
                width, heads, kv_heads=kv_heads, source_width=source_width, bias=bias, dropout=dropout
            )
        self.feedforward_norm = norm()
        self.feedforward: FeedForward | MixtureOfExperts
        if experts == 1:
            self.feedforward = FeedForward(width, hidden, activation, bias)
        else:
            active = min(2, experts) if active is None else active
            self.feedforward = MixtureOfExperts(
                width, hidden, experts=experts, active=active, activation=activation, bias=bias
            )
        self.drop = nn.Dropout(dropout) if dropout else None

    @property
    def branches(self) -> int:
        """How many times the block adds to the stream."""
        return 2 if self.cross is None else 3

    def reset_parameters(self, std: float, output_std: float) -> None:
        """Draw all weights normal, those of maps that add to the stream with their own deviation."""
        for part in (self.attention, self.cross, self.feedforward):
            if part is not None:
                part.reset_parameters(std, output_std)

    def forward(
        self,
        inputs: Float[Tensor, "batch time {self.width}"],
        source: Float[Tensor, "batch source source_width"] | KeysValues | None = None,
        *,
        mask: Bool[Tensor, "#batch #time time"] | None = None,
        source_mask: Bool[Tensor, "#batch #time #source"] | None = None,
        rotation: Rotation | None = None,
        valid: Bool[Tensor, "batch time"] | None = None,
    ) -> Float[Tensor, "batch time {self.width}"]:
        """Return the stream after the block.

        Parameters
        ----------
        inputs : Tensor of shape (batch, time, width)
            The stream.
        source : Tensor or KeysValues, optional
            What cross-attention looks at.
        mask, source_mask : Tensor of shape (batch or 1, time or 1, keys), bool, optional
            True where a position may look, in the stream and in the source.
        rotation : Rotation, optional
            Turns queries and keys of the stream by their positions.
        valid : Tensor of shape (batch, time), bool, optional
            Which positions are no padding; experts leave the others out.
        """
        branch = self.attention(self.attention_norm(inputs), mask=mask, rotation=rotation)
        return self._rest(inputs + self._dropped(branch), source, source_mask, valid)

    def extend(
        self,
        inputs: Float[Tensor, "batch new {self.width}"],
        keys: Tensor,
        values: Tensor,
        slots: Slots,
        source: KeysValues | None = None,
        *,
        source_mask: Bool[Tensor, "#batch #new #source"] | None = None,
        rotation: Rotation | None = None,
    ) -> Float[Tensor, "batch new {self.width}"]:
        """Return the stream after the block for new positions; see :meth:`Attention.extend`."""
        branch = self.attention.extend(self.attention_norm(inputs), keys, values, slots, rotation)
        return self._rest(inputs + self._dropped(branch), source, source_mask, None)

    def _rest(
        self, stream: Tensor, source: Tensor | KeysValues | None, source_mask: Tensor | None, valid: Tensor | None
    ) -> Tensor:
        if self.cross is not None:
            stream = stream + self._dropped(self.cross(self.cross_norm(stream), source, mask=source_mask))
        elif source is not None:
            raise InputError("no source", "one", "make the block with source_width, or leave the source out")
        read = self.feedforward_norm(stream)
        if valid is not None and isinstance(self.feedforward, MixtureOfExperts):
            return stream + self._dropped(self.feedforward(read, valid))
        return stream + self._dropped(self.feedforward(read))

    def _dropped(self, branch: Tensor) -> Tensor:
        return branch if self.drop is None else self.drop(branch)
