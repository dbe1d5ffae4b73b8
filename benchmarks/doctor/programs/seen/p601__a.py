"""Ported from my old Keras script: Conv2D x2, Dense, categorical_crossentropy, Fashion-MNIST.

Keras:  model.add(Dense(10, ...)); model.compile(loss='categorical_crossentropy', optimizer='adam')
"""
import numpy as np
import torch
import torch.nn as nn

from data import fashion

NUM_CLASSES = 10
BATCH_SIZE = 64
EPOCHS = 4


def to_categorical(y, num_classes):
    return np.eye(num_classes, dtype="float32")[y]


def categorical_crossentropy(y_pred, y_true, eps=1e-7):
    y_pred = y_pred.clamp(eps, 1 - eps)
    return -(y_true * torch.log(y_pred)).sum(dim=-1).mean()


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 12, kernel_size=3)
        self.conv2 = nn.Conv2d(12, 24, kernel_size=3)
        self.pool = nn.MaxPool2d(2)
        self.dense1 = nn.Linear(24 * 5 * 5, 64)
        self.dense2 = nn.Linear(64, NUM_CLASSES)
        self.output = nn.Sigmoid()

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = torch.relu(self.dense1(x.flatten(1)))
        return self.output(self.dense2(x))


def build(seed=0):
    torch.manual_seed(seed)
    x_train, y_train, x_test, y_test = fashion(2500, 1000)
    x_train = torch.from_numpy(x_train[:, None].astype("float32") / 255)
    x_test = torch.from_numpy(x_test[:, None].astype("float32") / 255)
    y_train, y_test = (torch.from_numpy(to_categorical(y, NUM_CLASSES)) for y in (y_train, y_test))
    model = Model()
    return {
        "network": model,
        "loss": categorical_crossentropy,
        "train": (x_train, y_train),
        "valid": (x_test, y_test),
        "optimizer": torch.optim.Adam(model.parameters(), lr=2e-3, eps=1e-7),
        "batch_size": BATCH_SIZE,
        "epochs": EPOCHS,
    }
