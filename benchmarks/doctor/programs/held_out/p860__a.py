"""Does this peptide kill microbes?  A small transformer encoder, and the AUC on peptides kept back."""
import torch
import torch.nn as nn
from sklearn.metrics import roc_auc_score
from torch.utils.data import DataLoader, TensorDataset
from data import peptides

AMINO = "ACDEFGHIKLMNPQRSTVWY"
MAX = 48


class PeptideEncoder(nn.Module):
    def __init__(self, d=32, heads=4, layers=2):
        super().__init__()
        self.token = nn.Embedding(len(AMINO) + 1, d, padding_idx=0)
        self.place = nn.Parameter(0.02 * torch.randn(MAX, d))
        layer = nn.TransformerEncoderLayer(d, heads, 2 * d, dropout=0.2, batch_first=True)
        self.blocks = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.score = nn.Linear(d, 1)

    def forward(self, seq):
        pad = seq == 0
        h = self.blocks(self.token(seq) + self.place, src_key_padding_mask=pad)
        keep = (~pad).unsqueeze(-1).float()
        return self.score((h * keep).sum(1) / keep.sum(1)).squeeze(1)


def evaluate(network, valid):
    network.eval()
    scores = []
    with torch.no_grad():
        for seq, _ in valid:
            scores.append(torch.sigmoid(network(seq)))
    truth = torch.cat([label for _, label in valid])
    return roc_auc_score(truth.numpy(), torch.cat(scores).numpy())


def loader(rows, shuffle):
    x = torch.zeros(len(rows), MAX, dtype=torch.long)
    for i, (seq, _) in enumerate(rows):
        ids = [AMINO.find(c) + 1 for c in seq[:MAX]]
        x[i, :len(ids)] = torch.tensor(ids)
    y = torch.tensor([float(label) for _, label in rows])
    return DataLoader(TensorDataset(x, y), batch_size=50, shuffle=shuffle)


def build(seed=0):
    torch.manual_seed(seed)
    rows = peptides(2400, seed=5)
    model = PeptideEncoder()
    return dict(
        network=model,
        loss=nn.BCEWithLogitsLoss(),
        train=loader(rows[:1800], shuffle=True),
        valid=loader(rows[1800:], shuffle=True),
        optimizer=torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01),
        batch_size=50,
        epochs=8,
        evaluate=evaluate,
    )
