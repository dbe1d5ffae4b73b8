"""Vision transformer: an image as a sequence of patches."""

from __future__ import annotations

from typing import Unpack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradus.core.errors import InputError, SettingError
from gradus.networks.checks import check_sizes, chosen
from gradus.networks.initialization import initialize
from gradus.networks.transformer_block import BlockSettings
from gradus.networks.transformer_stack import TransformerStack

__all__ = ["PatchEmbedding", "VisionTransformer"]


class PatchEmbedding(nn.Module):
    """Cut images into square patches and map each to a vector: a convolution whose stride is its kernel.

    Parameters
    ----------
    in_channels : int
        Channels of the images.
    image_size : int or (int, int)
        Height and width in pixels, multiples of ``patch_size``.
    patch_size : int
        Side of a patch in pixels.
    width : int
        Width of the vectors.

    Attributes
    ----------
    grid : (int, int)
        Patches down and across.
    project : Linear
        Its weight holds the kernel of each output, of shape (channels, patch_size, patch_size), flattened.

    Raises
    ------
    SettingError
        If a size is below 1 or the patches do not fill the image.
    InputError
        If images of another shape come in.

    Examples
    --------
    >>> embedding = PatchEmbedding(3, (28, 14), 7, width=32)
    >>> embedding(torch.zeros(5, 3, 28, 14)).shape, embedding.grid
    (torch.Size([5, 8, 32]), (4, 2))

    References
    ----------
    Dosovitskiy et al. 2020, An Image is Worth 16x16 Words, eq. 1.
    """

    def __init__(self, in_channels: int, image_size: int | tuple[int, int], patch_size: int, width: int) -> None:
        super().__init__()
        height, across = (image_size, image_size) if isinstance(image_size, int) else image_size
        check_sizes(in_channels=in_channels, image_size=min(height, across), patch_size=patch_size, width=width)
        if height % patch_size or across % patch_size:
            fitting = [side for side in range(2, min(height, across) + 1) if not height % side and not across % side]
            mend = f"set patch_size to one of {', '.join(map(str, fitting)) or 1}, or resize the images"
            expected = f"patches that fill {height} x {across} pixels"
            raise SettingError(expected, f"patch_size={patch_size}", mend)
        self.in_channels, self.image_size, self.patch_size = in_channels, (height, across), patch_size
        self.grid = height // patch_size, across // patch_size
        self.project = nn.Linear(in_channels * patch_size**2, width)
        initialize(self.project, "lecun")

    def forward(self, images: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n patches features"]:
        """Return the vectors of each image's patches, row by row."""
        expected = (self.in_channels, *self.image_size)
        if images.shape[1:] != expected:
            mend = "resize the images to the size the network was made for"
            raise InputError(f"images of shape (n, {', '.join(map(str, expected))})", str(tuple(images.shape)), mend)
        (down, across), side = self.grid, self.patch_size
        patches = images.reshape(len(images), self.in_channels, down, side, across, side).permute(0, 2, 4, 1, 3, 5)
        return self.project(patches.reshape(len(images), down * across, -1))


class VisionTransformer(nn.Module):
    """A transformer encoder over the patches of an image (ViT); returns features for a head.

    Everything starts at the scale of one: patches of standardized images, learned positions, and what each map
    makes of them (a deviation of ``width ** -0.5``, not the 0.02 of large networks). With the positions a fiftieth
    of that, as in the paper, a small network takes many epochs to tell the patches apart.

    Parameters
    ----------
    in_channels : int
        Channels of the images.
    image_size : int or (int, int)
        Height and width in pixels, multiples of ``patch_size``.
    patch_size : int
        Side of a patch in pixels. Attention costs the fourth power of its inverse.
    width, layers, heads : int
        Width of the stream, number of blocks, attention heads of each.
    pooling : {"token", "mean"}
        What the features are: those of a learned token put before the patches, or the mean over patches.
    positions : {"learned", "sinusoidal", "rotary", "none"}
        How the order of the patches, row by row, is told.
    **block : BlockSettings
        Settings of the blocks; see :class:`gradus.networks.transformer_block.BlockSettings`.

    Attributes
    ----------
    out_features : int
        Width of the features returned.
    grid : (int, int)
        Patches down and across.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range.
    InputError
        If images of another shape come in.

    Examples
    --------
    >>> network = VisionTransformer(1, 28, patch_size=7, width=32, layers=2, heads=4)
    >>> images = torch.zeros(5, 1, 28, 28)
    >>> network(images).shape, network.grid
    (torch.Size([5, 32]), (4, 4))

    Where the token for the whole looks, in the last block, as pictures of each head:

    >>> from gradus.networks.attention import watch_attention
    >>> with watch_attention(network) as maps:
    ...     _ = network(images)
    >>> maps["stack.blocks.1.attention"][:, :, 0, 1:].unflatten(-1, network.grid).shape
    torch.Size([5, 4, 4, 4])

    References
    ----------
    Dosovitskiy et al. 2020, eq. 1-4; Beyer et al. 2022, Better plain ViT baselines (mean over patches).
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int | tuple[int, int],
        patch_size: int = 4,
        width: int = 128,
        layers: int = 6,
        heads: int = 4,
        *,
        pooling: str = "token",
        positions: str = "learned",
        **block: Unpack[BlockSettings],
    ) -> None:
        super().__init__()
        chosen(pooling, ("token", "mean"), "pooling")
        self.patches = PatchEmbedding(in_channels, image_size, patch_size, width)
        self.grid, self.out_features, self.pooling = self.patches.grid, width, pooling
        self.token: nn.Parameter | None = None
        if pooling == "token":
            self.token = nn.Parameter(torch.zeros(1, 1, width))
        context = self.grid[0] * self.grid[1] + (pooling == "token")
        self.stack = TransformerStack(context, width, layers, heads, positions=positions, std=width**-0.5, **block)
        if positions == "learned":
            nn.init.normal_(self.stack.added.table)  # type: ignore[arg-type, union-attr]

    def forward(self, images: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        """Return the features of each image."""
        vectors = self.patches(images)
        if self.token is None:
            return self.stack(vectors).mean(1)
        return self.stack(torch.cat([self.token.expand(len(vectors), 1, -1), vectors], 1))[:, 0]
