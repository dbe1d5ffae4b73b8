# Answer: you don't need n-grams for this, a GRU on the letters of the first name does it.
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.data import DataLoader, TensorDataset
from data_cedar import first_names


class NameGender(nn.Module):
    def __init__(self, hidden=40):
        super().__init__()
        self.letters = nn.Embedding(27, 16, padding_idx=0)
        self.gru = nn.GRU(16, hidden, batch_first=True)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(hidden, 1))

    def forward(self, x):
        lengths = (x > 0).sum(1)
        packed = pack_padded_sequence(self.letters(x), lengths, batch_first=True, enforce_sorted=False)
        _, last = self.gru(packed)
        return self.head(last[-1]).squeeze(-1)


def encode(names, width=12):
    return torch.tensor([[ord(c) - 96 for c in name] + [0] * (width - len(name)) for name in names])


def build(seed=0):
    torch.manual_seed(seed)
    frame = first_names(6000, seed=12)
    x = encode(frame["name"])
    y = torch.tensor((frame["gender"] == "F").to_numpy()).float()
    cut = 5000
    net = NameGender()
    return dict(
        network=net,
        loss=nn.BCEWithLogitsLoss(),
        train=DataLoader(TensorDataset(x[:cut], y[:cut]), batch_size=64, shuffle=True),
        valid=DataLoader(TensorDataset(x[cut:], y[cut:]), batch_size=250),
        optimizer=torch.optim.Adam(net.parameters(), lr=3e-3),
        batch_size=64,
        epochs=8,
    )
