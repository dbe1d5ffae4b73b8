"""Losses for outputs over many classes: structured, sampled and noise-contrastive (§12.4.3)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.data.batches import Batch
from gradus.networks.softmax import AliasTable
from gradus.training.losses import Loss

__all__ = ["NoiseContrastiveLoss", "SampledSoftmaxLoss", "StructuredSoftmaxLoss"]


@dataclass(frozen=True)
class StructuredSoftmaxLoss:
    """Maximum likelihood of a network whose head is a tree or a two-level softmax, at the cost of one class a row.

    The network has ``features(*inputs)`` and a ``head`` with ``log_prob(features, targets)``. Time steps, where
    there are any, are rows.

    Parameters
    ----------
    inputs : tuple of str
        Names of the batch's entries that the network takes.

    Examples
    --------
    >>> from gradus.networks import MLP, HeadedNetwork
    >>> from gradus.networks.softmax import HierarchicalSoftmax, balanced_tree
    >>> network = HeadedNetwork(None, MLP(3, (8,)), HierarchicalSoftmax(8, balanced_tree(4)))
    >>> batch = {"inputs": torch.zeros(5, 3), "targets": torch.tensor([0, 1, 2, 3, 3])}
    >>> loss = StructuredSoftmaxLoss()(network, batch, torch.Generator())
    >>> round(loss.total.item() / loss.count, 4)  # log 4
    1.3863

    References
    ----------
    Goodfellow et al. 2016, §12.4.3.2.
    """

    inputs: tuple[str, ...] = ("inputs",)

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the negative log-likelihood summed over rows, in nats; nothing is drawn."""
        features, targets = _rows(network, batch, self.inputs)
        head: Any = network.head
        return _summed(-head.log_prob(features, targets), batch)


@dataclass(frozen=True)
class _Sampled(ABC):
    """Base of the losses that compare a row's class with a few drawn from noise, the same ones for all rows."""

    noise: AliasTable
    samples: int = 64
    inputs: tuple[str, ...] = ("inputs",)

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise SettingError("samples of 1 or more", str(self.samples), "set for example samples=64")
        if not bool(self.noise.log_probabilities.isfinite().all()):
            mend = "count each class at least once"
            raise SettingError("noise in which every class has a chance", "one that is never drawn", mend)

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the loss summed over rows."""
        features, targets = _rows(network, batch, self.inputs)
        head: Any = network.head
        weight, bias = head.linear.weight, head.linear.bias
        noise = self.noise.to(features.device)
        if len(noise.aliases) != len(weight):
            received = f"{len(noise.aliases)}"
            raise InputError(f"noise over {len(weight)} classes", received, "make it of one count for each class")
        drawn = noise.sample((self.samples,), generator)
        true = (features * F.embedding(targets, weight)).sum(1) + bias[targets]
        false = F.linear(features, F.embedding(drawn, weight), bias[drawn])
        logs = noise.log_probabilities.to(true.dtype)
        return _summed(self._each(true, false, logs[targets], logs[drawn]), batch)

    @abstractmethod
    def _each(self, true: Tensor, false: Tensor, true_log: Tensor, false_log: Tensor) -> Tensor:
        """Return each row's loss from scores and noise log-probabilities of its class and of the samples."""


@dataclass(frozen=True)
class SampledSoftmaxLoss(_Sampled):
    r"""Cross-entropy against a few classes drawn from noise instead of all.

    With scores :math:`s_k` and noise :math:`q`, a sample :math:`k` stands for :math:`1 / q_k` classes, so its score
    becomes :math:`s_k - \log q_k`:

    - ``"ranking"``: which of the row's class and the samples is the row's, by their corrected scores. Its
      optimum is that of the full softmax for any number of samples; also samples that happen to be the row's class
      stay in, since the optimum would move if they were left out.
    - ``"importance"``: the log-likelihood with the sum over classes estimated from the samples alone,
      :math:`-s_y + \log \frac{1}{S} \sum_k e^{s_k} / q_k`: biased importance sampling, as the book has it. The bias
      vanishes as 1 / S.

    The network has ``features(*inputs)`` and ``head.linear``, as a `HeadedNetwork` with a `CategoricalHead` has; its
    answers after training are those of the full softmax. The forward and backward products shrink from all classes to
    the samples; the optimizer still walks over the whole matrix.

    Parameters
    ----------
    noise : AliasTable
        q; best near the classes' frequencies.
    samples : int
        S, 1 or more, drawn anew at each step, with replacement, for all rows of the batch together.
    inputs : tuple of str
        Names of the batch's entries that the network takes.
    estimator : {"ranking", "importance"}
        As above.
    corrected : bool
        False leaves out the correction by log q, to show what it is for: the optimum is then p / q, not p.

    Raises
    ------
    SettingError
        If a setting is out of range, or noise never draws some class.

    References
    ----------
    Goodfellow et al. 2016, §12.4.3.3; Bengio and Senécal 2003; Jean et al. 2015; Ma and Collins 2018 (ranking).
    """

    estimator: Literal["ranking", "importance"] = "ranking"
    corrected: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.estimator not in ("ranking", "importance"):
            raise SettingError("estimator to be one of ranking, importance", repr(self.estimator), "choose one")

    def _each(self, true: Tensor, false: Tensor, true_log: Tensor, false_log: Tensor) -> Tensor:
        if self.corrected:
            false = false - false_log
        if self.estimator == "importance":
            return false.logsumexp(1) - math.log(self.samples) - true
        if self.corrected:
            true = true - true_log
        return torch.cat([true.unsqueeze(1), false], 1).logsumexp(1) - true


@dataclass(frozen=True)
class NoiseContrastiveLoss(_Sampled):
    r"""Noise-contrastive estimation: tell each row's class from S classes of noise, by logistic regression.

    .. math::
        -\log \sigma(s_y - c - \log S q_y) - \sum_{k=1}^{S} \log \sigma(-(s_k - c - \log S q_k))

    Its optimum has :math:`e^{s_k - c} = p(k \mid x)`: scores learn to be log-probabilities by themselves, so that
    an answer needs no sum over classes. More samples bring it nearer to maximum likelihood.

    The network has ``features(*inputs)`` and ``head.linear``, as a `HeadedNetwork` with a `CategoricalHead` has.

    Parameters
    ----------
    noise : AliasTable
        q; best near the classes' frequencies.
    samples : int
        S, 1 or more, drawn anew at each step for all rows of the batch together.
    inputs : tuple of str
        Names of the batch's entries that the network takes.
    log_normalizer : float
        c: the log of the sum that scores are to have, in nats; starting it near ``log(classes)``, where the scores
        of fresh weights lie, shortens the way.

    Raises
    ------
    SettingError
        If a setting is out of range, or noise never draws some class.

    References
    ----------
    Goodfellow et al. 2016, §12.4.3.4, §18.6; Gutmann and Hyvärinen 2010; Mnih and Teh 2012.
    """

    log_normalizer: float = 0.0

    def _each(self, true: Tensor, false: Tensor, true_log: Tensor, false_log: Tensor) -> Tensor:
        known = self.log_normalizer + math.log(self.samples)
        return F.softplus(known + true_log - true) + F.softplus(false - known - false_log).sum(1)


def _rows(network: Any, batch: Batch, inputs: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Return features and classes with one row for each target."""
    features, targets = network.features(*(batch[name] for name in inputs)), batch["targets"]
    if features.shape[:-1] != targets.shape:
        mend = "pass one class for each row of features"
        raise InputError(f"targets of shape {tuple(features.shape[:-1])}", str(tuple(targets.shape)), mend)
    return features.reshape(-1, features.shape[-1]), targets.reshape(-1)


def _summed(each: Tensor, batch: Batch) -> Loss:
    weights = batch.get("weights")
    if weights is None:
        return Loss(each.sum(), float(len(each)), {})
    if weights.shape != batch["targets"].shape:
        expected = f"weights of shape {tuple(batch['targets'].shape)}"
        raise InputError(expected, str(tuple(weights.shape)), "pass one weight for each target")
    return Loss(torch.dot(weights.reshape(-1).to(each.dtype), each), weights.sum(), {})
