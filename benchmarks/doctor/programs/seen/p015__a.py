"""Letters, dropout of one half, accuracy over batches."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from data import table


def test(network, loader):
    network.eval()
    correct = total = 0
    with torch.no_grad():
        for x, y in loader:
            correct += (network(x).argmax(dim=1) == y).sum().item()
            total += y.numel()
    return correct / total


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(16, 128)
        self.fc2 = nn.Linear(128, 128)
        self.fc3 = nn.Linear(128, 26)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        x = self.drop(torch.relu(self.fc1(x)))
        x = self.drop(torch.relu(self.fc2(x)))
        return self.fc3(x)


def build(seed=0):
    torch.manual_seed(seed)
    df = table("LetterRecognition").iloc[10_000:14_000]
    y = torch.tensor([ord(c) - 65 for c in df["lettr"]])
    x = torch.tensor(df.drop(columns="lettr").to_numpy(), dtype=torch.float32)
    x = (x - x.mean(0)) / x.std(0)
    g = torch.Generator().manual_seed(seed)
    train = DataLoader(TensorDataset(x[:3000], y[:3000]), batch_size=50, shuffle=True, generator=g)
    valid = DataLoader(TensorDataset(x[3000:], y[3000:]), batch_size=250)
    net = Net()
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=train, valid=valid, batch_size=50, epochs=8,
                optimizer=torch.optim.Adam(net.parameters(), lr=3e-3), evaluate=test)
