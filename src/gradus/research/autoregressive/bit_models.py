"""Models of bits with exact likelihoods, as estimators: FVBN, NADE, MADE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gradus.core.options import option
from gradus.research.autoregressive.bit_networks import LinearBits, MaskedBits, NadeBits
from gradus.research.autoregressive.rows import BitsEstimator, Order

__all__ = ["FVBN", "MADE", "NADE"]

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "softplus"]


@dataclass(kw_only=True, eq=False, repr=False)
class FVBN(BitsEstimator):
    """Fully visible belief net: ``log p(x) = Σ_i log p(x_i | x_1 .. x_{i-1})``, each factor a logistic regression.

    No hidden units, and one best solution: what a network has to beat.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = (load_digits().images > 7).astype(float)
    >>> model = FVBN(max_epochs=30, learning_rate=0.01, random_state=0).fit(X[:1500])
    >>> bool(model.score(X[1500:]) > -20)  # nats; independent pixels reach -24.6
    True
    >>> model.sample(2, random_state=0).shape
    (2, 8, 8)

    References
    ----------
    Goodfellow et al. 2016, §20.10.7, §20.10.8, figure 20.8; Frey 1998; Bengio & Bengio 2000.
    """

    order: Order = option("given", "order of the columns: as they stand, or a random one")

    def _build(self) -> LinearBits:
        return LinearBits(self._mean(), self.order)


@dataclass(kw_only=True, eq=False, repr=False)
class NADE(BitsEstimator):
    """Neural autoregressive density estimator: ``p(x_i | x_before) = σ(b_i + V_i · σ(c + Σ_{j before i} W_j x_j))``.

    Every column has hidden units of its own, and all share the weights into them.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = (load_digits().images > 7).astype(float)
    >>> model = NADE(hidden=32, max_epochs=30, learning_rate=0.01, random_state=0).fit(X[:1500])
    >>> bool(model.score(X[1500:]) > -19.5)  # nats; independent pixels reach -24.6
    True
    >>> model.conditionals(X[:1]).shape
    (1, 8, 8)

    References
    ----------
    Goodfellow et al. 2016, §20.10.10, eq. 20.83-20.84; Larochelle & Murray 2011, The Neural Autoregressive
    Distribution Estimator.
    """

    hidden: int = option(500, "hidden units for each column", unit="units", low=1)
    order: Order = option("given", "order of the columns: as they stand, or a random one")

    def _build(self) -> NadeBits:
        return NadeBits(self._mean(), self.hidden, self.order)


@dataclass(kw_only=True, eq=False, repr=False)
class MADE(BitsEstimator):
    """Masked autoencoder: all ``p(x_i | x_before)`` in one pass of a network whose masks keep each from what follows.

    With several sets of masks, each batch trains one drawn at random, and the model is their equal mixture,
    ``p(x) = (1/M) Σ_m p_m(x)``: an exact likelihood all the same.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = (load_digits().images > 7).astype(float)
    >>> model = MADE(hidden=(64,), masks=4, max_epochs=30, learning_rate=3e-3, random_state=0).fit(X[:1500])
    >>> bool(model.score(X[1500:]) > -19.5)  # nats; independent pixels reach -24.6
    True
    >>> model.sample(2, random_state=0).shape
    (2, 8, 8)

    References
    ----------
    Germain et al. 2015, MADE: Masked Autoencoder for Distribution Estimation; Goodfellow et al. 2016, §20.10.9.
    """

    hidden: tuple[int, ...] = option((500,), "units of each hidden layer", unit="units", low=1)
    activation: Activation = option("relu", "hidden units")
    direct: bool = option(True, "connect inputs and outputs directly too")
    masks: int = option(1, "sets of masks that share the weights, and are averaged", unit="sets", low=1)
    order: Literal["given", "random", "each"] = option(
        "given", "order of the columns: as they stand, a random one, or a random one for each set of masks"
    )

    @property
    def _cost(self) -> int:
        return super()._cost * int(self.network_settings_["masks"])

    def _build(self) -> MaskedBits:
        return MaskedBits(
            self._mean(), self.hidden, self.activation, direct=self.direct, sets=self.masks, order=self.order
        )
