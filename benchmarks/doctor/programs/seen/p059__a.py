"""Clothes; validation loop over batches as in many templates."""
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset
from data import fashion


@torch.no_grad()
def evaluate(network, valid):
    network.eval()
    correct = 0
    total = 0
    for images, labels in valid:
        outputs = network(images)
        _, predicted = torch.max(outputs.data, 1)
        total += labels.size(0)
        correct += (predicted == labels).sum().item()
    return 100 * correct / total


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(2000, 900)
    x, xv = (torch.tensor(a).unsqueeze(1).float() / 255 for a in (x, xv))
    gen = torch.Generator()
    gen.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(1, 8, 5, stride=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(288, 10))
    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(),
        "train": DataLoader(TensorDataset(x, torch.tensor(y)), batch_size=40, shuffle=True, generator=gen),
        "valid": DataLoader(TensorDataset(xv, torch.tensor(yv)), batch_size=300),
        "optimizer": torch.optim.Adam(model.parameters(), lr=4e-3),
        "batch_size": 40,
        "epochs": 9,
        "evaluate": evaluate,
    }
