"""Handwritten digits, 8x8.  Port of a TF1 graph to torch."""
import torch
from sklearn.datasets import load_digits
from torch import nn

flags = {
    "hidden_units": (64, 64),
    "keep_prob": 0.9,
    "learning_rate": 1e-3,
    "num_epochs": 25,
    "batch_size": 32,
}


def dense_tower(n_in, units, n_out, keep_prob):
    tower = []
    for n in units:
        tower.append(nn.Linear(n_in, n))
        tower.append(nn.ReLU())
        tower.append(nn.Dropout(1 - keep_prob))
        n_in = n
    tower.append(nn.Linear(n_in, n_out))
    return nn.Sequential(*tower)


def input_fn():
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images / 16.0, dtype=torch.float32)
    y = torch.tensor(labels)
    return (x[:1347], y[:1347]), (x[1347:], y[1347:])


def build(seed=0):
    torch.manual_seed(seed)
    train, valid = input_fn()
    model = dense_tower(64, flags["hidden_units"], 10, flags["keep_prob"])
    return dict(network=model, loss=nn.CrossEntropyLoss(), train=train, valid=valid,
                optimizer=torch.optim.Adam(model.parameters(), lr=flags["learning_rate"]),
                batch_size=flags["batch_size"], epochs=flags["num_epochs"])
