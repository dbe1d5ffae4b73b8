"""Rows without a target: what is learned of them, the ladder for each task, and how its rungs are judged.

A density is judged by the log-likelihood of rows it has not seen, in nats and in the units of the data; a code by the
share of the variance that is lost on the way through it; a generator by how far its samples lie from unseen rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from gradus.core.errors import InputError
from gradus.estimators.unsupervised import RowsEstimator
from gradus.practice.intervals import bca
from gradus.practice.ladder import Rung
from gradus.practice.measures import Comparison, Measure, Score
from gradus.research.autoencoders import Autoencoder
from gradus.research.autoregressive import NeuralSplineFlow, RealNVP
from gradus.research.generative import VAE
from gradus.research.generative.evaluation import covered_rows
from gradus.research.inference.mixtures import GaussianMixture
from gradus.research.linear_factors import ICA, PCA, FactorAnalysis, ProbabilisticPCA
from gradus.research.linear_factors.base import LinearFactors

__all__ = [
    "ALONE",
    "AloneTask",
    "CodeContest",
    "DensityContest",
    "Independent",
    "SampleContest",
    "rungs_for",
    "top_for",
]

AloneTask = Literal["density", "factors", "cluster", "compress", "generate"]
ALONE: tuple[AloneTask, ...] = ("density", "factors", "cluster", "compress", "generate")
Rows = NDArray[np.float64]

MOST_FLOW = 128  # columns beyond which a flow takes longer than most would wait for
FEWEST_DRAWN = 32  # rows of a part that samples can be compared with
MOST_DRAWN = 4000  # rows of a part that samples are compared with: more take long, and tell little more
FLOW_ROWS = 400_000  # rows that a flow sees in training, one as often as there are epochs
MOST_FULL = 32  # columns beyond which a covariance for each component is more than rows can settle
GROUPS = (2, 3, 4, 6, 8, 12)
FLOOR = 1e-3  # of variances, the same on every rung: else it decides which mixture is the likeliest
FACTORS = "a plane, and noise of its own for each column"

LIKELIHOOD = Measure("log_likelihood", True, "nats", "log-density of an unseen row, in the units of the data")
LOST = Measure("variance_lost", False, "", "squared error after coding and decoding, over the variance")
COVERED = Measure("coverage", True, "", "share of unseen rows with a sample nearer than their 5th nearest fellow")


class Independent(BaseEstimator):
    """Columns that know nothing of each other: a normal distribution for each. Missing values are passed over."""

    def __sklearn_tags__(self) -> Any:
        """Say that gaps are taken."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: Rows, y: Any = None) -> Independent:
        """Take each column's mean and spread."""
        self.mean_ = np.nanmean(X, 0)
        spread = np.nanstd(X, 0)
        self.scale_ = np.where(spread > 0, spread, 1.0)
        return self

    def score_samples(self, X: Rows) -> Rows:
        """Return the log-density of each row's observed values, in nats."""
        z = (X - self.mean_) / self.scale_
        each = -0.5 * z**2 - np.log(self.scale_) - 0.5 * np.log(2 * np.pi)
        return np.nansum(each, 1)

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Rows:
        """Draw rows."""
        draw = np.random.default_rng(random_state).normal(size=(n_samples, len(self.mean_)))
        return self.mean_ + self.scale_ * draw

    def transform(self, X: Rows) -> Rows:
        """Return codes of no number."""
        return np.zeros((len(X), 0))

    def inverse_transform(self, Z: Rows) -> Rows:
        """Return the mean row, whatever the code."""
        return np.tile(self.mean_, (len(Z), 1))


# ---- what fitted rungs answer, through a pipeline that scales columns as well ----


def log_density(fitted: Any, X: Rows) -> Rows:
    """Return the log-density of rows in nats, in the units of ``X``: a scaling's own share is taken back."""
    if not isinstance(fitted, Pipeline):
        return np.asarray(fitted.score_samples(X), dtype=np.float64)
    scaler = fitted.steps[0][1]
    observed = np.isfinite(X)
    return np.asarray(fitted.score_samples(X)) - (observed * np.log(scaler.scale_)).sum(1)


def takes_gaps(fitted: Any) -> bool:
    """Whether a rung takes rows with missing values: of a pipeline, whether every step does."""
    steps = [step for _, step in fitted.steps] if isinstance(fitted, Pipeline) else [fitted]
    return all(get_tags(step).input_tags.allow_nan for step in steps)


def rebuilt(fitted: Any, X: Rows) -> Rows:
    """Return rows after coding and decoding."""
    return np.asarray(fitted.inverse_transform(fitted.transform(X)), dtype=np.float64).reshape(X.shape)


def drawn(fitted: Any, n: int, seed: int | None) -> Rows:
    """Draw rows of a fitted rung, in the units of the rows it learned from."""
    last = fitted.steps[-1][1] if isinstance(fitted, Pipeline) else fitted
    rows = np.asarray(last.sample(n, random_state=seed), dtype=np.float64).reshape(n, -1)
    return fitted.steps[0][1].inverse_transform(rows) if isinstance(fitted, Pipeline) else rows


# ---- ladders ----


def _scaled(estimator: Any, pixels: bool = False) -> Any:
    """Put a scaling of the columns before an estimator; pixels have one unit already."""
    return estimator if pixels else make_pipeline(StandardScaler(), estimator)


def rungs_for(
    task: AloneTask, X: Rows, components: int, seed: int, *, gaps: bool | None = None, pixels: bool = False
) -> list[Rung]:
    """Return the rungs below the top, the simplest first.

    Parameters
    ----------
    task : str
        One of `ALONE`.
    X : ndarray of shape (rows, columns)
        Training rows, which may have gaps (NaN).
    components : int
        Numbers in a code.
    seed : int
        Of what draws.
    gaps : bool, optional
        Whether rows may have gaps; by default, whether these have.
    pixels : bool
        Whether columns are pixels, which are not scaled each by itself.
    """
    gaps = bool(np.isnan(X).any()) if gaps is None else gaps
    form: Any = "full" if X.shape[1] <= MOST_FULL else "diag"
    trivial = Rung("independent columns", "trivial", Independent(), "what columns tell without each other")
    plane = Rung("probabilistic PCA", "classical", _scaled(ProbabilisticPCA(n_components=components), pixels),
                 "one plane, and the same noise around it everywhere")  # fmt: skip
    if task == "compress":
        mean = Rung("mean row", "trivial", Independent(), "what a code of no number keeps")
        flat = Rung("PCA", "classical", _scaled(PCA(n_components=components, random_state=seed), pixels),
                    "the best plane: what a linear code of this length keeps")  # fmt: skip
        return [mean, flat]
    if task == "factors":
        sources = Rung(
            "ICA", "classical", _scaled(ICA(random_state=seed), pixels), "as many independent sources as columns"
        )
        return [trivial, plane] if gaps else [trivial, plane, sources]
    if task == "cluster":
        one = Rung("one group", "trivial", _mixture(1, form, seed), "whether there are groups at all")
        return [one, *(Rung(f"{k} groups", "classical", _mixture(k, form, seed), "a normal distribution for each group")
                       for k in GROUPS if k * 5 <= len(X))]  # fmt: skip
    if X.shape[1] < 2:
        return [trivial]
    if gaps:
        return [trivial, plane]
    k = min(10, max(2, len(X) // 50))
    groups = Rung(f"mixture of {k} Gaussians", "classical", _mixture(k, form, seed), "several clouds of rows")
    rungs = [trivial, plane, groups]
    if task == "density":
        kind = FactorAnalysis(n_components=components)
        rungs.insert(2, Rung("factor analysis", "classical", _scaled(kind, pixels), FACTORS))
    if task == "density" and X.shape[1] <= MOST_FLOW:  # rows to generate get no noise, and a flow spikes on steps
        if pixels:
            name, cls, why, given = _autoencoder()
            model = cls(**given, n_components=components, random_state=seed)
            rungs.append(Rung(name, "network", model, why))
        affine = RealNVP(**_flow(X), random_state=seed)
        rungs.append(Rung("flow of affine couplings", "network", affine, "the normal distribution, stretched and bent"))
    return rungs


def _flow(X: Rows) -> dict[str, Any]:
    epochs = int(np.clip(FLOW_ROWS // max(1, len(X)), 10, 100))
    return {"layers": 4, "hidden": (64,), "max_epochs": epochs, "learning_rate": 1e-3}


def _mixture(k: int, form: Any, seed: int) -> GaussianMixture:
    return GaussianMixture(n_components=k, covariance=form, floor=FLOOR, random_state=seed)


def top_for(
    task: AloneTask, X: Rows, *, gaps: bool | None = None, pixels: bool = False
) -> tuple[str, type[Any], str, dict[str, Any]]:
    """Return name, class, reason and settings of the top of the ladder, whose settings a user may set."""
    gaps = bool(np.isnan(X).any()) if gaps is None else gaps
    if task == "factors" or (gaps and task in ("density", "generate")):
        return "factor analysis", FactorAnalysis, FACTORS, {}
    if task == "cluster":
        form = "full" if X.shape[1] <= MOST_FULL else "diag"
        five = {"n_components": 5, "covariance": form, "floor": FLOOR}
        return "mixture of 5 groups", GaussianMixture, "as asked", five
    if task == "compress":
        if gaps:
            return "PCA over gaps", PCA, "the best plane through what is observed", {}
        hidden: dict[str, Any] = {"hidden": (128,), "max_epochs": 60, "learning_rate": 2e-3}
        return "autoencoder", Autoencoder, "whether a curved code keeps more than a plane", hidden
    if X.shape[1] < 2:
        k = min(10, max(2, len(X) // 50))
        clouds = {"n_components": k, "floor": FLOOR}
        return f"mixture of {k} Gaussians", GaussianMixture, "several clouds of rows", clouds
    if task == "density" and X.shape[1] <= MOST_FLOW:
        return "flow of splines", NeuralSplineFlow, "a density of any shape, exact", _flow(X)
    # of whole levels without noise, a pixel that is hardly ever on has next to no spread of its own: it would decide
    return _autoencoder("shared" if pixels and task == "generate" else "columns")


def _autoencoder(spread: str = "columns") -> tuple[str, type[Any], str, dict[str, Any]]:
    settings = {
        "hidden": (128,),
        "max_epochs": 100,
        "learning_rate": 2e-3,
        "spread": spread,
        "likelihood": "gaussian",
    }
    return "variational autoencoder", VAE, "a curved surface with noise around it; a bound on its density", settings


# ---- contests ----


class _Rows:
    """Parts of rows without a target."""

    counted = "rows"
    tested = True

    def __init__(
        self,
        train: Rows,
        valid: Rows,
        test: Rows,
        seed: int,
        picture: tuple[int, ...] = (),
        levels: int = 0,
        given_out: Callable[[Rows], Rows] | None = None,
    ) -> None:
        self.train, self.parts, self.seed = train, {"valid": valid, "test": test}, seed
        self.picture, self.levels = picture, levels
        self.given_out = given_out or (lambda rows: rows)

    def fit(self, estimator: Any, rung: Rung) -> Any:
        """Fit one rung to the training rows; a network is shown pictures as pictures."""
        if not isinstance(estimator, RowsEstimator | LinearFactors):
            return estimator.fit(self.train)
        shape = self.picture or self.train.shape[1:]
        train, valid = (rows.reshape(-1, *shape) for rows in (self.train, self.parts["valid"]))
        return estimator.fit(train, X_val=valid) if isinstance(estimator, RowsEstimator) else estimator.fit(train)


class DensityContest(_Rows):
    """Densities: the mean log-likelihood of unseen rows decides, in nats and in the units of the data.

    Parameters
    ----------
    train, valid, test : ndarray of shape (rows, columns)
    seed : int
        Of samples.
    picture : tuple of int
        Shape of a row that is a picture.
    levels : int
        Of pixels that noise of one step was added to; 0 where none was.
    """

    metric = LIKELIHOOD

    def judge(self, fitted: Any, part: Literal["valid", "test"]) -> tuple[Rows, Score]:
        """Return the log-density of each row of a part, and their mean."""
        scores = log_density(fitted, self.parts[part])
        return scores, _mean(scores)

    def compare(self, first: Rows, second: Rows) -> Comparison:
        """Compare two densities on the same rows."""
        return _paired(first - second)

    def others(self, answers: Rows) -> Iterator[tuple[Measure, Score]]:
        """Yield the log-likelihood, and the same over columns in bits."""
        yield self.metric, _mean(answers)
        per_column = -answers / np.log(2) / self.train.shape[1]
        if self.levels:  # of pixels between 0 and 1: those of a step are log2 of the levels more
            why = f"bits that a pixel of {self.levels} levels takes at most"
            yield Measure("bits_per_pixel", False, "bits", why), _mean(per_column + np.log2(self.levels))
            return
        yield Measure("bits_per_column", False, "bits", "negative log-density over columns, in bits"), _mean(per_column)


class CodeContest(_Rows):
    """Codes: the share of the variance of unseen rows that is lost in coding and decoding decides."""

    metric = LOST

    def judge(self, fitted: Any, part: Literal["valid", "test"]) -> tuple[Rows, Score]:
        """Return squared error and squared distance from the training mean of each row, and the ratio of their sums."""
        rows = self.parts[part]
        known = np.isfinite(rows)
        center, spread = np.nanmean(self.train, 0), np.nanstd(self.train, 0)
        unit: Any = 1.0 if self.picture else np.where(spread > 0, spread, 1.0)
        lost = np.where(known, (rebuilt(fitted, rows) - rows) / unit, 0.0)
        whole = np.where(known, (rows - center) / unit, 0.0)
        sums = np.stack([(lost**2).sum(1), (whole**2).sum(1)], axis=1)
        return sums, self._score(sums)

    def _score(self, sums: Rows) -> Score:
        value = float(_share(sums.sum(0)))
        low, high, how = bca(sums, _share)
        return Score(value, min(low, value), max(high, value), len(sums), how)

    def compare(self, first: Rows, second: Rows) -> Comparison:
        """Compare two codes on the same rows."""
        columns = np.stack([first[:, 0], second[:, 0], first[:, 1]], axis=1)

        def gap(s: Any) -> Any:
            return (s[..., 0] - s[..., 1]) / s[..., 2]

        low, high, how = bca(columns, gap)
        better: Any = "second" if low > 0 else "first" if high < 0 else None
        return Comparison(float(gap(columns.sum(0))), low, high, len(first), f"paired {how}", better)

    def others(self, answers: Rows) -> Iterator[tuple[Measure, Score]]:
        """Yield the share of the variance lost."""
        yield self.metric, self._score(answers)


class SampleContest(_Rows):
    """Generators: the share of unseen rows that samples come near decides; as many samples are drawn as there are rows.

    Samples are judged as they are given out (``given_out``): rounded where the columns of the data are.
    Moments and broad kernels would favour the normal distribution that has the data's covariance, however little its
    samples look like rows. A generator that repeats the training rows is not told apart from a good one.
    """

    metric = COVERED

    def judge(self, fitted: Any, part: Literal["valid", "test"]) -> tuple[Rows, Score]:
        """Return for each row whether samples cover it, and the share of these."""
        rows = self.parts[part]
        rows = rows[np.isfinite(rows).all(1)]  # a row with gaps lies nowhere
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(MOST_DRAWN, len(rows))).astype(int))]
        if len(rows) < FEWEST_DRAWN:
            raise InputError(f"{FEWEST_DRAWN} rows without gaps in each part", str(len(rows)), "add rows")
        center, spread = np.nanmean(self.train, 0), np.nanstd(self.train, 0)
        # pixels have one unit; a pixel that is hardly ever on must not outweigh the others
        unit = np.where(spread > 0, spread, 1.0) if not self.picture else np.sqrt((spread**2).mean())
        samples = (self.given_out(drawn(fitted, len(rows), self.seed)) - center) / unit
        found = covered_rows((rows - center) / unit, samples).astype(np.float64)
        return found, _mean(found)

    def compare(self, first: Rows, second: Rows) -> Comparison:
        """Compare two generators on the same rows."""
        return _paired(first - second)

    def others(self, answers: Rows) -> Iterator[tuple[Measure, Score]]:
        """Yield the share of rows covered."""
        yield self.metric, _mean(answers)


def contest_for(task: AloneTask) -> type[_Rows]:
    """Return the kind of contest by which rungs of a task are judged."""
    kinds: dict[str, type[_Rows]] = {"compress": CodeContest, "generate": SampleContest}
    return kinds.get(task, DensityContest)


def _share(sums: Any) -> Any:
    return sums[..., 0] / sums[..., 1]


def _mean(values: Rows) -> Score:
    columns = np.stack([values, np.ones(len(values))], axis=1)
    value = float(values.mean())
    low, high, how = bca(columns, _share)
    return Score(value, min(low, value), max(high, value), len(values), how)


def _paired(gaps: Rows) -> Comparison:
    found = _mean(gaps)
    better: Any = "first" if found.low > 0 else "second" if found.high < 0 else None
    return Comparison(found.value, found.low, found.high, found.n, f"paired {found.how}", better)
