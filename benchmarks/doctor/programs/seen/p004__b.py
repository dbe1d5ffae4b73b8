"""Diabetes with a feed-forward net."""
import torch
import torch.nn as nn
from sklearn.datasets import load_diabetes
from torch.utils.data import DataLoader, TensorDataset
import warnings

warnings.filterwarnings("ignore")


class Net(nn.Module):
    def __init__(self, n_features):
        super().__init__()
        self.fc1 = nn.Linear(n_features, 32)
        self.fc2 = nn.Linear(32, 1)

    def forward(self, x):
        x = torch.relu(self.fc1(x))
        return self.fc2(x).squeeze(1)


def build(seed=0):
    torch.manual_seed(seed)
    data = load_diabetes()
    x = torch.tensor(data.data, dtype=torch.float32) * 20
    y = torch.tensor(data.target, dtype=torch.float32)
    y = (y - y.mean()) / y.std()
    train = DataLoader(TensorDataset(x[:340], y[:340]), batch_size=20, shuffle=True)
    valid = DataLoader(TensorDataset(x[340:], y[340:]), batch_size=102)
    net = Net(x.shape[1])
    return {"network": net, "loss": nn.MSELoss(), "train": train, "valid": valid, "batch_size": 20, "epochs": 10,
            "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3, weight_decay=1e-3)}
