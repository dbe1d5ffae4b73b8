"""Transfer: begin with a body that has learned from other images (§15.2), and move it less than the head."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradus.applications.vision.bodies import SHAPE
from gradus.core.errors import InputError, SettingError
from gradus.core.options import option, settings_of
from gradus.estimators.persistence import PLAIN, load
from gradus.training.player import Player

__all__ = [
    "FrozenBody",
    "RatedPlayer",
    "Source",
    "TransferOptions",
    "features_of",
    "frozen",
    "read_source",
    "shape_of",
    "taken_over",
]


@dataclass(kw_only=True, eq=False, repr=False)
class TransferOptions:
    """Where the body comes from, and how it is trained on (§15.2)."""

    start_from: str | None = option(
        None, "folder of a saved image model or of its run; its body, with what it has learned, is taken over"
    )
    body: nn.Module | None = option(None, "a module of your own that maps (n, channels, height, width) to features")
    freeze: Literal["none", "body", "head_first"] = option(
        "none", "what is held still: nothing; the body; the body until the new head has learned"
    )
    head_epochs: int = option(5, "epochs before max_epochs in which freeze='head_first' trains the head alone", low=1)
    body_rate: float = option(1.0, "learning rate of the body, as a share of the head's", above=0, high=1)


class Source(NamedTuple):
    """What is taken over from a saved model.

    Attributes
    ----------
    shape : dict
        The settings that say which body it is.
    image_shape : tuple of int
        Height, width and channels of the images it reads.
    prepare : str
        Its setting ``prepare``.
    layers : list of Module
        The fitted layers of that preparation.
    body : Module
        The body.
    """

    shape: dict[str, Any]
    image_shape: tuple[int, ...]
    prepare: str
    layers: list[nn.Module]
    body: nn.Module


def read_source(path: str) -> Source:
    """Read the body of a saved image model, from its folder or from the folder of the run that made it.

    Raises
    ------
    DataError, DamagedFileError
        If there is no sound model.
    InputError
        If it does not read images, or its body cannot be built again from settings.
    """
    folder = Path(path)
    if not (folder / PLAIN).is_file() and (folder / "model" / PLAIN).is_file():
        folder = folder / "model"
    model = load(folder)
    if not hasattr(model, "described_body"):
        mend = "name the folder of a saved ImageClassifier"
        raise InputError("a saved model of images to start from", f"a {type(model).__name__}", mend)
    known = model.described_body()
    if known is None:
        raise InputError("a body that Gradus can build again", "a module of someone's own", "pass it as body instead")
    image_shape = tuple(int(size) for size in known["image_shape"])
    return Source(known["shape"], image_shape, known["prepare"], model.preparation(), model.network_.body)


def taken_over(options: Any, source: Source) -> dict[str, Any]:
    """Return what describes the body, after a check that no setting asks for another one.

    Raises
    ------
    SettingError
        If a setting that is not at its default differs from the source's.
    """
    known = settings_of(type(options))
    for name, value in {**source.shape, "prepare": source.prepare}.items():
        asked = getattr(options, name)
        if _plain(asked) not in (_plain(known[name].default), _plain(value)):
            mend = f"leave {name} out, or start_from"
            raise SettingError(f"{name}={_plain(value)!r}, as in the model to start from", repr(asked), mend)
    return {"shape": source.shape, "image_shape": list(source.image_shape), "prepare": source.prepare}


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, tuple | list) else value


def shape_of(options: Any) -> dict[str, Any]:
    """Return the settings that say which body an estimator has, as plain values."""
    values = {name: getattr(options, name) for name in SHAPE}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def features_of(body: nn.Module, example: Tensor) -> int:
    """Return the width of the features that a module of the user's own makes of prepared images.

    Raises
    ------
    InputError
        If it makes something else than a row of features for each image.
    """
    training = body.training
    with torch.no_grad():
        features = body.eval()(example)
    body.train(training)
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != len(example):
        received = str(tuple(features.shape)) if isinstance(features, Tensor) else type(features).__name__
        mend = "pool the maps, for example nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten())"
        raise InputError("a body that returns features of shape (n, features)", received, mend)
    return features.shape[1]


class FrozenBody(nn.Module):
    """A body as it answers, without gradients: running means stand still, and nothing is dropped.

    Parameters
    ----------
    body : Module
        The body; it stays the original's, so that others see it where it was.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, inputs: Float[Tensor, " n *shape"]) -> Float[Tensor, "n features"]:
        """Return the features."""
        if self.body.training:  # whoever trains the whole network has said so
            self.body.eval()
        with torch.no_grad():
            return self.body(inputs)


@contextmanager
def frozen(body: nn.Module) -> Iterator[None]:
    """Exclude the body's parameters from those that can be trained, inside the block."""
    parameters = [p for p in body.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


class RatedPlayer(Player):
    """A player that moves one part of the network at a share of the learning rate.

    Parameters
    ----------
    *given, **settings
        As :class:`gradus.training.player.Player` takes them.
    slow : Module
        The part.
    rate : float
        Its learning rate as a share of the others', above 0.
    """

    def __init__(self, *given: Any, slow: nn.Module, rate: float, **settings: Any) -> None:
        self._slow: dict[float, Tensor] = {}
        super().__init__(*given, **settings)
        held = {id(p) for p in slow.parameters()}
        for optimizer in self.optimizers:
            groups = optimizer.param_groups
            # In place: the rate becomes a part of the groups, which torch saves and restores.
            groups[:] = [part for group in groups for part in _halves(group, held, rate)]
        self._scale(1.0)

    def _scale(self, factor: float) -> None:
        super()._scale(factor)
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            rate, learning_rate = group.get("rate", 1.0), group["lr"]
            if rate != 1 and isinstance(learning_rate, Tensor):
                # A recorded step reads it from the device, always from the same place.
                place = self._slow.setdefault(rate, torch.empty_like(learning_rate))
                group["lr"] = torch.mul(learning_rate, rate, out=place)
            elif rate != 1:
                group["lr"] = learning_rate * rate


def _halves(group: dict[str, Any], slow: set[int], rate: float) -> list[dict[str, Any]]:
    parts = []
    for held, factor in ((False, 1.0), (True, rate)):
        chosen = [p for p in group["params"] if (id(p) in slow) is held]
        if chosen:
            parts.append({**group, "params": chosen, "rate": factor})
    return parts
