"""Splice junctions with nn.TransformerEncoder; the rate follows "Attention is all you need"."""
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from data import splice

D_MODEL = 32
WARMUP = 4000


class DNAFormer(nn.Module):
    def __init__(self):
        super().__init__()
        self.base = nn.Embedding(4, D_MODEL)
        self.place = nn.Embedding(30, D_MODEL)
        layer = nn.TransformerEncoderLayer(D_MODEL, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.classify = nn.Linear(D_MODEL, 3)

    def forward(self, x):
        h = self.base(x) + self.place.weight
        return self.classify(self.encoder(h).mean(1))


def noam(step):
    step = step + 1
    return D_MODEL ** -0.5 * min(step ** -0.5, step * WARMUP ** -1.5)


def build(seed=0):
    torch.manual_seed(seed)
    x, y = splice(2600)
    x, y = torch.from_numpy(x[:, 15:45].copy()), torch.from_numpy(y)
    model = DNAFormer()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.2, betas=(0.9, 0.98), eps=1e-9)
    scheduler = LambdaLR(optimizer, noam)

    def step(network, batch, optimizer, loss):
        optimizer.zero_grad()
        value = loss(network(batch[0]), batch[1])
        value.backward()
        optimizer.step()
        scheduler.step()
        return value

    return {"network": model, "loss": nn.CrossEntropyLoss(), "train": (x[:2000], y[:2000]), "valid": (x[2000:], y[2000:]),
            "optimizer": optimizer, "step": step, "batch_size": 40, "epochs": 8}
