"""Images to a class for each pixel (§9.6): organs in scans, roads in aerial pictures, ink on paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from gradus.applications.vision.images import check_images, learned_scale, pieces
from gradus.applications.vision.masks import check_masks, class_weights, picture_of, stack_images, stack_masks
from gradus.applications.vision.segmentation import (
    GEOMETRIC,
    PHOTOMETRIC,
    AugmentedMasks,
    MaskScores,
    SegmentationLoss,
    mask_scores,
    pixel_counts,
)
from gradus.core.errors import InputError
from gradus.core.options import option
from gradus.core.threads import cores, threads
from gradus.data.batches import Batch
from gradus.estimators.callbacks import CallbackSupportMixin, with_callbacks
from gradus.estimators.exhibits import Exhibit, Picture, learning_curves
from gradus.estimators.gradient import GradientEstimator
from gradus.estimators.inputs import check_rows, check_weights
from gradus.networks.checks import names_in
from gradus.networks.convolutional import UNet
from gradus.networks.preparation import PixelScale
from gradus.training.augmentation import Padding
from gradus.training.loop import Callback
from gradus.training.losses import LossFunction
from gradus.training.options import OptimizerName, ScheduleName

__all__ = ["ImageSegmenter"]

SHOWN = 8  # images of an exhibit, each beside two masks


@dataclass(kw_only=True, eq=False, repr=False)
class ImageSegmenter(CallbackSupportMixin, GradientEstimator):
    """Give each pixel of an image a class, by a U-Net.

    Images are arrays of shape (n, height, width) or (n, height, width, channels), or lists of images of different
    sizes; masks likewise, without channels. Any height and width will do, also ones that were not fitted: the network
    widens images to what it needs and crops its answer. A pixel of class ``ignore`` teaches nothing and is not judged.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.random((40, 12, 14))
    >>> y = np.where(X > 0.5, "bright", "dark")
    >>> model = ImageSegmenter(depth=1, width=4, max_epochs=20, learning_rate=0.02, random_state=0).fit(X, y)
    >>> model.predict(X[:, :9, :5]).shape, bool(model.score(X, y) > 0.9)
    ((40, 9, 5), True)

    References
    ----------
    Ronneberger et al. 2015, U-Net: Convolutional Networks for Biomedical Image Segmentation; Goodfellow et al. 2016,
    §9.6 (structured outputs).
    """

    _double_fit: ClassVar[bool] = False

    depth: int = option(3, "how often the U-Net halves the image", low=1, high=8)
    width: int = option(16, "channels of its first level; each level below has twice those above", low=1)
    normalization: Literal["batch", "group", "none"] = option(
        "batch", "of each convolution's outputs; group for batches of one or two images, or with accumulate"
    )
    dropout: float = option(0.0, "share of the deepest values dropped in training", low=0, high=0.95)
    ignore: int | str | None = option(-1, "class of pixels that say nothing; none: every class counts")
    class_weight: Literal["balanced"] | dict | None = option(
        None, "weight of each class's pixels in the loss; balanced: as if all were equally many"
    )
    dice: float = option(0.0, "weight of a Dice term, which sees whole masks and not pixels, in the loss", low=0)
    augment: str = option("none", f"changes of training images, joined by commas: {', '.join(GEOMETRIC + PHOTOMETRIC)}")
    augment_padding: Padding = option(
        "reflection", "what a shift brings in from outside: the mirror image, the last pixel, or black without a class"
    )
    augment_shift: float = option(0.125, "largest shift, as a share of height and width", low=0, high=1)
    augment_brightness: float = option(
        0.3, "largest change of brightness, in standard deviations of the training pixels", low=0
    )
    augment_contrast: float = option(0.3, "largest change of contrast; 0.3: by a factor of 1.3", low=0, high=10)
    pixel_scale: float | None = option(None, "value of a full pixel; none: 255 for bytes, else the largest", above=0)
    batch_size: int = option(8, "images a parameter update", unit="images", low=1)
    max_epochs: int = option(30, "most passes over the training data", unit="epochs", low=0)
    optimizer: OptimizerName = option("adamw", "rule that turns gradients into updates")
    learning_rate: float = option(3e-3, "step size at the top of the schedule", above=0)
    schedule: ScheduleName = option("cosine", "how the learning rate changes")

    def check_settings(self) -> None:
        """Raise `SettingError` for the first setting that is wrong."""
        super().check_settings()
        names_in(self.augment, (*GEOMETRIC, *PHOTOMETRIC), "augment")

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None, X_val: Any = None, y_val: Any = None) -> Self:
        """Learn the classes of pixels.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, channels]), or sequence of images
            Bytes or floating point. Images of different sizes are laid side by side on the largest, which costs its
            time for each; what is added has no class.
        y : array-like of shape (n, height, width), or sequence of masks
            The class of each pixel: whole numbers, texts, or truth values, which count as 0 and 1; ``ignore`` where
            there is none.
        sample_weight : array-like of shape (n,), optional
            Weight of each image's loss, 0 or more.
        X_val, y_val : optional
            Validation data, which early stopping follows; its score is the share of pixels told right.

        Returns
        -------
        self
            The fitted segmenter.

        Raises
        ------
        InputError
            If images and masks do not fit together, or there is only one class.
        """
        return self._fit(X, y, sample_weight, X_val, y_val)

    # -- images and masks ----------------------------------------------------------------------------------------

    def _encode(self, X: Any, y: Any = None, sample_weight: Any = None, *, reset: bool = False) -> Batch:
        images, sizes = stack_images(X)
        if reset:
            self.channels_ = images.shape[3]
        if images.shape[3] != self.channels_:
            expected = f"images of {self.channels_} channels, as fitted"
            raise InputError(expected, f"{images.shape[3]}", "convert them to what was fitted")
        if y is None:
            if reset:
                raise InputError("masks y", "none", "pass the class of each pixel")
            return {"inputs": images}
        masks = stack_masks(y, sizes)
        weights = check_weights(sample_weight)
        check_rows("sample_weight", weights, len(images))
        if weights is not None and bool((weights == 0).any()):
            kept = weights > 0
            rows = kept.numpy()
            images, weights, masks = images[kept], weights[kept], masks[rows]
            sizes = [size for size, keep in zip(sizes, rows, strict=True) if keep]
        outside = np.ones(masks.shape, dtype=bool)
        for row, (height, width) in zip(outside, sizes, strict=True):
            row[:height, :width] = False
        if reset:
            self._learn_classes(masks, outside)
            layer = PixelScale.from_data(images, weights, scale=self.pixel_scale)
            self.pixel_factor_, self.pixel_shift_ = layer.factor.numpy().copy(), layer.shift.numpy().copy()
        targets = self._numbers(masks, outside)
        if reset:
            self._count_pixels(targets, weights)
        return {"inputs": images, "targets": targets} | ({} if weights is None else {"weights": weights})

    def _learn_classes(self, masks: NDArray[Any], outside: NDArray[np.bool_]) -> None:
        found = np.unique(masks[~outside])
        self.classes_ = found if self.ignore is None else found[found != _like(found, self.ignore)]
        if len(self.classes_) < 2:
            received = ", ".join(map(str, self.classes_)) or "none"
            raise InputError("masks of two classes or more", received, "check the masks and the setting ignore")

    def _count_pixels(self, targets: Tensor, weights: Tensor | None) -> None:
        """Learn how many pixels each class has, each image's as often as it weighs."""
        numbers, each = targets.numpy(), np.ones(len(targets)) if weights is None else weights.double().numpy()
        weigh = np.broadcast_to(each[:, None, None], numbers.shape)
        counts = np.bincount(numbers[numbers >= 0], weigh[numbers >= 0], minlength=len(self.classes_))
        self.class_pixels_ = counts.astype(np.float64)
        class_weights(self.class_weight, self.classes_, self.class_pixels_)  # says what is wrong with the setting

    def _numbers(self, masks: NDArray[Any], outside: NDArray[np.bool_]) -> Tensor:
        """Return the number of each pixel's class, -1 where there is none."""
        expected = f"classes that were fitted ({', '.join(map(str, self.classes_[:5]))})"
        if (masks.dtype.kind == "U") != (self.classes_.dtype.kind == "U"):
            raise InputError(expected, f"masks of {masks.dtype}", "pass masks of the kind fitted")
        targets = np.empty(masks.shape, dtype=np.int8 if len(self.classes_) < 128 else np.int16)
        for target, mask, silent in zip(targets, masks, outside, strict=True):  # an index is eight times as large
            if self.ignore is not None:
                silent = silent | (mask == _like(mask, self.ignore))
            numbers = np.searchsorted(self.classes_, mask).clip(0, len(self.classes_) - 1)
            strange = (self.classes_[numbers] != mask) & ~silent
            if strange.any():
                mend = "fit again with all classes, or name it in ignore"
                raise InputError(expected, repr(mask[strange][0].item()), mend)
            target[...] = np.where(silent, -1, numbers)
        return torch.from_numpy(targets)

    # -- training ------------------------------------------------------------------------------------------------

    def _build(self) -> nn.Module:
        unet = UNet(
            self.channels_,
            len(self.classes_),
            self.depth,
            self.width,
            normalization=None if self.normalization == "none" else self.normalization,
            dropout=self.dropout,
        )
        return nn.Sequential(learned_scale(self.pixel_factor_, self.pixel_shift_), unet)

    def _make_network(self) -> nn.Module:
        network = super()._make_network()
        for name in list(self.network_settings_):  # these may change between two fits of one network
            if name == "dice" or name.startswith("augment"):
                self.network_settings_.pop(name)
        return network

    def _loss(self, network: Any) -> LossFunction:
        loss = self._pixel_loss(network)
        if not names_in(self.augment, (*GEOMETRIC, *PHOTOMETRIC), "augment"):
            return loss
        scale = network[0]
        return AugmentedMasks(loss, self, (-scale.shift / scale.factor).flatten(), (1 / scale.factor).flatten())

    def _pixel_loss(self, network: Any) -> SegmentationLoss:
        if self.class_weight is None:
            return SegmentationLoss(None, self.dice)
        table = torch.from_numpy(class_weights(self.class_weight, self.classes_, self.class_pixels_))
        return SegmentationLoss(table.float().to(next(network.parameters()).device), self.dice)

    def _train(self, network: nn.Module, train: Batch, valid: Batch | None, callbacks: Sequence[Callback]) -> None:
        if self.retrain != "none" and valid is not None and train["inputs"].shape[1:] != valid["inputs"].shape[1:]:
            sizes = " and ".join(str(tuple(part["inputs"].shape[1:3])) for part in (train, valid))
            mend = "set retrain='none', or cut the images to one size"
            raise InputError("training and validation images of one size where retrain joins them", sizes, mend)
        super()._train(network, train, valid, callbacks)

    def _measure(self, network: Any, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        loss = self._pixel_loss(network)
        exact = torch.float32 if batch["inputs"].device.type == "mps" else torch.float64
        sums = [torch.stack([s.to(exact) for s in loss.measured(network, part)]) for part in pieces(batch)]
        total, count, right = torch.stack(sums).sum(0)
        return total, right, count

    # -- answering -----------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def _answered(self, X: Any, *, probabilities: bool) -> Any:
        """Return an array of answers, or for images of different sizes a list; each size goes through by itself."""
        check_is_fitted(self)
        network: Any = self.network_.eval()
        device = next(network.parameters()).device
        images = list(X) if _ragged(X) else None
        whole = [check_images(X)] if images is None else [check_images(np.asarray(image)[None]) for image in images]
        for one in whole:
            if one.shape[3] != self.channels_:
                expected = f"images of {self.channels_} channels, as fitted"
                raise InputError(expected, f"{one.shape[3]}", "convert them to what was fitted")
        found = []
        with threads(min(self.n_threads_, cores())):
            for one in whole:
                parts = []
                for part in pieces({"inputs": one}):
                    logits = network(part["inputs"].to(device)).float()
                    answer = logits.softmax(1).movedim(1, 3) if probabilities else logits.argmax(1)
                    parts.append(answer.cpu())
                found.append(torch.cat(parts).contiguous().numpy())
        return found[0] if images is None else [answer[0] for answer in found]

    def predict(self, X: Any) -> Any:
        """Return the likeliest class of each pixel.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, channels]), or sequence of images
            Images of any sizes, with the channels that were fitted.

        Returns
        -------
        ndarray of shape (n, height, width), or list of ndarray of shape (height, width)
            A list where images of different sizes came in one.
        """
        answers = self._answered(X, probabilities=False)
        return [self.classes_[a] for a in answers] if isinstance(answers, list) else self.classes_[answers]

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class at each pixel, float32, of shape (n, height, width, classes).

        Parameters
        ----------
        X : array-like of shape (n, height, width[, channels]), or sequence of images
            As in `predict`; a list of arrays of shape (height, width, classes) comes back where they differ in size.
        """
        return self._answered(X, probabilities=True)

    def mask_scores(self, X: Any, y: Any) -> MaskScores:
        """Return intersection over union of each class, their mean, the share of right pixels, and all counts.

        Parameters
        ----------
        X, y : array-like or sequences
            Images and true masks; pixels of class ``ignore`` are left out.
        """
        check_is_fitted(self)
        answers = self._answered(X, probabilities=False)
        truths = y if isinstance(answers, list) else check_masks(y, answers.shape)
        check_rows("y", truths, len(answers))
        counts = np.zeros((len(self.classes_),) * 2, dtype=np.int64)
        for truth, said in zip(truths, answers, strict=True):
            mask = check_masks(np.asarray(truth)[None], (1, *said.shape))
            numbers = self._numbers(mask, np.zeros(mask.shape, dtype=bool))
            counts += pixel_counts(numbers.numpy().ravel(), said.ravel(), len(self.classes_))
        return mask_scores(counts)

    def score(self, X: Any, y: Any) -> float:
        """Return the mean over classes of intersection over union, over all pixels of all images together."""
        return self.mask_scores(X, y).mean_iou

    def pixel_accuracy(self, X: Any, y: Any) -> float:
        """Return the share of pixels told right."""
        return self.mask_scores(X, y).pixel_accuracy

    def exhibits(self, data: Any) -> Iterator[Exhibit]:
        """Yield how training went, and for ``data = (X, y)`` the scores of each class, and images beside masks."""
        check_is_fitted(self)
        yield learning_curves(self.history_, self.best_epoch_)
        X, y = data
        scores = self.mask_scores(X, y)
        pixels = scores.counts.sum(1)
        table = pd.DataFrame({"class": self.classes_, "intersection over union": scores.iou, "pixels": pixels})
        caption = f"Mean {scores.mean_iou:.3f}; {100 * scores.pixel_accuracy:.1f} % of pixels are told right."
        yield Exhibit("Overlap of masks", caption, "answers", None, table)
        few: Sequence[Any] = [X[i] for i in range(min(SHOWN, len(X)))]
        pictures = []
        for i, (image, said) in enumerate(zip(few, self.predict(few), strict=True)):
            pictures.append(Picture.of(picture_of(check_images(np.asarray(image)[None]).numpy()[0]), f"image {i}"))
            for mask, name in ((y[i], "true"), (said, "said")):
                numbers = np.searchsorted(self.classes_, np.asarray(mask)).clip(0, len(self.classes_) - 1)
                pictures.append(Picture.of(numbers + 1.0, f"{name} mask {i}", scale=len(self.classes_)))
        yield Exhibit("Masks", "Each image, its true mask and the answer.", "answers", None, None, tuple(pictures))

    def __sklearn_tags__(self) -> Any:
        """Say to scikit-learn that images come as stacks, not as tables."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        tags.target_tags.required = True
        return tags


def _ragged(X: Any) -> bool:
    """Whether images come as a sequence of arrays of different sizes."""
    return isinstance(X, list | tuple) and len({np.shape(image) for image in X}) > 1


def _like(masks: NDArray[Any], ignore: Any) -> Any:
    """Return the ignored class, where masks may hold it, else what equals none of them."""
    same = isinstance(ignore, str) == (masks.dtype.kind == "U")
    return ignore if same else (np.nan if masks.dtype.kind != "U" else "\0")
