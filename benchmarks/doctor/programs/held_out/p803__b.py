"""House prices in Ames: numeric columns only, log price, z-scored."""
import numpy as np
import torch
from torch import nn

from data import table


def make_mlp(sizes, drop=0.0):
    layers = []
    for i in range(len(sizes) - 1):
        layers.append(nn.Linear(sizes[i], sizes[i + 1]))
        if i < len(sizes) - 2:
            layers.append(nn.ReLU())
            if drop:
                layers.append(nn.Dropout(drop))
    return nn.Sequential(*layers)


def prepare():
    frame = table("ames").sample(frac=1.0, random_state=4)
    target = np.log10(frame.pop("Sale_Price").to_numpy(float))
    numbers = frame.select_dtypes("number")
    x = numbers.fillna(numbers.iloc[:2200].median()).to_numpy(float)
    mean, std = x[:2200].mean(0), x[:2200].std(0) + 1e-9
    x = np.clip((x - mean) / std, -5, 5)
    y = (target - target[:2200].mean()) / target[:2200].std()
    as_tensor = lambda a: torch.tensor(a, dtype=torch.float32)
    return as_tensor(x), as_tensor(y)[:, None]


def build(seed=0):
    torch.manual_seed(seed)
    x, y = prepare()
    net = make_mlp([x.shape[1], 96, 48, 1], drop=0.1)
    opt = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)
    return dict(network=net, loss=nn.MSELoss(), optimizer=opt, batch_size=32, epochs=25,
                train=(x[:2200], y[:2200]), valid=(x[2200:], y[2200:]))
