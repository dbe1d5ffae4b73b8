"""How much two views of the same things share: mutual information from samples by a trained critic (chapter 15)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float
from numpy.typing import ArrayLike
from torch import Tensor, nn

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import derive, generator, isolated, resolve_seed
from gradus.data.batches import Batch, TensorBatches
from gradus.foundations.information import donsker_varadhan, info_nce, nwj
from gradus.foundations.log_space import log_mean_exp
from gradus.networks.feedforward import MLP
from gradus.networks.preparation import Standardize
from gradus.training.loop import Trainer
from gradus.training.losses import Loss
from gradus.training.options import TrainingOptions
from gradus.training.player import Player

__all__ = ["BoundLoss", "MutualInformation", "PairCritic", "estimate_mutual_information"]

BoundName = Literal["info_nce", "nwj", "donsker_varadhan"]
BOUNDS: dict[str, Callable[[Tensor], Tensor]] = {
    "info_nce": info_nce,
    "nwj": nwj,
    "donsker_varadhan": donsker_varadhan,
}
VALIDATION, TEST = 0.15, 0.25  # shares of the pairs
OPTIONS = TrainingOptions(max_epochs=100, batch_size=128, learning_rate=1e-3, gradient_clip=1.0, patience=10)


class PairCritic(nn.Module):
    """Score every x of a batch with every y of it by a perceptron that reads both.

    Parameters
    ----------
    x, y : Standardize
        Preparation of each side, which knows its width.
    hidden : sequence of int
        Units in each hidden layer, one or more.

    Examples
    --------
    >>> sides = [Standardize(torch.zeros(n), torch.ones(n)) for n in (3, 5)]
    >>> PairCritic(*sides, hidden=(16,))(torch.zeros(4, 3), torch.zeros(4, 5)).shape
    torch.Size([4, 4])
    """

    def __init__(self, x: Standardize, y: Standardize, hidden: Sequence[int] = (64, 64)) -> None:
        super().__init__()
        if len(hidden) == 0:
            raise SettingError("a hidden layer or more", "none", "set for example hidden=(64, 64)")
        self.prepare_x, self.prepare_y = x, y
        # The first layer reads both: its sum over x and over y is computed for n of each instead of n² pairs.
        self.of_x, self.of_y = nn.Linear(len(x.mean), hidden[0]), nn.Linear(len(y.mean), hidden[0], bias=False)
        self.body = MLP(hidden[0], tuple(hidden[1:]))
        self.out = nn.Linear(self.body.out_features, 1)

    def forward(self, x: Float[Tensor, " n *first"], y: Float[Tensor, " m *second"]) -> Float[Tensor, "n m"]:
        """Return ``scores[i, j] = f(x_i, y_j)``."""
        pre = self.of_x(self.prepare_x(x.flatten(1))).unsqueeze(1) + self.of_y(self.prepare_y(y.flatten(1)))
        features = self.body(pre.relu().flatten(0, 1))
        return self.out(features).reshape(len(x), len(y))


@dataclass(frozen=True)
class BoundLoss:
    """Minus a bound of `gradus.foundations.information`, times the size of the batch.

    It contrasts pairs with other pairs, so it does not decompose over examples.

    Parameters
    ----------
    bound : callable
        ``scores of shape (n, n) -> a scalar to maximize``.
    """

    bound: Callable[[Tensor], Tensor]
    decomposes: ClassVar[bool] = False

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return minus the bound of a batch of ``x`` and ``y``."""
        scores = network(batch["x"], batch["y"])
        return Loss(-self.bound(scores) * len(scores), float(len(scores)), {})


class MutualInformation(NamedTuple):
    """An estimated lower bound.

    Attributes
    ----------
    estimate : float
        In nats, on pairs that neither training nor the choice of the critic has seen.
    standard_error : float
        Of the estimate of the bound, not of its gap to the truth.
    ceiling : float
        The most that the bound can show: log of the batch size for "info_nce", else infinity.
    critic : nn.Module
        Trained.
    history : list of dict
        One row an epoch: ``critic_loss`` and ``valid_loss``, minus the bound.
    """

    estimate: float
    standard_error: float
    ceiling: float
    critic: nn.Module
    history: list[dict[str, Any]]


def estimate_mutual_information(
    x: ArrayLike | Tensor,
    y: ArrayLike | Tensor,
    *,
    bound: BoundName = "info_nce",
    hidden: Sequence[int] = (64, 64),
    critic: nn.Module | None = None,
    options: TrainingOptions | None = None,
    random_state: int | None = 0,
) -> MutualInformation:
    """Estimate a lower bound on the mutual information of x and y, in nats, by training a critic.

    The pairs are cut into 60 % to train on, 15 % to stop and choose by, and 25 % for the estimate. That the estimate is
    low proves nothing: a better critic, or more pairs, may show more.

    Parameters
    ----------
    x, y : array-like or Tensor of shape (n, ...)
        Pairs, 100 or more. One-hot codes for classes.
    bound : {"info_nce", "nwj", "donsker_varadhan"}
        What is maximized. "info_nce" varies least, and cannot show more than log(batch_size). The others can, and vary
        more the more there is. A critic trained by "donsker_varadhan" is judged by "nwj", its constant set on the
        validation pairs: on few pairs, its own bound errs upwards.
    hidden : sequence of int
        Units in each hidden layer of the critic.
    critic : nn.Module, optional
        Another than `PairCritic`: ``(x, y) -> scores of shape (n, n)``; trained in place.
    options : TrainingOptions, optional
        By default 100 epochs at most, batches of 128, a learning rate of 0.001. Its device, threads and checkpoints
        are not read: the critic trains where the pairs are, and ends by ``patience`` on the validation pairs.
    random_state : int, optional
        Of the cut, the critic's start and the order of pairs.

    Returns
    -------
    MutualInformation

    Raises
    ------
    InputError
        If x and y differ in number, or are too few.
    SettingError
        If there is no such bound.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=2000)
    >>> y = 0.8 * x + 0.6 * rng.normal(size=2000)
    >>> options = TrainingOptions(max_epochs=8, batch_size=64, learning_rate=0.005)
    >>> found = estimate_mutual_information(x, y, hidden=(16,), options=options)
    >>> abs(found.estimate - -0.5 * math.log(1 - 0.8**2)) < 0.15
    True

    References
    ----------
    Poole et al. 2019, On Variational Bounds of Mutual Information; Belghazi et al. 2018, Mutual Information Neural
    Estimation; van den Oord, Li & Vinyals 2018.
    """
    if bound not in BOUNDS:
        raise SettingError(f"bound to be one of {', '.join(BOUNDS)}", repr(bound), "leave bound out")
    rows = _pairs(x, y)
    seed = resolve_seed(random_state)
    order = torch.randperm(len(rows["x"]), generator=generator(derive(seed, "cut")))
    sizes = [int(VALIDATION * len(order)), int(TEST * len(order))]
    valid, test, train = (
        {name: tensor[part] for name, tensor in rows.items()} for part in order.split([*sizes, len(order) - sum(sizes)])
    )
    options = replace(options or OPTIONS)
    if options.batch_size > len(train["x"]):
        options = replace(options, batch_size=len(train["x"]))
    if critic is None:
        with isolated(derive(seed, "weights")):
            of_x, of_y = (Standardize.from_data(train[name].flatten(1)) for name in ("x", "y"))
            critic = PairCritic(of_x, of_y, hidden=hidden)
    trainer = _trained(critic, train, valid, BOUNDS[bound], options, seed)
    critic.eval()
    judged, shift = BOUNDS[bound], 0.0
    if bound == "donsker_varadhan":
        constants = [_constant(_scored(critic, part)) for part in _batches(valid, options.batch_size)]
        shift, judged = 1 - float(log_mean_exp(torch.stack(constants))), nwj
    values = [judged(_scored(critic, part) + shift) for part in _batches(test, options.batch_size)]
    found = torch.stack(values).double()
    error = float(found.std() / math.sqrt(len(found))) if len(found) > 1 else math.nan
    ceiling = math.log(min(options.batch_size, len(test["x"]))) if bound == "info_nce" else math.inf
    return MutualInformation(float(found.mean()), error, ceiling, critic, trainer.history)


def _pairs(x: ArrayLike | Tensor, y: ArrayLike | Tensor) -> dict[str, Tensor]:
    found = {name: torch.as_tensor(values).float() for name, values in (("x", x), ("y", y))}
    found = {name: values.unsqueeze(1) if values.ndim == 1 else values for name, values in found.items()}
    if len(found["x"]) != len(found["y"]) or len(found["x"]) < 100:
        received = f"{len(found['x'])} and {len(found['y'])}"
        raise InputError("as many rows of x as of y, 100 or more", received, "pass pairs, or a closed form for few")
    for name, values in found.items():
        if not bool(values.isfinite().all()):
            raise InputError(f"finite numbers in {name}", "infinite or missing ones", "replace or drop them")
    return found


def _batches(rows: dict[str, Tensor], size: int) -> list[dict[str, Tensor]]:
    """Cut rows into batches of one size; what is left over is left out, since a smaller batch has another ceiling."""
    n = len(rows["x"])
    size = min(size, n)
    return [{name: t[i : i + size] for name, t in rows.items()} for i in range(0, n - size + 1, size)]


@torch.no_grad()
def _scored(critic: nn.Module, rows: dict[str, Tensor]) -> Tensor:
    scores: Tensor = critic(rows["x"], rows["y"])
    return scores


def _constant(scores: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """Return ``log E[e^f]`` over pairs of independent ones: what the bound subtracts."""
    return scores.diagonal().mean() - donsker_varadhan(scores)


def _trained(
    critic: nn.Module,
    train: dict[str, Tensor],
    valid: dict[str, Tensor],
    bound: Callable[[Tensor], Tensor],
    options: TrainingOptions,
    seed: int,
) -> Trainer:
    """Train the critic and put back the weights of its best epoch."""
    # A last batch of few pairs would be another bound: left out, unless there is no other.
    batches = TensorBatches(train, batch_size=options.batch_size, seed=derive(seed, "order"), drop_last=True)

    def evaluate(network: nn.Module) -> dict[str, float]:
        values = [bound(_scored(network, part)) for part in _batches(valid, options.batch_size)]
        return {"loss": -float(torch.stack(values).mean())}

    player = Player("critic", critic, BoundLoss(bound), options, seed=derive(seed, "loss"))
    trainer = Trainer(
        critic, [player], batches, options, evaluate=evaluate, seed=seed, n_threads=torch.get_num_threads(), watch=True
    )
    trainer.run()
    return trainer
