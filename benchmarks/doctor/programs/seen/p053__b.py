"""Rocks in the ionosphere: good or bad radar returns."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import table


def prepare():
    d = table("Ionosphere").sample(frac=1, random_state=0)
    y = d["Class"].map({"good": 1.0, "bad": 0.0})
    x = d.drop(columns=["Class", "V1", "V2"])
    return torch.tensor(x.values).float(), torch.tensor(y.values).float()


class Classifier(nn.Module):
    def __init__(self, n_in):
        super().__init__()
        self.a = nn.Linear(n_in, 20)
        self.b = nn.Linear(20, 1)

    def forward(self, x):
        return self.b(torch.tanh(self.a(x))).squeeze(-1)


def build(seed=0):
    torch.manual_seed(seed)
    x, y = prepare()
    model = Classifier(x.shape[1])
    return {"network": model, "loss": F.binary_cross_entropy_with_logits, "train": (x[:240], y[:240]),
            "valid": (x[240:], y[240:]), "optimizer": torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9),
            "batch_size": 20, "epochs": 20}
