"""Fashion-MNIST, small convolutional network (exercise sheet 4)."""
import torch
from torch import nn
from data import fashion


class SmallCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(12, 24, 3, padding=1),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Dropout(0.4), nn.Linear(24 * 7 * 7, 10))

    def forward(self, images):
        return self.classifier(self.features(images))


def to_tensor(pictures, mean, std):
    return ((torch.tensor(pictures).float() - mean) / std).unsqueeze(1)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(3000, 1000)
    mean, std = float(x.mean()), float(x.std())
    net = SmallCNN()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": (to_tensor(x, mean, std), torch.tensor(y)),
        "valid": (to_tensor(xv, mean, std), torch.tensor(yv)),
        "optimizer": optimizer,
        "batch_size": 64,
        "epochs": 6,
    }
