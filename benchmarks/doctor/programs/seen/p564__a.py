"""Genres of films from who rated them and how: 14 yes/no questions a film (MovieLens).

A film is the vector of its ratings, one number a user: stars minus 3, 0 where the user has not rated it.
"""
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from data_west import films


def mlp(*sizes, dropout=0.0):
    """Fully connected network; sizes include input and output."""
    layers = []
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(n_in, n_out))
        if i < len(sizes) - 2:
            layers.append(nn.ReLU())
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


def dataset(seed=4):
    stars, genres, _, _ = films()
    x = np.where(stars > 0, stars - 3.0, 0.0).astype(np.float32)
    x = np.concatenate([x, (stars > 0).astype(np.float32)], axis=1)
    x /= np.sqrt((x ** 2).sum(1, keepdims=True) / 40)
    order = np.random.default_rng(seed).permutation(len(x))
    return torch.from_numpy(x[order]), torch.from_numpy(genres[order])


def build(seed=0):
    torch.manual_seed(seed)
    x, y = dataset()
    net = mlp(x.shape[1], 64, 32, y.shape[1], dropout=0.4)
    return dict(
        network=net,
        loss=nn.BCEWithLogitsLoss(),
        optimizer=torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-4),
        train=(x[:1500], y[:1500]),
        valid=(x[1500:], y[1500:]),
        batch_size=50,
        epochs=15,
    )
