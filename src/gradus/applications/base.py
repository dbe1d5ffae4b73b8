"""What an application is: a kind of data with its task, its network and what there is to see."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from gradus.core.errors import DataError, SettingError, nearest
from gradus.core.options import parse_setting
from gradus.data.columns import looks_like_classes
from gradus.data.dataset import Dataset, brief
from gradus.data.tables import LARGEST, clean_labels
from gradus.estimators.base import Estimator
from gradus.estimators.exhibit import Exhibit

__all__ = ["Application", "Candidate", "Task", "check_size"]

Task = Literal["classification", "regression", "translate"]


class Candidate(NamedTuple):
    """A network to put on top of the ladder: its name, the unfitted estimator, and why this one."""

    name: str
    estimator: Any
    why: str


class Application(ABC):
    """A data set understood: which task it poses, and which estimator suits it.

    Parameters
    ----------
    data : Dataset
        As it was read, with a target.
    task : {"auto", "classification", "regression", "translate"}
        ``auto`` infers it from the target; the reason is kept in ``why``.

    Raises
    ------
    DataError
        If there is no target, or it does not fit the task.
    """

    kind: ClassVar[str]

    def __init__(self, data: Dataset, task: str = "auto") -> None:
        if data.y is None:
            raise DataError("a target to learn", f"none in {data.name}", "name its column with --target")
        self.data = data
        self.task, self.why = _task_of(data, task)
        self.y = self.encode(data.y)
        if self.task == "classification":  # one asked for may be of numbers that look like none
            clean_labels(self.y.astype(str), data.target or "target", data.name)
        self.test = None if data.test is None else (data.test[0], self.encode(data.test[1]))

    def encode(self, y: Any) -> np.ndarray:
        """Return targets as class labels of one type, or as numbers."""
        values = np.asarray(y)
        if self.task == "translate":
            return np.array([str(text) for text in values], dtype=object)
        if self.task == "classification":
            if values.dtype.kind == "f":
                every = np.asarray(self.data.y)  # the test part is named as the whole is
                whole = (every == np.floor(every)).all() and np.abs(every).max() < 2**53
                return values.astype(np.int64 if whole else str)
            return values.astype(str) if values.dtype.kind in "OmM" else values
        try:
            numbers = values.astype(np.float64)
        except (TypeError, ValueError):
            strange = brief([v for v in np.unique(values.astype(str)) if not _is_number(v)], 3)
            raise DataError(
                f"numbers in the target {self.data.target!r} of a regression", strange, "use --task classification"
            ) from None
        if not np.isfinite(numbers).all():
            raise DataError(f"finite numbers in the target {self.data.target!r}", "infinity", "drop those rows")
        check_size(numbers, self.data.target)
        return numbers

    @cached_property
    def labels(self) -> np.ndarray:
        """The different targets, sorted: what class numbers count."""
        return np.unique(self.y)

    @property
    def classes(self) -> list[str] | None:
        """Names of the classes, in order."""
        return [str(c) for c in self.labels] if self.task == "classification" else None

    def metric(self, *parts: np.ndarray) -> str:
        """Return the name of the metric that decides.

        Parameters
        ----------
        *parts : arrays, shape (rows,)
            Targets it is to be measured on: R squared is not defined where a part's are all equal.
        """
        if self.task == "classification":
            return "accuracy"
        if self.task == "translate":
            return "character_error"
        return "r2" if all(np.ptp(y) > 0 for y in parts) else "mae"

    def network(self, settings: Mapping[str, str], **fixed: Any) -> Candidate:
        """Return the network for the top of the ladder.

        Parameters
        ----------
        settings : mapping of str to str
            Texts of ``--set name=value``; they override this application's defaults.
        **fixed
            Settings that the job decides, such as ``random_state`` and ``checkpoint``.

        Raises
        ------
        SettingError
            If a setting is unknown or out of range; the nearest name is suggested.
        """
        cls, defaults = self._network()
        given = {key: parse_setting(cls, key, text) for key, text in settings.items()}
        if isinstance(given.get("class_weight"), dict):
            given["class_weight"] = self._by_class(given["class_weight"])
        estimator: Estimator = cls(**{**defaults, **fixed, **given})
        estimator.check_settings()
        self._check(estimator)
        return Candidate(*self._describe(estimator))

    def _by_class(self, weights: dict[str, float]) -> dict[Any, float]:
        """Return weights keyed by the classes themselves, which may be numbers, and not by their names."""
        named = {str(c): c for c in self.labels.tolist()}
        strange = [name for name in weights if name not in named]
        if strange:
            mend = f"{nearest(strange[0], named)}there are: {brief(named)}"
            raise SettingError("class_weight of the classes of the target", repr(strange[0]), mend)
        return {named[name]: weight for name, weight in weights.items()}

    @abstractmethod
    def _check(self, estimator: Any) -> None:
        """Raise a ``SettingError`` where a setting names what the data do not have."""

    @abstractmethod
    def _network(self) -> tuple[Any, dict[str, Any]]:
        """Return the class of the network's estimator and the settings that suit these data."""

    @abstractmethod
    def _describe(self, estimator: Any) -> tuple[str, Any, str]:
        """Return the network's name on the ladder, the estimator, and why it is tried."""

    @abstractmethod
    def exhibits(self, estimator: Any, test: tuple[Any, np.ndarray], prediction: Any) -> Iterator[Exhibit]:
        """Yield what there is to see of the data and of the chosen model's answers on the test part."""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def check_size(numbers: np.ndarray, target: str | None) -> None:
    """Refuse numbers that single precision, in which networks compute, cannot tell from infinity or zero."""
    largest, spread = float(np.abs(numbers).max()), float(np.ptp(numbers))
    if largest > LARGEST:
        mend = "divide them by a power of ten, or take their logarithm"
        raise DataError(f"numbers up to 1e36 in the target {target!r}", f"{largest:.3g}", mend)
    if 0 < spread < 1 / LARGEST:
        mend = "multiply them by a power of ten"
        raise DataError(f"numbers 1e-36 or more apart in the target {target!r}", f"{spread:.3g}", mend)


def _task_of(data: Dataset, task: str) -> tuple[Task, str]:
    if task == "translate":
        return "translate", "as asked"
    if task == "classification":
        return "classification", "as asked"
    if np.asarray(data.y).dtype.kind in "mM":
        raise DataError(
            f"classes or numbers in the target {data.target!r}",
            "dates or times",
            "add a column of numbers made of them, such as days since the first",
        )
    if task == "regression":
        return "regression", "as asked"
    n = len(np.unique(np.asarray(data.y).astype(str)))
    if looks_like_classes(data.y):
        return "classification", f"{data.target} has {n:,} different values that look like classes"
    return "regression", f"{data.target} has {n:,} different numbers"
