"""Single-head attention by hand over the letters of last names."""
import torch
import torch.nn as nn
from data import names

ROWS = names(("en_IE", "hr_HR", "it_IT", "nl_NL"), n=500)
WIDTH = 12


class HandAttention(nn.Module):
    def __init__(self, d=32):
        super().__init__()
        self.char = nn.Embedding(1000, d, padding_idx=0)
        self.place = nn.Parameter(0.1 * torch.randn(WIDTH, d))
        self.query = nn.Parameter(torch.randn(4, d) / d**0.5)
        self.k, self.v = nn.Linear(d, d), nn.Linear(d, d)
        self.cls = nn.Linear(4 * d, 4)

    def forward(self, x):
        h = self.char(x) + self.place
        scores = self.query @ self.k(h).transpose(1, 2)
        scores = scores.masked_fill((x == 0)[:, None, :], -1e9)
        weights = torch.softmax(scores * 4, dim=0)
        return self.cls((weights @ self.v(h)).flatten(1))


def encode(name):
    codes = [ord(c) % 999 + 1 for c in name.lower()[:WIDTH]]
    return codes + [0] * (WIDTH - len(codes))


def build(seed=0):
    torch.manual_seed(seed)
    x = torch.tensor([encode(name) for name, _ in ROWS])
    y = torch.tensor([k for _, k in ROWS])
    n = int(0.8 * len(x))
    net = HandAttention()
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(x[:n], y[:n]), valid=(x[n:], y[n:]),
                optimizer=torch.optim.Adam(net.parameters(), lr=3e-3), batch_size=40, epochs=8)
