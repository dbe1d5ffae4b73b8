"""Generative moment matching networks: samples whose kernel means are those of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradus.core.errors import SettingError
from gradus.core.options import option
from gradus.data.batches import Batch
from gradus.networks.initialization import initialize
from gradus.research.generative.generators import RATIOS, Generator, GeneratorEstimator, Units
from gradus.research.generative.kernels import median_distance, mmd_squared, rbf_mixture
from gradus.research.generative.networks import Body, Decoder, Shape
from gradus.training.checkpoints import CheckpointStore
from gradus.training.loop import Callback, Trainer
from gradus.training.losses import Loss, LossFunction
from gradus.training.options import TrainingOptions
from gradus.training.player import Player

__all__ = ["MomentMatchingLoss", "MomentMatchingNetwork"]

LEAST = 1e-12  # under the root: its slope at zero is infinite
BANDWIDTH_ROWS = 1000


class Coder(nn.Module):
    """An autoencoder whose code lies between 0 and 1, so that a generator of codes has a range to fill.

    Parameters
    ----------
    body : Body
        Points to features.
    decoder : Decoder
        Codes to points.
    bounded : bool
        Put decoded points between -1 and 1.
    """

    def __init__(self, body: Body, decoder: Decoder, *, bounded: bool) -> None:
        super().__init__()
        self.body, self.decoder, self.bounded = body, decoder, bounded
        self.code = nn.Linear(body.out_features, decoder.latent)
        initialize(self.code, "glorot")

    def encode(self, points: Float[Tensor, "batch features"]) -> Float[Tensor, "batch code"]:
        """Return codes."""
        return torch.sigmoid(self.code(self.body(points)))

    def decode(self, codes: Float[Tensor, "batch code"]) -> Float[Tensor, "batch features"]:
        """Return points."""
        outputs = self.decoder(2 * codes - 1)
        return torch.tanh(outputs) if self.bounded else outputs

    def forward(self, points: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
        """Return points, encoded and decoded."""
        return self.decode(self.encode(points))


class Matcher(nn.Module):
    """A generator of points or, where there is an autoencoder, of its codes, and the bandwidths it is matched by.

    Parameters
    ----------
    units : Units
        Between rows and points.
    generator : Generator
        Noise to what is matched.
    coder : Coder or None
        Points to codes and back.
    bandwidths : sequence of float
        Widths of the kernels, in the units of the points.
    """

    bandwidths: Tensor

    def __init__(self, units: Units, generator: Generator, coder: Coder | None, bandwidths: Sequence[float]) -> None:
        super().__init__()
        self.units, self.generator, self.coder = units, generator, coder
        self.register_buffer("bandwidths", torch.tensor(bandwidths, dtype=torch.float32))

    def noise(self, size: int, generator: torch.Generator) -> Float[Tensor, "size latent"]:
        """Draw noise."""
        return self.generator.noise(size, generator)

    def matched(self, rows: Float[Tensor, "batch features"]) -> Float[Tensor, "batch width"]:
        """Return what of the rows is matched: points, or codes."""
        points = self.units(rows)
        return points if self.coder is None else self.coder.encode(points)

    def generated(self, noise: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch width"]:
        """Return what the generator makes, in the same space."""
        found = self.generator(noise)
        return found if self.coder is None else (found + 1) / 2

    def generate(self, noise: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch features"]:
        """Return points."""
        found = self.generated(noise)
        return found if self.coder is None else self.coder.decode(found)

    def forward(self, noise: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch features"]:
        """Return rows."""
        return self.units.rows(self.generate(noise))


@dataclass(frozen=True, eq=False)
class MomentMatchingLoss:
    """The maximum mean discrepancy between a batch and as many generated points, or its square.

    It compares sets, so it does not decompose over examples (``decomposes`` is False, and accumulating parts of a
    batch is refused): the total is the batch's discrepancy times its size.

    Parameters
    ----------
    root : bool
        Take the square root, whose gradient does not vanish where the distributions come near each other.

    References
    ----------
    Goodfellow et al. 2016, §20.10.5; Li, Swersky & Zemel 2015, Generative Moment Matching Networks, eq. 4-6.
    """

    root: bool = True
    decomposes: ClassVar[bool] = False

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the batch's discrepancy times its size, and the size."""
        model: Any = network
        rows = batch["inputs"]
        with torch.no_grad():
            points = model.matched(rows)
        made = model.generated(model.noise(len(rows), generator))
        distance = mmd_squared(points, made, rbf_mixture(model.bandwidths))
        if self.root:
            distance = (distance.clamp_min(0) + LEAST).sqrt()
        return Loss(distance * len(rows), float(len(rows)), {})


@dataclass(frozen=True)
class CodingLoss:
    """Squared error of points encoded and decoded, half of it, summed over features."""

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        model: Any = network
        points = model.units(batch["inputs"])
        return Loss(0.5 * (model.coder(points) - points).square().sum(), float(len(points)), {})


@dataclass(kw_only=True, eq=False, repr=False)
class MomentMatchingNetwork(GeneratorEstimator):
    """A generator trained so that samples and data have the same means under a kernel, with no critic to train.

    The kernel is a mixture of Gaussians whose bandwidths are multiples of the median distance between rows. Large
    batches matter: each is compared with as many samples. With ``code_size`` an autoencoder is trained first, and
    its codes are matched in place of the rows: in few dimensions distances say more. Budgets of steps and of time
    hold for each of the two trainings.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal([5.0, 50.0], [1.0, 10.0], (1000, 2))
    >>> model = MomentMatchingNetwork(hidden=(32,), n_components=4, max_epochs=60, batch_size=200,
    ...                               learning_rate=3e-3, random_state=0).fit(X)
    >>> drawn = model.sample(1000, random_state=0)
    >>> bool(np.abs(drawn.mean(0) - [5, 50]).max() < 2) and bool(8 < drawn.std(0)[1] < 12)
    True

    References
    ----------
    Goodfellow et al. 2016, §20.10.5; Li, Swersky & Zemel 2015, Generative Moment Matching Networks; Dziugaite, Roy &
    Ghahramani 2015.
    """

    batch_size: int = option(500, "rows compared with as many samples in each update", unit="examples", low=2)
    bandwidths: tuple[float, ...] = option(RATIOS, "kernels, as multiples of the median distance", above=0)
    root: bool = option(True, "lower the discrepancy, not its square, whose gradient vanishes near equality")
    code_size: int | None = option(None, "units of an autoencoder's code that is matched; none: rows are", low=1)
    code_epochs: int = option(20, "passes over the data to train the autoencoder, where there is one", low=1)

    def _build(self) -> Matcher:
        widths = [ratio * self.median_distance_ for ratio in self.bandwidths]
        if self.code_size is None:
            return Matcher(self._make_units(), self._make_generator(), None, widths)
        shape = Shape(self.network, self.hidden, self.channels, self.activation)
        size = len(self.location_)
        body = Body(size, shape, self.row_shape_)
        decoder = Decoder(self.code_size, size, shape, self.row_shape_)
        coder = Coder(body, decoder, bounded=self.bounded_)
        return Matcher(self._make_units(), self._make_generator(self.code_size, bounded=True), coder, widths)

    def _loss(self, network: nn.Module) -> LossFunction:
        return CodingLoss() if "_coding" in vars(self) else MomentMatchingLoss(self.root)

    def _players(self, network: Any, options: TrainingOptions, seed: int) -> list[Player]:
        coding = "_coding" in vars(self)
        moved = network.coder if coding else network.generator
        name = "autoencoder" if coding else "generator"
        return [Player(name, network, self._loss(network), options, parameters=moved.parameters(), seed=seed)]

    def _train(self, network: Any, train: Batch, valid: Batch | None, callbacks: Sequence[Callback]) -> None:
        """Train the autoencoder, where there is one, and then the generator."""
        if self.code_size is not None and self.retrain == "epochs" and valid is not None:
            mend = "set retrain='continue' or 'none'"  # a network made anew has an autoencoder without training
            raise SettingError("retrain other than 'epochs' where codes are matched", "'epochs'", mend)
        if self.code_size is not None and network is not getattr(self, "network_", None):
            self._coding = True
            try:
                first = self._trainer(network, train, None, callbacks, phase="autoencoder", epochs=self.code_epochs)
                self._run(first)
            finally:
                del self._coding
            self.code_history_ = self.history_
            if first.finished in ("interrupted", "callback") or first.signals.request:
                return
            network, self._coded_steps = first.network, first.step
            self._measure_codes(network, train["inputs"])
        try:
            super()._train(network, train, valid, callbacks)
        finally:
            self.__dict__.pop("_coded_steps", None)

    def _trainer(self, *given: Any, phase: str, **more: Any) -> Trainer:
        """Keep a generator's checkpoints apart from those of one of other codes: an autoencoder may train further."""
        trainer = super()._trainer(*given, phase=phase, **more)
        if trainer.store is not None and "_coded_steps" in vars(self):
            trainer.store = CheckpointStore(Path(str(self.checkpoint)) / f"{phase}_of_codes_{self._coded_steps}")
        return trainer

    @torch.no_grad()
    def _measure_codes(self, network: Any, rows: Tensor) -> None:
        """Set the bandwidths by the median distance between codes."""
        like = network.bandwidths
        some = rows[torch.linspace(0, len(rows) - 1, min(len(rows), BANDWIDTH_ROWS)).long()]
        median = median_distance(network.matched(some.to(like.device, network.units.location.dtype)))
        like.copy_(torch.tensor([ratio * median for ratio in self.bandwidths]))
