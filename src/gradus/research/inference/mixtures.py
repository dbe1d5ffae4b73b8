"""Mixture models as estimators: densities and clusters of tables and pictures, by EM (§3.9.6, §19.2)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import log
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import DensityMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from gradus.core.errors import InputError
from gradus.core.options import option
from gradus.core.randomness import derive, generator, resolve_seed
from gradus.estimators.base import Estimator
from gradus.estimators.exhibits import Exhibit
from gradus.estimators.inputs import check_n_samples, share
from gradus.research.generative.binarization import full_pixel
from gradus.research.inference.bernoullis import (
    BernoulliMixtureState,
    average_row,
    bernoulli_log_joint,
    bernoulli_mixture_init,
    bernoulli_mixture_step,
    sample_bernoullis,
)
from gradus.research.inference.em import EMFit, EMInfo, run_em
from gradus.research.inference.exhibits import component_exhibit, likelihood_exhibit, responsibility_exhibit
from gradus.research.inference.gaussians import (
    Covariance,
    GaussianMixtureState,
    gaussian_log_joint,
    gaussian_mixture_init,
    gaussian_mixture_step,
    sample_gaussians,
)
from gradus.research.inference.starts import kmeans

__all__ = ["BernoulliMixture", "GaussianMixture", "MixtureEstimator"]

Floats = NDArray[np.float64]
TRIAL_STEPS = 10  # that each start gets before the best goes on
ANSWER_NUMBERS = 1 << 24  # log-joints in memory at once


@dataclass(kw_only=True, eq=False, repr=False)
class MixtureEstimator(DensityMixin, Estimator):
    """Base of mixtures: starts, EM until the likelihood stands still, and answers from the log-joint.

    Rows are those of a table, or pictures of shape (n, height, width[, channels]).
    """

    n_components: int = option(1, "components of the mixture", low=1)
    n_init: int = option(3, "starts; each gets ten steps, and the best goes on", low=1)
    max_iter: int = option(200, "steps of EM at most", unit="steps", low=1)
    tolerance: float = option(1e-4, "gain a step below which EM ends", unit="nats a row", low=0)
    precision: Literal["float64", "float32"] = option("float64", "numbers in the E-step; parameters are float64")
    random_state: Any = option(None, "seed of the starts")

    @abstractmethod
    def _prepare(self, X: Tensor) -> tuple[Tensor, Callable[[Any], tuple[Any, EMInfo]]]:
        """Return rows as EM takes them and the step on them."""

    @abstractmethod
    def _start(self, X: Tensor, source: torch.Generator) -> Any:
        """Return a state to begin from, for rows that `_prepare` returned."""

    @abstractmethod
    def _keep(self, state: Any) -> None:
        """Store the parameters under their names."""

    @abstractmethod
    def _log_joint(self, X: Tensor) -> Tensor:
        """Return the log-joint of rows (float64) and components."""

    @abstractmethod
    def _sample(self, component: Tensor, source: torch.Generator) -> Tensor:
        """Draw a flat row of each component given."""

    @property
    @abstractmethod
    def _n_parameters(self) -> int: ...

    def _encode(self, X: Tensor, *, reset: bool) -> Tensor:
        """Turn checked rows into what the model is about; with ``reset``, learn how."""
        return X

    def _rows(self, X: Any, *, reset: bool) -> Tensor:
        """Check rows, flatten pictures, and return float64 of shape (n, features)."""
        shape = np.shape(X) if not hasattr(X, "shape") else tuple(X.shape)
        stacked = len(shape) in (3, 4)
        if stacked:
            if not reset and tuple(shape[1:]) != tuple(self.row_shape_):
                mend = "reshape the rows as fit got them"
                raise InputError(f"rows of shape {tuple(self.row_shape_)}", f"{tuple(shape[1:])}", mend)
            X = np.asarray(X).reshape(shape[0], -1)
        fewest = max(2, self.n_components) if reset else 1
        array = validate_data(self, X, reset=reset, dtype=np.float64, order="C", ensure_min_samples=fewest)
        if reset:
            self.row_shape_: list[int] = [int(size) for size in shape[1:]] if stacked else [array.shape[1]]
        return self._encode(share(array), reset=reset)

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the parameters by EM.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, height, width[, channels])
            Rows; at least as many as components, and two.
        y : ignored
            Present for pipelines.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If rows are missing values, or are fewer than the components.
        """
        self.check_settings()
        rows = self._rows(X, reset=True)
        self.seed_ = resolve_seed(self.random_state)
        prepared, step = self._prepare(rows)
        run = partial(run_em, step, units=len(rows), tolerance=self.tolerance)
        best: EMFit | None = None
        trials = min(TRIAL_STEPS, self.max_iter) if self.n_init > 1 else self.max_iter
        for start in range(self.n_init):
            found = run(self._start(prepared, generator(derive(self.seed_, "start", start))), max_iter=trials)
            if best is None or found.history[-1] > best.history[-1]:
                best = found
        if best is None:  # n_init is 1 or more
            raise InputError("a start", "none", "set n_init=1")
        if not best.converged and len(best.history) < self.max_iter:
            best = run(best.state, max_iter=self.max_iter, history=best.history)
        self._keep(best.state)
        self.history_ = [{"step": i, "log_likelihood": value} for i, value in enumerate(best.history)]
        self.n_iter_, self.converged_ = len(best.history), best.converged
        return self

    # -- answers -------------------------------------------------------------------------------------------------

    def _answer(self, X: Any, function: Callable[[Tensor], Tensor]) -> NDArray[Any]:
        check_is_fitted(self)
        rows = self._rows(X, reset=False)
        size = max(1, ANSWER_NUMBERS // self.n_components_)
        return torch.cat([function(self._log_joint(part)) for part in rows.split(size)]).numpy()

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return the most probable component of each row, from 0, shape (n,)."""
        return self._answer(X, lambda joint: joint.argmax(1))

    def predict_proba(self, X: Any) -> Floats:
        """Return the posterior of each component, shape (n, n_components); of a row that none can give, the prior."""
        prior = torch.tensor(self.weights_) if hasattr(self, "weights_") else torch.empty(0)

        def posterior(joint: Tensor) -> Tensor:
            impossible = joint.isneginf().all(1, keepdim=True)
            return torch.where(impossible, prior, joint.softmax(1))

        return self._answer(X, posterior)

    def fit_predict(self, X: Any, y: Any = None) -> NDArray[np.int64]:
        """Fit, and return the most probable component of each row."""
        return self.fit(X).predict(X)

    def score_samples(self, X: Any) -> Floats:
        """Return the log-density (for zeros and ones, the log-probability) of each row in nats, shape (n,)."""
        return self._answer(X, lambda joint: joint.logsumexp(1))

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of `score_samples`, nats a row."""
        return float(self.score_samples(X).mean())

    def bic(self, X: Any) -> float:
        """Return Schwarz's criterion on rows, in nats: lower is better."""
        each = self.score_samples(X)
        return float(-2 * each.sum() + self._n_parameters * log(len(each)))

    def aic(self, X: Any) -> float:
        """Return Akaike's criterion on rows, in nats: lower is better."""
        return float(-2 * self.score_samples(X).sum() + 2 * self._n_parameters)

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Floats:
        """Draw rows, in the shape that `fit` got them.

        Parameters
        ----------
        n_samples : int
            1 or more.
        random_state : int or NumPy generator, optional
            Seed.
        """
        check_is_fitted(self)
        n = check_n_samples(n_samples)
        source = generator(resolve_seed(random_state))
        component = torch.multinomial(torch.tensor(self.weights_), n, replacement=True, generator=source)
        rows = self._sample(component, source)
        return rows.numpy().reshape(n, *self.row_shape_)

    def exhibits(self, data: Any) -> Iterator[Exhibit]:
        """Show the components, how surely rows belong to them, and the likelihood that EM climbed."""
        check_is_fitted(self)
        X = getattr(data, "X", data)
        names = getattr(self, "feature_names_in_", None)
        yield component_exhibit(self._centers, self.weights_, self.row_shape_, names)
        yield responsibility_exhibit(self.predict_proba(X))
        yield likelihood_exhibit(self.history_)

    @property
    @abstractmethod
    def _centers(self) -> Floats: ...

    @property
    def n_components_(self) -> int:
        """Number of components that were fitted."""
        return len(self.weights_)

    def _rebuild(self) -> dict[str, nn.Module]:
        return {}


@dataclass(kw_only=True, eq=False, repr=False)
class GaussianMixture(MixtureEstimator):
    r"""Mixture of Gaussians, :math:`p(x) = \sum_k \pi_k \mathcal{N}(x; \mu_k, \Sigma_k)`.

    Attributes
    ----------
    weights_, means_ : ndarray of shapes (components,) and (components, features)
        Priors and centres.
    covariances_ : ndarray
        (components, features, features) if full, (features, features) if tied, (components, features) if diag,
        (components,) if spherical.
    history_ : list of dict
        Log-likelihood, nats a row, before each step.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(-3, 1, (100, 2)), rng.normal(3, 1, (100, 2))])
    >>> model = GaussianMixture(n_components=2, random_state=0).fit(X)
    >>> np.sort(model.means_[:, 0]).round().tolist(), model.sample(3).shape
    ([-3.0, 3.0], (3, 2))

    References
    ----------
    Goodfellow et al. 2016, §3.9.6, §19.2; Biernacki, Celeux & Govaert 2003 (short runs from several starts).
    """

    covariance: Covariance = option("full", "form of the covariances")
    floor: float = option(1e-6, "added to each variance, as a share of the column's own", low=0)

    def _prepare(self, X: Tensor) -> tuple[Tensor, Callable[[Any], tuple[Any, EMInfo]]]:
        # Scales that differ by twenty orders would overflow in squares: EM works on standardized columns.
        self.center_ = X.mean(0).numpy()
        deviation = (X - X.mean(0)).square().mean(0).sqrt()
        flat = ~(deviation > 1e-12 * X.abs().amax(0))
        deviation[flat] = 1.0
        self.scale_ = (deviation if self.covariance != "spherical" else deviation.mean().expand(X.shape[1])).numpy()
        dtype = getattr(torch, self.precision)
        standard = ((X - share(self.center_)) / torch.tensor(self.scale_)).T.to(dtype).contiguous().T
        return standard, partial(gaussian_mixture_step, X=standard, covariance=self.covariance, floor=self.floor)

    def _start(self, X: Tensor, source: torch.Generator) -> GaussianMixtureState:
        _, labels = kmeans(X, self.n_components, source)
        shares = nn.functional.one_hot(labels, self.n_components).to(X.dtype)
        return gaussian_mixture_init(X, shares, self.covariance, self.floor)

    def _keep(self, state: GaussianMixtureState) -> None:
        scale = self.scale_
        self.weights_, means, found = (t.numpy() for t in state)
        self.means_ = means * scale + self.center_
        if self.covariance in ("full", "tied"):
            self.covariances_ = found * scale[:, None] * scale
        else:
            self.covariances_ = found * (scale**2 if self.covariance == "diag" else scale[0] ** 2)
        self.covariance_ = self.covariance

    @property
    def _standard(self) -> GaussianMixtureState:
        """The parameters on standardized columns."""
        scale, kind = self.scale_, self.covariance_
        inverse = 1 / scale
        by = inverse[:, None] * inverse if kind in ("full", "tied") else inverse**2
        found = self.covariances_ * (by if kind != "spherical" else inverse[0] ** 2)
        arrays = (self.weights_, (self.means_ - self.center_) * inverse, found)
        return GaussianMixtureState(*(torch.from_numpy(np.array(a, dtype=np.float64)) for a in arrays))

    def _log_joint(self, X: Tensor) -> Tensor:
        scale = torch.tensor(self.scale_)
        standard = (X - torch.tensor(self.center_)) / scale
        return gaussian_log_joint(self._standard, standard, self.covariance_) - scale.log().sum()

    def _sample(self, component: Tensor, source: torch.Generator) -> Tensor:
        rows = sample_gaussians(self._standard, component, self.covariance_, source)
        return rows * torch.tensor(self.scale_) + torch.tensor(self.center_)

    @property
    def _n_parameters(self) -> int:
        k, d = self.means_.shape
        pairs = d * (d + 1) // 2
        spread = {"full": k * pairs, "tied": pairs, "diag": k * d, "spherical": k}[self.covariance_]
        return spread + k * d + k - 1

    @property
    def _centers(self) -> Floats:
        return self.means_


@dataclass(kw_only=True, eq=False, repr=False)
class BernoulliMixture(MixtureEstimator):
    r"""Mixture of products of Bernoullis, :math:`p(x) = \sum_k \pi_k \prod_j \mu_{kj}^{x_j}(1 - \mu_{kj})^{1 - x_j}`.

    For rows of zeros and ones. Other numbers are cut at ``threshold`` first, and likelihoods are those of the result:
    a Bernoulli likelihood of grey pixels means nothing. By default that is half a full pixel: 1, 255 for bytes, or the
    largest number; ones of samples are then full pixels.

    Attributes
    ----------
    threshold_, full_ : float
        Where rows are cut (None: not), and the number that stands for a one in samples.
    weights_, probabilities_ : ndarray of shapes (components,) and (components, features)
        Priors, and the probability of a one.
    history_ : list of dict
        Log-likelihood, nats a row, before each step.

    Examples
    --------
    >>> X = np.array([[1, 1, 0, 0]] * 5 + [[0, 0, 1, 1]] * 5)
    >>> model = BernoulliMixture(n_components=2, random_state=0).fit(X)
    >>> bool((model.predict(X[:5]) != model.predict(X[5:])).all())
    True

    References
    ----------
    Goodfellow et al. 2016, §3.9.6, §19.2; Larochelle & Murray 2011, table 1 (500 components on binarized MNIST).
    """

    _discrete_rows: ClassVar[bool] = True  # they have probabilities, not densities

    precision: Literal["float64", "float32"] = option("float32", "numbers in the E-step; parameters are float64")
    smoothing: float = option(0.5, "pseudo-rows, like the average row, in each component", unit="rows", low=0)
    threshold: float | Literal["auto"] | None = option(
        "auto", "larger values are ones; auto: than half a full pixel; none: only zeros and ones are taken"
    )

    def _encode(self, X: Tensor, *, reset: bool) -> Tensor:
        if reset:  # answers follow what was fitted, not settings changed since
            self.full_ = full_pixel(X, None) if self.threshold == "auto" else 1.0
            self.threshold_ = self.full_ / 2 if self.threshold == "auto" else self.threshold
        if self.threshold_ is not None:
            return (X > self.threshold_).double()
        if not bool(((X == 0) | (X == 1)).all()):
            other = float(X[(X != 0) & (X != 1)][0])
            raise InputError("rows of zeros and ones", f"{other:g}", "set threshold, above which values are ones")
        return X

    def _prepare(self, X: Tensor) -> tuple[Tensor, Callable[[Any], tuple[Any, EMInfo]]]:
        rows = X.to(getattr(torch, self.precision))
        step = partial(bernoulli_mixture_step, X=rows, smoothing=self.smoothing, overall=average_row(X))
        return rows, step

    def _start(self, X: Tensor, source: torch.Generator) -> BernoulliMixtureState:
        _, labels = kmeans(X, self.n_components, source)
        # one row at least: a sure zero or one could never be unlearned
        return bernoulli_mixture_init(X, labels, self.n_components, max(1.0, self.smoothing))

    def _keep(self, state: BernoulliMixtureState) -> None:
        self.weights_, self.probabilities_ = (t.numpy() for t in state)

    def _log_joint(self, X: Tensor) -> Tensor:
        state = BernoulliMixtureState(torch.tensor(self.weights_), torch.tensor(self.probabilities_))
        return bernoulli_log_joint(state, X)

    def _sample(self, component: Tensor, source: torch.Generator) -> Tensor:
        state = BernoulliMixtureState(torch.tensor(self.weights_), torch.tensor(self.probabilities_))
        return sample_bernoullis(state, component, source) * self.full_

    @property
    def _n_parameters(self) -> int:
        return self.probabilities_.size + len(self.weights_) - 1

    @property
    def _centers(self) -> Floats:
        return self.probabilities_
