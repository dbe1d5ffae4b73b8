"""Splice sites with a small transformer encoder."""
import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from data import splice


@dataclass
class Config:
    vocab: int = 4
    length: int = 24
    classes: int = 3
    d_model: int = 32
    heads: int = 4
    layers: int = 2
    dropout: float = 0.05
    lr: float = 3e-2
    batch_size: int = 64
    epochs: int = 7


class SpliceEncoder(nn.Module):
    def __init__(self, cfg: Config):
        super().__init__()
        self.scale = math.sqrt(cfg.d_model)
        self.token = nn.Embedding(cfg.vocab, cfg.d_model)
        self.place = nn.Parameter(0.02 * torch.randn(1, cfg.length, cfg.d_model))
        block = nn.TransformerEncoderLayer(
            cfg.d_model, cfg.heads, 2 * cfg.d_model, cfg.dropout, batch_first=True
        )
        self.blocks = nn.TransformerEncoder(block, cfg.layers, enable_nested_tensor=False)
        self.classify = nn.Linear(cfg.length * cfg.d_model, cfg.classes)

    def forward(self, tokens):
        h = self.token(tokens) + self.scale * self.place
        return self.classify(self.blocks(h).flatten(1))


def build(seed: int = 0, cfg: Config = Config()) -> dict:
    torch.manual_seed(seed)
    x, y = map(torch.from_numpy, splice(2000))
    middle = (60 - cfg.length) // 2
    x = x[:, middle : middle + cfg.length]  # the junction is between letters 30 and 31
    train, valid = TensorDataset(x[:1500], y[:1500]), TensorDataset(x[1500:], y[1500:])
    model = SpliceEncoder(cfg)
    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(),
        "train": DataLoader(train, cfg.batch_size, shuffle=True),
        "valid": DataLoader(valid, 250),
        "optimizer": torch.optim.Adam(model.parameters(), lr=cfg.lr, betas=(0.9, 0.98)),
        "batch_size": cfg.batch_size,
        "epochs": cfg.epochs,
    }
