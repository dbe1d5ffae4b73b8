"""Eight convolutions without normalization, MNIST."""
import torch
import torch.nn as nn
from data import mnist


def weights_init(m):
    if isinstance(m, (nn.Conv2d, nn.Linear)):
        nn.init.normal_(m.weight, mean=0.0, std=0.001)
        nn.init.constant_(m.bias, 0.0)


class Plain(nn.Module):
    def __init__(self, c=10):
        super().__init__()
        layers, i = [], 1
        for k in range(7):
            layers += [nn.Conv2d(i, c, 3, stride=2 if k in (0, 2) else 1, padding=1), nn.ReLU()]
            i = c
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(c * 49, 10)

    def forward(self, x):
        return self.fc(torch.flatten(self.features(x), 1))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(1500, 600)
    norm = lambda a: (torch.tensor(a)[:, None].float() / 255 - 0.1307) / 0.3081
    model = Plain()
    model.apply(weights_init)
    return {"network": model, "loss": nn.CrossEntropyLoss(), "train": (norm(x), torch.tensor(y)),
            "valid": (norm(xv), torch.tensor(yv)), "optimizer": torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
            "batch_size": 32, "epochs": 4}
