"""Sparse autoencoder: an overcomplete code for digits, L1 on the activations."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import mnist

BETA = 1e-2


class SparseAutoencoder(nn.Module):
    def __init__(self, n_pixels=196, n_code=256):
        super().__init__()
        self.encoder = nn.Linear(n_pixels, n_code)
        self.decoder = nn.Linear(n_code, n_pixels)
        nn.init.normal_(self.decoder.weight, std=0.05)

    def forward(self, x):
        code = F.relu(self.encoder(x))
        return self.decoder(code), code


def objective(model, batch):
    x, target = batch
    reconstruction, code = model(x)
    error = F.mse_loss(reconstruction, target)
    sparsity = code.abs().sum()
    return error + BETA * sparsity


def load(images):
    x = F.avg_pool2d(torch.as_tensor(images, dtype=torch.float32)[:, None] / 255, 2)
    return x.flatten(1)


def build(seed=0):
    torch.manual_seed(seed)
    x_train, _, x_valid, _ = mnist(3000, 500)
    x_train, x_valid = load(x_train), load(x_valid)
    model = SparseAutoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return {
        "network": model,
        "objective": objective,
        "train": (x_train, x_train),
        "valid": (x_valid, x_valid),
        "optimizer": optimizer,
        "batch_size": 64,
        "epochs": 15,
    }
