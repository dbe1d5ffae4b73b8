"""Gradus: deep learning as one running system.

The textbook's methods as PyTorch modules and scikit-learn estimators. Importing this package loads neither
torch nor scikit-learn; public names are resolved from the catalog on first use.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Resolve a public name of the catalog, so that ``from gradus import MLPClassifier`` and ``gradus.load`` work."""
    from importlib import import_module

    from gradus.catalog import PUBLIC

    places = {**PUBLIC, "load": "gradus.estimators.persistence"}
    if name in places:
        return getattr(import_module(places[name]), name)
    msg = f"module 'gradus' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    """Names in the package, the lazy ones included."""
    from gradus.catalog import PUBLIC

    return sorted([*globals(), *PUBLIC, "load"])
