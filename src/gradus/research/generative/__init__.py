"""Directed generative models with latent variables, generators judged by their samples, and how to judge them."""

from __future__ import annotations

from gradus.research.generative.belief_net import SigmoidBeliefNet
from gradus.research.generative.vae import IWAE, VAE

__all__ = ["IWAE", "VAE", "SigmoidBeliefNet"]
