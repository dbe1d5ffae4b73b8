"""Spectra of meat through a narrow code and back; encoder and decoder have an optimizer each."""
import numpy as np
import torch
import torch.nn as nn
from data import table


class Coder(nn.Module):
    def __init__(self, wide, narrow):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(wide, 48), nn.Tanh(), nn.Linear(48, narrow))
        self.dec = nn.Sequential(nn.Linear(narrow, 48), nn.Tanh(), nn.Linear(48, wide))

    def forward(self, x):
        return self.dec(self.enc(x))


def spectra():
    rows = table("meats").filter(like="x_").drop_duplicates().to_numpy(np.float32)
    rows = rows[np.random.RandomState(11).permutation(len(rows))]
    rows = rows - rows.mean(axis=1, keepdims=True)
    return torch.from_numpy(rows / rows[:150].std())


def build(seed=0):
    torch.manual_seed(seed)
    X = spectra()
    model = Coder(X.shape[1], 4)
    enc_opt = torch.optim.Adam(model.enc.parameters(), lr=2e-3)
    dec_opt = torch.optim.Adam(model.dec.parameters(), lr=2e-3)

    def train_step(network, batch, optimizer, criterion):
        x, target = batch
        optimizer.zero_grad()
        dec_opt.zero_grad()
        criterion(network(x), target).backward()
        optimizer.step()
        dec_opt.step()

    return dict(network=model, loss=nn.MSELoss(), train=(X[:150], X[:150]), valid=(X[150:], X[150:]),
                optimizer=enc_opt, batch_size=10, epochs=50, step=train_step)
