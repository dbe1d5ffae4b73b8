"""Chapter 20: generator networks, and how samples are judged."""

from __future__ import annotations

from gradus.catalog.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = ()
