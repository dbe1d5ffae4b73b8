"""Rows with a target, opened: tables, images and texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from gradus.applications.base import Application, Candidate
from gradus.core.errors import DataError
from gradus.core.randomness import derive
from gradus.data.batches import Batches
from gradus.data.dataset import Note
from gradus.data.splitting import Split
from gradus.data.survey import TableSurvey
from gradus.data.survey_images import ImageSurvey
from gradus.estimators.exhibit import Exhibit
from gradus.practice.baselines import baselines
from gradus.practice.contests import Labelled
from gradus.practice.ladder import Ladder, Rung
from gradus.runs.opened import Opened
from gradus.runs.record import DataRecord, SplitRecord
from gradus.runs.surveys import stream_of

__all__ = ["OpenedRows"]


@dataclass(frozen=True, kw_only=True)
class OpenedRows(Opened):
    """Rows with a target: a table, images or texts, in memory or streamed.

    Attributes
    ----------
    app : Application
        The data in memory, understood: all of them, or a sample where they are streamed.
    parts : Split
        Training, validation and test rows of those in memory.
    rows, train_rows : int
        Rows of the whole, and of its training part.
    survey : TableSurvey, ImageSurvey or None
        What streams, if anything.
    roles : mapping of str to str
        Columns that play a part, such as that of the texts.
    """

    app: Application
    parts: Split
    rows: int
    train_rows: int
    survey: TableSurvey | ImageSurvey | None = None
    roles: Mapping[str, str] = field(default_factory=dict)

    @property
    def streams(self) -> bool:
        """Whether the network streams the rows."""
        return self.survey is not None

    @property
    def name(self) -> str:
        """What the data are called."""
        return self.app.data.name

    @property
    def task(self) -> str:
        """What is to be learned."""
        return self.app.task

    @property
    def why(self) -> str:
        """Why this task."""
        return self.app.why

    @property
    def target(self) -> str | None:
        """What is predicted."""
        return self.app.data.target

    @property
    def how(self) -> str:
        """How the parts were divided."""
        return self.parts.how

    @property
    def notes(self) -> list[Note]:
        """What was dropped, changed or guessed."""
        return [*self.app.data.notes, *self.parts.notes]

    def describe(self) -> str:
        """Return the size of the data in words."""
        words = repr(self.app.data).removeprefix("Dataset(")[:-1]
        return words if self.survey is None else f"{words}, out of {self.rows:,} rows"

    def check(self) -> None:
        """Refuse training rows of one class."""
        seen = np.unique(self.app.y[self.parts.train])
        if self.task == "classification" and len(seen) < 2:
            mend = "leave out --time or --group, or add rows"
            raise DataError("two classes or more among the training rows", f"only {seen[0]!s}", mend)

    def network(self, settings: Mapping[str, str], seed: int) -> Candidate:
        """Return the network for the top of the ladder."""
        return self.app.network(settings, random_state=seed, **self._defaults())

    def _defaults(self) -> dict[str, Any]:
        """Return settings of the network that suit many rows: fewer passes over them, larger batches."""
        if self.survey is None:
            return {}
        rows, images = self.train_rows, self.app.kind == "images"
        epochs = int(np.clip((2_000_000 if images else 50_000_000) // rows, 5, 40 if images else 200))
        sizes = {"batch_size": 128} if images else {"batch_size": 1024 if rows > 1_000_000 else 256}
        small = {"batch_size": 64} if rows <= 20_000 else sizes
        return {"max_epochs": epochs, "patience": max(2, epochs // (6 if images else 10)), **small}

    def rungs(self, seed: int) -> list[Rung]:
        """Return the rungs below the network, telling what they learn from."""
        data = self.app.data
        width = {"table": lambda: data.X.shape[1], "texts": lambda: int(np.mean([len(text) for text in data.X]))}
        columns = width.get(data.kind, lambda: int(np.prod(data.X.shape[1:])))()
        below = baselines(self.task, data.kind, len(self.parts.train), columns, seed)
        if self.survey is None:
            return below
        of = f"; from a sample of {len(self.parts.train):,} of the {self.train_rows:,} training rows"
        return [replace(rung, why=rung.why + of) for rung in below]

    def stream(self, estimator: Any, seed: int) -> Callable[..., Batches] | None:
        """Return what the network's ``fit_stream`` takes for all training rows; None where they are in memory."""
        if self.survey is None:
            return None
        return stream_of(self.survey, self.app, estimator, derive(seed, "stream"))

    @cached_property
    def _sides(self) -> dict[str, tuple[Any, np.ndarray]]:
        data, app, parts = self.app.data, self.app, self.parts
        found = {n: (data.take(getattr(parts, n)).X, app.y[getattr(parts, n)]) for n in ("train", "valid", "test")}
        return found if app.test is None else {**found, "test": app.test}

    def contest(self) -> Labelled:
        """Return how rungs are fitted and judged."""
        sides = self._sides
        metric = self.app.metric(sides["valid"][1], sides["test"][1])
        return Labelled(sides["train"], sides["valid"], sides["test"], metric)

    def exhibits(self, ladder: Ladder) -> Iterator[Exhibit]:
        """Yield what there is to see of the data and of the chosen rung's answers."""
        chosen = ladder.chosen
        yield from self.app.exhibits(ladder.fitted[chosen], self._sides["test"], ladder.answers[chosen])

    def record(self) -> DataRecord:
        """Return what a run keeps of its data."""
        app, parts, data, table = self.app, self.parts, self.app.data, self.app.kind == "table"
        n_test = len(parts.test) if app.test is None else len(app.test[1])
        return DataRecord(
            name=data.name, kind=data.kind, rows=self.rows, columns=data.X.shape[1] if table else None,
            shape=None if table else list(data.X.shape[1:]), classes=app.classes, origin=data.origin,
            fingerprint=self.fingerprint, notes=[str(note) for note in self.notes], roles=dict(self.roles),
            split=SplitRecord(train=self.train_rows, valid=len(parts.valid), test=n_test, how=parts.how),
        )  # fmt: skip
