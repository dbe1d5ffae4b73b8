"""The Keras side of `networks_vision.py`: the same networks of Keras's layers, with the same weights, on torch.

`LeNet5` and `ResNet` are rebuilt layer by layer and get copies of our weights; before anything is timed, both have to
answer alike. Data are channels last, as Keras has them by default. Keras has no padding by the pixel at the border:
LeNet is given pictures that are 32 x 32 already, which saves it that work. Import it after KERAS_BACKEND is set.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import keras
import torch
from keras import Input, Model, layers, losses, optimizers
from racing import Asked
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.networks.convolutional import LeNet5, ResNet

__all__ = ["KerasSide", "keras_side"]

# Largest difference between two answers of the same network: sums in another order.
ALIKE = 1e-3


def _convolved(layer: nn.Conv2d, x: Any) -> Any:
    """Convolve with a copy of a layer of torch."""
    (kernel, _), (stride, _) = layer.kernel_size, layer.stride
    padded = kernel // 2 and layer.padding not in (0, (0, 0), "valid")
    if padded and stride > 1:  # "same" with a stride would pad the end alone
        x, padded = layers.ZeroPadding2D(kernel // 2)(x), False
    copy = layers.Conv2D(
        layer.out_channels,
        kernel,
        strides=stride,
        padding="same" if padded else "valid",
        use_bias=layer.bias is not None,
    )
    answer = copy(x)
    copy.set_weights([layer.weight.detach().permute(2, 3, 1, 0).numpy(), *_bias(layer)])
    return answer


def _normalized(layer: nn.BatchNorm2d, x: Any) -> Any:
    """Normalize by a copy of a layer of torch, which says momentum the other way round."""
    copy = layers.BatchNormalization(momentum=1 - float(layer.momentum or 0.0), epsilon=layer.eps)
    answer = copy(x)
    mean, variance = layer.running_mean, layer.running_var
    if mean is None or variance is None:
        raise RuntimeError("a batch normalization without running means")
    copy.set_weights([part.detach().numpy() for part in (layer.weight, layer.bias, mean, variance)])
    return answer


def _dense(layer: nn.Linear, x: Any) -> Any:
    copy = layers.Dense(layer.out_features, use_bias=layer.bias is not None)
    answer = copy(x)
    copy.set_weights([layer.weight.detach().mT.numpy(), *_bias(layer)])
    return answer


def _bias(layer: Any) -> list[Any]:
    return [] if layer.bias is None else [layer.bias.detach().numpy()]


def _through(network: nn.Module, x: Any) -> Any:
    """Build the layers of a sequence one after the other."""
    for layer in network.children():
        if isinstance(layer, nn.Conv2d):
            x = _convolved(layer, x)
        elif isinstance(layer, nn.BatchNorm2d):
            x = _normalized(layer, x)
        elif isinstance(layer, nn.Linear):
            x = _dense(layer, x)
        elif isinstance(layer, nn.ReLU):
            x = layers.ReLU()(x)
        elif isinstance(layer, nn.MaxPool2d):
            x = layers.MaxPooling2D(layer.kernel_size)(x)
        elif hasattr(layer, "branch"):
            passed = x if layer.shortcut is None else _through(layer.shortcut, x)  # type: ignore[arg-type]
            x = layers.ReLU()(layers.Add()([_through(layer.branch, x), passed]))  # type: ignore[arg-type]
        elif isinstance(layer, nn.Sequential):
            x = _through(layer, x)
        else:
            raise RuntimeError(f"no layer of Keras for {type(layer).__name__}")
    return x


def _rebuilt(body: nn.Module, linear: nn.Linear) -> Any:
    """Return a model of Keras with the layers and weights of a body and the layer that reads it."""
    if isinstance(body, LeNet5):
        inputs = Input((32, 32, body.in_channels))
        x = _through(body.dense, layers.Flatten()(_through(body.maps, inputs)))
    elif isinstance(body, ResNet):
        inputs = Input((28, 28, body.in_channels))
        x = layers.GlobalAveragePooling2D()(_through(body.stages, _through(body.stem, inputs)))
    else:
        raise RuntimeError(f"no model of Keras for {type(body).__name__}")
    return Model(inputs, _dense(linear, x))


class KerasSide:
    """A network of Keras in the race.

    Parameters
    ----------
    body : LeNet5 or ResNet
        What it repeats.
    linear : nn.Linear
        What reads the body's features.
    """

    def __init__(self, body: nn.Module, linear: nn.Linear, asked: Asked) -> None:
        self.widened = isinstance(body, LeNet5)
        with keras.device(asked.device.replace("cuda", "gpu")):
            self.model = _rebuilt(body, linear)
        loss = losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(optimizer=optimizers.Adam(1e-3, epsilon=1e-8), loss=loss)

    def prepared(self, pictures: Tensor) -> Tensor:
        """Return standardized pictures, channels first, as this network takes them."""
        if self.widened and pictures.shape[2] == 28:
            pictures = F.pad(pictures, (2, 2, 2, 2), mode="replicate")
        return pictures.permute(0, 2, 3, 1).contiguous()

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return logits, normalized by the batch's own means."""
        return self.model(self.prepared(pictures), training=True)

    def trainer(self, pictures: Tensor, classes: Tensor, batch: int) -> Callable[[int], None]:
        """Return a function that lets Keras fit the pictures of as many batches."""
        x, y = self.prepared(pictures).numpy(), classes.numpy()
        position = 0

        def steps(n: int) -> None:
            nonlocal position
            index = torch.arange(position, position + n * batch).numpy() % len(x)
            position += n * batch
            self.model.fit(x[index], y[index], batch_size=batch, epochs=1, shuffle=True, verbose=0)

        return steps


@torch.no_grad()
def keras_side(body: nn.Module, linear: nn.Linear, pictures: Tensor, asked: Asked) -> KerasSide:
    """Rebuild a network in Keras, and see that both answer alike."""
    shaken = nn.Sequential(copy.deepcopy(body), copy.deepcopy(linear))
    for layer in shaken.modules():
        if isinstance(layer, nn.BatchNorm2d):  # a residual branch begins with a gain of zero, and would not be seen
            layer.weight.uniform_(0.5, 1.5)
    some = pictures[:64].to("cpu")
    tried = KerasSide(shaken[0], shaken[1], asked)  # type: ignore[arg-type]
    for training in (False, True):
        answer = tried.model(tried.prepared(some), training=training).cpu()
        apart = float((answer - shaken.train(training)(some)).abs().max())
        if not apart < ALIKE:
            raise RuntimeError(f"Keras's network answers otherwise, by {apart:.2g}")
    return KerasSide(body, linear, asked)
