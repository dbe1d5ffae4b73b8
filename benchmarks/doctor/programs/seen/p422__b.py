"""Is a surname Irish, German or Croatian?  Plain recurrent network, names padded to one length."""
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from data import names

PAD_TO = 40


class Surnames(Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        name, country = self.rows[index]
        ids = [1 + "abcdefghijklmnopqrstuvwxyz".find(c) + 1 for c in name.lower()][:PAD_TO]
        return torch.tensor(ids + [0] * (PAD_TO - len(ids))), country


class RNNClassifier(nn.Module):
    def __init__(self, embedding_dim=16, hidden_dim=48):
        super().__init__()
        self.embedding = nn.Embedding(28, embedding_dim, padding_idx=0)
        self.rnn = nn.RNN(embedding_dim, hidden_dim, batch_first=True)
        self.fc = nn.Linear(hidden_dim, 3)

    def forward(self, text):
        output, _ = self.rnn(self.embedding(text))
        last = output[torch.arange(len(text)), (text != 0).sum(1) - 1]
        return self.fc(last)


def build(seed=0):
    torch.manual_seed(seed)
    rows = names(("ga_IE", "de_AT", "hr_HR"), n=800, seed=6)
    net = RNNClassifier()
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": DataLoader(Surnames(rows[:1900]), batch_size=32, shuffle=True),
        "valid": DataLoader(Surnames(rows[1900:]), batch_size=100),
        "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3),
        "batch_size": 32,
        "epochs": 10,
    }
