"""Where is this surname from? BiLSTM over characters."""
import string
import torch
import torch.nn as nn
from torch.nn.utils.rnn import pack_padded_sequence
from data import names

COUNTRIES = ("it_IT", "nl_NL", "de_DE", "fr_FR", "hr_HR", "es_ES")
LETTERS = string.ascii_lowercase + "'- "


def encode(rows, width=14):
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    for i, (name, _) in enumerate(rows):
        for j, c in enumerate(name.lower()[:width]):
            ids[i, j] = LETTERS.find(c) + 2
    return ids, torch.tensor([k for _, k in rows])


class BiLSTM(nn.Module):
    def __init__(self, emb=16, hidden=24, layers=1):
        super().__init__()
        self.hidden = hidden
        self.embed = nn.Embedding(len(LETTERS) + 2, emb, padding_idx=0)
        self.lstm = nn.LSTM(emb, hidden, layers, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(0.2)
        self.classify = nn.Linear(2 * hidden, len(COUNTRIES))

    def forward(self, ids):
        batch = ids.size(0)
        lengths = (ids > 0).sum(1).clamp(min=1)
        packed = pack_padded_sequence(self.embed(ids), lengths, batch_first=True, enforce_sorted=False)
        _, (h_n, _) = self.lstm(packed)
        state = h_n.transpose(0, 1).reshape(batch, 2 * self.hidden)
        return self.classify(self.dropout(state))


def build(seed=0):
    torch.manual_seed(seed)
    rows = [r for r in names(COUNTRIES, "L", n=300) if len(r[0]) > 2]
    n = int(0.8 * len(rows))
    net = BiLSTM()
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": encode(rows[:n]), "valid": encode(rows[n:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=4e-3), "batch_size": 32, "epochs": 10}
