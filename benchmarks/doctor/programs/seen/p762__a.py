"""Two tasks, one trunk: which vowel is said, and one of the measured coefficients from the other eight."""
import numpy as np
import torch
import torch.nn as nn
from data import table


class Shared(nn.Module):
    def __init__(self, n_vowels):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 48), nn.ReLU())
        self.vowel = nn.Linear(48, n_vowels)
        self.first = nn.Linear(48, 1)

    def forward(self, x):
        h = self.trunk(x)
        return self.vowel(h), self.first(h).squeeze(-1)


def objective(network, batch):
    x, targets = batch
    logits, value = network(x)
    return nn.functional.cross_entropy(logits, targets[:, 0].long()) + 0.3 * nn.functional.mse_loss(value, targets[:, 1])


def step(network, batch, optimizer, objective):
    optimizer.zero_grad()
    loss = objective(network, batch)
    loss.backward()
    optimizer.step()
    return loss.item()


def vowel_accuracy(network, valid):
    network.eval()
    x, t = valid
    with torch.no_grad():
        logits, _ = network(x)
    return float((logits.argmax(1) == t[:, 0].long()).float().mean())


def build(seed=0):
    torch.manual_seed(seed)
    df = table("Vowel").sample(frac=1, random_state=1)
    numbers = df[[f"V{i}" for i in range(2, 11)]].to_numpy(np.float32)
    numbers = (numbers - numbers[:700].mean(0)) / numbers[:700].std(0)
    label = df["Class"].astype("category").cat.codes.to_numpy(np.float32)
    targets = torch.tensor(np.stack([label, numbers[:, 1]], 1))
    x = torch.tensor(np.delete(numbers, 1, axis=1))
    net = Shared(int(label.max()) + 1)
    return {"network": net, "objective": objective, "step": step, "train": (x[:700], targets[:700]),
            "valid": (x[700:], targets[700:]), "evaluate": vowel_accuracy, "batch_size": 25, "epochs": 40,
            "optimizer": torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)}
