"""Next word of Shakespeare from two words before: embeddings of a thousand words."""
import re
import torch
from torch import nn
from data import shakespeare


class Trigram(nn.Module):
    def __init__(self, vocab, d=24):
        super().__init__()
        self.emb = nn.Embedding(vocab, d)
        self.mix = nn.Linear(2 * d, 48)
        self.out = nn.Linear(48, vocab)

    def forward(self, x):
        return self.out(torch.tanh(self.mix(self.emb(x).flatten(1))))


def build(seed=0):
    torch.manual_seed(seed)
    words = re.findall(r"[a-z']+|[.,;:!?]", shakespeare(200_000).lower())
    count = {}
    for w in words:
        count[w] = count.get(w, 0) + 1
    top = sorted(count, key=count.get, reverse=True)[:999]
    index = {w: i + 1 for i, w in enumerate(top)}
    ids = torch.tensor([index.get(w, 0) for w in words])
    x, y = torch.stack([ids[:-2], ids[1:-1]], 1), ids[2:]
    n = 30_000
    net = Trigram(1000)
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[:n], y[:n]), "valid": (x[n : n + 5000], y[n : n + 5000]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3), "batch_size": 128, "epochs": 3}
