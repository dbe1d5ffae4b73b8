"""What a reader is made of: the network that says how many symbols there are and which, and its loss."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.data.batches import Batch
from gradus.networks.checks import check_rate, check_sizes, chosen
from gradus.networks.convolutional import ResNet, convolution
from gradus.networks.convolutional.grids import channels_last
from gradus.networks.initialization import initialize
from gradus.networks.normalization import normalization_layer
from gradus.training.losses import Loss

__all__ = ["READING_NETWORKS", "READOUTS", "Reading", "ReadingNetwork", "read_likeliest", "reading_loss"]

READING_NETWORKS = ("convolutional", "resnet")
READOUTS = ("dense", "attention")
# Pooling stops before the grid gets smaller than this.
SMALLEST_GRID = 4
# Channels of each cell from which the attention finds its way.
NARROW = 16


class Reading(NamedTuple):
    """Logarithms of probabilities: of each number of symbols, and of each symbol at each position."""

    lengths: Float[Tensor, "n longest_and_one"]
    symbols: Float[Tensor, "n longest classes"]


class ReadingNetwork(nn.Module):
    """A convolutional body with one answer for the number of symbols, and one for the symbol at each position.

    ``log P(s | x) = log P(L = |s| | x) + Σ_i log P(S_i = s_i | x)``: given the image, length and symbols are
    independent, and what stands past the end is not asked for.

    Parameters
    ----------
    prepare : Module
        From stored images of shape (n, height, width, channels) to the body's.
    channels : int
        Channels of the images.
    size : (int, int)
        Their height and width: where a symbol stands matters, so it is fixed.
    longest : int
        Most symbols.
    classes : int
        Symbols there are.
    network : {"convolutional", "resnet"}
        The body: blocks of 3 x 3 convolution, maxima of 2 x 2 (down to a grid of some 4 cells), batch normalization
        and rectifier; or a :class:`~gradus.networks.ResNet`, of which its last maps are read, not their mean, which
        would forget what stands where.
    widths : sequence of int
        Channels of each block of the convolutional body.
    depth, width, stages : int
        Size of the residual one.
    readout : {"dense", "attention"}
        ``"dense"``: a fully connected layer of the last maps, from which every answer is linear, as in the paper.
        ``"attention"``: that layer says for each position how much each cell of the maps counts, and one network
        tells the symbol from the cells' weighted mean, the same at every position: a symbol learned at one is known
        at all.
    features : int
        Width of the fully connected layer.
    dropout : float
        Probability in ``[0, 1)`` with which a feature is dropped in training.

    Examples
    --------
    >>> network = ReadingNetwork(nn.Identity(), 1, (16, 40), 4, 10)
    >>> parts = network.parts(network(torch.zeros(2, 1, 16, 40)))
    >>> parts.lengths.shape, parts.symbols.shape
    (torch.Size([2, 5]), torch.Size([2, 4, 10]))

    References
    ----------
    Goodfellow et al. 2014, Multi-digit Number Recognition from Street View Imagery using Deep Convolutional Neural
    Networks, §3; Bahdanau et al. 2015 (attention).
    """

    def __init__(
        self,
        prepare: nn.Module,
        channels: int,
        size: tuple[int, int],
        longest: int,
        classes: int,
        network: str = "convolutional",
        *,
        widths: Sequence[int] = (16, 32, 64, 128, 128),
        depth: int = 1,
        width: int = 32,
        stages: int = 3,
        readout: str = "attention",
        features: int = 256,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        chosen(network, READING_NETWORKS, "network")
        chosen(readout, READOUTS, "readout")
        check_sizes(channels=channels, height=size[0], width=size[1], longest=longest, classes=classes)
        check_sizes(features=features)
        check_rate("dropout", dropout)
        self.prepare, self.longest, self.classes = prepare, longest, classes
        height, across = size
        self.body: nn.Module
        if network == "convolutional":
            self.body, (height, across) = _blocks(channels, size, widths)
            read = widths[-1]
        else:
            self.body = _LastMaps(ResNet(channels, depth, width, stages=stages))
            read = self.body.residual.out_features
            for _ in range(stages - 1):
                height, across = -(-height // 2), -(-across // 2)
        cells = height * across
        self.readout: nn.Module
        if readout == "dense":
            self.readout = _DenseReadout(read * cells, longest, classes, features, dropout)
        else:
            self.readout = _AttentionReadout(read, cells, longest, classes, features, dropout)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Shaped[Tensor, "n ..."]) -> Float[Tensor, "n parameters"]:
        """Return the scores of lengths and symbols in a row; `parts` takes them apart."""
        # In the order of memory, so that flattening is a view.
        return self.readout(self.body(channels_last(self.prepare(images))).permute(0, 2, 3, 1).flatten(1, 2))

    def parts(self, parameters: Float[Tensor, "n parameters"]) -> Reading:
        """Return the logarithms of the probabilities."""
        lengths, symbols = parameters.split([self.longest + 1, self.longest * self.classes], 1)
        return Reading(lengths.log_softmax(1), symbols.unflatten(1, (self.longest, self.classes)).log_softmax(2))


def _blocks(channels: int, size: tuple[int, int], widths: Sequence[int]) -> tuple[nn.Module, tuple[int, int]]:
    """Return the convolutional body and the grid of its last maps."""
    check_sizes(channels=min(widths, default=0))
    layers: list[nn.Module] = []
    height, across = size
    for index, (read, write) in enumerate(pairwise([channels, *widths])):
        layer = convolution(read, write, 3, bias=False)
        initialize(layer, "auto", "relu", first=index == 0)
        layers.append(layer)
        if min(height, across) >= 2 * SMALLEST_GRID:
            # The maximum before normalization and rectifier: a quarter of their work.
            layers.append(nn.MaxPool2d(2))
            height, across = height // 2, across // 2
        layers += [normalization_layer("batch", write, 2), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers), (height, across)


class _LastMaps(nn.Module):
    """The maps of a residual network, before their mean."""

    def __init__(self, residual: ResNet) -> None:
        super().__init__()
        self.residual = residual

    def forward(self, images: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n maps rows columns"]:
        return self.residual.maps(images)


class _DenseReadout(nn.Module):
    """Every answer from one fully connected layer of all cells."""

    def __init__(self, read: int, longest: int, classes: int, features: int, dropout: float) -> None:
        super().__init__()
        dense, answers = nn.Linear(read, features), nn.Linear(features, longest + 1 + longest * classes)
        initialize(dense, "auto", "relu")
        initialize(answers, "lecun")
        self.layers = nn.Sequential(nn.Dropout(dropout), dense, nn.ReLU(), nn.Dropout(dropout), answers)

    def forward(self, cells: Float[Tensor, "n cells channels"]) -> Float[Tensor, "n parameters"]:
        return self.layers(cells.flatten(1))


class _AttentionReadout(nn.Module):
    """Where each position lies from all cells, what stands there from the cells it lies on."""

    def __init__(self, read: int, cells: int, longest: int, classes: int, features: int, dropout: float) -> None:
        super().__init__()
        # Where something stands takes less to say than what it is.
        self.narrow, self.where = nn.Linear(read, NARROW), nn.Linear(NARROW * cells, features)
        self.places, self.lengths = nn.Linear(features, longest * cells), nn.Linear(features, longest + 1)
        self.what, self.symbols = nn.Linear(read, features), nn.Linear(features, classes)
        for layer in (self.narrow, self.where, self.what):
            initialize(layer, "auto", "relu")
        for layer in (self.places, self.lengths, self.symbols):
            initialize(layer, "lecun")
        self.dropout, self.longest = nn.Dropout(dropout), longest

    def attention(self, hidden: Float[Tensor, "n features"]) -> Float[Tensor, "n longest cells"]:
        """Return how much each cell counts at each position; a sum of one."""
        return self.places(hidden).unflatten(1, (self.longest, -1)).softmax(2)

    def forward(self, cells: Float[Tensor, "n cells channels"]) -> Float[Tensor, "n parameters"]:
        hidden = self.dropout(F.relu(self.where(F.relu(self.narrow(cells)).flatten(1))))
        seen = self.attention(hidden) @ cells
        symbols = self.symbols(self.dropout(F.relu(self.what(seen))))
        return torch.cat([self.lengths(hidden), symbols.flatten(1)], 1)


def reading_loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
    """Return minus the log-probability of each sequence, in nats, summed; counted are images.

    ``targets`` hold the number of each symbol, and -1 past the end.

    Examples
    --------
    >>> network = ReadingNetwork(nn.Identity(), 1, (8, 8), 2, 3)
    >>> for answers in (network.readout.lengths, network.readout.symbols):
    ...     _ = nn.init.zeros_(answers.weight), nn.init.zeros_(answers.bias)
    >>> batch = {"inputs": torch.zeros(1, 1, 8, 8), "targets": torch.tensor([[2, -1]])}
    >>> loss = reading_loss(network, batch, torch.Generator())
    >>> round(float(loss.total.detach() / loss.count), 4)  # log 3 for the length, log 3 for the one symbol
    2.1972
    """
    net: Any = network
    reading, targets = net.parts(net(batch["inputs"])), batch["targets"]
    each = log_probability(reading, targets)
    weights = batch.get("weights")
    if weights is None:
        return Loss(-each.sum(), float(len(each)), {})
    return Loss(-torch.dot(weights.to(each.dtype), each), weights.sum(), {})


def log_probability(reading: Reading, targets: Int[Tensor, "n longest"]) -> Float[Tensor, " n"]:
    """Return the logarithm of each sequence's probability, in nats."""
    there = targets >= 0
    length = reading.lengths.gather(1, there.sum(1, keepdim=True)).squeeze(1)
    symbols = reading.symbols.gather(2, targets.clamp_min(0).unsqueeze(2)).squeeze(2)
    return length + (symbols * there).sum(1)


def read_likeliest(reading: Reading) -> tuple[Int[Tensor, "n longest"], Float[Tensor, " n"]]:
    """Return the most probable sequence of each image, -1 past its end, and the logarithm of its probability.

    Of each length the best sequence has the best symbol at every position, so one pass finds the best of all.

    Examples
    --------
    >>> lengths = torch.tensor([[0.1, 0.5, 0.4]]).log()
    >>> symbols = torch.tensor([[[0.4, 0.6], [0.9, 0.1]]]).log()
    >>> best, nats = read_likeliest(Reading(lengths, symbols))
    >>> best.tolist(), round(float(nats.exp()), 3)  # 0.5 * 0.6 is more than 0.4 * 0.6 * 0.9
    ([[1, -1]], 0.3)
    """
    values, best = reading.symbols.max(2)
    totals = reading.lengths + F.pad(values.cumsum(1), (1, 0))
    nats, length = totals.max(1)
    places = torch.arange(best.shape[1], device=best.device)
    return torch.where(places < length.unsqueeze(1), best, -1), nats
