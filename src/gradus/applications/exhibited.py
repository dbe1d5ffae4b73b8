"""Exhibits that several kinds of data share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradus.estimators.exhibit import Exhibit
from gradus.estimators.exhibits import calibration, confusion_matrix, per_class

__all__ = ["of_classes"]


def of_classes(y: np.ndarray, prediction: Any, classes: list[Any]) -> Iterator[Exhibit]:
    """Yield what there is to see of answers that are classes."""
    yield confusion_matrix(y, prediction.labels, classes)
    yield per_class(y, prediction.labels, classes)
    if prediction.probabilities is not None:
        yield calibration(y, prediction.probabilities, prediction.classes)
