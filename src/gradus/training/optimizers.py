"""Optimizers by name: torch's own, fused where torch has a fused kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gradus.core.errors import InputError, SettingError
from gradus.training.options import TrainingOptions

__all__ = ["OPTIMIZERS", "OPTIMIZER_MEMORY", "FusedAdam", "build_optimizers", "weights_of"]

# name -> (torch's class, its keyword arguments); an Ellipsis takes the value of the option of that name
OPTIMIZERS: dict[str, tuple[Callable[..., Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"fused": True}),
    "momentum": (torch.optim.SGD, {"fused": True, "momentum": ...}),
    "nesterov": (torch.optim.SGD, {"fused": True, "momentum": ..., "nesterov": True}),
    "adagrad": (torch.optim.Adagrad, {"fused": True}),
    "rmsprop": (torch.optim.RMSprop, {"foreach": True}),
    "adam": (torch.optim.Adam, {"fused": True}),
    "adamw": (torch.optim.AdamW, {"fused": True}),
    "muon": (torch.optim.Muon, {"momentum": ..., "adjust_lr_fn": "match_rms_adamw"}),
    "lbfgs": (torch.optim.LBFGS, {"line_search_fn": "strong_wolfe"}),
}
# Numbers that the optimizer remembers for each parameter, beside its weight and its gradient. What L-BFGS remembers
# grows as it goes.
OPTIMIZER_MEMORY = {
    "sgd": 0,
    "momentum": 1,
    "nesterov": 1,
    "adagrad": 1,
    "rmsprop": 1,
    "adam": 2,
    "adamw": 2,
    "muon": 1,
}


def weights_of(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Return the weight matrices and kernels among ``parameters``.

    Biases and gains have one axis; penalizing them underfits (Goodfellow et al. 2016, §7.1).
    """
    return [p for p in parameters if p.ndim >= 2]


def build_optimizers(parameters: Iterable[nn.Parameter], options: TrainingOptions) -> list[Optimizer]:
    """Return the torch optimizers that ``options`` name for ``parameters``.

    There is one, except for Muon, which is defined for matrices only and leaves the rest to AdamW.

    Parameters
    ----------
    parameters : iterable of nn.Parameter
        What is to be moved.
    options : TrainingOptions
        ``optimizer``, ``learning_rate``, ``momentum`` and ``weight_decay`` are read.

    Raises
    ------
    InputError
        If there is no parameter that requires a gradient.
    SettingError
        If the optimizer has no such thing as the decay or momentum asked for.

    Examples
    --------
    >>> layer = nn.Linear(3, 2)
    >>> [type(o).__name__ for o in build_optimizers(layer.parameters(), TrainingOptions(optimizer="muon"))]
    ['Muon', 'AdamW']
    """
    moved = [p for p in parameters if p.requires_grad]
    if not moved:
        mend = "unfreeze a layer (requires_grad_(True))"
        raise InputError("a network with a parameter to train", "none", mend)
    if options.optimizer == "nesterov" and options.momentum == 0:
        mend = "set momentum=0.9, or optimizer='sgd'"
        raise SettingError("momentum above 0 with optimizer='nesterov'", "0", mend)
    if options.optimizer == "lbfgs":  # torch's L-BFGS takes one group and has no decay
        if options.weight_decay:
            expected, received = "weight_decay=0 with optimizer='lbfgs'", f"{options.weight_decay:g}"
            raise SettingError(expected, received, "L-BFGS has no decay; set l2 instead")
        if options.gradient_clip is not None:
            expected, received = "no gradient_clip with optimizer='lbfgs'", f"{options.gradient_clip:g}"
            raise SettingError(expected, received, "its line search needs the true gradient; set gradient_clip=None")
        return [_build("lbfgs", [{"params": moved}], options)]
    if options.optimizer == "muon":
        matrices = [p for p in moved if p.ndim == 2]
        rest = [p for p in moved if p.ndim != 2]
        muon = [_build("muon", [{"params": matrices}], options)] if matrices else []
        return muon + ([_build("adamw", _groups(rest, options.weight_decay), options)] if rest else [])
    return [_build(options.optimizer, _groups(moved, options.weight_decay), options)]


def _groups(parameters: list[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """One group where nothing decays (each group costs a kernel launch a step), two where matrices do."""
    if not decay:
        return [{"params": parameters, "weight_decay": 0.0}]
    flat = [p for p in parameters if p.ndim < 2]
    groups = [
        {"params": weights_of(parameters), "weight_decay": decay},
        {"params": flat, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _build(name: str, groups: list[dict[str, Any]], options: TrainingOptions) -> Optimizer:
    cls, arguments = OPTIMIZERS[name]
    if "fused" in arguments and not _has_kernel(name, groups[0]["params"][0].device):
        arguments = {**arguments, "fused": False, "foreach": True}
    filled = {key: getattr(options, key) if value is ... else value for key, value in arguments.items()}
    if name == "muon":
        filled["weight_decay"] = options.weight_decay
    return cls(groups, lr=options.learning_rate, **filled)


def _has_kernel(name: str, device: torch.device) -> bool:
    """Tell whether this torch has a fused kernel of the optimizer on the device, and its class lets it be used."""
    if name == "adagrad" and device.type != "cpu":  # torch 2.11 has the kernel on cuda, and refuses it
        return False
    kernel = f"aten::_fused_{'sgd' if name in ('sgd', 'momentum', 'nesterov') else name}_"
    return device.type == "cpu" or torch._C._dispatch_has_kernel_for_dispatch_key(kernel, device.type.upper())


class FusedAdam:
    """The step of one fused Adam or AdamW without what torch does around it.

    A step of ``torch.optim.Adam`` collects its tensors anew, asks for hooks and records itself for the profiler: for a
    small network that takes longer than the arithmetic. Here the tensors are collected once, from the optimizer's own
    state, and handed to torch's fused kernel, which works on them in place. The numbers are the same to the bit.
    """

    def __init__(self) -> None:
        self._owner: Optimizer | None = None
        self._groups: list[tuple[dict[str, Any], Callable[..., None], list[Tensor], list[Tensor], list[Tensor]]] = []

    def step(self, optimizers: list[Optimizer]) -> bool:
        """Take a step if this is a case it knows; otherwise return False and leave it to the optimizers."""
        optimizer = optimizers[0]
        if self._owner is not optimizer and not self._adopt(optimizers):
            return False
        gradients = [[p.grad for p in group["params"]] for group, *_ in self._groups]
        hooked = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
        # identity, not ``in``: comparing a tensor with None is an operation
        if hooked or any(gradient is None for part in gradients for gradient in part):
            self._release(optimizer)
            return False
        with torch.no_grad():
            for part, (group, kernel, averages, squares, steps) in zip(gradients, self._groups, strict=True):
                beta1, beta2 = group["betas"]
                steps[0].add_(1)  # one tensor, named once for each parameter
                kernel(
                    group["params"],
                    part,
                    averages,
                    squares,
                    [],
                    steps,
                    lr=group["lr"],
                    beta1=beta1,
                    beta2=beta2,
                    weight_decay=group["weight_decay"],
                    eps=group["eps"],
                    amsgrad=False,
                    maximize=False,
                )
        return True

    def _adopt(self, optimizers: list[Optimizer]) -> bool:
        """Collect the state that the first ordinary step has made; parameters that stepped together count as one."""
        optimizer = optimizers[0]
        if len(optimizers) != 1 or not isinstance(optimizer, torch.optim.Adam):
            return False
        self._groups = []
        for group in optimizer.param_groups:
            states = [optimizer.state.get(p) or {} for p in group["params"]]
            if not group["fused"] or group["amsgrad"] or group["maximize"] or not all(states):
                return False
            if len({(p.device, p.dtype) for p in group["params"]}) != 1:  # a kernel call takes one kind of tensor
                return False
            averages, squares, steps = ([s[k] for s in states] for k in ("exp_avg", "exp_avg_sq", "step"))
            kernel = torch._fused_adamw_ if group.get("decoupled_weight_decay") else torch._fused_adam_
            if any(not torch.equal(step, steps[0]) for step in steps[1:]):
                return False
            for state in states:
                state["step"] = steps[0]
            self._groups.append((group, kernel, averages, squares, steps[:1] * len(steps)))
        self._owner = optimizer
        return True

    def _release(self, optimizer: Optimizer) -> None:
        """Give the optimizer back, its steps counted for each parameter again."""
        for state in optimizer.state.values():
            state["step"] = state["step"].clone()
        self._owner = None
