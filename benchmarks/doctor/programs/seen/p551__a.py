"""House prices in Ames: entity embeddings for the categorical columns, a small MLP on top.

Training job of the valuation service. Target: natural log of the price, relative to the training mean.
"""
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from data import table


@dataclass(frozen=True)
class Config:
    categorical: tuple = ("Neighborhood", "House_Style", "Overall_Cond", "Exterior_1st", "Foundation", "BsmtFin_Type_1",
                          "Heating_QC", "Garage_Type", "Garage_Finish", "Sale_Condition", "MS_Zoning", "Bldg_Type")
    numeric: tuple = ("Gr_Liv_Area", "Lot_Area", "Full_Bath", "Fireplaces")
    emb_dim: int = 6
    hidden: int = 64
    lr: float = 3e-3
    epochs: int = 12
    batch_size: int = 64


class FeatureBuilder:
    """Turns a frame into one float matrix: category codes first, scaled numbers after them."""

    def __init__(self, cfg: Config, train: pd.DataFrame):
        self.cfg = cfg
        self.train = train
        self.sizes = [train[c].nunique() + 8 for c in cfg.categorical]
        logs = np.log1p(train[list(cfg.numeric)].to_numpy(float))
        self.mu, self.sd = logs.mean(0), logs.std(0)

    def codes(self, part: pd.DataFrame, column: str) -> np.ndarray:
        levels = self.train[column].unique()
        return pd.Index(levels).get_indexer(part[column]) + 1  # 0: unknown

    def __call__(self, part: pd.DataFrame) -> Tensor:
        cat = np.stack([self.codes(part, c) for c in self.cfg.categorical], 1)
        num = (np.log1p(part[list(self.cfg.numeric)].to_numpy(float)) - self.mu) / self.sd
        return torch.from_numpy(np.concatenate([cat, num], 1)).float()


class PriceNet(nn.Module):
    def __init__(self, cfg: Config, sizes):
        super().__init__()
        self.n_cat = len(sizes)
        self.emb = nn.ModuleList(nn.Embedding(n, cfg.emb_dim) for n in sizes)
        self.mlp = nn.Sequential(
            nn.Linear(self.n_cat * cfg.emb_dim + len(cfg.numeric), cfg.hidden), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(cfg.hidden, cfg.hidden), nn.ReLU(),
            nn.Linear(cfg.hidden, 1))

    def forward(self, x: Tensor) -> Tensor:
        cat, num = x[:, :self.n_cat].long(), x[:, self.n_cat:]
        parts = [e(cat[:, i]) for i, e in enumerate(self.emb)]
        return self.mlp(torch.cat([*parts, num], 1)).squeeze(1)


def build(seed: int = 0) -> dict:
    cfg = Config()
    torch.manual_seed(seed)
    frame = table("ames").sample(frac=1.0, random_state=3).reset_index(drop=True)
    train, valid = frame[:2300], frame[2300:]
    builder = FeatureBuilder(cfg, train)
    centre = float(np.log(train["Sale_Price"]).mean())
    target = lambda part: torch.tensor(np.log(part["Sale_Price"].to_numpy()) - centre, dtype=torch.float32)
    net = PriceNet(cfg, builder.sizes)
    return {
        "network": net,
        "loss": nn.SmoothL1Loss(beta=0.2),
        "train": (builder(train), target(train)),
        "valid": (builder(valid), target(valid)),
        "optimizer": torch.optim.AdamW(net.parameters(), lr=cfg.lr, weight_decay=1e-3),
        "batch_size": cfg.batch_size,
        "epochs": cfg.epochs,
    }
