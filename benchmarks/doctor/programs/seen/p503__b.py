"""Convolutional autoencoder for Fashion-MNIST, 24 numbers a picture."""
import torch
import torch.nn as nn
from data import fashion

transform = lambda a: (torch.tensor(a).unsqueeze(1).float() / 255 - 0.5) / 0.5  # noqa: E731


class Encoder(nn.Sequential):
    def __init__(self, code):
        super().__init__(
            nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(True),
            nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(True),
            nn.Flatten(), nn.Linear(16 * 7 * 7, code))


class Decoder(nn.Sequential):
    def __init__(self, code):
        super().__init__(
            nn.Linear(code, 16 * 7 * 7), nn.ReLU(True), nn.Unflatten(1, (16, 7, 7)),
            nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1), nn.ReLU(True),
            nn.ConvTranspose2d(8, 1, 4, stride=2, padding=1), nn.Sigmoid())


class AutoEncoder(nn.Module):
    def __init__(self, code=24):
        super().__init__()
        self.encoder = Encoder(code)
        self.decoder = Decoder(code)

    def forward(self, x):
        return self.decoder(self.encoder(x))


def build(seed=0):
    torch.manual_seed(seed)
    x, _, xv, _ = fashion(2000, 500)
    x, xv = transform(x), transform(xv)
    ae = AutoEncoder()
    return {"network": ae, "loss": nn.MSELoss(), "train": (x, x), "valid": (xv, xv),
            "optimizer": torch.optim.Adam(ae.parameters(), lr=2e-3), "batch_size": 64, "epochs": 5}
