"""Variational autoencoders: the evidence lower bound and the importance-weighted one, raised by gradients."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from gradus.core.options import option
from gradus.research.generative.bounds import ElboLoss, Gradient, ImportanceWeightedLoss
from gradus.research.generative.latent import LatentVariableEstimator
from gradus.training.losses import LossFunction

__all__ = ["IWAE", "VAE"]


@dataclass(kw_only=True, eq=False, repr=False)
class VAE(LatentVariableEstimator):
    """Variational autoencoder: ``log p(x) >= E_q log p(x | z) - KL(q(z | x) ‖ p(z))``, raised by its gradient.

    The encoder's ``q`` is Gaussian with diagonal covariance, the code's prior ``p(z)`` standard normal. ``beta`` other
    than one, or ``free_bits`` above zero, trains on something else than the bound; `elbo` and `score_samples` return
    the bounds all the same.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = load_digits().images / 16
    >>> model = VAE(n_components=2, hidden=(64,), binarize="resample", max_epochs=20, learning_rate=3e-3,
    ...             random_state=0).fit(X[:1500])
    >>> bits = model.binarized(X[1500:], random_state=0)
    >>> bool(model.score(bits) > -25)  # nats; independent pixels reach -26.5
    True
    >>> model.transform(X[1500:]).shape, model.sample(3, random_state=0).shape
    ((297, 2), (3, 8, 8))

    References
    ----------
    Goodfellow et al. 2016, §20.10.3; Kingma & Welling 2014, Auto-Encoding Variational Bayes; Rezende et al. 2014.
    """

    samples: int = option(1, "draws of the code for each row in training", unit="draws", low=1)
    beta: float = option(1.0, "weight of the divergence from the prior; 1 is the bound", low=0)
    free_bits: float = option(0.0, "divergence that each number of a code may spend without cost", unit="nats", low=0)

    def _loss(self, network: nn.Module) -> LossFunction:
        return ElboLoss(self.samples, self.beta, self.free_bits, self._resampled)


@dataclass(kw_only=True, eq=False, repr=False)
class IWAE(LatentVariableEstimator):
    """Importance weighted autoencoder: a variational autoencoder trained on ``E log (1/k) Σ p(x, z_i) / q(z_i | x)``.

    The bound rises with ``k`` and lets ``q`` be worse than the posterior where several draws make up for it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = load_digits().images / 16
    >>> model = IWAE(n_components=2, hidden=(64,), binarize="resample", max_epochs=20, learning_rate=3e-3,
    ...              random_state=0).fit(X[:1500])
    >>> bits = model.binarized(X[1500:], random_state=0)
    >>> bool(model.score_samples(bits, samples=200).mean() > model.elbo(bits, samples=200).mean())
    True

    References
    ----------
    Burda, Grosse & Salakhutdinov 2016, Importance Weighted Autoencoders; Tucker et al. 2019, Doubly Reparameterized
    Gradient Estimators for Monte Carlo Objectives.
    """

    samples: int = option(5, "draws of the code for each row in training: the k of the bound", unit="draws", low=2)
    gradient: Gradient = option(
        "doubly_reparameterized", "the bound's gradient; the doubly reparameterized one has less noise as k grows"
    )

    def _loss(self, network: nn.Module) -> LossFunction:
        return ImportanceWeightedLoss(self.samples, self.gradient, self._resampled)
