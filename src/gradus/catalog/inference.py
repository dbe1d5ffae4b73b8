"""Chapter 19: approximate inference."""

from __future__ import annotations

from gradus.catalog.entry import Entry

__all__ = ["ENTRIES"]

_ROOM = "gradus.research.inference"

ENTRIES: tuple[Entry, ...] = (
    Entry("GaussianMixture", "3.9.6", "estimator", f"{_ROOM}.mixtures:GaussianMixture",
          "density and clusters by EM, four forms of covariances", "gradus config GaussianMixture"),
    Entry("BernoulliMixture", "19.2", "estimator", f"{_ROOM}.mixtures:BernoulliMixture",
          "density and clusters of rows of zeros and ones, by EM", "gradus config BernoulliMixture"),
    Entry("expectation maximization", "19.2", "function", f"{_ROOM}.em:run_em",
          "repeats E and M steps until the likelihood stands still", "from gradus.research.inference import run_em"),
    Entry("EM of Gaussians", "19.2", "function", f"{_ROOM}.gaussians:gaussian_mixture_step",
          "one step of EM of a mixture of Gaussians, by one matrix product a block",
          "from gradus.research.inference import gaussian_mixture_init, gaussian_mixture_step"),
    Entry("EM of Bernoullis", "19.2", "function", f"{_ROOM}.bernoullis:bernoulli_mixture_step",
          "one step of EM of a mixture of Bernoullis, with pseudo-counts",
          "from gradus.research.inference import bernoulli_mixture_init, bernoulli_mixture_step"),
    Entry("k-means++", "19.2", "function", f"{_ROOM}.starts:kmeans",
          "spread-out centres and a few rounds of k-means, where EM begins",
          "from gradus.research.inference import kmeans_init, kmeans_step"),
    Entry("HiddenMarkovModel", "10.2", "estimator", f"{_ROOM}.hmm:HiddenMarkovModel",
          "sequences from hidden states: Gaussians, mixtures or symbols", "gradus config HiddenMarkovModel"),
    Entry("forward-backward", "19.2", "function", f"{_ROOM}.chains:forward_backward",
          "sums over all paths of a hidden chain, many sequences at a time",
          "from gradus.research.inference import forward_backward, layout_of"),
    Entry("Viterbi", "19.3", "function", f"{_ROOM}.chains:best_paths",
          "the most probable path of a hidden chain, many sequences at a time",
          "from gradus.research.inference import best_paths, layout_of"),
    Entry("Baum-Welch", "19.2", "function", f"{_ROOM}.hidden_markov:hidden_markov_step",
          "one step of EM of a hidden Markov model",
          "from gradus.research.inference import hidden_markov_init, hidden_markov_step"),
    Entry("mean field", "19.4.1", "function", f"{_ROOM}.mean_field:mean_field_step",
          "coordinate ascent on the bound of binary units that interact in pairs",
          "from gradus.research.inference import PairwisePosterior, mean_field_init, mean_field_step"),
    Entry("binary sparse coding", "19.4.1", "function", f"{_ROOM}.mean_field:binary_sparse_coding_step",
          "variational learning of causes that are on or off",
          "from gradus.research.inference import BinarySparseCodingState, binary_sparse_coding_step"),
    Entry("iterated conditional modes", "19.3", "function", f"{_ROOM}.mean_field:iterated_modes_step",
          "MAP inference of binary units, one unit at a time",
          "from gradus.research.inference import iterated_modes_step"),
    Entry("MAP inference", "19.3", "function", f"{_ROOM}.amortization:map_estimate",
          "the most probable latent values of any differentiable log-joint",
          "from gradus.research.inference import map_estimate"),
    Entry("stochastic variational inference", "19.4", "function", f"{_ROOM}.variational:svi_step",
          "moves a guide up the bound of any log-joint by unbiased gradients",
          "from gradus.research.inference import FullGaussianGuide, svi_init, svi_step"),
    Entry("reparameterized gradient of the bound", "19.4.3", "function", f"{_ROOM}.variational:reparameterized_gradient",
          "gradient of the bound through the draws of a Gaussian guide",
          "from gradus.research.inference import reparameterized_gradient"),
    Entry("score function gradient of the bound", "20.9.1", "function", f"{_ROOM}.variational:score_function_gradient",
          "gradient of the bound from values alone, with control variates",
          "from gradus.research.inference import score_function_gradient"),
    Entry("amortization gap", "19.5", "function", f"{_ROOM}.amortization:amortization_gap",
          "what a learned encoder costs beside the best guide of each row, and the likelihood",
          "from gradus.research.inference import amortization_gap"),
)
