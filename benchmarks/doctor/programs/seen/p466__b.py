"""Daily ridership of a Chicago station: GRU over the last two weeks, one day ahead."""
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from data import series


class WindowDataset(Dataset):
    """Sliding windows; the work space is allocated once, since __getitem__ is called very often."""

    def __init__(self, values: np.ndarray, window: int = 14):
        self.values = values
        self.window = window
        self.buffer = np.empty((window, 2), dtype=np.float32)

    def __len__(self):
        return len(self.values) - self.window

    def __getitem__(self, i):
        piece = self.values[i : i + self.window]
        self.buffer[:, 0] = piece
        self.buffer[0, 1] = 0.0
        np.subtract(piece[1:], piece[:-1], out=self.buffer[1:, 1])
        target = self.values[i + self.window]
        return torch.from_numpy(self.buffer), torch.tensor([target])


class Forecaster(nn.Module):
    def __init__(self, hidden: int = 32):
        super().__init__()
        self.gru = nn.GRU(2, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        out, _ = self.gru(x)
        return self.head(out[:, -1])


def build(seed: int = 0):
    torch.manual_seed(seed)
    values = series("chicago_ridership_daily")["ridership"].to_numpy(dtype=np.float32)
    train, valid = values[:4000], values[4000:]
    mean, std = train.mean(), train.std()
    train, valid = (train - mean) / std, (valid - mean) / std
    net = Forecaster()
    return dict(
        network=net,
        loss=nn.MSELoss(),
        train=DataLoader(WindowDataset(train), batch_size=32, shuffle=True),
        valid=DataLoader(WindowDataset(valid), batch_size=64),
        optimizer=torch.optim.Adam(net.parameters(), lr=3e-3),
        batch_size=32,
        epochs=8,
    )
