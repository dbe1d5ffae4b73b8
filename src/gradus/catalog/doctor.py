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
    Entry("learning curve", "11.3", "practice", "gradus.practice.learning_curve:learning_curve",
          "error against number of rows, a power law with its uncertainty, what more data would bring",
          "from gradus.practice.learning_curve import learning_curve"),
    Entry("learning rate range test", "11.4", "practice", "gradus.practice.doctor.range_test:range_test",
          "the rates that lower the loss, from several seeds: an interval, or why there is none",
          "from gradus.practice.doctor.range_test import range_test"),
    Entry("spread over seeds", "11.4", "practice", "gradus.practice.doctor.seeds:over_seeds",
          "mean and spread of skill from seed to seed, and how large a difference means something",
          "from gradus.practice.doctor.seeds import over_seeds"),
    Entry("generalization", "11.3", "practice", "gradus.practice.doctor.generalization:Generalization",
          "over- or underfitting against a baseline or a goal, luck of the seed, what more rows bring",
          "from gradus.practice.doctor.generalization import Fit, Generalization"),
    Entry("label noise", "11.5", "practice", "gradus.practice.doctor.label_noise:label_noise",
          "share of targets that contradict models which never saw them, and the rows, ranked",
          "from gradus.practice.doctor.label_noise import label_noise"),
)  # fmt: skip
