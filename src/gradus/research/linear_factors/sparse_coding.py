"""Sparse coding: a dictionary of atoms, of which few at a time explain a row (§13.4)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from gradus.core.options import option
from gradus.core.randomness import derive, resolve_seed
from gradus.estimators.exhibit import Exhibit
from gradus.estimators.exhibits import learning_curves
from gradus.research.linear_factors.base import Array, LinearFactors, signed
from gradus.research.linear_factors.sparse_inference import lasso_objective, sparse_codes

__all__ = ["SparseCoding", "improved"]

INNER = 10  # iterations of inference between two changes of the dictionary: codes go on from where they were
USED = 1e-8  # an atom whose code has a smaller mean square, as a share of the largest, explains nothing


class Sums(NamedTuple):
    """What a dictionary's improvement needs of rows and codes: means of ``z zᵀ`` and of ``z xᵀ``."""

    codes: Array
    rows: Array


def improved(dictionary: Array, sums: Sums, spare: Array) -> tuple[Array, int]:
    """Return a dictionary that explains rows better by the same codes: one atom after another, in closed form.

    ``d_k ← d_k + (E[z_k x] - Σ_j E[z_k z_j] d_j) / E[z_k²]``, put back to length 1 where it is longer.

    Parameters
    ----------
    dictionary : ndarray of shape (atoms, features)
    sums : Sums
        Over the rows.
    spare : ndarray of shape (m, features)
        Rows to put in the place of atoms that no row uses, m of 1 or more.

    Returns
    -------
    tuple of ndarray and int
        The dictionary, and how many atoms were replaced.

    References
    ----------
    Mairal et al. 2009, Online dictionary learning for sparse coding, algorithm 2.
    """
    atoms, replaced = dictionary.copy(), 0
    least = USED * float(np.diagonal(sums.codes).max())
    for k in range(len(atoms)):
        weight = sums.codes[k, k]
        if weight <= least:
            atom = spare[replaced % len(spare)]
            atoms[k] = atom / (np.linalg.norm(atom) or 1.0)
            replaced += 1
            continue
        atom = atoms[k] + (sums.rows[k] - sums.codes[k] @ atoms) / weight
        atoms[k] = atom / max(1.0, float(np.linalg.norm(atom)))
    return atoms, replaced


@dataclass(kw_only=True, eq=False, repr=False)
class SparseCoding(LinearFactors):
    """A dictionary learned so that few of its atoms explain each row.

    ``min Σ ½ ‖x - b - Dᵀ z‖² + λ ‖z‖₁`` over codes ``z`` of all rows and atoms of length 1 or less: codes and atoms in
    turns. As a model: ``p(z) ∝ exp(-λ' ‖z‖₁)`` and Gaussian noise, with codes at their most probable values.

    Parameters
    ----------
    n_components : int, optional
        Number of atoms; by default as many as features. More than features are welcome.
    penalty : float
        λ, in the units of the rows: larger for fewer atoms a row.
    algorithm : {"fista", "ista", "coordinate"}
        Inference: `gradus.research.linear_factors.sparse_inference.sparse_codes`.
    batch_size : int, optional
        Rows a step of mini-batch learning, for many rows; by default all rows every time.
    max_iter : int
        Most changes of the dictionary; with ``batch_size``, most passes over the rows.
    tol : float
        Learning ends where the objective falls by a smaller share, in the mean of five changes.
    transform_max_iter, transform_tol
        Of the inference in `transform`: most iterations, and the duality gap to reach as a share of ``½ ‖x‖²``.
    random_state : int or generator, optional
        Of the rows that atoms begin as, and the order of batches.

    Attributes
    ----------
    components_ : ndarray of shape (k, features)
        **D**; the book's **W** has the atoms as columns. The atom that explains most is the first.
    mean_ : ndarray of shape (features,)
        The book's **b**.
    objectives_ : list of float
        Means a row, after each change of the dictionary.
    scales_ : ndarray of shape (k,)
        Mean size of each atom's code over the training rows.
    noise_variance_ : float
        Mean square of what codes leave unexplained, a feature.
    n_components_, n_iter_, seed_ : int

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = load_digits().data[:200]
    >>> model = SparseCoding(n_components=20, penalty=10.0, max_iter=20, tol=1e-2, random_state=0).fit(X)
    >>> codes = model.transform(X)
    >>> codes.shape, bool((codes == 0).mean() > 0.5)
    ((200, 20), True)

    References
    ----------
    Goodfellow et al. 2016, §13.4; Olshausen & Field 1996, Emergence of simple-cell receptive field properties by
    learning a sparse code for natural images; Mairal et al. 2009.
    """

    n_components: int | None = option(None, "number of atoms; by default the number of features", low=1)
    penalty: float = option(1.0, "weight of the codes' sizes, in the units of the rows", above=0)
    algorithm: Literal["fista", "ista", "coordinate"] = option("fista", "how codes are inferred")
    batch_size: int | None = option(None, "rows a step of mini-batch learning; by default all", unit="rows", low=1)
    max_iter: int = option(1000, "most changes of the dictionary, or passes in mini-batches", low=1)
    tol: float = option(1e-4, "least share by which the objective has to fall", low=0)
    transform_max_iter: int = option(2000, "most iterations of inference in transform", low=1)
    transform_tol: float = option(1e-6, "duality gap to reach in transform, as a share of a row's square", above=0)
    random_state: Any = option(None, "seed of first atoms and batches")

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the dictionary.

        Parameters
        ----------
        X : array-like of shape (n, features) or (n, height, width[, channels])
            Rows.
        y : ignored
            Present for pipelines.

        Returns
        -------
        self
        """
        self.check_settings()
        rows = self._table(X, reset=True)
        self.seed_ = resolve_seed(self.random_state)
        drawing = np.random.default_rng(derive(self.seed_, "dictionary"))
        self.mean_ = rows.mean(0)
        rows = rows - self.mean_
        self.n_components_ = k = self.n_components or rows.shape[1]
        dictionary = _begin(rows, k, drawing)
        if self.batch_size is None or self.batch_size >= len(rows):
            dictionary, codes = self._learn(rows, dictionary, drawing)
        else:
            dictionary, codes = self._learn_batches(rows, dictionary, drawing)
        explained = np.abs(codes).sum(0) * np.linalg.norm(dictionary, axis=1)
        order = np.argsort(-explained, kind="stable")
        self.components_ = signed(dictionary[order])
        self.scales_ = np.abs(codes).mean(0)[order]
        self.noise_variance_ = float(np.square(rows - codes @ dictionary).mean())
        return self

    def _learn(self, rows: Array, dictionary: Array, drawing: np.random.Generator) -> tuple[Array, Array]:
        # Codes on their way are in single precision, in half the time; the dictionary and the last codes in double.
        single, squares = rows.astype(np.float32), float(np.square(rows).sum()) / len(rows)
        codes = np.zeros((len(rows), len(dictionary)), dtype=np.float32)
        self.objectives_ = []
        for step in range(1, self.max_iter + 1):
            codes = self._infer(single, dictionary.astype(np.float32), codes)
            sums = Sums(*((codes.T @ each).astype(np.float64) / len(rows) for each in (codes, single)))
            dictionary, _ = improved(dictionary, sums, _spare(rows, dictionary, codes, drawing))
            # of atoms replaced the codes are zero, or next to it
            residual = squares - 2 * np.vdot(sums.rows, dictionary) + np.vdot(sums.codes, dictionary @ dictionary.T)
            self.objectives_.append(
                float(0.5 * residual + self.penalty * np.abs(codes).sum(dtype=np.float64) / len(rows))
            )
            self.n_iter_ = step
            if self._settled():
                break
        else:
            self._warn()
        return dictionary, self._infer(rows, dictionary, codes.astype(np.float64))

    def _learn_batches(self, rows: Array, dictionary: Array, drawing: np.random.Generator) -> tuple[Array, Array]:
        """Learn from sums over all batches so far, older ones weighing less: the codes they hold are out of date."""
        k, size = len(dictionary), int(self.batch_size or len(rows))
        sums, weight = Sums(np.zeros((k, k)), np.zeros_like(dictionary)), 0.0
        keep = 1 - size / len(rows)  # what a pass adds is what is left of the passes before it
        self.objectives_, steps = [], max(1, len(rows) // size)
        for epoch in range(1, self.max_iter + 1):
            order, lost = drawing.permutation(len(rows)), []
            for i in range(steps):
                batch = rows[order[i * size : (i + 1) * size]]
                codes = self._infer(batch, dictionary, None, 5 * INNER)
                lost.append(lasso_objective(batch, dictionary, codes, self.penalty).mean())
                weight = keep * weight + 1
                share = 1 / weight
                sums = Sums(
                    sums.codes + share * (codes.T @ codes / size - sums.codes),
                    sums.rows + share * (codes.T @ batch / size - sums.rows),
                )
                dictionary, _ = improved(dictionary, sums, _spare(batch, dictionary, codes, drawing))
            self.objectives_.append(float(np.mean(lost)))
            self.n_iter_ = epoch
            if self._settled():
                break
        else:
            self._warn()
        return dictionary, self._infer(rows, dictionary, None, 10 * INNER)

    def _infer(self, rows: Array, dictionary: Array, start: Array | None, steps: int = INNER) -> Array:
        found = sparse_codes(
            rows,
            dictionary,
            self.penalty,
            algorithm=self.algorithm,
            start=start,
            max_iter=steps,
            tol=0,
            measured=False,
        )
        return found.codes

    def _settled(self) -> bool:
        if len(self.objectives_) < 6:
            return False
        return self.objectives_[-6] - self.objectives_[-1] <= 5 * self.tol * abs(self.objectives_[-1])

    def _warn(self) -> None:
        if self.max_iter > 1 and self.tol > 0:
            message = f"the dictionary had not settled after {self.n_iter_} rounds; raise max_iter or tol"
            warnings.warn(message, ConvergenceWarning, stacklevel=4)

    def transform(self, X: Any) -> Array:
        """Return the codes that minimize each row's objective, to `transform_tol`.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.

        Returns
        -------
        ndarray of shape (n, k)
        """
        check_is_fitted(self)
        rows = self._table(X, reset=False) - self.mean_
        found = sparse_codes(
            rows,
            self.components_,
            self.penalty,
            algorithm=self.algorithm,
            max_iter=self.transform_max_iter,
            tol=self.transform_tol,
        )
        return found.codes

    def inverse_transform(self, Z: ArrayLike) -> Array:
        """Return the rows that codes explain, ``x = b + Dᵀ z``.

        Parameters
        ----------
        Z : array-like of shape (n, k)
            Codes.

        Returns
        -------
        ndarray
            Rows, in the shape that `fit` got them.
        """
        check_is_fitted(self)
        return self._shaped(self._codes(Z) @ self.components_ + self.mean_)

    def objective(self, X: Any) -> Array:
        """Return each row's least ``½ ‖x - b - Dᵀ z‖² + λ ‖z‖₁``; there is no density in closed form.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.

        Returns
        -------
        ndarray of shape (n,)
        """
        codes = self.transform(X)
        rows = self._table(X, reset=False) - self.mean_
        return lasso_objective(rows, self.components_, codes, self.penalty)

    def score(self, X: Any, y: Any = None) -> float:
        """Return minus the mean objective of rows: higher is better."""
        return -float(self.objective(X).mean())

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Array:
        """Draw codes from Laplace priors of the training codes' mean sizes, mix them, and add noise.

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
        codes = drawing.laplace(size=(n_samples, self.n_components_)) * self.scales_
        noise = drawing.standard_normal((n_samples, self.n_features_in_)) * np.sqrt(self.noise_variance_)
        return self._shaped(codes @ self.components_ + self.mean_ + noise)

    def exhibits(self, data: Any) -> Iterator[Exhibit]:
        """Yield the curve of the objective, the atoms, the latent map and reconstructions."""
        yield learning_curves([{"epoch": i, "loss": value} for i, value in enumerate(self.objectives_)])
        yield from super().exhibits(data)


def _begin(rows: Array, k: int, drawing: np.random.Generator) -> Array:
    """Return rows as first atoms, of length 1; where there are too few, or empty ones, directions at random."""
    lengths = np.linalg.norm(rows, axis=1)
    usable = np.flatnonzero(lengths > 1e-6 * (lengths.max() or 1.0))
    taken = drawing.permutation(usable)[:k]
    atoms = drawing.standard_normal((k, rows.shape[1]))
    atoms[: len(taken)] = rows[taken]
    return atoms / np.linalg.norm(atoms, axis=1, keepdims=True)


def _spare(rows: Array, dictionary: Array, codes: Array, drawing: np.random.Generator) -> Array:
    """Return what is left unexplained of a few rows, the worst first."""
    some = drawing.choice(len(rows), min(len(rows), 256), replace=False)
    left = rows[some] - codes[some] @ dictionary
    return left[np.argsort(-np.square(left).sum(1), kind="stable")[:32]]
