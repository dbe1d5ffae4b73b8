"""Planes, cars, deer and frogs in CIFAR photographs. Own little `transforms`, a Dataset, an AlexNet-like network."""
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from data import cifar

IMAGENET_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
IMAGENET_STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def to_tensor(image):
    """(H, W, C) picture -> (C, H, W) tensor."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float()


def normalize(tensor):
    return (tensor - IMAGENET_MEAN) / IMAGENET_STD


class Photos(Dataset):
    def __init__(self, images, labels, flip=False, seed=0):
        self.images = torch.stack([normalize(to_tensor(image)) for image in images])
        self.labels, self.flip = labels, flip
        self.rng = np.random.default_rng(seed)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = self.images[index]
        if self.flip and self.rng.random() < 0.5:
            image = image.flip(-1)
        return image, int(self.labels[index])


class MiniAlexNet(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, kernel_size=5, stride=2, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Linear(32 * 4 * 4, 64), nn.ReLU(inplace=True), nn.Linear(64, num_classes))

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = cifar(1600, 600, classes=(0, 1, 4, 6))
    net = MiniAlexNet(4)
    g = torch.Generator().manual_seed(seed)
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": DataLoader(Photos(x, y, flip=True, seed=seed), batch_size=32, shuffle=True, generator=g),
        "valid": DataLoader(Photos(xv, yv), batch_size=200),
        "optimizer": torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9),
        "batch_size": 32,
        "epochs": 8,
    }
