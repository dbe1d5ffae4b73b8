"""NICE: nonlinear independent components, by a chain of shifts that can be undone (§13.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.options import option
from gradus.data.batches import Batch
from gradus.estimators.unsupervised import UnsupervisedEstimator
from gradus.networks.feedforward import MLP
from gradus.networks.preparation import moments
from gradus.research.autoregressive.flows import FlowAnswers
from gradus.training.losses import Loss, LossFunction

__all__ = ["NICE", "NICENetwork", "nice_loss"]

Prior = Literal["logistic", "gaussian"]
LOG_TAU = float(np.log(2 * np.pi))


class NICENetwork(nn.Module):
    """Additive couplings: every other number of a row is shifted by what a network makes of the others.

    ``h_a = x_a``, ``h_b = x_b + m(x_a)``, the halves in turns; at the end ``z = exp(s) h``. A shift has determinant 1,
    so that ``log p(x) = Σ_i log p(z_i) + s_i``, less the logarithms of what rows were divided by at the start.

    Parameters
    ----------
    columns : int
        Numbers in a row, 1 or more; with 1 there is nothing to couple, and only the scale is learned.
    hidden : tuple of int
        Units of each hidden layer of the shifts.
    couplings : int
        How many shifts, 1 or more; with 2 or more every number can be moved.
    prior : {"logistic", "gaussian"}
        Density of each ``z_i``.
    location, scale : Tensor of shape (columns,), optional
        What is taken from rows first, and what they are then divided by; 0 and 1 by default.

    Examples
    --------
    >>> network = NICENetwork(3, (8,), 2)
    >>> rows = torch.tensor([[1.0, -2.0, 0.5]])
    >>> network.inverse(network(rows)).round(decimals=4).tolist()
    [[1.0, -2.0, 0.5]]

    References
    ----------
    Goodfellow et al. 2016, §13.2; Dinh, Krueger & Bengio 2014, NICE: Non-linear independent components estimation,
    §3.2-§3.4.
    """

    location: Tensor
    scale: Tensor

    def __init__(
        self,
        columns: int,
        hidden: tuple[int, ...],
        couplings: int,
        prior: Prior = "logistic",
        location: Float[Tensor, " columns"] | None = None,
        scale: Float[Tensor, " columns"] | None = None,
    ) -> None:
        super().__init__()
        self.columns, self.prior = columns, prior
        self.register_buffer("location", torch.zeros(columns) if location is None else location.clone())
        self.register_buffer("scale", torch.ones(columns) if scale is None else scale.clone())
        sizes = ((columns + 1) // 2, columns // 2)  # numbers at even places, and at odd ones
        self.shifts = nn.ModuleList(
            nn.Sequential(MLP(sizes[i % 2], hidden, activation="relu"), _Still(hidden[-1], sizes[1 - i % 2]))
            for i in range(couplings if columns > 1 else 0)
        )
        # sources of variance 1 have, under the logistic prior, a variance of π² / 3
        start = float(np.log(np.pi / np.sqrt(3))) if prior == "logistic" else 0.0
        self.log_stretch = nn.Parameter(torch.full((columns,), start))

    def codes(self, rows: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch columns"]:
        """Return the components of rows."""
        return self(rows)

    def forward(self, rows: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch columns"]:
        """Return the components of rows."""
        halves = self._halves((rows - self.location) / self.scale)
        for i, shift in enumerate(self.shifts):
            halves[1 - i % 2] = halves[1 - i % 2] + shift(halves[i % 2])
        return self._whole(halves) * self.log_stretch.exp()

    def inverse(self, components: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch columns"]:
        """Return the rows of components."""
        halves = self._halves(components * (-self.log_stretch).exp())
        for i, shift in reversed(list(enumerate(self.shifts))):
            halves[1 - i % 2] = halves[1 - i % 2] - shift(halves[i % 2])
        return self._whole(halves) * self.scale + self.location

    def log_prob(self, rows: Float[Tensor, "batch columns"]) -> Float[Tensor, " batch"]:
        """Return log-densities in the units of the rows, in nats."""
        z = self(rows)
        if self.prior == "logistic":
            each = F.logsigmoid(z) + F.logsigmoid(-z)
        else:
            each = -0.5 * (z.square() + LOG_TAU)
        return each.sum(1) + (self.log_stretch - self.scale.log()).sum()

    def draw(self, size: int, generator: torch.Generator) -> Float[Tensor, "size columns"]:
        """Draw rows: components from the prior, taken back."""
        like = self.log_stretch
        where: dict[str, Any] = {"generator": generator, "dtype": like.dtype, "device": like.device}
        if self.prior == "gaussian":
            return self.inverse(torch.randn(size, self.columns, **where))
        uniform = torch.rand(size, self.columns, **where)
        return self.inverse(torch.logit(uniform, eps=1e-7))

    def _halves(self, rows: Tensor) -> list[Tensor]:
        return [rows[:, ::2], rows[:, 1::2]]

    def _whole(self, halves: list[Tensor]) -> Tensor:
        if self.columns == 1:
            return halves[0]
        rows = halves[0].new_empty(len(halves[0]), self.columns)
        rows[:, ::2], rows[:, 1::2] = halves
        return rows


class _Still(nn.Linear):
    """A last layer that begins at zero: before training, a coupling shifts nothing."""

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


def nice_loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
    """Return minus the sum of log-densities of a batch's rows, each times its weight; draws nothing.

    Parameters
    ----------
    network : Module
        With a ``log_prob``.
    batch : dict of str to Tensor
        ``inputs``, and ``weights`` where rows count differently.
    generator : Generator
        Not used.

    Returns
    -------
    Loss
    """
    each = -network.log_prob(batch["inputs"])  # type: ignore[operator]
    if "weights" not in batch:
        return Loss(each.sum(), float(len(each)), {})
    return Loss((each * batch["weights"]).sum(), batch["weights"].sum(), {})


@dataclass(kw_only=True, eq=False, repr=False)
class NICE(FlowAnswers, UnsupervisedEstimator):
    """Components that are independent after a learned, invertible, curved map; exact densities, codes and samples.

    What `ICA` does with a matrix, with a chain of additive couplings: ``log p(x) = Σ log p(z_i) + s_i``. Trained by
    maximum likelihood, by gradients.

    Parameters
    ----------
    couplings : int
        Shifts in the chain; the paper has 4.
    hidden : tuple of int
        Units of each hidden layer of the shifts.
    prior : {"logistic", "gaussian"}
        Density of each component.

    Attributes
    ----------
    network_ : NICENetwork
    location_, scale_ : ndarray of shape (features,)
        Mean and deviation of the training rows, with which the network begins.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(500, 1))
    >>> bent = np.concatenate([x, x**2 + 0.1 * rng.normal(size=(500, 1))], 1)
    >>> model = NICE(hidden=(32,), max_epochs=60, learning_rate=0.01, random_state=0).fit(bent)
    >>> gaussian = -0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.cov(bent.T))[1]
    >>> bool(model.score(bent) > gaussian + 0.5)
    True

    References
    ----------
    Goodfellow et al. 2016, §13.2; Dinh, Krueger & Bengio 2014.
    """

    couplings: int = option(4, "shifts in the chain", low=1)
    hidden: tuple[int, ...] = option((128, 128), "hidden units of each shift", unit="units", low=1)
    prior: Prior = option("logistic", "density of each component")

    def _learn_scales(self, rows: Tensor, weights: Tensor | None) -> None:
        mean, std, _ = moments(rows, weights)
        self.location_ = mean.float().numpy()
        self.scale_ = torch.where(std == 0, 1.0, std).float().numpy()

    def _build(self) -> NICENetwork:
        known = [torch.from_numpy(np.array(part)) for part in (self.location_, self.scale_)]
        return NICENetwork(len(self.location_), tuple(self.hidden), self.couplings, self.prior, *known)

    def _loss(self, network: nn.Module) -> LossFunction:
        return nice_loss
