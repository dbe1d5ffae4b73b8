"""What every estimator is: flat settings, a fitted state that JSON and safetensors hold, and no pickle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sklearn.base import BaseEstimator
from torch import nn

from gradus.core.options import check_settings

if TYPE_CHECKING:
    from gradus.estimators.exhibits import Exhibit
from gradus.estimators.persistence import from_bytes, load_estimator, save_estimator, to_bytes

__all__ = ["Estimator"]


class Estimator(BaseEstimator, ABC):
    """Base of all estimators: a keyword-only dataclass of settings that learns attributes ending in ``_``.

    Subclasses are dataclasses with ``eq=False, repr=False`` whose fields are made by `gradus.core.options.option`.
    What is learned lies in attributes whose names end in ``_``: plain values, arrays, and modules that
    `_rebuild` can make again from the plain values.
    """

    @abstractmethod
    def _rebuild(self) -> dict[str, nn.Module]:
        """Make the fitted modules anew, with any weights, from the other fitted attributes."""

    def exhibits(self, data: Any) -> Iterator[Exhibit]:
        """Yield what there is to see of this fitted estimator on ``data``; nothing by default."""
        yield from ()

    def check_settings(self) -> None:
        """Raise `SettingError` for the first setting of wrong type or out of range."""
        check_settings(self)

    def save(self, path: str | Path) -> Path:
        """Write the fitted estimator to the folder ``path`` as JSON and safetensors.

        Parameters
        ----------
        path : str or Path
            A folder; made if absent. Files of an earlier save are replaced together.

        Returns
        -------
        Path
            The folder.
        """
        return save_estimator(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read an estimator that `save` wrote.

        Raises
        ------
        DamagedFileError
            If a file does not match its checksum.
        InputError
            If the folder holds an estimator of another class, or one of a newer version.
        """
        return load_estimator(Path(path), cls)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Cross process borders (GridSearchCV with n_jobs) in the format of `save`, not as pickled tensors."""
        return from_bytes, (type(self), to_bytes(self))

    def __copy__(self) -> Self:
        """Share what is learned: scikit-learn's callbacks get such a copy at each epoch, with the weights replaced."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __sklearn_is_fitted__(self) -> bool:
        """Whether `fit` has been called."""
        return any(name.endswith("_") and not name.startswith("_") for name in vars(self))
