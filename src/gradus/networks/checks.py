"""Checks of what a network is made of and of what it reads, in one wording."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from gradus.core.errors import InputError, SettingError, nearest

__all__ = ["check_maps", "check_rate", "check_sizes", "chosen", "names_in"]


def chosen(name: str, names: Sequence[str], setting: str) -> str:
    """Return ``name``, one of ``names``.

    Raises
    ------
    SettingError
        If it is none of them; the message names the nearest.

    Examples
    --------
    >>> chosen("same", ("valid", "same"), "padding")
    'same'
    """
    if name not in names:
        mend = f"{nearest(name, names)}set for example {setting}={names[0]!r}"
        raise SettingError(f"{setting} to be one of {', '.join(names)}", repr(name), mend)
    return name


def check_rate(setting: str, rate: float) -> None:
    """Refuse a probability of dropping outside ``[0, 1)``.

    Raises
    ------
    SettingError
        If it lies outside.

    Examples
    --------
    >>> check_rate("dropout", 0.5)
    """
    if not 0.0 <= rate < 1.0:
        raise SettingError(f"{setting} in [0, 1)", str(rate), f"set for example {setting}=0.2")


def check_sizes(**sizes: int) -> None:
    """Refuse sizes that are not whole numbers of 1 or more.

    Raises
    ------
    SettingError
        If one is not; the message names it.

    Examples
    --------
    >>> check_sizes(depth=2, width=32)
    """
    for setting, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            mend = f"set for example {setting}=3"
            raise SettingError(f"{setting} to be a whole number of 1 or more", repr(size), mend)


def check_maps(maps: Tensor, channels: int, dimensions: int, smallest: int = 1) -> None:
    """Refuse inputs that are no batch of grids of ``channels`` channels and ``dimensions`` axes.

    Raises
    ------
    InputError
        If axes or channels are other ones, or the grid is smaller than ``smallest`` along an axis.

    Examples
    --------
    >>> import torch
    >>> check_maps(torch.zeros(2, 3, 8, 8), channels=3, dimensions=2)
    """
    axes = {1: "length", 2: "height, width", 3: "depth, height, width"}[dimensions]
    expected = f"inputs of shape (n, {channels}, {axes})"
    if maps.ndim != dimensions + 2 or maps.shape[1] != channels:
        raise InputError(expected, str(tuple(maps.shape)), "put examples first and channels second")
    if min(maps.shape[2:]) < smallest:
        mend = f"pad or enlarge them to {smallest} along every axis"
        raise InputError(f"{expected} and {smallest} or more along every axis", str(tuple(maps.shape)), mend)


def names_in(text: str, names: Sequence[str], setting: str) -> tuple[str, ...]:
    """Return the names joined by commas in ``text``; ``"none"`` and the empty text hold none.

    Raises
    ------
    SettingError
        If one is none of ``names``; the message names the nearest.

    Examples
    --------
    >>> names_in("shift, flip", ("flip", "shift", "rotate"), "augment")
    ('shift', 'flip')
    >>> names_in("none", ("flip",), "augment")
    ()
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if [word.lower() for word in words] == ["none"]:
        return ()
    for word in words:
        if word not in names:
            mend = f"{nearest(word, names)}set for example {setting}={names[0]!r}"
            raise SettingError(f"{setting} to be none, or names among {', '.join(names)}", repr(word), mend)
    return tuple(dict.fromkeys(words))
