"""Keeping a fitted estimator: JSON for what is plain, safetensors for what is numeric, no pickle.

A folder holds ``estimator.json`` (class, settings, learned values, its own SHA-256 and that of the tensors) and
``tensors-<start of their SHA-256>.safetensors``. The tensors are written first, under a name of their own, and the
description that names them last: a save that is killed leaves the folder with the estimator of before. Reading builds
the network from the learned values by code of this package and fills in the weights, so a file can hold wrong numbers
but no instructions; and it builds no network larger than the weights that came with it.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from gradus import __version__
from gradus.catalog import PUBLIC
from gradus.core.errors import DamagedFileError, DataError, InputError, SettingError, nearest
from gradus.core.options import settings_of
from gradus.core.storage import read_json, storage_errors, sweep, temporary_beside, write_json
from gradus.core.strict_json import dump_json
from gradus.core.tensors import encode_tensors, read_tensors, save_tensors
from gradus.core.trees import flatten, unflatten

if TYPE_CHECKING:
    from gradus.estimators.base import Estimator

__all__ = ["FORMAT", "from_bytes", "load", "load_estimator", "save_estimator", "to_bytes"]

FORMAT = 1
PLAIN = "estimator.json"
# What wrong content raises on its way into an estimator; GradusError is among the ValueErrors.
WRONG_CONTENT = (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError, MemoryError, OverflowError)
MAX_ARRAY_BYTES = 1 << 26  # of labels and names; numbers are tensors

_TENSORS = re.compile(r"tensors-[0-9a-f]{16}\.safetensors")


def load(path: str | Path) -> Any:
    """Read an estimator of any class from the folder ``save`` wrote.

    Raises
    ------
    DataError
        If the folder holds no estimator, or one of a newer version of Gradus.
    DamagedFileError
        If a file does not match its checksum.

    Examples
    --------
    >>> import tempfile
    >>> from gradus.estimators.mlp import MLPClassifier
    >>> model = MLPClassifier(max_epochs=1, random_state=0).fit([[0.0], [1.0]], ["no", "yes"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     same = load(model.save(folder)).predict([[1.0]]) == model.predict([[1.0]])
    >>> bool(same[0])
    True
    """
    return load_estimator(Path(path), None)


def save_estimator(estimator: Estimator, folder: Path) -> Path:
    """Write a fitted estimator; the description, which names the tensors, is replaced last."""
    if not estimator.__sklearn_is_fitted__():
        raise InputError("a fitted estimator to save", f"an unfitted {type(estimator).__name__}", "call fit first")
    plain, tensors = _describe(estimator)
    settings = {name: _plain_setting(name, value) for name, value in estimator.get_params(deep=False).items()}
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with temporary_beside(folder / PLAIN) as temporary:
            written = save_tensors(temporary, tensors)
            temporary.replace(folder / _tensors_name(written.sha256))
    plain |= {"settings": settings, "tensors": {"sha256": written.sha256, "size": written.size}}
    write_json(folder / PLAIN, {**plain, "sha256": _seal(plain)})
    with suppress(OSError):  # the new estimator is complete; what is left of the old one harms nothing
        for path in folder.iterdir():
            if _TENSORS.fullmatch(path.name) and path.name != _tensors_name(written.sha256):
                path.unlink()
    sweep(folder)
    return folder


def load_estimator(folder: Path, cls: type | None) -> Any:
    """Read an estimator, of class ``cls`` if one is given."""
    if not (folder / PLAIN).is_file():
        raise DataError(f"a folder with {PLAIN}", f"{folder} without it", "name a folder that save wrote")
    plain = _read_description(folder / PLAIN)
    found = _find_class(plain["class"], cls)
    path = folder / _tensors_name(plain["tensors"])
    tensors, _, read = read_tensors(path)
    if read.sha256 != plain["tensors"]:
        raise DamagedFileError(
            f"{path} with the checksum in {PLAIN}", "another one", "take the copy you saved, or fit again"
        )
    settings = {name: _read_setting(value) for name, value in plain["settings"].items()}
    unknown = sorted(set(settings) - set(settings_of(found)))
    if unknown:
        mend = f"{nearest(unknown[0], settings_of(found))}load it with the version that wrote it ({plain['gradus']})"
        raise SettingError(f"settings of {found.__name__}", repr(unknown[0]), mend)
    try:
        return _restore(found(**settings), plain["learned"], tensors)
    except WRONG_CONTENT as error:
        raise DamagedFileError(
            f"a fitted {found.__name__} in {folder / PLAIN}", f"something else ({error})", "save it again"
        ) from error


def to_bytes(estimator: Estimator) -> dict[str, Any]:
    """Return an estimator as settings, private attributes and, where fitted, bytes of JSON and safetensors."""
    fitted = {name for name in vars(estimator) if _is_learned(name)}
    settings = estimator.get_params(deep=False)
    private = {n: v for n, v in vars(estimator).items() if n not in fitted and n not in settings and n != "_memory"}
    state: dict[str, Any] = {"settings": settings, "private": private}
    if fitted:
        plain, tensors = _describe(estimator)
        learned = json.dumps(plain["learned"])
        state |= {"learned": learned, "tensors": b"".join(bytes(part) for part in encode_tensors(tensors))}
    return state


def from_bytes(cls: type, state: Mapping[str, Any]) -> Any:
    """Undo `to_bytes`."""
    estimator = cls(**state["settings"])
    if "learned" in state:
        from safetensors.torch import load as load_safetensors

        _restore(estimator, json.loads(state["learned"]), load_safetensors(state["tensors"]))
    vars(estimator).update(state["private"])
    return estimator


def _is_learned(name: str) -> bool:
    return name.endswith("_") and not name.startswith("_")


def _tensors_name(sha256: str) -> str:
    return f"tensors-{sha256[:16]}.safetensors"


def _seal(plain: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a description's content; the same in every format, so that damage is told from novelty."""
    content = {name: value for name, value in plain.items() if name != "sha256"}
    return hashlib.sha256(dump_json(content, sort_keys=True)).hexdigest()


def _read_description(path: Path) -> dict[str, Any]:
    """Read and check everything about ``estimator.json`` that does not depend on the class."""
    plain = read_json(path)
    if not isinstance(plain, dict) or plain.get("sha256") != _seal(plain):
        raise DamagedFileError(
            f"{path} with the checksum it names", "another one", "take the copy you saved, or fit again"
        )
    if not isinstance(plain.get("format"), int) or plain["format"] > FORMAT:
        raise DataError(
            f"a model of format {FORMAT} or older",
            f"format {plain.get('format')}, written by gradus {plain.get('gradus')}",
            f"upgrade gradus (this is {__version__})",
        )
    try:
        return {
            "class": str(plain["class"]),
            "gradus": str(plain["gradus"]),
            "learned": plain["learned"],
            "settings": dict(plain["settings"]),
            "tensors": str(plain["tensors"]["sha256"]),
        }
    except WRONG_CONTENT as error:
        raise DamagedFileError(f"a fitted estimator in {path}", f"something else ({error})", "save it again") from error


def _describe(estimator: Estimator) -> tuple[dict[str, Any], dict[str, Tensor]]:
    learned = {name: value for name, value in vars(estimator).items() if _is_learned(name)}
    modules = {name: value for name, value in learned.items() if isinstance(value, nn.Module)}
    values = {name: _encode(value) for name, value in learned.items() if name not in modules}
    weights = {name: dict(module.state_dict()) for name, module in modules.items()}
    # The memory of partial_fit's optimizer: a copy in another process learns on as the original would.
    memory = getattr(estimator, "_memory", None)
    tensors, structure = flatten({"values": values, "weights": weights, "memory": memory})
    name = type(estimator).__name__
    return {"format": FORMAT, "gradus": __version__, "class": name, "learned": structure}, tensors


def _restore(estimator: Any, structure: Any, tensors: Mapping[str, Tensor]) -> Any:
    learned = unflatten(structure, tensors)
    for name, value in learned["values"].items():
        if not _is_learned(name) or hasattr(type(estimator), name):
            raise ValueError(f"the learned attribute {name!r}")
        setattr(estimator, name, _decode(value))
    modules = {}
    if learned["weights"]:
        with _no_larger_than(learned["weights"]):
            modules = estimator._rebuild()
    if modules.keys() != learned["weights"].keys():
        raise ValueError("other networks")
    for name, module in modules.items():
        module.load_state_dict(learned["weights"][name])
        setattr(estimator, name, module)
    if learned["memory"] is not None:
        estimator._memory = learned["memory"]
    return estimator


@contextmanager
def _no_larger_than(weights: Mapping[str, Mapping[str, Tensor]]) -> Iterator[None]:
    """Refuse, inside the block, parameters beyond those stored: a small file must not build a huge network."""
    left = sum(tensor.numel() for stored in weights.values() for tensor in stored.values())
    thread = threading.get_ident()
    seen: dict[int, nn.Parameter] = {}  # a parametrization registers a layer's weight again

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal left
        if parameter is not None and id(parameter) not in seen and threading.get_ident() == thread:
            seen[id(parameter)] = parameter
            left -= parameter.numel()
            if left < 0:
                raise ValueError("settings of a larger network than the weights")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _find_class(name: str, cls: type | None) -> Any:
    if cls is not None and name == cls.__name__:
        return cls
    if name not in PUBLIC:
        mend = f"{nearest(name, PUBLIC)}load it through its own class, {name}.load(folder)"
        raise InputError("a class of the catalog", repr(name), mend)
    found = getattr(import_module(PUBLIC[name]), name)
    if cls is not None and not issubclass(found, cls):
        raise InputError(f"a saved {cls.__name__}", f"a saved {name}", f"use {name}.load or gradus.load")
    return found


def _plain_setting(name: str, value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple | list):
        return [_plain_setting(name, v) for v in value]
    if isinstance(value, dict):
        # JSON has string keys only; class weights are keyed by class
        return {"__pairs__": [[_plain_setting(name, k), _plain_setting(name, v)] for k, v in value.items()]}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return None if name == "random_state" else str(value)  # the seed drawn from a generator is kept as seed_


def _read_setting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: weight for key, weight in value["__pairs__"]}
    return tuple(_read_setting(v) for v in value) if isinstance(value, list) else value


_MARKS = frozenset({"__array__", "__list__", "__dict__", "__rows__"})
# A history of more numbers than this is stored as columns: JSON's size is limited, and training may take long.
_MANY = 1000


def _encode(value: Any) -> Any:
    """Turn arrays into what `flatten` holds, marked so that `_decode` finds them."""
    if isinstance(value, np.ndarray):
        kind, dtype = value.dtype.kind, value.dtype
        if kind in "biufmM" and dtype.itemsize <= 8 and dtype != np.float16:
            native = np.array(value, dtype=dtype.newbyteorder("="), order="C")
            stored = native.view(np.int64) if kind in "mM" else native
            return {"__array__": torch.from_numpy(stored), "dtype": dtype.str}
        listed = [_encode(item) for item in value.ravel().tolist()]
        return {"__list__": listed, "dtype": dtype.str, "shape": list(value.shape)}
    if isinstance(value, dict):
        if _MARKS & value.keys():  # a column may have any name
            return {"__dict__": [[key, _encode(item)] for key, item in value.items()]}
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, list) and (columns := _columns(value)) is not None:
        return {"__rows__": {name: _encode(column) for name, column in columns.items()}}
    if isinstance(value, list | tuple):
        return type(value)(_encode(item) for item in value)
    return value


def _columns(rows: list[Any]) -> dict[str, np.ndarray] | None:
    """Return the columns of a long list of rows (dictionaries of numbers with the same names), else None."""
    if not rows or not isinstance(rows[0], dict) or len(rows) * len(rows[0]) <= _MANY:
        return None
    names = list(rows[0])
    if not all(isinstance(row, dict) and list(row) == names for row in rows):
        return None
    kinds = {name: {type(row[name]) for row in rows} for name in names}
    if not all(kind == {int} or kind == {float} for kind in kinds.values()):
        return None
    return {name: np.array([row[name] for row in rows]) for name in names}


def _decode(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_decode(item) for item in value)
    if not isinstance(value, dict):
        return value
    if "__array__" in value:
        return value["__array__"].numpy().astype(value["dtype"], copy=False)
    if "__list__" in value:
        listed, dtype = [_decode(item) for item in value["__list__"]], np.dtype(value["dtype"])
        if dtype.kind not in "OUSfc" or dtype.itemsize * len(listed) > MAX_ARRAY_BYTES:
            raise ValueError(f"{len(listed)} labels of the dtype {dtype}")
        items = np.empty(len(listed), dtype=dtype)
        items[:] = listed
        return items.reshape(value["shape"])
    if "__dict__" in value:
        return {key: _decode(item) for key, item in value["__dict__"]}
    if "__rows__" in value:
        columns = {name: _decode(column).tolist() for name, column in value["__rows__"].items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return {key: _decode(item) for key, item in value.items()}
