"""Spoken digits: 1-d convolutions over log-mel frames. Takes 0-12 train, takes 13-16 test, three speakers."""
from dataclasses import dataclass

import torch
import torch.nn as nn
from data_dahlia import spoken


@dataclass
class Config:
    channels: int = 48
    bands: int = 20
    dropout: float = 0.3
    batch_size: int = 20
    epochs: int = 15
    lr: float = 2e-3


class SpeechNet(nn.Module):
    def __init__(self, cfg: Config):
        super().__init__()
        c = cfg.channels
        self.convs = nn.ModuleList([
            nn.Conv1d(cfg.bands, c, 5, stride=2, padding=2),
            nn.Conv1d(c, c, 5, stride=2, padding=2),
            nn.Conv1d(c, c, 3, padding=1),
        ])
        self.drop = nn.Dropout(cfg.dropout)
        self.linear = nn.Linear(c, 10)

    def forward(self, x):  # (batch, time, bands)
        x = x.transpose(1, 2)
        for conv in self.convs:
            x = conv(x).relu()
        return self.linear(self.drop(x.amax(-1)))


def build(seed=0):
    cfg = Config()
    torch.manual_seed(seed)
    x, lengths, digit, speaker, take = spoken()
    voiced = x[take < 13].reshape(-1, cfg.bands)
    voiced = voiced[(voiced != 0).any(1)]
    x = (x - voiced.mean(0)) / voiced.std(0)
    for row, n in zip(x, lengths):
        row[n:] = -2.0  # silence
    x, digit = torch.from_numpy(x), torch.from_numpy(digit)
    early = torch.from_numpy(take < 13)
    net = SpeechNet(cfg)
    opt = torch.optim.Adam(net.parameters(), lr=cfg.lr)
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[early], digit[early]),
            "valid": (x[~early], digit[~early]), "optimizer": opt, "batch_size": cfg.batch_size, "epochs": cfg.epochs}
