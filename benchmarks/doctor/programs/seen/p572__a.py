"""Does a peptide kill microbes? A tiny Transformer over amino acids, PyTorch tutorial style."""
import torch
import torch.nn as nn
from torch.utils.data import DataLoader

from data import peptides

ALPHABET = "ACDEFGHIKLMNPQRSTVWY"


def collate(rows, max_len=30):
    x = torch.zeros(len(rows), max_len, dtype=torch.long)
    for i, (sequence, _) in enumerate(rows):
        ids = [ALPHABET.find(a) + 1 for a in sequence[:max_len]]
        x[i, : len(ids)] = torch.tensor(ids)
    return x, torch.tensor([y for _, y in rows])


class PeptideTransformer(nn.Module):
    def __init__(self, d_model=24, nhead=3, max_len=30):
        super().__init__()
        self.embedding = nn.Embedding(len(ALPHABET) + 1, d_model, padding_idx=0)
        self.position = nn.Embedding(max_len, d_model)
        self.attention = nn.TransformerEncoderLayer(d_model, nhead, 48, dropout=0.1, batch_first=True)
        self.linear = nn.Linear(d_model, 2)

    def forward(self, x):
        pad = x == 0
        h = self.embedding(x) + self.position(torch.arange(x.shape[1]))
        h = self.attention(h, src_key_padding_mask=pad)
        h = h.masked_fill(pad.unsqueeze(-1), 0).sum(1) / (~pad).sum(1, keepdim=True)
        return self.linear(h)


def evaluate(model, dataloader):
    model.eval()
    total_acc = 0
    with torch.no_grad():
        for sequence, label in dataloader:
            total_acc += (model(sequence).argmax(1) == label).sum().item()
    return total_acc / (len(dataloader) * dataloader.batch_size)


def build(seed=0):
    torch.manual_seed(seed)
    rows = peptides(2000)
    model = PeptideTransformer()
    return {"network": model, "loss": nn.CrossEntropyLoss(),
            "optimizer": torch.optim.Adam(model.parameters(), lr=3e-3),
            "train": DataLoader(rows[:1600], batch_size=32, shuffle=True, collate_fn=collate),
            "valid": DataLoader(rows[1600:], batch_size=128, collate_fn=collate),
            "batch_size": 32, "epochs": 6, "evaluate": evaluate}
