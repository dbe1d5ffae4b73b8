"""Ridership at Clark/Lake (Chicago) from the counts at the other stations two weeks before.

Homework 3, question 2b.
"""
import torch
from torch import nn
from data import series

N_TRAIN = 4000
learning_rate = 0.3
num_epochs = 12


class MLP(nn.Module):
    def __init__(self, d_in, d_hidden):
        super().__init__()
        self.layer1 = nn.Linear(d_in, d_hidden)
        self.layer2 = nn.Linear(d_hidden, d_hidden)
        self.layer3 = nn.Linear(d_hidden, d_hidden)
        self.layer4 = nn.Linear(d_hidden, 1)

    def forward(self, x):
        x = torch.relu(self.layer1(x))
        x = torch.relu(self.layer2(x))
        x = torch.relu(self.layer3(x))
        return self.layer4(x)


def build(seed=0):
    torch.manual_seed(seed)
    df = series("chicago_ridership_daily")
    stations = list(df.columns[1:21])
    X = torch.tensor(df[stations].values, dtype=torch.float32)
    y = torch.tensor(df["ridership"].values, dtype=torch.float32).view(-1, 1)
    # standardize with the statistics of the training days
    X = (X - X[:N_TRAIN].mean(dim=0)) / X[:N_TRAIN].std(dim=0)
    y = (y - y[:N_TRAIN].mean()) / y[:N_TRAIN].std()

    model = MLP(len(stations), 64)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    return {"network": model, "loss": nn.MSELoss(), "optimizer": optimizer,
            "train": (X[:N_TRAIN], y[:N_TRAIN]), "valid": (X[N_TRAIN:], y[N_TRAIN:]),
            "batch_size": 50, "epochs": num_epochs}
