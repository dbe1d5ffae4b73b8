"""Vowels of British English from ten log area ratios."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import table

BATCH, EPOCHS, LR, MOMENTUM = 15, 25, 0.02, 0.9


class VowelNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm1d(9)
        self.l1 = nn.Linear(9, 64)
        self.l2 = nn.Linear(64, 64)
        self.l3 = nn.Linear(64, 11)

    def forward(self, x):
        x = F.gelu(self.l1(self.bn(x)))
        x = F.gelu(self.l2(x))
        return self.l3(x)


def build(seed=0):
    torch.manual_seed(seed)
    df = table("Vowel").drop(columns="V1").drop_duplicates().sample(frac=1, random_state=77)
    y = torch.tensor(df.pop("Class").astype("category").cat.codes.to_numpy()).long()
    x = torch.tensor(df.to_numpy()).float()
    net = VowelNet()
    sgd = torch.optim.SGD(net.parameters(), lr=LR, momentum=MOMENTUM)
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[:700], y[:700]), "valid": (x[700:], y[700:]),
            "optimizer": sgd, "batch_size": BATCH, "epochs": EPOCHS}
