"""Recurrent layers with several time scales: leaky units, and groups updated at different periods (§10.9)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import log, sqrt

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import SettingError
from gradus.networks.checks import check_sizes, chosen

__all__ = ["INITIALIZATIONS", "LeakyLayer", "MultiscaleLayer", "State", "UnrolledLayer"]

# Every tensor has the example first, so that indexing a state picks examples.
State = tuple[Tensor, ...]

INITIALIZATIONS = ("orthogonal", "uniform")

# The ends of the default leaks: time constants from about one step to fifty.
_SHORTEST, _LONGEST = 10 / 9, 50.0


class UnrolledLayer(nn.Module, ABC):
    r"""One direction of one recurrent layer, its steps written out in Python.

    The drive :math:`W x_t + b` of all steps is one product; only :math:`U h_{t-1}` waits for the step before.

    Parameters
    ----------
    in_features : int
        Width of the inputs, 1 or more.
    width : int
        Number of units, 1 or more.
    """

    def __init__(self, in_features: int, width: int) -> None:
        super().__init__()
        check_sizes(in_features=in_features, width=width)
        self.in_features, self.width = in_features, width
        self.input_weight = nn.Parameter(torch.empty(width, in_features))
        self.recurrent_weight = nn.Parameter(torch.empty(width, width))
        self.bias = nn.Parameter(torch.zeros(width))

    @abstractmethod
    def initialize(self, method: str) -> None:
        """Draw the weights: ``"orthogonal"`` or ``"uniform"``, as in :class:`RecurrentNetwork`."""

    @abstractmethod
    def begin(self, inputs: Float[Tensor, "batch time features"]) -> State:
        """Return the state before the first step of a sequence: zeros."""

    @abstractmethod
    def forward(
        self,
        inputs: Float[Tensor, "batch time features"],
        valid: Bool[Tensor, "batch time"] | None,
        state: State,
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """Return the hidden units after every step, and the state after the last valid one."""


def _uniform(layer: UnrolledLayer) -> None:
    """Torch's draw for its own recurrent layers."""
    bound = 1 / sqrt(layer.width)
    for parameter in (layer.input_weight, layer.recurrent_weight, layer.bias):
        nn.init.uniform_(parameter, -bound, bound)


def _unroll(
    step: Callable[[int, Tensor, Tensor], Tensor], drive: Tensor, valid: Tensor | None, hidden: Tensor
) -> tuple[Tensor, Tensor]:
    """Apply a step along time; an example whose sequence is over keeps its hidden units."""
    outputs = []
    for t, drive_t in enumerate(drive.unbind(1)):
        updated = step(t, drive_t, hidden)
        hidden = updated if valid is None else torch.where(valid[:, t, None], updated, hidden)
        outputs.append(hidden)
    return torch.stack(outputs, 1), hidden


class LeakyLayer(UnrolledLayer):
    r"""Leaky units: each hidden unit is a running average with its own time constant.

    .. math:: v_t = \tanh(W x_t + U u_{t-1} + b), \qquad u_t = \alpha u_{t-1} + (1 - \alpha) v_t

    A unit with α near one remembers for about :math:`1 / (1 - \alpha)` steps; with α of zero it is a unit of the
    plain recurrent network.

    Parameters
    ----------
    in_features : int
        Width of the inputs, 1 or more.
    width : int
        Number of units, 1 or more.
    alpha : float, sequence of float or None
        Share of the old value kept, one number or one for each unit. Fixed it lies in ``[0, 1)``, learned in
        ``(0, 1)``. ``None`` spreads the time constants evenly in their logarithm from 10/9 to 50 steps (α from
        0.1 to 0.98).
    learn_alpha : bool
        Learn α, through a sigmoid; otherwise it stays what it is.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> layer = LeakyLayer(3, 4, alpha=0.5, learn_alpha=False)
    >>> x = torch.zeros(2, 5, 3)
    >>> outputs, (hidden,) = layer(x, None, (torch.ones(2, 4),))
    >>> outputs.shape, layer.alpha.tolist()
    (torch.Size([2, 5, 4]), [0.5, 0.5, 0.5, 0.5])

    References
    ----------
    Goodfellow et al. 2016, §10.9.2 (our α is its α, our ``u`` its running average μ of ``v``); Mozer 1992.
    """

    fixed_alpha: Tensor

    def __init__(
        self,
        in_features: int,
        width: int,
        *,
        alpha: float | Sequence[float] | None = None,
        learn_alpha: bool = True,
        initialization: str = "orthogonal",
    ) -> None:
        super().__init__(in_features, width)
        if alpha is None:
            spread = torch.linspace(log(_SHORTEST), log(_LONGEST), width)
            kept = 1 - torch.exp(-spread)
        else:
            kept = torch.as_tensor(alpha, dtype=self.bias.dtype)
            if kept.ndim == 0:
                kept = kept.repeat(width)
        if kept.shape != (width,):
            raise SettingError(f"one alpha or {width}", str(len(kept)), "give one for each unit, or one number")
        low = float(kept.min())
        if not (0 <= low and float(kept.max()) < 1 and (low > 0 or not learn_alpha)):
            mend = "set for example alpha=0.9" + (", or learn_alpha=False for an alpha of 0" if learn_alpha else "")
            raise SettingError(f"alpha in {'(' if learn_alpha else '['}0, 1)", str(alpha), mend)
        self.learn_alpha = learn_alpha
        if learn_alpha:
            self.alpha_logit = nn.Parameter(torch.logit(kept))
        else:
            self.register_buffer("fixed_alpha", kept)
        self.initialize(initialization)

    @property
    def alpha(self) -> Float[Tensor, " width"]:
        """The share of the old value that each unit keeps."""
        return torch.sigmoid(self.alpha_logit) if self.learn_alpha else self.fixed_alpha

    def initialize(self, method: str) -> None:
        """Draw the weights, leaving α as it is."""
        if chosen(method, INITIALIZATIONS, "initialization") == "uniform":
            return _uniform(self)
        nn.init.xavier_uniform_(self.input_weight)
        nn.init.orthogonal_(self.recurrent_weight)
        nn.init.zeros_(self.bias)
        return None

    def begin(self, inputs: Float[Tensor, "batch time features"]) -> State:
        """Return hidden units of zero."""
        return (inputs.new_zeros(len(inputs), self.width),)

    def forward(
        self,
        inputs: Float[Tensor, "batch time features"],
        valid: Bool[Tensor, "batch time"] | None,
        state: State,
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """Return the hidden units after every step, and the state after the last valid one."""
        alpha = self.alpha

        def step(t: int, drive: Tensor, hidden: Tensor) -> Tensor:
            candidate = torch.tanh(drive + F.linear(hidden, self.recurrent_weight))
            return torch.lerp(candidate, hidden, alpha)

        outputs, hidden = _unroll(step, F.linear(inputs, self.input_weight, self.bias), valid, state[0])
        return outputs, (hidden,)


class MultiscaleLayer(UnrolledLayer):
    r"""Groups of units updated at different periods: the clockwork recurrent network.

    At step t (counted from 0) a group of period T computes :math:`\tanh(W x_t + U h_{t-1} + b)` if T divides t,
    and otherwise keeps its value. Each group listens to itself and to slower groups, so ``U`` is block upper
    triangular: fast groups see the long memory of slow ones, and slow ones are not disturbed.

    Groups whose turn it is not are not computed, so long as all examples of the batch are at the same step.

    Parameters
    ----------
    in_features : int
        Width of the inputs, 1 or more.
    width : int
        Number of units, at least one for each period; divided among the periods as evenly as can be.
    periods : sequence of int
        Periods in steps, ascending, 1 or more. ``(1,)`` is the plain recurrent network.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> layer = MultiscaleLayer(3, 4, periods=(1, 2))
    >>> x = torch.randn(1, 4, 3)
    >>> outputs, (hidden, clock) = layer(x, None, layer.begin(x))
    >>> bool((outputs[0, 1, 2:] == outputs[0, 0, 2:]).all()), clock.tolist()  # the slow half waits at odd steps
    (True, [4])

    References
    ----------
    Goodfellow et al. 2016, §10.9.3; El Hihi and Bengio 1996; Koutník et al. 2014, A Clockwork RNN.
    """

    connected: Tensor
    unit_periods: Tensor

    def __init__(
        self,
        in_features: int,
        width: int,
        *,
        periods: Sequence[int] = (1, 2, 4, 8),
        initialization: str = "orthogonal",
    ) -> None:
        super().__init__(in_features, width)
        ascending = all(a < b for a, b in pairwise(periods))
        if not periods or not ascending or periods[0] < 1 or len(periods) > width:
            expected = f"1 to {width} ascending periods of 1 step or more"
            raise SettingError(expected, str(tuple(periods)), "set for example periods=(1, 2, 4, 8)")
        self.periods = tuple(periods)
        base, extra = divmod(width, len(periods))
        self.sizes = tuple(base + (group < extra) for group in range(len(periods)))
        per_unit = torch.repeat_interleave(torch.tensor(self.periods), torch.tensor(self.sizes))
        self.register_buffer("unit_periods", per_unit)
        self.register_buffer("connected", per_unit[None, :] >= per_unit[:, None])
        self.initialize(initialization)

    def initialize(self, method: str) -> None:
        """Draw the weights; the blocks on the diagonal, whose eigenvalues are those of ``U``, orthogonal."""
        if chosen(method, INITIALIZATIONS, "initialization") == "uniform":
            return _uniform(self)
        nn.init.xavier_uniform_(self.input_weight)
        nn.init.normal_(self.recurrent_weight, std=1 / sqrt(self.width))
        with torch.no_grad():
            begin = 0
            for size in self.sizes:
                end = begin + size
                self.recurrent_weight[begin:end, begin:end] = nn.init.orthogonal_(torch.empty(size, size))
                begin = end
        nn.init.zeros_(self.bias)
        return None

    def begin(self, inputs: Float[Tensor, "batch time features"]) -> State:
        """Return hidden units of zero and clocks at step 0."""
        clock = torch.zeros(len(inputs), dtype=torch.int64, device=inputs.device)
        return inputs.new_zeros(len(inputs), self.width), clock

    def forward(
        self,
        inputs: Float[Tensor, "batch time features"],
        valid: Bool[Tensor, "batch time"] | None,
        state: State,
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """Return the hidden units after every step, and the state after the last valid one."""
        hidden, clock = state
        weight = self.recurrent_weight * self.connected
        together = bool((clock == clock[0]).all()) if len(clock) else True
        begun = int(clock[0]) if together and len(clock) else 0

        def step(t: int, drive: Tensor, hidden: Tensor) -> Tensor:
            if together:
                active = (begun + t) % self.unit_periods == 0
                slowest = max((g for g, period in enumerate(self.periods) if (begun + t) % period == 0), default=-1)
                n = sum(self.sizes[: slowest + 1])
            else:
                active, n = (clock[:, None] + t) % self.unit_periods == 0, self.width
            candidate = torch.tanh(drive[:, :n] + F.linear(hidden, weight[:n]))
            updated = torch.where(active[..., :n], candidate, hidden[:, :n])
            return torch.cat([updated, hidden[:, n:]], 1)

        outputs, hidden = _unroll(step, F.linear(inputs, self.input_weight, self.bias), valid, hidden)
        steps = inputs.shape[1] if valid is None else valid.sum(1)
        return outputs, (hidden, clock + steps)
