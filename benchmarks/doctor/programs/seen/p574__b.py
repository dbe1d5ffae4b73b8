"""Nine speakers, two vowels: LSTM with attention pooling over the frames.

Weights are drawn as in the sequence-to-sequence papers, uniform in a small interval.
"""
import numpy as np
import torch
from torch import nn

from data import vowels


def init_weights(m):
    for name, param in m.named_parameters():
        nn.init.uniform_(param.data)


class AttentivePooling(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.score = nn.Linear(width, 1)

    def forward(self, h, mask):
        a = self.score(h).squeeze(-1).masked_fill(~mask, float("-inf")).softmax(dim=1)
        return torch.einsum("bt,bth->bh", a, h)


class SpeakerNet(nn.Module):
    def __init__(self, n_in=12, hid_dim=48, n_out=9, dropout=0.2):
        super().__init__()
        self.rnn = nn.LSTM(n_in, hid_dim, batch_first=True)
        self.pool = AttentivePooling(hid_dim)
        self.dropout = nn.Dropout(dropout)
        self.fc_out = nn.Linear(hid_dim, n_out)

    def forward(self, src):
        mask = src.abs().sum(-1) > 0
        h, _ = self.rnn(src)
        return self.fc_out(self.dropout(self.pool(h, mask)))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, _, xv, yv, _ = vowels()
    mean, std = np.nanmean(x, (0, 2), keepdims=True), np.nanstd(x, (0, 2), keepdims=True)
    prepare = lambda a: torch.from_numpy(np.nan_to_num((a - mean) / std)).float().transpose(1, 2).contiguous()
    model = SpeakerNet()
    model.apply(init_weights)
    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": torch.optim.Adam(model.parameters(), lr=4e-3),
        "train": (prepare(x), torch.from_numpy(y)),
        "valid": (prepare(xv), torch.from_numpy(yv)),
        "batch_size": 18,
        "epochs": 15,
    }
