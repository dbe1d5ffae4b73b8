"""Satellite pixels with an exponential schedule inside the step."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from data import table


def build(seed=0):
    torch.manual_seed(seed)
    df = table("Satellite").sample(2400, random_state=9)
    x = df.drop(columns="classes").to_numpy("float32")
    y = df["classes"].astype("category").cat.codes.to_numpy("int64")
    x = (x - x[:1800].mean(0)) / x[:1800].std(0)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    loader = DataLoader(TensorDataset(x[:1800], y[:1800]), batch_size=36, shuffle=True)
    held = DataLoader(TensorDataset(x[1800:], y[1800:]), batch_size=200)
    model = nn.Sequential(nn.Linear(36, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 6))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=1.02)

    def step(network, batch, optimizer, loss):
        inputs, labels = batch
        optimizer.zero_grad()
        loss(network(inputs), labels).backward()
        optimizer.step()
        schedule.step()

    return {"network": model, "loss": nn.CrossEntropyLoss(), "train": loader, "valid": held, "optimizer": optimizer,
            "batch_size": 36, "epochs": 8, "step": step}
