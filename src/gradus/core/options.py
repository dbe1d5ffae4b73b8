"""Settings as data: a dataclass field that knows its meaning, unit and range, checked and parsed in one place.

The command line, the documentation and the checks all read the same field, so they cannot disagree.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Sequence
from functools import cache
from numbers import Integral, Real
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from gradus.core.errors import SettingError, nearest

__all__ = ["Setting", "check_settings", "option", "parse_setting", "settings_of"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting of a class, as the command line and the docs show it."""

    name: str
    default: Any
    kind: Any  # the resolved type annotation
    help: str
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    open_low: bool = False

    @property
    def choices(self) -> tuple[Any, ...]:
        """Values a ``Literal`` in the annotation allows by name."""
        return tuple(c for part in _parts(self.kind) if get_origin(part) is Literal for c in get_args(part))

    @property
    def range(self) -> str:
        """The allowed values in words."""
        words = [str(c) for c in self.choices]
        plain = [p for p in _parts(self.kind) if get_origin(p) is not Literal and p not in (type(None), Any)]
        if plain:
            bounds = ""
            if self.low is not None:
                bounds += f" {'>' if self.open_low else '>='} {self.low:.10g}"
            if self.high is not None:
                bounds += f"{' and' if bounds else ''} <= {self.high:.10g}"
            words.append(" or ".join(_type_name(p) for p in plain) + bounds)
        if Any in _parts(self.kind) and int not in plain:
            words.append("integer")  # what can be written; generators cannot
        if {type(None), Any} & set(_parts(self.kind)):
            words.append("none")
        return ", ".join(words)


def option(
    default: Any,
    meaning: str,
    *,
    unit: str | None = None,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
) -> Any:
    """Return a dataclass field for a setting.

    Parameters
    ----------
    default : object
        An immutable default.
    meaning : str
        One line in the user's words.
    unit : str, optional
        Such as ``"seconds"`` or ``"epochs"``.
    low, high : float, optional
        Inclusive bounds on a number (on each number of a sequence).
    above : float, optional
        Exclusive lower bound, instead of ``low``.
    """
    metadata = {"help": meaning, "unit": unit, "low": low if above is None else above, "high": high}
    return dataclasses.field(default=default, metadata={**metadata, "open_low": above is not None})


def settings_of(cls: Any) -> dict[str, Setting]:
    """Return every setting of a dataclass by name, in the order of definition.

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class Dial:
    ...     size: int = option(3, "how large", low=1)
    >>> settings_of(Dial)["size"].range
    'integer >= 1'
    """
    return _settings_of(cls)


@cache
def _settings_of(cls: type) -> dict[str, Setting]:
    hints = get_type_hints(cls)
    return {
        f.name: Setting(name=f.name, default=f.default, kind=hints[f.name], **f.metadata)
        for f in dataclasses.fields(cls)
        if "help" in f.metadata
    }


def check_settings(settings: Any) -> None:
    """Raise one clear `SettingError` for the first field whose value has the wrong type or range."""
    for setting in settings_of(type(settings)).values():
        value = getattr(settings, setting.name)
        if value is setting.default:
            continue
        if not any(_is_kind(value, part) for part in _parts(setting.kind)):
            hint = nearest(value, setting.choices) if isinstance(value, str) else ""
            _refuse(setting, value, hint)
        numbers = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        for number in numbers:
            if isinstance(number, Real) and not isinstance(number, bool) and not _in_range(number, setting):
                _refuse(setting, value, "")


def parse_setting(cls: type, name: str, text: str) -> Any:
    """Turn the text of ``--set name=text`` into a value of the field's type.

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class Net:
    ...     hidden: tuple[int, ...] = option((128,), "units in each layer", low=1)
    >>> parse_setting(Net, "hidden", "64,32")
    (64, 32)
    """
    known = settings_of(cls)
    if name not in known:
        mend = f"{nearest(name, known)}see `gradus config {cls.__name__}`"
        raise SettingError(f"a setting of {cls.__name__}", repr(name), mend)
    setting = known[name]
    word = text.strip()
    parts = _parts(setting.kind)
    if word in map(str, setting.choices):
        return next(c for c in setting.choices if str(c) == word)
    if {type(None), Any} & set(parts) and word.lower() in {"none", "null", ""}:
        return None
    for part in parts:
        value = _parse(word, part)
        if value is not None and (not isinstance(value, Real) or isinstance(value, bool) or _in_range(value, setting)):
            if isinstance(value, tuple) and not all(_in_range(v, setting) for v in value if isinstance(v, Real)):
                continue
            return value
    _refuse(setting, word, nearest(word, setting.choices))
    return None


def _parse(word: str, kind: Any) -> Any:
    if kind is bool:
        return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}.get(word.lower())
    if kind in (int, float):
        try:
            return int(word) if kind is int and word.lstrip("+-").isdecimal() else _whole(float(word), kind)
        except ValueError:  # no number, or thousands of digits
            return None
    if kind is str:
        return word
    if kind is Any:
        return int(word) if word.isdigit() else None
    if get_origin(kind) is dict or kind is dict:
        pairs = [w.rpartition(":") for w in word.strip("{}").split(",") if w.strip()]  # a name may hold a colon
        inner = (get_args(kind) or (str, float))[1]
        table = {k.strip(" '\""): _parse(v.strip(" '\""), inner) for k, _, v in pairs}
        return None if any(not k or v is None for k, v in table.items()) else table
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        values = tuple(_parse(w.strip(), inner) for w in word.strip("()[]").split(",") if w.strip())
        return None if any(v is None for v in values) else values
    return None


def _whole(number: float, kind: type) -> float | int | None:
    if kind is float:
        return number
    return int(number) if number.is_integer() else None


def _parts(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _is_kind(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(kind))
    if kind is type(None):
        return value is None
    if kind is Any:
        return True
    if kind is bool:
        return isinstance(value, bool) or type(value).__name__ == "bool"  # numpy's bool
    if kind is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        return isinstance(value, list | tuple) and all(_is_kind(v, inner) for v in value)
    if get_origin(kind) is not None:
        kind = get_origin(kind)
    return isinstance(value, kind)


def _in_range(number: Real, setting: Setting) -> bool:
    try:
        value = float(number)
    except OverflowError:  # a whole number beyond 1e308
        value = math.inf if number > 0 else -math.inf  # type: ignore[operator]
    if setting.low is not None and (value <= setting.low if setting.open_low else value < setting.low):
        return False
    return setting.high is None or value <= setting.high


def _refuse(setting: Setting, value: Any, hint: str) -> None:
    default = setting.default
    mend = f"leave {setting.name} out" if default is None else f"set for example {setting.name}={default}"
    shown = repr(value) if len(repr(value)) <= 80 else f"{repr(value)[:77]}..."
    raise SettingError(f"{setting.name} to be {_as_noun(setting)}", shown, f"{hint}{mend} ({setting.help})")


def _as_noun(setting: Setting) -> str:
    """Return the range as a sentence has it: ``an integer >= 1``, ``one of adam, sgd``."""
    words = setting.range
    if words.startswith(("integer", "number", "list")):
        return f"{'an' if words.startswith('integer') else 'a'} {words}".replace(", none", " or none")
    return f"one of {words}" if setting.choices else words.replace(", none", " or none")


def _type_name(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return f"list of {_type_name(get_args(kind)[0])}s"
    if get_origin(kind) is dict or kind is dict:
        return "name:value pairs"
    names = {int: "integer", float: "number", bool: "true or false", str: "text"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))
