"""The memory that training a network takes, told before it is built: a sentence instead of the allocator's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from gradus.core.errors import SettingError
from gradus.core.randomness import isolated
from gradus.core.storage import memory_limit
from gradus.training.optimizers import OPTIMIZER_MEMORY

__all__ = ["check_footprint"]

# Counted are weights, gradients and the optimizer's memory. What else a training may keep (averages, the best
# weights) is left out, as are activations: less is not refused than surely does not fit.
NUMBER = 4  # bytes of a float32
# Tensors of more elements than this are made without memory while a network is measured. Smaller ones are real: what
# looks at them, such as a check of a column's scale, finds them as it will.
LARGE = 1 << 16

BEYOND = 1 << 58  # elements; shapes of many more cannot even be named

_FACTORIES = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn})


class _Beyond(Exception):
    """A tensor has more elements than any memory."""


class _Measured(TorchFunctionMode):
    """Inside the block, large tensors are made on the meta device, which has shapes and no memory."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in _FACTORIES and (elements := _elements(args, kwargs)) > LARGE:
            if elements > BEYOND:
                raise _Beyond
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def _elements(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    shape = kwargs.get("size", args[0] if args and isinstance(args[0], tuple | list) else args)
    return math.prod(int(size) for size in (shape if isinstance(shape, tuple | list) else (shape,)))


def check_footprint(
    build: Callable[[], nn.Module], *, optimizer: str, device: torch.device, processes: int = 1
) -> None:
    """Refuse a network whose training cannot fit into the memory, before any of it is taken.

    The network is built once without memory for its large tensors, so its parameters are counted and not estimated.
    One that computes with its weights while it is built cannot be measured so, and is let pass.

    Parameters
    ----------
    build : callable
        Makes the network; called once, with torch's global generators restored after.
    optimizer : str
        The optimizer's name, for what it remembers of each parameter.
    device : torch.device
        Where training takes place.
    processes : int
        How many share weights, gradients and the optimizer's memory; each has the whole network at both ends.

    Raises
    ------
    SettingError
        If weights, gradients and the optimizer's memory, in float32, are more than the machine has.

    Examples
    --------
    >>> check_footprint(lambda: nn.Linear(10**7, 10**7), optimizer="adam", device=torch.device("cpu"))
    Traceback (most recent call last):
    gradus.core.errors.SettingError: expected a network of at most ... parameters, ...
    """
    limit = memory_limit() if device.type != "cuda" else torch.cuda.get_device_properties(device).total_memory
    trained = 1 + OPTIMIZER_MEMORY.get(optimizer, 0)
    each = NUMBER * (1 + trained) if processes == 1 else NUMBER * (1 + trained / processes)
    most = int(limit // each)
    try:
        with isolated(0), _Measured():
            parameters = sum(parameter.numel() for parameter in build().parameters())
    except _Beyond:
        parameters, counted = BEYOND, f"more than {BEYOND:,}"
    except (NotImplementedError, RuntimeError):
        return
    else:
        counted = f"{parameters:,}"
    if parameters > most:
        expected = f"a network of at most {most:,} parameters, for the {limit / 1e9:,.1f} GB of memory there are"
        received = f"{counted} ({parameters * each / 1e9:,.1f} GB with gradients and the memory of {optimizer})"
        raise SettingError(expected, received, "set fewer or smaller layers")
