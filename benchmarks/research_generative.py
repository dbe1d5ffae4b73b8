"""A variational autoencoder beside plain torch: as many epochs on MNIST, an equal bound on test digits.

The peer is what is usually written: the same networks, Adam, a DataLoader over a TensorDataset, and the binary
cross-entropy of torch. A second peer has no DataLoader: a permutation an epoch, and batches by index.

Run by research.py: ``python benchmarks/research.py --room generative``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from recording import pictures_home
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from gradus.research.generative import VAE
from research import Race, Side

WIDTH, CODE, BATCH, RATE = 200, 50, 128, 1e-3
CLOSE = 0.5  # nats of the test bound: below it both sides learned alike; seeds differ by 0.2
CYCLE = 1024


@dataclass(frozen=True)
class Digits:
    """Grey training rows in [0, 1], and test rows drawn as bits once."""

    train: np.ndarray
    test: np.ndarray


def digits(quick: bool) -> Digits:
    """Return MNIST, or the first tenth of it."""
    with np.load(pictures_home() / "mnist.npz", allow_pickle=False) as file:
        train, test = (file[name].reshape(-1, 784).astype(np.float32) / 255 for name in ("x_train", "x_test"))
    if quick:
        train, test = train[:6000], test[:1000]
    return Digits(train, (np.random.default_rng(0).random(test.shape, dtype=np.float32) < test).astype(np.float32))


class Plain(nn.Module):
    """The same two networks as anybody would write them."""

    def __init__(self, mean: Tensor) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(784, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2 * CODE)
        )
        self.decoder = nn.Sequential(
            nn.Linear(CODE, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 784)
        )
        with torch.no_grad():
            self.decoder[-1].bias.copy_(torch.logit(mean, 1e-3))

    def forward(self, rows: Tensor) -> Tensor:
        """Return the negative bound, summed over rows."""
        mean, log_variance = self.encoder(rows).chunk(2, -1)
        code = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        fit = F.binary_cross_entropy_with_logits(self.decoder(code), rows, reduction="sum")
        return fit + 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()


def loaded(rows: Tensor, epochs: int) -> Iterator[Tensor]:
    """Yield batches of a DataLoader."""
    loader = DataLoader(TensorDataset(rows), batch_size=BATCH, shuffle=True)
    for _ in range(epochs):
        for (batch,) in loader:
            yield batch


def indexed(rows: Tensor, epochs: int) -> Iterator[Tensor]:
    """Yield batches by index."""
    for _ in range(epochs):
        for part in torch.randperm(len(rows)).split(BATCH):
            yield rows[part]


def plain(data: Digits, epochs: int, batches: Any, seed: int) -> Plain:
    """Train by a loop."""
    torch.manual_seed(seed)
    rows = torch.from_numpy(data.train)
    model = Plain(rows.mean(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for grey in batches(rows, epochs):
        bits = torch.bernoulli(grey)
        optimizer.zero_grad()
        (model(bits) / len(bits)).backward()
        optimizer.step()
    return model


def ours(data: Digits, epochs: int, seed: int) -> VAE:
    """Train the estimator."""
    return VAE(
        n_components=CODE, hidden=(WIDTH, WIDTH), binarize="resample", max_epochs=epochs, batch_size=BATCH,
        learning_rate=RATE, random_state=seed,
    ).fit(data.train)  # fmt: skip


def bound(data: Digits, fitted: Any) -> dict[str, float]:
    """Return the evidence bound of the test bits, and how many weights learned."""
    if isinstance(fitted, VAE):
        parameters = sum(p.numel() for p in fitted.network_.parameters())
        return {"elbo": float(fitted.elbo(data.test).mean()), "parameters": float(parameters)}
    torch.manual_seed(0)
    with torch.no_grad():
        total = sum(float(fitted(part)) for part in torch.from_numpy(data.test).split(CYCLE))
    return {"elbo": -total / len(data.test), "parameters": float(sum(p.numel() for p in fitted.parameters()))}


def worse(ours: Mapping[str, float], theirs: Mapping[str, float]) -> str:
    """Return why our result is not as good."""
    if ours["parameters"] != theirs["parameters"]:
        return f"{ours['parameters']:.0f} weights, not {theirs['parameters']:.0f}"
    gap = theirs["elbo"] - ours["elbo"]
    return f"test bound {gap:.2f} nats lower" if gap > CLOSE else ""


def epochs_of_mnist(quick: bool) -> Race:
    """Three epochs of a variational autoencoder with one stochastic layer."""
    data, epochs = digits(quick), 3
    return Race(
        title=f"Variational autoencoder, {epochs} epochs in batches of {BATCH}",
        data=f"MNIST, {len(data.train):,} rows drawn as bits anew in each step",
        sides={
            "gradus": Side("VAE(binarize='resample')", partial(ours, data, epochs), "torch"),
            "dataloader": Side(
                "plain loop, DataLoader(shuffle=True, num_workers=0)",
                lambda seed: plain(data, epochs, loaded, seed),
                "torch",
            ),
            "indexed": Side("plain loop, batches by index", lambda seed: plain(data, epochs, indexed, seed), "torch"),
        },
        quality=partial(bound, data),
        worse=worse,
        targets={"dataloader": 1 / 0.6},
        note="Beside the loop without a DataLoader there is little to win: both sides spend their time in the same "
        "matrix products.",
    )


RACES = {"vae_epochs": epochs_of_mnist}
