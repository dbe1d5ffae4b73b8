"""Japanese vowels (speaker identification) with a bidirectional GRU.

Gradients are gathered over a few small batches to emulate a larger one.
"""
import torch
import torch.nn as nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset

from data import vowels

ACCUMULATE = 3


class Utterances(Dataset):
    def __init__(self, x, y, lengths):
        self.items = [(torch.tensor(s[:, :n].T), int(k)) for s, k, n in zip(x, y, lengths)]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def collate(items):
    sequences, labels = zip(*items)
    lengths = torch.tensor([len(s) for s in sequences])
    return (pad_sequence(sequences, batch_first=True), lengths), torch.tensor(labels)


class SpeakerNet(nn.Module):
    def __init__(self, n_in=12, hidden=24, n_speakers=9):
        super().__init__()
        self.norm = nn.LayerNorm(n_in)
        self.gru = nn.GRU(n_in, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, n_speakers)

    def forward(self, inputs):
        x, lengths = inputs
        packed = pack_padded_sequence(self.norm(x), lengths, batch_first=True, enforce_sorted=False)
        _, h = self.gru(packed)
        return self.out(torch.cat([h[0], h[1]], dim=1))


class Stepper:
    def __init__(self):
        self.calls = 0

    def __call__(self, network, batch, optimizer, loss):
        inputs, labels = batch
        value = loss(network(inputs), labels) / ACCUMULATE
        value.backward()
        self.calls += 1
        if self.calls % ACCUMULATE == 0:
            optimizer.step()
        return value.item() * ACCUMULATE


def build(seed=0):
    torch.manual_seed(seed)
    x, y, n, xv, yv, nv = vowels()
    net = SpeakerNet()
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": DataLoader(Utterances(x, y, n), batch_size=6, shuffle=True, collate_fn=collate),
        "valid": DataLoader(Utterances(xv, yv, nv), batch_size=74, collate_fn=collate),
        "optimizer": torch.optim.SGD(net.parameters(), lr=0.2, momentum=0.9),
        "batch_size": 6,
        "epochs": 12,
        "step": Stepper(),
    }
