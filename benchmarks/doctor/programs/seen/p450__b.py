"""Residual denoiser (a small DnCNN) on patches of one photograph, noise level 30/255."""
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset

from data_south import patches

SIGMA = 30 / 255


class NoisyPatches(Dataset):
    def __init__(self, clean):
        self.clean = torch.from_numpy(clean).unsqueeze(1)

    def __len__(self):
        return self.clean.size(0)

    def __getitem__(self, i):
        noise = SIGMA * torch.randn(1, 16, 16)
        return self.clean[i] + noise, self.clean[i]


class DnCNN(nn.Module):
    def __init__(self, depth=4, width=24):
        super().__init__()
        layers = [nn.Conv2d(1, width, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        layers.append(nn.Conv2d(width, 1, 3, padding=1))
        self.dncnn = nn.Sequential(*layers)

    def forward(self, noisy):
        return self.dncnn(noisy)


def objective(network, batch):
    noisy, clean = batch
    residual = network(noisy)
    return nn.functional.mse_loss(residual, clean)


@torch.no_grad()
def psnr(network, valid):
    network.eval()
    clean = valid.dataset.clean
    noisy = clean + SIGMA * torch.randn(clean.shape, generator=torch.Generator().manual_seed(99))
    denoised = (noisy - network(noisy)).clamp(0, 1)
    return float(-10 * torch.log10(((denoised - clean) ** 2).mean()))


def build(seed=0):
    torch.manual_seed(seed)
    train = NoisyPatches(patches("camera", n=1500, seed=1))
    valid = NoisyPatches(patches("coffee", n=300, seed=2))
    network = DnCNN()
    return {"network": network, "objective": objective, "evaluate": psnr,
            "train": DataLoader(train, batch_size=32, shuffle=True), "valid": DataLoader(valid, batch_size=100),
            "optimizer": torch.optim.Adam(network.parameters(), lr=1e-3), "batch_size": 32, "epochs": 5}
