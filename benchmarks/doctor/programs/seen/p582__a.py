"""Character model of Shakespeare with tied weights: the embedding is the output layer as well."""
import torch
from torch import nn

from data import shakespeare

T = 40


class TiedGRU(nn.Module):
    def __init__(self, vocab, width=64):
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, vocab)
        self.out.weight = self.embed.weight
        nn.init.normal_(self.embed.weight, std=0.1)

    def forward(self, x):
        return self.out(self.gru(self.embed(x))[0])


def build(seed=0):
    torch.manual_seed(seed)
    text = shakespeare(60_000)
    stoi = {c: i for i, c in enumerate(sorted(set(text)))}
    ids = torch.tensor([stoi[c] for c in text])
    n = (len(ids) - 1) // T
    x, y = ids[: n * T].view(n, T), ids[1 : n * T + 1].view(n, T)
    cut = int(0.9 * n)
    net = TiedGRU(len(stoi))
    return {
        "network": net,
        "loss": lambda out, target: nn.functional.cross_entropy(out.flatten(0, 1), target.flatten()),
        "optimizer": torch.optim.Adam(net.parameters(), lr=4e-3),
        "train": (x[:cut], y[:cut]),
        "valid": (x[cut:], y[cut:]),
        "batch_size": 32,
        "epochs": 6,
    }
