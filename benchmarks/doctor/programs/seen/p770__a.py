"""Classifying names with a character-level RNN (after Sean Robertson's tutorial), batched and with my own data."""
import torch
import torch.nn as nn
from data import names

all_categories = ["it_IT", "ja_JP", "ru_RU", "de_DE", "es_ES", "cs_CZ", "fi_FI", "pl_PL"]
max_len = 12


def name_to_tensor(name, letters):
    line = [letters.index(c) + 1 for c in name[:max_len]]
    return [0] * (max_len - len(line)) + line


class RNN(nn.Module):
    def __init__(self, input_size, hidden_size, output_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.i2e = nn.Embedding(input_size, 24, padding_idx=0)
        self.rnn = nn.GRU(24, hidden_size, batch_first=True)
        self.h2o = nn.Linear(hidden_size, output_size)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, line):
        _, hidden = self.rnn(self.i2e(line))
        output = self.h2o(hidden[0])
        return self.softmax(output)


def build(seed=0):
    torch.manual_seed(seed)
    pairs = names(tuple(all_categories), "L", n=400)
    letters = sorted({c for name, _ in pairs for c in name})
    x = torch.tensor([name_to_tensor(name, letters) for name, _ in pairs])
    y = torch.tensor([k for _, k in pairs])
    cut = int(len(x) * 0.8)
    rnn = RNN(len(letters) + 1, 64, len(all_categories))
    return {
        "network": rnn,
        "loss": nn.NLLLoss(),
        "train": (x[:cut], y[:cut]),
        "valid": (x[cut:], y[cut:]),
        "optimizer": torch.optim.SGD(rnn.parameters(), lr=0.1, momentum=0.9),
        "batch_size": 32,
        "epochs": 12,
    }
