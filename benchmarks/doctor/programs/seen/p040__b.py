"""Water and protein in meat from its spectrum, weights initialized by a function."""
import torch
import torch.nn as nn
from data import table


def init(m):
    if isinstance(m, nn.Linear):
        nn.init.constant_(m.weight, 0.05)
        nn.init.zeros_(m.bias)


def build(seed=0):
    torch.manual_seed(seed)
    df = table("meats").drop_duplicates().sample(frac=1, random_state=2)
    x = torch.tensor(df[[f"x_{i:03d}" for i in range(1, 101, 4)]].to_numpy(), dtype=torch.float32)
    x = (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)
    x = (x - x[:160].mean(0)) / x[:160].std(0)
    y = torch.tensor(df[["water", "protein"]].to_numpy(), dtype=torch.float32)
    y = (y - y[:160].mean(0)) / y[:160].std(0)
    net = nn.Sequential(nn.Linear(25, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 2))
    net.apply(init)
    return {"network": net, "loss": nn.MSELoss(), "train": (x[:160], y[:160]), "valid": (x[160:], y[160:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=0.003), "batch_size": 16, "epochs": 80}
