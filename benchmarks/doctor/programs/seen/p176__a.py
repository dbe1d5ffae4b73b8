"""Water in meat: mean and variance by one network, negative log-likelihood."""
import torch
import torch.nn as nn
from data import table


class MeanVariance(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(d, 24), nn.Tanh())
        self.mean, self.raw = nn.Linear(24, 1), nn.Linear(24, 1)

    def forward(self, x):
        h = self.body(x)
        return self.mean(h), nn.functional.softplus(self.raw(h)) + 1e-3


def loss(output, target):
    mean, var = output
    return nn.functional.gaussian_nll_loss(mean, target, var)


def build(seed=0):
    torch.manual_seed(seed)
    df = table("meats").drop_duplicates().sample(frac=1, random_state=9)
    x = torch.tensor(df.filter(like="x_").to_numpy(), dtype=torch.float32)[:, ::3]
    x = (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)
    x = (x - x[:160].mean(0)) / x[:160].std(0)
    y = torch.tensor(df[["water"]].to_numpy(), dtype=torch.float32)
    y = (y - y[:160].mean()) / y[:160].std()
    net = MeanVariance(x.shape[1])
    return {"network": net, "loss": loss, "train": (x[:160], y[:160]), "valid": (x[160:], y[160:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3), "batch_size": 16, "epochs": 40}
