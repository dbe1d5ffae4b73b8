"""Directed generative models with latent variables, generators judged by their samples, and how to judge them."""

from __future__ import annotations

from gradus.research.generative.belief_net import SigmoidBeliefNet
from gradus.research.generative.gan import GAN
from gradus.research.generative.moment_matching import MomentMatchingNetwork
from gradus.research.generative.semi_supervised import SemiSupervisedVAE
from gradus.research.generative.vae import IWAE, VAE

__all__ = ["GAN", "IWAE", "VAE", "MomentMatchingNetwork", "SemiSupervisedVAE", "SigmoidBeliefNet"]
