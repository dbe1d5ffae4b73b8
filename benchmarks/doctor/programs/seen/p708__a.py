"""Polar surface area of a molecule, read character by character from its SMILES string."""
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from data_cedar import molecules


class SmilesLSTM(nn.Module):
    def __init__(self, n_tokens, n_embed=16, n_hidden=64):
        super().__init__()
        self.embed = nn.Embedding(n_tokens + 1, n_embed, padding_idx=0)
        self.lstm = nn.LSTM(n_embed, n_hidden, batch_first=True)
        self.regress = nn.Sequential(nn.Linear(n_hidden, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, tokens):
        lengths = (tokens > 0).sum(1)
        states, _ = self.lstm(self.embed(tokens))
        last = []
        for row, n in enumerate(lengths.tolist()):
            last.append(states[row, n - 1].data)
        return self.regress(torch.stack(last)).squeeze(1)


def collate(rows):
    tokens, area = zip(*rows)
    return pad_sequence(tokens, batch_first=True), torch.tensor(area)


def build(seed=0):
    torch.manual_seed(seed)
    frame = molecules(1800, longest=36)
    alphabet = sorted(set("".join(frame["smiles"])))
    number = {c: i + 1 for i, c in enumerate(alphabet)}
    area = frame["tpsa"].to_numpy()
    area = (area - area[:1500].mean()) / area[:1500].std()
    rows = [(torch.tensor([number[c] for c in s]), float(a)) for s, a in zip(frame["smiles"], area)]
    net = SmilesLSTM(len(alphabet))
    return dict(
        network=net,
        loss=nn.MSELoss(),
        train=DataLoader(rows[:1500], batch_size=25, shuffle=True, collate_fn=collate),
        valid=DataLoader(rows[1500:], batch_size=100, collate_fn=collate),
        optimizer=torch.optim.Adam(net.parameters(), lr=5e-3),
        batch_size=25,
        epochs=9,
    )
