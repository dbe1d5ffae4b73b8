"""Mixtures and hidden Markov models beside scikit-learn and hmmlearn: one start, as many steps, equal likelihoods.

Run by research.py: ``python benchmarks/research.py --room inference``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture as PeerMixture

from gradus.research.inference import (
    Chain,
    GaussianFamily,
    GaussianMixture,
    GaussianMixtureState,
    HiddenMarkovState,
    forward_backward,
    gaussian_mixture_step,
    hidden_markov_step,
    layout_of,
    run_em,
)
from gradus.research.inference.emissions import GaussianParameters
from research import Race, Side

FLOOR = 1e-6
CLOSE = 1e-3  # nats a row, or a step of a sequence: below it likelihoods are equal
STEPS = {"mixture": 20, "hidden Markov": 10}


def worse(ours: Mapping[str, float], theirs: Mapping[str, float]) -> str:
    """Return why our likelihood is not as good."""
    gap = theirs["log_likelihood"] - ours["log_likelihood"]
    return f"log-likelihood {gap:.4f} nats lower" if gap > CLOSE else ""


# ---- mixtures ----


@dataclass(frozen=True)
class Start:
    """Where all sides begin."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


def clouds(n: int, d: int, k: int) -> tuple[np.ndarray, Start]:
    """Draw overlapping Gaussian clouds, and a start between the overall cloud and the truth."""
    rng = np.random.default_rng(0)
    means, roots = 1.5 * rng.normal(size=(k, d)), rng.normal(size=(k, d, d)) / np.sqrt(d)
    which = rng.integers(k, size=n)
    X = means[which] + np.einsum("nij,nj->ni", roots[which] + 0.3 * np.eye(d), rng.normal(size=(n, d)))
    begun = X[rng.choice(n, k, replace=False)]
    return X, Start(np.full(k, 1 / k), begun, np.tile(np.cov(X.T), (k, 1, 1)))


def mixture_of_ours(X: np.ndarray, start: Start, dtype: torch.dtype, _seed: int) -> GaussianMixtureState:
    """Take the steps on centred columns, and return the parameters of the columns as they were."""
    center = X.mean(0)
    rows = torch.from_numpy(X - center).T.to(dtype).contiguous().T
    arrays = (start.weights, start.means - center, start.covariances)
    state = GaussianMixtureState(*map(torch.from_numpy, arrays))
    step = partial(gaussian_mixture_step, X=rows, covariance="full", floor=FLOOR)
    found = run_em(step, state, units=len(X), max_iter=STEPS["mixture"], tolerance=-np.inf)
    return found.state._replace(means=found.state.means + torch.from_numpy(center))


def mixture_of_theirs(X: np.ndarray, start: Start, seed: int) -> GaussianMixtureState:
    """Fit scikit-learn's from the same parameters."""
    model = PeerMixture(
        len(start.weights),
        tol=0,
        reg_covar=FLOOR,
        max_iter=STEPS["mixture"],
        init_params="random_from_data",  # the cheapest, then replaced by what is given
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=np.linalg.inv(start.covariances),
        random_state=seed,
    ).fit(X)
    return GaussianMixtureState(*(torch.from_numpy(a) for a in (model.weights_, model.means_, model.covariances_)))


def mixture_quality(X: np.ndarray, state: GaussianMixtureState) -> dict[str, float]:
    """Return the likelihood by a third party's densities, on a part of the rows."""
    part = X[:5000]
    logs = [
        np.log(w) + multivariate_normal(m, c).logpdf(part) for w, m, c in zip(*(t.numpy() for t in state), strict=True)
    ]
    return {"log_likelihood": float(logsumexp(logs, axis=0).mean())}


def gaussian_mixture(quick: bool) -> Race:
    """Equal steps from an equal start."""
    n, d, k = (5_000, 10, 5) if quick else (100_000, 20, 20)
    X, start = clouds(n, d, k)
    return Race(
        title=f"EM of a mixture of Gaussians, full covariances, {STEPS['mixture']} steps from one start",
        data=f"{n} x {d} rows of {k} overlapping clouds",
        sides={
            "gradus": Side(
                "gradus, gaussian_mixture_step, float64", partial(mixture_of_ours, X, start, torch.float64), "gradus-dl"
            ),
            "gradus_float32": Side(
                "gradus, gaussian_mixture_step, float32", partial(mixture_of_ours, X, start, torch.float32), "gradus-dl"
            ),
            "sklearn": Side("scikit-learn, GaussianMixture(tol=0)", partial(mixture_of_theirs, X, start)),
        },
        quality=partial(mixture_quality, X),
        worse=worse,
        targets={"sklearn": 3.0},
    )


def gaussian_mixture_whole(quick: bool) -> Race:
    """Each library's own start, until each finds that it has converged."""
    n, d, k = (5_000, 10, 5) if quick else (100_000, 20, 20)
    X, _ = clouds(n, d, k)
    settings = {"n_components": k, "max_iter": 200}

    def ours(seed: int) -> GaussianMixtureState:
        model = GaussianMixture(**settings, n_init=1, tolerance=1e-3, random_state=seed).fit(X)
        return GaussianMixtureState(*map(torch.from_numpy, (model.weights_, model.means_, model.covariances_)))

    def theirs(seed: int) -> GaussianMixtureState:
        model = PeerMixture(**settings, random_state=seed).fit(X)
        return GaussianMixtureState(*map(torch.from_numpy, (model.weights_, model.means_, model.covariances_)))

    return Race(
        title="A mixture of Gaussians from k-means to convergence (gain below 0.001 nats a row)",
        data=f"{n} x {d} rows of {k} overlapping clouds",
        sides={
            "gradus": Side("gradus, GaussianMixture(n_init=1)", ours, "gradus-dl"),
            "sklearn": Side("scikit-learn, GaussianMixture()", theirs),
        },
        quality=partial(mixture_quality, X),
        worse=lambda mine, other: (
            "" if mine["log_likelihood"] > other["log_likelihood"] - 0.05 else "a worse optimum by over 0.05 nats"
        ),
        note="starts differ, so optima may: those within 0.05 nats a row count as equal",
    )


# ---- hidden Markov models ----


@dataclass(frozen=True)
class HiddenStart:
    """Where all sides begin."""

    start: np.ndarray
    transitions: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    def state(self) -> HiddenMarkovState:
        """Return it as ours."""
        arrays = [torch.from_numpy(a) for a in (self.start, self.transitions, self.means, self.covariances)]
        return HiddenMarkovState(Chain(*arrays[:2]), GaussianParameters(*arrays[2:]))


def chains(n: int, steps: int, k: int, d: int) -> tuple[np.ndarray, HiddenStart]:
    """Draw sequences from a hidden chain, and a start at random rows."""
    rng = np.random.default_rng(0)
    moves, means = rng.dirichlet(np.full(k, 0.5), k), 1.5 * rng.normal(size=(k, d))
    state = rng.integers(k, size=n)
    path = [state]
    for _ in range(steps - 1):
        state = (moves[state].cumsum(1) < rng.random((n, 1))).sum(1).clip(0, k - 1)
        path.append(state)
    X = means[np.stack(path, 1)] + rng.normal(size=(n, steps, d))
    rows = X.reshape(-1, d)
    begun = rows[rng.choice(len(rows), k, replace=False)]
    transitions = rng.dirichlet(np.full(k, 5.0), k)
    return X, HiddenStart(np.full(k, 1 / k), transitions, begun, np.tile(rows.var(0), (k, 1)))


def hidden_of_ours(X: np.ndarray, start: HiddenStart, dtype: torch.dtype, _seed: int) -> HiddenMarkovState:
    """Take the steps from the arrays as they come: packing is on the clock."""
    n, steps, d = X.shape
    layout, family = layout_of([steps] * n), GaussianFamily(covariance="diag", floor=0.0)
    rows = torch.from_numpy(X.reshape(-1, d))[layout.source].to(dtype)
    step = partial(hidden_markov_step, family=family, rows=rows, layout=layout)
    count = STEPS["hidden Markov"]
    return run_em(step, start.state(), units=len(rows), max_iter=count, tolerance=-np.inf).state


def hidden_of_theirs(X: np.ndarray, start: HiddenStart, implementation: str, _seed: int) -> HiddenMarkovState:
    """Fit hmmlearn's from the same parameters, without its prior on variances."""
    from hmmlearn.hmm import GaussianHMM

    logging.getLogger("hmmlearn").setLevel(logging.ERROR)  # it reports that it did not converge
    n, steps, d = X.shape
    model = GaussianHMM(
        len(start.start),
        covariance_type="diag",
        min_covar=0.0,
        covars_prior=0.0,
        covars_weight=1.0,
        n_iter=STEPS["hidden Markov"],
        tol=-np.inf,
        init_params="",
        implementation=implementation,
    )
    model.n_features = d
    model.startprob_, model.transmat_ = start.start, start.transitions
    model.means_, model.covars_ = start.means, start.covariances
    model.fit(X.reshape(-1, d), [steps] * n)
    variances = np.diagonal(model.covars_, axis1=1, axis2=2).copy()
    return HiddenStart(model.startprob_, model.transmat_, model.means_, variances).state()


def hidden_quality(X: np.ndarray, state: HiddenMarkovState) -> dict[str, float]:
    """Return the likelihood of a step, in double precision and logarithms."""
    part = X[:100]
    layout, family = layout_of([part.shape[1]] * len(part)), GaussianFamily(covariance="diag")
    rows = torch.from_numpy(part.reshape(-1, X.shape[2]))[layout.source]
    found = forward_backward(state.chain, family.log_densities(state.emission, rows), layout, "log")
    return {"log_likelihood": float(found.log_likelihood.sum()) / len(rows)}


def hidden_markov(quick: bool) -> Race:
    """Equal steps from an equal start."""
    n, steps, k, d = (100, 50, 4, 3) if quick else (1000, 100, 10, 5)
    X, start = chains(n, steps, k, d)

    def peer(implementation: str) -> Side:
        label = f"hmmlearn, GaussianHMM(implementation={implementation!r})"
        return Side(label, partial(hidden_of_theirs, X, start, implementation), "hmmlearn")

    def ours(dtype: torch.dtype) -> Side:
        label = f"gradus, hidden_markov_step, {str(dtype).removeprefix('torch.')}"
        return Side(label, partial(hidden_of_ours, X, start, dtype), "gradus-dl")

    return Race(
        title=f"EM of a hidden Markov model, {k} states, diagonal Gaussians, {STEPS['hidden Markov']} steps",
        data=f"{n} sequences of {steps} steps of {d} numbers",
        sides={
            "gradus": ours(torch.float32),
            "gradus_float64": ours(torch.float64),
            "hmmlearn_scaling": peer("scaling"),
            "hmmlearn_log": peer("log"),
        },
        quality=partial(hidden_quality, X),
        worse=worse,
        targets={"hmmlearn_scaling": 3.0, "hmmlearn_log": 15.0},
        note="hmmlearn's default is 'log'; both compute in float64",
    )


RACES = {
    "gaussian_mixture": gaussian_mixture,
    "gaussian_mixture_whole": gaussian_mixture_whole,
    "hidden_markov": hidden_markov,
}
