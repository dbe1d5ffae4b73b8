"""Convolutional autoencoder on MNIST, a 16-dimensional code."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from data import mnist

config = {"code": 16, "lr": 2e-3, "batch_size": 50, "epochs": 6}


def make_encoder(code):
    return nn.Sequential(
        nn.Conv2d(1, 8, 4, stride=2, padding=1), nn.LeakyReLU(0.1),
        nn.Conv2d(8, 16, 4, stride=2, padding=1), nn.LeakyReLU(0.1),
        nn.Flatten(),
        nn.Linear(16 * 49, code),
    )


def make_decoder(code):
    return nn.Sequential(
        nn.Linear(code, 16 * 49), nn.LeakyReLU(0.1),
        nn.Unflatten(1, (16, 7, 7)),
        nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1), nn.LeakyReLU(0.1),
        nn.ConvTranspose2d(8, 1, 4, stride=2, padding=1), nn.Sigmoid(),
    )


def build(seed=0):
    torch.manual_seed(seed)
    x, _, xv, _ = mnist(1500, 500)
    x = torch.tensor(x).unsqueeze(1) / 255
    xv = torch.tensor(xv).unsqueeze(1) / 255
    ae = nn.Sequential(make_encoder(config["code"]), make_decoder(config["code"]))
    return {
        "network": ae,
        "loss": nn.BCEWithLogitsLoss(),
        "train": DataLoader(TensorDataset(x, x), batch_size=config["batch_size"], shuffle=True),
        "valid": DataLoader(TensorDataset(xv, xv), batch_size=250),
        "optimizer": torch.optim.Adam(ae.parameters(), lr=config["lr"]),
        "batch_size": config["batch_size"],
        "epochs": config["epochs"],
    }
