"""Women's or men's first name? A plain tanh RNN over letters."""
import torch
import torch.nn as nn

from data_cedar import first_names

PAD_TO = 24


class NameRNN(nn.Module):
    def __init__(self, embed=12, hidden=48):
        super().__init__()
        self.embed = nn.Embedding(27, embed, padding_idx=0)
        self.rnn = nn.RNN(embed, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, 1)

    def forward(self, letters):
        states, _ = self.rnn(self.embed(letters))
        return self.fc(states[:, -1]).squeeze(1)


def to_ids(name):
    ids = [ord(c) - ord("a") + 1 for c in name]
    return ids + [0] * (PAD_TO - len(ids))


def build(seed=0):
    torch.manual_seed(seed)
    df = first_names(4000, seed=seed)
    x = torch.tensor([to_ids(n) for n in df["name"]])
    y = torch.tensor((df["gender"] == "F").to_numpy(), dtype=torch.float32)
    model = NameRNN()
    return {
        "network": model,
        "loss": nn.BCEWithLogitsLoss(),
        "optimizer": torch.optim.RMSprop(model.parameters(), lr=1e-3),
        "train": (x[:3200], y[:3200]),
        "valid": (x[3200:], y[3200:]),
        "batch_size": 40,
        "epochs": 8,
    }
