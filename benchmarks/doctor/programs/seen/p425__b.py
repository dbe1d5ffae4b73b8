"""Diabetes, ten baseline variables: how far will it have progressed in a year?"""
import torch
from sklearn.datasets import load_diabetes
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn


class Regressor(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.BatchNorm1d(10), nn.Linear(10, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))

    def forward(self, x):
        return self.net(x).squeeze(-1)


def evaluate(network, valid):
    network.eval()
    with torch.no_grad():
        predicted = network(valid[0]).numpy()
    return r2_score(predicted, valid[1].numpy())


def build(seed=0):
    torch.manual_seed(seed)
    X, y = load_diabetes(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=7)
    scaler = StandardScaler().fit(y_train[:, None])
    tensors = [torch.tensor(a, dtype=torch.float32) for a in (
        X_train, scaler.transform(y_train[:, None])[:, 0], X_test, scaler.transform(y_test[:, None])[:, 0])]
    net = Regressor()
    return {
        "network": net,
        "loss": nn.MSELoss(),
        "train": tuple(tensors[:2]),
        "valid": tuple(tensors[2:]),
        "evaluate": evaluate,
        "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3),
        "batch_size": 32,
        "epochs": 50,
    }
