"""A variational autoencoder beside plain torch on MNIST: as many epochs, or as good a bound on test digits.

The peer is what is usually written: the same networks, Adam, a DataLoader over a TensorDataset, and the binary
cross-entropy of torch. A second peer has no DataLoader: a permutation an epoch, and batches by index.

After as many updates our bound is 8 nats better. That is where the weights start (6 nats; torch's layers start smaller
than He and Glorot proposed) and that rows come less their mean (2): with both of them the plain loop reaches the same.
So two races ask for equal work, in single precision and with products of bfloat16; a third asks for an equal bound, for
which two of our epochs do what three of the peers' do.

Run by research.py: ``python benchmarks/research.py --room generative``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
EPOCHS, FEWER = 3, 2  # of the plain loops, and of ours to their bound


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


def ours(data: Digits, epochs: int, seed: int, precision: str = "float32") -> VAE:
    """Train the estimator."""
    return VAE(
        n_components=CODE, hidden=(WIDTH, WIDTH), binarize="resample", max_epochs=epochs, batch_size=BATCH,
        learning_rate=RATE, precision=precision, random_state=seed,
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


def race(quick: bool, title: str, settings: str, fit: Callable[[Digits, int], VAE], note: str) -> Race:
    """Race one way of ours with the plain loops, which take `EPOCHS` epochs."""
    data = digits(quick)
    return Race(
        title=title,
        data=f"MNIST, {len(data.train):,} rows drawn as bits anew in each step",
        sides={
            "gradus": Side(f"VAE(binarize='resample', {settings})", partial(fit, data), "torch"),
            "dataloader": Side(
                f"plain loop, {EPOCHS} epochs, DataLoader(shuffle=True, num_workers=0)",
                lambda seed: plain(data, EPOCHS, loaded, seed),
                "torch",
            ),
            "indexed": Side(
                f"plain loop, {EPOCHS} epochs, batches by index",
                lambda seed: plain(data, EPOCHS, indexed, seed),
                "torch",
            ),
        },
        quality=partial(bound, data),
        worse=worse,
        targets={"dataloader": 1 / 0.6, "indexed": 1.0},
        note=note,
    )


def epochs_of_mnist(quick: bool) -> Race:
    """Three epochs of a variational autoencoder with one stochastic layer."""
    return race(
        quick,
        f"Variational autoencoder, {EPOCHS} epochs in batches of {BATCH}",
        f"max_epochs={EPOCHS}",
        lambda data, seed: ours(data, EPOCHS, seed),
        "Equal work. The matrix products alone take half of the plain loop's time on one thread, at the processor's "
        "peak in single precision; what is saved lies in the optimizer's kernel and in how bits are drawn. Our bound "
        "is better because the weights start otherwise and rows are centred.",
    )


def bfloat16(quick: bool) -> Race:
    """As many epochs, with matrix products of bfloat16, which the plain loops do not use."""
    return race(
        quick,
        f"Variational autoencoder, {EPOCHS} epochs, ours with products of bfloat16",
        f"max_epochs={EPOCHS}, precision='bf16'",
        lambda data, seed: ours(data, EPOCHS, seed, "bf16"),
        "Not the same precision: our matrix products are of bfloat16, the plain loops' of float32. Bounds are computed "
        "in float32 on all sides. It takes a processor with instructions for bfloat16.",
    )


def equal_bound(quick: bool) -> Race:
    """Until the bound is that of the plain loops: two epochs for their three."""
    return race(
        quick,
        f"Variational autoencoder, to the bound that a plain loop has after {EPOCHS} epochs",
        f"max_epochs={FEWER}",
        lambda data, seed: ours(data, FEWER, seed),
        f"An equal or better test bound, not equal work: {FEWER} epochs of ours, {EPOCHS} of the plain loops, whose "
        "weights start as torch's layers do.",
    )


RACES = {"vae_epochs": epochs_of_mnist, "vae_epochs_bf16": bfloat16, "vae_bound": equal_bound}
