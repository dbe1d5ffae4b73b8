"""GunPoint: is the hand drawing a gun or pointing? 50 series to train on, so they are jittered at every visit."""
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from data_cedar import recordings


class Motions(Dataset):
    def __init__(self, x, y, augment=False):
        self.x = torch.from_numpy(x).float()
        self.y = torch.from_numpy(y)
        self.augment = augment

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        x = self.x[i]
        if self.augment:
            scale = 1.0 + 0.1 * torch.randn(1)
            x *= scale
            x += 0.3 * torch.randn(len(x))
        return x.unsqueeze(0), self.y[i]


def block(n_in, n_out, kernel):
    return nn.Sequential(
        nn.Conv1d(n_in, n_out, kernel, padding=kernel // 2),
        nn.GroupNorm(4, n_out),
        nn.ReLU(),
        nn.MaxPool1d(2),
    )


class ConvClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(block(1, 16, 9), block(16, 32, 7), block(32, 32, 5))
        self.head = nn.Linear(32 * 18, 2)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, x_test, y_test = recordings("GunPoint")
    net = ConvClassifier()
    return dict(
        network=net,
        loss=nn.CrossEntropyLoss(),
        train=DataLoader(Motions(x, y, augment=True), batch_size=10, shuffle=True),
        valid=DataLoader(Motions(x_test, y_test), batch_size=50),
        optimizer=torch.optim.Adam(net.parameters(), lr=1e-3),
        batch_size=10,
        epochs=80,
    )
