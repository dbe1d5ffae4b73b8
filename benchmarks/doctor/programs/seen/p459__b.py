"""Which country does a family name come from? Transformer encoder over letters, classified from a [CLS] token."""
import math

import torch
from torch import nn

from data import names

LOCALES = ("it_IT", "es_ES", "nl_NL", "de_AT", "hr_HR")
MAX_LEN = 16
PAD, CLS = 0, 1


def encode_all(pairs, alphabet):
    rows, labels = [], []
    for name, label in pairs:
        ids = [CLS] + [alphabet[c] for c in name.lower()][: MAX_LEN - 2]
        rows.append(ids + [PAD] * (MAX_LEN - len(ids)))
        labels.append(label)
    return torch.tensor(rows), torch.tensor(labels)


class NameTransformer(nn.Module):
    def __init__(self, vocab_size, d_model=32, nhead=4, num_layers=2, num_classes=len(LOCALES)):
        super().__init__()
        self.d_model = d_model
        self.embedding = nn.Embedding(vocab_size, d_model, padding_idx=PAD)
        self.position = nn.Parameter(torch.randn(MAX_LEN, d_model) * 0.02)
        layer = nn.TransformerEncoderLayer(d_model, nhead, dim_feedforward=64, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)
        self.classifier = nn.Linear(d_model, num_classes)

    def forward(self, tokens):
        h = self.embedding(tokens) * math.sqrt(self.d_model) + self.position
        mask = tokens == PAD
        h = self.encoder(h, src_key_padding_mask=mask)
        return self.classifier(h[:, 0])


def build(seed=0):
    torch.manual_seed(seed)
    pairs = names(LOCALES, "L", n=600, seed=4)
    alphabet = {c: i + 2 for i, c in enumerate(sorted({c for name, _ in pairs for c in name.lower()}))}
    x, y = encode_all(pairs, alphabet)
    cut = int(0.8 * len(x))
    model = NameTransformer(len(alphabet) + 2)
    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(),
        "train": (x[:cut], y[:cut]),
        "valid": (x[cut:], y[cut:]),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=2e-3),
        "batch_size": 32,
        "epochs": 10,
    }
