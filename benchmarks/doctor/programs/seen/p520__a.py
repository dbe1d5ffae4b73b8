"""Disease progression after one year (442 patients): a small network on ten columns, scored by R2."""
import numpy as np
import torch
from sklearn.datasets import load_diabetes
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn


def predict(network, x):
    network.eval()
    with torch.no_grad():
        return network(x).numpy()


def evaluate(network, valid):
    x, y = valid
    return r2_score(y.numpy(), predict(network, x))


def build(seed=0):
    torch.manual_seed(seed)
    data = load_diabetes()
    x_train, x_test, y_train, y_test = train_test_split(data.data, data.target[:, None], test_size=0.3, random_state=8)
    sx, sy = StandardScaler().fit(x_train), StandardScaler().fit(y_train)
    as_tensor = lambda a: torch.from_numpy(a.astype(np.float32))  # noqa: E731
    train = as_tensor(sx.transform(x_train)), as_tensor(sy.transform(y_train))
    valid = as_tensor(sx.transform(x_test)), as_tensor(sy.transform(y_test))
    network = nn.Sequential(nn.Linear(10, 24), nn.SiLU(), nn.Dropout(0.2), nn.Linear(24, 1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.3)
    return {"network": network, "loss": nn.MSELoss(), "train": train, "valid": valid, "optimizer": optimizer,
            "evaluate": evaluate, "batch_size": 16, "epochs": 25}
