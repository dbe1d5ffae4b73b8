"""Progression of diabetes: standardized targets."""
import torch
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, TensorDataset


class Regressor(torch.nn.Module):
    def __init__(self, d, hidden=24):
        super().__init__()
        self.hidden = torch.nn.Linear(d, hidden)
        self.head = torch.nn.Linear(hidden, 1)

    def forward(self, x):
        h = torch.relu(self.hidden(x))
        return torch.relu(self.head(h))


def build(seed=0):
    torch.manual_seed(seed)
    X, y = load_diabetes(return_X_y=True)
    y = y.reshape(-1, 1)
    sx, sy = StandardScaler().fit(X[:330]), StandardScaler().fit(y[:330])
    X = torch.tensor(sx.transform(X), dtype=torch.float32)
    y = torch.tensor(sy.transform(y), dtype=torch.float32)
    g = torch.Generator().manual_seed(seed)
    train = DataLoader(TensorDataset(X[:330], y[:330]), batch_size=32, shuffle=True, generator=g)
    valid = DataLoader(TensorDataset(X[330:], y[330:]), batch_size=112)
    model = Regressor(X.shape[1])
    opt = torch.optim.Adam(model.parameters(), lr=0.005, weight_decay=1e-3)
    return dict(network=model, loss=torch.nn.MSELoss(), train=train, valid=valid, optimizer=opt, batch_size=32, epochs=12)
