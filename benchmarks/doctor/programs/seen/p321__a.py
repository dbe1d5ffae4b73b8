"""8x8 digits with random erasing, a dataset that augments on the fly."""
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset


class ErasingDigits(Dataset):
    def __init__(self, images, labels, size=3, p=0.8):
        self.images = torch.as_tensor(images, dtype=torch.float32)
        self.labels = torch.as_tensor(labels)
        self.size, self.p = size, p

    def __len__(self):
        return self.images.shape[0]

    def __getitem__(self, index):
        image, label = self.images[index], self.labels[index]
        if torch.rand(()) < self.p:
            top, left = torch.randint(0, 9 - self.size, (2,)).tolist()
            image[:, top : top + self.size, left : left + self.size] = 0.0
        return image, label


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        )
        self.classifier = nn.Linear(16 * 4 * 4, 10)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def build(seed=0):
    torch.manual_seed(seed)
    bunch = load_digits()
    order = np.random.RandomState(99).permutation(len(bunch.target))
    images, labels = bunch.images[order][:, None] / 16.0, bunch.target[order]
    train = ErasingDigits(images[:1200], labels[:1200])
    valid = ErasingDigits(images[1200:], labels[1200:], p=0.0)
    model = ConvNet()
    return dict(network=model, loss=nn.CrossEntropyLoss(), train=DataLoader(train, batch_size=24, shuffle=True),
                valid=DataLoader(valid, batch_size=200), optimizer=torch.optim.Adam(model.parameters(), lr=2e-3),
                batch_size=24, epochs=10)
