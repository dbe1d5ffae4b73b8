"""JSON in which NaN, infinities and huge integers survive, and which hostile input cannot blow up.

JSON has no word for NaN and infinity. They are written as ``{"$float": "nan"}``, integers beyond 64 bits as
``{"$int": "0x..."}`` (Python refuses decimal strings of more than 4300 digits), and a dictionary's own key
that begins with a dollar gets a second one. Every other value reads as in plain JSON.
"""

from __future__ import annotations

import json
import math
from itertools import chain
from pathlib import Path
from typing import Any

from gradus.core.errors import DamagedFileError, InputError

__all__ = ["MAX_JSON_DEPTH", "dump_json", "parse_json"]

MAX_JSON_DEPTH = 128
# A list of many empty lists takes fifty times its text in memory, and seconds to build.
MAX_JSON_ITEMS = 1_000_000
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def _place(where: tuple[Any, ...]) -> str:
    """Spell out a place given as ``((((), key), index), key)``: pairs cost nothing while all goes well."""
    keys: list[Any] = []
    while where:
        where, key = where
        keys.append(key)
    return "$" + "".join(f"[{key!r}]" for key in reversed(keys))


def _encode(value: Any, where: tuple[Any, ...], depth: int) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if getattr(value, "shape", None) == () and getattr(value.dtype, "kind", "?") in "biuf":
        value = value.item()  # a NumPy number, without importing NumPy
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else {"$int": hex(value)}
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if depth >= MAX_JSON_DEPTH:
        raise InputError(f"at most {MAX_JSON_DEPTH} levels of nesting", f"more at {_place(where)}", "flatten the value")
    if isinstance(value, list | tuple):
        return [_encode(item, (where, i), depth + 1) for i, item in enumerate(value)]
    if isinstance(value, dict):
        result = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise InputError(
                    "strings as dictionary keys", f"{key!r} at {_place(where)}", "convert the key with str()"
                )
            escaped = "$" + key if key.startswith("$") else key
            result[escaped] = _encode(item, (where, key), depth + 1)
        return result
    raise InputError(
        "None, bool, int, float, str, list or dict",
        f"{type(value).__name__} at {_place(where)}",
        "convert it before it is written as JSON",
    )


def _revive(found: dict[str, Any]) -> Any:
    if len(found) == 1:
        [(key, item)] = found.items()
        if key == "$float" and isinstance(item, str) and item in _NON_FINITE:
            return _NON_FINITE[item]
        if key == "$int" and isinstance(item, str):
            return int(item, 16)
    if any(key.startswith("$$") for key in found):
        return {key[1:] if key.startswith("$$") else key: item for key, item in found.items()}
    return found


def _too_deep(value: Any) -> bool:
    level: list[Any] = [value] if isinstance(value, list | dict) else []
    for _ in range(MAX_JSON_DEPTH):
        children = chain.from_iterable(c if type(c) is list else c.values() for c in level)
        level = [child for child in children if type(child) is list or type(child) is dict]
        if not level:
            return False
    return True


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def dump_json(value: Any, *, indent: int | None = None, sort_keys: bool = False) -> bytes:
    """Encode a value as ASCII JSON in which NaN, infinities and huge integers survive.

    Raises
    ------
    InputError
        If the value holds something JSON has no word for; the message names the place.

    Examples
    --------
    >>> dump_json({"loss": float("nan"), "step": 3})
    b'{"loss":{"$float":"nan"},"step":3}'
    >>> parse_json(_)
    {'loss': nan, 'step': 3}
    """
    encoded = _encode(value, (), 0)
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(encoded, indent=indent, sort_keys=sort_keys, separators=separators, allow_nan=False)
    data = text.encode()
    if _items(data) > MAX_JSON_ITEMS:
        raise InputError(f"at most {MAX_JSON_ITEMS} items", "more", "store long lists of numbers as a tensor")
    return data


def _items(data: bytes) -> int:
    """Bound the number of values from above without parsing."""
    return sum(map(data.count, (b",", b"[", b"{")))


def parse_json(data: bytes, where: str | Path = "the JSON text") -> Any:
    """Decode what `dump_json` wrote, or any standard JSON.

    Raises
    ------
    DamagedFileError
        If the bytes are no JSON, or nested deeper than ``MAX_JSON_DEPTH``.
    """
    received = f"brackets nested deeper than {MAX_JSON_DEPTH}"
    try:
        if _items(data) > MAX_JSON_ITEMS:
            raise ValueError(f"more than {MAX_JSON_ITEMS} items")
        hook = _revive if b'"$' in data else None  # a call for each of a million objects takes its time
        value = json.loads(data.decode(), parse_constant=_refuse_constant, object_hook=hook)
        if not _too_deep(value):
            return value
    except RecursionError:
        pass
    except (ValueError, MemoryError) as error:
        received = f"something else ({error})"
    raise DamagedFileError(f"JSON in {where}", received, "restore the file from a copy or remove it")
