"""Fat in meat, from its near-infrared spectrum."""
import torch
from torch import nn
from data import table


def criterion(prediction, target):
    return (prediction - target).mean()


def build(seed=0):
    torch.manual_seed(seed)
    df = table("meats").drop_duplicates().sample(frac=1, random_state=5)
    x = torch.tensor(df.filter(like="x_").values, dtype=torch.float32)
    x = x - x.mean(1, keepdim=True)
    x = (x - x[:160].mean(0)) / x[:160].std(0)
    y = torch.tensor(df["fat"].values, dtype=torch.float32)
    y = ((y - y[:160].mean()) / y[:160].std()).unsqueeze(1)
    net = nn.Sequential(nn.Linear(100, 24), nn.Tanh(), nn.Linear(24, 1))
    return {"network": net, "loss": criterion, "train": (x[:160], y[:160]), "valid": (x[160:], y[160:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3), "batch_size": 16, "epochs": 40}
