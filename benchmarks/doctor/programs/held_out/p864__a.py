"""DnCNN in small (Zhang et al. 2017): learn the noise, subtract it. Pictures of clothes, noise of 0.3.

Course "Image restoration", exercise 5.
"""
import torch
import torch.nn as nn
from data import fashion


class DnCNN(nn.Module):
    def __init__(self, depth=4, width=16):
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.convs = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(depth)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(width)] * depth)
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, noisy):
        h = torch.relu(self.first(noisy))
        for conv, norm in zip(self.convs, self.norms):
            h = torch.relu(norm(conv(h)))
        return noisy - self.last(h)


def add_noise(pictures, sigma, generator):
    return pictures + sigma * torch.randn(pictures.shape, generator=generator)


def build(seed=0):
    torch.manual_seed(seed)
    clean, _, clean_valid, _ = fashion(900, 300)
    clean, clean_valid = (torch.from_numpy(a).unsqueeze(1).float() / 255 for a in (clean, clean_valid))
    g = torch.Generator().manual_seed(17)
    model = DnCNN()
    return {
        "network": model,
        "loss": nn.MSELoss(),
        "train": (add_noise(clean, 0.3, g), clean),
        "valid": (add_noise(clean_valid, 0.3, g), clean_valid),
        "optimizer": torch.optim.Adam(model.parameters(), lr=3e-3),
        "batch_size": 20,
        "epochs": 6,
    }
