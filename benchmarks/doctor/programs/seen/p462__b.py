"""Speaker identification: nine men say /ae/ (Japanese vowels), utterances of unequal length in a packed GRU."""
import torch
import torch.nn as nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset
from data import vowels


class Utterances(Dataset):
    def __init__(self, x, y, lengths):
        self.items = [torch.from_numpy(u[:, :n].T.copy()) for u, n in zip(x, lengths)]
        self.y = y

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i], int(self.y[i])


def collate_fn(batch):
    """pack_padded_sequence wants the longest first."""
    sequences = sorted((b[0] for b in batch), key=len, reverse=True)
    labels = torch.tensor([b[1] for b in batch])
    lengths = torch.tensor([len(s) for s in sequences])
    return (pad_sequence(sequences, batch_first=True), lengths), labels


class SpeakerGRU(nn.Module):
    def __init__(self, n_in=12, n_hidden=48, n_out=9):
        super().__init__()
        self.gru = nn.GRU(n_in, n_hidden, batch_first=True)
        self.out = nn.Linear(n_hidden, n_out)

    def forward(self, inputs):
        padded, lengths = inputs
        packed = pack_padded_sequence(padded, lengths, batch_first=True)
        _, h = self.gru(packed)
        return self.out(h[-1])


def build(seed=0):
    torch.manual_seed(seed)
    x, y, n, xv, yv, nv = vowels()
    net = SpeakerGRU()
    return {
        'network': net,
        'loss': nn.CrossEntropyLoss(),
        'train': DataLoader(Utterances(x, y, n), batch_size=18, shuffle=True, collate_fn=collate_fn),
        'valid': DataLoader(Utterances(xv, yv, nv), batch_size=37, collate_fn=collate_fn),
        'optimizer': torch.optim.Adam(net.parameters(), lr=5e-3),
        'batch_size': 18,
        'epochs': 20,
    }
