"""Denoising autoencoder for the cell segmentation table: 56 measurements a cell, some of them blanked out.

Adapted from the autoencoder I use for binarized MNIST.
"""
import torch
import torch.nn as nn

from data import table


class DenoisingAE(nn.Module):
    def __init__(self, n, hidden=40, code=12, p_blank=0.2):
        super().__init__()
        self.blank = nn.Dropout(p_blank)
        self.enc = nn.Sequential(nn.Linear(n, hidden), nn.ReLU(), nn.Linear(hidden, code))
        self.dec = nn.Sequential(nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, n))

    def forward(self, x):
        return self.dec(self.enc(self.blank(x)))


def get_cells():
    df = table("cells")
    x = torch.tensor(df.drop(columns=["case", "class"]).to_numpy(float), dtype=torch.float32)
    is_train = torch.tensor((df["case"] == "Train").to_numpy())
    mean, std = x[is_train].mean(0), x[is_train].std(0)
    x = ((x - mean) / std).clamp(-4, 4)
    return x[is_train], x[~is_train]


def build(seed=0):
    torch.manual_seed(seed)
    train, test = get_cells()
    net = DenoisingAE(train.shape[1])
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    return {"network": net, "loss": criterion, "optimizer": optimizer, "train": (train, train), "valid": (test, test),
            "batch_size": 32, "epochs": 25}
