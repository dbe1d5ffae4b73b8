"""Photographs of four kinds of things (plane, car, deer, ship): a small convolutional network with batch norm."""
import torch
from data import cifar
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset


class Flipped(Dataset):
    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = self.images[index]
        return (image.flip(2) if torch.rand(1).item() < 0.5 else image), self.labels[index]


def block(c_in, c_out):
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(),
                         nn.MaxPool2d(2))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = cifar(2000, 800, classes=(0, 1, 4, 8))
    x, xv = (torch.tensor(a).permute(0, 3, 1, 2).float() / 255 for a in (x, xv))
    mean, std = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True)
    x, xv = (x - mean) / std, (xv - mean) / std
    net = nn.Sequential(
        nn.Conv2d(3, 12, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU(),
        block(12, 24), block(24, 48),
        nn.Flatten(), nn.Dropout(0.4), nn.Linear(48 * 16, 4),
    )
    generator = torch.Generator().manual_seed(seed)
    return dict(
        network=net,
        loss=nn.CrossEntropyLoss(),
        train=DataLoader(Flipped(x, torch.tensor(y)), batch_size=50, shuffle=True, generator=generator),
        valid=DataLoader(TensorDataset(xv, torch.tensor(yv)), batch_size=200),
        optimizer=torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2),
        batch_size=50,
        epochs=10,
    )
