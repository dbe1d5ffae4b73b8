"""Adversarial examples and training on them (§7.13): the worst inputs within a small distance of the given ones.

`fgsm` and `pgd` take any function from inputs to losses, so they serve any loop; `adversarial_loss` makes a loss of the
house out of another one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from gradus.core.errors import InputError, SettingError, nearest
from gradus.data.batches import Batch
from gradus.training.losses import Loss, LossFunction

__all__ = ["AdversarialLoss", "Norm", "adversarial_loss", "evaluating", "fgsm", "pgd", "unit_vectors"]

Norm = Literal["linf", "l2"]
Objective = Callable[[Tensor], Tensor]
Bound = float | Tensor | None

# A step of this share of the radius, over the number of steps: the far side of the ball can be reached, and the
# steps are still small against it (Madry et al. 2018, §B).
REACH = 2.5


class _Ball(NamedTuple):
    """Where inputs may be moved: within a radius for each feature, and within the range that is valid."""

    inputs: Tensor
    radius: Tensor
    norm: Norm
    low: Tensor | None
    high: Tensor | None

    def step(self, gradient: Tensor, size: float) -> Tensor:
        """Return the change of ``size`` radii that raises the objective most, to first order."""
        if self.norm == "linf":
            return size * self.radius * gradient.sign()
        return size * self.radius * unit_vectors(self.radius * gradient)

    def moved(self, change: Tensor) -> Tensor:
        """Return the inputs changed, but neither out of the ball nor out of the valid range."""
        if self.norm == "linf":
            change = torch.maximum(torch.minimum(change, self.radius), -self.radius)
        else:
            norms = (change / torch.where(self.radius > 0, self.radius, 1)).flatten(1).norm(dim=1)
            change = change / norms.clamp_min(1).view(-1, *[1] * (change.ndim - 1))
        moved = self.inputs + change
        if self.low is not None:  # what lies outside the range already is not moved further out
            moved = torch.maximum(moved, torch.minimum(self.low, self.inputs))
        if self.high is not None:
            moved = torch.minimum(moved, torch.maximum(self.high, self.inputs))
        return moved

    def anywhere(self, generator: torch.Generator) -> Tensor:
        """Return a change drawn uniformly from the ball."""
        if self.norm == "linf":
            return self.radius * torch.empty_like(self.inputs).uniform_(-1, 1, generator=generator)
        directions = unit_vectors(torch.empty_like(self.inputs).normal_(generator=generator))
        lengths = torch.empty_like(self.inputs.flatten(1)[:, 0]).uniform_(generator=generator)
        # The volume of a ball of dimension d grows with the d-th power of its radius.
        lengths = lengths.pow(1 / max(1, self.inputs[0].numel()))
        return self.radius * directions * lengths.view(-1, *[1] * (self.inputs.ndim - 1))


def unit_vectors(vectors: Float[Tensor, " batch *shape"]) -> Float[Tensor, " batch *shape"]:
    """Return each example's vector divided by its Euclidean length; zeros stay zeros.

    Examples
    --------
    >>> unit_vectors(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    flat = vectors.flatten(1)
    # Through the largest entry, whose square may underflow where a network is sure of itself.
    largest = flat.abs().amax(1, keepdim=True) if flat.shape[1] else flat.sum(1, keepdim=True)
    flat = flat / torch.where(largest > 0, largest, 1)
    return (flat / flat.norm(dim=1, keepdim=True).clamp_min(0.5)).view_as(vectors)


def fgsm(
    objective: Objective,
    inputs: Float[Tensor, " batch *shape"],
    *,
    epsilon: float | Tensor,
    norm: Norm = "linf",
    low: Bound = None,
    high: Bound = None,
) -> Float[Tensor, " batch *shape"]:
    """Move inputs one step of length ``epsilon`` in the direction that raises a loss most.

    ``x' = x + ε sign(∇J(x))`` for the maximum norm, ``x + ε ∇J / ‖∇J‖₂`` for the Euclidean one: for a loss of a linear
    model, the worst inputs in the ball.

    Parameters
    ----------
    objective : callable
        ``inputs -> losses`` of shape (batch,), or their sum. What each example loses must depend on its own input
        only, so batch normalization has to be in evaluation mode.
    inputs : Tensor of shape (batch, ...)
        The clean inputs, floating point.
    epsilon : float or Tensor
        Radius in the inputs' units, 0 or more. A tensor that broadcasts against one input gives each feature a radius
        of its own; the Euclidean ball then is the ellipsoid ``Σ (δ_i / ε_i)² <= 1``.
    norm : {"linf", "l2"}
        Norm of the ball.
    low, high : float or Tensor, optional
        Valid range, to which results are clipped.

    Returns
    -------
    Tensor of shape (batch, ...)
        The moved inputs; no gradient flows through them.

    Raises
    ------
    InputError
        If inputs are not floating point.
    SettingError
        If ``epsilon`` or ``norm`` is wrong, or the range is empty.

    Examples
    --------
    >>> weights = torch.tensor([1.0, -2.0])
    >>> fgsm(lambda x: x @ weights, torch.zeros(1, 2), epsilon=0.5).tolist()
    [[0.5, -0.5]]

    References
    ----------
    Goodfellow et al. 2016, §7.13; Goodfellow, Shlens & Szegedy 2015, Explaining and Harnessing Adversarial Examples.
    """
    ball = _ball(inputs, epsilon, norm, low, high)
    change = ball.step(_gradient(objective, ball.inputs), 1.0)
    return ball.moved(change)


def pgd(
    objective: Objective,
    inputs: Float[Tensor, " batch *shape"],
    *,
    epsilon: float | Tensor,
    generator: torch.Generator | None,
    steps: int = 10,
    step_size: float | None = None,
    restarts: int = 1,
    norm: Norm = "linf",
    low: Bound = None,
    high: Bound = None,
) -> Float[Tensor, " batch *shape"]:
    """Move inputs by projected gradient ascent on a loss: many small steps, each followed by a return into the ball.

    Parameters
    ----------
    objective, inputs, epsilon, norm, low, high
        As in :func:`fgsm`.
    generator : torch.Generator or None
        Draws the start, uniform in the ball. ``None`` starts at the inputs themselves.
    steps : int
        Gradient steps, 1 or more.
    step_size : float, optional
        Length of a step as a share of the radius; by default ``2.5 / steps``.
    restarts : int
        Starts, of which each example keeps the one with the largest loss; more than one needs a generator and
        an objective that returns each example's loss.

    Returns
    -------
    Tensor of shape (batch, ...)
        The moved inputs, inside the ball and the range.

    Raises
    ------
    InputError
        If inputs are not floating point, or the objective does not tell examples apart where restarts compare them.
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> moved = pgd(lambda x: x.sum(1), torch.zeros(1, 2), epsilon=0.5, generator=None, norm="l2")
    >>> [round(v, 4) for v in moved[0].tolist()]
    [0.3536, 0.3536]

    References
    ----------
    Goodfellow et al. 2016, §7.13; Madry et al. 2018, Towards Deep Learning Models Resistant to Adversarial Attacks.
    """
    if steps < 1 or restarts < 1:
        raise SettingError("1 step and 1 start or more", f"steps={steps}, restarts={restarts}", "set for example 10")
    if restarts > 1 and generator is None:
        raise SettingError("a generator where restarts differ", "none", "pass generator=torch.Generator()")
    if step_size is not None and not step_size > 0:
        raise SettingError("a step_size above 0", str(step_size), "leave it out for 2.5 / steps")
    ball = _ball(inputs, epsilon, norm, low, high)
    size = REACH / steps if step_size is None else step_size
    worst, largest = ball.inputs, None
    for _ in range(restarts):
        moved = ball.inputs if generator is None else ball.moved(ball.anywhere(generator))
        for _ in range(steps):
            moved = ball.moved(moved - ball.inputs + ball.step(_gradient(objective, moved), size))
        if restarts == 1:
            return moved
        losses = _losses(objective, moved)
        better = torch.ones_like(losses, dtype=torch.bool) if largest is None else losses > largest
        worst = torch.where(better.view(-1, *[1] * (moved.ndim - 1)), moved, worst)
        largest = losses if largest is None else torch.maximum(losses, largest)
    return worst


def _ball(inputs: Tensor, epsilon: float | Tensor, norm: str, low: Bound, high: Bound) -> _Ball:
    if not inputs.is_floating_point() or inputs.ndim < 2:
        received = f"{inputs.dtype} of shape {tuple(inputs.shape)}"
        raise InputError("floating-point inputs of shape (batch, ...)", received, "convert them, as in inputs.float()")
    if norm not in get_args(Norm):
        raise SettingError("norm 'linf' or 'l2'", repr(norm), f"{nearest(norm, get_args(Norm))}choose one of the two")
    if not isinstance(epsilon, Tensor) and not (0 <= epsilon < math.inf):  # a tensor is not fetched to be looked at
        raise SettingError("a finite epsilon of 0 or more", str(epsilon), "set for example epsilon=0.1")
    if isinstance(low, float | int) and isinstance(high, float | int) and low > high:
        raise SettingError("low below high", f"low={low}, high={high}", "exchange them")
    radius, lowest, highest = (
        None if v is None else torch.as_tensor(v, dtype=inputs.dtype, device=inputs.device)
        for v in (epsilon, low, high)
    )
    if radius is None:
        raise SettingError("an epsilon", "none", "set for example epsilon=0.1")
    return _Ball(inputs.detach(), radius, norm, lowest, highest)  # type: ignore[arg-type]


def _gradient(objective: Objective, inputs: Tensor) -> Tensor:
    with torch.enable_grad():
        leaf = inputs.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(leaf).sum(), leaf)
    return gradient


def _losses(objective: Objective, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        losses = objective(inputs)
    if losses.shape != inputs.shape[:1]:
        mend = "return each example's loss, or set restarts=1"
        raise InputError(f"losses of shape {tuple(inputs.shape[:1])}", str(tuple(losses.shape)), mend)
    return losses


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode inside the block, and each of its modules back into its own after it.

    An attack shall not update running means, and an example's loss shall depend on its own input only. Recurrent
    layers keep their mode: on a GPU they give no gradient in evaluation mode.
    """
    training = [m for m in network.modules() if m.training and not isinstance(m, nn.RNNBase)]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def adversarial_loss(
    loss: LossFunction,
    *,
    epsilon: float | Tensor,
    mixing: float = 0.5,
    steps: int = 1,
    step_size: float | None = None,
    norm: Norm = "linf",
    low: Bound = None,
    high: Bound = None,
    inputs: str = "inputs",
) -> AdversarialLoss:
    """Return a loss on the given examples and on adversarial ones made of them in every step.

    ``(1 - m) J(x, y) + m J(x', y)``, where ``x'`` is the answer of :func:`fgsm` (``steps=1``) or :func:`pgd` to the
    network of that moment, in evaluation mode.

    Parameters
    ----------
    loss : LossFunction
        The loss ``J`` of the network.
    epsilon, norm, low, high
        The ball and the valid range, as in :func:`fgsm`.
    mixing : float
        Share ``m`` of the adversarial examples' loss, above 0, at most 1.
    steps, step_size
        As in :func:`pgd`; one step is the fast gradient sign method, without a random start.
    inputs : str
        Name of the batch's entry that is moved. Bytes become floating point.

    Raises
    ------
    SettingError
        If ``mixing`` or ``steps`` is out of range.

    Examples
    --------
    >>> from gradus.networks import CategoricalHead
    >>> from gradus.training.losses import head_loss
    >>> head = CategoricalHead(4, 3)
    >>> batch = {"inputs": torch.ones(5, 4), "targets": torch.zeros(5, dtype=torch.int64)}
    >>> clean = head_loss(head)
    >>> harder = adversarial_loss(clean, epsilon=0.1, mixing=1.0)
    >>> bool(harder(head, batch, torch.Generator()).total > clean(head, batch, torch.Generator()).total)
    True

    References
    ----------
    Goodfellow et al. 2016, §7.13; Goodfellow, Shlens & Szegedy 2015, §6 (with ``m = 0.5``); Madry et al. 2018 (with
    ``m = 1`` and several steps).
    """
    if not 0 < mixing <= 1:
        raise SettingError("mixing above 0 and at most 1", str(mixing), "set for example mixing=0.5")
    if steps < 1:
        raise SettingError("1 step or more", str(steps), "set steps=1 for the fast gradient sign method")
    return AdversarialLoss(loss, epsilon, mixing, steps, step_size, norm, low, high, inputs)


@dataclass(frozen=True, eq=False)
class AdversarialLoss:
    """What `adversarial_loss` returns."""

    loss: LossFunction
    epsilon: float | Tensor
    mixing: float
    steps: int
    step_size: float | None
    norm: Norm
    low: Bound
    high: Bound
    inputs: str

    @property
    def decomposes(self) -> bool:
        """Whether parts of a batch add up to the whole."""
        return bool(getattr(self.loss, "decomposes", True))

    def attack(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Batch:
        """Return the batch with its inputs moved."""
        given = _floating(batch[self.inputs], network)

        def objective(moved: Tensor) -> Tensor:
            return self.loss(network, {**batch, self.inputs: moved}, generator).total

        with evaluating(network):
            if self.steps == 1:
                moved = fgsm(objective, given, epsilon=self.epsilon, norm=self.norm, low=self.low, high=self.high)
            else:
                moved = pgd(
                    objective,
                    given,
                    epsilon=self.epsilon,
                    generator=generator,
                    steps=self.steps,
                    step_size=self.step_size,
                    norm=self.norm,
                    low=self.low,
                    high=self.high,
                )
        return {**batch, self.inputs: moved}

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch; metrics are those of the examples as given, where their loss has a share."""
        hard = self.loss(network, self.attack(network, batch, generator), generator)
        if self.mixing == 1:
            return hard
        clean = self.loss(network, batch, generator)
        return Loss(torch.lerp(clean.total, hard.total, self.mixing), clean.count, clean.metrics)


def _floating(inputs: Shaped[Tensor, " batch *shape"], network: nn.Module) -> Float[Tensor, " batch *shape"]:
    """Return bytes in the network's type: a change of half a pixel is none otherwise."""
    if inputs.dtype != torch.uint8:
        return inputs
    return inputs.to(next(network.parameters()).dtype)
