"""Bounds of many rows with many draws, in pieces that fit into memory, and with draws that belong to the row.

Each row's noise is seeded by its own values. So an answer depends neither on the rows that come with it nor on their
order, it is the same each time, and errors of different rows are independent: their mean has an honest interval.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["DOUBLE_NUMBERS", "in_pieces", "row_seeds", "rows_noise"]

PIECE_NUMBERS = 1 << 22  # numbers of decoded rows held at once
NOISE_NUMBERS = 1 << 23  # numbers of noise held at once
# Questions up to this many decoded numbers are answered in double precision, where an answer does not depend, to the
# last digits, on how many rows are asked at once; larger ones in single precision, in half the time.
DOUBLE_NUMBERS = 1 << 21


def row_seeds(rows: Float[Tensor, "batch features"], seed: int) -> list[int]:
    """Return a 63-bit seed for each row, a function of its values and ``seed``.

    Examples
    --------
    >>> first, again, other = row_seeds(torch.tensor([[0.0], [0.0], [1.0]]), 5)
    >>> first == again != other
    True
    """
    key = seed.to_bytes(8, "little")
    array = (rows + 0.0).float().cpu().numpy()  # one zero, not two of different signs
    return [
        int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=8, key=key).digest(), "little") >> 1 for row in array
    ]


def rows_noise(
    rows: Float[Tensor, "batch features"], seed: int, draws: int, width: int, *, uniform: bool = False
) -> Float[Tensor, "draws batch width"]:
    """Return noise of each row, standard normal or uniform on [0, 1), of the rows' type, on their device."""
    source = torch.Generator()
    make = torch.rand if uniform else torch.randn
    each = [make((draws, width), generator=source.manual_seed(number)) for number in row_seeds(rows, seed)]
    return torch.stack(each, 1).to(rows.device, rows.dtype)


def in_pieces(
    function: Callable[[Tensor, Tensor], Tensor],
    rows: Float[Tensor, "batch features"],
    *,
    seed: int,
    draws: int,
    width: int,
    cost: int,
    uniform: bool = False,
) -> Float[Tensor, "draws batch"]:
    """Return ``function(rows, noise)`` of all rows and draws, some of them at a time.

    Parameters
    ----------
    function : callable
        ``(rows, noise) -> values`` of shape (draws, batch), for noise of shape (draws, batch, width).
    rows : Tensor of shape (batch, features)
        The rows, in the type to compute in.
    seed, draws, width, uniform
        Of the noise; see `rows_noise`.
    cost : int
        Numbers that one draw of one row takes.
    """
    found = []
    for part in rows.split(max(1, NOISE_NUMBERS // max(1, draws * width))):
        noise = rows_noise(part, seed, draws, width, uniform=uniform)
        piece = max(1, PIECE_NUMBERS // max(1, len(part) * cost))
        found.append(torch.cat([function(part, some) for some in noise.split(piece)]))
    return torch.cat(found, 1)


def exact_or_fast(network: Any, rows: int, draws: int, cost: int) -> bool:
    """Whether a question is small enough to be answered in double precision."""
    return rows * draws * cost <= DOUBLE_NUMBERS and next(network.parameters()).device.type != "mps"
