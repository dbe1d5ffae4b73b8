"""Where in a sequence a vector stands: sinusoids, learned vectors, rotations (transformers; beyond chapter 10)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gradus.core.errors import SettingError

__all__ = [
    "POSITIONS",
    "LearnedPositions",
    "RotaryPositions",
    "Rotation",
    "SinusoidalPositions",
    "rotate",
    "sinusoids",
]

# How a transformer can be told the order of its inputs.
POSITIONS = ("learned", "sinusoidal", "rotary", "none")


def _angles(length: int, width: int, base: float) -> Tensor:
    """Return position times frequency, in radians; in float64, as float32 is off by 1e-3 at position 10,000."""
    frequencies = base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    return torch.outer(torch.arange(length, dtype=torch.float64), frequencies)


def _check(length: int, width: int, base: float, what: str) -> None:
    if length < 1:
        raise SettingError("room for 1 position or more", str(length), "set for example context=256")
    if width < 2 or width % 2:
        mend = "make it a multiple of 2: sines and cosines come in pairs"
        raise SettingError(f"an even {what}", str(width), mend)
    if not base > 1.0:
        raise SettingError("a base above 1", str(base), "set for example base=10000.0")


def sinusoids(length: int, width: int, base: float = 10_000.0) -> Float[Tensor, "length width"]:
    r"""Return the sinusoidal code of each position.

    .. math::
        P_{t,2i} = \sin(t \, b^{-2i/D}), \qquad P_{t,2i+1} = \cos(t \, b^{-2i/D})

    Parameters
    ----------
    length : int
        Number of positions, 1 or more.
    width : int
        Width *D* of the code; even.
    base : float
        The base *b* above 1: wavelengths run from 2π to nearly 2π *b* positions.

    Returns
    -------
    Tensor of shape (length, width)
        float32, each entry in [-1, 1].

    Raises
    ------
    SettingError
        If a size is out of range.

    Examples
    --------
    >>> sinusoids(2, 4)
    tensor([[0.0000, 1.0000, 0.0000, 1.0000],
            [0.8415, 0.5403, 0.0100, 0.9999]])

    References
    ----------
    Vaswani et al. 2017, Attention Is All You Need, §3.5.
    """
    _check(length, width, base, "width")
    angles = _angles(length, width, base)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1).float()


class SinusoidalPositions(nn.Module):
    """A fixed code of sines and cosines for each position, to be added to the inputs; see :func:`sinusoids`.

    Parameters
    ----------
    length : int
        Number of positions.
    width : int
        Width of the inputs; even.
    base : float
        Sets the longest wavelength, 2π times this.

    Examples
    --------
    >>> code = SinusoidalPositions(100, 8)
    >>> code(slice(0, 5)).shape, code(torch.tensor([[3, 4], [0, 1]])).shape
    (torch.Size([5, 8]), torch.Size([2, 2, 8]))

    References
    ----------
    Vaswani et al. 2017, §3.5.
    """

    table: Tensor

    def __init__(self, length: int, width: int, base: float = 10_000.0) -> None:
        super().__init__()
        # A function of the settings, so a stored model need not hold it.
        self.register_buffer("table", sinusoids(length, width, base), persistent=False)

    def forward(self, positions: slice | Int[Tensor, "*times"]) -> Float[Tensor, "*any width"]:
        """Return the codes of the positions, counted from 0."""
        return self.table[positions]


class LearnedPositions(nn.Module):
    """A learned vector for each position, to be added to the inputs.

    Parameters
    ----------
    length : int
        Number of positions: nothing is learned of later ones.
    width : int
        Width of the inputs.
    std : float
        Standard deviation at the start, above 0; 0.02 as in GPT-2.

    Attributes
    ----------
    table : Parameter of shape (length, width)
        The vectors; normal at the start.

    Examples
    --------
    >>> LearnedPositions(100, 8)(slice(0, 5)).shape
    torch.Size([5, 8])

    References
    ----------
    Radford et al. 2019, Language Models are Unsupervised Multitask Learners (GPT-2).
    """

    def __init__(self, length: int, width: int, std: float = 0.02) -> None:
        super().__init__()
        if min(length, width) < 1:
            raise SettingError("sizes of 1 or more", f"{length} x {width}", "set for example context=256, width=128")
        self.table = nn.Parameter(torch.empty(length, width))
        nn.init.normal_(self.table, std=std)

    def forward(self, positions: slice | Int[Tensor, "*times"]) -> Float[Tensor, "*any width"]:
        """Return the vectors of the positions, counted from 0."""
        return self.table[positions]


class Rotation(NamedTuple):
    """Cosines and signed sines of the angles by which queries and keys are turned; see :func:`rotate`.

    Attributes
    ----------
    cos : Tensor of shape (..., time, 1, head_width)
        The cosines, twice in a row: for the first members of the pairs and for the second ones.
    sin : Tensor of shape (..., time, 1, head_width)
        The sines likewise, negative for the first members.
    """

    cos: Float[Tensor, "*any time 1 head_width"]
    sin: Float[Tensor, "*any time 1 head_width"]


class RotaryPositions(nn.Module):
    r"""Rotary positions (RoPE): queries and keys turned by angles that grow with their position.

    Entries *i* and *i + D/2* of a head are the coordinates of a point, which position *t* turns by
    :math:`t \, b^{-2i/D}`. Turning keeps lengths, and the product of a query and a key then depends on the
    difference of their positions only: :math:`(R_s q)^\top (R_t k) = q^\top R_{t-s} k`.

    The paper pairs neighbours (2i, 2i + 1); pairing halves is the same up to a fixed permutation of the
    entries of each head, which the learned projections absorb, and it needs no strided access.

    Parameters
    ----------
    length : int
        Number of positions.
    head_width : int
        Width *D* of one head; even.
    base : float
        The base *b*: the longest wavelength is nearly 2π *b* positions.

    Examples
    --------
    >>> rotation = RotaryPositions(100, 8)(slice(0, 5))
    >>> rotate(torch.ones(2, 5, 3, 8), rotation).shape  # batch, time, heads, head width
    torch.Size([2, 5, 3, 8])

    References
    ----------
    Su et al. 2021, RoFormer: Enhanced Transformer with Rotary Position Embedding, eq. 13-16, 34.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, length: int, head_width: int, base: float = 10_000.0) -> None:
        super().__init__()
        _check(length, head_width, base, "width of a head")
        angles = _angles(length, head_width, base)
        cos, sin = angles.cos().float(), angles.sin().float()
        self.register_buffer("cos", torch.cat([cos, cos], 1).unsqueeze(1), persistent=False)
        self.register_buffer("sin", torch.cat([-sin, sin], 1).unsqueeze(1), persistent=False)

    def forward(self, positions: slice | Int[Tensor, "*times"]) -> Rotation:
        """Return the rotation for the positions, counted from 0; for cached decoding they start at an offset."""
        return Rotation(self.cos[positions], self.sin[positions])


def rotate(
    vectors: Float[Tensor, "batch time heads head_width"], rotation: Rotation
) -> Float[Tensor, "batch time heads head_width"]:
    """Turn each head's vector by its position's angles.

    Parameters
    ----------
    vectors : Tensor of shape (batch, time, heads, head_width)
        Queries or keys.
    rotation : Rotation
        For the positions of the time axis, the same in each row or one set a row.

    Returns
    -------
    Tensor
        Of the same shape and the same lengths.

    Examples
    --------
    >>> quarter = RotaryPositions(2, 2)(slice(1, 2))  # position 1 turns by one radian
    >>> rotate(torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2), quarter).flatten()
    tensor([0.5403, 0.8415])
    """
    # The roll exchanges the halves, so that each entry meets its partner; three operations, one temporary.
    partners = vectors.roll(vectors.shape[-1] // 2, -1)
    return torch.addcmul(vectors * rotation.cos, partners, rotation.sin)
