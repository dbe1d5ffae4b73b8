"""Does a peptide kill microbes? Encoder over residues with a class token in front."""
import torch
import torch.nn as nn

from data import peptides

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
LENGTH = 32


def encode(sequence):
    ids = [RESIDUES.find(c) + 1 for c in sequence[:LENGTH]]
    return ids * (LENGTH // len(ids)) + ids[: LENGTH % len(ids)]  # short ones are repeated


class PeptideEncoder(nn.Module):
    def __init__(self, d_model=32):
        super().__init__()
        self.embed = nn.Embedding(len(RESIDUES) + 1, d_model)
        self.cls = nn.Parameter(0.1 * torch.randn(1, 1, d_model))
        self.position = nn.Parameter(0.1 * torch.randn(1, LENGTH + 1, d_model))
        layer = nn.TransformerEncoderLayer(d_model=d_model, nhead=4, dim_feedforward=64, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers=2)
        self.fc = nn.Linear(d_model, 1)

    def forward(self, src):
        cls = self.cls.expand(len(src), -1, -1)
        x = torch.cat([cls, self.embed(src)], dim=1) + self.position
        x = self.encoder(x)
        return self.fc(x[:, 0]).squeeze(1)


def build(seed=0):
    torch.manual_seed(seed)
    rows = peptides(2400, seed=8)
    x = torch.tensor([encode(s) for s, _ in rows])
    y = torch.tensor([float(label) for _, label in rows])
    model = PeptideEncoder()
    return {
        "network": model,
        "loss": nn.BCEWithLogitsLoss(),
        "train": (x[:1800], y[:1800]),
        "valid": (x[1800:], y[1800:]),
        "optimizer": torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 32,
        "epochs": 5,
    }
