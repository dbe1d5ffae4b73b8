"""Padded batches of sequences: which positions hold data, and the order reversed inside each length."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gradus.core.errors import InputError

__all__ = ["check_lengths", "check_sequences", "last_valid", "reverse", "valid_positions"]


def check_sequences(inputs: Tensor, features: int) -> None:
    """Refuse anything but floating-point sequences of the width a network was made for.

    Raises
    ------
    InputError
        If ``inputs`` is not a floating-point tensor ``(batch, time, features)`` of one step or more.
    """
    expected = f"sequences of shape (batch, time, {features})"
    if inputs.ndim != 3 or inputs.shape[2] != features or inputs.shape[1] < 1:
        mend = "put the batch first, then time, one step or more, then the features of a step"
        raise InputError(expected, str(tuple(inputs.shape)), mend)
    if not inputs.is_floating_point():
        raise InputError(f"{expected} in floating point", str(inputs.dtype), "convert them with .float()")


def check_lengths(lengths: Tensor | None, batch: int, time: int) -> None:
    """Refuse lengths that do not fit a padded batch.

    An empty sequence is refused: it has no last state, and a recurrent network could only answer with its
    initial state, which says nothing of the example.

    Parameters
    ----------
    lengths : Tensor of shape (batch,) or None
        Number of valid steps of each example; ``None`` where every step is valid.
    batch, time : int
        Shape of the padded batch.

    Raises
    ------
    InputError
        If the lengths are no integers of shape ``(batch,)`` between 1 and ``time``.

    Examples
    --------
    >>> check_lengths(torch.tensor([3, 0]), 2, 3)
    Traceback (most recent call last):
    gradus.core.errors.InputError: expected lengths from 1 to 3, got 0 for example 1; leave empty sequences out of \
the batch, and pad to the longest
    """
    if lengths is None:
        return
    if lengths.shape != (batch,) or lengths.is_floating_point() or lengths.dtype == torch.bool:
        received = f"{lengths.dtype} of shape {tuple(lengths.shape)}"
        raise InputError(f"integer lengths of shape ({batch},)", received, "give one length for each example")
    wrong = ((lengths < 1) | (lengths > time)).nonzero()
    if len(wrong):
        row = int(wrong[0])
        mend = "leave empty sequences out of the batch, and pad to the longest"
        raise InputError(f"lengths from 1 to {time}", f"{int(lengths[row])} for example {row}", mend)


def valid_positions(lengths: Int[Tensor, " batch"], time: int) -> Bool[Tensor, "batch {time}"]:
    """Return where a padded batch holds data: true at the first ``lengths[i]`` steps of example i.

    Examples
    --------
    >>> valid_positions(torch.tensor([1, 3]), 3).int().tolist()
    [[1, 0, 0], [1, 1, 1]]
    """
    return torch.arange(time, device=lengths.device) < lengths[:, None]


def reverse(
    inputs: Float[Tensor, "batch time features"], lengths: Int[Tensor, " batch"] | None = None
) -> Float[Tensor, "batch time features"]:
    """Reverse each sequence inside its length; padding stays where it is.

    A backward direction that began in the padding would read a different sequence for every amount of it.

    Examples
    --------
    >>> reverse(torch.tensor([[[1.0], [2.0], [0.0]]]), torch.tensor([2])).flatten().tolist()
    [2.0, 1.0, 0.0]
    """
    if lengths is None:
        return inputs.flip(1)
    steps = torch.arange(inputs.shape[1], device=inputs.device)
    mirrored = lengths.to(inputs.device)[:, None] - 1 - steps
    index = torch.where(mirrored >= 0, mirrored, steps)
    return inputs.gather(1, index[:, :, None].expand_as(inputs))


def last_valid(
    outputs: Float[Tensor, "batch time features"], lengths: Int[Tensor, " batch"] | None = None
) -> Float[Tensor, "batch features"]:
    """Return the entry at the last valid step of each example.

    Examples
    --------
    >>> last_valid(torch.tensor([[[1.0], [2.0], [0.0]]]), torch.tensor([2])).tolist()
    [[2.0]]
    """
    if lengths is None:
        return outputs[:, -1]
    index = (lengths.to(outputs.device) - 1)[:, None, None].expand(-1, 1, outputs.shape[2])
    return outputs.gather(1, index)[:, 0]
