"""Last names of three countries; letters numbered in the order of the alphabet."""
import torch
import torch.nn as nn
from torch.nn.utils.rnn import pad_sequence
from data import names


def encode(rows, alphabet):
    number = {c: i + 2 for i, c in enumerate(alphabet)}
    x = pad_sequence([torch.tensor([number.get(c, 1) for c in name]) for name, _ in rows], batch_first=True)
    return x, torch.tensor([k for _, k in rows])


class CharNet(nn.Module):
    def __init__(self, n, d=24, h=32):
        super().__init__()
        self.emb = nn.Embedding(n, d, padding_idx=0)
        self.conv = nn.Conv1d(d, h, 3, padding=1)
        self.fc = nn.Linear(h, 3)

    def forward(self, x):
        h = torch.relu(self.conv(self.emb(x).transpose(1, 2)))
        return self.fc((h * (x > 0).unsqueeze(1)).amax(2))


def build(seed=0):
    torch.manual_seed(seed)
    rows = names(("hr_HR", "nl_NL", "es_ES"), n=600, seed=3)
    known, unknown = rows[:1350], rows[1350:]
    alphabet = sorted({c for name, _ in known for c in name})
    train = encode(known, alphabet)
    valid = encode(unknown, alphabet)
    net = CharNet(len(alphabet) + 2)
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": train, "valid": valid,
            "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3), "batch_size": 30, "epochs": 8}
