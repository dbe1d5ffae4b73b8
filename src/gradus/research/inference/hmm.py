"""Hidden Markov models as an estimator of sequences (§10.2, §19.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import log
from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import DensityMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from gradus.core.errors import InputError
from gradus.core.options import option
from gradus.core.randomness import derive, generator, resolve_seed
from gradus.estimators.base import Estimator
from gradus.estimators.exhibits import Exhibit
from gradus.research.inference.chains import Chain, Method, best_paths, forward_backward
from gradus.research.inference.em import EMFit, run_em
from gradus.research.inference.emissions import (
    CategoricalFamily,
    CategoricalParameters,
    EmissionFamily,
    GaussianFamily,
    GaussianParameters,
    MixtureFamily,
    MixtureParameters,
)
from gradus.research.inference.exhibits import (
    component_exhibit,
    likelihood_exhibit,
    path_exhibit,
    transition_exhibit,
)
from gradus.research.inference.gaussians import Covariance
from gradus.research.inference.hidden_markov import (
    HiddenMarkovState,
    hidden_markov_init,
    hidden_markov_step,
    left_right_labels,
    sample_hidden_markov,
)
from gradus.research.inference.sequences import Layout, layout_of, read_sequences
from gradus.research.inference.starts import kmeans

__all__ = ["HiddenMarkovModel"]

Floats = NDArray[np.float64]
TRIAL_STEPS = 5  # that each start gets before the best goes on


@dataclass(kw_only=True, eq=False, repr=False)
class HiddenMarkovModel(DensityMixin, Estimator):
    r"""Sequences from hidden states that follow a Markov chain.

    .. math::
        p(x, z) = p(z_1) p(x_1 \mid z_1) \prod_{t > 1} p(z_t \mid z_{t-1}) p(x_t \mid z_t)

    Sequences come as a list of arrays of shape (steps, features), of unequal lengths, as one array (sequences, steps,
    features), or as all rows in one array with ``lengths``; without lengths that is one sequence. Symbols of
    ``emission="categorical"`` are whole numbers from 0.

    Attributes
    ----------
    start_, transitions_ : ndarray of shapes (states,) and (states, states)
        Probabilities of the first state, and of the next (column) given the present one (row).
    means_, covariances_ : ndarray
        Of Gaussians: (states, features) and as in `GaussianMixture`; of mixtures with a second axis for components,
        or if tied (states, features, features): a covariance a state, which its components share.
    weights_ : ndarray of shape (states, components)
        Of mixtures.
    probabilities_ : ndarray of shape (states, symbols)
        Of symbols.
    history_ : list of dict
        Log-likelihood, nats a step, before each step of EM.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> level = np.repeat([0.0, 5.0, 0.0], 30)
    >>> model = HiddenMarkovModel(n_states=2, random_state=0).fit([level + rng.normal(size=90) for _ in range(5)])
    >>> states = model.predict([level])[0]
    >>> bool(states[0] == states[-1] != states[45])
    True

    References
    ----------
    Rabiner 1989, A tutorial on hidden Markov models; Goodfellow et al. 2016, §10.2, §19.2.
    """

    n_states: int = option(2, "hidden states", low=1)
    emission: Literal["gaussian", "mixture", "categorical"] = option("gaussian", "what a state emits")
    covariance: Covariance = option("diag", "form of the covariances")
    n_mixtures: int = option(2, "Gaussians a state of emission='mixture'", low=1)
    n_symbols: int | None = option(None, "symbols of emission='categorical'; none: as many as the data show", low=1)
    topology: Literal["ergodic", "left-right"] = option(
        "ergodic", "transitions: any to any, or from the first state on to itself and the next only"
    )
    n_init: int = option(1, "starts; each gets five steps, and the best goes on", low=1)
    max_iter: int = option(100, "steps of EM at most", unit="steps", low=1)
    tolerance: float = option(1e-4, "gain a step below which EM ends", unit="nats a step of a sequence", low=0)
    smoothing: float = option(0.1, "pseudo-counts of each possible transition, symbol and mixture weight", low=0)
    floor: float = option(1e-3, "added to each variance, as a share of the column's own", low=0)
    method: Method = option("auto", "sums over paths: scaled, in logarithms, or scaled where that does")
    decoding: Literal["viterbi", "posterior"] = option("viterbi", "predict: the best path, or each step's best state")
    precision: Literal["float64", "float32"] = option("float64", "numbers in the E-step; parameters are float64")
    random_state: Any = option(None, "seed of the starts")

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that a table's rows are not its samples: sequences are."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags

    # -- fitting -------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, lengths: Any = None) -> Self:
        """Find the parameters by EM.

        Parameters
        ----------
        X : list of array-like, or array-like
            Sequences.
        y : ignored
            Present for pipelines.
        lengths : array-like of int, optional
            Steps of each sequence, where ``X`` holds all rows.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If sequences are empty or of different widths, values are missing, or there are fewer steps than states.
        """
        self.check_settings()
        rows, layout, _ = self._rows(X, lengths, reset=True)
        if len(rows) < self.n_states:
            mend = "pass more, or ask for fewer states"
            raise InputError(f"{self.n_states} steps or more, one a state", str(len(rows)), mend)
        self.seed_ = resolve_seed(self.random_state)
        family = self._family()
        step = partial(
            hidden_markov_step, family=family, rows=rows, layout=layout, method=self.method, smoothing=self.smoothing
        )
        run = partial(run_em, step, units=len(rows), tolerance=self.tolerance)
        best: EMFit | None = None
        trials = min(TRIAL_STEPS, self.max_iter) if self.n_init > 1 else self.max_iter
        for start in range(self.n_init):
            found = run(self._start(family, rows, layout, start), max_iter=trials)
            if best is None or found.history[-1] > best.history[-1]:
                best = found
        if best is None:  # n_init is 1 or more
            raise InputError("a start", "none", "set n_init=1")
        if not best.converged and len(best.history) < self.max_iter:
            best = run(best.state, max_iter=self.max_iter, history=best.history)
        self._keep(best.state)
        self.history_ = [{"step": i, "log_likelihood": value} for i, value in enumerate(best.history)]
        self.n_iter_, self.converged_ = len(best.history), best.converged
        self.length_ = max(1, round(len(rows) / len(layout.lengths)))
        return self

    def _rows(self, X: Any, lengths: Any, *, reset: bool) -> tuple[Tensor, Layout, bool]:
        """Check sequences; return their rows packed and standardized, the layout, and whether a list came."""
        raw, sizes, listed = read_sequences(X, lengths)
        try:
            array = raw.astype(np.float64)
        except (TypeError, ValueError):
            raise InputError("sequences of numbers", f"dtype {raw.dtype}", "encode them as numbers") from None
        if not np.isfinite(array).all():
            raise InputError("finite numbers", "NaN or infinity", "cut the sequence there, or fill the gap")
        if reset:
            self.n_features_in_ = array.shape[1]
            self.emission_, self.covariance_ = self.emission, self.covariance
        if array.shape[1] != self.n_features_in_:
            mend = "pass sequences like those of fit"
            raise InputError(f"{self.n_features_in_} features a step", str(array.shape[1]), mend)
        layout = layout_of(sizes)
        rows = torch.from_numpy(array)[layout.source]
        if self.emission_ == "categorical":
            self._check_symbols(array, reset=reset)
            return rows, layout, listed
        if reset:
            deviation = array.std(0)
            deviation[~(deviation > 1e-12 * np.abs(array).max(0))] = 1.0
            self.center_ = array.mean(0)
            self.scale_ = deviation if self.covariance != "spherical" else np.full_like(deviation, deviation.mean())
        standard = ((rows - torch.tensor(self.center_)) / torch.tensor(self.scale_)).T
        dtype = getattr(torch, self.precision) if reset else torch.float64
        return standard.to(dtype).contiguous().T, layout, listed

    def _check_symbols(self, array: Floats, *, reset: bool) -> None:
        if array.shape[1] != 1 or (array < 0).any() or (array != array.round()).any():
            mend = "number the symbols from 0, one a step"
            raise InputError("symbols as whole numbers from 0", "others", mend)
        largest = int(array.max())
        if reset:
            self.n_symbols_ = largest + 1 if self.n_symbols is None else self.n_symbols
        if largest >= self.n_symbols_:
            mend = "set n_symbols when fitting"
            raise InputError(f"symbols below {self.n_symbols_}", str(largest), mend)

    def _family(self) -> EmissionFamily:
        if self.emission == "categorical":
            return CategoricalFamily(symbols=self.n_symbols_, smoothing=self.smoothing)
        if self.emission == "gaussian":
            return GaussianFamily(covariance=self.covariance, floor=self.floor)
        return MixtureFamily(
            components=self.n_mixtures, covariance=self.covariance, floor=self.floor, smoothing=self.smoothing
        )

    def _start(self, family: EmissionFamily, rows: Tensor, layout: Layout, start: int) -> HiddenMarkovState:
        source = generator(derive(self.seed_, "start", start))
        forward = self.topology == "left-right"
        if forward:  # pieces of equal length first, of random ones in further starts
            labels = left_right_labels(layout, self.n_states, source if start else None)[layout.source]
        elif self.emission == "categorical":
            labels = torch.randint(self.n_states, (len(rows),), generator=source)
        else:
            labels = kmeans(rows, self.n_states, source)[1]
        return hidden_markov_init(family, rows, layout, labels, self.n_states, source, left_right=forward)

    def _keep(self, state: HiddenMarkovState) -> None:
        self.start_, self.transitions_ = (t.numpy() for t in state.chain)
        kept = {name: value.numpy() for name, value in state.emission._asdict().items()}
        if "means" in kept:
            kept["means"] = kept["means"] * self.scale_ + self.center_
            kept["covariances"] = kept["covariances"] * self._area
        for name, value in kept.items():
            setattr(self, f"{name}_", value)

    @property
    def _area(self) -> Any:
        """What covariances of standardized columns are multiplied by."""
        scale = self.scale_
        if self.covariance_ in ("full", "tied"):
            return scale[:, None] * scale
        return scale**2 if self.covariance_ == "diag" else scale[0] ** 2

    def _fitted(self) -> tuple[HiddenMarkovState, EmissionFamily]:
        """Return the parameters on standardized columns, and their family."""
        chain = Chain(torch.tensor(self.start_), torch.tensor(self.transitions_))
        if self.emission_ == "categorical":
            symbols = CategoricalParameters(torch.tensor(self.probabilities_))
            return HiddenMarkovState(chain, symbols), CategoricalFamily(symbols=self.n_symbols_)
        means = torch.tensor((self.means_ - self.center_) / self.scale_)
        covariances = torch.tensor(self.covariances_ / self._area)
        if self.emission_ == "gaussian":
            return (
                HiddenMarkovState(chain, GaussianParameters(means, covariances)),
                GaussianFamily(covariance=self.covariance_),
            )
        weights = torch.tensor(self.weights_)
        family = MixtureFamily(components=weights.shape[1], covariance=self.covariance_)
        return HiddenMarkovState(chain, MixtureParameters(weights, means, covariances)), family

    @property
    def _discrete_rows(self) -> bool:
        """Whether sequences have probabilities; otherwise they have densities."""
        return self.emission_ == "categorical"

    # -- answers -------------------------------------------------------------------------------------------------

    def _logs(self, X: Any, lengths: Any) -> tuple[Chain, Tensor, Layout, bool]:
        check_is_fitted(self)
        rows, layout, listed = self._rows(X, lengths, reset=False)
        state, family = self._fitted()
        logs = family.log_densities(state.emission, rows)
        if self.emission_ != "categorical":
            logs = logs - float(np.log(self.scale_).sum())
        return state.chain, logs, layout, listed

    def _given(self, packed: Tensor, layout: Layout, listed: bool) -> Any:
        """Return packed steps in the order, and the form, in which they came."""
        out = torch.empty_like(packed)
        out[layout.source] = packed
        array = out.numpy()
        return np.split(array, np.cumsum(layout.lengths)[:-1]) if listed else array

    def predict(self, X: Any, lengths: Any = None) -> Any:
        """Return the hidden states of each step: a list like ``X``, or one array where ``X`` is one of all rows."""
        chain, logs, layout, listed = self._logs(X, lengths)
        if self.decoding == "viterbi":
            path = best_paths(chain, logs, layout)[0]
        else:
            path = forward_backward(chain, logs, layout, self.method).states.argmax(0)
        return self._given(path, layout, listed)

    def predict_proba(self, X: Any, lengths: Any = None) -> Any:
        """Return the posterior of each state at each step, given the whole sequence: steps by states."""
        chain, logs, layout, listed = self._logs(X, lengths)
        return self._given(forward_backward(chain, logs, layout, self.method).states.T, layout, listed)

    def score_samples(self, X: Any, lengths: Any = None) -> Floats:
        """Return the log-density (of symbols, the log-probability) of each sequence in nats, shape (sequences,)."""
        chain, logs, layout, _ = self._logs(X, lengths)
        return forward_backward(chain, logs, layout, self.method).log_likelihood.numpy()

    def score(self, X: Any, y: Any = None, lengths: Any = None) -> float:
        """Return the mean of `score_samples`, nats a sequence."""
        return float(self.score_samples(X, lengths).mean())

    def best_path_scores(self, X: Any, lengths: Any = None) -> Floats:
        """Return the log-probability of each sequence together with its best path, in nats, shape (sequences,)."""
        chain, logs, layout, _ = self._logs(X, lengths)
        return best_paths(chain, logs, layout)[1].numpy()

    def bic(self, X: Any, lengths: Any = None) -> float:
        """Return Schwarz's criterion on sequences, in nats: lower is better."""
        chain, logs, layout, _ = self._logs(X, lengths)
        total = float(forward_backward(chain, logs, layout, self.method).log_likelihood.sum())
        return -2 * total + self._n_parameters * log(logs.shape[1])

    def aic(self, X: Any, lengths: Any = None) -> float:
        """Return Akaike's criterion on sequences, in nats: lower is better."""
        return float(-2 * self.score_samples(X, lengths).sum() + 2 * self._n_parameters)

    @property
    def _n_parameters(self) -> int:
        state, family = self._fitted()
        free = int((self.start_ > 0).sum()) - 1 + int((self.transitions_ > 0).sum()) - len(self.start_)
        return free + family.count(state.emission)

    def sample(self, n_samples: int = 1, length: int | None = None, random_state: Any = None) -> Floats:
        """Draw sequences, shape (n_samples, length, features).

        Parameters
        ----------
        n_samples : int
            1 or more.
        length : int, optional
            Steps; the mean length of the fitted sequences by default.
        random_state : int or NumPy generator, optional
            Seed.
        """
        check_is_fitted(self)
        length = self.length_ if length is None else length
        for name, value in (("n_samples", n_samples), ("length", length)):
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise InputError(f"{name}, an integer of 1 or more", repr(value), f"pass for example {name}=10")
        state, family = self._fitted()
        rows, _ = sample_hidden_markov(
            state, family, int(n_samples), int(length), generator(resolve_seed(random_state))
        )
        if self.emission_ == "categorical":
            return rows.numpy()
        return rows.numpy() * self.scale_ + self.center_

    def exhibits(self, data: Any) -> Iterator[Exhibit]:
        """Show states, transitions, the decoded path of the first sequence, and the likelihood that EM climbed."""
        check_is_fitted(self)
        X = getattr(data, "X", data)
        rows, sizes, _ = read_sequences(X)
        centers = self.probabilities_ if self.emission_ == "categorical" else self.means_
        if self.emission_ == "mixture":
            centers = (self.weights_[:, :, None] * self.means_).sum(1)
        first = rows[: sizes[0]]
        posterior = self.predict_proba([first])[0]
        everywhere = np.concatenate(self.predict_proba(np.split(rows, np.cumsum(sizes)[:-1])))
        yield component_exhibit(centers, everywhere.mean(0), centers.shape[1:])
        yield transition_exhibit(self.transitions_)
        yield path_exhibit(first, self.predict([first])[0], posterior)
        yield likelihood_exhibit(self.history_)

    def _rebuild(self) -> dict[str, nn.Module]:
        return {}
