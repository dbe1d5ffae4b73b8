"""Letters from sixteen numbers."""
import torch
from torch import nn
from data import table


class Classifier(nn.Module):
    def __init__(self, p=0.1):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(16, 96), nn.ReLU(), nn.Dropout(p),
            nn.Linear(96, 96), nn.ReLU(), nn.Dropout(p),
            nn.Linear(96, 26),
        )

    def forward(self, x):
        return self.net(x)


def build(seed=0):
    torch.manual_seed(seed)
    df = table("LetterRecognition").iloc[4000:8000]
    letters = sorted(df["lettr"].unique())
    y = torch.tensor([letters.index(c) for c in df["lettr"]])
    x = torch.tensor(df.drop(columns="lettr").values, dtype=torch.float32) / 7.5 - 1
    net = Classifier()
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(x[:3200], y[:3200]), valid=(x[3200:], y[3200:]),
                optimizer=torch.optim.Adam(net.parameters(), lr=5e-3), batch_size=64, epochs=12)
