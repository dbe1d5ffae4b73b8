"""Convolutional autoencoder for clothes."""
import torch
from torch import nn
from data import fashion


class ConvAE(nn.Module):
    def __init__(self, code=24):
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(1, 8, 4, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(8, 16, 4, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(16 * 49, code),
        )
        self.up = nn.Sequential(
            nn.Linear(code, 16 * 49), nn.ReLU(), nn.Unflatten(1, (16, 7, 7)),
            nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1), nn.ReLU(),
            nn.ConvTranspose2d(8, 1, 4, stride=2, padding=1),
        )

    def forward(self, x):
        return self.up(self.down(x))


def build(seed=0):
    torch.manual_seed(seed)
    x, _, xv, _ = fashion(1500, 400)
    x, xv = (torch.tensor(a).float()[:, None] / 255 for a in (x, xv))
    net = ConvAE()
    return {"network": net, "loss": nn.MSELoss(), "train": (x, x), "valid": (xv, xv),
            "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3), "batch_size": 32, "epochs": 5}
