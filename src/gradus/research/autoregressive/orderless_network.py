"""A network of bits that answers in every order: what is seen is told to it by a mask, beside the bits themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import SettingError
from gradus.core.randomness import generator as make_generator
from gradus.foundations.log_space import log_mean_exp
from gradus.networks.checks import check_sizes
from gradus.networks.hidden_units import hidden_unit
from gradus.networks.initialization import initialize
from gradus.research.autoregressive.bit_networks import VALIDATED, BitNetwork
from gradus.research.autoregressive.masked import draw_positions

__all__ = ["OrderlessBits", "OrderlessSteps"]


class OrderlessBits(BitNetwork):
    """One network for ``p(x_j | any other columns)``: it reads the bits that are seen, and a mask that says which.

    ``h = f(W (x - mean) ⊙ m + U m + c)``, more layers, and a log-odds for each column. Every order of the columns makes
    of it a model whose probabilities sum to one, and several orders make their equal mixture.

    Parameters
    ----------
    mean : Tensor of shape (columns,)
        Share of ones in each column.
    hidden : sequence of int
        Units of each hidden layer, one or more.
    activation : str
        Hidden units.
    sets : int
        Orders, drawn from torch's global generator, that likelihoods are averaged over.

    Raises
    ------
    SettingError
        If there is no hidden layer, or a size is below 1.

    Examples
    --------
    >>> network = OrderlessBits(torch.full((3,), 0.5), (8,), sets=2)
    >>> every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    >>> round(network.log_prob(every).exp().sum().item(), 5)
    1.0

    References
    ----------
    Uria, Murray & Larochelle 2014, A Deep and Tractable Density Estimator; Goodfellow et al. 2016, §20.10.10.
    """

    positions: Tensor

    def __init__(
        self,
        mean: Float[Tensor, " columns"],
        hidden: Sequence[int] = (500,),
        activation: str = "relu",
        *,
        sets: int = 1,
    ) -> None:
        super().__init__(mean)
        check_sizes(sets=sets)
        if not hidden:
            raise SettingError("one hidden layer or more", "none", "set for example hidden=(500,)")
        for units in hidden:
            check_sizes(hidden=units)
        self.sets = sets
        self.register_buffer("positions", draw_positions(self.columns, sets, "each"))
        widths = [2 * self.columns, *hidden]
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in zip(widths[:-1], hidden, strict=True)])
        self.unit, _ = hidden_unit(activation)
        for index, layer in enumerate(self.linear_layers()):
            initialize(layer, "auto", activation, first=index == 0)
        self.last = nn.Linear(widths[-1], self.columns)
        initialize(self.last, "auto", activation)
        with torch.no_grad():
            self.last.bias.copy_(self.likelihood.start())

    def linear_layers(self) -> list[nn.Linear]:
        """Return the hidden layers."""
        return cast(list[nn.Linear], list(self.layers))

    def order(self, which: int = 0) -> Int[Tensor, " columns"]:
        """Return the columns in one of the orders, first to last."""
        return self.positions[which].argsort()

    def orders(self) -> Int[Tensor, "sets columns"]:
        """Return all the orders."""
        return self.positions.argsort(1)

    def given(
        self, bits: Float[Tensor, "batch columns"], seen: Float[Tensor, "batch columns"]
    ) -> Float[Tensor, "batch columns"]:
        """Return the log-odds of each column given those seen, in one pass; of one that is seen they mean nothing.

        Parameters
        ----------
        bits : Tensor of shape (batch, columns)
            Rows.
        seen : Tensor of shape (batch, columns)
            1 where a bit is seen, else 0.
        """
        h = torch.cat([(bits - self.likelihood.mean) * seen, seen], 1)
        for layer in self.layers:
            h = self.unit(layer(h))
        return self.last(h)

    def logits(self, bits: Float[Tensor, "batch columns"], which: int | Tensor = 0) -> Float[Tensor, "batch columns"]:
        """Return the log-odds of each column given those before it, in one of the orders."""
        return self.in_order(bits, self.order(int(which)))

    def in_order(
        self,
        bits: Float[Tensor, "batch columns"],
        order: Int[Tensor, " columns"],
        known: Float[Tensor, "batch columns"] | None = None,
    ) -> Float[Tensor, "batch columns"]:
        """Return the log-odds of each column given those before it in ``order``, of which only known ones are seen."""
        steps, found = OrderlessSteps(self, len(bits)), []
        for column in order.tolist():
            found.append(steps.logit(column))
            steps.see(column, bits[:, column], None if known is None else known[:, column])
        return torch.stack(found, 1)[:, order.argsort()]

    def known_log_prob(
        self,
        bits: Float[Tensor, "batch columns"],
        known: Float[Tensor, "batch columns"],
        orders: Int[Tensor, "sets columns"],
    ) -> Float[Tensor, " batch"]:
        """Return the log-probability of the known columns of each row in nats: the mean of that in each order.

        In an order the others count as last, so that they sum to one and drop out.

        Parameters
        ----------
        bits : Tensor of shape (batch, columns)
            Rows.
        known : Tensor of shape (batch, columns)
            1 where a bit is known, else 0.
        orders : Tensor of shape (sets, columns)
            Orders of the columns.
        """
        each = [(_bit_log_probs(self.in_order(bits, order, known), bits) * known).sum(1) for order in orders]
        return log_mean_exp(torch.stack(each))

    # -- training ------------------------------------------------------------------------------------------------

    def draw_seen(self, size: int, generator: torch.Generator) -> Float[Tensor, "size columns"]:
        """Draw what is seen of each row: the columns that come before a random one in a random order."""
        mean = self.likelihood.mean
        keys = torch.rand(size, self.columns, generator=generator, device=mean.device)
        chosen = torch.randint(self.columns, (size, 1), generator=generator, device=mean.device)
        return (keys < keys.gather(1, chosen)).to(mean.dtype)

    def estimate(
        self, bits: Float[Tensor, "batch columns"], seen: Float[Tensor, "batch columns"]
    ) -> Float[Tensor, " batch"]:
        r"""Return an estimate of the log-probability of each row in a random order, from one pass.

        .. math:: \frac{D}{D - |m|} \sum_{j: m_j = 0} \log p(x_j \mid x_m)

        A factor of the likelihood comes after each number of columns once: the sum over columns not seen is ``D - |m|``
        times what the one that comes next adds on average, and there are D of them. So where ``draw_seen`` draws the
        mask, the expectation is that of ``log p(x)`` over all orders.

        Parameters
        ----------
        bits : Tensor of shape (batch, columns)
            Rows.
        seen : Tensor of shape (batch, columns)
            The mask m.
        """
        factor = self.columns / (self.columns - seen.sum(1))
        return factor * (_bit_log_probs(self.given(bits, seen), bits) * (1 - seen)).sum(1)

    def training_log_prob(
        self, bits: Float[Tensor, "batch columns"], generator: torch.Generator
    ) -> Float[Tensor, " batch"]:
        """Return what training raises: an estimate of ``log p(x)`` in a random order, with a mask for each row."""
        return self.estimate(bits, self.draw_seen(len(bits), generator))

    def validation_log_prob(self, bits: Float[Tensor, "batch columns"]) -> Float[Tensor, " batch"]:
        """Return what early stopping follows: estimates with four masks a row, the same ones each time.

        An exact likelihood takes a pass for each column.
        """
        drawing = make_generator(0, bits.device)
        return sum((self.training_log_prob(bits, drawing) for _ in range(VALIDATED)), bits.new_zeros(())) / VALIDATED

    # -- drawing -------------------------------------------------------------------------------------------------

    def complete(
        self,
        bits: Float[Tensor, "batch columns"],
        known: Float[Tensor, "batch columns"],
        generator: torch.Generator,
    ) -> Float[Tensor, "batch columns"]:
        """Draw the columns that are not known, given those that are: an order for each row, then column after column.

        Parameters
        ----------
        bits : Tensor of shape (batch, columns)
            Rows; of columns that are not known anything finite.
        known : Tensor of shape (batch, columns)
            1 where a bit is known, else 0.
        generator : torch.Generator
            Where bits are drawn from.
        """
        rows = bits.clone()
        chosen = torch.randint(self.sets, (len(bits),), generator=generator, device=bits.device)
        for which in chosen.unique().tolist():
            held = (chosen == which).nonzero()[:, 0]
            rows[held] = self._complete_set(bits[held], known[held], which, generator)
        return rows

    def _complete_set(self, bits: Tensor, known: Tensor, which: int, generator: torch.Generator) -> Tensor:
        rows, steps = bits.clone(), OrderlessSteps(self, len(bits), bits, known)
        for column in self.order(which).tolist():
            fixed = known[:, column]
            if not bool(fixed.all()):
                drawn = torch.bernoulli(torch.sigmoid(steps.logit(column)), generator=generator)
                rows[:, column] = torch.where(fixed > 0, rows[:, column], drawn)
                steps.see(column, rows[:, column], 1 - fixed)
        return rows

    def _draw_set(self, size: int, which: int, generator: torch.Generator) -> Tensor:
        nothing = self.likelihood.mean.new_zeros(size, self.columns)
        return self._complete_set(nothing, nothing, which, generator)

    def filters(self) -> Float[Tensor, "units columns"]:
        """Return the weights from the bits into each unit of the first layer."""
        return self.linear_layers()[0].weight.detach()[:, : self.columns]


class OrderlessSteps:
    """An orderless network asked for one column after another: what is seen adds to the first layer's sums.

    Parameters
    ----------
    network : OrderlessBits
        The network.
    size : int
        Rows.
    bits, seen : Tensor of shape (size, columns), optional
        Rows, and 1 where a bit of theirs is seen from the start.

    Examples
    --------
    >>> network, row = OrderlessBits(torch.full((3,), 0.5), (8, 8)), torch.tensor([[1.0, 0.0, 1.0]])
    >>> steps = OrderlessSteps(network, 1)
    >>> steps.see(2, row[:, 2])
    >>> torch.allclose(steps.logit(0), network.given(row, torch.tensor([[0.0, 0.0, 1.0]]))[:, 0])
    True
    """

    def __init__(
        self, network: OrderlessBits, size: int, bits: Tensor | None = None, seen: Tensor | None = None
    ) -> None:
        self.network, (first, *self.layers) = network, network.linear_layers()
        self.mean = network.likelihood.mean
        self.of_bits, self.of_masks = first.weight.T.contiguous().split(network.columns)  # a row for each column
        self.sums = first.bias.expand(size, -1)
        if bits is not None and seen is not None:
            self.sums = self.sums + ((bits - self.mean) * seen) @ self.of_bits + seen @ self.of_masks

    def logit(self, column: int) -> Float[Tensor, " batch"]:
        """Return the log-odds of a column, given those seen."""
        h = self.network.unit(self.sums)
        for layer in self.layers:
            h = self.network.unit(layer(h))
        return h @ self.network.last.weight[column] + self.network.last.bias[column]

    def see(self, column: int, values: Float[Tensor, " batch"], where: Float[Tensor, " batch"] | None = None) -> None:
        """Show the values of a column, to some rows only where ``where`` is 1 for them and else 0."""
        added = torch.outer(values - self.mean[column], self.of_bits[column]) + self.of_masks[column]
        self.sums = self.sums + (added if where is None else added * where[:, None])


def _bit_log_probs(logits: Tensor, bits: Tensor) -> Tensor:
    """Return the log-probability of each bit under its log-odds."""
    return logits * bits - F.softplus(logits)
