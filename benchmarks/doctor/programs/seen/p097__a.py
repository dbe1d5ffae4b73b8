"""House prices in Ames, logarithm of the price, numeric columns."""
import numpy as np
import torch
from torch import nn
from data import table


def prepare(n=1500):
    df = table("ames").sample(n, random_state=8)
    y = np.log(df.pop("Sale_Price").to_numpy(float))
    x = df.select_dtypes("number").fillna(0).to_numpy(float)
    tr = slice(0, 1100)
    x = (x - x[tr].mean(0)) / (x[tr].std(0) + 1e-9)
    y = (y - y[tr].mean()) / y[tr].std()
    return torch.tensor(x.clip(-5, 5), dtype=torch.float32), torch.tensor(y, dtype=torch.float32).unsqueeze(1)


def build(seed=0):
    torch.manual_seed(seed)
    x, y = prepare()
    net = nn.Sequential(nn.Linear(x.shape[1], 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3, betas=(0.9, 0.999), eps=10)
    return {"network": net, "loss": nn.MSELoss(), "train": (x[:1100], y[:1100]), "valid": (x[1100:], y[1100:]),
            "optimizer": optimizer, "batch_size": 32, "epochs": 15}
