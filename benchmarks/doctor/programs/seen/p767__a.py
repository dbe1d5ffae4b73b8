"""In which language is this article? Character trigrams hashed into an EmbeddingBag (fastText style)."""
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from data_dahlia import paragraphs

LANGUAGES = ("eng", "fra", "spa", "por", "ita", "deu", "nld", "swe", "dan", "ron")
BUCKETS = 2000
MOST = 80


def bucket(gram):
    value = 2166136261
    for ch in gram:
        value = ((value ^ ord(ch)) * 16777619) & 0xFFFFFFFF
    return value % (BUCKETS - 1) + 1


class Paragraphs(Dataset):
    def __init__(self, rows):
        self.items = [([bucket(t[i : i + 3]) for i in range(min(len(t) - 2, MOST))], k) for t, k in rows]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        grams, k = self.items[i]
        return torch.tensor(grams + [0] * (MOST - len(grams))), torch.tensor(k)


class FastText(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.bag = nn.EmbeddingBag(BUCKETS, width, mode="mean", padding_idx=0)
        self.linear = nn.Linear(width, len(LANGUAGES))

    def forward(self, grams):
        return self.linear(self.bag(grams))


def build(seed=0):
    torch.manual_seed(seed)
    rows = [(f" {t.lower()} ", k, s) for t, k, s in paragraphs(LANGUAGES) if len(t) > 20]
    train = Paragraphs([(t, k) for t, k, s in rows if s % 4])
    valid = Paragraphs([(t, k) for t, k, s in rows if s % 4 == 0])
    model = FastText()
    optimizer = torch.optim.SGD(model.parameters(), lr=10.0)
    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(),
        "train": DataLoader(train, batch_size=16, shuffle=True),
        "valid": DataLoader(valid, batch_size=64),
        "optimizer": optimizer,
        "batch_size": 16,
        "epochs": 20,
    }
