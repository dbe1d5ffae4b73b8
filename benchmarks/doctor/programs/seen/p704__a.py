"""Splice junctions (donor / acceptor / neither) from 60 bases, cut into twenty words, by a small transformer."""
import torch
from torch import nn
from data import splice


class SpliceFormer(nn.Module):
    """A word is three bases; 20 words make a sequence."""

    def __init__(self, d_model=32, heads=4, layers=2, words=20, classes=3):
        super().__init__()
        self.word = nn.Embedding(64, d_model)
        self.position = nn.Parameter(0.02 * torch.randn(words, d_model))
        layer = nn.TransformerEncoderLayer(d_model, heads, dim_feedforward=64, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers)
        self.classify = nn.Linear(d_model * words, classes)

    def forward(self, x):
        a, b, c = x.unflatten(1, (-1, 3)).unbind(2)
        h = self.encoder(self.word(16 * a + 4 * b + c) + self.position)
        return self.classify(h.flatten(1))


def build(seed=0):
    torch.manual_seed(seed)
    x, y = splice(2000)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    n = 1500
    net = SpliceFormer()
    opt = torch.optim.Adam(net.parameters(), lr=3e-2)
    return dict(network=net, loss=nn.CrossEntropyLoss(), optimizer=opt,
                train=(x[:n], y[:n]), valid=(x[n:], y[n:]), batch_size=32, epochs=5)
