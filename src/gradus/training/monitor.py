"""Early stopping: which epoch was best, its weights, and how long since."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from gradus.training.options import TrainingOptions

__all__ = ["Monitor", "snapshot"]


def snapshot(network: nn.Module) -> dict[str, Tensor]:
    """Return copies of a network's parameters and buffers, by name."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


class Monitor:
    """Remember the best epoch by one validation value and say when patience is over.

    Parameters
    ----------
    options : TrainingOptions
        ``monitor`` (a loss to lower or a score to raise), ``patience`` and ``min_improvement`` are read.

    References
    ----------
    Goodfellow et al. 2016, §7.8, algorithm 7.1.
    """

    def __init__(self, options: TrainingOptions) -> None:
        self.key = f"valid_{options.monitor}"
        self.sign = -1.0 if options.monitor == "loss" else 1.0
        self.patience, self.least = options.patience, options.min_improvement
        self.best, self.best_epoch, self.waited = -math.inf, -1, 0
        self.weights: dict[str, Tensor] | None = None

    def step(self, row: dict[str, Any], network: nn.Module) -> bool:
        """Take in an epoch's row; return True when training should stop."""
        value = self.sign * row[self.key]
        if value > self.best + (self.least if math.isfinite(self.best) else 0.0):
            self.best, self.best_epoch, self.waited = value, row["epoch"], 0
            self.weights = snapshot(network)
        else:
            self.waited += 1
        return self.waited >= self.patience

    @torch.no_grad()
    def restore(self, network: nn.Module) -> None:
        """Put the best weights back, if any epoch was seen."""
        if self.weights is not None:
            network.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the memory, weights included."""
        return {
            "best": self.best,
            "best_epoch": self.best_epoch,
            "waited": self.waited,
            "weights": self.weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put a saved memory back."""
        self.best, self.best_epoch, self.waited = state["best"], state["best_epoch"], state["waited"]
        self.weights = state["weights"]
