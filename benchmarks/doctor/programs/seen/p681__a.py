"""Riders tomorrow as a mixture of normal densities: weekdays, weekends and holidays are different crowds."""
import math

import numpy as np
import torch
from torch import nn

from data import series

K = 4


def mdn_nll(output, target):
    logits, mean, log_sd = output.chunk(3, dim=-1)
    log_sd = log_sd.clamp(-2, 2)
    z = (target - mean) / log_sd.exp()
    log_normal = -0.5 * z**2 - log_sd - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(logits.log_softmax(-1) + log_normal, -1).mean()


def evaluate(network, valid):
    """Nats a day won over one normal density for all days."""
    network.eval()
    x, y = valid
    with torch.no_grad():
        alone = 0.5 * math.log(2 * math.pi * math.e) + float(y.std().log())
        return alone - float(mdn_nll(network(x), y))


def build(seed=0):
    torch.manual_seed(seed)
    frame = series("chicago_ridership_daily")[-2200:]
    riders = frame["ridership"].to_numpy()
    riders = (riders - riders[:1700].mean()) / riders[:1700].std()
    weather = frame[["temp", "wind"]].to_numpy()
    weather = (weather - weather[:1700].mean(0)) / weather[:1700].std(0)
    x = np.stack([np.r_[riders[i - 8 : i], weather[i]] for i in range(8, len(riders))])
    x, y = torch.tensor(x).float(), torch.tensor(riders[8:]).float().unsqueeze(1)
    net = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 3 * K))
    with torch.no_grad():
        net[-1].bias[K : 2 * K] = torch.linspace(-1.5, 1.0, K)
    return {"network": net, "loss": mdn_nll, "train": (x[:1692], y[:1692]), "valid": (x[1692:], y[1692:]),
            "evaluate": evaluate, "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3, weight_decay=1e-3),
            "batch_size": 36, "epochs": 16}
