"""Races of linear factor models beside scikit-learn's: ``python benchmarks/research.py --room linear_factors``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from recording import pictures_home
from sklearn import decomposition

from gradus.research.linear_factors import ICA, PCA, FactorAnalysis, SparseCoding, lasso_objective, sparse_codes
from research import Race, Side

__all__ = ["RACES"]

Numbers = Mapping[str, float]


def _mnist(rows: int) -> np.ndarray:
    with np.load(pictures_home() / "mnist.npz", allow_pickle=False) as data:
        return data["x_train"][:rows].reshape(rows, -1).astype(np.float64)


def _patches(rows: int, size: int = 8) -> np.ndarray:
    """Patches of grey photographs at random places, as many of each."""
    drawing, cut = np.random.default_rng(0), []
    with np.load(pictures_home() / "photos.npz", allow_pickle=False) as photos:
        for name in photos.files:
            photo = photos[name].astype(np.float64)
            photo = photo.mean(2) if photo.ndim == 3 else photo
            many = -(-rows // len(photos.files))
            places = [drawing.integers(0, side - size + 1, many) for side in photo.shape]
            cut += [photo[i : i + size, j : j + size].ravel() for i, j in zip(*places, strict=True)]
    return drawing.permutation(np.stack(cut))[:rows]


def pca(quick: bool) -> Race:
    """Fifty components of MNIST."""
    rows, k = (6000, 20) if quick else (60_000, 50)
    X = _mnist(rows) / 255

    def quality(model: object) -> dict[str, float]:
        centred = X - X.mean(0)
        left = centred - (centred @ model.components_.T) @ model.components_
        return {"error": float(np.square(left).sum() / np.square(centred).sum())}

    def worse(ours: Numbers, theirs: Numbers) -> str:
        above = ours["error"] / theirs["error"] - 1
        return f"error larger by a share of {above:.2g}" if above > 1e-8 else ""

    solvers = ("covariance_eigh", "randomized", "arpack", "full")
    sides = {"gradus": Side("Gradus PCA, auto (mixed)", lambda seed: PCA(n_components=k, random_state=seed).fit(X))}
    for name in solvers:
        sides[f"sklearn {name}"] = Side(
            f"scikit-learn PCA, svd_solver={name}",
            lambda seed, name=name: decomposition.PCA(k, svd_solver=name, random_state=seed).fit(X),
        )
    return Race(
        f"PCA, {k} components",
        f"MNIST, {rows} x 784 float64",
        sides,
        quality,
        worse,
        {"sklearn covariance_eigh": 1.0},
        "both sides wait for BLAS: theirs for one product in double, ours for one in single and a narrow second one",
    )


def factor_analysis(quick: bool) -> Race:
    """Fifty factors of dequantized MNIST, at a likelihood no lower than the peer's."""
    rows, k = (2000, 20) if quick else (10_000, 50)
    pixels = _mnist(rows)
    X = (pixels + np.random.default_rng(0).random(pixels.shape)) / 256

    def worse(ours: Numbers, theirs: Numbers) -> str:
        below = theirs["log_likelihood"] - ours["log_likelihood"]
        return f"log-likelihood lower by {below:.4f} nats a row" if below > 0.01 else ""

    def sklearns(seed: int, **settings: object) -> object:
        return decomposition.FactorAnalysis(k, random_state=seed, **settings).fit(X)

    # By default the random part of its likelihood ends it early: with more power iterations it goes on to an optimum.
    near, at_end = {"iterated_power": 8, "tol": 20.0}, {"iterated_power": 15, "tol": 1.0}
    sides = {
        "gradus": Side("Gradus FactorAnalysis, n_init=2", lambda seed: FactorAnalysis(n_components=k, n_init=2).fit(X)),
        "sklearn randomized": Side("scikit-learn FactorAnalysis, defaults", sklearns),
        "sklearn near": Side(f"scikit-learn FactorAnalysis, {near}", lambda seed: sklearns(seed, **near)),
        "sklearn equal": Side(f"scikit-learn FactorAnalysis, {at_end}", lambda seed: sklearns(seed, **at_end)),
    }
    return Race(
        f"factor analysis, {k} factors",
        f"MNIST with uniform noise of one grey level, {rows} x 784 float64",
        sides,
        lambda model: {"log_likelihood": float(model.score(X)), "steps": float(model.n_iter_)},
        worse,
        {"sklearn equal": 15.0},
        "the peer's defaults, and the setting called near, stop at a lower likelihood than ours; equal reaches it",
    )


def fast_ica(quick: bool) -> Race:
    """FastICA of patches of photographs to the same tolerance."""
    rows = 8000 if quick else 50_000
    X = _patches(rows)
    X = X - X.mean(0)
    shared = {"tol": 1e-4, "max_iter": 1000}

    def quality(model: object) -> dict[str, float]:
        contrast = np.log(np.cosh(model.transform(X))).mean(0) - 0.374567  # of a standard Gaussian
        return {"contrast": float(np.square(contrast).sum()), "steps": float(model.n_iter_)}

    def worse(ours: Numbers, theirs: Numbers) -> str:
        # Fixed points are many; they differ by this much among seeds of one library.
        below = 1 - ours["contrast"] / theirs["contrast"]
        return f"contrast lower by a share of {below:.3f}" if below > 0.02 else ""

    sides = {
        "gradus": Side(
            "Gradus ICA, method=symmetric, logcosh",
            lambda seed: ICA(method="symmetric", random_state=seed, **shared).fit(X),
        )
    }
    for solver in ("eigh", "svd"):
        sides[f"sklearn {solver}"] = Side(
            f"scikit-learn FastICA, parallel, logcosh, whiten_solver={solver}",
            lambda seed, solver=solver: decomposition.FastICA(
                whiten="unit-variance", whiten_solver=solver, random_state=seed, **shared
            ).fit(X),
        )
    return Race(
        "FastICA, 64 components",
        f"8 x 8 patches of 11 photographs, {rows} x 64 float64",
        sides,
        quality,
        worse,
        {"sklearn eigh": 2.0},
        "both iterate to a turn below 1e-4; ours in single precision first",
    )


def dictionary_learning(quick: bool) -> Race:
    """Learn 128 atoms of patches of photographs, to an objective no higher than the peer's."""
    rows, rounds, ours = (1000, 5, 16) if quick else (10_000, 30, 100)
    X = _patches(rows)
    X -= X.mean(1, keepdims=True)
    X = X / X.std()
    X -= X.mean(0)
    penalty, atoms = 1.0, 128

    def quality(model: object) -> dict[str, float]:
        codes = sparse_codes(X, model.components_, penalty, tol=1e-5, max_iter=5000).codes
        return {"objective": float(lasso_objective(X, model.components_, codes, penalty).mean())}

    def worse(ours: Numbers, theirs: Numbers) -> str:
        above = ours["objective"] / theirs["objective"] - 1
        return f"objective higher by a share of {above:.4f}" if above > 1e-4 else ""

    def sklearns(seed: int, fit_algorithm: str) -> object:
        return decomposition.DictionaryLearning(
            atoms,
            alpha=penalty,
            fit_algorithm=fit_algorithm,
            transform_algorithm="lasso_cd",
            max_iter=rounds,
            tol=0,
            random_state=seed,
        ).fit(X)

    sides = {
        "gradus": Side(
            f"Gradus SparseCoding, {ours} rounds",
            lambda seed: SparseCoding(n_components=atoms, penalty=penalty, max_iter=ours, tol=0, random_state=seed).fit(
                X
            ),
        )
    }
    for name in ("cd", "lars"):
        label = f"scikit-learn DictionaryLearning, {name}, {rounds} rounds"
        sides[f"sklearn {name}"] = Side(label, lambda seed, name=name: sklearns(seed, name))
    return Race(
        f"dictionary learning, {atoms} atoms",
        f"8 x 8 patches of 11 photographs, centred, {rows} x 64 float64, penalty {penalty}",
        sides,
        quality,
        worse,
        {"sklearn cd": 1.5, "sklearn lars": 15.0},
        "rounds are chosen so that ours ends at an objective no higher; objectives are those of the best codes",
    )


RACES = {
    "pca": pca,
    "factor_analysis": factor_analysis,
    "fast_ica": fast_ica,
    "dictionary_learning": dictionary_learning,
}
