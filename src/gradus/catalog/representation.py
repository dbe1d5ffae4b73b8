"""Chapter 15: representation learning."""

from __future__ import annotations

from gradus.catalog.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    Entry("PretrainedClassifier", "15.1", "estimator", "gradus.research.representation:PretrainedClassifier",
          "a perceptron whose layers begin as autoencoders, one after the other",
          "gradus config PretrainedClassifier"),
    Entry("ManifoldTangentClassifier", "7.14", "estimator",
          "gradus.research.representation:ManifoldTangentClassifier",
          "answers held still along the directions that a contractive code has found",
          "gradus config ManifoldTangentClassifier"),
    Entry("greedy pretraining", "15.1", "training", "gradus.research.representation:greedy_pretraining",
          "autoencoders of any kind, each on the codes of the one before",
          "from gradus.research.representation import greedy_pretraining; from gradus.research.autoencoders import "
          "Autoencoder; greedy_pretraining([Autoencoder(n_components=2, max_epochs=1)], [[0.0, 1.0], [1.0, 0.0]])"),
    Entry("linear probes", "15.1", "practice", "gradus.research.representation:linear_probes",
          "what each layer of a network knows of a target, with intervals",
          "from gradus.research.representation import linear_probes"),
    Entry("label efficiency", "15.1.1", "practice", "gradus.research.representation:label_efficiency",
          "accuracy by the number of labels, over several draws of them",
          "from gradus.research.representation import label_efficiency"),
    Entry("trained mutual information", "15.1", "practice",
          "gradus.research.representation:estimate_mutual_information",
          "a lower bound on what two views share, by a critic, on pairs it has not seen",
          "from gradus.research.representation import estimate_mutual_information"),
)  # fmt: skip
