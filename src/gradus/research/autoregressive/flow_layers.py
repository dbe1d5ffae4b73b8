"""Layers of normalizing flows: each maps rows to rows, can be run backwards, and knows its Jacobian's determinant."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.networks.checks import check_sizes
from gradus.networks.feedforward import MLP
from gradus.networks.heads.base import inverse_softplus
from gradus.networks.preparation import Standardize
from gradus.research.autoregressive.masked import MaskedNetwork, MaskedSteps
from gradus.research.autoregressive.splines import Knots, knots_of, spline, spline_inverse

__all__ = [
    "AffineAutoregressive",
    "AffineCoupling",
    "Coupling",
    "FlowLayer",
    "LinearMixing",
    "Permutation",
    "SplineCoupling",
    "Whitening",
    "log_scale",
]

LARGEST = 3.0  # logarithm of the most by which one layer stretches a number: without a bound, training runs away


class FlowLayer(nn.Module, ABC):
    """A bijection ``z = f(x)`` of rows."""

    @abstractmethod
    def forward(
        self, rows: Float[Tensor, "batch columns"]
    ) -> tuple[Float[Tensor, "batch columns"], Float[Tensor, " batch"]]:
        """Return ``f(x)`` and ``log |det df/dx|``."""

    @abstractmethod
    def inverse(self, codes: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch columns"]:
        """Return the ``x`` whose ``f(x)`` is given."""


def log_scale(raw: Tensor) -> Tensor:
    """Return the logarithm of a scale, within ±3, from any number; near zero the number itself.

    Examples
    --------
    >>> log_scale(torch.tensor([0.0, 1e6])).tolist()
    [0.0, 3.0]
    """
    return LARGEST * torch.tanh(raw / LARGEST)


class Whitening(FlowLayer):
    """Standardize columns, then undo a correlation: ``z = L⁻¹ (x - mean) / std``, with ``L`` lower triangular.

    With ``L`` the Cholesky factor of the data's correlations, a flow that goes on with the identity is the Gaussian of
    their mean and covariance. A code depends on its own column and those before it.

    Parameters
    ----------
    mean, std : Tensor of shape (columns,)
        Of each column; a deviation of zero counts as one.
    factor : Tensor of shape (columns, columns), optional
        ``L``; the identity by default.

    Examples
    --------
    >>> layer = Whitening(torch.tensor([5.0]), torch.tensor([2.0]))
    >>> [part.tolist() for part in layer(torch.tensor([[9.0]]))]  # log 1/2
    [[[2.0]], [-0.6931471824645996]]
    """

    factor: Tensor

    def __init__(
        self,
        mean: Float[Tensor, " columns"],
        std: Float[Tensor, " columns"],
        factor: Float[Tensor, "columns columns"] | None = None,
    ) -> None:
        super().__init__()
        self.standardize = Standardize(mean, std)
        self.register_buffer("factor", torch.eye(len(mean)) if factor is None else factor.to(mean.dtype))

    def forward(
        self, rows: Float[Tensor, "batch columns"]
    ) -> tuple[Float[Tensor, "batch columns"], Float[Tensor, " batch"]]:
        """Return white rows and the logarithm of the determinant."""
        codes = torch.linalg.solve_triangular(self.factor, self.standardize(rows).T, upper=False).T
        logs = -self.standardize.std.log().sum() - self.factor.diagonal().log().sum()
        return codes, logs.expand(len(rows))

    def inverse(self, codes: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch columns"]:
        """Return rows in their units."""
        return torch.addcmul(self.standardize.mean, codes @ self.factor.T, self.standardize.std)


class Permutation(FlowLayer):
    """Columns in another order: a Jacobian of determinant one.

    Parameters
    ----------
    order : Tensor of shape (columns,)
        Column ``order[i]`` becomes column ``i``.

    Examples
    --------
    >>> Permutation(torch.tensor([2, 0, 1]))(torch.tensor([[1.0, 2.0, 3.0]]))[0].tolist()
    [[3.0, 1.0, 2.0]]
    """

    order: Tensor

    def __init__(self, order: Int[Tensor, " columns"]) -> None:
        super().__init__()
        self.register_buffer("order", order)

    def forward(
        self, rows: Float[Tensor, "batch columns"]
    ) -> tuple[Float[Tensor, "batch columns"], Float[Tensor, " batch"]]:
        """Return permuted rows, and zeros."""
        return rows[:, self.order], rows.new_zeros(len(rows))

    def inverse(self, codes: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch columns"]:
        """Return the columns to their places."""
        return codes[:, self.order.argsort()]


class LinearMixing(FlowLayer):
    """A learned matrix in triangular factors: ``z = L U P x + b``, with ``log |det| = Σ log U_ii``.

    ``L`` has ones on its diagonal, ``U`` positive numbers, ``P`` is a fixed random permutation; at the start ``L U`` is
    the identity.

    Parameters
    ----------
    columns : int
        Columns of a row.

    Examples
    --------
    >>> layer = LinearMixing(3)
    >>> x = torch.tensor([[1.0, 2.0, 3.0]])
    >>> torch.allclose(layer.inverse(layer(x)[0]), x)
    True

    References
    ----------
    Kingma & Dhariwal 2018, Glow, §3.2; Durkan et al. 2019, Neural Spline Flows, §4.1.
    """

    order: Tensor

    def __init__(self, columns: int) -> None:
        super().__init__()
        check_sizes(columns=columns)
        self.register_buffer("order", torch.randperm(columns))
        self.lower = nn.Parameter(torch.zeros(columns, columns))
        self.upper = nn.Parameter(torch.zeros(columns, columns))
        self.raw_diagonal = nn.Parameter(torch.full((columns,), inverse_softplus(1.0)))
        self.bias = nn.Parameter(torch.zeros(columns))

    def _factors(self) -> tuple[Tensor, Tensor, Tensor]:
        diagonal = F.softplus(self.raw_diagonal) + 1e-6
        unit = torch.eye(len(diagonal), dtype=diagonal.dtype, device=diagonal.device)
        return self.lower.tril(-1) + unit, self.upper.triu(1) + torch.diag(diagonal), diagonal

    def forward(
        self, rows: Float[Tensor, "batch columns"]
    ) -> tuple[Float[Tensor, "batch columns"], Float[Tensor, " batch"]]:
        """Return mixed rows and the logarithm of the determinant."""
        lower, upper, diagonal = self._factors()
        mixed = torch.addmm(self.bias, rows[:, self.order], (lower @ upper).T)
        return mixed, diagonal.log().sum().expand(len(rows))

    def inverse(self, codes: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch columns"]:
        """Return unmixed rows, by two triangular systems."""
        lower, upper, _ = self._factors()
        half = torch.linalg.solve_triangular(lower, (codes - self.bias).T, upper=False, unitriangular=True)
        return torch.linalg.solve_triangular(upper, half, upper=True).T[:, self.order.argsort()]


class Coupling(FlowLayer):
    """Some columns pass; the others are moved, each by a bijection whose numbers a network reads from those that pass.

    The Jacobian is triangular, so its determinant is the product of the moved columns' slopes, and the inverse costs
    no more than the map. A single column has nothing to read, and is moved by numbers learned alone.

    Parameters
    ----------
    columns : int
        Columns of a row.
    numbers : int
        Numbers that describe the bijection of a column; all zero is the identity, where the layer starts.
    hidden : sequence of int
        Hidden layers of the network.
    activation : str
        Its hidden units.
    second : bool
        Move the first half of the columns instead of the second.
    dropout : float
        Probability with which its hidden units are dropped in training.
    """

    kept: Tensor
    moved: Tensor

    def __init__(
        self,
        columns: int,
        numbers: int,
        hidden: Sequence[int],
        activation: str = "relu",
        *,
        second: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(columns=columns, numbers=numbers)
        first, last = torch.arange(columns).tensor_split([columns // 2])
        kept, moved = (last, first) if second and columns > 1 else (first, last)
        self.register_buffer("kept", kept)
        self.register_buffer("moved", moved)
        self.numbers = numbers
        self.body = MLP(max(1, len(kept)), hidden, activation=activation, dropout=dropout)
        self.last = nn.Linear(self.body.out_features, len(moved) * numbers)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    @abstractmethod
    def _map(self, values: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Return images of the moved columns and the logarithms of their slopes."""

    @abstractmethod
    def _unmap(self, images: Tensor, numbers: Tensor) -> Tensor:
        """Return the values whose images are given."""

    def _numbers(self, rows: Tensor) -> Tensor:
        seen = rows[:, self.kept] if len(self.kept) else rows.new_zeros(len(rows), 1)
        return self.last(self.body(seen)).view(len(rows), len(self.moved), self.numbers)

    def forward(
        self, rows: Float[Tensor, "batch columns"]
    ) -> tuple[Float[Tensor, "batch columns"], Float[Tensor, " batch"]]:
        """Return rows with some columns moved, and the logarithm of the determinant."""
        images, slopes = self._map(rows[:, self.moved], self._numbers(rows))
        return rows.index_copy(1, self.moved, images), slopes.sum(1)

    def inverse(self, codes: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch columns"]:
        """Return the columns to where they were."""
        return codes.index_copy(1, self.moved, self._unmap(codes[:, self.moved], self._numbers(codes)))


class AffineCoupling(Coupling):
    """RealNVP's coupling: ``z = x exp(s) + t``, with ``s`` and ``t`` read from the columns that pass.

    Parameters
    ----------
    columns, hidden, activation, second, dropout
        As for `Coupling`.

    Examples
    --------
    >>> AffineCoupling(4, (8,))(torch.ones(2, 4))[0].tolist()[0]  # the identity, before training
    [1.0, 1.0, 1.0, 1.0]

    References
    ----------
    Dinh, Sohl-Dickstein & Bengio 2017, Density Estimation Using Real NVP, eq. 4-8.
    """

    def __init__(
        self,
        columns: int,
        hidden: Sequence[int],
        activation: str = "relu",
        *,
        second: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(columns, 2, hidden, activation, second=second, dropout=dropout)

    def _map(self, values: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        scales = log_scale(numbers[..., 0])
        return values * scales.exp() + numbers[..., 1], scales

    def _unmap(self, images: Tensor, numbers: Tensor) -> Tensor:
        return (images - numbers[..., 1]) * (-log_scale(numbers[..., 0])).exp()


class SplineCoupling(Coupling):
    """A coupling by monotone rational-quadratic splines on ``[-bound, bound]``, the identity outside.

    Parameters
    ----------
    columns, hidden, activation, second, dropout
        As for `Coupling`.
    bins : int
        Pieces of each spline, 2 or more.
    bound : float
        Half the length of the interval, in units of the inputs.

    Examples
    --------
    >>> layer = SplineCoupling(2, (8,), bins=4)
    >>> layer(torch.tensor([[0.1, 50.0]]))[0].tolist()[0][1]
    50.0

    References
    ----------
    Durkan et al. 2019, Neural Spline Flows, §3.
    """

    def __init__(
        self,
        columns: int,
        hidden: Sequence[int],
        activation: str = "relu",
        *,
        second: bool = False,
        dropout: float = 0.0,
        bins: int = 8,
        bound: float = 4.0,
    ) -> None:
        super().__init__(columns, 3 * bins - 1, hidden, activation, second=second, dropout=dropout)
        self.bound = bound

    def _knots(self, numbers: Tensor) -> Knots:
        return knots_of(numbers, self.bound)

    def _map(self, values: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        return spline(values, self._knots(numbers))

    def _unmap(self, images: Tensor, numbers: Tensor) -> Tensor:
        return spline_inverse(images, self._knots(numbers))


class AffineAutoregressive(FlowLayer):
    """Masked autoregressive layer: ``z_i = (x_i - m_i) exp(-s_i)``, with ``m_i`` and ``s_i`` read from columns before.

    One pass of a masked network for the map; its inverse goes column by column.

    Parameters
    ----------
    columns : int
        Columns of a row.
    hidden : sequence of int
        Hidden layers of the masked network.
    activation : str
        Its hidden units.
    dropout : float
        Probability with which they are dropped in training.

    Examples
    --------
    >>> layer = AffineAutoregressive(3, (8,))
    >>> layer(torch.ones(2, 3))[0].tolist()[0]  # the identity, before training
    [1.0, 1.0, 1.0]

    References
    ----------
    Papamakarios, Pavlakou & Murray 2017, Masked Autoregressive Flow for Density Estimation, eq. 3-6.
    """

    def __init__(self, columns: int, hidden: Sequence[int], activation: str = "relu", *, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = MaskedNetwork(columns, hidden, 2, activation=activation, direct=True, dropout=dropout)
        nn.init.zeros_(self.body.last.weight)

    def order(self) -> Int[Tensor, " columns"]:
        """Return the columns in the order in which they depend on each other."""
        return self.body.order()

    def forward(
        self, rows: Float[Tensor, "batch columns"]
    ) -> tuple[Float[Tensor, "batch columns"], Float[Tensor, " batch"]]:
        """Return standardized columns, each by the ones before it, and the logarithm of the determinant."""
        numbers = self.body(rows)
        scales = log_scale(numbers[..., 1])
        return (rows - numbers[..., 0]) * (-scales).exp(), -scales.sum(1)

    def inverse(self, codes: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch columns"]:
        """Return the rows, column after column."""
        steps, rows = MaskedSteps(self.body, len(codes)), list(codes.unbind(1))
        for column in self.order().tolist():
            mean, scale = steps.numbers(column).unbind(1)
            rows[column] = codes[:, column] * log_scale(scale).exp() + mean
            steps.add(column, rows[column])
        return torch.stack(rows, 1)
