"""
Car or horse?  Port of an old Keras notebook:

    model.add(Conv2D(16, 3, activation='relu')); model.add(MaxPooling2D()) ...
    model.compile(optimizer='adam', loss='binary_crossentropy', metrics=['accuracy'])
"""
import numpy as np
import torch
import torch.nn as nn
from data import cifar


def make_model():
    layers = []
    channels = 3
    for filters in (16, 24, 32):
        layers += [nn.Conv2d(channels, filters, kernel_size=3, padding="same"), nn.ReLU(), nn.MaxPool2d(2)]
        channels = filters
    layers += [nn.Flatten(), nn.Linear(32 * 4 * 4, 48), nn.ReLU(), nn.Dropout(0.25)]
    layers += [nn.Linear(48, 1), nn.Softmax(dim=1)]
    return nn.Sequential(*layers)


def to_channels_first(batch):
    return torch.from_numpy(np.ascontiguousarray(batch.transpose(0, 3, 1, 2))).float().div_(255.0)


def build(seed=0):
    torch.manual_seed(seed)
    x_train, y_train, x_test, y_test = cifar(1000, 400, classes=(1, 7))
    model = make_model()
    return {
        "network": model,
        "loss": nn.BCELoss(),
        "train": (to_channels_first(x_train), torch.from_numpy(y_train).float()[:, None]),
        "valid": (to_channels_first(x_test), torch.from_numpy(y_test).float()[:, None]),
        "optimizer": torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7),
        "batch_size": 32,
        "epochs": 8,
    }
