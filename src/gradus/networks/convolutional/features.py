"""Convolutional features that no gradient trains: a dictionary of patches, and random filters (§9.9)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.networks.checks import check_maps, check_sizes

__all__ = ["PatchFeatures", "RandomFilters", "learn_patches"]

# Images are encoded a few at a time, so that the distances to all words of the dictionary fit into this.
_CHUNK_BYTES = 1 << 26


class PatchFeatures(nn.Module):
    """What words of a dictionary stand where: images to features, by k-means on whitened patches.

    Every patch is centred, divided by its standard deviation, and whitened. With ``z_k`` its distance to word k, the
    "triangle" code ``f_k = max(0, mean(z) - z_k)`` is zero for about half of the words. Codes are averaged over the
    cells of a coarse grid. Made by :func:`learn_patches`; nothing in it has a gradient to follow.

    Parameters
    ----------
    centroids : Tensor of shape (words, channels * size * size)
        The dictionary, in whitened space.
    mean : Tensor of shape (channels * size * size,)
        Mean of the normalized patches.
    whitening : Tensor of shape (channels * size * size, channels * size * size)
        Symmetric matrix that whitens them.
    size : int
        Height and width of a patch, in pixels.
    contrast : float
        Added to the variance of a patch before division, so that noise in flat ones is not blown up.
    stride : int
        Distance between patches, in pixels.
    pooling : int
        Cells of the coarse grid, along each axis.

    Attributes
    ----------
    in_channels : int
        Channels of the images.
    out_features : int
        ``words * pooling²``: of each cell row by row, the words.

    Raises
    ------
    InputError
        If shapes do not fit each other, or images have other channels or are smaller than a patch.
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> images = torch.rand(20, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    >>> features = learn_patches(images, 16, 5, torch.Generator().manual_seed(1), patches=1000)
    >>> features(images).shape
    torch.Size([20, 64])

    References
    ----------
    Goodfellow et al. 2016, §9.9; Coates, Lee & Ng 2011, An Analysis of Single-Layer Networks in Unsupervised Feature
    Learning, §3.2 (the triangle code).
    """

    centroids: Tensor
    mean: Tensor
    whitening: Tensor
    contrast: Tensor

    def __init__(
        self,
        centroids: Float[Tensor, "words pixels"],
        mean: Float[Tensor, " pixels"],
        whitening: Float[Tensor, "pixels pixels"],
        *,
        size: int,
        contrast: float,
        stride: int = 1,
        pooling: int = 2,
    ) -> None:
        super().__init__()
        check_sizes(size=size, stride=stride, pooling=pooling)
        pixels = centroids.shape[1]
        if pixels % size**2 or mean.shape != (pixels,) or whitening.shape != (pixels, pixels):
            received = f"{tuple(centroids.shape)}, {tuple(mean.shape)} and {tuple(whitening.shape)} for size={size}"
            raise InputError(
                "words, a mean and a whitening of one kind of patch", received, "make them by learn_patches"
            )
        if not contrast >= 0:
            raise SettingError("contrast of 0 or more", str(contrast), "make the module by learn_patches")
        for name, buffer in {"centroids": centroids, "mean": mean, "whitening": whitening}.items():
            self.register_buffer(name, buffer.detach().clone())
        self.register_buffer("contrast", centroids.new_tensor(contrast))
        self.size, self.stride, self.pooling = size, stride, pooling
        self.in_channels, self.out_features = pixels // size**2, len(centroids) * pooling**2

    def encode(self, patches: Float[Tensor, "n pixels"]) -> Float[Tensor, "n words"]:
        """Return the triangle code of each patch, channels by rows by columns."""
        white = (_normalized(patches, self.contrast) - self.mean) @ self.whitening
        distances = torch.cdist(white, self.centroids)
        return F.relu(distances.mean(1, keepdim=True) - distances)

    def forward(self, images: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        """Return the features of each image."""
        check_maps(images, self.in_channels, 2, smallest=self.size)
        grid = [(side - self.size) // self.stride + 1 for side in images.shape[2:]]
        each = grid[0] * grid[1] * len(self.centroids) * images.element_size()
        return torch.cat([self._features(part, grid) for part in images.split(max(1, _CHUNK_BYTES // each))])

    def _features(self, images: Tensor, grid: list[int]) -> Tensor:
        patches = F.unfold(images, self.size, stride=self.stride)
        codes = self.encode(patches.transpose(1, 2).reshape(-1, patches.shape[1]))
        return _pooled(codes.view(len(images), *grid, -1).permute(0, 3, 1, 2), self.pooling)


class RandomFilters(nn.Module):
    """Convolution with filters drawn once and never trained, absolute values, averages over a coarse grid.

    Filters have mean zero and norm one. What looks like no learning at all is a fair baseline: the architecture alone
    makes features that respond to orientation and tolerate shifts.

    Parameters
    ----------
    in_channels : int
        Channels of the images.
    n : int
        Number of filters.
    size : int
        Height and width of a filter, in pixels; together with the channels, 2 numbers or more.
    generator : Generator
        Draws the filters.
    stride : int
        Distance between positions, in pixels.
    pooling : int
        Cells of the coarse grid, along each axis.

    Attributes
    ----------
    out_features : int
        ``n * pooling²``: of each cell row by row, the filters.

    Raises
    ------
    SettingError
        If a setting is out of range.
    InputError
        If images have other channels or are smaller than a filter.

    Examples
    --------
    >>> features = RandomFilters(1, 16, 5, torch.Generator().manual_seed(0))
    >>> features(torch.zeros(2, 1, 28, 28)).shape, list(features.parameters())
    (torch.Size([2, 64]), [])

    References
    ----------
    Goodfellow et al. 2016, §9.9; Jarrett et al. 2009, What Is the Best Multi-Stage Architecture for Object
    Recognition?; Saxe et al. 2011, On Random Weights and Unsupervised Feature Learning.
    """

    weight: Tensor

    def __init__(
        self, in_channels: int, n: int, size: int, generator: torch.Generator, *, stride: int = 1, pooling: int = 2
    ) -> None:
        super().__init__()
        check_sizes(in_channels=in_channels, n=n, size=size, stride=stride, pooling=pooling)
        if in_channels * size**2 < 2:
            raise SettingError("filters of 2 numbers or more", "1", "set size=5")
        filters = torch.randn(n, in_channels * size**2, generator=generator)
        filters = F.normalize(filters - filters.mean(1, keepdim=True))
        self.register_buffer("weight", filters.view(n, in_channels, size, size))
        self.in_channels, self.size, self.stride, self.pooling = in_channels, size, stride, pooling
        self.out_features = n * pooling**2

    def forward(self, images: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        """Return the features of each image."""
        check_maps(images, self.in_channels, 2, smallest=self.size)
        return _pooled(F.conv2d(images, self.weight, stride=self.stride).abs(), self.pooling)


def learn_patches(
    images: Float[Tensor, "rows channels height width"],
    n: int,
    size: int,
    generator: torch.Generator,
    *,
    patches: int = 50_000,
    contrast: float = 0.01,
    whitening: float = 0.1,
    stride: int = 1,
    pooling: int = 2,
) -> PatchFeatures:
    """Learn a dictionary of patches by k-means, and return the module that encodes images with it.

    Patches are cut at random places, normalized, whitened so that neighbouring pixels no longer agree by themselves
    (without it k-means finds nothing but blurs), and clustered by scikit-learn's ``MiniBatchKMeans``. No labels.

    Parameters
    ----------
    images : Tensor of shape (rows, channels, height, width)
        On any scale.
    n : int
        Words of the dictionary.
    size : int
        Height and width of a patch, in pixels.
    generator : Generator
        Draws the patches and the first words.
    patches : int
        How many patches to cut, ``n`` or more.
    contrast : float
        Added to a patch's variance, as a share of the average variance of patches. The paper's 10, on pixels of
        0 to 255, is about one hundredth of it.
    whitening : float
        Added to each eigenvalue of the normalized patches' covariance, so that noise is not blown up.
    stride, pooling
        Of :class:`PatchFeatures`.

    Raises
    ------
    InputError
        If images are smaller than a patch, not finite, or hold fewer different patches than ``n``.
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> images = torch.rand(20, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    >>> learn_patches(images, 8, 4, torch.Generator().manual_seed(1), patches=500).centroids.shape
    torch.Size([8, 48])

    References
    ----------
    Goodfellow et al. 2016, §9.9; Coates, Lee & Ng 2011, §3.1.
    """
    from sklearn.cluster import MiniBatchKMeans

    check_sizes(n=n, size=size, patches=patches)
    check_maps(images, images.shape[1], 2, smallest=size)
    if patches < n:
        raise SettingError(f"{n} patches or more, for as many words", str(patches), "set patches=50_000")
    if not (contrast >= 0 and whitening > 0):
        received = f"contrast={contrast}, whitening={whitening}"
        raise SettingError("contrast of 0 or more and whitening above 0", received, "set contrast=0.01, whitening=0.1")
    cut = _cut(images.detach().cpu().float(), patches, size, generator)
    power = cut.var(1, correction=0).mean().item()
    if not power > 0 or not bool(cut.isfinite().all()):
        received = "infinite or missing pixels" if power > 0 or power != power else "constant ones"
        raise InputError("finite images that vary within patches", received, "check how they were read")
    different = len({row.tobytes() for row in cut.numpy()})
    if different < n:
        raise InputError(f"{n} different patches or more", str(different), "ask for fewer words or pass more images")
    flat = _normalized(cut, torch.tensor(contrast * power)).double()
    mean = flat.mean(0)
    values, vectors = torch.linalg.eigh((flat - mean).t() @ (flat - mean) / len(flat))
    whiten = vectors @ ((values.clamp_min(0) + whitening).rsqrt().unsqueeze(1) * vectors.t())
    white = ((flat - mean) @ whiten).float().numpy()
    seed = int(torch.randint(2**31 - 1, (), generator=generator))
    model = MiniBatchKMeans(n, batch_size=max(1024, 4 * n), n_init=3, random_state=seed)
    centroids = torch.from_numpy(model.fit(white).cluster_centers_)
    return PatchFeatures(
        centroids, mean.float(), whiten.float(), size=size, contrast=contrast * power, stride=stride, pooling=pooling
    )


def _cut(images: Tensor, patches: int, size: int, generator: torch.Generator) -> Tensor:
    rows, channels, height, width = images.shape
    row, top, left = (
        torch.randint(high, (patches, 1, 1, 1), generator=generator)
        for high in (rows, height - size + 1, width - size + 1)
    )
    step = torch.arange(size)
    cut = images[row, torch.arange(channels).view(1, -1, 1, 1), top + step.view(1, 1, -1, 1), left + step]
    return cut.reshape(patches, -1)


def _normalized(patches: Tensor, contrast: Tensor) -> Tensor:
    centred = patches - patches.mean(1, keepdim=True)
    # A flat patch with no contrast added is zero, not 0 / 0.
    tiny = torch.finfo(patches.dtype).tiny
    return centred * (centred.square().mean(1, keepdim=True) + contrast).clamp_min(tiny).rsqrt()


def _pooled(maps: Tensor, cells: int) -> Tensor:
    """Average over a grid of cells; of each cell, the channels side by side."""
    return F.adaptive_avg_pool2d(maps, cells).permute(0, 2, 3, 1).flatten(1)
