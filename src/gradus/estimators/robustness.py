"""How often a fitted classifier is still right when each row is moved a little, to where it is hardest.

An attack finds a lower bound of the harm: accuracy under a better attack may be lower, never higher.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import derive, generator, resolve_seed
from gradus.core.threads import cores, threads
from gradus.data.batches import Batch
from gradus.estimators.regularization import InputSpace, full_pixel, input_space
from gradus.estimators.reliability import wilson
from gradus.networks.heads import BinaryHead, CategoricalHead, ClassHead, OrdinalHead
from gradus.training.adversarial import Norm, evaluating, pgd

__all__ = ["Robustness", "adversarial_examples", "robust_accuracy"]

# Rows attacked at once.
ROWS = 1024


class Robustness(NamedTuple):
    """Accuracy under attack.

    Attributes
    ----------
    value : float
        Share of rows that are classified rightly as they are and wherever the attacks moved them.
    low, high : float
        Its 95 % interval (Wilson): what another sample of rows could have shown. A better attack may find less.
    clean : float
        Accuracy on the rows as they are.
    n : int
        Rows.
    """

    value: float
    low: float
    high: float
    clean: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g}) under attack, {self.clean:.4g} without"


class _Attacked(NamedTuple):
    """One part of the rows: moved to the hardest place found, and what is right before and after."""

    inputs: Tensor
    clean: Tensor
    robust: Tensor


def robust_accuracy(
    estimator: Any,
    X: Any,
    y: Any,
    epsilon: float,
    *,
    norm: Norm = "linf",
    steps: int = 20,
    restarts: int = 1,
    input_range: tuple[float, float] | None = None,
    random_state: int | None = 0,
) -> Robustness:
    """Return the accuracy of a fitted classifier on rows moved by up to ``epsilon`` to be classified wrongly.

    Two attacks by projected gradient ascent, on the cross-entropy and on the margin of the best wrong class (which
    still has a gradient where a sure network's cross-entropy is flat); a row counts if both fail at every restart.

    Parameters
    ----------
    estimator : GradientClassifier
        Fitted, of tables, images or series.
    X : array-like of shape (n, ...)
        Rows, as for ``predict``.
    y : array-like of shape (n,)
        Their classes.
    epsilon : float
        Radius, 0 or more: in standard deviations of each column of a table or channel of a series, in shares of a full
        pixel of images. Categories are not moved.
    norm : {"linf", "l2"}
        The largest change of any number, or the length of the change.
    steps, restarts : int
        Gradient steps of each attack, and random starts.
    input_range : (low, high), optional
        Valid range in the data's units; by default the estimator's ``input_range``, and for images 0 to a full pixel.
    random_state : int or None
        Seed of the starts.

    Returns
    -------
    Robustness
        The share, its interval, the accuracy without attack, and the number of rows.

    Raises
    ------
    InputError
        If ``X`` and ``y`` differ in length, or inputs have no values between two others.
    SettingError
        If ``epsilon`` or another setting is out of range, or the classifier has several labels.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from gradus.estimators.mlp import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(hidden=(16,), max_epochs=30, learning_rate=0.01, random_state=0).fit(X, y)
    >>> found = robust_accuracy(model, X, y, 0.5)
    >>> found.value < found.clean
    True

    References
    ----------
    Goodfellow et al. 2016, §7.13; Madry et al. 2018; Carlini & Wagner 2017, Towards Evaluating the Robustness of Neural
    Networks (the margin).
    """
    parts = _attack(estimator, X, y, epsilon, norm, steps, restarts, input_range, random_state)
    robust, clean = (torch.cat([getattr(part, name) for part in parts]) for name in ("robust", "clean"))
    hits, n = int(robust.sum()), len(robust)
    low, high = wilson(hits, n)
    return Robustness(hits / n, float(low), float(high), int(clean.sum()) / n, n)


def adversarial_examples(
    estimator: Any,
    X: Any,
    y: Any,
    epsilon: float,
    *,
    norm: Norm = "linf",
    steps: int = 20,
    restarts: int = 1,
    input_range: tuple[float, float] | None = None,
    random_state: int | None = 0,
) -> np.ndarray:
    """Return each row moved to the hardest place that the attacks of `robust_accuracy` find.

    Parameters
    ----------
    estimator, X, y, epsilon, norm, steps, restarts, input_range, random_state
        As in `robust_accuracy`.

    Returns
    -------
    ndarray, float
        In the data's units, as ``predict`` takes them: (n, columns) of tables, (n, height, width, channels) of images.
        Of a table with categories, its numbers.

    Examples
    --------
    >>> from gradus.estimators.mlp import MLPClassifier
    >>> model = MLPClassifier(hidden=(), max_epochs=1, random_state=0).fit([[0.0], [1.0]], ["no", "yes"])
    >>> abs(adversarial_examples(model, [[0.0]], ["no"], 0.2) * 2).round(4)  # the column's deviation is a half
    array([[0.2]])
    """
    parts = _attack(estimator, X, y, epsilon, norm, steps, restarts, input_range, random_state)
    return torch.cat([part.inputs for part in parts]).cpu().numpy()


def _attack(
    estimator: Any,
    X: Any,
    y: Any,
    epsilon: float,
    norm: Norm,
    steps: int,
    restarts: int,
    limits: tuple[float, float] | None,
    random_state: int | None,
) -> list[_Attacked]:
    check_is_fitted(estimator)
    head = getattr(getattr(estimator, "network_", None), "head", None)
    if not isinstance(head, ClassHead) or head.event_shape:
        expected, received = "a fitted classifier of one column of classes", type(estimator).__name__
        raise SettingError(expected, received, "fit for example an MLPClassifier")
    inputs = estimator._encode(X)
    first = inputs[estimator._input_names[0]]
    if not first.is_floating_point() and first.dtype != torch.uint8:
        mend = "attack classifiers of tables, images or series"
        raise InputError("inputs with values between two others", "tokens or categories", mend)
    targets = estimator._encode_classes(y, len(first), reset=False)
    network = copy.deepcopy(estimator.network_)
    some = next(network.parameters())
    if estimator._double and some.device.type != "mps":
        network = network.double()
    some = next(network.parameters())
    space = input_space(estimator, network, full_pixel(estimator, first), limits or estimator.input_range)
    source = generator(derive(resolve_seed(random_state), "attack"), some.device)
    parts = []
    with threads(min(estimator.n_threads_, cores())), evaluating(network):
        for rows in torch.arange(len(first)).split(ROWS):
            batch = {name: tensor[rows].to(some.device) for name, tensor in inputs.items()}
            batch = {name: t.to(some) if t.is_floating_point() else t for name, t in batch.items()}
            batch[space.entry] = batch[space.entry].to(some)
            labels = targets[rows].to(some.device)
            parts.append(_attack_rows(network, batch, labels, space, (epsilon, norm, steps, restarts), source))
    return parts


def _attack_rows(
    network: Any,
    batch: Batch,
    targets: Tensor,
    space: InputSpace,
    how: tuple[float, Norm, int, int],
    source: torch.Generator,
) -> _Attacked:
    epsilon, norm, steps, restarts = how

    def logs(moved: Tensor) -> Tensor:
        return _log_probabilities(network.head, network(*({**batch, space.entry: moved}).values()))

    def margin(moved: Tensor) -> Tensor:
        scores = logs(moved)
        own = scores.gather(1, targets[:, None]).squeeze(1)
        return scores.scatter(1, targets[:, None], -torch.inf).amax(1) - own

    given = batch[space.entry]
    with torch.no_grad():
        worst, largest = given, margin(given)
    clean = largest < 0
    for objective in (lambda moved: F.nll_loss(logs(moved), targets, reduction="none"), margin):
        moved = pgd(
            objective,
            given,
            epsilon=epsilon * space.unit,
            generator=source,
            steps=steps,
            restarts=restarts,
            norm=norm,
            low=space.low,
            high=space.high,
        )
        with torch.no_grad():
            found = margin(moved)
        worst = torch.where((found > largest).view(-1, *[1] * (given.ndim - 1)), moved, worst)
        largest = torch.maximum(found, largest)
    return _Attacked(worst, clean, largest < 0)


def _log_probabilities(head: ClassHead, parameters: Tensor) -> Tensor:
    """Return the logarithm of each class's probability, precise also where one of them is nearly 1."""
    if isinstance(head, CategoricalHead):
        return parameters.log_softmax(-1)
    if isinstance(head, BinaryHead):
        return torch.stack([F.logsigmoid(-parameters), F.logsigmoid(parameters)], -1)
    if isinstance(head, OrdinalHead):
        return head.log_probabilities(parameters)
    return head.probabilities(parameters).clamp_min(torch.finfo(parameters.dtype).tiny).log()
