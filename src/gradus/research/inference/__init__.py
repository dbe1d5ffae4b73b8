"""Chapter 19: expectation maximization, variational inference, wake-sleep, and what inference costs."""

from __future__ import annotations

from gradus.research.inference.amortization import AmortizationGap, amortization_gap
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
from gradus.research.inference.guides import BernoulliGuide, FullGaussianGuide, MeanFieldGaussianGuide
from gradus.research.inference.helmholtz import HelmholtzMachine, WakeSleepLoss, dream
from gradus.research.inference.hidden_markov import (
    HiddenMarkovState,
    hidden_markov_init,
    hidden_markov_step,
    left_right_labels,
    sample_hidden_markov,
)
from gradus.research.inference.hmm import HiddenMarkovModel
from gradus.research.inference.mean_field import (
    BinarySparseCodingState,
    MeanFieldState,
    PairwisePosterior,
    binary_sparse_coding_posterior,
    binary_sparse_coding_step,
    enumerate_pairwise,
    iterated_modes_step,
    mean_field_elbo,
    mean_field_init,
    mean_field_step,
)
from gradus.research.inference.mixtures import BernoulliMixture, GaussianMixture
from gradus.research.inference.sequences import Layout, layout_of, read_sequences
from gradus.research.inference.starts import kmeans, kmeans_init, kmeans_step
from gradus.research.inference.variational import (
    GradientEstimate,
    SVIState,
    elbo_estimate,
    importance_log_likelihood,
    reparameterized_gradient,
    score_function_gradient,
    svi_init,
    svi_step,
)

__all__ = [
    "AmortizationGap",
    "BernoulliGuide",
    "BernoulliMixture",
    "BernoulliMixtureState",
    "BinarySparseCodingState",
    "CategoricalFamily",
    "Chain",
    "ChainPosterior",
    "EMFit",
    "EMInfo",
    "FullGaussianGuide",
    "GaussianFamily",
    "GaussianMixture",
    "GaussianMixtureState",
    "GradientEstimate",
    "HelmholtzMachine",
    "HiddenMarkovModel",
    "HiddenMarkovState",
    "Layout",
    "MeanFieldGaussianGuide",
    "MeanFieldState",
    "MixtureFamily",
    "PairwisePosterior",
    "SVIState",
    "WakeSleepLoss",
    "amortization_gap",
    "bernoulli_log_joint",
    "bernoulli_mixture_init",
    "bernoulli_mixture_step",
    "best_paths",
    "binary_sparse_coding_posterior",
    "binary_sparse_coding_step",
    "dream",
    "elbo_estimate",
    "enumerate_pairwise",
    "forward_backward",
    "gaussian_log_joint",
    "gaussian_mixture_init",
    "gaussian_mixture_step",
    "hidden_markov_init",
    "hidden_markov_step",
    "importance_log_likelihood",
    "iterated_modes_step",
    "kmeans",
    "kmeans_init",
    "kmeans_step",
    "layout_of",
    "left_right_labels",
    "mean_field_elbo",
    "mean_field_init",
    "mean_field_step",
    "read_sequences",
    "reparameterized_gradient",
    "run_em",
    "sample_bernoullis",
    "sample_gaussians",
    "sample_hidden_markov",
    "score_function_gradient",
    "svi_init",
    "svi_step",
]
