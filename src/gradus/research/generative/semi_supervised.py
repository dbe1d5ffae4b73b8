"""A variational autoencoder with two codes, of which one is the class: learning from few labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError
from gradus.core.options import option
from gradus.core.randomness import derive, generator
from gradus.data.batches import Batch
from gradus.estimators.callbacks import with_callbacks
from gradus.estimators.inputs import check_rows
from gradus.networks.heads import CategoricalHead
from gradus.networks.heads.base import single
from gradus.research.generative.binarization import drawn_bits
from gradus.research.generative.bounds import Noise, gaussian_kl, normal_noise, summed
from gradus.research.generative.latent import Activation, RowLikelihood
from gradus.research.generative.likelihoods import Likelihood
from gradus.research.generative.networks import Body, Decoder, Encoder, Shape
from gradus.training.losses import Loss, LossFunction

__all__ = ["ClassAndStyle", "LabelledElboLoss", "SemiSupervisedVAE"]


class ClassAndStyle(nn.Module):
    """``p(y) p(z) p(x | y, z)`` with ``q(y | x)`` and ``q(z | x, y)``: a class, and a style that is independent of it.

    Parameters
    ----------
    likelihood : Likelihood
        Of rows.
    shape : Shape
        Of the dense networks.
    classes : int
        Number of classes.
    latent : int
        Length of the style.
    prior : Tensor of shape (classes,)
        ``p(y)``.

    References
    ----------
    Kingma, Rezende, Mohamed & Welling 2014, Semi-Supervised Learning with Deep Generative Models, §3.2 (M2).
    """

    prior: Tensor

    def __init__(self, likelihood: Likelihood, shape: Shape, classes: int, latent: int, prior: Tensor) -> None:
        super().__init__()
        row, hidden = (likelihood.features,), Shape("mlp", shape.hidden, (), shape.activation)
        self.likelihood, self.classes, self.latent = likelihood, classes, latent
        self.guess = Body(likelihood.inputs, hidden, row)
        self.head = CategoricalHead(self.guess.out_features, classes)
        self.encoder = Encoder(Body(likelihood.inputs + classes, hidden, row), latent)
        self.decoder = Decoder(latent + classes, likelihood.outputs, hidden, row, likelihood.start())
        self.register_buffer("prior", prior.float())

    def forward(self, rows: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:
        """Return the logits of ``q(y | x)``."""
        return single(self.head(self.guess(self.likelihood.prepare(rows))))

    def style(self, rows: Float[Tensor, "batch features"], one_hot: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means and standard deviations of ``q(z | x, y)``."""
        return self.encoder(torch.cat([self.likelihood.prepare(rows), one_hot], -1))

    def decode(self, style: Tensor, one_hot: Tensor) -> Tensor:
        """Return the parameters of ``p(x | y, z)``."""
        return self.decoder(torch.cat([style, one_hot], -1))

    def bounds(
        self, rows: Float[Tensor, "batch features"], noise: Float[Tensor, "classes batch latent"]
    ) -> Float[Tensor, "batch classes"]:
        """Return a lower bound on ``log p(x, y)`` for every class ``y``: one draw of the style each."""
        count = len(rows)
        every = torch.eye(self.classes, dtype=rows.dtype, device=rows.device).repeat_interleave(count, 0)
        tiled = rows.repeat(self.classes, 1)
        mean, scale = self.style(tiled, every)
        outputs = self.decode(torch.addcmul(mean, scale, noise.reshape(-1, self.latent)), every)
        each = self.likelihood.log_prob(outputs, tiled) - gaussian_kl(mean, scale).sum(-1)
        return each.view(self.classes, count).T + self.prior.log()


@dataclass(frozen=True, eq=False)
class LabelledElboLoss:
    """``-L(x, y)`` of labelled rows, ``-(Σ_y q(y|x) L(x, y) + H(q(y|x)))`` of others, and ``α' log q(y | x)`` beside.

    ``L`` bounds ``log p(x, y)``. The bound of unlabelled rows sums over all classes, so no draw of the class is needed.
    The bound of labelled rows does not ask ``q(y | x)`` for anything; the last term does.

    Parameters
    ----------
    weight : float
        The ``α'`` of one labelled row.
    full : float or None
        As for `ElboLoss`.
    noise : callable
        Draws the noise.

    References
    ----------
    Kingma et al. 2014, eq. 6-9.
    """

    weight: float
    full: float | None = None
    noise: Noise = normal_noise

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch; its ``targets`` are class numbers, -1 for none."""
        model: Any = network
        rows, targets = batch["inputs"], batch["targets"]
        if self.full is not None:
            rows = drawn_bits(rows, self.full, generator)
        noise = self.noise((model.classes, len(rows), model.latent), rows, generator)
        return summed(self.losses(model, rows, targets, noise), batch)

    def losses(self, model: ClassAndStyle, rows: Tensor, targets: Int[Tensor, " batch"], noise: Tensor) -> Tensor:
        """Return the loss of each row."""
        bounds, logs = model.bounds(rows, noise), model(rows).log_softmax(-1)
        known = targets >= 0
        index = targets.clamp_min(0).unsqueeze(1)
        labelled = bounds.gather(1, index) + self.weight * logs.gather(1, index)
        others = (logs.exp() * (bounds - logs)).sum(-1)
        return -torch.where(known, labelled.squeeze(1), others)


@dataclass(kw_only=True, eq=False, repr=False)
class SemiSupervisedVAE(ClassifierMixin, RowLikelihood):
    """Classifier that learns from rows without a class too: a variational autoencoder whose class is a code of its own.

    A row without a class has the label -1 (or none, or NaN); where -1 and one other label are all there is, both are
    classes. What separates the classes is what explains the rows best,
    together with a style that is independent of the class.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> data = load_digits()
    >>> X, y = data.images[:1000] / 16, data.target[:1000].copy()
    >>> y[100:] = -1
    >>> model = SemiSupervisedVAE(hidden=(64,), n_components=8, binarize="resample", max_epochs=30,
    ...                           learning_rate=3e-3, random_state=0).fit(X, y)
    >>> bool(model.score(data.images[1000:] / 16, data.target[1000:]) > 0.75)
    True
    >>> model.sample(3, y=[7, 7, 1], random_state=0).shape
    (3, 8, 8)

    References
    ----------
    Goodfellow et al. 2016, §7.6, §15.3, §20.10.3; Kingma, Rezende, Mohamed & Welling 2014, Semi-Supervised Learning
    with Deep Generative Models (whose alpha is 0.1).
    """

    n_components: int = option(16, "length of the style", unit="numbers", low=1)
    hidden: tuple[int, ...] = option((200,), "units of each dense layer of the three networks", unit="units", low=1)
    activation: Activation = option("relu", "hidden units")
    alpha: float = option(
        1.0, "weight of the classifier's own loss, as a multiple of all rows over those with a class", low=0
    )

    # -- rows and classes ----------------------------------------------------------------------------------------

    @with_callbacks
    def fit(self, X: Any, y: Any, X_val: Any = None, y_val: Any = None) -> Self:
        """Train on rows with and without a class.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows of a table, or pictures.
        y : array-like of shape (n,)
            Classes; -1, none or NaN where there is none.
        X_val, y_val : array-like, optional
            Validation rows and their classes, which early stopping follows.

        Returns
        -------
        self
            The fitted estimator.
        """
        if y is None:
            # scikit-learn's own words, which its checks look for
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        return self._fit(X, y, None, X_val, y_val)

    def _encode(self, X: Any, y: Any = None, sample_weight: Any = None, *, reset: bool = False) -> Batch:
        batch = super()._encode(X, None, None, reset=reset)
        labels = column_or_1d(y, warn=True)
        check_rows("y", labels, len(batch["inputs"]))
        known = ~np.array([_is_gap(label) for label in labels.tolist()], dtype=bool)
        if reset:
            # -1 and one other label are two classes, as everywhere in scikit-learn
            self.minus_one_is_a_class_ = len(set(labels[known].tolist())) == 1 and set(labels[~known].tolist()) == {-1}
        if self.minus_one_is_a_class_:
            known = np.ones(len(labels), dtype=bool)
        given = np.array(labels[known].tolist())
        if reset:
            if not known.any():
                raise InputError("a row with a class", "none", "label some rows, or fit a VAE")
            check_classification_targets(given)
            self.classes_, counts = np.unique(given, return_counts=True)
            if len(self.classes_) < 2:
                received = f"1 class ({self.classes_[0]!r})"
                raise InputError("at least 2 classes in y", received, "label rows of another class too")
            self.class_prior_ = counts / counts.sum()
            self.labelled_share_ = float(known.mean())
        targets = torch.full((len(labels),), -1)
        index = np.searchsorted(self.classes_, given).clip(0, len(self.classes_) - 1)
        if (self.classes_[index] != given).any():
            strange = given[self.classes_[index] != given][0]
            raise InputError("classes that were fitted", repr(strange), "fit again with all classes")
        targets[torch.from_numpy(known)] = torch.from_numpy(index)
        return {**batch, "targets": targets}

    # -- the network ---------------------------------------------------------------------------------------------

    def _build(self) -> ClassAndStyle:
        shape = Shape("mlp", self.hidden, (), self.activation)
        prior = torch.from_numpy(self.class_prior_)
        return ClassAndStyle(self._make_likelihood(), shape, len(self.classes_), self.n_components, prior)

    def _loss(self, network: nn.Module) -> LossFunction:
        return LabelledElboLoss(self.alpha / self.labelled_share_, self._resampled)

    def _measure(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss of validation rows, and as the score how many labelled ones the classifier gets right."""
        rows, targets = batch["inputs"], batch["targets"]
        loss = self._loss(network)(network, batch, generator(derive(self.seed_, "measure"), rows.device))
        known = targets >= 0
        right = ((network(rows).argmax(-1) == targets) & known).sum()
        share = known.float().mean().clamp_min(1e-9)  # so that dividing by all rows divides by those with a class
        return loss.total, right / share, torch.as_tensor(float(len(rows)), device=rows.device)

    # -- answers -------------------------------------------------------------------------------------------------

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return ``q(y | x)`` of each row, of shape (n, classes), in the order of ``classes_``."""
        return self._answers(X, lambda network, rows: network(rows).softmax(-1), double=True)

    def predict(self, X: Any) -> np.ndarray:
        """Return the likeliest class of each row, of shape (n,)."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(1)]

    def style(self, X: Any) -> np.ndarray:
        """Return the mean style of each row, given its likeliest class, of shape (n, n_components)."""

        def read(network: Any, rows: Tensor) -> Tensor:
            one_hot = F.one_hot(network(rows).argmax(-1), network.classes).to(rows.dtype)
            return network.style(rows, one_hot)[0]

        return self._answers(X, read, double=True)

    def bound(self, X: Any) -> np.ndarray:
        """Return a lower bound on ``log p(x)`` of each row in nats, summed over the classes.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows. Where the likelihood is Bernoulli, of 0 and a full pixel only.

        Returns
        -------
        ndarray of shape (n,)
            ``Σ_y q(y|x) L(x, y) + H(q(y|x))``, with one draw of the style a class.
        """
        from gradus.research.generative.scoring import rows_noise

        check_is_fitted(self)
        seed = derive(self.seed_, "bound")

        def read(network: Any, rows: Tensor) -> Tensor:
            found = []
            for part in rows.split(256):
                noise = rows_noise(part, seed, network.classes, network.latent)
                targets = torch.full((len(part),), -1, device=part.device)
                found.append(-LabelledElboLoss(0.0).losses(network, part, targets, noise))
            return torch.cat(found)

        rows = self._encode_rows(X, reset=False)
        self._check_scored(rows)
        return self._ask({"inputs": rows}, read, double=True).numpy()

    def sample(self, n_samples: int = 1, random_state: Any = None, y: Any = None) -> np.ndarray:
        """Draw rows of the model, of given classes or of classes drawn by their shares.

        Parameters
        ----------
        n_samples : int
            Number of rows.
        random_state : int or NumPy generator, optional
            Seed of the draws.
        y : array-like of shape (n_samples,), optional
            Class of each row.

        Returns
        -------
        ndarray of shape (n_samples, ...)
        """
        check_is_fitted(self)
        index = None
        if y is not None:
            wanted = column_or_1d(y)
            check_rows("y", wanted, n_samples)
            index = np.searchsorted(self.classes_, wanted).clip(0, len(self.classes_) - 1)
            if (self.classes_[index] != wanted).any():
                strange = wanted[self.classes_[index] != wanted][0]
                raise InputError("classes that were fitted", repr(strange), f"choose among {self.classes_.tolist()}")
        used = 0

        def draw(network: Any, size: int, drawing: torch.Generator) -> Tensor:
            nonlocal used
            place = network.prior.device
            if index is None:
                chosen = torch.multinomial(network.prior, size, replacement=True, generator=drawing)
            else:
                chosen = torch.from_numpy(index[used : used + size]).to(place)
                used += size
            style = torch.randn((size, network.latent), generator=drawing, device=place)
            outputs = network.decode(style, F.one_hot(chosen, network.classes).float())
            return network.likelihood.draw(outputs, drawing)

        return self._draws(n_samples, random_state, draw)


def _is_gap(label: Any) -> bool:
    """Whether a label says that there is none: -1, as in scikit-learn's semi_supervised, None or NaN."""
    if label is None or type(label).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(label, int | float) and (label == -1 or math.isnan(label))
