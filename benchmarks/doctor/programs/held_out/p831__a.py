"""Letters of the alphabet, old school: the whole training set in one batch and resilient propagation.

Rprop (Riedmiller & Braun 1993) looks at the signs of the gradient only. Every weight has a step size of its own, which
grows while the sign stays and shrinks when it turns, so it must see the same rows each time.
"""
import torch
from torch import nn
from data import table

ROWS = 12_000


def lecun_tanh(z):
    return 1.7159 * torch.tanh(2 / 3 * z)


class Net1993(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(16, 90)
        self.output = nn.Linear(90, 26)
        for layer in (self.hidden, self.output):
            nn.init.normal_(layer.weight, std=layer.in_features ** -0.5)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        return self.output(lecun_tanh(self.hidden(x)))


def build(seed=0):
    torch.manual_seed(seed)
    letters = table("LetterRecognition").sample(ROWS + 2000, random_state=1993)
    labels = torch.tensor([ord(c) - ord("A") for c in letters.pop("lettr")])
    x = torch.tensor(letters.values, dtype=torch.float32)
    mean, std = x[:ROWS].mean(0), x[:ROWS].std(0)
    x = (x - mean) / std

    net = Net1993()
    rprop = torch.optim.Rprop(net.parameters(), lr=1e-3, etas=(0.5, 1.2), step_sizes=(1e-6, 0.1))
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[:ROWS], labels[:ROWS]),
            "valid": (x[ROWS:], labels[ROWS:]), "optimizer": rprop, "batch_size": ROWS, "epochs": 140}
