"""Networks that turn noise into rows, and what estimators made of them share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from gradus.core.errors import InputError
from gradus.core.options import option
from gradus.core.randomness import derive, generator
from gradus.data.batches import Batch
from gradus.estimators.exhibit import Exhibit
from gradus.estimators.inputs import share
from gradus.estimators.unsupervised import DrawingEstimator
from gradus.networks.preparation import moments
from gradus.research.generative.kernels import median_distance, mmd_squared, rbf_mixture
from gradus.research.generative.networks import Decoder, Shape

__all__ = ["Generator", "GeneratorEstimator", "Units"]

Prior = Literal["normal", "uniform"]
Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "softplus"]
RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of kernels' bandwidths to the median distance between rows


class Units(nn.Module):
    """Between rows in their own units and points of order one: ``(x - location) / scale`` and back.

    Parameters
    ----------
    location, scale : Tensor of shape (features,)
        What is subtracted and divided by.

    Examples
    --------
    >>> units = Units(torch.tensor([10.0]), torch.tensor([2.0]))
    >>> units(torch.tensor([[12.0]])).item(), units.rows(torch.tensor([[1.0]])).item()
    (1.0, 12.0)
    """

    location: Tensor
    scale: Tensor

    def __init__(self, location: Float[Tensor, " features"], scale: Float[Tensor, " features"]) -> None:
        super().__init__()
        self.register_buffer("location", location.float())
        self.register_buffer("scale", scale.float())

    def forward(self, rows: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
        """Return points."""
        return (rows - self.location) / self.scale

    def rows(self, points: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
        """Return rows."""
        return torch.addcmul(self.location, points, self.scale)


class Generator(nn.Module):
    """A differentiable generator network: noise from a fixed distribution through a decoder.

    Parameters
    ----------
    decoder : Decoder
        Noise to outputs.
    bounded : bool
        Put the outputs between -1 and 1 (tanh).
    prior : {"normal", "uniform"}
        Distribution of each number of the noise: standard normal, or uniform on [-1, 1].

    Examples
    --------
    >>> network = Generator(Decoder(2, 3, Shape("mlp", (8,), ()), (3,)), bounded=True)
    >>> network(network.noise(5, torch.Generator().manual_seed(0))).shape
    torch.Size([5, 3])

    References
    ----------
    Goodfellow et al. 2016, §20.10.2.
    """

    def __init__(self, decoder: Decoder, *, bounded: bool = False, prior: Prior = "normal") -> None:
        super().__init__()
        self.decoder, self.bounded, self.prior = decoder, bounded, prior

    def noise(self, size: int, generator: torch.Generator) -> Float[Tensor, "size latent"]:
        """Draw noise, of the type and on the device of the weights."""
        like = next(self.decoder.parameters())
        drawn = torch.empty((size, self.decoder.latent), dtype=like.dtype, device=like.device)
        if self.prior == "normal":
            return drawn.normal_(generator=generator)
        return drawn.uniform_(-1, 1, generator=generator)

    def forward(self, noise: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch outputs"]:
        """Return a point for each row of noise."""
        outputs = self.decoder(noise)
        return torch.tanh(outputs) if self.bounded else outputs


@dataclass(kw_only=True, eq=False, repr=False)
class GeneratorEstimator(DrawingEstimator):
    """Base of estimators that learn to generate rows from noise and give no likelihood.

    A subclass gives the network, which has ``units``, and ``generate(noise)`` and ``noise(size, generator)``.
    """

    n_components: int = option(16, "length of the noise vector that a row is made of", unit="numbers", low=1)
    prior: Prior = option("normal", "noise: standard normal numbers, or uniform ones between -1 and 1")
    network: Literal["mlp", "conv"] = option("mlp", "dense layers, or convolutions (pictures only)")
    hidden: tuple[int, ...] = option((256, 256), "units of each dense layer, from the row to the noise", low=1)
    channels: tuple[int, ...] = option((32, 64), "channels of each convolution, which halves the picture", low=1)
    activation: Activation = option("relu", "hidden units of the generator")
    normalization: Literal["batch", "layer"] | None = option(None, "normalization before the generator's units")
    output: Literal["auto", "linear", "bounded"] = option(
        "auto", "rows: any numbers (linear), or between the training rows' extremes; auto: bounded for pictures"
    )

    # -- rows ----------------------------------------------------------------------------------------------------

    def _learn_scales(self, rows: Tensor, weights: Tensor | None) -> None:
        pictures = len(self.row_shape_) > 1
        self.bounded_ = self.output == "bounded" or (self.output == "auto" and pictures)
        if self.bounded_:
            low, high = rows.double().amin(0), rows.double().amax(0)
            if pictures:  # one range for all pixels
                low, high = low.min().expand_as(low), high.max().expand_as(high)
            location, scale = (low + high) / 2, (high - low) / 2
        else:
            location, scale, _ = moments(rows, weights)
        scale = torch.where(scale == 0, 1.0, scale)
        self.location_, self.scale_ = location.float().numpy().copy(), scale.float().numpy().copy()
        self.median_distance_ = median_distance((rows.double() - location) / scale)

    def _make_units(self) -> Units:
        return Units(torch.from_numpy(self.location_), torch.from_numpy(self.scale_))

    def _make_generator(self, outputs: int | None = None, *, bounded: bool | None = None) -> Generator:
        """Make a generator of rows, or of ``outputs`` numbers by dense layers."""
        kind = self.network if outputs is None else "mlp"
        shape = Shape(kind, self.hidden, self.channels, self.activation, self.normalization)
        size = int(np.prod(self.row_shape_)) if outputs is None else outputs
        start = None
        if outputs is None and not self.bounded_:
            start = torch.zeros(size)
        decoder = Decoder(self.n_components, size, shape, self.row_shape_, start)
        return Generator(decoder, bounded=self.bounded_ if bounded is None else bounded, prior=self.prior)

    # -- answers -------------------------------------------------------------------------------------------------

    def sample(self, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw rows: noise through the generator.

        Parameters
        ----------
        n_samples : int
            Number of rows.
        random_state : int or NumPy generator, optional
            Seed of the noise.

        Returns
        -------
        ndarray of shape (n_samples, ...)
            Rows in the shape that `fit` got them, in their units.
        """

        def draw(network: Any, size: int, drawing: torch.Generator) -> Tensor:
            return network.units.rows(network.generate(network.noise(size, drawing)))

        return self._draws(n_samples, random_state, draw)

    def generate(self, Z: Any) -> np.ndarray:
        """Return the row that the generator makes of each noise vector.

        Parameters
        ----------
        Z : array-like of shape (n, n_components)
            Noise.

        Raises
        ------
        InputError
            If vectors have another length.
        """
        check_is_fitted(self)
        noise, width = np.asarray(Z, dtype=np.float64), int(self.network_settings_["n_components"])
        if noise.ndim != 2 or noise.shape[1] != width:
            raise InputError(f"noise of shape (n, {width})", str(noise.shape), "pass n_components numbers a row")
        tensors = {"noise": share(noise)}
        return self._rows(self._ask(tensors, lambda network, part: network.units.rows(network.generate(part))))

    def _measure(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the kernel distance between validation rows and as many samples: these players have no common loss."""
        model: Any = network
        rows = batch["inputs"]
        drawing = generator(derive(self.seed_, "measure"), rows.device)
        points = model.generate(model.noise(len(rows), drawing))
        kernel = rbf_mixture([ratio * self.median_distance_ for ratio in RATIOS])
        distance = mmd_squared(model.units(rows), points, kernel) * len(rows)
        return distance, -distance, torch.as_tensor(float(len(rows)), device=rows.device)

    def exhibits(self, data: Any) -> Iterator[Exhibit]:
        """Yield samples, walks between them, and training rows nearest to samples.

        Parameters
        ----------
        data : Dataset, (X, y) or X
            Rows.
        """
        from gradus.research.generative.exhibits import exhibits_of

        check_is_fitted(self)
        yield from exhibits_of(self, data)
