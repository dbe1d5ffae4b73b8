"""Keeping a fitted estimator: JSON for what is plain, safetensors for what is numeric, no pickle.

A folder holds ``estimator.json`` (class, settings, learned values, and the SHA-256 of the tensors) and
``tensors.safetensors``. Reading builds the network from the learned values by code of this package and fills in the
weights, so a file can hold wrong numbers but no instructions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from gradus import __version__
from gradus.catalog import PUBLIC
from gradus.core.errors import DamagedFileError, DataError, InputError, SettingError, nearest
from gradus.core.options import settings_of
from gradus.core.storage import read_json, write_json
from gradus.core.tensors import encode_tensors, read_tensors, save_tensors
from gradus.core.trees import flatten, unflatten

if TYPE_CHECKING:
    from gradus.estimators.base import Estimator

__all__ = ["FORMAT", "from_bytes", "load", "load_estimator", "save_estimator", "to_bytes"]

FORMAT = 1
PLAIN, TENSORS = "estimator.json", "tensors.safetensors"


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
    """Write a fitted estimator; the plain part is written last and names the tensors' checksum."""
    if not estimator.__sklearn_is_fitted__():
        raise InputError("a fitted estimator to save", f"an unfitted {type(estimator).__name__}", "call fit first")
    folder.mkdir(parents=True, exist_ok=True)
    plain, tensors = _describe(estimator)
    written = save_tensors(folder / TENSORS, tensors)
    plain["tensors"] = {"sha256": written.sha256, "size": written.size}
    settings = {name: _plain_setting(name, value) for name, value in estimator.get_params(deep=False).items()}
    write_json(folder / PLAIN, {**plain, "settings": settings})
    return folder


def load_estimator(folder: Path, cls: type | None) -> Any:
    """Read an estimator, of class ``cls`` if one is given."""
    if not (folder / PLAIN).is_file():
        raise DataError(f"a folder with {PLAIN}", f"{folder} without it", "name a folder that save wrote")
    plain = read_json(folder / PLAIN)
    if not isinstance(plain, dict) or not isinstance(plain.get("format"), int):
        raise DamagedFileError(f"an estimator's description in {folder / PLAIN}", "something else", "save it again")
    if plain["format"] > FORMAT:
        raise DataError(
            f"a model of format {FORMAT} or older",
            f"format {plain['format']}, written by gradus {plain.get('gradus')}",
            f"upgrade gradus (this is {__version__})",
        )
    found = _find_class(str(plain.get("class")), cls)
    tensors, _, read = read_tensors(folder / TENSORS)
    if read.sha256 != plain.get("tensors", {}).get("sha256"):
        raise DamagedFileError(
            f"{folder / TENSORS} with the checksum in {PLAIN}", "another one", "take the copy you saved, or fit again"
        )
    settings = {name: _read_setting(value) for name, value in plain["settings"].items()}
    unknown = set(settings) - set(settings_of(found))
    if unknown:
        name = sorted(unknown)[0]
        mend = f"{nearest(name, settings_of(found))}load it with the version that wrote it ({plain.get('gradus')})"
        raise SettingError(f"settings of {found.__name__}", repr(name), mend)
    return _restore(found(**settings), plain, tensors)


def to_bytes(estimator: Estimator) -> dict[str, Any]:
    """Return an estimator as settings, private attributes and, where fitted, bytes of JSON and safetensors."""
    fitted = {name for name in vars(estimator) if _is_learned(name)}
    settings = estimator.get_params(deep=False)
    private = {n: v for n, v in vars(estimator).items() if n not in fitted and n not in settings and n != "_memory"}
    state: dict[str, Any] = {"settings": settings, "private": private}
    if fitted:
        plain, tensors = _describe(estimator)
        state |= {"plain": json.dumps(plain), "tensors": b"".join(bytes(part) for part in encode_tensors(tensors))}
    return state


def from_bytes(cls: type, state: Mapping[str, Any]) -> Any:
    """Undo `to_bytes`."""
    estimator = cls(**state["settings"])
    if "plain" in state:
        from safetensors.torch import load as load_safetensors

        _restore(estimator, json.loads(state["plain"]), load_safetensors(state["tensors"]))
    vars(estimator).update(state["private"])
    return estimator


def _is_learned(name: str) -> bool:
    return name.endswith("_") and not name.startswith("_")


def _describe(estimator: Estimator) -> tuple[dict[str, Any], dict[str, Tensor]]:
    learned = {name: value for name, value in vars(estimator).items() if _is_learned(name)}
    modules = {name: value for name, value in learned.items() if isinstance(value, nn.Module)}
    values = {name: _encode(value) for name, value in learned.items() if name not in modules}
    weights = {name: dict(module.state_dict()) for name, module in modules.items()}
    tensors, structure = flatten({"values": values, "weights": weights})
    name = type(estimator).__name__
    return {"format": FORMAT, "gradus": __version__, "class": name, "learned": structure}, tensors


def _restore(estimator: Any, plain: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    learned = unflatten(plain["learned"], tensors)
    for name, value in learned["values"].items():
        setattr(estimator, name, _decode(value))
    for name, module in estimator._rebuild().items():
        module.load_state_dict(learned["weights"][name])
        setattr(estimator, name, module)
    return estimator


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


def _encode(value: Any) -> Any:
    """Turn arrays into what `flatten` holds, marked so that `_decode` finds them."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "biuf" and value.dtype.itemsize <= 8 and value.dtype != np.float16:
            return {"__array__": torch.from_numpy(np.array(value, order="C")), "dtype": value.dtype.str}
        listed = [_encode(item) for item in value.ravel().tolist()]
        return {"__list__": listed, "dtype": value.dtype.str, "shape": list(value.shape)}
    if isinstance(value, dict):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_encode(item) for item in value)
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, dict) and "__array__" in value:
        return value["__array__"].numpy().astype(value["dtype"], copy=False)
    if isinstance(value, dict) and "__list__" in value:
        items = np.empty(len(value["__list__"]), dtype=value["dtype"])
        items[:] = value["__list__"]
        return items.reshape(value["shape"])
    if isinstance(value, dict):
        return {key: _decode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_decode(item) for item in value)
    return value
