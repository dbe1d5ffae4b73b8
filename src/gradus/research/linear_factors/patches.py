"""Factors of small patches of pictures: cut, evened in contrast, whitened, and explained by a few filters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from gradus.core.errors import InputError
from gradus.core.options import option
from gradus.core.randomness import derive, resolve_seed
from gradus.estimators.base import Estimator
from gradus.estimators.exhibit import Exhibit
from gradus.research.linear_factors.base import Array
from gradus.research.linear_factors.ica import ICA
from gradus.research.linear_factors.pca import PCA
from gradus.research.linear_factors.sparse_coding import SparseCoding
from gradus.research.linear_factors.sparse_inference import sparse_codes

__all__ = ["PatchFactors", "cut_patches", "tiled_patches"]

FLAT = 0.2  # of the patches' deviation as a whole: with less contrast a patch says nothing of edges
FAINT = 0.01  # share of the patches learned from whose contrast is not raised any more
LEAST_ROWS = 100


def cut_patches(
    pictures: Sequence[NDArray[Any]] | NDArray[Any], size: int, n: int, drawing: np.random.Generator
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Cut square patches at places drawn at random, from each picture the same number within one.

    Parameters
    ----------
    pictures : sequence of arrays of shape (height, width) or (height, width, channels)
        Of any sizes from ``size`` on.
    size : int
        Side of a patch, in pixels.
    n : int
        How many.
    drawing : numpy.random.Generator
        Draws the places.

    Returns
    -------
    tuple
        Patches of shape (n, size, size), colours averaged, and of each the number of its picture.

    Raises
    ------
    InputError
        If a picture is smaller than a patch.

    Examples
    --------
    >>> cut_patches([np.eye(20), np.ones((9, 30))], 8, 5, np.random.default_rng(0))[1].tolist()
    [0, 0, 0, 1, 1]
    """
    found, numbers = [], []
    for index, each in enumerate(np.array_split(np.arange(n), len(pictures))):
        picture = grey(pictures[index])
        if min(picture.shape) < size:
            shape = " x ".join(map(str, picture.shape))
            raise InputError(f"pictures of {size} pixels a side or more", shape, "set a smaller patch_size")
        tops, lefts = (drawing.integers(0, side - size + 1, len(each)) for side in picture.shape)
        views = np.lib.stride_tricks.sliding_window_view(picture, (size, size))
        found.append(views[tops, lefts])
        numbers.append(np.full(len(each), index))
    return np.concatenate(found), np.concatenate(numbers)


def tiled_patches(picture: NDArray[Any], size: int) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Cut a picture into patches side by side; what is left at the right and the lower edge is left out.

    Parameters
    ----------
    picture : array of shape (height, width) or (height, width, channels)
    size : int
        Side of a patch, in pixels.

    Returns
    -------
    tuple
        Patches of shape (n, size, size), colours averaged, and the row and column of each one's upper left pixel, of
        shape (n, 2).

    Examples
    --------
    >>> patches, places = tiled_patches(np.arange(30.0).reshape(5, 6), 3)
    >>> patches[1].tolist(), places.tolist()
    ([[3.0, 4.0, 5.0], [9.0, 10.0, 11.0], [15.0, 16.0, 17.0]], [[0, 0], [0, 3]])
    """
    plain = grey(picture)
    down, across = (side // size for side in plain.shape)
    part = plain[: down * size, : across * size].reshape(down, size, across, size)
    places = np.stack(np.meshgrid(np.arange(down), np.arange(across), indexing="ij"), -1).reshape(-1, 2) * size
    return part.swapaxes(1, 2).reshape(-1, size, size), places


def grey(picture: NDArray[Any]) -> NDArray[Any]:
    """Return brightness of shape (height, width)."""
    if picture.ndim not in (2, 3) or (picture.ndim == 3 and picture.shape[2] not in (1, 3)):
        expected = "pictures of shape (height, width) or (height, width, 1 or 3)"
        raise InputError(expected, f"shape {picture.shape}", "pass a list of pictures, channels last")
    return picture if picture.ndim == 2 else picture.mean(2)


@dataclass(kw_only=True, eq=False, repr=False)
class PatchFactors(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Estimator):
    """Filters of which few at a time explain a patch of a picture, as simple cells of the visual cortex do.

    ``fit`` cuts patches from pictures, takes the logarithm of their brightness (1 + x) and their mean away, leaves out
    flat ones, whitens them within their principal directions, and brings all to one contrast. Of these rows ``w`` it
    learns factors ``w ≈ Σ z_k a_k``. ``transform`` codes patches by a lasso (methods "sparse" and "patches") or
    linearly ("ica" and "pca"); ``approximate`` takes the same number of factors for every patch, whatever the method,
    so that methods can be compared.

    Parameters
    ----------
    method : {"sparse", "ica", "pca", "patches"}
        Sparse coding; independent components (FastICA); principal directions; patches as they are, drawn at random.
    n_components : int, optional
        Number of factors; by default of "sparse" and "patches" twice the whitened directions, of the others as many.
    patch_size : int
        Side of a patch, in pixels.
    n_patches : int
        Patches cut from all pictures together, before flat ones are left out.
    keep : float
        Share of the principal directions that are whitened: the rest is grain, and corners of the grid of pixels.
    penalty : float
        λ of the codes' sizes, for rows of variance 1 a direction.
    max_iter : int
        Changes of the dictionary.
    active : int
        Factors a patch of `approximate`.
    random_state : int or generator, optional
        Of places and first atoms.

    Attributes
    ----------
    atoms_ : ndarray of shape (k, directions)
        Factors in the space of whitened patches, the one that explains most first.
    unmixing_ : ndarray of shape (k, directions)
        Of "ica" and "pca": codes are ``unmixing_ @ w``.
    whitening_, coloring_ : ndarray of shape (directions, pixels) and (pixels, directions)
        To whitened rows, and back.
    contrast_ : float
        Least length of a whitened row that is raised to one contrast.
    brightest_ : float
        Value of a white pixel.
    n_patches_, n_components_, seed_ : int

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> pictures = load_sample_images().images
    >>> model = PatchFactors(n_components=60, patch_size=8, n_patches=2000, max_iter=10, random_state=0).fit(pictures)
    >>> model.filters_.shape
    (60, 8, 8)
    >>> patches, _ = tiled_patches(pictures[0], 8)
    >>> model.transform(patches).shape
    (4240, 60)

    References
    ----------
    Goodfellow et al. 2016, §13.4 and §12.2.1; Olshausen & Field 1996; Bell & Sejnowski 1997, The independent
    components of natural scenes are edge filters; Coates & Ng 2011 (patches as they are).
    """

    method: Literal["sparse", "ica", "pca", "patches"] = option("sparse", "how factors are found")
    n_components: int | None = option(
        None, "number of factors; none: twice the whitened directions for sparse and patches, else as many", low=1
    )
    patch_size: int = option(12, "side of a patch", unit="pixels", low=5, high=32)
    n_patches: int = option(20_000, "patches cut from all training pictures together", unit="patches", low=500)
    keep: float = option(0.7, "share of the principal directions that are whitened, the rest is grain", above=0, high=1)
    penalty: float = option(1.5, "weight of the codes' sizes, for rows of variance 1 a direction", above=0)
    max_iter: int = option(60, "changes of the dictionary", low=1)
    active: int = option(10, "factors a patch by which methods are compared", unit="factors", low=1)
    random_state: Any = option(None, "seed of places and first atoms")

    def fit(self, X: Sequence[NDArray[Any]] | NDArray[Any], y: Any = None) -> Self:
        """Cut patches from pictures and learn their factors.

        Parameters
        ----------
        X : sequence of arrays, or array of shape (n, height, width[, channels])
            Pictures, of one size or of different ones.
        y : ignored
            Present for pipelines.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If pictures are smaller than patches, or nearly all patches are flat.
        """
        self.check_settings()
        self.seed_ = resolve_seed(self.random_state)
        self.brightest_ = 255.0 if X[0].dtype == np.uint8 else max(float(picture.max()) for picture in X) or 1.0
        drawing = np.random.default_rng(derive(self.seed_, "patches"))
        self.n_features_in_ = self.patch_size**2
        rows = self._logarithms(cut_patches(X, self.patch_size, self.n_patches, drawing)[0])
        rows = rows[rows.std(1) > FLAT * rows.std()]
        if len(rows) < LEAST_ROWS:
            raise InputError(f"{LEAST_ROWS} patches that are not flat", str(len(rows)), "raise n_patches")
        self.n_patches_ = len(rows)
        directions = max(2, min(round(self.keep * rows.shape[1]), rows.shape[1] - 1, len(rows) - 1))
        found = PCA(n_components=directions).fit(rows)
        scale = np.sqrt(np.maximum(found.explained_variance_, 1e-12 * found.explained_variance_[0]))
        self.whitening_ = found.components_ / scale[:, None]
        self.coloring_ = (found.components_ * scale[:, None]).T
        self.mean_ = found.mean_
        white = (rows - self.mean_) @ self.whitening_.T
        self.contrast_ = float(np.quantile(np.linalg.norm(white, axis=1), FAINT)) or 1.0
        self._learn(self._evened(white), drawing)
        self.n_components_ = len(self.atoms_)
        return self

    def _learn(self, white: Array, drawing: np.random.Generator) -> None:
        directions = white.shape[1]
        overcomplete = self.method in ("sparse", "patches")
        k = self.n_components or (2 if overcomplete else 1) * directions
        if not overcomplete and k > directions:
            mend = f"set n_components={directions} or lower, or method='sparse'"
            raise InputError(f"at most {directions} components of {self.method}", str(k), mend)
        self.unmixing_ = np.zeros((0, directions))
        if self.method == "sparse":
            model = SparseCoding(n_components=k, penalty=self.penalty, max_iter=self.max_iter, tol=0,
                                 random_state=self.seed_).fit(white)  # fmt: skip
            atoms = model.components_
            self.center_ = model.mean_
        elif self.method == "patches":
            taken = white[drawing.permutation(len(white))[:k]]
            atoms, self.center_ = taken / np.linalg.norm(taken, axis=1, keepdims=True), white.mean(0)
        elif self.method == "ica":
            separated = ICA(n_components=k, method="symmetric", random_state=self.seed_).fit(white)
            atoms, self.unmixing_, self.center_ = separated.mixing_.T, separated.components_, separated.mean_
        else:
            atoms, self.center_ = np.eye(directions)[:k], white.mean(0)
            self.unmixing_ = atoms
        shown = atoms @ self.coloring_.T  # the sign of a factor means nothing: its strongest pixel is bright
        strongest = np.take_along_axis(shown, np.abs(shown).argmax(1)[:, None], 1)
        signs = np.where(strongest < 0, -1.0, 1.0)
        self.atoms_ = np.ascontiguousarray(atoms * signs)
        self.unmixing_ = self.unmixing_ * signs[: len(self.unmixing_)]

    # -- rows ----------------------------------------------------------------------------------------------------

    def _logarithms(self, patches: NDArray[Any]) -> Array:
        """Return flat rows of the logarithm of brightness, each with mean zero."""
        values = np.asarray(patches, dtype=np.float64).reshape(len(patches), -1)
        rows = np.log1p(np.maximum(values, 0) * (255.0 / self.brightest_))
        return rows - rows.mean(1, keepdims=True)

    def _evened(self, white: Array) -> Array:
        lengths = np.maximum(np.linalg.norm(white, axis=1, keepdims=True), self.contrast_)
        return white * (np.sqrt(white.shape[1]) / lengths)

    def whitened(self, X: ArrayLike) -> Array:
        """Return patches as the rows that factors explain.

        Parameters
        ----------
        X : array-like of shape (n, patch_size, patch_size)
            Patches, brightness on the scale of the pictures.

        Returns
        -------
        ndarray of shape (n, directions)
            Of length √directions, where a patch is not nearly flat.

        Raises
        ------
        InputError
            If patches have another size.
        """
        check_is_fitted(self)
        patches = np.asarray(X)
        if patches.ndim != 3 or patches.shape[1:] != (self.patch_size, self.patch_size):
            expected = f"patches of shape (n, {self.patch_size}, {self.patch_size})"
            raise InputError(expected, f"shape {patches.shape}", "cut them with tiled_patches")
        return self._evened((self._logarithms(patches) - self.mean_) @ self.whitening_.T)

    # -- answers -------------------------------------------------------------------------------------------------

    @property
    def _n_features_out(self) -> int:
        return int(self.n_components_)

    @property
    def filters_(self) -> Array:
        """What a unit of each factor adds to a patch, of shape (k, patch_size, patch_size)."""
        return self.shown(self.atoms_)

    def transform(self, X: ArrayLike) -> Array:
        """Return the codes of patches.

        Parameters
        ----------
        X : array-like of shape (n, patch_size, patch_size)
            Patches.

        Returns
        -------
        ndarray of shape (n, k)
        """
        rows = self.whitened(X) - self.center_
        if len(self.unmixing_):
            return rows @ self.unmixing_.T
        return sparse_codes(rows, self.atoms_, self.penalty, max_iter=2000, tol=1e-4).codes

    def inverse_transform(self, Z: ArrayLike) -> Array:
        """Return the patches that codes explain: logarithms of brightness, of one contrast and with mean zero.

        Parameters
        ----------
        Z : array-like of shape (n, k)
            Codes.

        Returns
        -------
        ndarray of shape (n, patch_size, patch_size)
        """
        check_is_fitted(self)
        codes = np.asarray(Z, dtype=np.float64)
        if codes.ndim != 2 or codes.shape[1] != self.n_components_:
            expected = f"codes of shape (n, {self.n_components_})"
            raise InputError(expected, f"shape {codes.shape}", "pass what transform returned")
        return self.shown(codes @ self.atoms_ + self.center_)

    def shown(self, white: Array) -> Array:
        """Return whitened rows as patches: logarithms of brightness, of one contrast and with mean zero."""
        return (white @ self.coloring_.T).reshape(-1, self.patch_size, self.patch_size)

    def approximate(self, white: Array) -> Array:
        """Return whitened rows as the best found sum of ``active`` factors, by orthogonal matching pursuit.

        Parameters
        ----------
        white : ndarray of shape (n, directions)
            From `whitened`.

        Returns
        -------
        ndarray of shape (n, directions)
        """
        from sklearn.linear_model import orthogonal_mp_gram

        check_is_fitted(self)
        atoms = self.atoms_ / np.maximum(np.linalg.norm(self.atoms_, axis=1, keepdims=True), 1e-12)
        rows = white - self.center_
        few = min(self.active, *atoms.shape)
        codes = orthogonal_mp_gram(atoms @ atoms.T, atoms @ rows.T, n_nonzero_coefs=few)
        return np.asarray(codes).reshape(len(atoms), -1).T @ atoms + self.center_

    def exhibits(self, data: Any) -> Iterator[Exhibit]:
        """Yield the filters, how well Gabor functions fit them, how few are active, and patches as they are explained.

        Parameters
        ----------
        data : array-like of shape (n, patch_size, patch_size)
            Patches, unseen ones by preference.
        """
        from gradus.research.linear_factors.patch_exhibits import patch_exhibits

        check_is_fitted(self)
        yield from patch_exhibits(self, np.asarray(data))

    def _rebuild(self) -> dict[str, nn.Module]:
        return {}
