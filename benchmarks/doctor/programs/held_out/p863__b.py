"""Spoken digits, two questions to one network: which digit is it, and which of three men says it?"""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from data_dahlia import spoken


class TwoHeads(nn.Module):
    def __init__(self, bands=20):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(bands, 48, 5, padding=2), nn.BatchNorm1d(48), nn.ReLU(), nn.MaxPool1d(2),
            nn.Conv1d(48, 64, 5, padding=2), nn.BatchNorm1d(64), nn.ReLU(), nn.MaxPool1d(2),
            nn.Conv1d(64, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool1d(3), nn.Flatten(), nn.Dropout(0.4),
        )
        self.digit = nn.Linear(192, 10)
        self.speaker = nn.Linear(192, 3)

    def forward(self, x):
        h = self.body(x.transpose(1, 2))
        return self.digit(h), self.speaker(h)


def losses(network, batch):
    x, digit, speaker = batch
    a, b = network(x)
    return F.cross_entropy(a, digit, label_smoothing=0.05), F.cross_entropy(b, speaker)


def objective(network, batch):
    return sum(losses(network, batch))


def train_step(network, batch, optimizer, _):
    # one backward pass for each question, one step for both
    digit, _ = losses(network, batch)
    optimizer.zero_grad()
    digit.backward()
    _, speaker = losses(network, batch)
    speaker.backward()
    optimizer.step()


@torch.no_grad()
def evaluate(network, valid):
    """Share of right answers, mean of the two questions."""
    network.eval()
    hits = n = 0
    for x, digit, speaker in valid:
        a, b = network(x)
        hits += (a.argmax(1) == digit).sum().item() + (b.argmax(1) == speaker).sum().item()
        n += 2 * len(x)
    return hits / n


def build(seed=0):
    torch.manual_seed(seed)
    x, _, digit, speaker, take = (torch.as_tensor(a) for a in spoken())
    test = take < 4
    mean, std = x[~test].mean((0, 1)), x[~test].std((0, 1))
    x = (x - mean) / std
    train = TensorDataset(x[~test], digit[~test], speaker[~test])
    valid = TensorDataset(x[test], digit[test], speaker[test])
    net = TwoHeads()
    return {"network": net, "objective": objective, "step": train_step, "evaluate": evaluate,
            "train": DataLoader(train, batch_size=30, shuffle=True), "valid": DataLoader(valid, batch_size=60),
            "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3, weight_decay=1e-4), "batch_size": 30, "epochs": 20}
