"""The log-odds of NADE and their gradient, a block of columns at a time.

Kept whole, the hidden units of all columns are ``columns`` times a batch: gigabytes. Going backwards they are computed
again from the sums at the start of each block, and within a block the running sums are one product of matrices.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["nade_logits"]

BLOCK = 8  # columns at once: with more, a block's hidden units leave the cache and its products cost more


def nade_logits(
    bits: Float[Tensor, "batch columns"],
    into: Float[Tensor, "columns hidden"],
    hidden_bias: Float[Tensor, " hidden"],
    out: Float[Tensor, "columns hidden"],
    bias: Float[Tensor, " columns"],
) -> Float[Tensor, "batch columns"]:
    """Return ``b_i + V_i · σ(c + Σ_{j<i} W_j x_j)`` of each row and column; first derivatives alone are defined.

    Parameters
    ----------
    bits : Tensor of shape (batch, columns)
        Rows, columns in their order.
    into, out : Tensor of shape (columns, hidden)
        ``W`` and ``V``.
    hidden_bias, bias : Tensor of shape (hidden,) and (columns,)
        ``c`` and ``b``.

    Examples
    --------
    >>> nade_logits(torch.ones(1, 2), torch.ones(2, 3), torch.zeros(3), torch.ones(2, 3), torch.zeros(2))[0, 0].item()
    1.5

    References
    ----------
    Larochelle & Murray 2011, The Neural Autoregressive Distribution Estimator, algorithm 1.
    """
    return _NadeLogits.apply(bits, into, hidden_bias, out, bias)


def _seen(bits: Tensor) -> Tensor:
    """Return the bits of a block that come before each of its columns, of shape (block, batch, block)."""
    size = bits.shape[1]
    return torch.ones(size, size, dtype=bits.dtype, device=bits.device).tril(-1)[:, None, :] * bits


def _units(bits: Tensor, into: Tensor, sums: Tensor) -> Tensor:
    """Return hidden units of shape (block, batch, hidden) for the columns of a block."""
    return _seen(bits).matmul(into).add_(sums).sigmoid_()


class _NadeLogits(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, bits: Tensor, into: Tensor, hidden_bias: Tensor, out: Tensor, bias: Tensor) -> Tensor:
        sums = hidden_bias.expand(len(bits), -1)
        logits, starts = torch.empty_like(bits), []
        for low in range(0, bits.shape[1], BLOCK):
            part = slice(low, low + BLOCK)
            starts.append(sums)
            units = _units(bits[:, part], into[part], sums)
            logits[:, part] = torch.bmm(units, out[part, :, None])[..., 0].T + bias[part]
            sums = torch.addmm(sums, bits[:, part], into[part])
        ctx.save_for_backward(bits, into, out, *starts)
        return logits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        bits, into, out, *starts = ctx.saved_tensors
        d_into, d_out = torch.empty_like(into), torch.empty_like(out)
        d_bits = torch.empty_like(bits) if ctx.needs_input_grad[0] else None
        later = torch.zeros_like(starts[0])  # gradient of the sums, from the columns of later blocks
        for index in reversed(range(len(starts))):
            part = slice(index * BLOCK, (index + 1) * BLOCK)
            x, W, above = bits[:, part], into[part], gradient[:, part].T
            units = _units(x, W, starts[index])
            d_out[part] = torch.bmm(above[:, None, :], units)[:, 0]
            d_sums = torch.ops.aten.sigmoid_backward(above[..., None] * out[part, None, :], units)
            # a column's bit adds to the sums of the columns after it: those of its block, and of later blocks
            within = _seen(x).flatten(0, 1).T @ d_sums.flatten(0, 1)
            d_into[part] = torch.addmm(within, x.T, later)
            if d_bits is not None:
                pulled = torch.matmul(d_sums, W.T).permute(1, 0, 2)  # of column j's sums on column k's bit
                d_bits[:, part] = pulled.tril(-1).sum(1) + later @ W.T
            later = later + d_sums.sum(0)
        return d_bits, d_into, later.sum(0), d_out, gradient.sum(0)
