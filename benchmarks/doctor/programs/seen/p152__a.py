"""Forest of letters: 16 features, 26 classes, own training step."""
import torch
import torch.nn as nn
from data import table


def train_step(network, batch, optimizer, loss):
    x, y = batch
    optimizer.zero_grad()
    out = network(x)
    l = loss(out, y)
    l.backward()
    optimizer.step()
    return l.item()


def build(seed=0):
    torch.manual_seed(seed)
    df = table("LetterRecognition").iloc[:4000]
    y = torch.tensor(df["lettr"].astype("category").cat.codes.to_numpy(), dtype=torch.long)
    x = torch.tensor(df.drop(columns="lettr").to_numpy(), dtype=torch.float32)
    x = (x - x[:3000].mean(0)) / x[:3000].std(0)
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 26))
    return {"network": model, "loss": nn.CrossEntropyLoss(), "train": (x[:3000], y[:3000]),
            "valid": (x[3000:], y[3000:]), "optimizer": torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
            "batch_size": 50, "epochs": 8, "step": train_step}
