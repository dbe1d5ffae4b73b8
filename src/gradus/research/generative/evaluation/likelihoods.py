"""Likelihoods of held-out rows: in nats, in bits a dimension, and with a word on what kind of number it is."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student
from sklearn.utils.validation import check_is_fitted

from gradus.core.errors import InputError
from gradus.core.randomness import resolve_seed

__all__ = ["HeldOutLikelihood", "bits_per_dimension", "dequantize", "held_out_likelihood"]


def bits_per_dimension(nats: float, dimensions: int, *, step: float | None = None) -> float:
    """Return ``-nats / (dimensions log 2)``: the bits that a code by the model spends on one value.

    Parameters
    ----------
    nats : float
        Log-likelihood of one row: a log-probability, or with ``step`` a log-density of dequantized rows.
    dimensions : int
        Values of a row.
    step : float, optional
        Distance between neighbouring values in the units in which the density is stated: 1 for bytes from 0 to 255,
        1/256 for bytes divided by 256. A density says nothing about bits without it.

    Examples
    --------
    >>> round(bits_per_dimension(-784 * math.log(256), 784), 6)  # all bytes equally likely
    8.0
    >>> bits_per_dimension(0.0, 784, step=1 / 256)  # the same as a density on [0, 1)
    8.0

    References
    ----------
    Theis, van den Oord & Bethge 2016, A Note on the Evaluation of Generative Models, §3.1.
    """
    if dimensions < 1 or (step is not None and not step > 0):
        raise InputError("a dimension or more, and a positive step", f"{dimensions} and {step}", "leave step out")
    shift = 0.0 if step is None else math.log2(step)
    return -nats / (dimensions * math.log(2)) - shift


def dequantize(X: ArrayLike, *, levels: int = 256, random_state: Any = None) -> NDArray[np.float64]:
    """Return ``(x + u) / levels`` with ``u`` uniform on [0, 1): rows of whole numbers that have a density.

    The mean log-density of rows made so is a lower bound on the log-probability of the whole numbers (less
    ``dimensions * log levels``); a density of the whole numbers themselves can be made as large as one likes.

    Parameters
    ----------
    X : array-like
        Whole numbers from 0 to ``levels - 1``.
    levels : int
        How many there are.
    random_state : int or NumPy generator, optional
        Seed of the noise.

    Raises
    ------
    InputError
        If there are other numbers.

    Examples
    --------
    >>> found = dequantize([[0, 255]], random_state=0)
    >>> bool((0 <= found).all() and (found < 1).all() and found[0, 1] >= 255 / 256)
    True

    References
    ----------
    Uria, Murray & Larochelle 2013, RNADE, §5.1; Theis et al. 2016, eq. 1.
    """
    whole = np.asarray(X, dtype=np.float64)
    if not (np.equal(whole, np.round(whole)).all() and (whole >= 0).all() and (whole < levels).all()):
        raise InputError(f"whole numbers from 0 to {levels - 1}", "others", "set levels, or leave the rows as they are")
    return (whole + np.random.default_rng(resolve_seed(random_state)).random(whole.shape)) / levels


class HeldOutLikelihood(NamedTuple):
    """The mean log-likelihood of rows.

    Attributes
    ----------
    nats : float
        Mean over rows.
    low, high : float
        95 % interval of the mean, for other rows of the same source.
    bits : float or None
        Bits a dimension, where rows have probabilities or the step of their values was told.
    kind : str
        What the number is: exact or a bound, of probabilities or densities, and by which step rows were dequantized.
    rows : ndarray of shape (n,)
        Each row's own.
    gain : float or None
        Of a bound, what the second half of its draws added to it, in nats: near zero, more draws change little.
    """

    nats: float
    low: float
    high: float
    bits: float | None
    kind: str
    rows: NDArray[np.float64]
    gain: float | None = None


def held_out_likelihood(
    estimator: Any, X: Any, *, samples: int | None = None, exact: bool = False, step: float | None = None
) -> HeldOutLikelihood:
    """Return how likely rows are under a fitted model, and what kind of number that is.

    Parameters
    ----------
    estimator : estimator
        Fitted, with `score_samples` in nats.
    X : array-like
        Rows that it was not fitted on; binary where its likelihood is Bernoulli.
    samples : int, optional
        Draws a row of a bound.
    exact : bool
        Enumerate hidden states (`SigmoidBeliefNet.exact_score_samples`) in place of the bound.
    step : float, optional
        Of dequantized rows, for bits a dimension; see `bits_per_dimension`.

    Raises
    ------
    InputError
        If the estimator gives no likelihood, or none that is exact; if a step is given for rows that have probabilities
        or that were not dequantized.

    Examples
    --------
    >>> from gradus.research.generative import SigmoidBeliefNet
    >>> X = (np.random.default_rng(0).random((200, 6)) < 0.3).astype(float)
    >>> model = SigmoidBeliefNet(hidden=(3,), max_epochs=5, random_state=0).fit(X[:100])
    >>> found = held_out_likelihood(model, X[100:], exact=True)
    >>> found.low < found.nats < found.high, found.kind
    (True, 'exact log-probability')

    References
    ----------
    Goodfellow et al. 2016, §20.14; Burda et al. 2016, eq. 8.
    """
    check_is_fitted(estimator)
    method = "exact_score_samples" if exact else "score_samples"
    if not hasattr(estimator, method):
        mend = "judge it by its samples" if not exact else "leave exact out"
        raise InputError(f"an estimator with {method}", type(estimator).__name__, mend)
    discrete = bool(getattr(estimator, "_discrete_rows", False))
    if step is not None:
        _check_step(X, step, discrete=discrete)
    draws = samples if samples is not None else getattr(estimator, "bound_samples", None)
    bounded = not exact and draws is not None
    keywords = {"samples": draws} if bounded else {}
    rows = np.asarray(getattr(estimator, method)(X, **keywords), dtype=np.float64)
    gain = None
    if bounded and draws is not None and draws > 1:
        gain = float(rows.mean() - estimator.score_samples(X, samples=draws // 2).mean())
    what = "log-probability" if discrete else "log-density in the units of the rows"
    prefix = f"lower bound by {draws} draws on the " if bounded else "exact "
    suffix = "" if step is None else f", of rows dequantized by steps of {step:g}"
    half = math.inf
    if len(rows) > 1:
        half = float(student.ppf(0.975, len(rows) - 1) * rows.std(ddof=1) / math.sqrt(len(rows)))
    nats = float(rows.mean())
    bits = None
    if discrete or step is not None:
        size = int(np.prod(getattr(estimator, "row_shape_", None) or np.shape(X)[1:]))
        bits = bits_per_dimension(nats, size, step=step)
    return HeldOutLikelihood(nats, nats - half, nats + half, bits, prefix + what + suffix, rows, gain)


def _check_step(X: Any, step: float, *, discrete: bool) -> None:
    """Refuse a step where it has no meaning: of probabilities, or of rows that still lie on the grid."""
    if discrete:
        raise InputError("step for densities alone", "rows that have probabilities", "leave step out")
    places = np.asarray(X, dtype=np.float64) / step
    if np.abs(places - places.round()).max() < 1e-6:
        mend = "add uniform noise of the width of a step, in training and here: dequantize does"
        raise InputError("dequantized rows where step is given", f"whole multiples of {step:g}", mend)
