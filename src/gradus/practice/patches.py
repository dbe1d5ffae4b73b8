"""Factors of patches of pictures: the ladder, and how its rungs are judged by the same number of factors a patch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gradus.practice.alone import CodeContest, Rows
from gradus.practice.ladder import Rung
from gradus.practice.measures import Measure, Score
from gradus.research.linear_factors.patches import PatchFactors

__all__ = ["PatchContest", "PatchPart", "patch_rungs", "patch_title"]

OF_PICTURES = 10  # pictures in a part from which on an interval is taken over pictures
TITLES = {
    "sparse": "sparse coding with {k} atoms",
    "ica": "ICA",
    "pca": "PCA",
    "patches": "{k} patches as they are",
}


@dataclass(frozen=True, eq=False)
class PatchPart:
    """Patches of one part, of shape (n, size, size), and of each the number of its picture."""

    patches: NDArray[Any]
    pictures: NDArray[np.intp]


def patch_title(model: PatchFactors) -> str:
    """Return what a rung is called."""
    return TITLES[model.method].format(k=_atoms(model))


def _directions(model: PatchFactors) -> int:
    pixels = model.patch_size**2
    return max(2, min(round(model.keep * pixels), pixels - 1))


def _atoms(model: PatchFactors) -> int:
    return model.n_components or (2 if model.method in ("sparse", "patches") else 1) * _directions(model)


def patch_rungs(top: PatchFactors) -> list[Rung]:
    """Return the rungs below ``top``: other factors of the very same patches.

    Parameters
    ----------
    top : PatchFactors
        Unfitted.
    """
    many, few = _atoms(replace(top, method="sparse")), _directions(top)
    plan: list[tuple[Any, int, Any, str]] = [
        ("patches", many, "trivial", "atoms drawn from the patches; nothing is learned"),
        ("pca", min(few, many), "classical", "directions at right angles, of the largest variance"),
        ("ica", min(few, many), "classical", "as many independent sources as directions"),
        ("sparse", min(few, many), "classical", "as many atoms as ICA has sources"),
    ]
    rungs = []
    for method, k, kind, why in plan:
        model = replace(top, method=method, n_components=k)
        rungs.append(Rung(patch_title(model), kind, model, why))
    return [rung for rung in rungs if rung.name != patch_title(top)]


class PatchContest(CodeContest):
    """Factors of patches: the share of the variance of unseen whitened patches that a few factors do not explain.

    Every rung explains every patch by the same number of its factors, chosen by orthogonal matching pursuit. A rung
    with more factors has more to choose from; the ladder holds sparse coding with as many as ICA, too.

    Parameters
    ----------
    train : list of arrays
        Pictures.
    valid, test : PatchPart
        Patches of other pictures.
    active : int
        Factors a patch.
    """

    counted = "patches"

    def __init__(self, train: list[NDArray[Any]], valid: PatchPart, test: PatchPart, active: int) -> None:
        self.pictures = train
        self.cut = {"valid": valid, "test": test}
        meaning = f"squared error of whitened patches of unseen pictures, each explained by {active} factors, "
        self.metric = Measure("variance_lost", False, "", meaning + "over their variance")

    def fit(self, estimator: Any, rung: Rung) -> Any:
        """Fit one rung to the training pictures."""
        return estimator.fit(self.pictures)

    def judge(self, fitted: Any, part: Literal["valid", "test"]) -> tuple[Rows, Score]:
        """Return squared error and square of each patch, or of each picture where there are enough, and the ratio."""
        chosen = self.cut[part]
        white = fitted.whitened(chosen.patches)
        lost = np.square(white - fitted.approximate(white)).sum(1)
        sums = np.stack([lost, np.square(white).sum(1)], axis=1)
        numbers, groups = np.unique(chosen.pictures, return_inverse=True)
        if len(numbers) >= OF_PICTURES:
            sums = np.stack([np.bincount(groups, column) for column in sums.T], axis=1)
        score = self._score(sums)
        over = "pictures" if len(numbers) >= OF_PICTURES else f"patches of {len(numbers)} pictures; others may differ"
        return sums, score._replace(n=len(lost), how=f"{score.how} over {over}")
