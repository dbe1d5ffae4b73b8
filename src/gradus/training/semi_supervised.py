"""Learning from rows without a label as well (§7.6): virtual adversarial training and pseudo-labels.

A target of -1 marks a row without a label, as in scikit-learn's ``semi_supervised``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.distributions import kl_divergence
from torch.nn import functional as F

from gradus.core.errors import SettingError, nearest
from gradus.data.batches import Batch
from gradus.networks.heads import BinaryHead, CategoricalHead, ClassHead, Head
from gradus.training.adversarial import evaluating, unit_vectors
from gradus.training.losses import Loss

__all__ = [
    "SemiSupervised",
    "SemiSupervisedLoss",
    "divergence",
    "pseudo_labels",
    "semi_supervised_loss",
    "virtual_adversarial",
]

SemiSupervised = Literal["virtual_adversarial", "pseudo_label"]


def divergence(
    head: Head, first: Float[Tensor, " batch *parameters"], second: Float[Tensor, " batch *parameters"]
) -> Float[Tensor, " batch"]:
    """Return ``KL(p ‖ q)`` in nats between the distributions that a head makes of two sets of parameters.

    Parameters
    ----------
    head : Head
        Says what the parameters mean.
    first, second : Tensor of shape (batch, ...)
        What the network returned: the parameters of ``p`` and of ``q``.

    Raises
    ------
    SettingError
        If the divergence between distributions of this kind has no closed form.

    Examples
    --------
    >>> from gradus.networks import BinaryHead
    >>> round(divergence(BinaryHead(1), torch.zeros(1), torch.ones(1)).item(), 4)  # log 2 + log σ'(1) / 2, negated
    0.1201
    """
    if isinstance(head, CategoricalHead):
        logs = first.log_softmax(-1)
        return (logs.exp() * (logs - second.log_softmax(-1))).sum(-1)
    if isinstance(head, BinaryHead):
        # Bernoulli's Σ p (log p - log q), each logarithm safe where the other is zero.
        one = F.logsigmoid(first) - F.logsigmoid(second)
        zero = F.logsigmoid(-first) - F.logsigmoid(-second)
        return torch.sigmoid(first) * one + torch.sigmoid(-first) * zero
    try:
        return kl_divergence(head.distribution(first), head.distribution(second))
    except NotImplementedError:
        received = type(head).__name__
        mend = "choose a head of one Gaussian, count or class distribution"
        raise SettingError("a head whose divergence has a closed form", received, mend) from None


def virtual_adversarial(
    network: Callable[[Tensor], Tensor],
    head: Head,
    inputs: Float[Tensor, " batch *shape"],
    *,
    epsilon: float | Tensor,
    generator: torch.Generator,
    iterations: int = 1,
    probe: float = 1e-2,
) -> Float[Tensor, " batch *shape"]:
    """Return the small change of each input that changes the answer most, without knowing the right answer.

    At no change, ``KL(p(·|x) ‖ p(·|x + r))`` is zero and flat, so to second order it is ``rᵀ H r / 2``, and the change
    of length ``ε`` that raises it most lies along the leading eigenvector of ``H``. Power iteration finds it:
    ``H d ≈ ∇_r KL(r = ξ d) / ξ``, one gradient each.

    Parameters
    ----------
    network : callable
        ``inputs -> parameters`` of the head; in evaluation mode, so that answers do not vary by themselves.
    head : Head
        Says what the parameters mean.
    inputs : Tensor of shape (batch, ...)
        Floating point.
    epsilon : float or Tensor
        Length of the change; a tensor that broadcasts against one input gives each feature a unit of its own.
    generator : torch.Generator
        Draws the first direction.
    iterations : int
        Power iterations, 1 or more. One does most of the work where the first eigenvalue stands out.
    probe : float
        The ``ξ`` of the difference, as a share of ``epsilon``.

    Returns
    -------
    Tensor of shape (batch, ...)
        The changes ``r``, without a gradient.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> from gradus.networks import CategoricalHead
    >>> head = CategoricalHead(3, 2)
    >>> change = virtual_adversarial(head, head, torch.zeros(4, 3), epsilon=2.0, generator=torch.Generator())
    >>> change.norm(dim=1).round(decimals=4).tolist()
    [2.0, 2.0, 2.0, 2.0]

    References
    ----------
    Goodfellow et al. 2016, §7.13; Miyato et al. 2018, Virtual Adversarial Training, §3.3 (algorithm 1).
    """
    if iterations < 1 or not probe > 0:
        raise SettingError("1 iteration or more and a positive probe", f"{iterations} and {probe}", "leave both out")
    if not isinstance(epsilon, Tensor) and not 0 <= epsilon < math.inf:
        raise SettingError("a finite epsilon of 0 or more", str(epsilon), "set for example epsilon=1.0")
    unit = torch.as_tensor(epsilon, dtype=inputs.dtype, device=inputs.device)
    given = inputs.detach()
    with torch.no_grad():
        answer = network(given)
    direction = unit_vectors(torch.empty_like(given).normal_(generator=generator))
    for _ in range(iterations):
        with torch.enable_grad():
            change = (probe * direction).requires_grad_()
            moved = divergence(head, answer, network(given + unit * change)).sum()
            (gradient,) = torch.autograd.grad(moved, change)
        direction = unit_vectors(gradient)
    return unit * direction


def pseudo_labels(
    probabilities: Float[Tensor, "batch classes"], confidence: float
) -> tuple[Int[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """Return each row's likeliest class, and whether its probability is at least ``confidence``.

    Examples
    --------
    >>> labels, believed = pseudo_labels(torch.tensor([[0.1, 0.9], [0.6, 0.4]]), 0.8)
    >>> labels.tolist(), believed.tolist()
    ([1, 0], [True, False])
    """
    highest, labels = probabilities.max(-1)
    return labels, highest >= confidence


def semi_supervised_loss(
    head: ClassHead,
    method: SemiSupervised = "virtual_adversarial",
    *,
    weight: float = 1.0,
    epsilon: float | Tensor = 1.0,
    iterations: int = 1,
    confidence: float = 0.95,
    label_smoothing: float = 0.0,
    inputs: Sequence[str] = ("inputs",),
) -> SemiSupervisedLoss:
    """Return a loss on batches some of whose targets are -1: rows without a label.

    Labelled rows pay ``-log p(y)``. With ``"virtual_adversarial"``, all rows also pay ``KL(p(·|x) ‖ p(·|x + r))`` for
    the change ``r`` that `virtual_adversarial` finds: the answer shall be smooth where there are data. With
    ``"pseudo_label"``, rows without a label pay ``-log p(ŷ)`` for the network's own answer ``ŷ`` in evaluation mode,
    once it is sure of it.

    Parameters
    ----------
    head : ClassHead
        The network's head over classes.
    method : {"virtual_adversarial", "pseudo_label"}
        What is learned from rows without a label.
    weight : float
        Weight of that term, 0 or more.
    epsilon : float or Tensor
        Length of the virtual adversarial change, in the inputs' units.
    iterations : int
        Power iterations of the virtual adversarial change.
    confidence : float
        Probability in [0, 1] from which a pseudo-label is believed.
    label_smoothing : float
        As in `head_loss`; of true labels only.
    inputs : sequence of str
        Names of the batch's entries that the network takes, in order; the first one is perturbed.

    Returns
    -------
    callable
        ``(network, batch, generator) -> Loss``. Where labelled rows are a share ``s`` of the data, an entry
        ``labelled`` of shape (batch,) with ``1 / s`` for them and 0 for the others makes the first term the mean over
        labelled rows; without it, labelled rows count once, like all others.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range, or the head is of several labels at once.

    Examples
    --------
    >>> from gradus.networks import CategoricalHead
    >>> head = CategoricalHead(4, 3)
    >>> batch = {"inputs": torch.eye(4), "targets": torch.tensor([0, -1, -1, 2])}
    >>> loss = semi_supervised_loss(head)(head, batch, torch.Generator())
    >>> loss.count, bool(loss.total > 0)
    (4.0, True)

    References
    ----------
    Goodfellow et al. 2016, §7.6 and §7.13; Miyato et al. 2018; Lee 2013, Pseudo-Label; Sohn et al. 2020, FixMatch (the
    threshold).
    """
    if method not in get_args(SemiSupervised):
        mend = f"{nearest(method, get_args(SemiSupervised))}choose one of the two"
        raise SettingError("method 'virtual_adversarial' or 'pseudo_label'", repr(method), mend)
    if not isinstance(head, ClassHead) or head.event_shape:
        raise SettingError("a head over classes", type(head).__name__, "use it for one column of classes")
    if not 0 <= weight < math.inf or not 0 <= confidence <= 1:
        received = f"weight={weight}, confidence={confidence}"
        raise SettingError("a weight of 0 or more and a confidence in [0, 1]", received, "leave both out")
    return SemiSupervisedLoss(head, method, weight, epsilon, iterations, confidence, label_smoothing, tuple(inputs))


@dataclass(frozen=True, eq=False)
class SemiSupervisedLoss:
    """What `semi_supervised_loss` returns."""

    head: ClassHead
    method: SemiSupervised
    weight: float
    epsilon: float | Tensor
    iterations: int
    confidence: float
    label_smoothing: float
    inputs: tuple[str, ...]

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        first, *rest = (batch[name] for name in self.inputs)
        if not first.is_floating_point() and first.dtype == torch.uint8:
            first = first.to(next(network.parameters()).dtype)
        parameters, targets = network(first, *rest), batch["targets"]
        known = targets >= 0
        each = self.head.losses(parameters, targets.clamp_min(0), label_smoothing=self.label_smoothing)
        losses = each * batch.get("labelled", known).to(each.dtype)
        if self.weight:
            if self.method == "pseudo_label":
                extra = self._believed(network, (first, *rest), parameters, known)
            else:
                extra = self._smoothness(network, (first, *rest), parameters, generator)
            losses = losses + self.weight * extra
        weights = batch.get("weights")
        if weights is None:
            return Loss(losses.sum(), float(len(targets)), {})
        return Loss(torch.dot(weights.to(losses.dtype), losses), weights.sum(), {})

    def _smoothness(
        self, network: nn.Module, inputs: tuple[Tensor, ...], parameters: Tensor, generator: torch.Generator
    ) -> Tensor:
        first, *rest = inputs
        with evaluating(network):
            change = virtual_adversarial(
                lambda moved: network(moved, *rest),
                self.head,
                first,
                epsilon=self.epsilon,
                generator=generator,
                iterations=self.iterations,
            )
        return divergence(self.head, parameters.detach(), network(first + change, *rest))

    def _believed(self, network: nn.Module, inputs: tuple[Tensor, ...], parameters: Tensor, known: Tensor) -> Tensor:
        with evaluating(network), torch.no_grad():
            labels, sure = pseudo_labels(self.head.probabilities(network(*inputs)), self.confidence)
        return self.head.losses(parameters, labels) * (sure & ~known).to(parameters.dtype)
