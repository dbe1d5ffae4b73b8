"""The book's table of contents as data: section, method, where it lives, how to try it.

The command line, the documentation and the completeness test read this table. Importing it loads
nothing else.
"""

from __future__ import annotations

from gradus.catalog import (
    autoencoders,
    autoregressive,
    deep_networks,
    doctor,
    foundations,
    generative,
    graph,
    inference,
    linear_factors,
    representation,
)
from gradus.catalog.entry import Entry
from gradus.catalog.sections import SECTIONS

__all__ = ["CATALOG", "PUBLIC", "SECTIONS", "Entry", "within"]


def within(section: str, parent: str) -> bool:
    """Whether ``section`` is ``parent`` or lies inside it.

    Examples
    --------
    >>> within("7.12", "7"), within("7.12", "7.1")
    (True, False)
    """
    return section == parent or section.startswith(parent + ".")


CATALOG: tuple[Entry, ...] = (
    *foundations.ENTRIES,
    *graph.ENTRIES,
    *deep_networks.ENTRIES,
    *doctor.ENTRIES,
    *linear_factors.ENTRIES,
    *autoencoders.ENTRIES,
    *representation.ENTRIES,
    *inference.ENTRIES,
    *autoregressive.ENTRIES,
    *generative.ENTRIES,
)

# What `from gradus import NAME` finds.
PUBLIC: dict[str, str] = {e.name: e.where.partition(":")[0] for e in CATALOG if e.kind == "estimator"}
