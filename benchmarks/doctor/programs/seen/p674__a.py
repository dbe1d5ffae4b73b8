"""Letters to phonemes without an aligner: a convolutional net and CTC over two steps a letter."""
import torch
from torch import nn
from torch.nn import functional as F
from data import pronunciations

LONGEST = 10


class Reader(nn.Module):
    def __init__(self, n_phones, dim=64):
        super().__init__()
        self.letters = nn.Embedding(27, dim, padding_idx=0)
        self.wide = nn.Conv1d(dim, dim, 5, padding=2)
        self.deep = nn.Conv1d(dim, dim, 3, padding=1)
        self.twice = nn.ConvTranspose1d(dim, dim, 2, stride=2)
        self.out = nn.Conv1d(dim, n_phones + 1, 1)

    def forward(self, ids):
        h = F.relu(self.wide(self.letters(ids).transpose(1, 2)))
        h = h + F.relu(self.deep(h))
        return self.out(F.relu(self.twice(h))).permute(2, 0, 1).log_softmax(-1)  # (steps, batch, phonemes and blank)


def ctc(log_probs, packed):
    steps, phones, n_phones = packed[:, 0], packed[:, 2:], packed[:, 1]
    return F.ctc_loss(log_probs, phones, steps, n_phones, blank=0, zero_infinity=True)


def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def evaluate(network, valid):
    """Minus the rate of amiss phonemes, read greedily."""
    network.eval()
    x, packed = valid
    with torch.no_grad():
        best = network(x).argmax(-1).T
    amiss = total = 0
    for path, row in zip(best.tolist(), packed.tolist()):
        path = path[: row[0]]
        read = [p for p, last in zip(path, [0] + path) if p != last and p != 0]
        amiss += distance(read, row[2 : 2 + row[1]])
        total += row[1]
    return -amiss / total


def build(seed=0):
    torch.manual_seed(seed)
    words = [(w, ps) for w, ps in pronunciations(3200, seed=8) if len(ps) <= LONGEST]
    phones = sorted({p for _, ps in words for p in ps})
    x = torch.zeros(len(words), LONGEST, dtype=torch.long)
    packed = torch.zeros(len(words), 2 + LONGEST, dtype=torch.long)
    for i, (w, ps) in enumerate(words):
        x[i, : len(w)] = torch.tensor([ord(c) - 96 for c in w])
        packed[i, :2] = torch.tensor([2 * len(w), len(ps)])
        packed[i, 2 : 2 + len(ps)] = torch.tensor([phones.index(p) + 1 for p in ps])
    n = len(x) - 500
    net = Reader(len(phones))
    return {"network": net, "loss": ctc, "train": (x[:n], packed[:n]), "valid": (x[n:], packed[n:]),
            "evaluate": evaluate, "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3), "batch_size": 50, "epochs": 10}
