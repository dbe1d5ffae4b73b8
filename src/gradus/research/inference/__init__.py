"""Chapter 19: expectation maximization, variational inference, wake-sleep, and what inference costs."""

from __future__ import annotations

from gradus.research.inference.bernoullis import (
    BernoulliMixtureState,
    bernoulli_log_joint,
    bernoulli_mixture_init,
    bernoulli_mixture_step,
    sample_bernoullis,
)
from gradus.research.inference.em import EMFit, EMInfo, run_em
from gradus.research.inference.gaussians import (
    GaussianMixtureState,
    gaussian_log_joint,
    gaussian_mixture_init,
    gaussian_mixture_step,
    sample_gaussians,
)
from gradus.research.inference.mixtures import BernoulliMixture, GaussianMixture
from gradus.research.inference.starts import kmeans, kmeans_init, kmeans_step

__all__ = [
    "BernoulliMixture",
    "BernoulliMixtureState",
    "EMFit",
    "EMInfo",
    "GaussianMixture",
    "GaussianMixtureState",
    "bernoulli_log_joint",
    "bernoulli_mixture_init",
    "bernoulli_mixture_step",
    "gaussian_log_joint",
    "gaussian_mixture_init",
    "gaussian_mixture_step",
    "kmeans",
    "kmeans_init",
    "kmeans_step",
    "run_em",
    "sample_bernoullis",
    "sample_gaussians",
]
