"""The kinds of data the main job knows, and how to recognise them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, r2_score

from gradus.applications.base import Application
from gradus.applications.exhibited import of_classes
from gradus.applications.language.application import Texts
from gradus.applications.tabular import TabularClassifier, TabularRegressor, check_column_kinds
from gradus.applications.vision import ImageClassifier
from gradus.core.errors import DataError
from gradus.data.columns import infer_columns
from gradus.data.dataset import Dataset, Note
from gradus.data.tables import LARGEST, without_values_beyond
from gradus.estimators.exhibit import Exhibit, Picture
from gradus.estimators.exhibits import residuals
from gradus.estimators.exhibits_of_rows import (
    example_pictures,
    feature_summary,
    permutation_importance,
    worst_errors_pictures,
    worst_errors_rows,
)

__all__ = ["KINDS", "Images", "Table", "recognise"]

# Above this many rows a larger batch costs little accuracy and saves much time.
LARGE = 20_000

_NETWORKS = {
    "convolutional": ("convolutional network", "sees neighbouring pixels together, wherever they are"),
    "lenet": ("LeNet-5", "sees neighbouring pixels together, wherever they are"),
    "resnet": ("residual network", "sees neighbouring pixels together, and deepens without harm"),
    "vit": ("vision transformer", "relates every patch of the image to every other"),
    "mlp": ("multilayer perceptron", "learns combinations of pixels, each at its place"),
}


def _closeness(y: np.ndarray, answers: np.ndarray) -> float:
    return -float(np.abs(y - answers).mean())


class Table(Application):
    """Rows of numbers, categories, dates and gaps."""

    kind = "table"

    def __init__(self, data: Dataset, task: str = "auto") -> None:
        notes: list[Note] = []
        table: Any = data.X
        reduced = without_values_beyond(LARGEST, table, notes)
        super().__init__(replace(data, X=reduced, notes=(*data.notes, *notes)) if notes else data, task)

    def _check(self, estimator: Any) -> None:
        table: Any = self.data.X
        check_column_kinds(estimator.column_kinds, table.columns)

    def _network(self) -> tuple[Any, dict[str, Any]]:
        cls = TabularClassifier if self.task == "classification" else TabularRegressor
        defaults = {
            "dropout": 0.1,
            "optimizer": "adamw",
            "weight_decay": 0.01,
            "max_epochs": 200,
            "patience": 20,
            "batch_size": 256 if len(self.data) > LARGE else 64,
        }
        return cls, defaults

    def _describe(self, estimator: Any) -> tuple[str, Any, str]:
        return "multilayer perceptron", estimator, "learns combinations of columns; categories are embedded"

    def exhibits(self, estimator: Any, test: tuple[Any, np.ndarray], prediction: Any) -> Iterator[Exhibit]:
        """Yield columns, answers, importance of columns and worst rows."""
        X, y = test
        yield feature_summary(self.data.X, {c.name: c.kind for c in infer_columns(self.data.X)})
        if self.task == "classification":
            yield from of_classes(y, prediction, np.unique(self.y).tolist())
        else:
            yield residuals(y, prediction.values, self.data.target or "target")
        judge = accuracy_score if self.classes else r2_score if np.ptp(y) > 0 else _closeness
        yield permutation_importance(estimator.predict, judge, X, y)
        yield worst_errors_rows(X, y, prediction)


class Images(Application):
    """Stacks of pictures with a class each."""

    kind = "images"

    def __init__(self, data: Dataset, task: str = "auto") -> None:
        super().__init__(data, "classification" if task == "auto" else task)
        if task == "auto":
            self.why = "images with a label each"
        if self.task != "classification":
            raise DataError("classes for images", "a regression", "leave out --task, or flatten the images to a table")

    def _check(self, estimator: Any) -> None:
        """Let every setting pass: none of them names a part of the data."""

    def _network(self) -> tuple[Any, dict[str, Any]]:
        defaults = {
            "dropout": 0.25,
            "max_epochs": 40,
            "patience": 6,
            "batch_size": 128 if len(self.data) > LARGE else 64,
            "schedule": "cosine",
            "learning_rate": 2e-3,
            "pixel_scale": self.data.scale,
        }
        return ImageClassifier, defaults

    def _describe(self, estimator: Any) -> tuple[str, Any, str]:
        name, why = _NETWORKS[estimator.network]
        if estimator.start_from is not None:
            name, why = "network begun before", f"begins with what the model in {estimator.start_from} has learned"
        return name, estimator, why

    def exhibits(self, estimator: Any, test: tuple[Any, np.ndarray], prediction: Any) -> Iterator[Exhibit]:
        """Yield example pictures, answers, first-layer filters and the worst pictures."""
        X, y = test
        yield example_pictures(self.data.X, self.y)
        yield from of_classes(y, prediction, np.unique(self.y).tolist())
        if getattr(estimator, "augment", "none") != "none":  # a baseline has none
            yield _augmented(estimator, self.data.X)
        filters = _filters(estimator)
        if filters is not None:
            yield filters
        yield worst_errors_pictures(X, y, prediction, scale=self.data.scale)


def _augmented(estimator: Any, images: np.ndarray, shown: int = 4, times: int = 5) -> Exhibit:
    """Return what training sees of a few images: each as it is, and changed some times."""
    chosen = images[np.linspace(0, len(images) - 1, shown).astype(int)]
    chosen = chosen[..., None] if chosen.ndim == 3 else chosen
    scale = float(np.max(images)) or 1.0
    pictures = [
        Picture.of(picture, "as it is" if i == 0 else f"changed, {i}", scale)
        for again in zip(*([chosen, *estimator.augmented(chosen, times)]), strict=True)
        for i, picture in enumerate(again)
    ]
    caption = f"Images as they are, and as training saw them: {estimator.augment.replace(',', ', ')}."
    return Exhibit("Changed copies", caption, "learning", pictures=tuple(pictures))


def _filters(estimator: Any) -> Exhibit | None:
    """Return what the first layer looks for as pictures, if they can be shown."""
    kernels = estimator.filters() if hasattr(estimator, "filters") else None
    if kernels is None or kernels.shape[-1] not in (1, 3):
        return None
    pictures = []
    for i, kernel in enumerate(kernels[:64]):
        span = np.abs(kernel).max() or 1.0
        pictures.append(Picture.of((kernel / span + 1) / 2, f"{i}", scale=1.0))
    return Exhibit(
        "Filters of the first layer",
        "What each unit of the first layer looks for: bright pixels excite it, dark ones inhibit it, "
        "middle grey it ignores.",
        "learning",
        pictures=tuple(pictures),
    )


KINDS: dict[str, type[Application]] = {"table": Table, "images": Images, "texts": Texts}


def recognise(data: Dataset, task: str = "auto") -> Application:
    """Return the application that suits a data set.

    Examples
    --------
    >>> from gradus.data.reading import read
    >>> app = recognise(read("iris"))
    >>> app.kind, app.task, app.why
    ('table', 'classification', 'species has 3 different values that look like classes')
    """
    return KINDS[data.kind](data, task)
