"""Wine cultivars; keep an untouched copy of the initial network for later comparison."""
import copy
import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from torch import nn


def build(seed=0):
    torch.manual_seed(seed)
    X, y = load_wine(return_X_y=True)
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=60, random_state=2, stratify=y)
    mean, std = Xa.mean(0), Xa.std(0)
    tensor = lambda X, y: (torch.tensor((X - mean) / std, dtype=torch.float32), torch.tensor(y))
    initial = nn.Sequential(nn.Linear(13, 16), nn.Tanh(), nn.Linear(16, 3))
    network = copy.deepcopy(initial)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    return dict(network=network, loss=nn.CrossEntropyLoss(), train=tensor(Xa, ya), valid=tensor(Xb, yb),
                optimizer=optimizer, batch_size=16, epochs=15)
