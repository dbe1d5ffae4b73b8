"""Port of our old Keras model (model_v2.h5) to PyTorch: five kinds of CIFAR photographs.

Keras:
    Conv2D(16, 3, activation='relu') - MaxPooling2D - Conv2D(32, 3, activation='relu') - MaxPooling2D
    Flatten - Dense(64, activation='relu') - Dense(5, activation='softmax')
    compile(SGD(0.02, momentum=0.9), 'sparse_categorical_crossentropy')
"""
import torch
import torch.nn as nn
from data import cifar

ACTIVATIONS = {"relu": nn.ReLU, "softmax": lambda: nn.Softmax(dim=-1), "linear": nn.Identity}


def conv2d(cin, cout, k, activation="linear"):
    return nn.Sequential(nn.Conv2d(cin, cout, k), ACTIVATIONS[activation]())


def dense(nin, nout, activation="linear"):
    return nn.Sequential(nn.Linear(nin, nout), ACTIVATIONS[activation]())


class ModelV2(nn.Module):
    def __init__(self, n_classes=5):
        super().__init__()
        self.conv1 = conv2d(3, 16, 3, activation="relu")
        self.conv2 = conv2d(16, 32, 3, activation="relu")
        self.pool = nn.MaxPool2d(2)
        self.fc1 = dense(32 * 6 * 6, 64, activation="relu")
        self.fc2 = dense(64, n_classes, activation="softmax")

    def forward(self, x):
        x = self.pool(self.conv1(x))
        x = self.pool(self.conv2(x))
        return self.fc2(self.fc1(x.flatten(1)))


def channels_first(x):
    return torch.from_numpy(x).permute(0, 3, 1, 2).float().div(255).sub(0.5).mul(4)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = cifar(1500, 800, classes=(0, 1, 6, 7, 9))
    model = ModelV2()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    return {"network": model, "loss": nn.CrossEntropyLoss(), "train": (channels_first(x), torch.from_numpy(y)),
            "valid": (channels_first(xv), torch.from_numpy(yv)), "optimizer": optimizer, "batch_size": 32, "epochs": 7}
