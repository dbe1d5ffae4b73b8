"""What the main job knows of data that were opened, whatever their kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradus.applications.base import Candidate
from gradus.data.batches import Batches
from gradus.data.dataset import Note
from gradus.estimators.exhibit import Exhibit
from gradus.practice.ladder import Contest, Ladder, Rung
from gradus.runs.record import DataRecord

__all__ = ["Opened"]


@dataclass(frozen=True, kw_only=True)
class Opened(ABC):
    """Data with their task, their parts and their ladder.

    Attributes
    ----------
    fingerprint : str
        SHA-256 of the whole.
    """

    fingerprint: str

    @property
    def streams(self) -> bool:
        """Whether the data are too large to be held, so that the network streams them."""
        return False

    @property
    @abstractmethod
    def name(self) -> str:
        """What the data are called."""

    @property
    @abstractmethod
    def task(self) -> str:
        """What is to be learned."""

    @property
    @abstractmethod
    def why(self) -> str:
        """Why this task."""

    @property
    def target(self) -> str | None:
        """What is predicted, where that has a name."""
        return None

    @property
    @abstractmethod
    def how(self) -> str:
        """How the parts were divided, in one sentence."""

    @property
    @abstractmethod
    def notes(self) -> list[Note]:
        """What was dropped, changed or guessed."""

    @abstractmethod
    def describe(self) -> str:
        """Return name and size of the data in words."""

    def check(self) -> None:  # noqa: B027  # most kinds have nothing to check
        """Raise a ``DataError`` where nothing can be learned from the training part."""

    @abstractmethod
    def network(self, settings: Mapping[str, str], seed: int) -> Candidate:
        """Return the network for the top of the ladder, with the texts of ``--set name=value``."""

    @abstractmethod
    def rungs(self, seed: int) -> list[Rung]:
        """Return the rungs below the network, the simplest first."""

    def stream(self, estimator: Any, seed: int) -> Callable[..., Batches] | None:
        """Return what the network's ``fit_stream`` takes; None where it learns from memory."""
        return None

    @abstractmethod
    def contest(self) -> Contest:
        """Return how rungs are fitted and judged."""

    def finish(self, fitted: Any) -> Any:
        """Return the chosen rung as it is to be used, once it has been tested."""
        return fitted

    @abstractmethod
    def exhibits(self, ladder: Ladder) -> Iterator[Exhibit]:
        """Yield what there is to see of the data and of the chosen rung's answers."""

    def pages(self, ladder: Ladder, folder: Path) -> dict[str, str]:
        """Write what further pages there are into the run's folder; return what each shows, and its file."""
        return {}

    @abstractmethod
    def record(self) -> DataRecord:
        """Return what a run keeps of its data."""

    def uses(self, run: str, source: str) -> list[str]:
        """Return commands that use the model.

        Parameters
        ----------
        run, source : str
            The run's folder and the data, quoted for a shell.
        """
        return [f"gradus predict {run} {source}"]
