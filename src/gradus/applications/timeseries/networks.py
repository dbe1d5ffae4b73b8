"""Networks from a window of a series to the distribution of each step after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError
from gradus.data.batches import Batch
from gradus.networks.checks import check_rate, check_sizes, chosen
from gradus.networks.feedforward import MLP
from gradus.networks.heads import GaussianHead, QuantileHead
from gradus.networks.recurrent import RecurrentNetwork
from gradus.training.losses import Loss

__all__ = ["BODIES", "ForecastLoss", "ForecastNetwork", "WindowScale"]

BODIES = ("mlp", "lstm", "tcn")


class WindowScale(nn.Module):
    r"""Location and scale of each window, so that level and unit of a series do not matter.

    Parameters
    ----------
    location : {"mean", "last", "none"}
        What is subtracted from a window: its mean, its last value (for series that wander), or nothing.
    floor : float
        Least scale, in units of the inputs: a flat window would blow up what follows it.

    Examples
    --------
    >>> WindowScale("last")(torch.tensor([[1.0, 3.0]]))
    (tensor([[3.]]), tensor([[1.0000]]))
    """

    floor: Tensor

    def __init__(self, location: str = "mean", floor: float = 1e-3) -> None:
        super().__init__()
        self.location = chosen(location, ("mean", "last", "none"), "location")
        self.register_buffer("floor", torch.tensor(float(floor)))

    def forward(self, past: Float[Tensor, "batch lookback"]) -> tuple[Tensor, Tensor]:
        """Return location and scale, each of shape (batch, 1)."""
        if self.location == "none":
            return torch.zeros_like(past[:, :1]), torch.ones_like(past[:, :1])
        variance, mean = torch.var_mean(past, 1, keepdim=True, correction=0)
        location = mean if self.location == "mean" else past[:, -1:]
        return location, (variance + self.floor.square()).sqrt()


class _Blocks(nn.Module):
    """Fully connected blocks, each reading what those before could not explain, their forecasts summed (N-BEATS)."""

    def __init__(self, read: int, steps: int, features: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.steps = steps
        self.blocks = nn.ModuleList(MLP(read, (width, width), dropout=dropout) for _ in range(depth))
        self.backcasts = nn.ModuleList(nn.Linear(width, read) for _ in range(depth - 1))
        self.forecasts = nn.ModuleList(nn.Linear(width, steps * features) for _ in range(depth))

    def forward(self, inputs: Tensor) -> Tensor:
        # The calendar runs on evenly: that of the last step says it for the whole window.
        left = torch.cat([inputs[:, :, 0], inputs[:, -1, 1:]], 1)
        forecasts = []
        for i, (block, forecast) in enumerate(zip(self.blocks, self.forecasts, strict=True)):
            hidden = block(left)
            forecasts.append(forecast(hidden))
            if i < len(self.backcasts):
                left = left - self.backcasts[i](hidden)
        return torch.stack(forecasts).sum(0).unflatten(1, (self.steps, -1))


class _Recurrent(nn.Module):
    """An LSTM over the window; its last state is spread over the steps ahead."""

    def __init__(self, read: int, steps: int, features: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.steps = steps
        self.recurrent = RecurrentNetwork(read, width, layers=depth, dropout=dropout)
        self.spread = nn.Linear(width, steps * features)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.spread(self.recurrent(inputs).last).unflatten(1, (self.steps, -1))


class _Causal(nn.Module):
    """Residual blocks of dilated convolutions that never look ahead; the view doubles with every block."""

    def __init__(self, read: int, steps: int, features: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.steps, self.kernel = steps, 3
        self.enter = nn.Conv1d(read, width, 1)
        self.first = nn.ModuleList(nn.Conv1d(width, width, 3, dilation=2**i) for i in range(depth))
        self.second = nn.ModuleList(nn.Conv1d(width, width, 3, dilation=2**i) for i in range(depth))
        for last in self.second:  # every block starts as the identity
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.dropout, self.spread = nn.Dropout(dropout), nn.Linear(width, steps * features)

    def maps(self, inputs: Tensor) -> Tensor:
        """Return the features of every step, each made of it and those before, shape (batch, width, time)."""
        maps = self.enter(inputs.transpose(1, 2))
        for i, (first, second) in enumerate(zip(self.first, self.second, strict=True)):
            before = (self.kernel - 1) * 2**i
            hidden = self.dropout(F.relu(first(F.pad(F.relu(maps), (before, 0)))))
            maps = maps + second(F.pad(hidden, (before, 0)))
        return maps

    def forward(self, inputs: Tensor) -> Tensor:
        return self.spread(F.relu(self.maps(inputs)[:, :, -1])).unflatten(1, (self.steps, -1))


class ForecastNetwork(nn.Module):
    r"""From a window and the calendar to the distribution of every step ahead at once.

    The window is brought to its own location and scale. A body (fully connected blocks, an LSTM, or dilated causal
    convolutions) makes features of each step ahead; a small network shared by all steps joins them with that step's
    calendar; a head makes a distribution of them. A linear map of the window joins at the head, so that what is linear
    in a series need not be learned by the rest.

    Parameters
    ----------
    lookback, horizon : int
        Steps read and steps forecast.
    calendar : int
        Calendar features of a step, 0 or more.
    body : {"mlp", "lstm", "tcn"}
        What reads the window.
    width, depth : int
        Units of a layer; blocks or layers. For ``"tcn"`` depth should reach over the window:
        ``1 + 4 (2^depth - 1)`` steps.
    head : {"quantile", "gaussian"}
        Quantiles by the pinball loss, or mean and deviation by maximum likelihood.
    quantiles : tuple of float
        Levels of the quantile head.
    location : {"mean", "last", "none"}
        See `WindowScale`.
    dropout : float
        Share of units dropped in training.
    floor : float
        Least scale of a window.

    Examples
    --------
    >>> network = ForecastNetwork(24, 12, body="tcn", width=16)
    >>> network(torch.randn(5, 24)).shape  # five quantiles of each step
    torch.Size([5, 12, 5])

    References
    ----------
    Oreshkin et al. 2020, N-BEATS; Wen et al. 2017, A Multi-Horizon Quantile Recurrent Forecaster; Bai et al. 2018, An
    Empirical Evaluation of Generic Convolutional and Recurrent Networks; Lai et al. 2018, LSTNet, §3.6 (the linear
    part); Goodfellow et al. 2016, §9.3 and §10.10.
    """

    def __init__(
        self,
        lookback: int,
        horizon: int,
        calendar: int = 0,
        *,
        body: str = "mlp",
        width: int = 64,
        depth: int = 2,
        head: str = "quantile",
        quantiles: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.95),
        location: str = "mean",
        dropout: float = 0.0,
        floor: float = 1e-3,
    ) -> None:
        super().__init__()
        chosen(body, BODIES, "body")
        chosen(head, ("quantile", "gaussian"), "head")
        check_sizes(lookback=lookback, horizon=horizon, width=width, depth=depth)
        check_rate("dropout", dropout)
        self.lookback, self.horizon, self.calendar = lookback, horizon, calendar
        self.scale = WindowScale(location, floor)
        features = max(8, width // 4)
        kind = {"mlp": _Blocks, "lstm": _Recurrent, "tcn": _Causal}[body]
        read = lookback + calendar if body == "mlp" else 1 + calendar
        self.body = kind(read, horizon, features, width, depth, dropout)
        self.local = MLP(features + calendar, (width,), dropout=dropout)
        self.linear = nn.Linear(lookback, horizon)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.head: Any = (
            QuantileHead(width + 1, quantiles=quantiles)
            if head == "quantile"
            else GaussianHead(width + 1, variance="learned")
        )
        with torch.no_grad():
            # The median, or mean, is the linear part and what the rest adds to it.
            row = self.head.anchor if isinstance(self.head, QuantileHead) else 0
            self.head.linear.weight[:, -1] = 0.0
            self.head.linear.weight[row, -1] = 1.0

    def forward(
        self,
        past: Float[Tensor, "batch lookback"],
        past_calendar: Float[Tensor, "batch lookback calendar"] | None = None,
        future_calendar: Float[Tensor, "batch horizon calendar"] | None = None,
        units: bool = True,
    ) -> Any:
        """Return the parameters of each step's distribution, shape (batch, horizon, parameters).

        Parameters
        ----------
        past : Tensor of shape (batch, lookback)
            Values up to the origin.
        past_calendar, future_calendar : Tensor, optional
            Calendar features of the window and of the steps ahead.
        units : bool
            In the units of the series. Otherwise parameters are those of the scaled window, and come with its
            location and scale, each of shape (batch, 1).
        """
        if past.shape[1:] != (self.lookback,):
            mend = "pass as many values as the network reads"
            raise InputError(f"windows of shape (batch, {self.lookback})", str(tuple(past.shape)), mend)
        location, scale = self.scale(past)
        window = (past - location) / scale
        inputs, ahead = window.unsqueeze(2), []
        if self.calendar:
            if past_calendar is None or future_calendar is None:
                raise InputError(f"{self.calendar} calendar features", "none", "pass those of window and steps ahead")
            inputs, ahead = torch.cat([inputs, past_calendar], 2), [future_calendar]
        steps = torch.cat([self.body(inputs), *ahead], 2)
        features = self.local(steps.flatten(0, 1)).unflatten(0, (len(past), self.horizon))
        features = torch.cat([features, self.linear(window).unsqueeze(2)], 2)
        parameters = self.head(features.flatten(0, 1)).unflatten(0, (len(past), self.horizon))
        return self.in_units(parameters, location, scale) if units else (parameters, location, scale)

    def in_units(self, parameters: Tensor, location: Tensor, scale: Tensor) -> Tensor:
        """Return parameters of scaled windows in the units of the series."""
        location, scale = location.unsqueeze(2), scale.unsqueeze(2)
        if isinstance(self.head, QuantileHead):
            return location + scale * parameters
        mean, deviation = parameters.split(1, 2)
        return torch.cat([location + scale * mean, scale * deviation], 2)


@dataclass(frozen=True)
class ForecastLoss:
    """The head's loss of every observed step, in units of each window's scale: a large series weighs no more."""

    metrics: bool = False

    def __call__(self, network: Any, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sum over the steps that were observed, and their number."""
        parameters, location, scale = network(
            batch["past"], batch["past_calendar"], batch["future_calendar"], units=False
        )
        parameters = parameters.flatten(0, 1)
        targets = ((batch["targets"] - location) / scale).flatten()
        weights = batch["observed"].flatten().to(parameters.dtype)
        each = network.head.losses(parameters, targets)
        measured = {}
        if self.metrics:
            error = (network.head.point(parameters) - targets).abs()
            measured["absolute_error"] = torch.dot(error.detach(), weights)
        return Loss(torch.dot(each, weights), weights.sum(), measured)
