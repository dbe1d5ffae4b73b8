"""Tomorrow's entries at Clark/Lake from the last two weeks: GRU forecaster."""
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from data import series


@dataclass
class Config:
    window: int = 14
    hidden: int = 32
    lr: float = 5e-3
    epochs: int = 14
    batch: int = 64
    station: str = "Clark_Lake"


class Forecaster(nn.Module):
    def __init__(self, cfg: Config):
        super().__init__()
        self.gru = nn.GRU(input_size=2, hidden_size=cfg.hidden, batch_first=True)
        self.head = nn.Sequential(nn.Linear(cfg.hidden, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.gru(x)
        demand = self.head(out[:, -1])
        return demand.squeeze(1)


def windows(values: np.ndarray, extra: np.ndarray, size: int):
    xs = np.stack([np.stack([values[i : i + size], extra[i + 1 : i + size + 1]], 1) for i in range(len(values) - size)])
    return torch.tensor(xs, dtype=torch.float32), torch.tensor(values[size:], dtype=torch.float32)


def build(seed: int = 0) -> dict:
    torch.manual_seed(seed)
    cfg = Config()
    frame = series("chicago_ridership_daily").iloc[-2400:]
    raw = frame[cfg.station].to_numpy()
    weekend = (np.arange(len(raw)) + 3) % 7 / 3 - 1
    n = 1900
    z = (raw - raw[:n].mean()) / raw[:n].std()
    x, y = windows(z, weekend, cfg.window)
    net = Forecaster(cfg)
    return {
        "network": net,
        "loss": nn.MSELoss(),
        "train": (x[:n], y[:n]),
        "valid": (x[n:], y[n:]),
        "optimizer": torch.optim.Adam(net.parameters(), lr=cfg.lr),
        "batch_size": cfg.batch,
        "epochs": cfg.epochs,
    }
