"""Information theory (§3.13): entropy, divergences, mutual information, in nats, by four roads.

Closed forms of tables and exponential families; Monte Carlo with a standard error; nearest neighbours, from samples
alone; and lower bounds that a critic makes tight.
"""

from __future__ import annotations

from gradus.foundations.information.bounds import barber_agakov, donsker_varadhan, info_nce, nwj
from gradus.foundations.information.measures import (
    cross_entropy,
    entropy,
    js_divergence,
    kl_divergence,
    mutual_information,
)
from gradus.foundations.information.monte_carlo import (
    Density,
    Estimate,
    sampled_cross_entropy,
    sampled_entropy,
    sampled_js,
    sampled_kl,
)
from gradus.foundations.information.neighbours import (
    knn_entropy,
    knn_kl,
    knn_mutual_information,
    knn_mutual_information_discrete,
)

__all__ = [
    "Density",
    "Estimate",
    "barber_agakov",
    "cross_entropy",
    "donsker_varadhan",
    "entropy",
    "info_nce",
    "js_divergence",
    "kl_divergence",
    "knn_entropy",
    "knn_kl",
    "knn_mutual_information",
    "knn_mutual_information_discrete",
    "mutual_information",
    "nwj",
    "sampled_cross_entropy",
    "sampled_entropy",
    "sampled_js",
    "sampled_kl",
]
