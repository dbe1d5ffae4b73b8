"""Letters with the parametrization of neural tangents: unit weights, scales in the forward pass, rates far above one."""
import math

import torch
import torch.nn as nn
from data import table


class NTKLinear(nn.Module):
    def __init__(self, n_in, n_out, w_std=1.4, b_std=0.1):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.w, self.b = w_std / math.sqrt(n_in), b_std

    def forward(self, x):
        return nn.functional.linear(x, self.w * self.weight, self.b * self.bias)


def build(seed=0):
    torch.manual_seed(seed)
    frame = table("LetterRecognition").drop_duplicates().sample(3600, random_state=64)
    y = torch.tensor(frame["lettr"].map(ord).to_numpy() - 65)
    x = torch.tensor(frame.drop(columns="lettr").to_numpy(), dtype=torch.float32) / 7.5 - 1
    net = nn.Sequential(NTKLinear(16, 200), nn.ReLU(), NTKLinear(200, 200), nn.ReLU(), NTKLinear(200, 26, w_std=0.3))
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[:2800], y[:2800]), "valid": (x[2800:], y[2800:]),
            "optimizer": torch.optim.SGD(net.parameters(), lr=30.0, momentum=0.5), "batch_size": 50, "epochs": 15}
