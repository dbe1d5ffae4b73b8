"""Which language does a family name come from? Letters as indices, zero padded, embedding + LSTM."""
import torch
from torch import nn
from data import names

LOCALES = ("it_IT", "es_ES", "hr_HR", "nl_NL")
MAX_LEN = 32


class Vocabulary:
    def __init__(self, words):
        self.index = {c: i + 1 for i, c in enumerate(sorted({c for w in words for c in w.lower()}))}

    def __len__(self):
        return len(self.index) + 1

    def encode(self, word):
        ids = [self.index[c] for c in word.lower()][:MAX_LEN]
        return ids + [0] * (MAX_LEN - len(ids))


class NameClassifier(nn.Module):
    def __init__(self, vocab_size, n_classes, emb=16, hidden=40):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, emb, padding_idx=0)
        self.lstm = nn.LSTM(emb, hidden, batch_first=True)
        self.classifier = nn.Linear(hidden, n_classes)

    def forward(self, tokens):
        outputs, _ = self.lstm(self.embedding(tokens))
        last = outputs[:, -1]
        return self.classifier(last)


def build(seed=0):
    torch.manual_seed(seed)
    rows = names(LOCALES, n=600, seed=13)
    vocab = Vocabulary([name for name, _ in rows])
    x = torch.tensor([vocab.encode(name) for name, _ in rows])
    y = torch.tensor([label for _, label in rows])
    n_valid = len(x) // 5
    model = NameClassifier(len(vocab), len(LOCALES))
    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(),
        "train": (x[n_valid:], y[n_valid:]),
        "valid": (x[:n_valid], y[:n_valid]),
        "optimizer": torch.optim.Adam(model.parameters(), lr=4e-3),
        "batch_size": 64,
        "epochs": 10,
    }
