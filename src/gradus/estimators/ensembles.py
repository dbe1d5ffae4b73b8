"""Several answers to one question: of the members of an ensemble (§7.11), or under sampled dropout masks (§7.12)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from gradus.core.errors import SettingError
from gradus.core.randomness import derive, isolated
from gradus.core.threads import cores, threads
from gradus.foundations.information import entropy
from gradus.networks.ensemble import EnsembleClassHead, EnsembleNumberHead
from gradus.networks.heads import BinaryHead, CategoricalHead, MultiLabelHead, OrdinalHead
from gradus.networks.multitask import MultiTaskHead

__all__ = ["Members", "Uncertainty", "drops", "members_of", "uncertainty_of"]

# Rows that go through the network at once.
ROWS = 2048


class Members(NamedTuple):
    """Parameters of several answers for each row.

    Attributes
    ----------
    heads : sequence of Head
        What makes a distribution of each answer's parameters: one for each answer, or one for all.
    parameters : Tensor of shape (n, answers, ...)
        On the processor.
    """

    heads: Sequence[Any]
    parameters: Tensor


class Uncertainty(NamedTuple):
    """How uncertain a prediction is, and why.

    Of classes, in nats: ``total`` is the entropy of the mean distribution, ``expected`` the mean entropy of the
    answers, which more data of the kind do not lower, and ``disagreement`` their difference, the information that an
    answer has about the weights. Of numbers, in squared units of the target: variance of the mixture, mean variance of
    the answers, variance of their means.

    Attributes
    ----------
    total, expected, disagreement : ndarray of shape (n,) or (n, outputs)
        ``total = expected + disagreement``.
    """

    total: np.ndarray
    expected: np.ndarray
    disagreement: np.ndarray


def drops(network: nn.Module) -> bool:
    """Whether a network drops units in training.

    Examples
    --------
    >>> drops(nn.Dropout(0.5)), drops(nn.Dropout(0.0)), drops(nn.LSTM(2, 2, num_layers=2, dropout=0.1))
    (True, False, True)
    """
    for module in network.modules():
        rate = module.p if isinstance(module, nn.modules.dropout._DropoutNd) else getattr(module, "dropout", 0.0)
        if isinstance(rate, float) and rate > 0:
            return True
    return False


@torch.inference_mode()
def members_of(estimator: Any, X: Any, samples: int | None, *, double: bool) -> Members:
    """Return every answer of a fitted estimator: of each member, times as many dropout masks as asked for.

    Masks are drawn from the seed of the fit, for every row and unit by itself, so that the same rows get the same
    answers again. Batch normalization uses its running means.

    Parameters
    ----------
    estimator : SupervisedEstimator
        Fitted.
    X : array-like of shape (n, ...)
        Rows.
    samples : int or None
        Masks; none: the whole network answers.
    double : bool
        Compute in double precision.

    Raises
    ------
    SettingError
        If there is but one answer: no member beside the first, and no dropout; or ``samples`` is less than 1.
    """
    check_is_fitted(estimator)
    network: Any = copy.deepcopy(estimator.network_).eval()
    many = isinstance(network.head, EnsembleClassHead | EnsembleNumberHead)
    if samples is None and not many:
        mend = "set samples=30 of a model with dropout, or fit it with members=5"
        raise SettingError("samples, or an estimator of several members", "neither", mend)
    if samples is not None:
        if isinstance(samples, bool) or samples < 1:
            raise SettingError("samples of 1 or more", str(samples), "set for example samples=30")
        if not drops(network):
            mend = "fit it with for example dropout=0.2, or leave samples out"
            raise SettingError("samples of a network with dropout", "one that drops nothing", mend)
        for module in network.modules():  # batch normalization, and nothing else, would learn from what it answers
            module.training = not isinstance(module, nn.modules.batchnorm._NormBase)
    device = next(network.parameters()).device
    if double and device.type != "mps":
        network = network.double()
    some = next(network.parameters())
    inputs = list(estimator._encode(X).values())
    parts = []
    with threads(min(estimator.n_threads_, cores())), isolated(derive(estimator.seed_, "samples"), device):
        for rows in torch.arange(len(inputs[0])).split(ROWS):
            batch = [tensor[rows].to(device) for tensor in inputs]
            batch = [tensor.to(some) if tensor.is_floating_point() else tensor for tensor in batch]
            answers = [network(*batch) for _ in range(samples or 1)]
            parts.append(torch.cat(answers, 1) if many else torch.stack(answers, 1))
    head = copy.deepcopy(network.head).cpu()
    heads = [*head.members] * (samples or 1) if many else [head]
    return Members(heads, torch.cat(parts).cpu())


def probabilities_of(members: Members) -> Tensor:
    """Return the probabilities that each answer gives, shape (answers, n, classes)."""
    own = list(members.heads) * (1 if len(members.heads) > 1 else members.parameters.shape[1])
    return torch.stack([head.probabilities(part) for head, part in zip(own, members.parameters.unbind(1), strict=True)])


def points_of(members: Members) -> Tensor:
    """Return the prediction of each answer, shape (answers, n) or (answers, n, outputs)."""
    own = list(members.heads) * (1 if len(members.heads) > 1 else members.parameters.shape[1])
    return torch.stack([head.point(part) for head, part in zip(own, members.parameters.unbind(1), strict=True)])


def uncertainty_of(members: Members) -> Uncertainty:
    """Return how uncertain the mixture of several answers is, and how much of it is their disagreement.

    References
    ----------
    Depeweg et al. 2018, Decomposition of Uncertainty in Bayesian Deep Learning, eq. 3 and 5.
    """
    if isinstance(members.heads[0], MultiTaskHead):
        mend = "take the spread of predict_members over its first axis"
        raise SettingError("an estimator of one target", "several targets", mend)
    if isinstance(members.heads[0], CategoricalHead | BinaryHead | OrdinalHead | MultiLabelHead):
        each = probabilities_of(members)
        if isinstance(members.heads[0], MultiLabelHead):  # each label by itself
            each = torch.stack([1 - each, each], -1)
        total, expected = entropy(each.mean(0)), entropy(each).mean(0)
    else:
        own = list(members.heads) * (1 if len(members.heads) > 1 else members.parameters.shape[1])
        given = [head.distribution(part) for head, part in zip(own, members.parameters.unbind(1), strict=True)]
        means, variances = (torch.stack([getattr(d, name) for d in given]) for name in ("mean", "variance"))
        expected = variances.mean(0)
        total = expected + means.var(0, correction=0)
    # Rounding can make the difference of two equal entropies negative.
    return Uncertainty(total.numpy(), expected.numpy(), (total - expected).clamp_min(0).numpy())
