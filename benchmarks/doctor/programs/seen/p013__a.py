"""MNIST with augmentation in the data set: random crops, put back in place on black."""
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from data import mnist


class RandomCrops(Dataset):
    def __init__(self, images, labels, size=6):
        self.images, self.labels, self.size = images, labels, size

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        top, left = torch.randint(0, 29 - self.size, (2,)).tolist()
        picture = torch.zeros_like(self.images[i])
        window = (slice(None), slice(top, top + self.size), slice(left, left + self.size))
        picture[window] = self.images[i][window]
        return picture, self.labels[i]


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(1500, 800)
    x, xv = (torch.tensor(a).unsqueeze(1).float() / 255 for a in (x, xv))
    y, yv = torch.tensor(y), torch.tensor(yv)
    net = nn.Sequential(nn.Conv2d(1, 8, 5, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 5, stride=2), nn.ReLU(), nn.Flatten(),
                        nn.Linear(256, 10))
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=DataLoader(RandomCrops(x, y), batch_size=50, shuffle=True),
                valid=DataLoader(TensorDataset(xv, yv), batch_size=400), batch_size=50, epochs=6,
                optimizer=torch.optim.Adam(net.parameters(), lr=3e-3))
