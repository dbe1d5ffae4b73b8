"""Back-propagation through a fully connected chain, written out: algorithms 6.3 and 6.4.

For a small network, building and walking a graph of gradients takes longer than the arithmetic. A chain of affine
maps and activations needs no graph: its gradients are a loop over its layers, from the last to the first. The same
kernels are called in the same order as torch.autograd calls them, so the gradients agree to the bit, and a training
may change from one to the other at any step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.data.batches import Batch
from gradus.networks import MLP, CategoricalHead, HeadedNetwork
from gradus.training.losses import HeadLoss, Loss, LossFunction

__all__ = ["ChainGradients"]

_aten = torch.ops.aten


class _Activation(NamedTuple):
    """A function of one number, and its gradient from the value it took or from its argument."""

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]
    from_value: bool


_ACTIVATIONS: dict[type[nn.Module], _Activation] = {
    nn.ReLU: _Activation(torch.relu_, lambda d, h: _aten.threshold_backward(d, h, 0), from_value=True),
    nn.Tanh: _Activation(torch.tanh_, _aten.tanh_backward, from_value=True),
    nn.Sigmoid: _Activation(torch.sigmoid_, _aten.sigmoid_backward, from_value=True),
    nn.SiLU: _Activation(F.silu, _aten.silu_backward, from_value=False),
}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_CROSS_ENTROPY_ARGUMENTS = (None, 2, -100)  # no class weights, a sum, torch's index of targets to ignore


class ChainGradients:
    """The gradients of a maximum likelihood loss of an MLP and its head.

    Use :meth:`of` to get one where it applies.

    Parameters
    ----------
    network : HeadedNetwork
        An `MLP` and a head; inputs come prepared.
    loss : HeadLoss
        The loss of that head.

    Examples
    --------
    >>> from gradus.training.losses import head_loss
    >>> network = HeadedNetwork(None, MLP(4, (8,)), CategoricalHead(8, 3))
    >>> chain = ChainGradients.of(network, head_loss(network.head))
    >>> batch = {"inputs": torch.ones(2, 4), "targets": torch.tensor([0, 2])}
    >>> loss = chain.step(batch, torch.tensor(0.5))  # of half the sum: the mean
    >>> loss.count, network.body.layers[0].weight.grad.shape
    (2.0, torch.Size([8, 4]))

    References
    ----------
    Goodfellow et al. 2016, §6.5.4, algorithms 6.3 and 6.4.
    """

    def __init__(self, network: HeadedNetwork, loss: HeadLoss) -> None:
        self.network, self.head = network, loss.head
        body: Any = network.body
        self.layers: list[Any] = list(body.layers)
        self.parameters = list(network.parameters())
        # Empty unless someone listens, who would hear nothing; the dictionaries are the modules' own.
        self._listeners: list[dict[Any, Any]] = [getattr(m, hooks) for m in network.modules() for hooks in _HOOKS]
        self._gradients: dict[int, Tensor] = {}

    @staticmethod
    def of(network: nn.Module, loss: LossFunction) -> ChainGradients | None:
        """Return the gradients of ``loss``, or None where the network or the loss is more than a chain."""
        if type(loss) is not HeadLoss or loss.metrics or loss.label_smoothing or loss.inputs != ("inputs",):
            return None
        if type(network) is not HeadedNetwork or network.prepare is not None or loss.head is not network.head:
            return None
        known = {nn.Linear, nn.Dropout, *_ACTIVATIONS}
        if type(network.body) is not MLP or any(type(layer) not in known for layer in network.body.layers):
            return None
        if not all(p.requires_grad and p.device.type == "cpu" for p in network.parameters()):
            return None
        return ChainGradients(network, loss)

    def applies(self, batch: Batch) -> bool:
        """Whether nobody listens to modules or gradients, and examples count alike."""
        return "weights" not in batch and not any(self._listeners) and not any(map(_watched, self.parameters))

    @torch.no_grad()
    def step(self, batch: Batch, share: Tensor) -> Loss:
        """Leave ``share`` times the gradient of the loss in ``.grad``; return the loss.

        The gradients are written where the last step's lay.

        Parameters
        ----------
        batch : Batch
            ``inputs`` of shape (batch, features) and ``targets``.
        share : Tensor
            Scalar; one over the batch's size makes the gradient of the mean.
        """
        values = self._forward(batch["inputs"])
        total, gradient = self._output(values[-1], batch["targets"], share)
        self._backward(values, gradient)
        return Loss(total, float(len(batch["targets"])), {})

    def _forward(self, inputs: Tensor) -> list[Any]:
        """Return the inputs of every layer, and the last one's output (algorithm 6.3); of dropout, the mask too."""
        value = inputs
        values: list[Any] = []
        for layer in self.layers:
            kind = type(layer)
            if kind is nn.Linear:
                values.append(value)
                value = F.linear(value, layer.weight, layer.bias)
            elif kind is nn.Dropout:
                # as torch draws and scales it
                mask = torch.empty_like(value).bernoulli_(1 - layer.p).div_(1 - layer.p) if layer.p < 1 else None
                values.append(mask)
                value = value * mask if mask is not None else torch.zeros_like(value)
            else:
                activation = _ACTIVATIONS[kind]
                values.append(None if activation.from_value else value)
                value = activation.forward(value)
                if activation.from_value:
                    values[-1] = value
        values.append(value)
        return values

    def _backward(self, values: list[Any], gradient: Tensor) -> None:
        """Go from the last layer to the first with the gradient of its output (algorithm 6.4)."""
        last = next(i for i, layer in enumerate(self.layers) if type(layer) is nn.Linear) if self.layers else 0
        for index in range(len(self.layers) - 1, last - 1, -1):
            layer, value = self.layers[index], values[index]
            kind = type(layer)
            if kind is nn.Linear:
                self._affine(layer, value, gradient)
                if index > last:
                    gradient = gradient.mm(layer.weight)
            elif kind is nn.Dropout:
                gradient = gradient * value
            else:
                gradient = _ACTIVATIONS[kind].backward(gradient, value)

    def _affine(self, layer: Any, inputs: Tensor, gradient: Tensor) -> None:
        layer.weight.grad = torch.mm(gradient.t(), inputs, out=self._room(layer.weight))
        layer.bias.grad = torch.sum(gradient, 0, out=self._room(layer.bias))

    def _room(self, parameter: nn.Parameter) -> Tensor:
        room = self._gradients.get(id(parameter))
        if room is None or room.dtype != parameter.dtype:
            room = self._gradients[id(parameter)] = torch.empty_like(parameter)
        return room

    def _output(self, features: Tensor, targets: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summed loss and its gradient with respect to the features; leave those of the head's weights."""
        if type(self.head) is CategoricalHead and targets.dtype == torch.int64 and targets.shape == features.shape[:1]:
            linear = self.head.linear
            scores = torch.log_softmax(F.linear(features, linear.weight, linear.bias), 1)
            total, weight = _aten.nll_loss_forward(scores, targets, *_CROSS_ENTROPY_ARGUMENTS)
            gradient = _aten.nll_loss_backward(share, scores, targets, *_CROSS_ENTROPY_ARGUMENTS, weight)
            gradient = _aten._log_softmax_backward_data(gradient, scores, 1, scores.dtype)
            self._affine(linear, features, gradient)
            return total, gradient.mm(linear.weight)
        with torch.enable_grad():
            leaf = features.detach().requires_grad_()
            total = self.head.total_loss(self.head(leaf), targets)
            torch.autograd.backward(total, share, inputs=[leaf, *self.head.parameters()])
        return total.detach(), leaf.grad  # type: ignore[return-value]


def _watched(parameter: Any) -> bool:
    return bool(parameter._backward_hooks or parameter._post_accumulate_grad_hooks)
