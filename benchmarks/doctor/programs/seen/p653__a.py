"""Spoken digits with SpecAugment-style masking (time and frequency), three speakers."""
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from data_birch import spoken


class Spectrograms(Dataset):
    """Standardized log-mel pictures; in training a band and a stretch of time are blanked."""

    def __init__(self, specs, digits, augment=False, band=4, stretch=10):
        self.specs = torch.as_tensor(specs)
        self.digits = torch.as_tensor(digits)
        self.augment, self.band, self.stretch = augment, band, stretch

    def __len__(self):
        return len(self.digits)

    def __getitem__(self, index):
        spec = self.specs[index].clone()
        if self.augment:
            f = int(torch.randint(0, spec.shape[1] - self.band, (1,)))
            t = int(torch.randint(0, 40 - self.stretch, (1,)))
            spec[:, f : f + self.band] = 0.0
            spec[t : t + self.stretch] = 0.0
        return spec.unsqueeze(0), self.digits[index]


def conv_block(c_in, c_out):
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU(), nn.MaxPool2d(2))


def build(seed=0):
    torch.manual_seed(seed)
    x, length, digit, _, take = spoken()
    held = take < 5
    voiced = np.arange(x.shape[1])[None] < length[:, None]
    mean, std = x[~held][voiced[~held]].mean(0), x[~held][voiced[~held]].std(0)
    x = np.where(voiced[..., None], (x - mean) / std, 0.0).astype(np.float32)
    train = DataLoader(Spectrograms(x[~held], digit[~held], augment=True), batch_size=30, shuffle=True)
    valid = DataLoader(Spectrograms(x[held], digit[held]), batch_size=50)
    net = nn.Sequential(conv_block(1, 12), conv_block(12, 24), conv_block(24, 32), nn.Flatten(), nn.Linear(32 * 7 * 2, 10))
    opt = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-3)
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=train, valid=valid, optimizer=opt, batch_size=30, epochs=11)
