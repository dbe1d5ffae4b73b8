"""Customers who leave a phone company."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import table


def evaluate(network, valid):
    network.eval()
    x, y = valid
    with torch.no_grad():
        out = network(x)
        predicted = torch.round(torch.sigmoid(out))
    return (predicted == y).float().mean().item()


def build(seed=0):
    torch.manual_seed(seed)
    df = table("mlc_churn").iloc[:3000]
    target = torch.tensor((df["churn"] == "yes").to_numpy(), dtype=torch.float32).unsqueeze(1)
    df = df.assign(plan=df["international_plan"] == "yes", mail=df["voice_mail_plan"] == "yes")
    x = torch.tensor(df.select_dtypes(["number", "bool"]).astype("float32").to_numpy())
    x = (x - x[:2200].mean(0)) / x[:2200].std(0)
    net = nn.Sequential(nn.Linear(x.shape[1], 32), nn.ReLU(), nn.Linear(32, 1))
    return {
        "network": net,
        "loss": F.binary_cross_entropy_with_logits,
        "train": (x[:2200], target[:2200]),
        "valid": (x[2200:], target[2200:]),
        "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3),
        "batch_size": 50,
        "epochs": 8,
        "evaluate": evaluate,
    }
