"""Sequential MNIST: an LSTM cell reads a digit row by row."""
import torch
import torch.nn as nn

from data import mnist


class RowReader(nn.Module):
    def __init__(self, row=28, hidden=64, classes=10):
        super().__init__()
        self.hidden = hidden
        self.cell = nn.LSTMCell(row, hidden)
        self.readout = nn.Linear(hidden, classes)

    def init_state(self, batch):
        return torch.zeros(batch, self.hidden), torch.zeros(batch, self.hidden)

    def forward(self, images):
        h, c = self.init_state(len(images))
        for t in range(images.size(1)):
            h, c = self.cell(images[:, t], (h, c))
            h, c = h.detach(), c.detach()
        return self.readout(h)


def prepare(pictures, labels):
    return torch.tensor(pictures, dtype=torch.float32) / 255.0, torch.tensor(labels)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, x_test, y_test = mnist(2000, 800)
    model = RowReader()
    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(),
        "train": prepare(x, y),
        "valid": prepare(x_test, y_test),
        "optimizer": torch.optim.Adam(model.parameters(), lr=5e-3),
        "batch_size": 50,
        "epochs": 11,
    }
