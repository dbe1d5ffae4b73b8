"""How a head of a neural Turing machine finds its place in memory, and reads and writes there (§10.12)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from gradus.core.errors import InputError

__all__ = ["content_weights", "interpolate", "read", "sharpen", "shift", "write"]


def content_weights(
    memory: Float[Tensor, "batch slots cells"],
    keys: Float[Tensor, "batch heads cells"],
    strengths: Float[Tensor, "batch heads"],
) -> Float[Tensor, "batch heads slots"]:
    r"""Find slots by content: :math:`w_i \propto \exp(\beta \cos(k, M_i))`.

    Parameters
    ----------
    memory : Tensor of shape (batch, slots, cells)
        The memory M.
    keys : Tensor of shape (batch, heads, cells)
        What each head looks for, k.
    strengths : Tensor of shape (batch, heads)
        β, 0 or more: 0 looks everywhere, a large one at the most similar slot alone.

    Returns
    -------
    Tensor of shape (batch, heads, slots)
        Weights that sum to one.

    Examples
    --------
    >>> memory = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    >>> content_weights(memory, torch.tensor([[[0.0, 3.0]]]), torch.tensor([[100.0]]))[0, 0].round().tolist()
    [0.0, 1.0]

    References
    ----------
    Goodfellow et al. 2016, §10.12; Graves et al. 2014, eq. 5 and 6.
    """
    # Normalizing both sides takes one pass over the memory; the floor keeps an empty slot's gradient finite.
    similarity = F.normalize(keys, dim=2, eps=1e-8) @ F.normalize(memory, dim=2, eps=1e-8).transpose(1, 2)
    return (strengths[:, :, None] * similarity).softmax(2)


def interpolate(
    content: Float[Tensor, "batch heads slots"],
    previous: Float[Tensor, "batch heads slots"],
    gates: Float[Tensor, "batch heads"],
) -> Float[Tensor, "batch heads slots"]:
    r"""Choose between the content and the last place: :math:`g w^c + (1 - g) w_{t-1}`.

    Examples
    --------
    >>> one, other = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]])
    >>> interpolate(one, other, torch.tensor([[0.25]])).tolist()
    [[[0.25, 0.75]]]

    References
    ----------
    Graves et al. 2014, eq. 7.
    """
    return torch.lerp(previous, content, gates[:, :, None])


def shift(
    weights: Float[Tensor, "batch heads slots"], kernel: Float[Tensor, "batch heads offsets"]
) -> Float[Tensor, "batch heads slots"]:
    r"""Move along the memory: :math:`\tilde w_i = \sum_j w_{i - j} s_j`, indices modulo the number of slots.

    Parameters
    ----------
    weights : Tensor of shape (batch, heads, slots)
        Where the heads are.
    kernel : Tensor of shape (batch, heads, offsets)
        Probabilities of the offsets ``-r, ..., 0, ..., r``; an odd number, at most as many as slots.

    Returns
    -------
    Tensor of shape (batch, heads, slots)
        The circular convolution of both.

    Raises
    ------
    InputError
        If the number of offsets is even or larger than that of slots.

    Examples
    --------
    >>> shift(torch.tensor([[[1.0, 0.0, 0.0, 0.0]]]), torch.tensor([[[0.25, 0.0, 0.75]]])).tolist()
    [[[0.0, 0.75, 0.0, 0.25]]]

    References
    ----------
    Graves et al. 2014, eq. 8.
    """
    offsets, slots = kernel.shape[2], weights.shape[2]
    if offsets % 2 == 0 or offsets > slots:
        mend = "give the offsets -r to r with 2 r + 1 slots or more"
        raise InputError(f"an odd number of offsets, {slots} at most", str(offsets), mend)
    reach = offsets // 2
    # Entry i of window j is w_{i - j + reach}: the memory wrapped around once, seen through `offsets` windows.
    wrapped = torch.cat([weights[:, :, slots - reach :], weights, weights[:, :, :reach]], 2)
    return (wrapped.unfold(2, offsets, 1) @ kernel.flip(2)[:, :, :, None]).squeeze(3)


def sharpen(
    weights: Float[Tensor, "batch heads slots"], powers: Float[Tensor, "batch heads"]
) -> Float[Tensor, "batch heads slots"]:
    r"""Undo the blur of shifting: :math:`w_i^\gamma / \sum_j w_j^\gamma`.

    Parameters
    ----------
    weights : Tensor of shape (batch, heads, slots)
        Weights of 0 or more, one of them positive.
    powers : Tensor of shape (batch, heads)
        γ, 1 or more.

    Returns
    -------
    Tensor of shape (batch, heads, slots)
        Weights that sum to one.

    Examples
    --------
    >>> sharpen(torch.tensor([[[0.4, 0.2]]]), torch.tensor([[2.0]]))[0, 0].tolist()
    [0.800000011920929, 0.20000000298023224]

    References
    ----------
    Graves et al. 2014, eq. 9.
    """
    # The largest weight as the unit: powers of small weights would all vanish. The result does not depend on it.
    relative = weights / weights.detach().amax(2, keepdim=True)
    raised = relative.pow(powers[:, :, None])
    return raised / raised.sum(2, keepdim=True)


def read(
    memory: Float[Tensor, "batch slots cells"], weights: Float[Tensor, "batch heads slots"]
) -> Float[Tensor, "batch heads cells"]:
    r"""Read the weighted mean of the slots: :math:`r = \sum_i w_i M_i`.

    Examples
    --------
    >>> read(torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[0.5, 0.5]]])).tolist()
    [[[2.0]]]

    References
    ----------
    Graves et al. 2014, eq. 2.
    """
    return weights @ memory


def write(
    memory: Float[Tensor, "batch slots cells"],
    weights: Float[Tensor, "batch heads slots"],
    erase: Float[Tensor, "batch heads cells"],
    add: Float[Tensor, "batch heads cells"],
) -> Float[Tensor, "batch slots cells"]:
    r"""Erase, then add: :math:`M_i \leftarrow M_i \odot \prod_h (1 - w_{hi} e_h) + \sum_h w_{hi} a_h`.

    Parameters
    ----------
    memory : Tensor of shape (batch, slots, cells)
        The memory before.
    weights : Tensor of shape (batch, heads, slots)
        Where each head writes.
    erase : Tensor of shape (batch, heads, cells)
        What it erases, e in ``[0, 1]``.
    add : Tensor of shape (batch, heads, cells)
        What it adds, a.

    Returns
    -------
    Tensor of shape (batch, slots, cells)
        The memory after. The order of heads does not matter.

    Examples
    --------
    >>> memory, weights = torch.ones(1, 2, 2), torch.tensor([[[1.0, 0.0]]])
    >>> write(memory, weights, torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[5.0, 5.0]]])).tolist()
    [[[5.0, 6.0], [1.0, 1.0]]]

    References
    ----------
    Graves et al. 2014, eq. 3 and 4.
    """
    if weights.shape[1] == 1:  # one head needs no product over heads
        kept = memory * (1 - weights.transpose(1, 2) * erase)
    else:
        kept = memory * (1 - weights[:, :, :, None] * erase[:, :, None]).prod(1)
    return torch.baddbmm(kept, weights.transpose(1, 2), add)
