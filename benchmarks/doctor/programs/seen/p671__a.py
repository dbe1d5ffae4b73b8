"""Mixture of experts for letters (16 measurements of a printed glyph -> A..Z)."""
import torch
import torch.nn as nn
from data import table


class Expert(nn.Module):
    def __init__(self, n_in, n_out, width=32):
        super().__init__()
        self.fc1 = nn.Linear(n_in, width)
        self.fc2 = nn.Linear(width, n_out)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x)))


class MoE(nn.Module):
    """Softmax gate over all experts; the answer is the weighted sum of theirs."""

    def __init__(self, n_in=16, n_out=26, n_experts=6):
        super().__init__()
        self.experts = nn.ModuleList(Expert(n_in, n_out) for _ in range(n_experts))
        self.gate = nn.Sequential(nn.Linear(n_in, 32), nn.ReLU(), nn.Linear(32, n_experts))
        self.scale = nn.Linear(n_out, n_out)

    def forward(self, x):
        weights = torch.softmax(self.gate(x), dim=-1)
        answers = torch.stack([expert(x) for expert in self.experts], dim=1)
        return self.scale((weights.unsqueeze(-1) * answers).sum(1))


def build(seed=0):
    torch.manual_seed(seed)
    frame = table("LetterRecognition").sample(n=4000, random_state=6)
    y = torch.tensor(frame["lettr"].map(lambda c: ord(c) - ord("A")).to_numpy())
    x = torch.tensor(frame.drop(columns="lettr").to_numpy()).float()
    x = (x - x[:3200].mean(0)) / x[:3200].std(0)
    net = MoE()
    opt = torch.optim.Adam(net.parameters(), lr=4e-3)
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(x[:3200], y[:3200]), valid=(x[3200:], y[3200:]),
                optimizer=opt, batch_size=40, epochs=15)
