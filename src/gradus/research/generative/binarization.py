"""Grey pixels made zeros and ones, and the rule that a Bernoulli likelihood is quoted on nothing else."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gradus.core.errors import InputError
from gradus.core.randomness import resolve_seed

__all__ = ["Binarize", "binarize", "check_binary", "check_shares", "drawn_bits", "full_pixel", "is_binary"]

Binarize = Literal["none", "threshold", "fixed", "resample"]


def binarize(X: Any, *, full: float = 1.0, random_state: Any = None) -> np.ndarray:
    """Draw each pixel as black or white with its brightness as the probability: ``x ~ Bernoulli(X / full)``.

    Figures on binarized digits compare only where the pixels were made so: drawn once (fixed), or anew in each epoch
    (resampled: the training set is larger then, and figures better).

    Parameters
    ----------
    X : array-like
        Brightness in ``[0, full]``, any shape.
    full : float
        Value of a full pixel: 255 for bytes.
    random_state : int or NumPy generator, optional
        Seed of the draws.

    Returns
    -------
    ndarray of float32
        Zeros and ones, in the shape of ``X``.

    Raises
    ------
    InputError
        If a value lies outside ``[0, full]``.

    Examples
    --------
    >>> binarize([[0.0, 255.0]], full=255, random_state=0).tolist()
    [[0.0, 1.0]]

    References
    ----------
    Salakhutdinov & Murray 2008, On the Quantitative Analysis of Deep Belief Networks, §5.
    """
    array = np.asarray(X, dtype=np.float32)
    check_shares(torch.from_numpy(array), full)
    drawing = np.random.default_rng(resolve_seed(random_state))
    return (drawing.random(array.shape, dtype=np.float32) * np.float32(full) < array).astype(np.float32)


def drawn_bits(rows: Float[Tensor, "batch features"], full: float, generator: torch.Generator) -> Tensor:
    """Return ``full`` or zero for each value, ``full`` with probability ``value / full``."""
    uniform = torch.rand(rows.shape, generator=generator, dtype=rows.dtype, device=rows.device)
    if full == 1:
        return uniform.lt_(rows)  # in place, as numbers: booleans would be converted after, for half the time again
    return uniform.mul_(full).lt_(rows).mul_(full)


def full_pixel(rows: Tensor, setting: float | None) -> float:
    """Return the value of a full pixel: the setting, else 1 where no value exceeds it, else 255 or the largest value.

    Examples
    --------
    >>> full_pixel(torch.tensor([[0.0, 254.0]]), None), full_pixel(torch.tensor([[0.0, 16.0]]), None)
    (255.0, 16.0)
    """
    if setting is not None:
        return float(setting)
    largest = float(rows.max())
    if largest <= 1:
        return 1.0
    return 255.0 if 128 <= largest <= 255 else largest


def is_binary(rows: Tensor, full: float = 1.0) -> bool:
    """Whether all values are 0 or ``full``."""
    return bool(((rows == 0) | (rows == full)).all())


def check_binary(rows: Tensor, full: float) -> None:
    """Raise `InputError` unless all values are 0 or ``full``: a Bernoulli likelihood says nothing of grey pixels."""
    if not is_binary(rows, full):
        strange = float(rows[(rows != 0) & (rows != full)].flatten()[0])
        mend = "draw black and white pixels first (the method binarized does), or set another likelihood"
        raise InputError(f"values of 0 or {full:g} where the likelihood is Bernoulli", f"{strange:g}", mend)


def check_shares(rows: Tensor, full: float) -> None:
    """Raise `InputError` unless all values lie between 0 and ``full``."""
    low, high = [float(end) for end in rows.aminmax()] if rows.numel() else (0.0, full)
    if not (low >= 0 and high <= full):  # so that NaN is refused too
        mend = "set pixel_scale to the value of a full pixel, or another likelihood"
        raise InputError(f"pixels between 0 and {full:g} to be drawn as bits", f"{low:g} to {high:g}", mend)
