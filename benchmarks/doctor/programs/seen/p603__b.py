"""Convolutional autoencoder, MNIST. transforms: ToTensor, Normalize((0.1307,), (0.3081,))."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

from data import mnist


class Normalize:
    def __init__(self, mean, std):
        self.mean, self.std = mean, std

    def __call__(self, img):
        return (img - self.mean) / self.std


class DigitImages(Dataset):
    def __init__(self, images, transform=None):
        self.images = torch.from_numpy(images).float().div(255).unsqueeze(1)
        self.transform = transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        img = self.images[i]
        if self.transform:
            img = self.transform(img)
        return img, img


class ConvAutoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(16, 8, 3, stride=2, padding=1)
        self.t_conv1 = nn.ConvTranspose2d(8, 16, 2, stride=2)
        self.t_conv2 = nn.ConvTranspose2d(16, 1, 2, stride=2)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.relu(self.t_conv1(x))
        x = torch.sigmoid(self.t_conv2(x))
        return x


def build(seed=0):
    torch.manual_seed(seed)
    x, _, xv, _ = mnist(1500, 400)
    transform = Normalize(0.1307, 0.3081)
    train_loader = DataLoader(DigitImages(x, transform), batch_size=32, shuffle=True, generator=torch.Generator().manual_seed(seed))
    test_loader = DataLoader(DigitImages(xv, transform), batch_size=100)
    model = ConvAutoencoder()
    return {
        "network": model,
        "loss": nn.MSELoss(),
        "train": train_loader,
        "valid": test_loader,
        "optimizer": torch.optim.Adam(model.parameters(), lr=0.002),
        "batch_size": 32,
        "epochs": 6,
    }
