"""Srivastava et al. (2014), section 6.1 in small: dropout together with max-norm regularization on MNIST.

The paper constrains the incoming weights of the hidden units to a ball of radius c after every update.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import mnist

RADIUS = 2.0


class DropoutNet(nn.Module):
    def __init__(self, hidden=256):
        super().__init__()
        self.fc1 = nn.Linear(784, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.fc3 = nn.Linear(hidden, 10)
        self.drop_in = nn.Dropout(0.2)
        self.drop = nn.Dropout(0.4)

    def forward(self, x):
        x = self.drop_in(x.flatten(1))
        x = self.drop(F.relu(self.fc1(x)))
        x = self.drop(F.relu(self.fc2(x)))
        return self.fc3(x)


@torch.no_grad()
def project(model, c=RADIUS):
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            norm = layer.weight.norm()
            layer.weight.mul_((c / norm).clamp(max=1.0))


def train_step(model, batch, optimizer, criterion):
    images, labels = batch
    optimizer.zero_grad()
    loss = criterion(model(images), labels)
    loss.backward()
    optimizer.step()
    project(model)
    return loss.item()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xt, yt = mnist(5000, 2000)
    x, xt = (torch.tensor(a, dtype=torch.float32).div(255).sub(0.1307).div(0.3081) for a in (x, xt))
    model = DropoutNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return {"network": model, "loss": nn.CrossEntropyLoss(), "train": (x, torch.tensor(y)),
            "valid": (xt, torch.tensor(yt)), "optimizer": optimizer, "batch_size": 64, "epochs": 12, "step": train_step}
