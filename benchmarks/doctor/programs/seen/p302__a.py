"""Splice junctions: where does the intron begin? Two convolutions over one-hot DNA."""
import torch
import torch.nn.functional as F
from torch import nn, optim
from data import splice


class SpliceNet(nn.Module):
    def __init__(self, filters=24, classes=3):
        super().__init__()
        self.motif = nn.Conv1d(4, filters, kernel_size=7, padding=3)
        self.context = nn.Conv1d(filters, filters, kernel_size=5, padding=2)
        self.drop = nn.Dropout(0.4)
        self.fc = nn.Linear(filters * 30, classes)

    def forward(self, onehot):
        h = F.relu(self.motif(onehot.transpose(1, 2)))
        h = F.max_pool1d(F.relu(self.context(h)), 2)
        h = self.drop(h.flatten(start_dim=1))
        return F.log_softmax(self.fc(h), dim=-1)


def build(seed=0):
    torch.manual_seed(seed)
    codes, labels = splice(2400)
    onehot = F.one_hot(torch.as_tensor(codes), 4).float()
    labels = torch.as_tensor(labels)
    cut = 1800
    model = SpliceNet()
    return dict(
        network=model,
        loss=nn.NLLLoss(),
        train=(onehot[:cut], labels[:cut]),
        valid=(onehot[cut:], labels[cut:]),
        optimizer=optim.Adam(model.parameters(), lr=2e-3),
        batch_size=64,
        epochs=8,
    )
