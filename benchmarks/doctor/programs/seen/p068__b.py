"""Fine-tuning idea: body for 10 clothes, head changed to three groups of clothes."""
import torch
import torch.nn as nn
from data import fashion

GROUP = torch.tensor([0, 1, 0, 0, 0, 2, 0, 2, 1, 2])


class Backbone(nn.Module):
    def __init__(self, n_classes=10):
        super().__init__()
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(784, 24), nn.ReLU())
        self.classifier = nn.Linear(24, n_classes)

    def forward(self, x):
        return self.classifier(self.features(x))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(2000, 1000)
    x, xv = torch.tensor(x).float() / 255, torch.tensor(xv).float() / 255
    model = Backbone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    model.classifier = nn.Linear(24, 3)
    nn.init.normal_(model.classifier.weight, std=0.01)
    return {"network": model, "loss": nn.CrossEntropyLoss(), "train": (x, GROUP[torch.tensor(y)]),
            "valid": (xv, GROUP[torch.tensor(yv)]), "optimizer": optimizer, "batch_size": 32, "epochs": 8}
