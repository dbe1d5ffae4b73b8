"""Vowel recognition, 11 classes, log area ratios. Re-implementation of a TF1 model (tf.nn.dropout with keep_prob)."""
import dataclasses

import torch
import torch.nn.functional as F
from torch import nn

from data import table


@dataclasses.dataclass
class Config:
    units: int = 128
    keep_prob: float = 0.9
    learning_rate: float = 3e-3
    batch_size: int = 32
    epochs: int = 60


class VowelModel(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.hidden1 = nn.Linear(10, cfg.units)
        self.hidden2 = nn.Linear(cfg.units, cfg.units)
        self.logits = nn.Linear(cfg.units, 11)
        self.dropout = nn.Dropout(cfg.keep_prob)

    def forward(self, x):
        x = self.dropout(F.relu(self.hidden1(x)))
        x = self.dropout(F.relu(self.hidden2(x)))
        return self.logits(x)


def build(seed=0):
    torch.manual_seed(seed)
    cfg = Config()
    data = table("Vowel").sample(frac=1.0, random_state=0)
    y = torch.tensor(data["Class"].astype("category").cat.codes.to_numpy(), dtype=torch.long)
    x = torch.tensor(data[[f"V{i}" for i in range(1, 11)]].to_numpy(), dtype=torch.float32)
    n = 700
    x = (x - x[:n].mean(0)) / x[:n].std(0)
    model = VowelModel(cfg)
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.learning_rate)
    return {"network": model, "loss": F.cross_entropy, "optimizer": optimizer, "train": (x[:n], y[:n]), "valid": (x[n:], y[n:]),
            "batch_size": cfg.batch_size, "epochs": cfg.epochs}
