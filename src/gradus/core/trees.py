"""Nested state as tensors and JSON: what an optimizer or a sampler remembers, written without pickle.

A tree is made of dictionaries (string and integer keys are kept apart), lists, tuples, ``None``, truth
values, integers of any size, floats, strings, NumPy scalars and tensors. `flatten` takes it apart and
`unflatten` puts it together again, bit by bit the same; nothing in the stored form can name code to run.
"""

from __future__ import annotations

import math
import struct
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from gradus.core.errors import DamagedFileError, InputError

__all__ = ["flatten", "unflatten"]

MAX_TREE_DEPTH = 64
MAX_NAME = 200


def flatten(tree: Any) -> tuple[dict[str, Tensor], Any]:
    """Take a tree apart into named tensors and a JSON-able structure.

    A container becomes ``["list", ...]``, ``["tuple", ...]`` or ``["dict", key, value, key, value, ...]``, a
    tensor ``["tensor", name]``; ``None``, truth values, strings, finite floats and 64-bit integers stand for
    themselves.

    Parameters
    ----------
    tree : object
        The state; an ``OrderedDict`` comes back as ``dict``, a ``Parameter`` as ``Tensor``.

    Returns
    -------
    tensors : dict of str to Tensor
        The tensors themselves (not copies), named by their place in the tree.
    structure : object
        Lists, strings, numbers, truth values and ``None``.

    Raises
    ------
    InputError
        If the tree holds anything else, or is nested deeper than 64 levels; the message names the place.

    Examples
    --------
    >>> import torch
    >>> tensors, structure = flatten({"step": 3, "moments": (torch.ones(2), None)})
    >>> tensors
    {'moments/0': tensor([1., 1.])}
    >>> structure
    ['dict', 'step', 3, 'moments', ['tuple', ['tensor', 'moments/0'], None]]
    >>> unflatten(structure, tensors)
    {'step': 3, 'moments': (tensor([1., 1.]), None)}
    """
    tensors: dict[str, Tensor] = {}
    return tensors, _take_apart(tree, (), tensors)


def _place(path: tuple[str | int, ...]) -> str:
    return "tree" + "".join(f"[{key!r}]" for key in path)


def _take_apart(node: Any, path: tuple[str | int, ...], tensors: dict[str, Tensor]) -> Any:
    if isinstance(node, Tensor):
        name = _free_name(path, tensors)
        tensors[name] = node
        return ["tensor", name]
    if isinstance(node, np.generic):
        return _numpy_scalar(node, path)
    kind = type(node)
    if node is None or kind is bool or kind is str:
        return node
    if kind is int:
        return node if -(2**63) <= node < 2**63 else ["int", hex(node)]
    if kind is float:
        return node if math.isfinite(node) else ["float", struct.pack(">d", node).hex()]
    if len(path) >= MAX_TREE_DEPTH:
        raise InputError(f"at most {MAX_TREE_DEPTH} levels of nesting", "more", "check for a cycle")
    if kind is list or kind is tuple:
        parts = [_take_apart(item, (*path, i), tensors) for i, item in enumerate(node)]
        return [kind.__name__, *parts]
    if kind is dict or kind is OrderedDict:
        parts = []
        for key, item in node.items():
            if type(key) is not str and type(key) is not int:
                raise InputError(
                    "strings or integers as keys", f"{key!r} in {_place(path)}", "convert the key with str()"
                )
            parts += [_take_apart(key, path, tensors), _take_apart(item, (*path, key), tensors)]
        return ["dict", *parts]
    raise InputError(
        "tensors, numbers, strings, None, lists, tuples and dictionaries",
        f"{kind.__name__} at {_place(path)}",
        "convert it before it is stored",
    )


def _free_name(path: tuple[str | int, ...], taken: Mapping[str, Tensor]) -> str:
    """Name a tensor by its place, shortened, made printable and unique."""
    text = "/".join(map(str, path)) or "value"
    text = "".join(c if c.isprintable() else "?" for c in text)[:MAX_NAME]
    if text in taken or text == "__metadata__":
        text = f"{text}#{len(taken)}"
        while text in taken:
            text += "'"
    return text


def _numpy_scalar(node: np.generic, path: tuple[str | int, ...]) -> Any:
    kind = node.dtype.kind
    if kind == "U":
        return ["numpy", "U", str(node)]
    if kind == "S":
        return ["numpy", "S", bytes(node).hex()]  # type: ignore[call-overload]
    if kind in "biufcmM":
        return ["numpy", node.dtype.str, node.tobytes().hex()]
    raise InputError("NumPy numbers, dates or strings", f"{node.dtype} at {_place(path)}", "convert it")


def unflatten(structure: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Put together what `flatten` took apart.

    Raises
    ------
    DamagedFileError
        If the structure is not of `flatten`'s making, or does not use exactly the tensors given.
    """
    unused = set(tensors)
    try:
        tree = _put_together(structure, tensors, unused)
    except (ValueError, TypeError, KeyError, IndexError, struct.error, RecursionError) as error:
        raise _mismatch(f"a damaged one ({error})") from error
    if unused:
        raise _mismatch(f"one without a place for tensor {min(unused)!r}")
    return tree


def _mismatch(received: str) -> DamagedFileError:
    return DamagedFileError("a structure that fits its tensors", received, "restore both from one copy")


def _put_together(node: Any, tensors: Mapping[str, Tensor], unused: set[str]) -> Any:
    if not isinstance(node, list):
        if isinstance(node, dict):
            raise TypeError("a JSON object where none belongs")
        return node
    kind, *parts = node
    if kind == "list" or kind == "tuple":
        items = [_put_together(part, tensors, unused) for part in parts]
        return items if kind == "list" else tuple(items)
    if kind == "dict":
        values = [_put_together(part, tensors, unused) for part in parts]
        keys = values[::2]
        if len(values) % 2 or not all(type(key) is str or type(key) is int for key in keys):
            raise ValueError("keys without values")
        return dict(zip(keys, values[1::2], strict=True))
    return _leaf(kind, parts, tensors, unused)


def _leaf(kind: Any, parts: list[Any], tensors: Mapping[str, Tensor], unused: set[str]) -> Any:
    if kind == "tensor":
        [name] = parts
        unused.discard(name)
        return tensors[name]
    if kind == "int":
        [digits] = parts
        return int(digits, 16)
    if kind == "float":
        [bits] = parts
        return struct.unpack(">d", bytes.fromhex(bits))[0]
    if kind == "numpy":
        code, value = parts
        if code == "U":
            return np.str_(value)
        raw = bytes.fromhex(value)
        if code == "S":
            return np.bytes_(raw)
        dtype = np.dtype(code)
        if dtype.kind not in "biufcmM" or dtype.itemsize != len(raw):
            raise ValueError(f"the NumPy dtype {code!r}")
        return np.frombuffer(raw, dtype)[0]
    raise ValueError(f"the unknown kind {kind!r}")
