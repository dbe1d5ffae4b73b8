"""Chapter 19: expectation maximization, variational inference, wake-sleep, and what inference costs."""

from __future__ import annotations

from gradus.research.inference.bernoullis import (
    BernoulliMixtureState,
    bernoulli_log_joint,
    bernoulli_mixture_init,
    bernoulli_mixture_step,
    sample_bernoullis,
)
from gradus.research.inference.chains import Chain, ChainPosterior, best_paths, forward_backward
from gradus.research.inference.em import EMFit, EMInfo, run_em
from gradus.research.inference.emissions import CategoricalFamily, GaussianFamily, MixtureFamily
from gradus.research.inference.gaussians import (
    GaussianMixtureState,
    gaussian_log_joint,
    gaussian_mixture_init,
    gaussian_mixture_step,
    sample_gaussians,
)
from gradus.research.inference.hidden_markov import (
    HiddenMarkovState,
    hidden_markov_init,
    hidden_markov_step,
    left_right_labels,
    sample_hidden_markov,
)
from gradus.research.inference.hmm import HiddenMarkovModel
from gradus.research.inference.mixtures import BernoulliMixture, GaussianMixture
from gradus.research.inference.sequences import Layout, layout_of, read_sequences
from gradus.research.inference.starts import kmeans, kmeans_init, kmeans_step

__all__ = [
    "BernoulliMixture",
    "BernoulliMixtureState",
    "CategoricalFamily",
    "Chain",
    "ChainPosterior",
    "EMFit",
    "EMInfo",
    "GaussianFamily",
    "GaussianMixture",
    "GaussianMixtureState",
    "HiddenMarkovModel",
    "HiddenMarkovState",
    "Layout",
    "MixtureFamily",
    "bernoulli_log_joint",
    "bernoulli_mixture_init",
    "bernoulli_mixture_step",
    "best_paths",
    "forward_backward",
    "gaussian_log_joint",
    "gaussian_mixture_init",
    "gaussian_mixture_step",
    "hidden_markov_init",
    "hidden_markov_step",
    "kmeans",
    "kmeans_init",
    "kmeans_step",
    "layout_of",
    "left_right_labels",
    "read_sequences",
    "run_em",
    "sample_bernoullis",
    "sample_gaussians",
    "sample_hidden_markov",
]
