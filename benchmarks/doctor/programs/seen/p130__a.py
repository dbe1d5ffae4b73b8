"""Letters; all weights drawn by hand."""
import torch
import torch.nn as nn
from data import table


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(16, 80), nn.Linear(80, 80), nn.Linear(80, 26)
        nn.init.normal_(self.fc1.weight, std=(2 / 16) ** 0.5)
        nn.init.normal_(self.fc2.weight, std=(2 / 80) ** 0.5)
        nn.init.normal_(self.out.weight, std=(1 / 80) ** 0.5)

    def forward(self, x):
        x = torch.relu(self.fc1(x))
        return self.out(torch.relu(self.fc2(x)))


def build(seed=0):
    torch.manual_seed(seed)
    df = table("LetterRecognition").sample(4000, random_state=50)
    y = torch.tensor([ord(c) - 65 for c in df["lettr"]])
    x = torch.tensor(df.drop(columns="lettr").to_numpy(), dtype=torch.float32)
    x = (x - x.mean(0)) / x.std(0)
    net = Net()
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[:3200], y[:3200]), "valid": (x[3200:], y[3200:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3), "batch_size": 50, "epochs": 10}
