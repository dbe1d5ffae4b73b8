"""Whether anyone listens to a network while it trains: what is recorded or compiled would not call them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.nn.modules import module as torch_module

__all__ = ["Listeners"]

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_OF_ALL = (
    *("_global_forward_hooks", "_global_forward_pre_hooks"),
    *("_global_backward_hooks", "_global_backward_pre_hooks"),
)


class Listeners:
    """The hooks of a network's modules and of parameters, asked for at every step.

    Parameters
    ----------
    network : nn.Module
        Modules added later are not watched.
    parameters : iterable of nn.Parameter
        Their hooks count too, and whether they still learn.

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> listeners = Listeners(layer, layer.parameters())
    >>> handle = layer.register_forward_hook(lambda *_: None)
    >>> listeners.present
    True
    >>> handle.remove()
    >>> listeners.present
    False
    """

    def __init__(self, network: nn.Module, parameters: Iterable[nn.Parameter]) -> None:
        # The dictionaries are the modules' own: what is registered later appears in them.
        self._hooks: list[dict[Any, Any]] = [getattr(m, name) for m in network.modules() for name in _HOOKS]
        self._hooks += [getattr(torch_module, name) for name in _OF_ALL]
        self._parameters: list[Any] = list(parameters)

    @property
    def present(self) -> bool:
        """Whether a hook is registered, or a parameter that learned has been frozen."""
        return any(self._hooks) or not all(
            p.requires_grad and not p._backward_hooks and not p._post_accumulate_grad_hooks for p in self._parameters
        )
