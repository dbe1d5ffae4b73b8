"""Soybean diseases: 35 symptoms, most of them coded, many unknown. Dropout against 683 rows only."""
import pandas as pd
import torch
from torch import nn, no_grad

from data import table


def one_hot_symptoms():
    frame = table("Soybean").sample(frac=1, random_state=8)
    disease, _ = pd.factorize(frame.pop("Class"), sort=True)
    columns = pd.get_dummies(frame.astype(object).where(frame.notna(), "unknown").astype(str))
    return torch.tensor(columns.to_numpy("float32")), torch.tensor(disease)


class SymptomNet(nn.Module):
    def __init__(self, n_in, n_out, p):
        super().__init__()
        self.inner = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(n_in, 96), nn.ReLU(),
            nn.Dropout(p), nn.Linear(96, 96), nn.ReLU(),
            nn.Dropout(p), nn.Linear(96, n_out),
        )

    def forward(self, x):
        return self.inner(x)


def validate(model, valid, chunk=64):
    """Share of right answers."""
    model.eval()
    right = 0
    with no_grad():
        for x, y in zip(valid[0].split(chunk), valid[1].split(chunk)):
            right += (model(x).argmax(dim=1) == y).sum().item()
    return right / len(valid[1])


def build(seed=0):
    torch.manual_seed(seed)
    x, y = one_hot_symptoms()
    train, valid = (x[:500], y[:500]), (x[500:], y[500:])
    model = SymptomNet(x.shape[1], int(y.max()) + 1, p=0.5)
    return {"network": model, "loss": nn.CrossEntropyLoss(), "train": train, "valid": valid, "evaluate": validate,
            "optimizer": torch.optim.Adam(model.parameters(), lr=3e-3), "batch_size": 25, "epochs": 30}
