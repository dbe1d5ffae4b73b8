"""Networks that give rows of zeros and ones exact probabilities, one column after another: FVBN, NADE, MADE.

``p(x) = Π_i p(x_i | x_before)``, each factor a Bernoulli distribution. They read and draw zeros and ones.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gradus.foundations.log_space import log_mean_exp
from gradus.networks.checks import check_sizes
from gradus.research.autoregressive.masked import MaskedNetwork, MaskedSteps, draw_positions
from gradus.research.autoregressive.nade_function import nade_logits
from gradus.research.generative.likelihoods import BernoulliLikelihood

__all__ = ["BitNetwork", "LinearBits", "MaskedBits", "NadeBits"]

VALIDATED = 4  # sets of masks that early stopping looks at


class BitNetwork(nn.Module, ABC):
    """Base: log-odds of each column given those before it, and what follows from them.

    Parameters
    ----------
    mean : Tensor of shape (columns,)
        Share of ones in each column, where the log-odds start.
    """

    sets = 1

    def __init__(self, mean: Float[Tensor, " columns"]) -> None:
        super().__init__()
        self.columns = len(mean)
        self.likelihood = BernoulliLikelihood(mean)

    @abstractmethod
    def order(self, which: int = 0) -> Int[Tensor, " columns"]:
        """Return the columns in the order in which they follow each other."""

    @abstractmethod
    def logits(self, bits: Float[Tensor, "batch columns"], which: int | Tensor = 0) -> Float[Tensor, "batch columns"]:
        """Return the log-odds of each column given those before it."""

    @abstractmethod
    def _draw_set(self, size: int, which: int, generator: torch.Generator) -> Tensor:
        """Draw rows column by column."""

    @abstractmethod
    def filters(self) -> Float[Tensor, "units columns"]:
        """Return the weights from the columns into each unit that reads them."""

    def forward(self, bits: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch columns"]:
        """Return the log-odds of each column, in the first order."""
        return self.logits(bits)

    def log_prob(self, bits: Float[Tensor, "batch columns"], most: int | None = None) -> Float[Tensor, " batch"]:
        """Return ``log p(x)`` in nats: of several sets of masks, that of their equal mixture.

        Parameters
        ----------
        bits : Tensor of shape (batch, columns)
            Rows.
        most : int, optional
            Take the first sets alone, this many.
        """
        sets = self.sets if most is None else min(most, self.sets)
        each = [self.likelihood.log_prob(self.logits(bits, which), bits) for which in range(sets)]
        return each[0] if sets == 1 else log_mean_exp(torch.stack(each))

    def validation_log_prob(self, bits: Float[Tensor, "batch columns"]) -> Float[Tensor, " batch"]:
        """Return what early stopping follows: ``log p(x)``, of many sets of masks that of the first four.

        All of 32 sets, asked after each epoch, would take longer than the epoch.
        """
        return self.log_prob(bits, VALIDATED)

    def training_log_prob(
        self, bits: Float[Tensor, "batch columns"], generator: torch.Generator
    ) -> Float[Tensor, " batch"]:
        """Return what training raises: ``log p(x)``, of several sets of masks that of one drawn for the batch."""
        if self.sets == 1:
            return self.log_prob(bits)
        which = torch.randint(self.sets, (), generator=generator, device=bits.device)
        return self.likelihood.log_prob(self.logits(bits, which), bits)

    def draw(self, size: int, generator: torch.Generator) -> Float[Tensor, "size columns"]:
        """Draw rows: a set of masks for each, then column after column."""
        if self.sets == 1:
            return self._draw_set(size, 0, generator)
        place = self.likelihood.mean.device
        chosen = torch.randint(self.sets, (size,), generator=generator, device=place)
        rows = self.likelihood.mean.new_zeros(size, self.columns)
        for which in chosen.unique().tolist():
            members = (chosen == which).nonzero()[:, 0]
            rows[members] = self._draw_set(len(members), which, generator)
        return rows


class LinearBits(BitNetwork):
    """Fully visible belief net: ``p(x_i = 1 | x_before) = σ(b_i + Σ_{j before i} W_ij x_j)``.

    Each column is a logistic regression on those before it. The likelihood is concave in the parameters, so training
    ends in the best ones there are.

    Parameters
    ----------
    mean : Tensor of shape (columns,)
        Share of ones in each column.
    order : {"given", "random"}
        Order of the columns.

    Examples
    --------
    >>> network = LinearBits(torch.tensor([0.25, 0.5]))
    >>> network.log_prob(torch.tensor([[1.0, 0.0]])).exp().item()
    0.125

    References
    ----------
    Goodfellow et al. 2016, §20.10.7, §20.10.8, figure 20.8; Frey 1998, Graphical Models for Machine Learning.
    """

    positions: Tensor

    def __init__(self, mean: Float[Tensor, " columns"], order: str = "given") -> None:
        super().__init__(mean)
        self.register_buffer("positions", draw_positions(self.columns, 1, order)[0])
        self.bias = nn.Parameter(self.likelihood.start())
        self.weight = nn.Parameter(torch.zeros(self.columns, self.columns))

    def order(self, which: int = 0) -> Int[Tensor, " columns"]:
        """Return the columns in the order in which they follow each other."""
        return self.positions.argsort()

    def masked_weight(self) -> Float[Tensor, "columns columns"]:
        """Return ``W``, zero where a column does not come before."""
        return self.weight * (self.positions[:, None] > self.positions)

    def logits(self, bits: Float[Tensor, "batch columns"], which: int | Tensor = 0) -> Float[Tensor, "batch columns"]:
        """Return the log-odds of each column given those before it."""
        return torch.addmm(self.bias, bits, self.masked_weight().T)

    def _draw_set(self, size: int, which: int, generator: torch.Generator) -> Tensor:
        weight = self.masked_weight()
        rows = weight.new_zeros(size, self.columns)
        for column in self.order().tolist():
            odds = torch.sigmoid(self.bias[column] + rows @ weight[column])
            rows[:, column] = torch.bernoulli(odds, generator=generator)
        return rows

    def filters(self) -> Float[Tensor, "units columns"]:
        """Return the weights into each column."""
        return self.masked_weight().detach()


class NadeBits(BitNetwork):
    """Neural autoregressive density estimator: hidden units for each column, their weights shared among columns.

    ``h_i = σ(c + Σ_{j before i} W_j x_j)`` and ``p(x_i = 1 | x_before) = σ(b_i + V_i · h_i)``: the sums for one column
    are those for the column before it and one more term, so all of them cost as much as one layer.

    Parameters
    ----------
    mean : Tensor of shape (columns,)
        Share of ones in each column.
    hidden : int
        Hidden units for each column.
    order : {"given", "random"}
        Order of the columns.

    Examples
    --------
    >>> network = NadeBits(torch.full((3,), 0.5), hidden=8)
    >>> every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    >>> round(network.log_prob(every).exp().sum().item(), 5)
    1.0

    References
    ----------
    Goodfellow et al. 2016, §20.10.10, eq. 20.83-20.84, figure 20.10; Larochelle & Murray 2011, The Neural
    Autoregressive Distribution Estimator.
    """

    positions: Tensor

    def __init__(self, mean: Float[Tensor, " columns"], hidden: int = 500, order: str = "given") -> None:
        super().__init__(mean)
        check_sizes(hidden=hidden)
        self.register_buffer("positions", draw_positions(self.columns, 1, order)[0])
        spread = 1 / math.sqrt(self.columns)
        self.bias = nn.Parameter(self.likelihood.start())
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.into = nn.Parameter(torch.randn(self.columns, hidden) * spread)
        self.out = nn.Parameter(torch.randn(self.columns, hidden) / math.sqrt(hidden))

    def order(self, which: int = 0) -> Int[Tensor, " columns"]:
        """Return the columns in the order in which they follow each other."""
        return self.positions.argsort()

    def logits(self, bits: Float[Tensor, "batch columns"], which: int | Tensor = 0) -> Float[Tensor, "batch columns"]:
        """Return the log-odds of each column given those before it."""
        order = self.order()
        found = nade_logits(bits[:, order], self.into[order], self.hidden_bias, self.out[order], self.bias[order])
        return found[:, self.positions]

    def _draw_set(self, size: int, which: int, generator: torch.Generator) -> Tensor:
        rows = self.bias.new_zeros(size, self.columns)
        sums = self.hidden_bias.repeat(size, 1)
        for column in self.order().tolist():
            odds = torch.sigmoid(torch.sigmoid(sums) @ self.out[column] + self.bias[column])
            rows[:, column] = torch.bernoulli(odds, generator=generator)
            sums.addcmul_(rows[:, column, None], self.into[column])
        return rows

    def filters(self) -> Float[Tensor, "units columns"]:
        """Return the weights into each hidden unit."""
        return self.into.detach().T


class MaskedBits(BitNetwork):
    """Masked autoencoder for bits: all log-odds in one pass of a dense network with masks.

    Several sets of masks share the weights; the model is then their equal mixture, whose probabilities sum to one like
    those of each. Training takes one set for each batch.

    Parameters
    ----------
    mean : Tensor of shape (columns,)
        Share of ones in each column.
    hidden : sequence of int
        Units of each hidden layer.
    activation : str
        Hidden units.
    direct : bool
        Connect inputs and outputs directly too.
    sets : int
        Sets of masks.
    order : {"given", "random", "each"}
        Order of the columns: as they stand, one random order, or a random order for each set.

    Examples
    --------
    >>> network = MaskedBits(torch.full((3,), 0.5), (8, 8), sets=4, order="each")
    >>> every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    >>> round(network.log_prob(every).exp().sum().item(), 5)
    1.0

    References
    ----------
    Germain et al. 2015, MADE: Masked Autoencoder for Distribution Estimation; Goodfellow et al. 2016, §20.10.9.
    """

    def __init__(
        self,
        mean: Float[Tensor, " columns"],
        hidden: Sequence[int] = (500,),
        activation: str = "relu",
        *,
        direct: bool = True,
        sets: int = 1,
        order: str = "given",
    ) -> None:
        super().__init__(mean)
        check_sizes(sets=sets)
        positions = draw_positions(self.columns, sets, order)
        self.body = MaskedNetwork(self.columns, hidden, activation=activation, direct=direct, positions=positions)
        self.sets = sets
        with torch.no_grad():
            self.body.last.bias.copy_(self.likelihood.start())

    def order(self, which: int = 0) -> Int[Tensor, " columns"]:
        """Return the columns in the order of a set of masks."""
        return self.body.order(which)

    def logits(self, bits: Float[Tensor, "batch columns"], which: int | Tensor = 0) -> Float[Tensor, "batch columns"]:
        """Return the log-odds of each column given those before it, in the order of a set of masks."""
        return self.body(bits, which)[..., 0]

    def _draw_set(self, size: int, which: int, generator: torch.Generator) -> Tensor:
        rows = self.likelihood.mean.new_zeros(size, self.columns)
        steps = MaskedSteps(self.body, size, which)
        for column in self.order(which).tolist():
            odds = torch.sigmoid(steps.numbers(column)[:, 0])
            rows[:, column] = torch.bernoulli(odds, generator=generator)
            steps.add(column, rows[:, column])
        return rows

    def filters(self) -> Float[Tensor, "units columns"]:
        """Return the weights into each unit of the first layer, masks left out where there are several sets."""
        return self.body.first_weight()
