"""Speakers of vowels: packed sequences, lengths in the inputs."""
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence
from data import vowels


class PackedLSTM(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.lstm = nn.LSTM(12, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 9)

    def forward(self, x):
        lengths = (x.abs().sum(-1) > 0).sum(1)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, (h, _) = self.lstm(packed)
        return self.out(h[-1])


def tensors(x, y):
    return torch.nan_to_num(torch.tensor(x)).transpose(1, 2).contiguous(), torch.tensor(y)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, _, xv, yv, _ = vowels()
    net = PackedLSTM()
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": tensors(x, y), "valid": tensors(xv, yv),
            "optimizer": torch.optim.Adam(net.parameters(), lr=0.01), "batch_size": 18, "epochs": 10}
