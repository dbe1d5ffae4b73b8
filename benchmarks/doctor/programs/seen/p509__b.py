"""Transformer encoder over the letters of a surname: which country's phone book?"""
import math

import torch
import torch.nn as nn
from data import names

HPARAMS = {
    "d_model": 32,
    "nhead": 4,
    "num_layers": 2,
    "dim_feedforward": 64,
    "dropout": 0.1,
    "lr": 3e-2,
    "batch_size": 32,
    "epochs": 10,
}
LOCALES = ("it_IT", "es_ES", "nl_NL", "hr_HR", "de_AT")
MAX = 14


def encode(word):
    ids = [(ord(c) - 95) if "a" <= c <= "z" else 1 for c in word.lower()[:MAX]]
    return ids + [0] * (MAX - len(ids))


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, max_len=64):
        super().__init__()
        position = torch.arange(max_len).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(100.0) / d_model))
        pe = torch.zeros(1, max_len, d_model)
        pe[0, :, 0::2] = torch.sin(position * div_term)
        pe[0, :, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe)

    def forward(self, x):
        return x + self.pe[:, : x.size(1)]


class NameTransformer(nn.Module):
    def __init__(self, hp):
        super().__init__()
        self.embed = nn.Embedding(28, hp["d_model"], padding_idx=0)
        self.pos = PositionalEncoding(hp["d_model"])
        layer = nn.TransformerEncoderLayer(
            hp["d_model"], hp["nhead"], hp["dim_feedforward"], hp["dropout"], batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, hp["num_layers"], enable_nested_tensor=False)
        self.classify = nn.Linear(hp["d_model"], len(LOCALES))

    def forward(self, ids):
        pad = ids == 0
        h = self.encoder(self.pos(self.embed(ids)), src_key_padding_mask=pad)
        h = h.masked_fill(pad.unsqueeze(-1), 0).sum(1) / (~pad).sum(1, keepdim=True)
        return self.classify(h)


def build(seed=0):
    torch.manual_seed(seed)
    rows = names(LOCALES, n=450, seed=2)
    x = torch.tensor([encode(word) for word, _ in rows])
    y = torch.tensor([place for _, place in rows])
    cut = int(0.8 * len(x))
    model = NameTransformer(HPARAMS)
    return {"network": model, "loss": nn.CrossEntropyLoss(), "train": (x[:cut], y[:cut]), "valid": (x[cut:], y[cut:]),
            "optimizer": torch.optim.Adam(model.parameters(), lr=HPARAMS["lr"]),
            "batch_size": HPARAMS["batch_size"], "epochs": HPARAMS["epochs"]}
