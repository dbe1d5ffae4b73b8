"""Rows of symbols on a canvas, composed of pictures of single ones: data for readers of sequences (§11.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError

__all__ = ["Canvases", "compose_sequences"]


class Canvases(NamedTuple):
    """Composed images, and what they say.

    Attributes
    ----------
    images : ndarray of uint8, shape (n, height, width)
        Bright symbols on black.
    texts : ndarray of str, shape (n,)
        The symbols of each, from left to right.
    used : ndarray of int, shape (n, longest)
        Which picture stands at each position; -1 past the end.
    """

    images: NDArray[np.uint8]
    texts: NDArray[np.str_]
    used: NDArray[np.int64]


def compose_sequences(
    pictures: Any,
    labels: Any,
    n: int,
    *,
    size: tuple[int, int] = (32, 96),
    lengths: tuple[int, int] = (1, 5),
    scale: tuple[float, float] = (0.6, 1.0),
    gap: tuple[int, int] = (-1, 4),
    random_state: int = 0,
) -> Canvases:
    """Compose rows of 1 to some symbols, of lengths that nothing but the picture tells.

    Each row has a length drawn evenly, and for each position a picture drawn evenly: cut to what is bright in it,
    scaled by the row's own factor within 10 %, and set beside the one before with a gap of its own and a height of its
    own. The row starts anywhere where it fits; one that does not fit is scaled down until it does.

    Parameters
    ----------
    pictures : array-like of shape (m, height, width)
        Pictures of single symbols, bright on black, bytes or numbers of 0 or more.
    labels : array-like of shape (m,)
        What each shows; its text, of one character or more, goes into the row's.
    n : int
        Canvases to make, 1 or more.
    size : (int, int)
        Height and width of a canvas, in pixels.
    lengths : (int, int)
        Fewest and most symbols of a row.
    scale : (float, float)
        Height of the tallest symbol of a row, as a share of the canvas's: smallest and largest, above 0, at most 1.
    gap : (int, int)
        Pixels between neighbours: fewest (negative: they overlap) and most.
    random_state : int
        Seed of everything random.

    Returns
    -------
    Canvases

    Raises
    ------
    InputError
        If there are no pictures, or one of them is empty.
    SettingError
        If a range is not one.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> digits = load_digits()
    >>> made = compose_sequences(digits.images, digits.target, 3, size=(12, 40), lengths=(2, 4))
    >>> made.images.shape, [len(text) for text in made.texts] == (made.used >= 0).sum(1).tolist()
    ((3, 12, 40), True)

    References
    ----------
    Goodfellow et al. 2014, Multi-digit Number Recognition from Street View Imagery using Deep Convolutional Neural
    Networks; Goodfellow et al. 2016, §11.6.
    """
    array, brightest = _checked(pictures)
    names = np.asarray(labels).astype(str)
    if names.shape != (len(array),):
        raise InputError(f"{len(array)} labels, one a picture", str(names.shape), "pass as many labels as pictures")
    _check_ranges(n, size, lengths, scale, gap)
    rng = np.random.default_rng(random_state)
    counts = rng.integers(lengths[0], lengths[1] + 1, n)
    used = rng.integers(0, len(array), (n, lengths[1]))
    used[np.arange(lengths[1]) >= counts[:, None]] = -1
    images = np.zeros((n, *size), dtype=np.uint8)
    for image, row in zip(images, used, strict=True):
        _compose(image, [_glyph(array[i], brightest) for i in row[row >= 0]], scale, gap, rng)
    texts = np.array(["".join(names[row[row >= 0]]) for row in used])
    return Canvases(images, texts, used)


def _checked(pictures: Any) -> tuple[NDArray[Any], float]:
    array = np.asarray(pictures)
    if array.ndim != 3 or 0 in array.shape or array.dtype.kind not in "biuf":
        raise InputError("pictures of shape (m, height, width)", f"{array.dtype} {array.shape}", "pass gray pictures")
    if not np.isfinite(array).all() or array.min() < 0 or not array.any((1, 2)).all():
        mend = "drop empty pictures, and subtract the least value"
        raise InputError("finite pictures of 0 or more, none of them black", "others", mend)
    return array, float(array.max())


def _glyph(picture: NDArray[Any], brightest: float) -> NDArray[np.float32]:
    """Return a picture from 0 to 255, cut to the rows and columns with something in them."""
    rows, columns = np.flatnonzero(picture.any(1)), np.flatnonzero(picture.any(0))
    cut = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return (cut * (255.0 / brightest)).astype(np.float32)


def _check_ranges(
    n: int, size: Sequence[int], lengths: Sequence[int], scale: Sequence[float], gap: Sequence[int]
) -> None:
    if n < 1 or min(size) < 1:
        raise SettingError("1 canvas or more, of 1 pixel or more", f"n={n}, size={tuple(size)}", "raise them")
    if not 1 <= lengths[0] <= lengths[1]:
        raise SettingError("1 <= fewest <= most symbols", str(tuple(lengths)), "set for example lengths=(1, 5)")
    if not 0 < scale[0] <= scale[1] <= 1:
        raise SettingError("0 < smallest <= largest <= 1 of scale", str(tuple(scale)), "set scale=(0.6, 1.0)")
    if gap[0] > gap[1] or (lengths[1] - 1) * max(0, gap[1]) + lengths[1] > size[1]:
        expected = f"fewest <= most of gap, and room for {lengths[1]} symbols between them"
        raise SettingError(expected, f"gap={tuple(gap)} on a width of {size[1]}", "lower the gap or widen the canvas")


def _compose(
    image: NDArray[np.uint8],
    glyphs: list[NDArray[np.float32]],
    scale: Sequence[float],
    gap: Sequence[int],
    rng: np.random.Generator,
) -> None:
    height, width = image.shape
    tallest = max(len(glyph) for glyph in glyphs)
    factor = rng.uniform(scale[0], scale[1]) * height / tallest
    factors = factor * rng.uniform(0.9, 1.0, len(glyphs))
    gaps = rng.integers(gap[0], gap[1] + 1, len(glyphs) - 1)
    while True:
        scaled = [np.array(glyph.shape) * f for glyph, f in zip(glyphs, factors, strict=True)]
        sizes = [(max(1, round(h)), max(1, round(w))) for h, w in scaled]
        total = sum(w for _, w in sizes) + int(gaps.sum())
        if total <= width:
            break
        factors = factors * 0.95
    left = int(rng.integers(0, max(1, width - total + 1)))
    middle = rng.uniform(0, 1)  # neighbours stand on one line, give or take
    for glyph, (h, w), after in zip(glyphs, sizes, [*gaps, 0], strict=True):
        top = round(np.clip(middle + rng.uniform(-0.15, 0.15), 0, 1) * (height - h))
        drawn = F.interpolate(torch.from_numpy(glyph)[None, None], (h, w), mode="bilinear", antialias=True)[0, 0]
        at = max(0, min(left, width - w))  # gaps below zero may lead past either side
        place = image[top : top + h, at : at + w]
        np.maximum(place, drawn.numpy().round().astype(np.uint8), out=place)
        left += w + int(after)
