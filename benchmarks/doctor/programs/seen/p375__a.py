"""A critic that must tell sandals from ankle boots; hinge loss as in SNGAN."""
import torch
import torch.nn as nn
from torch.nn.utils.parametrizations import spectral_norm as sn
from torch.utils.data import DataLoader, TensorDataset
from data import fashion


class Critic(nn.Module):
    def __init__(self, ch=8):
        super().__init__()
        self.main = nn.Sequential(
            sn(nn.Conv2d(1, ch, 4, 2, 1, bias=False)), nn.LeakyReLU(0.1),
            sn(nn.Conv2d(ch, 2 * ch, 4, 2, 1, bias=False)), nn.LeakyReLU(0.1),
        )
        self.last = sn(nn.Linear(2 * ch * 49, 1))

    def forward(self, x):
        return self.last(self.main(x).flatten(1)).view(-1)


def hinge(score, label):
    return torch.relu(1.0 - label * score).mean()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(5000, 2500)

    def part(x, y):
        pick = (y == 5) | (y == 9)
        pictures = torch.tensor(x[pick]).float().unsqueeze(1) / 127.5 - 1
        return TensorDataset(pictures, torch.where(torch.tensor(y[pick]) == 9, 1.0, -1.0))

    critic = Critic()
    g = torch.Generator().manual_seed(seed)
    return {"network": critic, "loss": hinge, "train": DataLoader(part(x, y), 32, shuffle=True, generator=g),
            "valid": DataLoader(part(xv, yv), 128), "batch_size": 32, "epochs": 5,
            "optimizer": torch.optim.Adam(critic.parameters(), lr=2e-3, betas=(0.0, 0.9))}
