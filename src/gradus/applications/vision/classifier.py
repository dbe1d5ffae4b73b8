"""Images to classes: networks on pixels, trained from nothing or from what another model has learned."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from gradus.applications.vision.bodies import BodyOptions, make_body
from gradus.applications.vision.transfer import (
    FrozenBody,
    RatedPlayer,
    TransferOptions,
    features_of,
    frozen,
    read_source,
    shape_of,
    taken_over,
)
from gradus.applications.vision.views import VIEWS, AveragedViews
from gradus.core.errors import InputError, SettingError
from gradus.core.options import option
from gradus.core.randomness import derive, generator
from gradus.data.batches import Batch
from gradus.estimators.classification import GradientClassifier
from gradus.estimators.inputs import share
from gradus.networks.checks import names_in
from gradus.networks.contrast import GlobalContrastNormalization, ImageSize, LocalContrastNormalization, ZCAWhitening
from gradus.networks.headed import HeadedNetwork
from gradus.networks.heads import Head
from gradus.networks.preparation import PixelScale
from gradus.networks.vision_transformer import PatchEmbedding
from gradus.training.augmentation import AUGMENTATIONS, Augmentation, AugmentationOptions, AugmentedLoss
from gradus.training.loop import Callback, Trainer
from gradus.training.losses import HeadLoss, LossFunction
from gradus.training.options import TrainingOptions
from gradus.training.player import Player

__all__ = ["ImageClassifier"]

PREPARATIONS = ("gcn", "lcn", "zca")
# Settings that leave the network as it was built, and may change between two fits of it.
FREE = (*AugmentationOptions.__dataclass_fields__, *TransferOptions.__dataclass_fields__, "test_augment")


@dataclass(kw_only=True, eq=False, repr=False)
class ImageClassifier(TransferOptions, AugmentationOptions, BodyOptions, GradientClassifier):
    """Classify images, with a network of a chosen kind and size.

    Takes images of shape (n, height, width) or (n, height, width, channels), bytes or floating point; with
    ``image_shape`` also rows of pixels, so that it fits into pipelines made for tables. Training images are
    augmented on the device as ``augment`` says; validation and answers see them as they are.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> digits = load_digits()
    >>> model = ImageClassifier(max_epochs=3, random_state=0).fit(digits.images[:900], digits.target[:900])
    >>> bool(model.score(digits.images[900:], digits.target[900:]) > 0.85)
    True

    References
    ----------
    Goodfellow et al. 2016, chapter 9; §7.4; §12.2; §15.2 (transfer).
    """

    _double: ClassVar[bool] = False

    test_augment: str = option("none", "views whose answers are averaged: flip, shift, or both joined by a comma")
    prepare: str = option(
        "none", "after scaling, in this order: gcn, lcn (global, local contrast), zca (whitening), joined by commas"
    )
    zca_epsilon: float = option(0.1, "what prepare='zca' adds to variances, against noise", above=0)
    pixel_scale: float | None = option(None, "value of a full pixel; none: 255 for bytes, else the largest", above=0)
    image_shape: tuple[int, ...] | None = option(None, "height, width and channels of images that come as rows", low=1)

    def check_settings(self) -> None:
        """Raise `SettingError` for the first setting that is wrong, alone or beside another."""
        super().check_settings()
        names_in(self.augment, AUGMENTATIONS, "augment")
        names_in(self.test_augment, VIEWS, "test_augment")
        names_in(self.prepare, PREPARATIONS, "prepare")
        if self.body is not None and self.start_from is not None:
            raise SettingError("start_from or body", "both", "leave one of the two out")
        if self.freeze == "head_first" and self.retrain == "epochs":
            mend = "set retrain='continue' or freeze='none'"
            raise SettingError("retrain without a fresh start where freeze='head_first'", "retrain='epochs'", mend)

    # -- images --------------------------------------------------------------------------------------------------

    def _encode_inputs(self, X: Any, weights: Tensor | None, *, reset: bool) -> Batch:
        images = self._check_images(X)
        if reset:
            self.image_shape_ = tuple(images.shape[1:])
            self.n_features_in_ = int(np.prod(self.image_shape_))
            used = weights if weights is None or len(weights) == len(images) else None
            layer = PixelScale.from_data(images, used, scale=self.pixel_scale)
            self.pixel_factor_, self.pixel_shift_ = layer.factor.numpy().copy(), layer.shift.numpy().copy()
            if self.start_from is not None:
                self.body_ = taken_over(self, read_source(self.start_from))
            elif "zca" in names_in(self.prepare, PREPARATIONS, "prepare"):
                before = nn.Sequential(*self._preparation()[:-1])
                self._whitening = ZCAWhitening.from_data(images, self.zca_epsilon, weights=used, before=before)
        if tuple(images.shape[1:]) != tuple(self.image_shape_):
            raise InputError(
                f"images of shape {tuple(self.image_shape_)} (height, width, channels)",
                str(tuple(images.shape[1:])),
                "resize them to the size that was fitted",
            )
        return {"inputs": images}

    def _check_images(self, X: Any) -> Tensor:
        array = np.asarray(X)
        if array.dtype == object or array.dtype.kind not in "biuf":
            raise InputError("images as numbers", f"an array of {array.dtype}", "pass bytes or floating-point pixels")
        if array.ndim == 2 and self.image_shape is not None and array.shape[1] == np.prod(self.image_shape):
            array = array.reshape(len(array), *self.image_shape)
        if array.ndim == 3:
            array = array[..., None]
        if array.ndim != 4 or array.shape[-1] not in (1, 2, 3, 4) or 0 in array.shape:
            mend = "reshape with X.reshape(-1, height, width, channels), set image_shape, or fit a TabularClassifier"
            raise InputError("images of shape (n, height, width, channels)", str(array.shape), mend)
        if array.dtype != np.uint8:
            array = array.astype(np.float32)
            if not np.isfinite(array).all():
                raise InputError("finite pixels", "NaN or infinity", "replace or drop those images")
        return share(np.ascontiguousarray(array))

    # -- the network ---------------------------------------------------------------------------------------------

    def described_body(self) -> dict[str, Any] | None:
        """Return what the body can be built from again: its settings, image shape and preparation; None if foreign."""
        if hasattr(self, "body_"):
            return self.body_
        return None if self.body is not None else self._own_body()

    def _own_body(self) -> dict[str, Any]:
        known = SimpleNamespace(**{**vars(self), **getattr(self, "network_settings_", {})})
        return {"shape": shape_of(known), "image_shape": list(self.image_shape_), "prepare": known.prepare}

    def preparation(self) -> list[nn.Module]:
        """Return the fitted layers between the pixel scale and the body."""
        return list(self.network_.prepare)[1:] if isinstance(self.network_.prepare, nn.Sequential) else []

    def _preparation(self) -> list[nn.Module]:
        """Make the layers from stored images to the body's inputs; a whitening matrix is filled in later."""
        channels = self.image_shape_[2]
        scale = PixelScale(1.0, torch.zeros(channels), torch.ones(channels))
        scale.factor.copy_(torch.from_numpy(self.pixel_factor_))
        scale.shift.copy_(torch.from_numpy(self.pixel_shift_))
        known = getattr(self, "body_", None) or {"image_shape": self.image_shape_, "prepare": self.prepare}
        height, width, channels = (int(size) for size in known["image_shape"])
        layers: list[nn.Module] = [scale]
        if tuple(known["image_shape"]) != tuple(self.image_shape_):
            layers.append(ImageSize(channels, (height, width)))
        names = names_in(known["prepare"], PREPARATIONS, "prepare")
        for name in sorted(names, key=PREPARATIONS.index):
            if name == "gcn":
                layers.append(GlobalContrastNormalization())
            elif name == "lcn":
                layers.append(LocalContrastNormalization(channels))
            else:
                pixels = channels * height * width
                layers.append(ZCAWhitening(torch.zeros(channels, height, width), torch.zeros((pixels, pixels))))
        return layers

    def _network(self, head_of: Callable[[int], Head]) -> nn.Module:
        layers = self._preparation()
        prepare = layers[0] if len(layers) == 1 else nn.Sequential(*layers)
        body: Any
        if self.body is not None and not hasattr(self, "body_"):
            body = copy.deepcopy(self.body)
            width = features_of(body, prepare(torch.zeros((1, *self.image_shape_))))
            return HeadedNetwork(prepare, body, head_of(width))
        known = getattr(self, "body_", None) or {"shape": shape_of(self), "image_shape": self.image_shape_}
        height, across, channels = (int(size) for size in known["image_shape"])
        shape = SimpleNamespace(**known["shape"])
        body = make_body(shape, channels, (height, across), self.dropout, self.input_dropout)
        return HeadedNetwork(prepare, body, head_of(body.out_features))

    def _make_network(self) -> nn.Module:
        network: Any = super()._make_network()
        for name in FREE:
            self.network_settings_.pop(name, None)
        fitted: list[nn.Module] = [self._whitening] if "_whitening" in vars(self) else []
        if self.start_from is not None:
            source = read_source(self.start_from)
            # By their order: a rate of dropout adds a layer, and with it changes the names of those that follow.
            ours, theirs = network.body.state_dict(), source.body.state_dict()
            network.body.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))
            fitted = source.layers
        for whitening in (layer for layer in fitted if isinstance(layer, ZCAWhitening)):
            network.prepare[-1].load_state_dict(whitening.state_dict())
        return network

    def _settle(self, X: Any, y: Any, sample_weight: Any, X_val: Any, y_val: Any) -> None:
        self.__dict__.pop("_whitening", None)  # the network has it

    # -- training ------------------------------------------------------------------------------------------------

    def _loss(self, network: Any) -> LossFunction:
        inner: Any = super()._loss(network)
        names = names_in(self.augment, AUGMENTATIONS, "augment")
        if not names:
            return inner
        if {"mixup", "cutmix"} & set(names) and not isinstance(inner, HeadLoss):
            mend = "leave one of the two out"
            raise SettingError("augment without mixup and cutmix beside another loss", repr(self.augment), mend)
        return AugmentedLoss(inner, self._augmentation(network.prepare))

    def _augmentation(self, prepare: Any) -> Augmentation:
        scale: Any = prepare[0] if isinstance(prepare, nn.Sequential) else prepare
        return Augmentation(self, (-scale.shift / scale.factor).flatten(), (1 / scale.factor).flatten())

    def _players(self, network: Any, options: TrainingOptions, seed: int) -> list[Player]:
        body = network.body
        if not any(p.requires_grad for p in body.parameters()):
            network = HeadedNetwork(network.prepare, FrozenBody(body), network.head)
        elif self.body_rate != 1:
            return [
                RatedPlayer("network", network, self._loss(network), options, seed=seed, slow=body, rate=self.body_rate)
            ]
        return super()._players(network, options, seed)

    def _trainer(self, network: Any, *given: Any, phase: str, **more: Any) -> Trainer:
        held = self.freeze == "body" or phase == "head"
        with frozen(network.body) if held else nullcontext():  # the player takes what can be trained now
            trainer = super()._trainer(network, *given, phase=phase, **more)
        steps, seconds = self.__dict__.pop("_spent", (0, 0.0)) if phase == "main" else (0, 0.0)
        most, longest = trainer.options.max_steps, trainer.options.max_time
        left = None if most is None else most - steps
        time_left = None if longest is None else max(0.0, longest - seconds)
        trainer.options = replace(trainer.options, max_steps=left, max_time=time_left)
        return trainer

    def _train(self, network: nn.Module, train: Batch, valid: Batch | None, callbacks: Sequence[Callback]) -> None:
        if self.freeze == "head_first" and network is not getattr(self, "network_", None):
            first = self._trainer(network, train, valid, callbacks, phase="head", epochs=self.head_epochs)
            self._run(first)
            if first.finished in ("interrupted", "callback", "max_steps", "max_time") or first.signals.request:
                return
            self._spent = first.step, first.elapsed
        super()._train(network, train, valid, callbacks)

    def _fit_stream(self, *given: Any) -> Self:
        if self.freeze == "head_first":
            mend = "set freeze='body', or fit arrays"
            raise SettingError("freeze other than 'head_first' with batches of a stream", "head_first", mend)
        return super()._fit_stream(*given)

    # -- answering and keeping -----------------------------------------------------------------------------------

    def _forward(
        self, X: Any, answer: Callable[[Any, Tensor], Tensor] | None = None, *, double: bool = False
    ) -> Tensor:
        if not names_in(self.test_augment, VIEWS, "test_augment"):
            return super()._forward(X, answer, double=double)
        twin: Any = copy.copy(self)
        twin.network_, twin.test_augment = AveragedViews(self.network_, self.test_augment), "none"
        return twin._forward(X, answer, double=double)

    def augmented(self, X: Any, times: int = 1) -> list[np.ndarray]:
        """Return images as training may see them, ``times`` times, each of shape (n, height, width, channels).

        Parameters
        ----------
        X : array-like
            Images, as in `fit`.
        times : int
            How often each image is changed; in mixed ones the image before it is seen too.
        """
        check_is_fitted(self)
        images = self._check_images(X)
        augmentation = self._augmentation(self.network_.prepare)
        source = generator(derive(self.seed_, "augmented"), augmentation.mean.device)
        return [augmentation(images.to(augmentation.mean.device), source).images.cpu().numpy() for _ in range(times)]

    def filters(self) -> np.ndarray | None:
        """Return the weights of the first layer as images, of shape (units, height, width, channels), if they are."""
        check_is_fitted(self)
        body: Any = self.network_.body
        layers = body.modules()
        first: Any = next((m for m in layers if isinstance(m, nn.Conv2d | nn.Linear | PatchEmbedding)), None)
        if first is None:
            return None
        known = self.described_body()
        if isinstance(first, nn.Conv2d):
            kernels = first.weight
        elif isinstance(first, PatchEmbedding):
            kernels = first.project.weight.unflatten(1, (first.in_channels, first.patch_size, first.patch_size))
        elif known is None:
            return None
        else:
            height, width, channels = known["image_shape"]
            kernels = first.weight.unflatten(1, (channels, height, width))
        return kernels.detach().permute(0, 2, 3, 1).cpu().numpy()

    def save(self, path: str | Path) -> Path:
        """Write the fitted classifier to a folder, as :meth:`gradus.estimators.base.Estimator.save` does.

        Raises
        ------
        InputError
            If its body is a module of the user's own: the folder would hold weights, and no way to build the body.
        """
        if self.body is not None:
            mend = "keep model.network_.state_dict() beside the code that makes the body"
            raise InputError("a body that Gradus can build again", f"a {type(self.body).__name__} of your own", mend)
        return super().save(path)

    def __sklearn_tags__(self) -> Any:
        """Say to scikit-learn that images come as stacks, not as tables."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = self.image_shape is not None
        tags.input_tags.three_d_array = True
        return tags
