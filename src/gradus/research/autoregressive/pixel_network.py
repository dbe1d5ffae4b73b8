"""Convolutions that see only pixels above and to the left, and the gated network made of them.

Two stacks run side by side. The vertical one sees all rows above, the horizontal one what lies to the left in the same
row, and it reads the vertical one at every layer: together every earlier pixel, with no blind spot. Channels of one
pixel follow each other too: feature maps are divided into as many groups, and a group sees earlier groups of its pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import SettingError
from gradus.networks.checks import check_sizes
from gradus.research.generative.likelihoods import BernoulliLikelihood

__all__ = ["GatedPixelLayer", "GroupedConvolution", "PixelNetwork", "RowsAbove"]


class RowsAbove(nn.Conv2d):
    """A convolution that sees rows up to its own (of features that see rows above), or above its own (of pixels).

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    size : int
        Width of the window, odd; it is ``size // 2 + 1`` rows high.
    strict : bool
        See rows above alone: for the layer that reads pixels.

    Examples
    --------
    >>> x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    >>> RowsAbove(1, 1, 3, strict=True)(x)[0, 0, 2, 1].backward()
    >>> x.grad[0, 0].any(1).tolist()
    [True, True, False, False]
    """

    def __init__(self, inputs: int, outputs: int, size: int, *, strict: bool = False) -> None:
        rows = size // 2 + 1
        super().__init__(inputs, outputs, (rows, size))
        self.margins = (size // 2, size // 2, rows - 1 + strict, 0)
        self.strict = strict

    def forward(self, maps: Float[Tensor, "n inputs height width"]) -> Float[Tensor, "n outputs height width"]:
        """Return maps of the same height and width."""
        seen = F.pad(maps, self.margins)
        return super().forward(seen[:, :, :-1] if self.strict else seen)


class GroupedConvolution(nn.Conv2d):
    """A convolution along a row that sees what lies to the left, and of its own pixel the earlier groups of channels.

    Parameters
    ----------
    inputs, outputs : Tensor of int
        The group of each channel, counted from 0 in the order of the pixel's channels.
    reach : int
        Pixels it sees to the left; 0 is a map of each pixel.
    strict : bool
        Of the own pixel see earlier groups alone, not the own one: for the layer that reads pixels.

    References
    ----------
    van den Oord, Kalchbrenner & Kavukcuoglu 2016, Pixel Recurrent Neural Networks, §3.4 (masks A and B).
    """

    mask: Tensor

    def __init__(self, inputs: Tensor, outputs: Tensor, reach: int = 0, *, strict: bool = False) -> None:
        super().__init__(len(inputs), len(outputs), (1, reach + 1))
        mask = torch.ones_like(self.weight, dtype=torch.bool)
        own = outputs[:, None] > inputs if strict else outputs[:, None] >= inputs
        mask[:, :, 0, -1] = own
        self.register_buffer("mask", mask)
        self.reach = reach

    def forward(self, maps: Float[Tensor, "n inputs height width"]) -> Float[Tensor, "n outputs height width"]:
        """Return maps of the same height and width."""
        return F.conv2d(F.pad(maps, (self.reach, 0)), self.weight * self.mask, self.bias)


class GatedPixelLayer(nn.Module):
    """One layer of both stacks: ``tanh(a) σ(b)`` of convolutions, a link from the vertical stack to the horizontal one.

    Parameters
    ----------
    groups : Tensor of shape (features,)
        The group of each feature map of the horizontal stack.
    size : int
        Width of the window, odd.

    References
    ----------
    van den Oord et al. 2016, Conditional Image Generation with PixelCNN Decoders, §2.1, figure 2.
    """

    def __init__(self, groups: Tensor, size: int) -> None:
        super().__init__()
        features, halves = len(groups), torch.cat([groups, groups])
        self.down = RowsAbove(features, 2 * features, size)
        self.link = nn.Conv2d(2 * features, 2 * features, 1)
        self.along = GroupedConvolution(groups, halves, size // 2)
        self.back = GroupedConvolution(groups, groups)
        self.skip = GroupedConvolution(groups, groups)

    def vertical(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vertical stack's next maps, and what the horizontal stack gets of them."""
        both = self.down(maps)
        return _gated(both), self.link(both)

    def horizontal(self, maps: Tensor, above: Tensor) -> tuple[Tensor, Tensor]:
        """Return the horizontal stack's next maps, and what goes to the output."""
        gated = _gated(self.along(maps) + above)
        return maps + self.back(gated), self.skip(gated)


def _gated(both: Tensor) -> Tensor:
    signal, gate = both.chunk(2, 1)
    return torch.tanh(signal) * torch.sigmoid(gate)


class PixelNetwork(nn.Module):
    """Gated PixelCNN: ``p(x) = Π p(x_i | pixels above and to the left)``, bits or levels.

    Parameters
    ----------
    shape : tuple of int
        Height, width and channels of a picture.
    features : int
        Feature maps, as many as channels or more.
    depth : int
        Gated layers.
    size, first : int
        Width of the windows of the layers, and of the first, which reads pixels; odd.
    levels : int
        Values a channel can take: 2 makes bits with one log-odds each, more a softmax each.
    mean : Tensor of shape (height * width * channels,), optional
        Share of ones, where the log-odds of bits start.

    Raises
    ------
    SettingError
        If a size is even, or there are fewer features than channels.

    Examples
    --------
    >>> network = PixelNetwork((4, 4, 1), features=8, depth=2)
    >>> network.log_prob(torch.zeros(3, 16)).shape
    torch.Size([3])

    References
    ----------
    van den Oord, Kalchbrenner & Kavukcuoglu 2016, Pixel Recurrent Neural Networks; van den Oord et al. 2016,
    Conditional Image Generation with PixelCNN Decoders.
    """

    def __init__(
        self,
        shape: Sequence[int],
        features: int = 64,
        depth: int = 7,
        *,
        size: int = 3,
        first: int = 7,
        levels: int = 2,
        mean: Float[Tensor, " pixels"] | None = None,
    ) -> None:
        super().__init__()
        check_sizes(features=features, depth=depth, size=size, first=first)
        if not size % 2 or not first % 2:
            raise SettingError("windows of odd width", f"{size} and {first}", "set for example size=3, first=7")
        self.shape, self.levels = (int(shape[0]), int(shape[1]), int(shape[2])), levels
        channels = self.shape[2]
        if features < channels:
            raise SettingError(f"as many features as channels ({channels}) or more", str(features), "set features=32")
        colours, groups = torch.arange(channels), torch.arange(features) * channels // features
        self.outputs = 1 if levels == 2 else levels
        self.reach = first // 2 + depth * (size // 2)  # pixels to the left that the horizontal stack sees
        ends = colours.repeat_interleave(self.outputs)
        self.first_down = RowsAbove(channels, features, first, strict=True)
        self.first_along = GroupedConvolution(colours, groups, first // 2, strict=True)
        self.first_link = nn.Conv2d(features, features, 1)
        self.layers = nn.ModuleList(GatedPixelLayer(groups, size) for _ in range(depth))
        self.mix = GroupedConvolution(groups, groups)
        self.last = GroupedConvolution(groups, ends)
        nn.init.zeros_(self.last.weight)
        if self.last.bias is not None:
            nn.init.zeros_(self.last.bias)
        start = torch.zeros(len(ends), *self.shape[:2])
        if levels == 2 and mean is not None:
            start = self._maps(BernoulliLikelihood(mean).start()[None])[0]
        self.place = nn.Parameter(start)  # log-odds by place: what a convolution cannot know

    def _gated_layers(self) -> list[GatedPixelLayer]:
        return cast(list[GatedPixelLayer], list(self.layers))

    def _maps(self, rows: Tensor) -> Tensor:
        return rows.view(len(rows), *self.shape).permute(0, 3, 1, 2)

    def _scaled(self, maps: Tensor) -> Tensor:
        return maps * (2 / (self.levels - 1)) - 1

    def vertical(self, maps: Float[Tensor, "n channels height width"]) -> list[Tensor]:
        """Return what each horizontal layer gets from the rows above."""
        down = self.first_down(maps)
        above = [self.first_link(down)]
        for layer in self._gated_layers():
            down, link = layer.vertical(down)
            above.append(link)
        return above

    def horizontal(
        self, maps: Float[Tensor, "n channels height width"], above: Sequence[Tensor]
    ) -> Float[Tensor, "n outputs height width"]:
        """Return numbers of each channel of each pixel of some rows, given what lies above them."""
        along = self.first_along(maps) + above[0]
        total = torch.zeros_like(along)
        for layer, link in zip(self._gated_layers(), above[1:], strict=True):
            along, more = layer.horizontal(along, link)
            total = total + more
        return self.last(F.relu(self.mix(F.relu(total))))

    def forward(self, rows: Float[Tensor, "batch pixels"]) -> Float[Tensor, "batch pixels outputs"]:
        """Return for each value of a flat picture its log-odds, or the log-odds of its levels.

        Parameters
        ----------
        rows : Tensor of shape (batch, height * width * channels)
            Pictures of zeros and ones, or of whole numbers below ``levels``.
        """
        maps = self._scaled(self._maps(rows))
        found = self.horizontal(maps, self.vertical(maps)) + self.place
        height, width, channels = self.shape
        split = found.view(len(rows), channels, self.outputs, height, width)
        return split.permute(0, 3, 4, 1, 2).reshape(len(rows), rows.shape[1], self.outputs)

    def log_prob(self, rows: Float[Tensor, "batch pixels"]) -> Float[Tensor, " batch"]:
        """Return ``log p(x)`` in nats."""
        numbers = self(rows)
        if self.levels == 2:
            odds = numbers[..., 0]
            return (odds * rows).sum(1) - F.softplus(odds).sum(1)
        taken = rows.long().unsqueeze(-1)
        return (numbers.gather(-1, taken)[..., 0] - numbers.logsumexp(-1)).sum(1)

    def training_log_prob(self, rows: Float[Tensor, "batch pixels"], generator: torch.Generator) -> Tensor:
        """Return what training raises: ``log p(x)`` itself."""
        return self.log_prob(rows)

    def validation_log_prob(self, rows: Float[Tensor, "batch pixels"]) -> Float[Tensor, " batch"]:
        """Return what early stopping follows: ``log p(x)``, too."""
        return self.log_prob(rows)

    def draw(self, size: int, generator: torch.Generator) -> Float[Tensor, "size pixels"]:
        """Draw pictures: the vertical stack runs once a row, the horizontal one once a value, over what it sees."""
        height, width, channels = self.shape
        pictures = self.place.new_zeros(size, channels, height, width)
        for row in range(height):
            above = [part[:, :, row:] for part in self.vertical(self._scaled(pictures[:, :, : row + 1]))]
            for column in range(width):
                # no pixel farther to the left is seen; maps at the window's edge are wrong, and none of them is used
                seen = slice(max(0, column - self.reach), column + 1)
                links = [part[..., seen] for part in above]
                for channel in range(channels):
                    numbers = self.horizontal(self._scaled(pictures[:, :, row : row + 1, seen]), links)
                    own = slice(channel * self.outputs, (channel + 1) * self.outputs)
                    logits = numbers[:, own, 0, -1] + self.place[own, row, column]
                    pictures[:, channel, row, column] = self._drawn(logits, generator)
        return pictures.permute(0, 2, 3, 1).reshape(size, -1)

    def _drawn(self, logits: Tensor, generator: torch.Generator) -> Tensor:
        if self.levels == 2:
            return torch.bernoulli(torch.sigmoid(logits[:, 0]), generator=generator)
        return torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0].to(logits.dtype)

    def filters(self) -> Float[Tensor, "features height width channels"]:
        """Return the first layer's windows: rows above, and below them the pixels to the left."""
        down = self.first_down.weight.detach()
        along = (self.first_along.weight * self.first_along.mask).detach()
        row = F.pad(along, (0, down.shape[3] - along.shape[3]))
        return torch.cat([down, row], 2).permute(0, 2, 3, 1)
