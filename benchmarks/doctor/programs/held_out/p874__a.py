"""LeNet-like network for 8x8 digits with a DataLoader."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset
from data_cedar import small_digits


class Digits(Dataset):
    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        image = torch.as_tensor(self.images[i], dtype=torch.float32) / 16.0
        return image.unsqueeze(0), int(self.labels[i])


class TinyLeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3)
        self.drop = nn.Dropout(0.25)
        self.fc1 = nn.Linear(32 * 3 * 3, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = self.drop(x.flatten(1))
        return self.fc2(F.relu(self.fc1(x)))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xt, yt = small_digits()
    lenet = TinyLeNet()
    return {"network": lenet, "loss": nn.CrossEntropyLoss(),
            "train": DataLoader(Digits(x, y), batch_size=32, shuffle=True),
            "valid": DataLoader(Digits(xt, yt), batch_size=128),
            "optimizer": torch.optim.SGD(lenet.parameters(), lr=0.05, momentum=0.9),
            "batch_size": 32, "epochs": 8}
