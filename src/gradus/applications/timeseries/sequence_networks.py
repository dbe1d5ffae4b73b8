"""Networks from a padded series to its features: convolutions over time, residual or recurrent."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.networks.checks import check_rate, check_sizes
from gradus.networks.convolutional import ResNet
from gradus.networks.initialization import initialize
from gradus.networks.recurrent.sequences import check_lengths, check_sequences, valid_positions

__all__ = ["FullyConvolutional", "PreparedSequences", "ResidualSeries", "SequenceNorm"]


class SequenceNorm(nn.Module):
    """Batch normalization over the valid steps: padding has no part in the statistics.

    Parameters
    ----------
    channels : int
        Channels of the maps.

    References
    ----------
    Goodfellow et al. 2016, §8.7.1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, maps: Float[Tensor, "n channels time"], valid: Tensor | None) -> Float[Tensor, "n channels time"]:
        """Return the maps normalized, zero in the padding."""
        if valid is None:
            return self.norm(maps)
        steps = maps.transpose(1, 2)
        normalized = torch.zeros_like(steps)
        normalized[valid] = self.norm(steps[valid]).to(steps.dtype)
        return normalized.transpose(1, 2)


class FullyConvolutional(nn.Module):
    """Three convolutions over time, each normalized and rectified, then the mean over all valid steps.

    Padding never changes a result: it is zero before every convolution, as what lies beyond the ends is.

    Parameters
    ----------
    in_channels : int
        Channels of the series.
    width : int
        Channels of the first and last convolution; the one between has twice as many.
    dropout : float
        Probability in ``[0, 1)`` with which a feature is dropped in training.

    Attributes
    ----------
    out_features : int
        Width of the features returned.

    Examples
    --------
    >>> FullyConvolutional(6, width=16)(torch.randn(3, 50, 6), torch.tensor([50, 20, 7])).shape
    torch.Size([3, 16])

    References
    ----------
    Wang, Yan & Oates 2017, Time Series Classification from Scratch with Deep Neural Networks; Goodfellow et al. 2016,
    §9.1 and §9.3.
    """

    def __init__(self, in_channels: int, width: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        check_sizes(in_channels=in_channels, width=width)
        check_rate("dropout", dropout)
        self.in_channels, self.out_features = in_channels, width
        widths, kernels = [in_channels, width, 2 * width, width], [8, 5, 3]
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        for i, kernel in enumerate(kernels):
            layer = nn.Conv1d(widths[i], widths[i + 1], kernel, bias=False)
            initialize(layer, "auto", "relu", first=i == 0)
            self.convolutions.append(layer)
            self.norms.append(SequenceNorm(widths[i + 1]))
        self.kernels, self.dropout = kernels, nn.Dropout(dropout)

    def forward(
        self, inputs: Float[Tensor, "n time channels"], lengths: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n features"]:
        """Return the features of each series."""
        check_sequences(inputs, self.in_channels)
        check_lengths(lengths, *inputs.shape[:2])
        valid = None
        if lengths is not None and not bool((lengths == inputs.shape[1]).all()):
            lengths = lengths.to(inputs.device)
            valid = valid_positions(lengths, inputs.shape[1])
            inputs = inputs.masked_fill(~valid[:, :, None], 0)
        maps = inputs.transpose(1, 2)
        for convolution, norm, kernel in zip(self.convolutions, self.norms, self.kernels, strict=True):
            maps = convolution(F.pad(maps, ((kernel - 1) // 2, kernel // 2)))
            # Normalized maps are zero in the padding, and a rectifier leaves them so.
            maps = F.relu(norm(maps, valid))
        mean = maps.mean(2) if valid is None else maps.sum(2) / lengths[:, None]  # type: ignore[index]
        return self.dropout(mean)


class ResidualSeries(nn.Module):
    """The residual network of `gradus.networks` over the time of series of one length.

    Parameters
    ----------
    in_channels, depth, width, dropout
        As of `gradus.networks.convolutional.ResNet`.

    Examples
    --------
    >>> ResidualSeries(6, depth=1, width=8)(torch.randn(3, 50, 6), torch.full((3,), 50)).shape
    torch.Size([3, 32])
    """

    def __init__(self, in_channels: int, depth: int = 1, width: int = 32, dropout: float = 0.0) -> None:
        super().__init__()
        self.network = ResNet(in_channels, depth, width, dimensions=1, dropout=dropout)
        self.out_features = self.network.out_features

    def forward(
        self, inputs: Float[Tensor, "n time channels"], lengths: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n features"]:
        """Return the features of each series, all of whose steps are valid."""
        return self.network(inputs.transpose(1, 2).contiguous())


class PreparedSequences(nn.Module):
    """Standardize each channel, then read the series by a body; padding stays zero.

    Parameters
    ----------
    mean, deviation : Tensor of shape (channels,)
        Moments of the training series.
    body : Module
        Takes standardized series and their lengths, and names its ``out_features``.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Tensor, deviation: Tensor, body: nn.Module) -> None:
        super().__init__()
        self.register_buffer("mean", mean.float())
        self.register_buffer("deviation", deviation.float())
        self.body = body

    def forward(
        self, inputs: Float[Tensor, "n time channels"], lengths: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n features"]:
        """Return the features of each series."""
        standard = (inputs - self.mean) / self.deviation
        if lengths is not None:
            padding = ~valid_positions(lengths.to(inputs.device), inputs.shape[1])
            standard = standard.masked_fill(padding[:, :, None], 0)
        return self.body(standard, lengths)
