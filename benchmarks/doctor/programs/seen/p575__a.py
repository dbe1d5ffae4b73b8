"""Shape of the week: an autoencoder for windows of fourteen days of Chicago ridership at one station.

Each window is centred by its own mean, so that the network learns the pattern and not the level.
"""
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from data import series


class Windows(Dataset):
    def __init__(self, values, length=14):
        self.values = values
        self.length = length

    def __len__(self):
        return len(self.values) - self.length

    def __getitem__(self, i):
        window = self.values[i : i + self.length].copy()
        window -= window.mean()
        x = torch.from_numpy(window)
        return x, x


class Autoencoder(nn.Module):
    def __init__(self, length=14, code=3):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(length, 32), nn.GELU(), nn.Linear(32, code))
        self.decoder = nn.Sequential(nn.Linear(code, 32), nn.GELU(), nn.Linear(32, length))

    def forward(self, x):
        return self.decoder(self.encoder(x))


def build(seed=0):
    torch.manual_seed(seed)
    values = series("chicago_ridership_daily")["Polk"].to_numpy(np.float32)
    values = (values - values[:4000].mean()) / values[:4000].std()
    train, valid = values[:4000].copy(), values[4000:].copy()
    model = Autoencoder()
    return {
        "network": model,
        "loss": nn.L1Loss(),
        "optimizer": torch.optim.Adam(model.parameters(), lr=3e-3),
        "train": DataLoader(Windows(train), batch_size=64, shuffle=True),
        "valid": DataLoader(Windows(valid), batch_size=500),
        "batch_size": 64,
        "epochs": 10,
    }
