"""Speed of the LSTM forecaster: training beside torch's own LSTM in a plain loop, windows a second.

Both sides read the same windows of a daily series, bring each to its last value and its own deviation, run an LSTM
over it, spread its last state over the steps ahead, and make mean and deviation of each step by a small network
shared by all steps, with a linear map of the window beside it; both have as many parameters and the same optimizer.
Ratios are Gradus over plain (above 1: Gradus is faster); after the last round both are judged by the absolute error
of their means on held-out windows, in units of each window's deviation.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from racing import Asked, raced, stepping
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.applications.timeseries.networks import ForecastLoss, ForecastNetwork
from gradus.applications.timeseries.series import read_series
from gradus.applications.timeseries.windows import WindowBatches, Windows
from gradus.data.batches import OnDevice
from gradus.networks.transformer import parameter_count
from gradus.training.loop import Trainer
from gradus.training.options import TrainingOptions
from gradus.training.player import Player

__all__ = ["ROWS", "Asked"]

LOOKBACK, HORIZON, WIDTH, FEATURES, BATCH = 56, 28, 64, 16, 64
RATE, DECAY, CLIP, FLOOR = 3e-3, 1e-2, 1.0, 1e-3
TOLERANCE = 0.05


class PlainForecaster(nn.Module):
    """The same network, written out in torch."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, WIDTH, batch_first=True)
        self.spread = nn.Linear(WIDTH, HORIZON * FEATURES)
        self.local = nn.Linear(FEATURES, WIDTH)
        self.linear = nn.Linear(LOOKBACK, HORIZON)
        self.head = nn.Linear(WIDTH + 1, 2)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, past: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return mean and deviation of each step in the window's units, and its location and scale."""
        location, scale = past[:, -1:], (past.var(1, keepdim=True, correction=0) + FLOOR**2).sqrt()
        window = (past - location) / scale
        hidden = self.lstm(window.unsqueeze(2))[0][:, -1]
        features = F.relu(self.local(self.spread(hidden).view(-1, HORIZON, FEATURES)))
        linear = self.linear(window)
        mean, raw = self.head(torch.cat([features, linear.unsqueeze(2)], 2)).unbind(2)
        return mean + linear, F.softplus(raw) + 1e-4, location, scale


def windows(home: Path) -> tuple[Windows, Windows]:
    """Return windows to train on and those that begin later."""
    rides = pd.read_csv(home / "timeseries" / "chicago_ridership_daily.csv.gz")
    values = rides["ridership"].to_numpy()
    return Windows.of(read_series(values / values.std()), (), LOOKBACK, HORIZON, 0.2)


def plain_trainer(network: nn.Module, data: Windows, device: str) -> Callable[[int], None]:
    """Return a function that takes the given number of steps of a loop as one writes it by hand."""
    whole = data.whole()
    past, targets = whole["past"].float().to(device), whole["targets"].float().to(device)
    optimizer = torch.optim.AdamW(network.to(device).train().parameters(), lr=RATE, weight_decay=DECAY)
    waiting: list[Tensor] = []

    def steps(n: int) -> None:
        for _ in range(n):
            if not waiting:
                waiting.extend(torch.randperm(len(past), device=device).split(BATCH))
            index = waiting.pop()
            mean, deviation, location, scale = network(past[index])
            errors = (targets[index] - location) / scale - mean
            loss = (0.5 * (errors / deviation) ** 2 + deviation.log()).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), CLIP)
            optimizer.step()

    return steps


def gradus_trainer(network: nn.Module, data: Windows, asked: Asked) -> Callable[[int], None]:
    """Return a function that lets the loop of the forecaster take the given number of steps."""
    network.to(asked.device)
    options = TrainingOptions(
        optimizer="adamw", learning_rate=RATE, weight_decay=DECAY, gradient_clip=CLIP, max_epochs=1_000_000
    )
    batches = WindowBatches(data, batch_size=BATCH)
    source = OnDevice(batches, torch.device(asked.device)) if asked.cuda else batches
    player = Player("network", network, ForecastLoss(), options)
    trainer = Trainer(network, [player], source, options, n_threads=torch.get_num_threads())

    return stepping(trainer)


def training(asked: Asked) -> dict[str, Any]:
    """Train the LSTM forecaster beside torch's own LSTM in a plain loop."""
    train, valid = windows(Path(os.environ["GRADUS_DATA"]))
    torch.manual_seed(0)
    mine = ForecastNetwork(
        LOOKBACK, HORIZON, body="lstm", width=WIDTH, depth=1, head="gaussian", location="last", floor=FLOOR
    )
    plain = PlainForecaster()
    sizes = {"gradus": parameter_count(mine), "plain": parameter_count(plain)}
    sides = {
        "gradus": gradus_trainer(mine, train, asked),
        "plain": plain_trainer(plain, train, asked.device),
    }
    row = raced(sides, asked, steps=100, warm=10, units=BATCH)
    whole = valid.whole()
    past, targets = (whole[name].float().to(asked.device) for name in ("past", "targets"))
    with torch.inference_mode():
        parameters, location, scale = mine.eval()(past, units=False)
        wanted = (targets - location) / scale
        errors = {"gradus": float((parameters[..., 0] - wanted).abs().mean())}
        errors["plain"] = float((plain.eval()(past)[0] - wanted).abs().mean())
    equal = errors["gradus"] < errors["plain"] + TOLERANCE
    shape = {"lookback": LOOKBACK, "horizon": HORIZON, "width": WIDTH, "batch_size": BATCH, "windows": len(train)}
    return {"shape": shape, "parameters": sizes, "held_out_error": errors, "equal_loss": equal, **row}


ROWS: dict[str, Callable[[Asked], dict[str, Any]]] = {"training": training}
