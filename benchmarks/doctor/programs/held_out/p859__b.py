"""Autoencoder for the 8x8 digits, 8 numbers in the middle, weight normalization in all dense layers."""
import torch
import torch.nn as nn
from torch.nn.utils.parametrizations import weight_norm
from data_cedar import small_digits

CODE = 8


class AutoEncoder(nn.Module):
    def __init__(self, d=64, h=128, code=CODE):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(d, h), nn.GELU(), nn.Linear(h, h), nn.GELU(), nn.Linear(h, code))
        self.dec = nn.Sequential(nn.Linear(code, h), nn.GELU(), nn.Linear(h, h), nn.GELU(), nn.Linear(h, d))

    def forward(self, x):
        return self.dec(self.enc(x))


def normalize_weights(net):
    for m in list(net.modules()):
        if isinstance(m, nn.Linear):
            weight_norm(m)


def train_step(network, batch, optimizer, loss):
    pixels, target = batch
    optimizer.zero_grad()
    err = loss(network(pixels), target)
    err.backward()
    optimizer.step()


def build(seed=0):
    torch.manual_seed(seed)
    x, _, x_test, _ = small_digits()
    x = torch.from_numpy(x).float().reshape(-1, 64) / 16
    x_test = torch.from_numpy(x_test).float().reshape(-1, 64) / 16

    ae = AutoEncoder()
    adam = torch.optim.Adam(ae.parameters(), lr=2e-3)
    normalize_weights(ae)
    return {"network": ae, "loss": nn.MSELoss(), "train": (x, x), "valid": (x_test, x_test),
            "optimizer": adam, "batch_size": 64, "epochs": 25, "step": train_step}
