"""Recognise the speaker of two vowels by a leaky recurrent network, series cut to seven steps."""
import torch
import torch.nn as nn
from data import vowels


class LeakyRNN(nn.Module):
    def __init__(self, hidden=32, leak=0.04):
        super().__init__()
        self.win = nn.Linear(12, hidden)
        self.rec = nn.Linear(hidden, hidden, bias=False)
        self.fc = nn.Linear(hidden, 9)
        self.leak = leak
        self.state = None

    def forward(self, x):
        if self.state is None or len(self.state) != len(x):
            self.state = x.new_zeros(len(x), self.rec.in_features)
        h = self.state
        for t in range(x.shape[1]):
            h = (1 - self.leak) * h + self.leak * torch.tanh(self.win(x[:, t]) + self.rec(h))
        self.state = h.detach()
        return self.fc(h)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, _, xv, yv, _ = vowels()
    x = torch.tensor(x[:, :, :7]).transpose(1, 2).contiguous()
    xv = torch.tensor(xv[:, :, :7]).transpose(1, 2).contiguous()
    net = LeakyRNN()
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x, torch.tensor(y)), "valid": (xv, torch.tensor(yv)),
            "optimizer": torch.optim.Adam(net.parameters(), lr=0.01), "batch_size": 10, "epochs": 25}
