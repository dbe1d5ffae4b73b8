"""Reading a row of symbols whose number is not known: house numbers, meters, plates (§11.6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from gradus.applications.vision.images import check_images, learned_scale, pieces
from gradus.applications.vision.masks import picture_of
from gradus.applications.vision.reading import (
    Reading,
    ReadingNetwork,
    log_probability,
    read_likeliest,
    reading_loss,
)
from gradus.core.errors import InputError, SettingError
from gradus.core.options import option
from gradus.core.threads import cores, threads
from gradus.data.batches import Batch
from gradus.estimators.callbacks import CallbackSupportMixin, with_callbacks
from gradus.estimators.coverage import Coverage, coverage_at, coverage_curve
from gradus.estimators.exhibits import Exhibit, Picture, learning_curves
from gradus.estimators.gradient import GradientEstimator
from gradus.estimators.inputs import check_rows, check_weights, drop_weightless
from gradus.networks.checks import names_in
from gradus.networks.preparation import PixelScale
from gradus.training.augmentation import AUGMENTATIONS, Augmentation, AugmentationOptions, AugmentedLoss
from gradus.training.losses import LossFunction
from gradus.training.options import OptimizerName, ScheduleName

__all__ = ["SequenceReader"]

# Changes after which a row of symbols says the same.
KEEPING = tuple(name for name in AUGMENTATIONS if name not in {"flip", "mixup", "cutmix"})
WORST = 24  # pictures of the surest mistakes


@dataclass(kw_only=True, eq=False, repr=False)
class SequenceReader(CallbackSupportMixin, AugmentationOptions, GradientEstimator):
    """Read what stands in an image: a row of symbols, of a length that only the image tells.

    A network answers how many symbols there are, and for each position which; the probability of a sequence is
    ``P(length) Π P(symbol_i)``, and its most probable one is read. That probability says how sure the reader is, so
    that images it is unsure of can go to a person: `coverage_at` says how many remain at an accuracy asked for.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from gradus.applications.vision.canvases import compose_sequences
    >>> digits = load_digits()
    >>> make = {"size": (10, 20), "lengths": (1, 2), "scale": (0.8, 1.0)}
    >>> seen = compose_sequences(digits.images[:900], digits.target[:900], 2000, **make)
    >>> new = compose_sequences(digits.images[900:], digits.target[900:], 300, **make, random_state=1)
    >>> model = SequenceReader(channels=(16, 32, 64), batch_size=32, warmup_steps=20, max_epochs=6, random_state=0)
    >>> bool(model.fit(seen.images, seen.texts).score(new.images, new.texts) > 0.6)
    True

    References
    ----------
    Goodfellow et al. 2016, §11.6; Goodfellow et al. 2014, Multi-digit Number Recognition from Street View Imagery
    using Deep Convolutional Neural Networks.
    """

    network: Literal["convolutional", "resnet"] = option("convolutional", "what reads the pixels")
    channels: tuple[int, ...] = option(
        (16, 32, 64, 128, 128), "channels of each block of network='convolutional'", low=1
    )
    depth: int = option(1, "blocks in each stage of network='resnet'", low=1)
    width: int = option(32, "channels of the first stage of network='resnet'", low=1)
    stages: int = option(3, "stages of network='resnet', each at half the resolution and twice the width", low=1)
    readout: Literal["attention", "dense"] = option(
        "attention",
        "attention: find each position, tell its symbol by one network for all; dense: every answer from all cells",
    )
    features: int = option(256, "units of the fully connected layers", unit="units", low=1)
    longest: int | None = option(None, "most symbols of a sequence; none: as many as in the training data", low=1)
    dropout: float = option(0.2, "share of units dropped in training", low=0, high=0.95)
    pixel_scale: float | None = option(None, "value of a full pixel; none: 255 for bytes, else the largest", above=0)
    max_epochs: int = option(20, "most passes over the training data", unit="epochs", low=0)
    optimizer: OptimizerName = option("adamw", "rule that turns gradients into updates")
    learning_rate: float = option(2e-3, "step size at the top of the schedule", above=0)
    schedule: ScheduleName = option("cosine", "how the learning rate changes")
    warmup_steps: int = option(100, "updates over which the learning rate rises linearly", unit="steps", low=0)

    def check_settings(self) -> None:
        """Raise `SettingError` for the first setting that is wrong."""
        super().check_settings()
        strange = [name for name in names_in(self.augment, AUGMENTATIONS, "augment") if name not in KEEPING]
        if strange:
            expected = f"augment of what leaves a row readable: {', '.join(KEEPING)}"
            raise SettingError(expected, repr(strange[0]), f"leave {strange[0]} out")

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None, X_val: Any = None, y_val: Any = None) -> Self:
        """Learn to read.

        Parameters
        ----------
        X : array-like of shape (n, height, width) or (n, height, width, channels)
            Images of one size, bytes or floating point.
        y : sequence of str
            What each says, one character a symbol; an empty text where there is nothing.
        sample_weight : array-like of shape (n,), optional
            Weight of each image, 0 or more.
        X_val, y_val : optional
            Validation data, which early stopping follows.

        Returns
        -------
        self
            The fitted reader.

        Raises
        ------
        InputError
            If images or texts are not what they should be, or a text is longer than ``longest``.
        """
        return self._fit(X, y, sample_weight, X_val, y_val)

    # -- images and texts ----------------------------------------------------------------------------------------

    def _encode(self, X: Any, y: Any = None, sample_weight: Any = None, *, reset: bool = False) -> Batch:
        images = check_images(X)
        if y is None:
            if reset:
                raise InputError("texts y", "none", "pass what each image says")
            self._check_size(images)
            return {"inputs": images}
        texts = _texts(y)
        check_rows("y", texts, len(images))
        pixels, texts, weights = drop_weightless(images.numpy(), texts, check_weights(sample_weight))
        images = check_images(pixels)
        if reset:
            self._learn_symbols(texts)
            self.image_shape_ = tuple(images.shape[1:])
            layer = PixelScale.from_data(images, weights, scale=self.pixel_scale)
            self.pixel_factor_, self.pixel_shift_ = layer.factor.numpy().copy(), layer.shift.numpy().copy()
        self._check_size(images)
        targets, strange = self._numbers(texts)
        if strange is not None:
            known = f"texts of at most {self.longest_} of the symbols {''.join(self.symbols_)[:40]!r}"
            raise InputError(known, repr(strange), "fit on data that have it, or set longest")
        return {"inputs": images, "targets": targets} | ({} if weights is None else {"weights": weights})

    def _check_size(self, images: Tensor) -> None:
        if tuple(images.shape[1:]) != tuple(self.image_shape_):
            expected = f"images of shape {tuple(self.image_shape_)} (height, width, channels)"
            raise InputError(expected, str(tuple(images.shape[1:])), "resize them to the size that was fitted")

    def _learn_symbols(self, texts: NDArray[np.str_]) -> None:
        self.symbols_: list[str] = sorted(set("".join(texts.tolist())))
        if len(self.symbols_) < 2:
            received = repr(self.symbols_[0]) if self.symbols_ else "none"
            raise InputError("two symbols or more in y", received, "check the texts")
        self.longest_: int = max(map(len, texts.tolist())) if self.longest is None else int(self.longest)

    def _numbers(self, texts: NDArray[np.str_]) -> tuple[Tensor, str | None]:
        """Return the number of each symbol, -1 past the end, and a text that cannot be written so, if there is one."""
        order = {symbol: i for i, symbol in enumerate(self.symbols_)}
        targets = np.full((len(texts), self.longest_), -1, dtype=np.int64)
        strange = None
        for row, text in zip(targets, texts.tolist(), strict=True):
            numbers = [order.get(symbol, -1) for symbol in text]
            if len(numbers) > self.longest_ or -1 in numbers:
                strange = text
            else:
                row[: len(numbers)] = numbers
        return torch.from_numpy(targets), strange

    # -- training ------------------------------------------------------------------------------------------------

    def _build(self) -> nn.Module:
        height, across, channels = (int(size) for size in self.image_shape_)
        return ReadingNetwork(
            learned_scale(self.pixel_factor_, self.pixel_shift_),
            channels,
            (height, across),
            self.longest_,
            len(self.symbols_),
            self.network,
            widths=tuple(self.channels),
            depth=self.depth,
            width=self.width,
            stages=self.stages,
            readout=self.readout,
            features=self.features,
            dropout=self.dropout,
        )

    def _make_network(self) -> nn.Module:
        network = super()._make_network()
        for name in AugmentationOptions.__dataclass_fields__:  # may change between two fits of one network
            self.network_settings_.pop(name)
        return network

    def _loss(self, network: Any) -> LossFunction:
        if not names_in(self.augment, AUGMENTATIONS, "augment"):
            return reading_loss
        scale = network.prepare
        mean, deviation = (-scale.shift / scale.factor).flatten(), (1 / scale.factor).flatten()
        return AugmentedLoss(reading_loss, Augmentation(self, mean, deviation))

    def _measure(self, network: Any, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        sums = []
        for part in pieces(batch):
            reading, targets = network.parts(network(part["inputs"]).float()), part["targets"]
            each = part["weights"].float() if "weights" in part else torch.ones(len(targets), device=targets.device)
            right = (read_likeliest(reading)[0] == targets).all(1).float()
            nats = -log_probability(reading, targets)
            sums.append(torch.stack([torch.dot(each, nats), torch.dot(each, right), each.sum()]))
        total, right, count = torch.stack(sums).sum(0)
        return total, right, count

    # -- answering -----------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def _read(self, X: Any) -> Reading:
        """Return the logarithms of all probabilities, float64, on the CPU."""
        check_is_fitted(self)
        network: Any = self.network_.eval()
        device = next(network.parameters()).device
        found = []
        with threads(min(self.n_threads_, cores())):
            for part in pieces(self._encode(X)):
                found.append(network.parts(network(part["inputs"].to(device)).cpu().double()))
        return Reading(*map(torch.cat, zip(*found, strict=True)))

    def predict(self, X: Any) -> NDArray[np.str_]:
        """Return the most probable text of each image, shape (n,).

        Parameters
        ----------
        X : array-like of shape (n, height, width) or (n, height, width, channels)
            Images of the size that was fitted.
        """
        return self.read(X)[0]

    def read(self, X: Any) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
        """Return the most probable text of each image, and its probability: how sure the reader is of it.

        Parameters
        ----------
        X : array-like
            As in `predict`.
        """
        numbers, nats = read_likeliest(self._read(X))
        symbols = np.array(self.symbols_)
        texts = ["".join(symbols[row[row >= 0]].tolist()) for row in numbers.numpy()]
        return np.array(texts, dtype=str), nats.exp().numpy()

    def confidence(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of the text that `predict` reads, shape (n,)."""
        return self.read(X)[1]

    def predict_lengths(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each number of symbols, from 0 to the longest, shape (n, longest + 1)."""
        return self._read(X).lengths.exp().numpy()

    def predict_symbols(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each symbol at each position, if there is one, shape (n, longest, symbols)."""
        return self._read(X).symbols.exp().numpy()

    def log_proba(self, X: Any, y: Any) -> NDArray[np.float64]:
        """Return the logarithm of the probability of each text given its image, in nats, shape (n,).

        Minus infinity where a text is longer than the longest, or has a symbol that was never seen.

        Parameters
        ----------
        X : array-like
            As in `predict`.
        y : sequence of str
            A text for each image.
        """
        reading, texts = self._read(X), _texts(y)
        check_rows("y", texts, len(reading.lengths))
        targets, _ = self._numbers(texts)
        written = (targets >= 0).sum(1).numpy()
        known = written == np.array([len(text) for text in texts.tolist()])
        return np.where(known, log_probability(reading, targets).numpy(), -np.inf)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of images whose text is read right from the first symbol to the last."""
        said, truth = self.predict(X), _texts(y)
        check_rows("y", truth, len(said))
        return float(np.average(said == truth, weights=sample_weight))

    def coverage_at(self, accuracy: float, X: Any, y: Any) -> Coverage:
        """Return how many of these images can be read with an accuracy asked for, and from which confidence on.

        Parameters
        ----------
        accuracy : float
            Share of texts read right, above 0 and at most 1; people that read house numbers reach 0.98.
        X, y : array-like
            Images, and what they say.

        Returns
        -------
        Coverage
            The share of images kept, its 95 % interval, and the threshold on `confidence`.
        """
        texts, sure = self.read(X)
        truth = _texts(y)
        check_rows("y", truth, len(texts))
        return coverage_at(accuracy, sure, texts == truth)

    def exhibits(self, data: Any) -> Iterator[Exhibit]:
        """Yield how training went, and for ``data = (X, y)`` accuracy against coverage, and the surest mistakes."""
        check_is_fitted(self)
        yield learning_curves(self.history_, self.best_epoch_)
        X, y = data
        texts, sure = self.read(X)
        truth = _texts(y)
        right = texts == truth
        yield _accuracy_of_coverage(sure, right)
        images = check_images(X).numpy()
        chosen = [i for i in np.argsort(-sure, kind="stable") if not right[i]][:WORST]
        brightest = float(images.max()) or 1.0
        words = [f"true {truth[i]}, read {texts[i]} ({100 * sure[i]:.0f} %)" for i in chosen]
        shown = tuple(Picture.of(picture_of(images[i]), text, brightest) for i, text in zip(chosen, words, strict=True))
        caption = f"{int((~right).sum()):,} of {len(right):,} images are read wrong; of these it was surest."
        yield Exhibit("Surest mistakes", caption, "errors", None, None, shown)

    def __sklearn_tags__(self) -> Any:
        """Say to scikit-learn that images come as stacks, not as tables."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        tags.target_tags.required = True
        return tags


def _texts(y: Any) -> NDArray[np.str_]:
    """Return texts as an array of them."""
    if isinstance(y, str):
        raise InputError("a sequence of texts", "one text", "put it into a list")
    listed = y.tolist() if isinstance(y, np.ndarray) else list(y)
    strange = [text for text in listed if not isinstance(text, str)]
    if strange:
        mend = "write each as text, such as str(12), and nothing as an empty one"
        raise InputError("texts, one for each image", f"{type(strange[0]).__name__} {strange[0]!r}", mend)
    return np.array(listed, dtype=str)


def _accuracy_of_coverage(sure: NDArray[np.float64], right: NDArray[np.bool_]) -> Exhibit:
    curve = coverage_curve(sure, right)
    at = np.unique(np.linspace(0, len(curve.coverage) - 1, 400).round().astype(int))
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": curve.coverage[at].tolist(),
        "y": curve.accuracy[at].tolist(),
        "name": "accuracy of what is kept",
    }
    layout = {"xaxis": {"title": {"text": "share of images read"}}, "yaxis": {"title": {"text": "accuracy"}}}
    found = coverage_at(0.98, sure, right)
    caption = f"Where the least sure readings are left to a person: at 98 % accuracy {found} of the images are read."
    return Exhibit("Accuracy and coverage", caption, "answers", {"data": [line], "layout": layout})
