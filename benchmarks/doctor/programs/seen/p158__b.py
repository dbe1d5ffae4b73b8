"""Letters of twenty fonts."""
import torch
import torch.nn as nn
from data import table


class LetterNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.input = nn.Linear(16, 128)
        self.hidden = nn.Linear(128, 64)
        self.output = nn.Linear(64, 26)

    def forward(self, x):
        x = self.input(x)
        x = self.hidden(x)
        return self.output(x)


def build(seed=0):
    torch.manual_seed(seed)
    df = table("LetterRecognition").sample(4500, random_state=0)
    y = torch.tensor([ord(c) - ord("A") for c in df["lettr"]])
    x = torch.tensor(df.drop(columns="lettr").to_numpy(), dtype=torch.float32)
    x = (x - x[:3500].mean(0)) / x[:3500].std(0)
    net = LetterNet()
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[:3500], y[:3500]), "valid": (x[3500:], y[3500:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3), "batch_size": 64, "epochs": 12}
