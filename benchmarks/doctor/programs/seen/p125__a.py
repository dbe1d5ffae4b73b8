"""Encoder and head on vowel recordings."""
import torch
from torch import nn
from data import table


class Encoder(nn.Module):
    def __init__(self, d_in, d_out):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(d_in, 32), nn.ReLU(), nn.Linear(32, d_out), nn.ReLU())

    def forward(self, x):
        return self.net(x)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder(9, 6)
        self.head = nn.Linear(6, 11)

    def forward(self, x):
        z = self.encoder(x)
        return self.head(z.detach())


def build(seed=0):
    torch.manual_seed(seed)
    df = table("Vowel").sample(frac=1, random_state=0)
    x = torch.tensor(df[[f"V{i}" for i in range(2, 11)]].values, dtype=torch.float32)
    y = torch.tensor(df["Class"].astype("category").cat.codes.values, dtype=torch.long)
    x = (x - x[:700].mean(0)) / x[:700].std(0)
    model = Model()
    return dict(network=model, loss=nn.CrossEntropyLoss(), train=(x[:700], y[:700]), valid=(x[700:], y[700:]),
                optimizer=torch.optim.Adam(model.parameters(), lr=0.01), batch_size=32, epochs=25)
