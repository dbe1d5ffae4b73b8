"""Chapter 11: why a network does not learn."""

from __future__ import annotations

from gradus.catalog.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    Entry("doctor", "11.5", "practice", "gradus.practice.doctor.examination:examine",
          "why a network does not learn: data, wiring, step, evaluation, training, treatments",
          "from gradus.practice.doctor.examination import examine"),
    Entry("watched training loop", "11.5", "practice", "gradus.practice.doctor.watching:watch",
          "listen to any training loop from outside, and say what is wrong with it",
          "from gradus.practice.doctor.watching import watch"),
    Entry("causes of failure", "11.5", "practice", "gradus.practice.doctor.causes:CAUSES",
          "the published list of what the doctor knows, each with mend and confirming experiment",
          "from gradus.practice.doctor.causes import CAUSES; CAUSES['dead_units'].mend"),
)  # fmt: skip
