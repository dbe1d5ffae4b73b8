"""Vowel or consonant sound? One label a letter, from the spelling: a tagger with a bidirectional GRU."""
import torch
import torch.nn as nn
from torch.nn.utils.rnn import pad_sequence
from data import pronunciations

VOWELS = {"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"}


def pairs():
    xs, ys = [], []
    for word, phones in pronunciations(6000):
        if len(word) == len(phones):
            xs.append(torch.tensor([ord(c) - 96 for c in word]))
            ys.append(torch.tensor([int(p in VOWELS) for p in phones]))
    return pad_sequence(xs, True), pad_sequence(ys, True, -100)


class Tagger(nn.Module):
    def __init__(self, hidden=16):
        super().__init__()
        self.emb = nn.Embedding(27, 4, padding_idx=0)
        self.rnn = nn.GRU(4, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, 2)

    def forward(self, x):
        with torch.no_grad():
            h, _ = self.rnn(self.emb(x))
        return self.out(h).transpose(1, 2)


def build(seed=0):
    torch.manual_seed(seed)
    x, y = pairs()
    cut = int(0.8 * len(x))
    net = Tagger()
    return {"network": net, "loss": nn.CrossEntropyLoss(ignore_index=-100), "train": (x[:cut], y[:cut]),
            "valid": (x[cut:], y[cut:]), "optimizer": torch.optim.Adam(net.parameters(), lr=0.01),
            "batch_size": 32, "epochs": 6}
