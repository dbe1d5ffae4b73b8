"""Which country does a surname come from? A character-level LSTM."""
import string

import torch
import torch.nn as nn
import torch.nn.functional as F

from data import names

LETTERS = string.ascii_lowercase + "'- "
COUNTRIES = ("it_IT", "nl_NL", "ga_IE", "es_ES", "hr_HR")
MAX = 12


def name_to_tensor(name):
    ids = [LETTERS.find(c) + 2 for c in name.lower()][:MAX]
    return [0] * (MAX - len(ids)) + ids


class NameLSTM(nn.Module):
    def __init__(self, n_letters, n_hidden, n_categories):
        super().__init__()
        self.char = nn.Embedding(n_letters, 24, padding_idx=0)
        self.lstm = nn.LSTM(24, n_hidden, batch_first=True)
        self.i2o = nn.Linear(n_hidden, n_categories)

    def forward(self, line):
        _, (hidden, _) = self.lstm(self.char(line))
        output = self.i2o(hidden[-1])
        return output


def build(seed=0):
    torch.manual_seed(seed)
    rows = names(COUNTRIES, n=700, seed=3)
    x = torch.tensor([name_to_tensor(name) for name, _ in rows])
    y = torch.tensor([category for _, category in rows])
    n_train = 2700
    rnn = NameLSTM(len(LETTERS) + 2, 64, len(COUNTRIES))
    return {
        "network": rnn,
        "loss": nn.NLLLoss(),
        "train": (x[:n_train], y[:n_train]),
        "valid": (x[n_train:], y[n_train:]),
        "optimizer": torch.optim.Adam(rnn.parameters(), lr=0.003),
        "batch_size": 32,
        "epochs": 6,
    }
