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
)
