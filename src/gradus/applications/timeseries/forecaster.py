"""A network that forecasts one or many series: every step ahead at once, as a distribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log2
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.covariance import ledoit_wolf
from torch import Tensor, nn
from torch.distributions import Distribution, Normal

from gradus.applications.timeseries.calendar import HARMONICS, calendar_features, calendar_parts
from gradus.applications.timeseries.contract import ForecastEstimator
from gradus.applications.timeseries.networks import ForecastLoss, ForecastNetwork
from gradus.applications.timeseries.series import SeriesSet
from gradus.applications.timeseries.windows import WindowBatches, Windows, scales_of
from gradus.core.errors import InputError, SettingError
from gradus.core.options import option
from gradus.core.randomness import derive, resolve_seed
from gradus.core.threads import cores, threads
from gradus.data.batches import Batch
from gradus.estimators.gradient import GradientEstimator
from gradus.networks.heads import QuantileDistribution
from gradus.training.distribution import agreed
from gradus.training.loop import Callback
from gradus.training.losses import LossFunction
from gradus.training.options import OptimizerName, ScheduleName

__all__ = ["Forecaster"]

# Windows that early stopping looks at, and that the dependence between steps is learned from.
MOST_WINDOWS = 2048
MOST_PATHS = 256  # drawn at once
LEAST_LOOKBACK = 8


@dataclass(kw_only=True, eq=False, repr=False)
class Forecaster(ForecastEstimator, GradientEstimator):
    """Forecast series with a network trained on windows of all of them.

    Level and unit of a series do not matter: each window is brought to its own scale. The calendar (hour, weekday,
    course of the year) comes from the stamps. Every step ahead is forecast directly, so no error is fed back.

    Answers are medians, quantiles, a distribution a step, or whole paths: those join the steps by a Gaussian copula
    that is learned from the windows.

    Examples
    --------
    >>> month = np.arange(120)
    >>> sales = 50 + 0.2 * month + 10 * np.sin(2 * np.pi * month / 12)
    >>> model = Forecaster(horizon=6, season=12, max_epochs=60, random_state=0).fit(sales)
    >>> truth = 50 + 0.2 * np.arange(120, 126) + 10 * np.sin(2 * np.pi * np.arange(120, 126) / 12)
    >>> bool(np.abs(model.predict() - truth).mean() < 3)
    True

    References
    ----------
    Goodfellow et al. 2016, chapter 10 and §12.4; Oreshkin et al. 2020, N-BEATS; Pinson et al. 2009, From
    Probabilistic Forecasts to Statistical Scenarios (paths by a Gaussian copula).
    """

    body: Literal["mlp", "lstm", "tcn"] = option("mlp", "what reads the window: dense blocks, LSTM, or convolutions")
    lookback: int | None = option(
        None, "steps that are read; none: two seasons or two horizons, as the history allows", unit="steps", low=2
    )
    width: int = option(64, "units in each layer", unit="units", low=1)
    depth: int | None = option(
        None, "blocks or layers; none: 2 blocks, 1 layer of an LSTM, convolutions that reach over the window", low=1
    )
    dropout: float = option(0.1, "share of units dropped in training", low=0, high=0.95)
    head: Literal["quantile", "gaussian"] = option("quantile", "distribution of each step")
    quantiles: tuple[float, ...] = option(
        (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975), "levels of the quantile head", above=0, high=0.999
    )
    location: Literal["mean", "last", "none"] = option("last", "what is subtracted from each window")
    calendar: bool = option(True, "learn from hour, weekday and course of the year, where there are dates")
    max_epochs: int = option(100, "most passes over the windows", unit="epochs", low=0)
    max_steps: int | None = option(1000, "most parameter updates", unit="steps", low=1)
    learning_rate: float = option(3e-3, "step size at the top of the schedule", above=0)
    schedule: ScheduleName = option("one_cycle", "how the learning rate changes")
    optimizer: OptimizerName = option("adamw", "rule that turns gradients into updates")
    weight_decay: float = option(1e-2, "weight decay of weight matrices", low=0)
    gradient_clip: float | None = option(1.0, "largest norm of the whole gradient", above=0)
    early_stopping: bool | Literal["auto"] = option(
        "auto", "stop when the end of each series, held out, stops improving; auto: where it leaves enough windows"
    )
    retrain: Literal["none", "epochs", "continue"] = option(
        "epochs", "after early stopping, learn from the newest values too: anew for as many epochs"
    )

    # -- fitting -------------------------------------------------------------------------------------------------

    def fit(self, series: Any, callbacks: Sequence[Callback] = ()) -> Self:
        """Train on every window of the series.

        Parameters
        ----------
        series : array-like, Series, DataFrame, list of arrays or SeriesSet
            As in `read_series`.
        callbacks : sequence of callable
            Told of each epoch as ``callback(trainer, event)``.

        Returns
        -------
        self
        """
        self._check_together()
        if self.retrain == "continue":
            raise SettingError("retrain='none' or 'epochs' for a forecaster", "'continue'", "set retrain='epochs'")
        warm = self.warm_start and hasattr(self, "network_")
        with self._learning(fresh=not warm):
            self.seed_ = agreed(resolve_seed(self.random_state))
            past = self._learn_series(series)
            if not warm:
                self._learn_shape(past)
            every, train, valid = self._windows(past)
            if not warm:
                self._learn_floor(train)
            network = self.network_ if warm else self._make_network()
        batch = None if valid is None else valid.thinned(MOST_WINDOWS).whole()
        self.copula_ = np.eye(self.horizon)  # until it is learned, should training be cut short
        self._train_windows(network, train, batch, every, callbacks)
        self._learn_copula(every if valid is None else valid)
        return self

    def _learn_shape(self, past: SeriesSet) -> None:
        self.calendar_: list[str] = list(calendar_parts(past.step)) if self.calendar else []
        room = max(past.lengths) - self.horizon
        if self.lookback is None:
            wanted = max(2 * self.season_, 2 * self.horizon, LEAST_LOOKBACK)
            # A third of the windows' room at least stays for windows to learn from.
            self.lookback_: int = max(1, min(wanted, 2 * room // 3))
        else:
            self.lookback_ = int(self.lookback)
        if room - self.lookback_ + 1 < 2:
            expected = f"a series of {self.lookback_ + self.horizon + 1} values or more"
            mend = "pass longer series, or set a shorter lookback or horizon"
            raise InputError(expected, f"{max(past.lengths)}", mend)

    def _windows(self, past: SeriesSet) -> tuple[Windows, Windows, Windows | None]:
        """Return all windows, those to learn from, and those that early stopping holds out."""
        parts = tuple(self.calendar_)
        every, _ = Windows.of(past, parts, self.lookback_, self.horizon)
        if self.early_stopping is False:
            return every, every, None
        train, valid = Windows.of(past, parts, self.lookback_, self.horizon, self.validation_fraction)
        enough = len(train) > 0 and len(valid) > 0
        if self.early_stopping is True and not enough:
            expected = "windows before and in the part that early_stopping holds out"
            mend = "set early_stopping=False, or a shorter lookback"
            raise InputError(expected, f"{len(train)} and {len(valid)}", mend)
        if self.early_stopping == "auto" and len(train) < max(len(valid), 2):
            return every, every, None
        return every, train, valid

    def _learn_floor(self, windows: Windows) -> None:
        """Windows flatter than a twentieth of the usual one count as that flat."""
        past = windows.thinned(MOST_WINDOWS).whole()["past"]
        self.floor_ = max(1e-3, 0.05 * float(past.var(1, correction=0).mean().sqrt()))

    def _train_windows(
        self, network: nn.Module, train: Windows, valid: Batch | None, every: Windows, callbacks: Sequence[Callback]
    ) -> None:
        first = self._trainer(network, self._batches(train, "main"), valid, callbacks, phase="main")
        self._run(first)
        best = -1 if first.monitor is None else first.monitor.best_epoch
        over = first.finished in ("interrupted", "callback", "max_time") or first.signals.request
        if valid is None or self.retrain == "none" or best < 0 or over:
            return
        # Algorithm 7.2: anew, for as many passes over all windows as the best epoch had seen of its part.
        batches = self._batches(every, "retrain")
        second = self._trainer(self._make_network(), batches, None, callbacks, phase="retrain", epochs=best + 1)
        second.options.max_steps = None  # the epochs that early stopping chose decide
        if self.max_time is not None:
            second.options.max_time = max(0.0, self.max_time - first.elapsed)
        history = first.history
        self._run(second)
        if second.finished != "max_epochs":
            self._keep(first)  # what was begun anew is only half trained
            self.stopped_by_ = second.finished
            return
        self.history_, self.best_epoch_ = history, best
        self.n_epochs_, self.stopped_by_ = len(history), first.finished

    def _batches(self, windows: Windows, phase: str) -> WindowBatches:
        size = min(self.batch_size, len(windows))
        return WindowBatches(windows, batch_size=size, seed=derive(self.seed_, phase, "order"))

    @torch.no_grad()
    def _learn_copula(self, windows: Windows) -> None:
        """Learn how the steps of one forecast hang together: the correlation of their normal scores."""
        batch = windows.thinned(MOST_WINDOWS).whole()
        network: Any = self.network_
        device = next(network.parameters()).device
        names = ("past", "past_calendar", "future_calendar")
        with threads(min(self.n_threads_, cores())):
            parameters = network(*(batch[name].to(device) for name in names)).cpu().double()
        levels = self._distribution(parameters).cdf(batch["targets"].double()).clamp(1e-4, 1 - 1e-4)
        scores = torch.special.ndtri(levels) * batch["observed"]
        if len(scores) < 3 or self.horizon < 2:
            return
        covariance, _ = ledoit_wolf(scores.numpy())
        deviations = np.sqrt(np.diag(covariance))
        if np.isfinite(covariance).all() and (deviations > 0).all():
            self.copula_ = covariance / np.multiply.outer(deviations, deviations)

    # -- what training asks for ----------------------------------------------------------------------------------

    def _build(self) -> nn.Module:
        return ForecastNetwork(
            self.lookback_,
            self.horizon,
            2 * sum(HARMONICS[part] for part in self.calendar_),
            body=self.body,
            width=self.width,
            depth=self._depth(),
            head=self.head,
            quantiles=tuple(self.quantiles),
            location=self.location,
            dropout=self.dropout,
            floor=self.floor_,
        )

    def _depth(self) -> int:
        if self.depth is not None:
            return int(self.depth)
        reach = ceil(log2(max(2.0, 1 + (self.lookback_ - 1) / 4)))
        return {"mlp": 2, "lstm": 1, "tcn": reach}[self.body]

    def _loss(self, network: nn.Module) -> LossFunction:
        return ForecastLoss()

    def _measure(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Score is the negative absolute error in units of the windows' scales."""
        measured = ForecastLoss(metrics=True)(network, batch, torch.Generator())
        return measured.total, -measured.metrics["absolute_error"], torch.as_tensor(measured.count)

    def _encode(self, X: Any, y: Any = None, sample_weight: Any = None, *, reset: bool = False) -> Batch:
        """Return the last window of each series, standardized in double precision."""
        means, deviations = scales_of(X)
        horizon = self.network_settings_["horizon"]
        past, before, after = [], [], []
        for i, values in enumerate(X.values):
            past.append((values[-self.lookback_ :] - means[i]) / deviations[i])
            stamps = X.labels(i, horizon)[-self.lookback_ - horizon :]
            features = calendar_features(stamps, tuple(self.calendar_))
            before.append(features[: self.lookback_])
            after.append(features[self.lookback_ :])
        parts = {"past": past, "past_calendar": before, "future_calendar": after}
        return {name: torch.from_numpy(np.stack(rows)) for name, rows in parts.items()}

    # -- answering -----------------------------------------------------------------------------------------------

    def _forecast(self, past: SeriesSet, horizon: int) -> Distribution:
        known: Mapping[str, Any] = self.network_settings_
        if horizon > known["horizon"]:
            expected = f"a horizon of at most {known['horizon']} steps, as fitted"
            raise InputError(expected, f"{horizon}", f"fit with horizon={horizon}")
        if min(past.lengths) < self.lookback_:
            expected = f"series of {self.lookback_} values or more, which the network reads"
            raise InputError(expected, f"one of {min(past.lengths)}", "pass longer histories")
        means, deviations = (torch.from_numpy(part)[:, None, None] for part in scales_of(past))
        parameters = self._forward(past, double=True)[:, :horizon].double()
        if known["head"] == "quantile":
            return self._distribution(means + deviations * parameters)
        mean, deviation = parameters.split(1, 2)
        return self._distribution(torch.cat([means + deviations * mean, deviations * deviation], 2))

    def _distribution(self, parameters: Tensor) -> Distribution:
        if self.network_settings_["head"] == "quantile":
            return QuantileDistribution(self._head().levels, parameters)
        return Normal(parameters[..., 0], parameters[..., 1])

    def _paths(self, past: SeriesSet, horizon: int, n: int, source: torch.Generator) -> Tensor:
        ahead = self._forecast(past, horizon)
        values, vectors = np.linalg.eigh(self.copula_[:horizon, :horizon])
        root = torch.from_numpy(vectors * np.sqrt(np.clip(values, 0, None)))
        white = torch.randn(n, len(past), horizon, generator=source, dtype=torch.float64)
        levels = torch.special.ndtr(white @ root.T).clamp(1e-9, 1 - 1e-9)
        # In parts: a distribution of quantiles lays its whole table beside every draw.
        return torch.cat([ahead.icdf(part) for part in levels.split(MOST_PATHS)])
