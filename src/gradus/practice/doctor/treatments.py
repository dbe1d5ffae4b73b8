"""Treatments: change one thing about the patient, train again, and see whether it learns.

What a rule suspects, a treatment proves: a learning rate is too high if a tenth of it learns what it did not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from gradus.practice.doctor.patient import Patient, Source
from gradus.practice.doctor.signals import ENDS, Around, Rewired, Signal, Undropped, dropout_rate, signals, squashed
from gradus.practice.doctor.treatments_steps import (
    clipped,
    cuts,
    held_rate,
    odd_loss,
    one_rate,
    plain_loss,
    small_tables,
    tables_at_one,
    unclipped,
    uncut,
    uneven_rates,
)

__all__ = ["TREATMENTS", "Treatment"]


@dataclass(frozen=True)
class Treatment:
    """One change.

    Attributes
    ----------
    cause : str
        What was wrong if it helps.
    words : str
        What it changes, for the evidence.
    apply : callable
        ``(patient) -> Patient or None``: the treated patient; None where there is nothing to treat.
    prior : callable
        ``(patient) -> float``: how likely it is needed, from a look at the patient; 0 leaves it out.
    """

    cause: str
    words: str
    apply: Callable[[Patient], Patient | None]
    prior: Callable[[Patient], float]


def _rate(factor: float) -> Callable[[Patient], Patient]:
    def apply(patient: Patient) -> Patient:
        for optimizer in patient.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["lr"] * factor
                group["initial_lr"] = group.get("initial_lr", group["lr"] / factor) * factor
        return patient

    return apply


class _Prepared(Around):
    """The patient's network behind standardized inputs, before rescaled outputs."""

    def __init__(
        self, network: nn.Module, inputs: tuple[Tensor, Tensor] | None, outputs: tuple[Any, Any] | None
    ) -> None:
        super().__init__(network)
        self.scale_in, self.scale_out = inputs, outputs

    def forward(self, *inputs: Any) -> Any:
        """Standardize, ask, rescale."""
        if self.scale_in is not None:
            center, spread = self.scale_in
            inputs = ((inputs[0] - center) / spread, *inputs[1:])
        output = self.network(*inputs)
        return output if self.scale_out is None else output * self.scale_out[1] + self.scale_out[0]


def input_scale(patient: Patient) -> tuple[Tensor, Tensor] | None:
    """Return center and spread of each input of training: of each column of a table, of each channel of pictures."""
    inputs = patient.train.rows(2000)[0]
    if not inputs.is_floating_point() or inputs.ndim < 2:
        return None
    axes = (0,) if inputs.ndim == 2 else (0, *range(2, inputs.ndim)) if inputs.ndim == 4 else (0, 1)
    center = inputs.mean(axes, keepdim=True)
    spread = inputs.std(axes, keepdim=True)
    return center, torch.where(spread > 1e-8, spread, torch.ones_like(spread))


def _standardized(patient: Patient) -> Patient | None:
    scale = input_scale(patient)
    if scale is None:
        return None
    return replace(patient, network=_Prepared(patient.network, scale, None))


def off_scale(patient: Patient) -> float:
    """Return how far inputs are from standardized, in powers of ten of their size."""
    scale = input_scale(patient)
    if scale is None:
        return 0.0
    center, spread = (t.double().reshape(-1) for t in scale)
    size = (center**2 + spread**2).sqrt()
    moving = spread[spread != 1.0] if bool((spread != 1.0).any()) else spread
    big, small = float(size.max().log10()), float(size.max().clamp_min(1e-12).log10())
    uneven = float((moving.max() / moving.min().clamp_min(1e-12)).log10()) if len(moving) > 1 else 0.0
    return max(big, -small, 0.25 * uneven, 0.0)


def _rescaled(patient: Patient) -> Patient | None:
    target = patient.train.rows(2000)[-1]
    if not target.is_floating_point() or target.ndim > 2:
        return None
    center, spread = target.mean(0), target.std(0).clamp_min(1e-8)
    treated = replace(patient, network=_Prepared(patient.network, None, (center, spread)))
    plain = patient.loss
    if plain is None or not _by_distance(patient, spread):
        return treated

    def loss(output: Any, goal: Any) -> Any:
        return plain((output - center) / spread, (goal - center) / spread)

    return replace(treated, loss=loss)  # its steps are not longer by the square of the spread


@torch.no_grad()
def _by_distance(patient: Patient, shift: Tensor) -> bool:
    """Whether a loss stays as it is when outputs and targets are shifted together."""
    batch = patient.train.first()
    patient.network.eval()
    try:
        output, target = patient.forward(batch), patient.target(batch)
        one, other = (float(patient.loss(output + s, target + s)) for s in (0 * shift, shift))  # type: ignore[misc]
    except Exception:  # outputs that are no single tensor
        return False
    return math.isfinite(one) and abs(other - one) <= 1e-3 * abs(one)


def _rescaled_both(patient: Patient) -> Patient | None:
    outer = _rescaled(patient)
    scale = input_scale(patient)
    if outer is None or scale is None:
        return None
    return replace(outer, network=_Prepared(outer.network, scale, None))


def both_off(patient: Patient) -> float:
    """Return one where inputs and targets are both far from the size of one, as unscaled counts are."""
    return float(min(off_scale(patient), target_size(patient)) >= 0.9)


def target_size(patient: Patient) -> float:
    """Return how large float targets are, in powers of ten, above ten and below a tenth."""
    parts = patient.train.rows(2000)
    target = parts[-1]
    if len(parts) < 2 or not target.is_floating_point() or target.ndim > 2 or len(target.unique()) <= 2:
        return 0.0
    size = float((target.double() ** 2).mean().sqrt())
    return max(0.0, abs(float(torch.tensor(max(size, 1e-12)).log10())) - 0.5)


@torch.no_grad()
def _reinitialized(patient: Patient) -> Patient:
    """Let layers draw their weights anew; weights that belong to no such layer are drawn where theirs are strange."""
    torch.manual_seed(patient.seed)
    for module in patient.network.modules():
        own = list(module.parameters(recurse=False))
        reset = getattr(module, "reset_parameters", None)
        if callable(reset) and own:
            reset()
            continue
        for p in own:
            if p.ndim == 2 and p.numel() > 8 and (_loose_factor(p) > 0.45 or _one_sign(p)):
                nn.init.xavier_uniform_(p)
    return patient


def _log(factor: float) -> float:
    return abs(math.log10(max(factor, 1e-6)))


def _loose_factor(p: Tensor) -> float:
    """Return how far the spread of a matrix is from Glorot's, as the log of a factor."""
    usual = (2 / (p.shape[0] + p.shape[1])) ** 0.5
    return _log(float(p.detach().double().pow(2).mean().sqrt()) / usual)


def _one_sign(p: Tensor) -> bool:
    """Whether many weights that differ are all positive: they add up what should cancel."""
    size = float(p.detach().double().pow(2).mean().sqrt())
    return p.numel() > 30 and float(p.detach().min()) >= 0 and float(p.detach().std()) > 0.01 * size


def strange_weights(patient: Patient) -> float:
    """Return how far the spread of weights is from one over the root of their fan-in, as the log of a factor.

    Of layers with a known fan-in, and of recurrent weights; offsets count where they are large, such as those of a
    normalization that let no rectifier fire.
    """
    worst = 0.0
    for module in patient.network.modules():
        known = isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.RNNBase | nn.RNNCellBase)
        normed = isinstance(module, nn.LayerNorm | nn.GroupNorm | nn.modules.batchnorm._BatchNorm)
        for name, p in module.named_parameters(recurse=False):
            size = p.detach().double().pow(2).mean().sqrt() if p.numel() else torch.zeros(())
            if "bias" in name and (known or normed) and p.numel():
                worst = max(worst, float(size.clamp_min(1e-12).log10()) * 0.8 + 0.3)
            elif known and p.ndim > 1 and p.numel() > 8 and float(size) > 0:  # zero may be meant
                worst = max(worst, _log(float(size) * p[0].numel() ** 0.5) - 0.45)
                worst = max(worst, 0.6 * _one_sign(p))
    return max(0.0, worst)


def loose_weights(patient: Patient) -> float:
    """Return how far weights that belong to no layer of torch's are from Glorot's spread, as the log of a factor."""
    worst = 0.0
    for module in patient.network.modules():
        if not callable(getattr(module, "reset_parameters", None)):
            found = [p for p in module.parameters(recurse=False) if p.ndim == 2 and p.numel() > 8]
            worst = max([worst, *(_loose_factor(p) - 0.45 for p in found), *(0.9 * _one_sign(p) for p in found)])
    return worst


def _unregularized(patient: Patient) -> Patient:
    for optimizer in patient.optimizers:
        for group in optimizer.param_groups:
            if "weight_decay" in group:
                group["weight_decay"] = 0.0
    return replace(patient, network=Undropped(patient.network))


def penalties(patient: Patient) -> float:
    """Return how strong weight decay and dropout are: one where they are commonly too strong."""
    decay = max((g.get("weight_decay") or 0.0 for o in patient.optimizers for g in o.param_groups), default=0.0)
    try:
        rate = dropout_rate(patient, patient.train.first())
    except Exception:  # a network that is called in ways of its own
        rate = 0.0
    adamw = any(isinstance(o, torch.optim.AdamW) for o in patient.optimizers)
    lr = max(g["lr"] for o in patient.optimizers for g in o.param_groups)
    strong = decay * lr > 1e-3 if adamw else decay >= 0.01
    return max(1.0 if strong else 0.0, 1.0 if rate >= 0.7 else 0.3 if rate >= 0.6 else 0.0)


class _Calm(Around):
    """The patient's network, which training mode leaves in evaluation mode but for its batch statistics."""

    def train(self, mode: bool = True) -> _Calm:
        """Turn on batch statistics alone."""
        super().train(mode)
        for module in self.network.modules():
            module.training = mode and isinstance(module, nn.modules.batchnorm._BatchNorm)
        return self

    def forward(self, *inputs: Any) -> Any:
        """Ask the network."""
        return self.network(*inputs)


def _calm(patient: Patient) -> Patient:
    return replace(patient, network=_Calm(patient.network))


@torch.no_grad()
def noise_inside(patient: Patient) -> float:
    """Return one where a network in training mode answers a row otherwise each time, and not by dropout."""
    batch = patient.train.first()
    network, calm = Undropped(patient.network), _Calm(patient.network)
    spreads = []
    try:
        for asked in (replace(patient, network=network), replace(patient, network=calm)):
            asked.network.train()
            answers = []
            for seed in (0, 1):
                torch.manual_seed(seed)
                answers.append(asked.forward(batch).double())
            apart = (answers[0] - answers[1]).abs().mean() / (answers[0] - answers[0].mean(0)).abs().mean()
            spreads.append(float(apart))
    except Exception:  # a network that is called in ways of its own
        return 0.0
    return float(spreads[0] > 0.5 and spreads[1] < 1e-4)


def _default_optimizer(patient: Patient) -> Patient:
    for optimizer in patient.optimizers:
        for group in optimizer.param_groups:
            for name in ("betas", "eps", "alpha"):
                if name in group and name in optimizer.defaults:
                    group[name] = {"betas": (0.9, 0.999), "eps": 1e-8, "alpha": 0.99}[name]
            if group.get("momentum", 0) > 0.9:
                group["momentum"] = 0.9
    return patient


def strange_optimizer(patient: Patient) -> float:
    """Return one where momentum, betas or epsilon are far from what they commonly are."""
    worst = 0.0
    for optimizer in patient.optimizers:
        for group in optimizer.param_groups:
            if group.get("momentum", 0) > 0.97:
                worst = 1.0
            betas = group.get("betas")
            if betas and (betas[0] > 0.97 or betas[1] < 0.8 or betas[0] < 0.0):
                worst = 1.0
            if group.get("eps", 0) > 1e-3 or (group.get("alpha", 0.9) > 0.9999):
                worst = 1.0
    return worst


def _without_penalty(patient: Patient) -> Patient | None:
    """Train by the loss inside the objective alone."""
    return None if patient.implied is None else replace(patient, objective=None, loss=patient.implied)


def penalty(patient: Patient) -> float:
    """Return one where most of the objective is not a loss of the outputs."""
    if patient.implied is None:
        return 0.0
    batch = patient.train.first()
    patient.network.eval()
    whole = float(patient.measure(batch).detach())
    with torch.no_grad():
        inner = float(patient.implied(patient.forward(batch), patient.target(batch)))
    return min(1.0, 2 * max(0.0, whole - inner) / max(abs(whole), 1e-12))


def _heard(patient: Patient) -> list[Signal]:
    """Return the activations of the patient; none of a network that cannot be asked."""
    try:
        return signals(patient, patient.train.first())
    except Exception:
        return []


def _exchanged(
    patient: Patient, kinds: tuple[str, ...], other: Callable[[int, Tensor, Callable[[Any], Any]], Any]
) -> Patient | None:
    """Exchange hidden activations; one that gives the output stays."""
    found = _heard(patient)
    kept = frozenset(i for i, signal in enumerate(found) if signal.last)
    if not any(s.kind in kinds and not s.last for s in found):
        return None
    return replace(patient, network=Rewired(patient.network, kinds, other, kept))


def _rectified(patient: Patient) -> Patient | None:
    return _exchanged(patient, tuple(ENDS), lambda index, x, plain: torch.relu(x))


def _leaky(patient: Patient) -> Patient | None:
    leaky = _exchanged(patient, ("relu", "relu6"), lambda index, x, plain: nn.functional.leaky_relu(x, 0.1))
    return None if leaky is None else _reinitialized(leaky)


def _calmed(patient: Patient) -> Patient | None:
    """Divide what goes into squashing functions by its size at the start."""
    sizes = [signal.spread for signal in _heard(patient)]
    return _exchanged(patient, tuple(ENDS), lambda index, x, plain: plain(x / sizes[min(index, len(sizes) - 1)]))


def saturated(patient: Patient) -> float:
    """Return one where most values of a hidden squashing function sit at its ends before training."""
    return float(any(True for _ in squashed(_heard(patient))))


def _plain_step(patient: Patient) -> Patient | None:
    if patient.step is None or len(patient.optimizers) != 1 or (patient.loss is None and patient.objective is None):
        return None
    return replace(patient, step=None)


def _longer(patient: Patient) -> Patient:
    return replace(patient, epochs=patient.epochs * 5)


def _smaller_batches(patient: Patient) -> Patient | None:
    if patient.batch_size < 64:
        return None
    size = max(16, patient.batch_size // 16)
    if patient.train.loader is None:
        return replace(patient, batch_size=size, train=Source(patient.train.tensors, size, "train"))
    return _reloaded(patient, size)


def _reloaded(patient: Patient, size: int) -> Patient | None:
    """Return the patient with a loader that shuffles, and takes batches of a size."""
    loader = patient.train.loader
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, torch.utils.data.IterableDataset):
        return None
    if loader.batch_size is None:
        return None
    again = DataLoader(loader.dataset, batch_size=size, shuffle=True, collate_fn=loader.collate_fn)
    return replace(patient, train=Source(again, size, "train"))


def batch_share(patient: Patient) -> float:
    """Return one where an epoch is but a few batches."""
    return 1.0 if patient.train.steps <= 4 and patient.batch_size >= 64 else 0.0


def _all_parameters(patient: Patient) -> Patient | None:
    """Free what is frozen, and let the first optimizer move what none does."""
    held = {id(p) for o in patient.optimizers for group in o.param_groups for p in group["params"]}
    changed = [p for p in patient.network.parameters() if not p.requires_grad or id(p) not in held]
    for p in changed:
        p.requires_grad_(True)
    absent = [p for p in changed if id(p) not in held]
    if absent:
        patient.optimizers[0].add_param_group({"params": absent})
    return patient if changed else None


def left_out(patient: Patient) -> float:
    """Return one where parameters are frozen or in no optimizer."""
    held = {id(p) for o in patient.optimizers for group in o.param_groups for p in group["params"]}
    return float(any(not p.requires_grad or id(p) not in held for p in patient.network.parameters()))


def frozen(patient: Patient) -> bool:
    """Whether parameters are frozen, rather than left out."""
    return any(not p.requires_grad for p in patient.network.parameters())


def meant(patient: Patient) -> bool:
    """Whether what stays fixed are the first layers, and all after them are trained: features used on purpose."""
    held = {id(p) for o in patient.optimizers for group in o.param_groups for p in group["params"]}
    parameters = list(patient.network.parameters())
    moved = [p.requires_grad and id(p) in held for p in parameters]
    first = moved.index(True) if True in moved else len(moved)
    return 0 < first < len(moved) and all(moved[first:]) and any(p.ndim > 1 for p in parameters[first:])


@torch.no_grad()
def as_drawn(patient: Patient) -> bool:
    """Whether weights that stay fixed, most or the last, are as layers draw them within a bound: not trained."""
    found = []
    held = {id(p) for o in patient.optimizers for group in o.param_groups for p in group["params"]}
    for w, bound in map(_usual_draw, patient.network.modules()):
        if w is None or w.numel() < 30 or (w.requires_grad and id(w) in held):
            continue
        usual = bound / 3**0.5 if bound else 1.0
        inside = not bound or 0.9 * bound < float(w.abs().max()) <= 1.0001 * bound
        found.append(inside and abs(float(w.double().std()) / usual - 1) < max(0.05, 2.5 / w.numel() ** 0.5))
    return bool(found) and (found[-1] or sum(found) > 0.5 * len(found))


def _usual_draw(module: nn.Module) -> tuple[Tensor | None, float]:
    """Return a layer's weights and the bound within which torch draws them evenly; 0 if normal with spread one."""
    if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return module.weight, float(module.weight[0].numel()) ** -0.5
    if isinstance(module, nn.RNNBase):
        recurrent = next(p for n, p in module.named_parameters() if n.startswith("weight_hh"))
        return recurrent, float(module.hidden_size) ** -0.5
    return (module.weight if isinstance(module, nn.Embedding) else None), 0.0


def _shuffled(patient: Patient) -> Patient | None:
    return _reloaded(patient, patient.train.loader.batch_size or 1) if unshuffled(patient) else None


def unshuffled(patient: Patient) -> float:
    """Return one where a loader takes rows in order."""
    loader = patient.train.loader
    return float(isinstance(loader, DataLoader) and isinstance(loader.sampler, torch.utils.data.SequentialSampler))


def _always(value: float) -> Callable[[Patient], float]:
    return lambda patient: value


def _has_step(patient: Patient) -> float:
    return 0.6 if patient.step is not None else 0.0


def _squashing(patient: Patient) -> float:
    n = sum(signal.kind in ENDS and not signal.last for signal in _heard(patient))
    return 0.8 if n >= 3 else 0.4 if n == 2 else 0.0


TREATMENTS: tuple[Treatment, ...] = (
    Treatment("unnormalized_inputs", "with standardized inputs", _standardized, lambda p: min(1.0, off_scale(p))),
    Treatment("target_scale", "with standardized targets", _rescaled, lambda p: min(1.0, target_size(p))),
    Treatment("target_scale", "with standardized inputs and targets", _rescaled_both, both_off),
    Treatment("initialization_scale", "with the layers' own initialization", _reinitialized,
              lambda p: min(1.0, 1.5 * max(strange_weights(p), 0.7 * loose_weights(p)))),
    Treatment("saturated_units", "with smaller numbers before the squashing units", _calmed, saturated),
    Treatment("excessive_regularization", "without weight decay and dropout", _unregularized, penalties),
    Treatment("excessive_regularization", "without the noise that the network adds in training", _calm, noise_inside),
    Treatment("excessive_regularization", "without what the objective adds to the loss", _without_penalty, penalty),
    Treatment("optimizer_settings", "with the optimizer's usual settings", _default_optimizer, strange_optimizer),
    Treatment("schedule", "with the learning rate of the first step throughout", held_rate, lambda p: 0.0),
    Treatment("learning_rate_too_low", "with one learning rate for all parameters", one_rate, uneven_rates),
    Treatment("gradient_clip", "without clipping", unclipped, clipped),
    Treatment("no_gradient", "with gradients let through where the program detaches", uncut, cuts),
    Treatment("initialization_scale", "with embeddings that start at a tenth", small_tables, tables_at_one),
    Treatment("wrong_loss", "by the usual loss of the task", plain_loss, odd_loss),
    Treatment("frozen_parameters", "with every parameter trained", _all_parameters, left_out),
    Treatment("label_order", "with shuffled rows", _shuffled, lambda p: 0.9 * unshuffled(p)),
    Treatment("wrong_step_order", "with the plain step: clear, backward, step", _plain_step, _has_step),
    Treatment("learning_rate_too_high", "with a tenth of the learning rate", _rate(0.1), _always(0.5)),
    Treatment("learning_rate_too_low", "with ten times the learning rate", _rate(10.0), _always(0.5)),
    Treatment("learning_rate_too_high", "with a hundredth of the learning rate", _rate(0.01), _always(0.35)),
    Treatment("learning_rate_too_low", "with a hundred times the learning rate", _rate(100.0), _always(0.3)),
    Treatment("vanishing_gradients", "with rectified hidden units", _rectified, _squashing),
    Treatment("dead_units", "with leaky units, initialized anew", _leaky, _always(0.25)),
    Treatment("too_few_updates", "with smaller batches", _smaller_batches, lambda p: 0.8 * batch_share(p)),
    Treatment("too_few_updates", "trained five times as long", _longer, _always(0.3)),
)  # fmt: skip
