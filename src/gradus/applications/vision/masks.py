"""Images and masks of any sizes, as one stack each; and what the pixels of a class weigh."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from jaxtyping import Shaped
from numpy.typing import NDArray
from torch import Tensor

from gradus.applications.vision.images import check_images
from gradus.core.errors import InputError, SettingError

__all__ = ["check_masks", "class_weights", "picture_of", "stack_images", "stack_masks"]

Size = tuple[int, int]


def stack_images(X: Any) -> tuple[Shaped[Tensor, "n height width channels"], list[Size]]:
    """Return images as one stack, and the size of each; smaller ones lie at the top left, their border continued.

    Raises
    ------
    InputError
        If they are not images, or have different numbers of channels.

    Examples
    --------
    >>> stack, sizes = stack_images([np.ones((2, 2)), np.zeros((1, 3))])
    >>> stack.shape, sizes
    (torch.Size([2, 2, 3, 1]), [(2, 2), (1, 3)])
    """
    if not isinstance(X, list | tuple) or len({np.shape(image) for image in X}) <= 1:
        images = check_images(X)
        return images, [(images.shape[1], images.shape[2])] * len(images)
    each = [check_images(np.asarray(image)[None]).numpy()[0] for image in X]
    channels = {image.shape[2] for image in each}
    if len(channels) > 1:
        raise InputError("images of as many channels each", f"{sorted(channels)}", "convert them to one kind")
    sizes = [(image.shape[0], image.shape[1]) for image in each]
    height, width = (max(size[axis] for size in sizes) for axis in range(2))
    wide = [np.pad(image, ((0, height - len(image)), (0, width - image.shape[1]), (0, 0)), "edge") for image in each]
    return check_images(np.stack(wide)), sizes


def stack_masks(y: Any, sizes: Sequence[Size]) -> NDArray[Any]:
    """Return masks as one stack of shape (n, height, width), each at the top left; what is added has any value.

    Raises
    ------
    InputError
        If a mask has not the size of its image, or holds neither whole numbers nor texts.

    Examples
    --------
    >>> stack_masks([[[1, 2]], [[3], [4]]], [(1, 2), (2, 1)]).tolist()
    [[[1, 2], [1, 1]], [[3, 3], [4, 3]]]
    """
    if len(set(sizes)) == 1:
        return check_masks(y, (len(sizes), *sizes[0]))
    if len(y) != len(sizes):
        raise InputError(f"{len(sizes)} masks, one for each image", str(len(y)), "pass as many")
    each = [check_masks(np.asarray(mask)[None], (1, *size))[0] for mask, size in zip(y, sizes, strict=True)]
    height, width = (max(size[axis] for size in sizes) for axis in range(2))
    whole = np.empty((len(each), height, width), dtype=np.result_type(*each))
    for place, mask in zip(whole, each, strict=True):
        place[...] = mask.flat[0]
        place[: mask.shape[0], : mask.shape[1]] = mask
    return whole


def check_masks(y: Any, shape: Sequence[int]) -> NDArray[Any]:
    """Return masks of this shape, whole numbers or texts.

    Raises
    ------
    InputError
        If they are not.

    Examples
    --------
    >>> check_masks([[[True, False]]], (1, 1, 2)).tolist(), check_masks([[[1.0, 2.0]]], (1, 1, 2)).dtype
    ([[[1, 0]]], dtype('int64'))
    """
    masks = np.asarray(y)
    if masks.shape == (*shape, 1):
        masks = masks[..., 0]
    if masks.shape != tuple(shape):
        expected = f"masks of shape {tuple(shape)}, a class for each pixel"
        raise InputError(expected, str(masks.shape), "pass one mask for each image, of its height and width")
    if masks.dtype.kind == "O" and all(isinstance(name, str) for name in masks.flat):
        masks = masks.astype(str)
    if masks.dtype.kind == "f" and bool(np.isfinite(masks).all()) and bool((masks == np.floor(masks)).all()):
        masks = masks.astype(np.int64)
    if masks.dtype.kind not in "biuU":
        mend = "round them, or compare probabilities with a threshold"
        raise InputError("masks of whole numbers or texts", f"{masks.dtype} with other values", mend)
    return masks.astype(np.uint8) if masks.dtype.kind == "b" else masks


def class_weights(given: Any, classes: NDArray[Any], pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight of each class's pixels.

    Parameters
    ----------
    given : {"balanced"}, dict or None
        ``"balanced"``: so that all classes together weigh the same, by scikit-learn's rule ``total / (classes count)``;
        or a weight for each class, one where it is not named.
    classes : ndarray
        The classes.
    pixels : ndarray of shape (classes,)
        How many pixels each has, or what they weigh.

    Raises
    ------
    SettingError
        If a class is unknown, or a weight is no number of 0 or more.

    Examples
    --------
    >>> class_weights("balanced", np.array([5, 7]), np.array([3.0, 1.0])).round(3).tolist()
    [0.667, 2.0]
    >>> class_weights({7: 3.0}, np.array([5, 7]), np.array([3.0, 1.0])).tolist()
    [1.0, 3.0]
    """
    if given is None:
        return np.ones(len(classes))
    if given == "balanced":
        return pixels.sum() / (len(classes) * pixels)
    strange = [name for name in given if name not in set(classes.tolist())]
    if strange:
        raise SettingError(f"class_weight keyed by the classes {classes}", repr(strange[0]), "name a class")
    values = [given.get(name, 1.0) for name in classes.tolist()]
    wrong = [w for w in values if not isinstance(w, Real) or not math.isfinite(w) or w < 0]
    if wrong or not any(values):
        received = repr(wrong[0]) if wrong else "zeros only"
        raise SettingError("class_weight of finite numbers of 0 or more", received, "change it or leave it out")
    return np.array(values, dtype=np.float64)


def picture_of(image: Shaped[NDArray, "height width channels"]) -> NDArray[Any]:
    """Return an image as it can be shown: gray, or the first three channels.

    Examples
    --------
    >>> [picture_of(np.zeros((4, 5, channels))).shape for channels in (1, 2, 3, 6)]
    [(4, 5), (4, 5), (4, 5, 3), (4, 5, 3)]
    """
    return image[..., :3] if image.shape[2] > 2 else image.mean(2)
