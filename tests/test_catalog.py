"""The catalog against the package: every row leads somewhere, and nothing public is left out."""

import importlib
import inspect
import pkgutil
import shlex
from dataclasses import is_dataclass
from typing import get_args

import pytest

import gradus
from gradus.catalog import CATALOG, PUBLIC, SECTIONS, within
from gradus.cli.fitting import pairs
from gradus.core.options import parse_setting, settings_of

IDS = [f"{e.name}-{e.section}" for e in CATALOG]


def resolve(where: str):
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("entry", CATALOG, ids=IDS)
def test_entry_leads_somewhere(entry):
    found = resolve(entry.where)
    if entry.kind == "estimator":
        assert found.__name__ == entry.name
        assert is_dataclass(found)
        assert {"fit", "save", "load"} <= set(dir(found))
        assert {"predict", "transform", "sample"} & set(dir(found))
    if entry.kind in {"network", "head"}:
        from torch import nn

        assert issubclass(found, nn.Module)


@pytest.mark.parametrize("entry", CATALOG, ids=IDS)
def test_entry_can_be_tried(entry):
    words = shlex.split(entry.try_it)
    if words[0] != "gradus":
        exec(compile(entry.try_it, entry.name, "exec"), {})
        return
    if words[1] == "config":
        assert words[2] in PUBLIC
        return
    assert words[1] == "fit"
    from gradus.data.named import NAMED

    assert words[2] in NAMED
    cls = resolve(next(e.where for e in CATALOG if e.name == "ImageClassifier"))
    for name, text in pairs(words[i + 1] for i, word in enumerate(words) if word == "--set").items():
        parse_setting(cls, name, text)
        assert name in settings_of(cls)


def test_every_public_estimator_is_listed():
    from gradus.estimators.base import Estimator

    classes = {}
    for room in ("gradus.estimators", "gradus.applications", "gradus.research"):
        package = importlib.import_module(room)
        for info in pkgutil.walk_packages(package.__path__, room + "."):
            module = importlib.import_module(info.name)
            for name, cls in inspect.getmembers(module, inspect.isclass):
                if issubclass(cls, Estimator) and cls.__module__ == info.name and not name.startswith("_"):
                    classes[cls] = (name, info.name)
    # base classes are abstract, everything else is final: what has a subclass is no method of its own
    found = {place for cls, place in classes.items() if not any(issubclass(c, cls) for c in classes if c is not cls)}
    listed = {(e.name, resolve(e.where).__module__) for e in CATALOG if e.kind == "estimator"}
    assert found == listed


def test_every_choice_is_listed():
    """What a setting offers by name stands in the catalog under that name."""
    from gradus.networks import HEADS
    from gradus.training.options import OptimizerName, ScheduleName

    names = {kind: {e.name for e in CATALOG if e.kind == kind} for kind in ("optimizer", "schedule", "head")}
    assert names["optimizer"] == set(get_args(OptimizerName))
    assert names["schedule"] == {*get_args(ScheduleName), "warm-up"}
    assert names["head"] == {cls.__name__ for cls in HEADS.values()}


def test_rows_are_sane():
    assert len({(e.name, e.kind) for e in CATALOG}) == len(CATALOG)
    for e in CATALOG:
        assert e.section in SECTIONS
        assert 10 <= len(e.summary) <= 100
        assert e.summary[-1] != "." and "\n" not in e.summary
        assert e.where.startswith("gradus.") and e.where.count(":") == 1


def test_sections_have_parents_and_order():
    numbers = [tuple(map(int, s.split("."))) for s in SECTIONS]
    assert numbers == sorted(numbers)
    assert all(s.rpartition(".")[0] in SECTIONS for s in SECTIONS if "." in s)


def test_section_10_is_not_inside_section_1():
    assert not within("10", "1")
    assert within("7.1.2", "7.1")
    assert not within("7.12", "7.1")
    assert not within("7", "7.1")


@pytest.mark.parametrize("name", PUBLIC)
def test_package_finds_estimators_by_name(name):
    assert getattr(gradus, name) is resolve(f"{PUBLIC[name]}:{name}")
    assert name in dir(gradus)


def test_package_refuses_an_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'Perceptron'"):
        _ = gradus.Perceptron
