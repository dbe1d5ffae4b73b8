"""Next-note prediction with a GRU, chorales of Bach: the soprano's next note."""
import torch
from torch import nn
from data import chorales

L = 32


class NextNote(nn.Module):
    def __init__(self, notes, d=16, h=32):
        super().__init__()
        self.emb = nn.Embedding(notes, d)
        self.gru = nn.GRU(d, h, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * h, notes)

    def forward(self, x):
        states, _ = self.gru(self.emb(x))
        return self.out(states).transpose(1, 2)


def build(seed=0):
    torch.manual_seed(seed)
    soprano = chorales(24_000)[::2, 0]
    pitches = sorted(set(soprano.tolist()))
    ids = torch.tensor([pitches.index(p) for p in soprano.tolist()])
    n = (len(ids) - 1) // L
    x, y = ids[: n * L].view(n, L), ids[1 : n * L + 1].view(n, L)
    cut = int(0.85 * n)
    net = NextNote(len(pitches))
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[:cut], y[:cut]), "valid": (x[cut:], y[cut:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=5e-3), "batch_size": 16, "epochs": 10}
