"""Generative adversarial networks as estimators: two players on one loop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from gradus.core.errors import SettingError
from gradus.core.options import option
from gradus.research.generative.adversarial import Critic, CriticLoss, Game, GameLoss, GeneratorLoss, game_value
from gradus.research.generative.generators import GeneratorEstimator
from gradus.research.generative.networks import Body, Shape
from gradus.training.losses import LossFunction
from gradus.training.options import TrainingOptions
from gradus.training.player import Player

__all__ = ["GAN"]


@dataclass(kw_only=True, eq=False, repr=False)
class GAN(GeneratorEstimator):
    """A generator and a critic that learns to tell its rows from the data's, each trained against the other.

    ``min_G max_D E log D(x) + E log(1 - D(G(z)))``; at the optimum ``p_G = p`` and the value is ``-log 4``. Neither
    side's loss says how good the samples are: judge them by `gradus.research.generative.evaluation`. With validation
    rows, training follows a kernel distance between them and samples.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal([5.0, 50.0], [1.0, 10.0], (1000, 2))
    >>> model = GAN(hidden=(32,), n_components=4, max_epochs=60, learning_rate=2e-3, random_state=0).fit(X)
    >>> drawn = model.sample(1000, random_state=0)
    >>> bool(np.abs(drawn.mean(0) - [5, 50]).max() < 5)
    True

    References
    ----------
    Goodfellow et al. 2016, §20.10.4, eq. 20.80-20.82, §20.10.6; Goodfellow et al. 2014, Generative Adversarial Nets;
    Radford et al. 2016 (convolutional); Gulrajani et al. 2017 (gradient penalty); Miyato et al. 2018.
    """

    loss: GameLoss = option(
        "non_saturating", "the game; saturating is that of zero sum, whose generator starts without a gradient"
    )
    gradient_penalty: float = option(0.0, "weight of the penalty on critic slopes other than one", low=0)
    spectral_norm: bool = option(False, "divide the critic's weights by their largest singular value")
    critic_steps: int = option(1, "steps of the critic to one of the generator", unit="steps", low=1)
    critic_rate: float = option(1.0, "learning rate of the critic, as a multiple of learning_rate", above=0)
    critic_normalization: Literal["batch", "layer"] | None = option(None, "normalization before the critic's units")
    beta1: float = option(0.5, "decay of the first moment in adam and adamw: little memory of a moving target", low=0)
    learning_rate: float = option(2e-4, "step size at the top of the schedule", above=0)

    def check_settings(self) -> None:
        """Raise `SettingError` for the first setting that is wrong, alone or beside another."""
        super().check_settings()
        if self.loss == "wasserstein" and not self.gradient_penalty and not self.spectral_norm:
            mend = "set gradient_penalty=10.0 or spectral_norm=True"
            raise SettingError("a bound on the critic's slope where loss='wasserstein'", "none", mend)
        if self.gradient_penalty and self.critic_normalization == "batch":
            mend = "set critic_normalization='layer' or leave it out"
            raise SettingError("slopes of single points where there is a gradient_penalty", "batch normalization", mend)
        if self.beta1 >= 1:
            raise SettingError("beta1 below 1", str(self.beta1), "set beta1=0.5")

    def _build(self) -> Game:
        shape = Shape(self.network, self.hidden, self.channels, "leaky_relu", self.critic_normalization)
        body = Body(len(self.location_), shape, self.row_shape_)
        return Game(self._make_units(), self._make_generator(), Critic(body, spectral=self.spectral_norm))

    def _loss(self, network: nn.Module) -> LossFunction:
        return CriticLoss(self.loss, self.gradient_penalty)

    def _players(self, network: Any, options: TrainingOptions, seed: int) -> list[Player]:
        quick = replace(options, learning_rate=options.learning_rate * self.critic_rate)
        critic, maker = self._loss(network), GeneratorLoss(self.loss)
        players = [
            Player("critic", network, critic, quick, parameters=network.critic.parameters(), seed=seed),
            Player(
                "generator",
                network,
                maker,
                options,
                parameters=network.generator.parameters(),
                every=self.critic_steps,
                seed=seed + 1,
            ),
        ]
        for optimizer in (o for player in players for o in player.optimizers):
            for group in optimizer.param_groups:
                if "betas" in group and self.optimizer in ("adam", "adamw"):
                    group["betas"] = (self.beta1, group["betas"][1])
        return players

    def critic_scores(self, X: Any) -> np.ndarray:
        """Return what the critic says of each row: log-odds that it is real, unless the game is another one.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows.
        """
        return self._answers(X, lambda network, rows: network.critic(network.units(rows)), double=True)

    def value(self, X: Any, random_state: Any = None) -> float:
        """Return ``E log D(x) + E log(1 - D(G(z)))`` on rows and as many samples; at the optimum it is ``-log 4``.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Real rows.
        random_state : int or NumPy generator, optional
            Seed of the samples.

        Raises
        ------
        SettingError
            If the critic's numbers are no log-odds.
        """
        check_is_fitted(self)
        kind = self.network_settings_["loss"]
        if kind not in ("saturating", "non_saturating"):
            mend = "fit with loss='non_saturating'"
            raise SettingError("a critic that gives log-odds", f"loss={kind!r}", mend)
        made = self.sample(len(X), random_state)
        real, fake = (torch.from_numpy(self.critic_scores(rows)) for rows in (X, made))
        return float(game_value(real, fake))
