"""Chapter 20: directed models whose likelihood is exact: one variable after another, and flows."""

from __future__ import annotations

from gradus.catalog.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = ()
