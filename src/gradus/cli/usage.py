"""Mistakes in the command itself, told in the same form as every other error: expected, received, mend."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from gradus.core.errors import SettingError, nearest

__all__ = ["usage_error"]


def usage_error(error: Any, arguments: Sequence[str]) -> SettingError:
    """Return typer's usage error as one of ours.

    The kinds are told by their names: typer carries its own copy of click since 0.16 and used the package before.

    Parameters
    ----------
    error : typer's UsageError
        What parsing raised.
    arguments : sequence of str
        The words after ``gradus``, to quote the one that was wrong.

    Examples
    --------
    >>> class NoSuchOption(Exception):
    ...     ctx, option_name = None, "--nope"
    >>> str(usage_error(NoSuchOption(), ["--nope"]))
    "expected an option of `gradus`, got '--nope'; see `gradus --help`"
    """
    command = _command(error, arguments)
    see = f"see `{command} --help`"
    names = {cls.__name__ for cls in type(error).__mro__}
    if "NoSuchOption" in names:
        close = get_close_matches(error.option_name.lstrip("-"), [o.lstrip("-") for o in _options(error)], n=1)
        hint = f"did you mean '--{close[0]}'? " if close else ""
        return SettingError(f"an option of `{command}`", repr(error.option_name), hint + see)
    if "MissingParameter" in names and error.param is not None:
        meaning = (getattr(error.param, "help", None) or "").rstrip(".")
        expected = f"{error.param.name} after `{command}`" + (f" ({_lower(meaning)})" if meaning else "")
        return SettingError(expected, "none", see)
    if "BadParameter" in names and error.param is not None:
        return _bad_value(error, arguments, see)
    return _other(str(getattr(error, "message", error)).strip(), command, see, _options(error))


def _bad_value(error: Any, arguments: Sequence[str], see: str) -> SettingError:
    names = [o for o in error.param.opts if o.startswith("-")] or [error.param.name]
    name = next((o for o in names if o.startswith("--")), names[0])
    # pydantic's words, where typer parses with it, speak of an "input"
    reason = re.sub(r"^Value error, |, unable to parse .*$", "", error.message)
    reason = _lower(re.sub(r"^Input should", "it should", reason).rstrip("."))
    value = next((v for o in names if (v := _value_of(o, arguments))), "")
    hint = nearest(value, [word for word in re.findall(r"'([^']*)'", reason) if word != value])
    received = f"{value!r} ({reason})" if value else reason
    return SettingError(f"a valid {name}", received, hint + see)


def _other(message: str, command: str, see: str, known: Sequence[str]) -> SettingError:
    if found := re.match(r"No such command '(.*?)'", message):
        return SettingError("a command of `gradus`", repr(found[1]), nearest(found[1], known) + see)
    if found := re.match(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", message):
        mend = f"put a name that has spaces into quotation marks, or {see}"
        return SettingError(f"no more words after `{command}`", repr(found[1]), mend)
    if found := re.match(r"Option '(\S+)' requires an argument", message):
        return SettingError(f"a value after {found[1]}", "none", see)
    if found := re.match(r"Option '(\S+)' does not take a value", message):
        return SettingError(f"{found[1]} by itself", "a value after it", f"leave out the value, or {see}")
    return SettingError(f"words that `{command}` knows", _lower(message.rstrip(".")), see)


def _command(error: Any, arguments: Sequence[str]) -> str:
    context = getattr(error, "ctx", None)
    if context is not None:
        return str(context.command_path)
    first = next((word for word in arguments if not word.startswith("-")), None)
    return f"gradus {first}" if first else "gradus"


def _options(error: Any) -> list[str]:
    """Return the names that could have been meant: a group's commands, a command's options."""
    context = getattr(error, "ctx", None)
    if context is None:
        return []
    options = [o for p in context.command.params for o in (*p.opts, *p.secondary_opts) if o.startswith("--")]
    return [*getattr(context.command, "commands", {}), *options, "--help"]


def _value_of(name: str, arguments: Sequence[str]) -> str:
    for i, word in enumerate(arguments):
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
        if word == name and i + 1 < len(arguments):
            return arguments[i + 1]
        if len(name) == 2 and word.startswith(name):
            return word[2:]  # -n5
    return ""


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
