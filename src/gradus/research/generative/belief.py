"""Sigmoid belief networks: binary causes above binary effects, with a network that guesses the causes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError
from gradus.data.batches import Batch
from gradus.networks.feedforward import MLP
from gradus.networks.heads.base import single
from gradus.networks.initialization import initialize
from gradus.research.generative.binarization import drawn_bits
from gradus.research.generative.bounds import summed
from gradus.research.generative.random_operations import score_function, vimco
from gradus.training.losses import Loss

__all__ = ["BeliefLoss", "SigmoidBelief", "exact_log_likelihood"]

ENUMERATED = 1 << 14  # states of one layer
DECAY = 0.9  # of the running moments of the learning signal


def log_bernoulli(bits: Tensor, logits: Tensor) -> Tensor:
    """Return ``log p(bits)`` of independent bits, summed over the last axis."""
    logits = single(logits)
    return (bits * logits - F.softplus(logits)).sum(-1)


class SigmoidBelief(nn.Module):
    """``p(h_L) Π p(h_{l-1} | h_l)``, every bit's log-odds affine in the layer above, and ``q`` the other way.

    Parameters
    ----------
    mean : Tensor of shape (features,)
        Share of ones in each column of the training rows, where the visible biases start.
    hidden : sequence of int
        Units of each layer, the one above the rows first.
    baseline : int
        Hidden units of the network that predicts the learning signal of a row (`BeliefLoss`); 0 leaves it out.

    Examples
    --------
    >>> network = SigmoidBelief(torch.full((6,), 0.5), (4, 2))
    >>> network(torch.zeros(3, 6)).shape  # probabilities that the units above the rows are on
    torch.Size([3, 4])

    References
    ----------
    Goodfellow et al. 2016, §20.10.1, eq. 20.70; Neal 1992; Mnih & Gregor 2014 (the recognition network).
    """

    mean: Tensor
    signal_mean: Tensor
    signal_square: Tensor

    def __init__(self, mean: Float[Tensor, " features"], hidden: Sequence[int], baseline: int = 0) -> None:
        super().__init__()
        widths = [len(mean), *hidden]
        self.register_buffer("mean", mean.float())
        self.down = nn.ModuleList(nn.Linear(above, below) for below, above in itertools.pairwise(widths))
        self.up = nn.ModuleList(nn.Linear(below, above) for below, above in itertools.pairwise(widths))
        for layer in (*self.down, *self.up):
            initialize(layer, "glorot")
        with torch.no_grad():
            first: Any = self.down[0]
            first.bias.copy_(torch.logit(mean.double(), 1e-9).clamp(-5, 5))
        self.prior = nn.Parameter(torch.zeros(widths[-1]))
        self.widths = tuple(widths[1:])
        self.register_buffer("signal_mean", torch.zeros(()))
        self.register_buffer("signal_square", torch.ones(()))
        self.baseline: nn.Sequential | None = None
        if baseline:
            last = nn.Linear(baseline, 1)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.baseline = nn.Sequential(MLP(len(mean), (baseline,), activation="tanh"), last)

    def _above(self, index: int, below: Tensor) -> Tensor:
        """Return the log-odds of ``q`` for layer ``index`` of hidden units, given the layer below."""
        return single(self.up[index](below - self.mean if index == 0 else 2 * below - 1))

    def forward(self, rows: Float[Tensor, "batch features"]) -> Float[Tensor, "batch hidden"]:
        """Return ``q(h_1 = 1 | x)`` of rows of zeros and ones."""
        return torch.sigmoid(self._above(0, rows))

    def infer(
        self, rows: Float[Tensor, "batch features"], uniform: Float[Tensor, "draws batch units"]
    ) -> tuple[list[Tensor], Float[Tensor, "draws batch"]]:
        """Draw all hidden layers from ``q``, and return them with ``log q(h | x)``.

        Parameters
        ----------
        rows : Tensor of shape (batch, features)
            Zeros and ones.
        uniform : Tensor of shape (draws, batch, units)
            Uniform on [0, 1), for the units of all layers.
        """
        layers: list[Tensor] = []
        total: Tensor | float = 0.0
        below = rows
        for index, part in enumerate(uniform.split(self.widths, -1)):
            logits = self._above(index, below)
            below = (part < torch.sigmoid(logits)).to(rows.dtype)
            layers.append(below)
            total = total + log_bernoulli(below, logits)
        return layers, torch.as_tensor(total)

    def log_guess(self, rows: Tensor, layers: Sequence[Tensor]) -> Tensor:
        """Return ``log q(h | x)`` of given hidden layers."""
        terms = [
            log_bernoulli(above, self._above(i, below))
            for i, (below, above) in enumerate(itertools.pairwise([rows, *layers]))
        ]
        return torch.stack(torch.broadcast_tensors(*terms)).sum(0)

    def log_joint(self, rows: Tensor, layers: Sequence[Tensor]) -> Tensor:
        """Return ``log p(x, h)`` of given hidden layers."""
        total = log_bernoulli(layers[-1], self.prior)
        for layer, (below, above) in zip(self.down, itertools.pairwise([rows, *layers]), strict=True):
            total = total + log_bernoulli(below, layer(above))
        return total

    def generate(self, size: int, generator: torch.Generator) -> Float[Tensor, "size features"]:
        """Draw rows, from the top down."""
        state = torch.bernoulli(torch.sigmoid(self.prior.detach()).expand(size, -1), generator=generator)
        for layer in list(self.down)[::-1]:
            state = torch.bernoulli(torch.sigmoid(layer(state)), generator=generator)
        return state


@torch.no_grad()
def exact_log_likelihood(network: SigmoidBelief, rows: Float[Tensor, "batch features"]) -> Float[Tensor, " batch"]:
    """Return ``log p(x)`` in nats by summing over every state of every hidden layer, from the top down.

    Parameters
    ----------
    network : SigmoidBelief
        With layers of 14 hidden units at most.
    rows : Tensor of shape (batch, features)
        Zeros and ones.

    Raises
    ------
    InputError
        If a layer has more states than can be listed.

    Examples
    --------
    >>> network = SigmoidBelief(torch.full((3,), 0.5), (2,))
    >>> round(exact_log_likelihood(network, every_state(3)).exp().sum().item(), 5)
    1.0
    """
    if max(network.widths) > ENUMERATED.bit_length() - 1:
        mend = "take the bound of score_samples"
        raise InputError("layers of 14 hidden units at most to be enumerated", str(max(network.widths)), mend)
    like = network.prior
    above = every_state(network.widths[-1], like)
    logs = log_bernoulli(above, like)
    for index in range(len(network.down) - 1, -1, -1):
        below = rows if index == 0 else every_state(network.widths[index - 1], like)
        logits = network.down[index](above)  # (states above, units below)
        constants = logs - F.softplus(logits).sum(-1)
        parts = [torch.logsumexp(part @ logits.T + constants, -1) for part in below.split(256)]
        above, logs = below, torch.cat(parts)
    return logs


def every_state(units: int, like: Tensor | None = None) -> Float[Tensor, "states units"]:
    """Return all rows of ``units`` zeros and ones.

    Examples
    --------
    >>> every_state(2).tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    """
    like = torch.zeros(()) if like is None else like
    index = torch.arange(1 << units, device=like.device).unsqueeze(1)
    return (index >> torch.arange(units, device=like.device) & 1).to(like.dtype)


@dataclass(frozen=True, eq=False)
class BeliefLoss:
    """The negative bound of a sigmoid belief network with a score-function gradient.

    ``"vimco"`` lowers the importance-weighted bound of ``samples`` draws, each of which is judged by the others.
    ``"nvil"`` lowers the evidence bound: each draw's signal ``log p(x, h) - log q(h | x)`` is compared with what a
    network predicts for the row, centred and scaled by running moments.

    Parameters
    ----------
    gradient : {"vimco", "nvil"}
        See above.
    samples : int
        Draws a row.
    full : float
        Value of a one in the batch.
    resample : bool
        Draw bits of grey pixels anew each time.

    References
    ----------
    Goodfellow et al. 2016, §20.9.1, §20.10.1; Mnih & Gregor 2014, Neural Variational Inference and Learning in Belief
    Networks, algorithm 1; Mnih & Rezende 2016.
    """

    gradient: Literal["vimco", "nvil"] = "vimco"
    samples: int = 5
    full: float = 1.0
    resample: bool = False

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        model: Any = network
        rows = batch["inputs"]
        if self.resample:
            rows = drawn_bits(rows, self.full, generator)
        rows = rows / self.full
        shape = (self.samples, len(rows), sum(model.widths))
        uniform = torch.rand(shape, generator=generator, dtype=rows.dtype, device=rows.device)
        with torch.no_grad():
            layers, _ = model.infer(rows, uniform)
        return summed(self.losses(model, rows, layers), batch)

    def losses(self, model: SigmoidBelief, rows: Tensor, layers: Sequence[Tensor]) -> Float[Tensor, " batch"]:
        """Return the loss of each row for given draws, with its gradient."""
        log_q = model.log_guess(rows, layers)
        logs = model.log_joint(rows, layers) - log_q
        if self.gradient == "vimco":
            return -vimco(logs, log_q)
        return self._nvil(model, rows, logs, log_q)

    def _nvil(self, model: SigmoidBelief, rows: Tensor, logs: Tensor, log_q: Tensor) -> Tensor:
        signal = logs.detach()
        predicted = torch.zeros_like(signal[0])
        if model.baseline is not None:
            predicted = model.baseline(rows - model.mean).squeeze(-1)
        offset = model.signal_mean.clone()
        centred = signal - predicted.detach() - offset
        variance = (model.signal_square - model.signal_mean.square()).clamp_min(0)
        scale = variance.sqrt().clamp_min(1)
        if model.training:
            with torch.no_grad():
                rest = signal - predicted.detach()
                model.signal_mean.lerp_(rest.mean().to(model.signal_mean.dtype), 1 - DECAY)
                model.signal_square.lerp_(rest.square().mean().to(model.signal_square.dtype), 1 - DECAY)
        # The encoder's step is scaled by the signal's spread, the decoder's is the gradient of log p as it is.
        guess = score_function(torch.zeros_like(signal), log_q, -centred / scale)
        joint = logs + log_q
        gain = joint - joint.detach() + guess
        error = 0.5 * (signal - offset - predicted).square() / scale.square()
        value = -signal - gain + (error - error.detach() if model.baseline is not None else 0.0)
        return value.mean(0)
