"""Chapter 20: generator networks, and how samples are judged."""

from __future__ import annotations

from gradus.catalog.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    Entry(
        "VAE",
        "20.10.3",
        "estimator",
        "gradus.research.generative.vae:VAE",
        "variational autoencoder with four likelihoods: codes, samples, bounds in nats",
        "gradus config VAE",
    ),
    Entry(
        "IWAE",
        "20.10.3",
        "estimator",
        "gradus.research.generative.vae:IWAE",
        "importance weighted autoencoder: a tighter bound from several draws of the code",
        "gradus config IWAE",
    ),
    Entry(
        "SigmoidBeliefNet",
        "20.10.1",
        "estimator",
        "gradus.research.generative.belief_net:SigmoidBeliefNet",
        "layers of binary causes, learned with score functions; exact likelihood where small",
        "gradus config SigmoidBeliefNet",
    ),
    Entry(
        "score function gradient",
        "20.9.1",
        "function",
        "gradus.research.generative.random_operations:score_function",
        "REINFORCE with a baseline, as a loss whose gradient is right in expectation",
        "from gradus.research.generative.random_operations import score_function",
    ),
    Entry(
        "reparameterized draw",
        "20.9",
        "function",
        "gradus.research.generative.random_operations:reparameterized_normal",
        "normal draws that depend smoothly on their parameters",
        "from gradus.research.generative.random_operations import reparameterized_normal",
    ),
    Entry(
        "straight-through bits",
        "20.9.1",
        "function",
        "gradus.research.generative.random_operations:straight_through_bernoulli",
        "bits that pass gradients on as if they were probabilities; biased, and says where",
        "from gradus.research.generative.random_operations import straight_through_bernoulli",
    ),
    Entry(
        "VIMCO",
        "20.9.1",
        "function",
        "gradus.research.generative.random_operations:vimco",
        "gradient of a bound of several discrete draws, each judged by the others",
        "from gradus.research.generative.random_operations import vimco",
    ),
)
