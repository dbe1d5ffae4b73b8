"""Batch normalization by the statistics of the whole batch, where several processes share it.

Torch's own synchronized layer runs on GPUs only, and takes the place of the layer. Here the layer stays what it is,
under its name, and computes its training pass together with the others' while the block lasts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

if TYPE_CHECKING:
    from gradus.training.distribution import World

__all__ = ["synchronized"]


@contextmanager
def synchronized(network: nn.Module, met: World | None) -> Iterator[None]:
    """Let batch normalization see the whole batch inside the block; does nothing where one process is alone.

    Parameters
    ----------
    network : nn.Module
        Its ``nn.BatchNorm`` layers are meant.
    met : World or None
        The processes, all of which call each layer at each training step.
    """
    layers: list[Any] = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if met is None or not layers:
        yield
        return
    for layer in layers:
        layer.forward = partial(_normalize, layer, met)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


class _Sum(torch.autograd.Function):
    """Sum over processes; the gradient of what each does with the sum is summed likewise."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        """Return the sum."""
        whole = values.clone()
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        """Return the sum of the gradients."""
        whole = gradients[0].contiguous().clone()
        dist.all_reduce(whole)
        return whole


def _normalize(layer: Any, met: World, inputs: Tensor) -> Tensor:
    """Return ``(x - mean) / sqrt(variance + eps) * weight + bias`` by the moments of all processes' rows."""
    if not layer.training:
        return type(layer).forward(layer, inputs)
    layer._check_input_dim(inputs)
    axes, shape = [0, *range(2, inputs.ndim)], [1, -1] + [1] * (inputs.ndim - 2)
    values = inputs.float() if inputs.dtype in (torch.bfloat16, torch.float16) else inputs
    rows = values.new_full((1,), met.weight * values.numel() / values.shape[1])
    # In two passes: the difference of a mean square and a squared mean would cancel where the mean is large.
    sums = _Sum.apply(torch.cat([met.weight * values.sum(axes), rows]))
    count = sums[-1].detach()
    mean = sums[:-1] / count
    centred = values - mean.view(shape)
    variance = _Sum.apply(met.weight * centred.square().sum(axes)) / count
    _remember(layer, mean.detach(), variance.detach(), count)
    normal = centred * torch.rsqrt(variance + layer.eps).view(shape)
    if layer.affine:
        normal = normal * layer.weight.view(shape) + layer.bias.view(shape)
    return normal.to(inputs.dtype)


@torch.no_grad()
def _remember(layer: Any, mean: Tensor, variance: Tensor, count: Tensor) -> None:
    """Move the running moments as torch's layer does: towards the unbiased variance."""
    if not layer.track_running_stats:
        return
    layer.num_batches_tracked.add_(1)
    momentum = layer.momentum
    if momentum is None:
        momentum = 1.0 / float(layer.num_batches_tracked)
    layer.running_mean.lerp_(mean.to(layer.running_mean.dtype), momentum)
    unbiased = variance * (count / (count - 1).clamp_min(1e-12))  # of one value there is none: zero
    layer.running_var.lerp_(unbiased.to(layer.running_var.dtype), momentum)
