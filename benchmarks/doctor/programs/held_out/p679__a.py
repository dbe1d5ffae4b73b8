"""Customers who leave. Rare, so a sampler draws them more often; evaluated on the true mix."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from data import table


def features(frame):
    plans = frame[["international_plan", "voice_mail_plan"]].eq("yes").astype(float)
    numbers = frame.select_dtypes("number")
    return torch.tensor(numbers.join(plans).to_numpy()).float()


class Block(nn.Sequential):
    def __init__(self, n_in, n_out, p=0.5):
        super().__init__(nn.Linear(n_in, n_out), nn.GELU(), nn.Dropout(p))


def build(seed=0):
    torch.manual_seed(seed)
    frame = table("mlc_churn").sample(frac=1.0, random_state=12)
    x, y = features(frame), torch.tensor(frame["churn"].eq("yes").to_numpy()).float()
    cut = 3600
    mean, std = x[:cut].mean(0), x[:cut].std(0)
    x = (x - mean) / std
    share = y[:cut].mean()
    weight = torch.where(y[:cut] > 0, 0.5 / share, 0.5 / (1 - share))
    sampler = WeightedRandomSampler(weight.double(), num_samples=2400, replacement=True)
    net = nn.Sequential(Block(x.shape[1], 128), Block(128, 64), nn.Linear(64, 1), nn.Flatten(0))
    return {"network": net, "loss": nn.BCEWithLogitsLoss(),
            "train": DataLoader(TensorDataset(x[:cut], y[:cut]), batch_size=60, sampler=sampler),
            "valid": DataLoader(TensorDataset(x[cut:], y[cut:]), batch_size=200),
            "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3), "batch_size": 60, "epochs": 15}
