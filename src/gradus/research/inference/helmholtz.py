"""The Helmholtz machine: a sigmoid belief network and its recognition network, learned by wake and sleep (§19.5.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradus.core.options import option
from gradus.core.randomness import derive
from gradus.data.batches import Batch
from gradus.research.generative.belief import SigmoidBelief
from gradus.research.generative.belief_net import BeliefEstimator
from gradus.research.generative.binarization import drawn_bits
from gradus.research.generative.bounds import summed
from gradus.training.losses import Loss, LossFunction
from gradus.training.options import TrainingOptions
from gradus.training.player import Player

__all__ = ["HelmholtzMachine", "WakeSleepLoss", "dream"]


@torch.no_grad()
def dream(
    network: SigmoidBelief, size: int, generator: torch.Generator
) -> tuple[Float[Tensor, "size features"], list[Tensor]]:
    """Draw rows with their causes from the generative network, from the top down.

    Parameters
    ----------
    network : SigmoidBelief
        The model.
    size : int
        Rows.
    generator : torch.Generator
        On the network's device.

    Returns
    -------
    Tensor of shape (size, features), list of Tensor
        Rows, and hidden layers from the one above the rows up.

    Examples
    --------
    >>> rows, layers = dream(SigmoidBelief(torch.full((6,), 0.5), (4, 2)), 3, torch.Generator().manual_seed(0))
    >>> rows.shape, [tuple(layer.shape) for layer in layers]
    (torch.Size([3, 6]), [(3, 4), (3, 2)])
    """
    state = torch.bernoulli(torch.sigmoid(network.prior).expand(size, -1), generator=generator)
    layers = [state]
    for down in list(network.down)[::-1]:
        state = torch.bernoulli(torch.sigmoid(down(state)), generator=generator)
        layers.insert(0, state)
    return layers[0], layers[1:]


@dataclass(frozen=True, eq=False)
class WakeSleepLoss:
    r"""The losses of the two phases, and the bound that neither of them lowers by itself.

    Awake, causes are guessed and the generative network learns to make them and the rows likely,
    :math:`-\log p(x, h), h \sim q(h \mid x)`. Asleep, it dreams and the recognition network learns to guess the
    dream's causes, :math:`-\log q(h \mid x), (x, h) \sim p`. ``"bound"`` is the negative evidence lower bound,
    :math:`\log q(h \mid x) - \log p(x, h), h \sim q`, for measuring.

    Parameters
    ----------
    phase : {"wake", "sleep", "bound"}
        See above. Sleep takes of the batch only its size.
    full : float
        Value of a one in the batch.
    resample : bool
        Draw bits of grey pixels anew each time.

    References
    ----------
    Goodfellow et al. 2016, §19.5.1; Hinton, Dayan, Frey & Neal 1995, The wake-sleep algorithm.
    """

    phase: Literal["wake", "sleep", "bound"]
    full: float = 1.0
    resample: bool = False

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        model: Any = network
        rows = batch["inputs"]
        if self.phase == "sleep":
            dreamt, layers = dream(model, len(rows), generator)
            return summed(-model.log_guess(dreamt.to(rows.dtype), [layer.to(rows.dtype) for layer in layers]), batch)
        if self.resample:
            rows = drawn_bits(rows, self.full, generator)
        rows = rows / self.full
        shape = (1, len(rows), sum(model.widths))
        uniform = torch.rand(shape, generator=generator, dtype=rows.dtype, device=rows.device)
        with torch.no_grad():
            drawn, _ = model.infer(rows, uniform)
        layers = [layer[0] for layer in drawn]
        log_joint = model.log_joint(rows, layers)
        if self.phase == "wake":
            return summed(-log_joint, batch)
        return summed(model.log_guess(rows, layers) - log_joint, batch)


@dataclass(kw_only=True, eq=False, repr=False)
class HelmholtzMachine(BeliefEstimator):
    """Layers of binary causes, and a network that guesses them, learned by two players that never see one loss.

    The wake phase learns to generate from guessed causes of real rows, the sleep phase to guess the causes of dreams.
    Each is plain maximum likelihood, without noise from discrete units; but sleep lowers the divergence the wrong way
    round, on dreams, so the bound need not rise at each step. `SigmoidBeliefNet` raises the bound itself.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = (load_digits().images > 7).astype(float)
    >>> model = HelmholtzMachine(hidden=(32,), max_epochs=20, learning_rate=1e-2, random_state=0).fit(X[:1500])
    >>> bool(model.score(X[1500:]) > -22)  # nats; independent pixels reach -24.6
    True
    >>> model.sample(2, random_state=0).shape
    (2, 8, 8)

    References
    ----------
    Goodfellow et al. 2016, §19.5.1, §20.10.1; Dayan, Hinton, Neal & Zemel 1995, The Helmholtz machine.
    """

    sleep_every: int = option(1, "batches between two turns of sleep", unit="batches", low=1)

    def _build(self) -> SigmoidBelief:
        return SigmoidBelief(torch.from_numpy(self.location_), self.hidden)

    def _loss(self, network: Any) -> LossFunction:
        return WakeSleepLoss("bound", self.full_, self.binarize == "resample")

    def _players(self, network: Any, options: TrainingOptions, seed: int) -> list[Player]:
        generative = [*network.down.parameters(), network.prior]
        resample = self.binarize == "resample"
        return [
            Player(
                "wake",
                network,
                WakeSleepLoss("wake", self.full_, resample),
                options,
                parameters=generative,
                seed=derive(seed, "wake"),
            ),
            Player(
                "sleep",
                network,
                WakeSleepLoss("sleep"),
                options,
                parameters=network.up.parameters(),
                every=self.sleep_every,
                seed=derive(seed, "sleep"),
            ),
        ]
