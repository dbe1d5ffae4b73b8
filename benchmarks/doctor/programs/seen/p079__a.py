"""Four properties of how a word is spoken, from its pairs of letters."""
import torch
import torch.nn as nn
from data import pronunciations

VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")


def properties(phones):
    vowels = [p for p in phones if p in VOWELS]
    return [phones[-1] in VOWELS, phones[0] in VOWELS, len(vowels) > 2, "S" in phones or "Z" in phones]


class BagOfPairs(nn.Module):
    def __init__(self, d=32):
        super().__init__()
        self.bag = nn.EmbeddingBag(28 * 28, d, mode="sum")
        self.out = nn.Sequential(nn.ReLU(), nn.Linear(d, 4))

    def forward(self, x):
        return self.out(self.bag(x))


def build(seed=0):
    torch.manual_seed(seed)
    rows = pronunciations(5000, seed=9)
    x = torch.full((len(rows), 12), 27 * 28 + 27)
    for i, (word, _) in enumerate(rows):
        codes = [0] + [ord(c) - 96 for c in word] + [0]
        pairs = [a * 28 + b for a, b in zip(codes, codes[1:])]
        x[i, : len(pairs)] = torch.tensor(pairs)
    y = torch.tensor([properties(p) for _, p in rows]).float()
    net = BagOfPairs()
    loss = nn.BCEWithLogitsLoss()
    return {"network": net, "loss": loss, "train": (x[:4000], y[:4000]), "valid": (x[4000:], y[4000:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=5e-3), "batch_size": 64, "epochs": 6}
