"""Series in time, opened: forecasters judged from one origin after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from gradus.applications.base import Candidate
from gradus.applications.timeseries.application import SeriesApplication
from gradus.applications.timeseries.recognition import layout_of
from gradus.core.errors import DataError, SettingError
from gradus.data.columns import infer_columns
from gradus.data.dataset import Note
from gradus.data.fingerprint import fingerprint
from gradus.data.reading import LoadedTable
from gradus.estimators.exhibit import Exhibit
from gradus.practice.contests import ForecastContest
from gradus.practice.ladder import Ladder, Rung
from gradus.runs.opened import Opened
from gradus.runs.record import DataRecord, SplitRecord

if TYPE_CHECKING:
    from gradus.runs.job import Job

__all__ = ["OpenedSeries", "is_series", "open_series"]


def is_series(job: Job, frame: pd.DataFrame) -> bool:
    """Tell whether a table is to be forecast: it was asked for, or looks like series and nothing else.

    A table whose other columns could explain a target that was named is one of rows.
    """
    if job.task == "forecast":
        return True
    if job.task != "auto" or job.text not in (None, "none"):
        return False
    layout = layout_of(frame.rename(columns=str))
    if layout is None:
        return False
    used = {layout.time, layout.by, job.target}
    others = [c for c in infer_columns(frame) if c.name not in used and c.kind in ("number", "category", "boolean")]
    if job.target is None:
        return all(c.kind == "number" for c in others)
    return job.target in layout.targets and not others


@dataclass(frozen=True, kw_only=True)
class OpenedSeries(Opened):
    """Series on a grid of steps; the parts are origins, those of validation before those of the test."""

    app: SeriesApplication
    origin: str
    read_notes: tuple[Note, ...] = ()
    kind: ClassVar[str] = "series"
    task: ClassVar[str] = "forecast"

    @property
    def name(self) -> str:
        """What the series are called."""
        return self.app.name

    @property
    def why(self) -> str:
        """Why the table is taken for series."""
        return self.app.why

    @property
    def target(self) -> str | None:
        """The column that is forecast, where there is one."""
        return self.app.target

    @property
    def how(self) -> str:
        """How the origins lie."""
        n, ahead = self.app.origins, self.app.horizon
        return (
            f"rolling origins: the last {n * ahead} steps for test, {n} forecasts of {ahead} steps each; "
            f"as many before them for validation"
        )

    @property
    def notes(self) -> list[Note]:
        """What was filled or left out."""
        return [*self.read_notes, *self.app.series.notes]

    def describe(self) -> str:
        """Return name and size in words."""
        series = self.app.series
        many = "one series" if len(series) == 1 else f"{len(series):,} series"
        step = f", step {series.step}" if series.dated else ""
        return f"{self.name!r}, {many} of {max(series.lengths):,} values{step}, season {self.app.season}"

    def network(self, settings: Mapping[str, str], seed: int) -> Candidate:
        """Return the network for the top of the ladder."""
        return self.app.network(settings, random_state=seed)

    def rungs(self, seed: int) -> list[Rung]:
        """Return the forecasters below the network."""
        found = self.app.rungs()
        classical = ("exponential smoothing",)
        return [Rung(c.name, "classical" if c.name in classical else "trivial", c.estimator, c.why) for c in found]

    @cached_property
    def _contest(self) -> ForecastContest:
        return ForecastContest(self.app)

    def contest(self) -> ForecastContest:
        """Return how forecasters are fitted and judged."""
        return self._contest

    def finish(self, fitted: Any) -> Any:
        """Fit the chosen forecaster to the whole history, for the forecasts that count."""
        return self._contest.finish(fitted)

    def exhibits(self, ladder: Ladder) -> Iterator[Exhibit]:
        """Yield the way ahead, earlier forecasts with what came, errors by step, and residuals."""
        chosen = ladder.chosen
        tested = {chosen: ladder.answers[chosen], **ladder.answers}
        yield from self.app.exhibits(ladder.fitted[chosen], tested)

    def record(self) -> DataRecord:
        """Return what a run keeps of its data."""
        app, steps = self.app, sum(self.app.series.lengths)
        held = app.origins * app.horizon * len(app.series)
        return DataRecord(
            name=self.name, kind=self.kind, rows=steps, counted="values", columns=len(app.series), origin=self.origin,
            fingerprint=self.fingerprint, notes=[str(note) for note in self.notes], roles=app.roles,
            split=SplitRecord(train=steps - 2 * held, valid=held, test=held, how=self.how),
        )  # fmt: skip

    def uses(self, run: str, source: str) -> list[str]:
        """Return commands that use the model."""
        return [f"gradus predict {run} {source}", f"gradus sample {run}"]


def open_series(job: Job, table: LoadedTable, settings: Mapping[str, str]) -> OpenedSeries:
    """Read the series of a job's table.

    Raises
    ------
    DataError
        If it holds none, or they are too short to judge by.
    SettingError
        If the horizon is no whole number of 1 or more.
    """
    horizon = settings.get("horizon")
    if horizon is not None and not (horizon.strip().isdecimal() and int(horizon) > 0):
        raise SettingError("horizon of 1 step or more", repr(horizon), "write for example --set horizon=12")
    frame = table.frame.rename(columns=str)
    for option, column in (("--time", job.time), ("--target", job.target), ("--group", job.group)):
        if column is not None and column not in frame.columns:
            mend = f"there are: {', '.join(map(str, frame.columns[:8]))}"
            raise DataError(f"a column {column!r} for {option}", f"none of that name in {table.name}", mend)
    app = SeriesApplication(
        frame, time=job.time, target=job.target, by=job.group, horizon=None if horizon is None else int(horizon),
        name=table.name,
    )  # fmt: skip
    return OpenedSeries(
        app=app,
        origin=table.origin,
        read_notes=tuple(table.notes),
        fingerprint=fingerprint("series", None, frame, None),
    )
