"""The manifold tangent classifier (§7.14): answers that do not change along the directions a code has found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradus.core.options import option
from gradus.data.batches import Batch
from gradus.estimators.classification import GradientClassifier
from gradus.networks.ensemble import EnsembleBody
from gradus.research.autoencoders.penalties import jacobian
from gradus.research.representation.pretraining import Pretrained, PretrainingOptions
from gradus.training.loop import Trainer
from gradus.training.losses import Loss, LossFunction
from gradus.training.options import TrainingOptions
from gradus.training.player import Player
from gradus.training.tangent import TangentLoss

__all__ = ["ManifoldTangentClassifier", "code_tangents"]

NUMBERS = 1 << 23  # of Jacobians held at once
DIRECTIONS = "directions"


@torch.no_grad()
def code_tangents(
    encoder: nn.Module, rows: Float[Tensor, "n features"], count: int
) -> Float[Tensor, "n count features"]:
    """Return the directions in which the code of each row changes most: leading right singular vectors of its Jacobian.

    Parameters
    ----------
    encoder : Module
        Rows to codes, each from its own row only.
    rows : Tensor of shape (n, features)
        Where.
    count : int
        Directions of each row.

    Examples
    --------
    >>> layer = nn.Linear(3, 2, bias=False)
    >>> _ = layer.weight.data.copy_(torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 0.0]]))
    >>> code_tangents(layer, torch.zeros(1, 3), 2).abs()[0].round().tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]

    References
    ----------
    Goodfellow et al. 2016, §7.14; Rifai et al. 2011, The Manifold Tangent Classifier, §3.2.
    """
    found = []
    width = encoder(rows[:1]).shape[1]
    for part in rows.split(max(1, NUMBERS // (rows.shape[1] * width))):
        each = jacobian(encoder, part)
        # Eigenvectors of the smaller side's products are cheaper than a decomposition of the whole.
        if width < rows.shape[1]:
            leading = torch.linalg.eigh(each @ each.mT)[1][..., -count:].flip(-1).mT @ each
            found.append(torch.nn.functional.normalize(leading, dim=-1))
        else:
            found.append(torch.linalg.eigh(each.mT @ each)[1][..., -count:].flip(-1).mT)
    return torch.cat(found)


@dataclass(frozen=True, eq=False)
class ManifoldTangentLoss:
    """A loss plus the tangent penalty along each row's own directions, which lie in the batch in scaled units.

    Parameters
    ----------
    loss : LossFunction
        The loss of the network.
    weight : float
        Weight of the penalty.
    """

    loss: LossFunction
    weight: float

    @property
    def decomposes(self) -> bool:
        """Whether parts of a batch add up to the whole."""
        return bool(getattr(self.loss, "decomposes", True))

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        if DIRECTIONS not in batch:  # of a timed probe on other rows
            return self.loss(network, batch, generator)
        prepare: Any = getattr(network, "prepare", None)
        directions = batch[DIRECTIONS]
        moved = directions if prepare is None else directions * prepare.std  # inputs may come prepared or raw
        held = TangentLoss(self.loss, self.weight, "tangents", ("inputs",))
        return held(network, {**batch, "tangents": moved}, generator)


@dataclass(kw_only=True, eq=False, repr=False)
class ManifoldTangentClassifier(Pretrained, PretrainingOptions, GradientClassifier):
    """Perceptron that learns without labels in which directions rows vary, then to answer alike along them.

    Layers begin as contractive autoencoders; the leading singular vectors of their Jacobian at each training row span
    the tangent plane there; fine-tuning adds ``weight Σ_i ‖(∂f/∂x) v_i‖²`` to the loss.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits().images, load_digits().target
    >>> model = ManifoldTangentClassifier(hidden=(60,), pretrain_epochs=10, learning_rate=3e-3, random_state=0)
    >>> bool(model.fit(X[:200], y[:200], X_unlabeled=X[200:1500]).score(X[1500:], y[1500:]) > 0.75)
    True

    References
    ----------
    Goodfellow et al. 2016, §7.14, eq. 7.67; Rifai et al. 2011, The Manifold Tangent Classifier.
    """

    n_tangents: int = option(8, "directions of each row along which answers are held", low=1)
    manifold_weight: float = option(0.01, "weight of the squared change of answers along them", low=0)

    def _trainer(self, network: Any, train: Any, *given: Any, **more: Any) -> Trainer:
        if isinstance(train, Mapping) and self.hidden:
            with torch.no_grad():
                scaled = network.prepare(train["inputs"])
            # Directions are the rows': of the codes as they were pretrained, where the fit still knows them.
            stacks = getattr(self, "_stacks", None)
            body = network.body.members[0] if isinstance(network.body, EnsembleBody) else network.body
            learned = nn.Sequential(*(layer.network_.encoder for layer in stacks[0])) if stacks else body
            count = min(self.n_tangents, scaled.shape[1], self.hidden[-1])
            train = {**train, DIRECTIONS: code_tangents(learned.eval(), scaled, count)}
        return super()._trainer(network, train, *given, **more)

    def _players(self, network: nn.Module, options: TrainingOptions, seed: int) -> list[Player]:
        loss = ManifoldTangentLoss(self._loss(network), self.manifold_weight)
        return [Player("network", network, loss, options, seed=seed)]
