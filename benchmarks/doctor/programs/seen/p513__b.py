"""Spam filter training job: mixed precision where the machine has it, plain floats elsewhere."""
from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor, nn
from torch.amp import GradScaler, autocast

from data import table

log = logging.getLogger("spam")
USE_AMP = False


class SpamFilter(nn.Module):
    def __init__(self, n_features: int, width: int = 64) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(n_features, width),
            nn.LayerNorm(width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(-1)


class AmpStep:
    def __init__(self) -> None:
        self.scaler = GradScaler("cpu", enabled=USE_AMP)
        self.seen = 0

    def __call__(self, network: nn.Module, batch: tuple[Tensor, Tensor], optimizer, loss) -> float:
        features, labels = batch
        optimizer.zero_grad(set_to_none=True)
        with autocast("cpu", dtype=torch.bfloat16, enabled=USE_AMP):
            value = loss(network(features), labels)
        self.scaler.scale(value).backward()
        self.scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        self.scaler.update()
        self.seen += len(labels)
        if self.seen % 10_000 < len(labels):
            log.info("%d rows, loss %.4f", self.seen, value.item())
        return value.item()


def load() -> tuple[Tensor, Tensor]:
    frame = table("Spambase").sample(frac=1.0, random_state=17)
    label = (frame.pop("type") == "spam").to_numpy(np.float32)
    return torch.from_numpy(np.log1p(frame.to_numpy(np.float32))), torch.from_numpy(label)


def build(seed: int = 0) -> dict:
    torch.manual_seed(seed)
    x, y = load()
    n = 3400
    x = (x - x[:n].mean(0)) / (x[:n].std(0) + 1e-6)
    model = SpamFilter(x.shape[1])
    return {
        "network": model,
        "loss": nn.BCEWithLogitsLoss(),
        "train": (x[:n], y[:n]),
        "valid": (x[n:], y[n:]),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02),
        "step": AmpStep(),
        "batch_size": 64,
        "epochs": 8,
    }
