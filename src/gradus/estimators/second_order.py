"""Fit an estimator with a small network by second-order steps on all rows at once (§8.6)."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import torch
from torch import Tensor

from gradus.core.errors import SettingError, nearest
from gradus.core.threads import cores, threads
from gradus.estimators.regularization import EXCLUSIVE
from gradus.estimators.supervised import SupervisedEstimator
from gradus.foundations.numerical.parameters import ParameterVector, parameter_vector
from gradus.networks.heads import GaussianHead
from gradus.training.second_order import (
    hessian_free_init,
    hessian_free_step,
    natural_gradient_init,
    natural_gradient_step,
)
from gradus.training.semi_supervised import divergence

__all__ = ["SecondOrder", "fit_second_order"]

SecondOrder = Literal["hessian_free", "natural_gradient"]
Fitted = TypeVar("Fitted", bound=SupervisedEstimator)

# The Fisher matrix is formed and inverted: at this size it is 128 MB in double precision.
LARGEST_FISHER = 4000


# What a fit that only builds and starts the network is asked for.
START: dict[str, Any] = {"max_epochs": 0, "early_stopping": False, "checkpoint": None, "warm_start": False}


class _Problem(NamedTuple):
    """The loss as a function of the parameters, in the two parts that curvature needs."""

    parts: ParameterVector
    predict: Callable[[Tensor], Tensor]
    loss: Callable[[Tensor], Tensor]
    penalized: Callable[[Tensor], Tensor]
    objective: Callable[[Tensor], Tensor]
    kl: Callable[[Tensor, Tensor], Tensor]


def fit_second_order(
    estimator: Fitted,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    *,
    method: SecondOrder = "hessian_free",
    steps: int = 50,
    damping: float | None = None,
    trust: float | None = 0.5,
    tolerance: float = 1e-6,
) -> Fitted:
    """Fit a classifier or regressor by steps that use curvature, each on all rows, in double precision.

    For networks and data so small that a whole pass costs nothing: then a few dozen steps reach what first-order steps
    need thousands for. Weight decay by ``l2`` is part of the objective; dropout, noise, label smoothing and the
    settings of batches, schedule and optimizer play no part.

    Parameters
    ----------
    estimator : SupervisedEstimator
        Its settings shape and start the network; it is fitted in place.
    X : array-like of shape (n, ...)
        Rows.
    y : array-like of shape (n,) or (n, outputs)
        Targets.
    sample_weight : array-like of shape (n,), optional
        Weight of each row's loss.
    method : {"hessian_free", "natural_gradient"}
        Conjugate gradients on products with the Gauss-Newton matrix, which suit thousands of weights; or the exact
        Fisher matrix, for up to a few hundred.
    steps : int
        Most steps, 1 or more.
    damping : float, optional
        At the start (it adapts) of ``hessian_free``, by default 1; always of ``natural_gradient``, by default 1e-3.
    trust : float, optional
        Longest step of ``natural_gradient``, as in `natural_gradient_step`.
    tolerance : float
        Ends when a step lowers the objective by less than this share of it.

    Returns
    -------
    estimator
        Fitted: ``history_`` has one row a step with the ``loss`` before it, ``stopped_by_`` is ``"max_steps"`` or
        ``"tolerance"``.

    Raises
    ------
    SettingError
        If a setting is out of range, or the network has too many weights for a Fisher matrix.
    NonFiniteError
        If the objective is not finite.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from gradus.estimators.mlp import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = fit_second_order(MLPClassifier(hidden=(8,), activation="tanh", l2=1e-3, random_state=0), X, y, steps=15)
    >>> bool(model.score(X, y) > 0.96)
    True

    References
    ----------
    Goodfellow et al. 2016, §8.6; Martens 2010; Amari 1998.
    """
    if method not in get_args(SecondOrder):
        mend = f"{nearest(method, get_args(SecondOrder))}choose one of the two"
        raise SettingError("method 'hessian_free' or 'natural_gradient'", repr(method), mend)
    if steps < 1 or not tolerance >= 0:
        raise SettingError("1 step or more and a tolerance of 0 or more", f"{steps} and {tolerance}", "leave both out")
    _check_plain(estimator, method)
    kept = {name: getattr(estimator, name) for name in START}
    try:  # build and start the network as any fit does
        estimator.set_params(**START)
        estimator.fit(X, y, sample_weight)
        _improve(estimator, X, y, sample_weight, (method, steps, damping, trust, tolerance))
    finally:
        estimator.set_params(**kept)
    return estimator


def _check_plain(estimator: Any, method: SecondOrder) -> None:
    """Refuse what these steps would leave out without a word, where it changes what is learned."""
    for name in (*EXCLUSIVE, "label_smoothing", "l1", "max_norm"):
        if getattr(estimator, name, None):
            mend = "leave it out, or fit by fit()"
            raise SettingError(f"no {name} with second-order steps", repr(getattr(estimator, name)), mend)
    if estimator.l2 and method == "natural_gradient":
        raise SettingError("no l2 with method='natural_gradient'", str(estimator.l2), "set method='hessian_free'")


def _improve(estimator: Any, X: Any, y: Any, sample_weight: Any, how: tuple[Any, ...]) -> None:
    began = time.perf_counter()
    network = estimator.network_.double().eval()
    problem = _problem(estimator, network, estimator._encode(X, y, sample_weight))
    size = len(problem.parts.vector)
    if how[0] == "natural_gradient" and size > LARGEST_FISHER:
        raise SettingError(f"a network of at most {LARGEST_FISHER} weights", str(size), "set method='hessian_free'")
    with threads(min(estimator.n_threads_, cores())):
        vector, history, ended = _descend(problem, *how)
    problem.parts.assign(network, vector)
    estimator.network_ = network.float()
    estimator.history_ = [row | {"epoch": i, "step": i + 1} for i, row in enumerate(history)]
    estimator.n_epochs_ = estimator.n_steps_ = len(history)
    estimator.stopped_by_, estimator.fit_seconds_ = ended, time.perf_counter() - began
    estimator._settle(X, y, sample_weight, None, None)


def _problem(estimator: Any, network: Any, batch: dict[str, Tensor]) -> _Problem:
    some = next(network.parameters())
    tensors = {name: t.to(some) if t.is_floating_point() else t.to(some.device) for name, t in batch.items()}
    inputs = [tensors[name] for name in estimator._input_names]
    head, targets, weights = network.head, tensors["targets"], tensors.get("weights")
    parts = parameter_vector(network)
    matrices = [torch.full((p.numel(),), float(p.ndim > 1)) for p in network.parameters() if p.requires_grad]
    decay = (estimator.l2 * torch.cat(matrices).to(some)).sqrt()  # half the square of decay * w is the penalty

    def predict(vector: Tensor) -> Tensor:
        return parts.call(vector, *inputs)

    def loss(outputs: Tensor) -> Tensor:
        each = head.losses(outputs, targets)
        return each.mean() if weights is None else torch.dot(weights, each) / weights.sum()

    with torch.no_grad():
        shape = predict(parts.vector).shape

    # The penalty's outputs stand beside the network's, so that one Gauss-Newton matrix holds both.
    def penalized(vector: Tensor) -> Tensor:
        return torch.cat([predict(vector).reshape(-1), decay * vector])

    def objective(outputs: Tensor) -> Tensor:
        given, extra = outputs.split([shape.numel(), len(decay)])
        return loss(given.view(shape)) + extra.square().sum() / 2

    metric = copy.deepcopy(head)
    if isinstance(metric, GaussianHead) and not metric.learned:
        metric.variance.fill_(1.0)  # the variance that the loss is of, until training is over
    return _Problem(parts, predict, loss, penalized, objective, lambda p, q: divergence(metric, p, q))


def _descend(
    problem: _Problem, method: SecondOrder, steps: int, damping: float | None, trust: float | None, tolerance: float
) -> tuple[Tensor, list[dict[str, Any]], str]:
    history: list[dict[str, Any]] = []
    free = hessian_free_init(problem.parts.vector, damping=1.0 if damping is None else damping)
    natural = natural_gradient_init(problem.parts.vector)
    fixed = 1e-3 if damping is None else damping
    last = math.inf
    for _ in range(steps):
        row: dict[str, Any]
        if method == "hessian_free":
            free, info = hessian_free_step(free, problem.penalized, problem.objective)
            vector, row = free.vector, {"loss": info.before, "damping": free.damping, "products": info.iterations}
        else:
            natural, moved = natural_gradient_step(
                natural, problem.predict, problem.loss, problem.kl, damping=fixed, trust=trust
            )
            vector, row = natural.vector, {"loss": moved.before, "length": moved.length}
        history.append(row)
        if 0 <= last - row["loss"] < tolerance * abs(row["loss"]):
            return vector, history, "tolerance"
        last = row["loss"]
    return vector, history, "max_steps"
