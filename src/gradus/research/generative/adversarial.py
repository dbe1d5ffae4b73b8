"""The two sides' losses of generative adversarial networks, and the network that both share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from gradus.core.errors import SettingError
from gradus.data.batches import Batch
from gradus.networks.initialization import initialize
from gradus.research.generative.bounds import summed
from gradus.research.generative.generators import Generator, Units
from gradus.research.generative.networks import Body
from gradus.training.losses import Loss

__all__ = [
    "Critic",
    "CriticLoss",
    "Game",
    "GameLoss",
    "GeneratorLoss",
    "critic_losses",
    "game_value",
    "generator_losses",
]

GameLoss = Literal["non_saturating", "saturating", "wasserstein", "hinge"]


class Critic(nn.Module):
    """From points to one number each: the log-odds that a point is real, or what a Wasserstein critic says.

    Parameters
    ----------
    body : Body
        Points to features.
    spectral : bool
        Divide every weight matrix by its largest singular value (one step of power iteration each time it is used in
        training), so that the critic is Lipschitz.

    Examples
    --------
    >>> from gradus.research.generative.networks import Shape
    >>> critic = Critic(Body(3, Shape("mlp", (8,), ()), (3,)), spectral=True)
    >>> critic(torch.zeros(4, 3)).shape
    torch.Size([4])

    References
    ----------
    Goodfellow et al. 2016, §20.10.4; Miyato et al. 2018, Spectral Normalization for Generative Adversarial Networks.
    """

    def __init__(self, body: Body, *, spectral: bool = False) -> None:
        super().__init__()
        self.body, self.last = body, nn.Linear(body.out_features, 1)
        initialize(self.last, "glorot")
        if spectral:
            for layer in [m for m in self.modules() if isinstance(m, nn.Linear | nn.Conv2d)]:
                spectral_norm(layer)

    def forward(self, points: Float[Tensor, "batch features"]) -> Float[Tensor, " batch"]:
        """Return one number for each point."""
        return self.last(self.body(points)).squeeze(-1)


class Game(nn.Module):
    """The generator and the critic of one game.

    Parameters
    ----------
    units : Units
        Between rows and the points that both see.
    generator : Generator
        Noise to points.
    critic : Critic
        Points to numbers.
    """

    def __init__(self, units: Units, generator: Generator, critic: Critic) -> None:
        super().__init__()
        self.units, self.generator, self.critic = units, generator, critic

    def noise(self, size: int, generator: torch.Generator) -> Float[Tensor, "size latent"]:
        """Draw noise."""
        return self.generator.noise(size, generator)

    def generate(self, noise: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch features"]:
        """Return points."""
        return self.generator(noise)

    def forward(self, noise: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch features"]:
        """Return rows."""
        return self.units.rows(self.generator(noise))


def critic_losses(
    kind: GameLoss, real: Float[Tensor, " *batch"], fake: Float[Tensor, " *batch"]
) -> Float[Tensor, " *batch"]:
    """Return what the critic lowers, for pairs of a real and a generated point.

    With ``D = σ(a)``: ``-log D(x) - log(1 - D(G(z)))`` (saturating and non-saturating alike), ``a(G(z)) - a(x)``
    (Wasserstein), ``max(0, 1 - a(x)) + max(0, 1 + a(G(z)))`` (hinge).

    Parameters
    ----------
    kind : {"non_saturating", "saturating", "wasserstein", "hinge"}
        The game.
    real, fake : Tensor
        The critic's numbers ``a``.

    Raises
    ------
    SettingError
        If there is no such game.

    Examples
    --------
    >>> round(critic_losses("saturating", torch.zeros(1), torch.zeros(1)).item(), 4)  # log 4
    1.3863

    References
    ----------
    Goodfellow et al. 2016, §20.10.4, eq. 20.80-20.81; Arjovsky et al. 2017, Wasserstein GAN; Lim & Ye 2017 (hinge).
    """
    if kind in ("non_saturating", "saturating"):
        return F.softplus(-real) + F.softplus(fake)
    if kind == "wasserstein":
        return fake - real
    if kind == "hinge":
        return F.relu(1 - real) + F.relu(1 + fake)
    names = "non_saturating, saturating, wasserstein, hinge"
    raise SettingError(f"loss to be one of {names}", repr(kind), "set loss='non_saturating'")


def generator_losses(kind: GameLoss, fake: Float[Tensor, " *batch"]) -> Float[Tensor, " *batch"]:
    """Return what the generator lowers, for each generated point.

    ``log(1 - D(G(z)))`` in the game of zero sum (saturating: where the critic is sure of itself, its gradient
    vanishes), ``-log D(G(z))`` (non-saturating: the same fixed point, and a gradient there), ``-a(G(z))`` otherwise.

    Parameters
    ----------
    kind : {"non_saturating", "saturating", "wasserstein", "hinge"}
        The game.
    fake : Tensor
        The critic's numbers.

    Examples
    --------
    >>> fake = torch.tensor([-20.0], requires_grad=True)
    >>> [torch.autograd.grad(generator_losses(kind, fake).sum(), fake)[0].abs().item() > 0.5
    ...  for kind in ("saturating", "non_saturating")]
    [False, True]

    References
    ----------
    Goodfellow et al. 2016, §20.10.4.
    """
    if kind == "saturating":
        return -F.softplus(fake)
    return F.softplus(-fake) if kind == "non_saturating" else -fake


def game_value(
    real: Float[Tensor, " n"],
    fake: Float[Tensor, " m"],
    real_weights: Tensor | None = None,
    fake_weights: Tensor | None = None,
) -> Float[Tensor, ""]:
    """Return ``V = E log D(x) + E log(1 - D(G(z)))``: ``-log 4 + 2 JS(p, q)`` for the best critic ``D = p / (p + q)``.

    Parameters
    ----------
    real, fake : Tensor
        Log-odds that the critic gives to real and to generated points.
    real_weights, fake_weights : Tensor, optional
        Probabilities of the points; equal ones by default.

    Examples
    --------
    >>> round(game_value(torch.zeros(3), torch.zeros(2)).item(), 4)  # -log 4
    -1.3863

    References
    ----------
    Goodfellow et al. 2014, Generative Adversarial Nets, proposition 1 and theorem 1; 2016, §20.10.4, eq. 20.81.
    """
    told, untold = F.logsigmoid(real), F.logsigmoid(-fake)
    first = told.mean() if real_weights is None else torch.dot(real_weights, told)
    return first + (untold.mean() if fake_weights is None else torch.dot(fake_weights, untold))


@dataclass(frozen=True, eq=False)
class CriticLoss:
    """The critic's loss on a batch and as many generated points, with a penalty on its slope where asked.

    ``λ (‖∇_u a(u)‖ - 1)²`` at points ``u`` drawn evenly between a real and a generated one.

    Parameters
    ----------
    kind : str
        The game; see `critic_losses`.
    penalty : float
        The penalty's weight ``λ``.

    References
    ----------
    Gulrajani et al. 2017, Improved Training of Wasserstein GANs, algorithm 1.
    """

    kind: GameLoss = "non_saturating"
    penalty: float = 0.0

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        game: Any = network
        points = game.units(batch["inputs"])
        with torch.no_grad():
            made = game.generator(game.noise(len(points), generator))
        losses = critic_losses(self.kind, game.critic(points), game.critic(made))
        if self.penalty:
            losses = losses + self.penalty * self._slopes(game, points, made, generator)
        return summed(losses, batch)

    def _slopes(self, game: Any, points: Tensor, made: Tensor, generator: torch.Generator) -> Tensor:
        share = torch.rand((len(points), 1), generator=generator, dtype=points.dtype, device=points.device)
        with torch.enable_grad():
            between = torch.lerp(made, points, share).requires_grad_()
            answers = game.critic(between).sum()
            (slope,) = torch.autograd.grad(answers, between, create_graph=torch.is_grad_enabled())
        return (slope.norm(dim=1) - 1).square()


@dataclass(frozen=True, eq=False)
class GeneratorLoss:
    """The generator's loss on as many generated points as the batch has rows.

    Parameters
    ----------
    kind : str
        The game; see `generator_losses`.
    """

    kind: GameLoss = "non_saturating"

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        game: Any = network
        made = game.generator(game.noise(len(batch["inputs"]), generator))
        return summed(generator_losses(self.kind, game.critic(made)), batch)
