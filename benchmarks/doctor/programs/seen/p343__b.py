"""Is this peptide one that kills microbes? Bidirectional LSTM over amino acids."""
import torch
from torch import nn
from data import peptides

AMINO = "ACDEFGHIKLMNPQRSTVWY"
MAX_LEN = 40


def to_ids(sequence):
    ids = [AMINO.find(a) + 1 for a in sequence[-MAX_LEN:]]
    return [0] * (MAX_LEN - len(ids)) + ids


class PeptideNet(nn.Module):
    def __init__(self, d_emb=12, d_hid=20):
        super().__init__()
        self.lookup = nn.Embedding(len(AMINO) + 1, d_emb, padding_idx=0)
        self.lstm = nn.LSTM(d_emb, d_hid, bidirectional=True, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(2 * d_hid, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, x):
        _, (h_n, _) = self.lstm(self.lookup(x))
        last = h_n.view(x.size(0), -1)
        return self.mlp(last)


def build(seed=0):
    torch.manual_seed(seed)
    rows = peptides(2200)
    X = torch.tensor([to_ids(s) for s, _ in rows])
    Y = torch.tensor([y for _, y in rows])
    model = PeptideNet()
    return dict(
        network=model, loss=nn.CrossEntropyLoss(),
        train=(X[:1700], Y[:1700]), valid=(X[1700:], Y[1700:]),
        optimizer=torch.optim.AdamW(model.parameters(), lr=4e-3),
        batch_size=50, epochs=6,
    )
