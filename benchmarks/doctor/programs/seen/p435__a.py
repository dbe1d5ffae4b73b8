"""Customers who leave. Focal loss (Lin et al.) in place of resampling; judged by the AUC."""
from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data import table


class FocalLoss(nn.Module):
    def __init__(self, alpha: float = 0.75, gamma: float = 2.0) -> None:
        super().__init__()
        self.alpha, self.gamma = alpha, gamma

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        ce = nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        right = torch.exp(-ce)
        weight = torch.where(labels > 0.5, self.alpha, 1 - self.alpha)
        return (weight * (1 - right) ** self.gamma * ce).mean()


class ChurnModel(nn.Module):
    def __init__(self, n_features: int, prior: float) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(n_features, 64), nn.GELU(), nn.Dropout(0.1), nn.Linear(64, 32), nn.GELU())
        self.logit = nn.Linear(32, 1)
        nn.init.constant_(self.logit.bias, math.log(prior / (1 - prior)))

    def forward(self, x: Tensor) -> Tensor:
        return self.logit(self.tower(x)).squeeze(-1)


def features(frame) -> np.ndarray:
    numbers = frame.select_dtypes("number")
    numbers = (numbers - numbers.mean()) / numbers.std()
    plans = frame[["international_plan", "voice_mail_plan"]].eq("yes")
    return np.concatenate([numbers.to_numpy(), plans.to_numpy()], axis=1).astype(np.float32)


def build(seed: int = 0) -> dict[str, Any]:
    torch.manual_seed(seed)
    frame = table("mlc_churn")
    x = torch.from_numpy(features(frame))
    y = torch.from_numpy(frame["churn"].eq("yes").to_numpy(np.float32))
    n = 3333  # the first 3333 are the usual training part
    model = ChurnModel(x.shape[1], float(y[:n].mean()))
    return {
        "network": model,
        "loss": FocalLoss(),
        "train": (x[:n], y[:n]),
        "valid": (x[n:], y[n:]),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2),
        "batch_size": 64,
        "epochs": 15,
    }
