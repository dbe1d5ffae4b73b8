"""Ships against horses in colour: a small convolutional network, one logit."""
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from data import cifar


class TwoKinds(Dataset):
    """Photographs as float tensors, channels first, about standard."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = torch.from_numpy(self.images[index]).float() / 255
        image = image.permute(2, 0, 1)
        return (image - 0.46) / 0.25, torch.tensor([float(self.labels[index])])


def conv_block(c_in, c_out):
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(), nn.MaxPool2d(2))


class SmallCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(conv_block(3, 16), conv_block(16, 32), conv_block(32, 32))
        self.classifier = nn.Linear(32, 1)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = cifar(1000, 400, classes=(7, 8))
    net = SmallCNN()
    return dict(
        network=net,
        loss=nn.BCEWithLogitsLoss(),
        train=DataLoader(TwoKinds(x, y), batch_size=40, shuffle=True),
        valid=DataLoader(TwoKinds(xv, yv), batch_size=100),
        optimizer=torch.optim.Adam(net.parameters(), lr=2e-3),
        batch_size=40,
        epochs=8,
    )
