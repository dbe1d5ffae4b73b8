"""Principal component analysis: the plane that keeps most of the variance (§2.12, §13.5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from gradus.core.errors import InputError, SettingError
from gradus.core.options import option
from gradus.core.randomness import resolve_seed
from gradus.estimators.exhibit import Exhibit
from gradus.research.linear_factors.base import Array, LinearFactors, signed
from gradus.research.linear_factors.exhibits import pancake, variance_curve, walks
from gradus.research.linear_factors.moments import check_observed
from gradus.research.linear_factors.pca_solvers import WIDEST, Directions, Solver, choose, directions

__all__ = ["PCA"]


@dataclass(kw_only=True, eq=False, repr=False)
class PCA(LinearFactors):
    """The orthogonal directions along which rows vary most; rows may have gaps.

    ``W = argmin Σ ‖x - μ - W Wᵀ(x - μ)‖²`` over ``W`` with ``k`` orthonormal columns: the first eigenvectors of the
    covariance. Where values are missing (NaN), the sum runs over those observed: gaps are filled with what the plane
    says and the plane is fitted again, which never raises the error, until it no longer falls.

    Parameters
    ----------
    n_components : int or float, optional
        How many; below 1, the share of the variance to keep; by default all there are, or
        with gaps one less (with all, any filling fits).
    solver : {"auto", "exact", "covariance", "mixed", "randomized"}
        "exact" decomposes the centred rows; "covariance" their covariance, which is faster and loses directions below
        1e-8 of the widest; "mixed" finds the plane from a covariance in single precision and refines it in double;
        "randomized" sketches. "auto" takes the fastest that is right for the table's shape.
    whiten : bool
        Divide each factor by its standard deviation.
    oversampling, power_iterations : int
        Of "randomized": `gradus.foundations.linear_algebra.randomized_svd`.
    max_iter : int
        Most rounds of filling gaps.
    tol : float
        Filling ends where a round lowers the squared error on observed values by a smaller share than this.
    random_state : int or generator, optional
        Of "randomized".

    Attributes
    ----------
    components_ : ndarray of shape (k, features)
        Our components are the columns of the book's **D** (§2.12) and **W** (§13.5).
    mean_ : ndarray of shape (features,)
    explained_variance_, explained_variance_ratio_ : ndarray of shape (k,)
        Sums of squares over n - 1, and as shares of the variance in all.
    noise_variance_ : float
        Mean variance of the directions left out.
    n_components_, n_iter_ : int
    solver_ : str

    Examples
    --------
    >>> rows = np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    >>> model = PCA(n_components=1).fit(rows)
    >>> model.components_.round(3).tolist(), model.inverse_transform(model.transform([[3.0, np.nan]])).round(3).tolist()
    ([[0.6, 0.8]], [[3.0, 4.0]])

    References
    ----------
    Goodfellow et al. 2016, §2.12 and §13.5; Halko, Martinsson & Tropp 2011; Roweis 1998, EM Algorithms for PCA and
    SPCA (gaps).
    """

    _missing: ClassVar[bool] = True

    n_components: int | float | None = option(None, "components; below 1, the share of variance to keep", above=0)
    solver: Literal["auto", "exact", "covariance", "mixed", "randomized"] = option("auto", "how they are computed")
    whiten: bool = option(False, "divide each factor by its standard deviation")
    oversampling: int = option(10, "extra columns of a random sketch", low=0)
    power_iterations: int = option(4, "power iterations of a random sketch", low=0)
    max_iter: int = option(500, "most rounds of filling gaps", unit="rounds", low=1)
    tol: float = option(1e-7, "least share by which a round of filling must lower the error", low=0)
    random_state: Any = option(None, "seed of random sketches")

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the components.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, height, width[, channels])
            Rows; NaN where not observed.
        y : ignored
            Present for pipelines.

        Returns
        -------
        self
        """
        self.check_settings()
        rows = self._table(X, reset=True, dtype=(np.float64, np.float32))
        self.seed_ = resolve_seed(self.random_state)
        n, d = rows.shape
        most = min(n, d)
        share = isinstance(self.n_components, float) and self.n_components < 1
        if isinstance(self.n_components, float) and not share:
            mend = "write a number of components as an integer"
            raise SettingError("n_components below 1 as a share, or an integer", repr(self.n_components), mend)
        k = most if share else self._width(self.n_components, most)  # type: ignore[arg-type]
        solver: Solver = choose(n, d, k) if self.solver == "auto" else self.solver
        gaps = np.isnan(rows)
        if gaps.any():
            check_observed(gaps)
            if share:
                mend = "set n_components to an integer"
                raise SettingError("a number of components where values are missing", str(self.n_components), mend)
            found = self._filled(rows.astype(np.float64), gaps, k)
            solver = "covariance"
        else:
            self.n_iter_ = 1
            found = self._directions(rows, k, solver)
        ratio = found.variances / found.total if found.total > 0 else np.zeros(len(found.variances))
        if share:
            k = min(most, int(np.searchsorted(np.cumsum(ratio), float(self.n_components or 1)) + 1))
        k = min(k, len(found.components))
        self.mean_, self.components_ = found.mean, signed(found.components[:k])
        self.explained_variance_, self.explained_variance_ratio_ = found.variances[:k], ratio[:k]
        left = found.total - float(found.variances[:k].sum())
        self.noise_variance_ = max(left, 0.0) / (most - k) if most > k else 0.0
        self.n_components_, self.solver_ = k, solver
        return self

    def _directions(self, rows: Any, k: int, solver: Solver) -> Directions:
        return directions(rows, k, solver, seed=self.seed_, oversampling=self.oversampling, power=self.power_iterations)

    def _filled(self, rows: Array, gaps: Any, k: int) -> Directions:
        """Alternate between filling gaps with what the plane says and fitting the plane."""
        if self.n_components is None and k > 1:
            k -= 1
        if k == min(rows.shape) > 1:
            mend = "with as many, any filling fits: ask for fewer components"
            raise SettingError(f"n_components below {k} where values are missing", str(k), mend)
        rows[gaps] = np.broadcast_to(np.nanmean(rows, 0), rows.shape)[gaps]
        solver: Solver = "covariance" if min(rows.shape) <= WIDEST else "randomized"
        scale = float(np.square(rows - rows.mean(0)).sum()) or 1.0
        before = np.inf
        for round_ in range(1, self.max_iter + 1):
            self.n_iter_ = round_
            found = self._directions(rows, k, solver)
            plane = (rows - found.mean) @ found.components.T @ found.components + found.mean
            # of filled values the difference goes to zero as they settle; the error is that of the observed ones
            error = float(np.square((rows - plane)[~gaps]).sum())
            rows[gaps] = plane[gaps]
            if before - error <= self.tol * error or error <= 1e-14 * scale:
                break
            before = error
        return self._directions(rows, k, solver)

    def transform(self, X: Any) -> Array:
        """Return the factors of rows: ``z = Wᵀ (x - μ)``; with gaps, those that bring the observed values nearest.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows; NaN where not observed.

        Returns
        -------
        ndarray of shape (n, k)

        Raises
        ------
        InputError
            If a row has no observed value.
        """
        check_is_fitted(self)
        rows = self._table(X, reset=False)
        gaps = np.isnan(rows)
        centred = rows - self.mean_
        codes = np.empty((len(rows), self.n_components_))
        whole = ~gaps.any(1)
        codes[whole] = centred[whole] @ self.components_.T
        if not whole.all():
            patterns, of = np.unique(gaps[~whole], axis=0, return_inverse=True)
            if patterns.all(1).any():
                raise InputError("an observed value in every row", "a row of NaN", "drop rows without values")
            holed, filled = centred[~whole], np.empty((int((~whole).sum()), self.n_components_))
            for i, pattern in enumerate(patterns):
                members = of == i
                filled[members] = holed[members][:, ~pattern] @ np.linalg.pinv(
                    self.components_[:, ~pattern], rcond=1e-9
                )
            codes[~whole] = filled
        return codes / self._scale if self.whiten else codes

    def inverse_transform(self, Z: ArrayLike) -> Array:
        """Return the points of the plane with the given factors: ``x = μ + W z``.

        Parameters
        ----------
        Z : array-like of shape (n, k)
            Factors.

        Returns
        -------
        ndarray
            Rows, in the shape that `fit` got them.
        """
        check_is_fitted(self)
        codes = self._codes(Z)
        return self._shaped((codes * self._scale if self.whiten else codes) @ self.components_ + self.mean_)

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Array:
        """Draw from the Gaussian within the plane: ``z ~ N(0, Λ)``, ``x = μ + W z``.

        There is no noise off the plane, hence no density: see `ProbabilisticPCA` for one.

        Parameters
        ----------
        n_samples : int
            How many rows, 1 or more.
        random_state : int or generator, optional
            None draws anew.

        Returns
        -------
        ndarray
            Rows, in the shape that `fit` got them.
        """
        drawing = self._drawing(n_samples, random_state)
        codes = drawing.standard_normal((n_samples, self.n_components_)) * np.sqrt(self.explained_variance_)
        return self._shaped(codes @ self.components_ + self.mean_)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the share of the variance of ``X`` that the plane keeps, over observed values.

        Parameters
        ----------
        X : array-like
            Rows; NaN where not observed.
        y : ignored
            Present for searches.

        Returns
        -------
        float
            1 or less.
        """
        check_is_fitted(self)
        rows = self._table(X, reset=False)
        again = self.inverse_transform(self.transform(X)).reshape(len(rows), -1)
        spread = float(np.nansum(np.square(rows - self.mean_)))
        return 1.0 - float(np.nansum(np.square(rows - again))) / (spread or 1.0)

    @property
    def _scale(self) -> Array:
        # A direction of no variance has factors of zero, and stays so
        return np.sqrt(np.where(self.explained_variance_ > 0, self.explained_variance_, 1.0))

    def exhibits(self, data: Any) -> Iterator[Exhibit]:
        """Yield components, explained variance, the latent map, and the manifold view of §13.5."""
        yield variance_curve(self.explained_variance_ratio_)
        yield pancake(self.explained_variance_, self.noise_variance_)
        if len(self.row_shape_) > 1:
            ways = self.components_ * np.sqrt(self.explained_variance_)[:, None]
            yield walks(self.mean_, ways, tuple(self.row_shape_))
        yield from super().exhibits(data)
