"""Representation learning (chapter 15): pretraining, probes, label efficiency."""

from __future__ import annotations

from gradus.research.representation.label_efficiency import label_efficiency, label_efficiency_exhibit
from gradus.research.representation.mutual_information import MutualInformation, estimate_mutual_information
from gradus.research.representation.pretraining import PretrainedClassifier, copy_stack_, greedy_pretraining
from gradus.research.representation.probes import linear_probes, probe_exhibit
from gradus.research.representation.tangent_classifier import ManifoldTangentClassifier

__all__ = [
    "ManifoldTangentClassifier",
    "MutualInformation",
    "PretrainedClassifier",
    "copy_stack_",
    "estimate_mutual_information",
    "greedy_pretraining",
    "label_efficiency",
    "label_efficiency_exhibit",
    "linear_probes",
    "probe_exhibit",
]
