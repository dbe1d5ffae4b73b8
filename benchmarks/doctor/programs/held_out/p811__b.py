"""Small CNN on three classes of CIFAR: ship, truck, frog. SGD + momentum with step decay."""
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from data import cifar

CLASSES = (6, 8, 9)


def to_tensor(images):
    t = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return (t - torch.tensor([0.48, 0.49, 0.47]).view(1, 3, 1, 1)) / 0.26


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 5, stride=2, padding=2)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc1 = nn.Linear(32 * 4 * 4, 64)
        self.fc2 = nn.Linear(64, len(CLASSES))

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc2(x)


class Trainer:
    """Holds the schedule; `step` is one batch."""

    def __init__(self, optimizer, batches_per_epoch):
        self.optimizer = optimizer
        self.scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.5)
        self.batches_per_epoch = batches_per_epoch
        self.done = 0

    def step(self, network, batch, optimizer, criterion):
        images, labels = batch
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(network(images), labels)
        loss.backward()
        optimizer.step()
        self.done += 1
        self.scheduler.step()
        return loss.item()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = cifar(1500, 600, classes=CLASSES)
    loader = DataLoader(TensorDataset(to_tensor(x), torch.from_numpy(y)), batch_size=32, shuffle=True)
    valid = (to_tensor(xv), torch.from_numpy(yv))
    net = Net()
    sgd = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    trainer = Trainer(sgd, len(loader))
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": loader, "valid": valid, "optimizer": sgd,
            "step": trainer.step, "batch_size": 32, "epochs": 10}
