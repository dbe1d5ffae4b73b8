"""The main job: from a source of data to a judged model, a report and the next command."""

from __future__ import annotations

import os
import shlex
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from gradus.core.devices import choose_device
from gradus.core.errors import DamagedFileError, DataError, PeerError, SettingError, nearest
from gradus.core.lock import RunLock
from gradus.core.options import check_settings, option, parse_setting, settings_of
from gradus.estimators.base import Estimator
from gradus.estimators.exhibits import learning_curves
from gradus.estimators.gradient import GradientEstimator, trains_together
from gradus.practice.ladder import Kind, Ladder, LadderRow, Rung, climb
from gradus.runs.card import write_card
from gradus.runs.opened import Opened
from gradus.runs.opening import TASKS, fractions_of, open_data
from gradus.runs.record import MetricsLog, RunFolder, RunRecord, SettingRecord, rung_record, versions
from gradus.runs.report import write_report
from gradus.runs.surveys import default_memory
from gradus.training.checkpoints import CheckpointStore
from gradus.training.distribution import agreed, is_first
from gradus.training.interrupts import TERMINATED
from gradus.training.observers import observed_by
from gradus.training.progress import ProgressBar

if TYPE_CHECKING:
    from rich.console import Console

    from gradus.training.loop import Event, Trainer

__all__ = ["Job", "Prepared", "fit_source", "prepare_again", "resume_run"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is asked of the main job; with the network's settings, all that ``config.yaml`` holds."""

    source: str = option("digits", "file, folder or named data set")
    target: str | None = option(None, "column to predict")
    task: str = option(
        "auto",
        "classification, regression, translate, forecast, generate, density, factors, cluster, compress; "
        "auto: inferred from the data",
    )
    text: str | None = option(None, "column of texts to read; the word none reads a table although it has one")
    group: str | None = option(None, "column whose equal values stay on one side of the split, or that names series")
    time: str | None = option(None, "column of times: train on the past, test on the future")
    seed: int = option(0, "seed of split, baselines and network", low=0, high=2**32 - 1)
    test_fraction: float | None = option(
        None, "share of the data for the one final test; none: 0.2 of rows, 0.1 of a plain text", above=0, high=0.8
    )
    valid_fraction: float | None = option(
        None, "share of the data by which rungs are chosen; none: as test_fraction", above=0, high=0.8
    )
    memory: float | None = option(
        None, "data to hold in memory, larger ones are streamed; none: a quarter of what is free", unit="GiB", above=0
    )


# What is asked of a job by --set, beside the network's settings.
BY_SET = ("test_fraction", "valid_fraction", "memory")


def fit_source(
    source: str | Path,
    *,
    target: str | None = None,
    task: str = "auto",
    text: str | None = None,
    settings: Mapping[str, str] | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    max_time: float | None = None,
    group: str | None = None,
    time: str | None = None,
    command: str | None = None,
    console: Console | None = None,
) -> RunFolder:
    """Take data from a baseline to a network, one test and a report.

    Parameters
    ----------
    source : str or Path
        A file, a folder, or the name of a data set.
    target, task, text, group, time, seed
        See `Job`.
    settings : mapping of str to str, optional
        The network's settings as texts, as ``--set name=value`` gives them; those of `Job` are known too.
    out : str or Path, optional
        The run's folder, which must be new or empty; by default a new one under ``runs``.
    max_time : float, optional
        Most seconds to train the network.
    command : str, optional
        How to repeat the run, for the report.
    console : rich.console.Console, optional
        Where progress is told; nowhere by default.

    Returns
    -------
    RunFolder
        The run's folder, with its record.

    Raises
    ------
    GradusError
        If data or settings cannot be used; nothing is written then.
    """
    given = dict(settings or {})
    _check_text(source, target, text, group, time, out, *given.values())
    _check_names(given)
    own = {name: given.pop(name) for name in BY_SET if name in given}
    job = Job(
        source=str(source), target=target, task=task, text=text, group=group, time=time, seed=seed,
        **{name: parse_setting(Job, name, value) for name, value in own.items()},
    )  # fmt: skip
    check_settings(job)
    if max_time is not None:
        given["max_time"] = str(max_time)
    if task not in TASKS:
        raise SettingError(f"a task: {', '.join(TASKS)}", repr(task), f"{nearest(task, TASKS)}or leave it out")
    asked = job
    valid, test = fractions_of(job)
    job = replace(job, memory=job.memory or agreed(default_memory()), valid_fraction=valid, test_fraction=test)
    started = _prepare(job, given, console)
    if isinstance(started.estimator, GradientEstimator):
        choose_device(started.estimator.device)  # a missing one is refused now, not after the other rungs
    if not is_first():
        return _follow(started)
    if out is None:
        folder = RunFolder.create("runs", started.opened.name)
    else:
        folder = RunFolder.create(Path(out).parent, Path(out).name, exact=True)
    # Where a run streams, its sample depends on the memory, so whoever repeats it has to ask for as much.
    repeated = replace(asked, memory=job.memory if started.opened.streams else asked.memory)
    return _run(job, started, folder, command or _command(repeated, given, out), console)


def resume_run(path: str | Path, *, console: Console | None = None) -> RunFolder:
    """Go on with a stopped run, to the same bits it would have reached.

    Raises
    ------
    DataError
        If the folder holds no run, or its data are gone or have changed.
    DamagedFileError
        If its settings are damaged, or every checkpoint is.
    LockedError
        If another process is at work on it.
    """
    folder = RunFolder.open(path)
    record = folder.read_record()
    if record.status == "finished":
        return folder
    started = prepare_again(folder, record, console)
    _check_checkpoints(folder)
    if not is_first():
        return _follow(started)
    return _run(started.job, started, folder, record.command, console)


def _check_checkpoints(folder: RunFolder) -> None:
    """Refuse to go on where nothing intact is left to go on from, before the record is written anew."""
    for phase in sorted({step.parent for step in folder.checkpoints.rglob("step_*")}):
        try:
            CheckpointStore(phase).latest()
        except DamagedFileError as error:
            mend = f"restore it from a copy, or remove {folder.checkpoints} to train from the start"
            raise DamagedFileError(error.expected, error.received, mend) from None


def prepare_again(folder: RunFolder, record: RunRecord, console: Console | None = None) -> Prepared:
    """Read a run's data and settings anew, and make sure that the data are the same.

    Raises
    ------
    DataError
        If the data are gone or have changed.
    """
    config = folder.read_config()
    lost = [name for name in settings_of(Job) if name not in config]
    if lost:
        raise DamagedFileError(f"all settings in {folder.config}", f"none called {lost[0]}", "restore the file")
    own = {name: config.pop(name) for name in settings_of(Job)}
    config.pop("estimator", None)
    job = Job(**own)
    check_settings(job)
    texts = {name: _text(value) for name, value in config.items()}
    started = _prepare(job, texts, console)
    if record.data is not None and record.data.fingerprint != started.opened.fingerprint:
        raise DataError(
            f"{job.source} as it was when the run began",
            "other contents",
            "restore the data, or start a new run",
        )
    return started


@dataclass
class Prepared:
    """Everything that can be refused has been checked; nothing has been written."""

    job: Job
    opened: Opened
    estimator: Any
    rungs: list[Rung]
    network: str


def _prepare(job: Job, settings: Mapping[str, str], console: Console | None = None) -> Prepared:
    say = None if console is None else lambda text: console.print(text, markup=False, soft_wrap=True)
    opened = open_data(job, settings, say)
    opened.check()
    top = opened.network(settings, job.seed)
    rungs = opened.rungs(job.seed)
    kind: Kind = "network" if isinstance(top.estimator, GradientEstimator) else "classical"
    rungs.append(Rung(top.name, kind, top.estimator, top.why, opened.stream(top.estimator, job.seed)))
    return Prepared(job, opened, top.estimator, rungs, top.name)


def _follow(started: Prepared) -> RunFolder:
    """Train with the first process, which keeps the run: every network that it fits, as often as it does.

    The rungs below, the report and every file are the first one's alone.
    """
    folder = RunFolder.open(agreed(None))
    started.estimator.checkpoint = str(folder.checkpoints)
    together = [rung for rung in started.rungs if trains_together(rung.estimator)]
    with _terminable():
        ladder = climb(together, started.opened.contest())
        chosen = agreed(None)
        if chosen in ladder.fitted:
            started.opened.finish(ladder.fitted[chosen])
    return folder


def _run(job: Job, started: Prepared, folder: RunFolder, command: str, console: Console | None) -> RunFolder:
    """Climb the ladder inside the run's folder, whatever happens leaving a record of it."""
    begin = time.perf_counter()
    opened = started.opened
    with RunLock(folder.path):
        started.estimator.checkpoint = str(folder.checkpoints)
        record = RunRecord(
            name=folder.path.name, command=command, versions=versions(), seed=job.seed, task=opened.task,
            target=opened.target, data=opened.record(), estimator=type(started.estimator).__name__,
            settings=_settings(started.estimator),
        )  # fmt: skip
        folder.write_config([*_settings(job), _named(record.estimator), *record.settings], f"{command}")
        folder.write_record(record)
        agreed(str(folder.path))  # the others wait to hear where it is
        teller = _Teller(folder, record, console)
        with _terminable(), _ending(folder, record, begin, teller):
            teller.begin(started)
            with closing(_MetricsFile(folder)) as log, observed_by(ProgressBar("training", console), log):
                ladder = climb(started.rungs, opened.contest(), on_rung=teller.rung)
                record.climbed(ladder)
                agreed(ladder.chosen)
                ladder.fitted[ladder.chosen] = opened.finish(ladder.fitted[ladder.chosen])
            _learned(record, ladder, started, folder)
            record.status, record.seconds = "finished", time.perf_counter() - begin
            record.next_commands = _next(folder, job, opened)
            _show(record, folder, opened, ladder)
            folder.write_record(record)
            folder.log(record.verdict)
    return folder


@contextmanager
def _terminable() -> Iterator[None]:
    """End in order at a SIGTERM also while no network trains; a second one must not cut the end short.

    As in `gradus.training.interrupts`, which takes over while a network trains and can answer better.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(TERMINATED)

    found = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except SystemExit:
        raise
    except BaseException:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if found is None else found)
        raise
    signal.signal(signal.SIGTERM, signal.SIG_DFL if found is None else found)


@contextmanager
def _ending(folder: RunFolder, record: RunRecord, begin: float, teller: _Teller) -> Iterator[None]:
    """Leave a record that says how the run ended, also when it was stopped or failed."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, PeerError):  # the launcher ends who is left, and would cut the record short
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stopped = isinstance(error, KeyboardInterrupt | SystemExit)
        record.status = "stopped" if stopped else "failed"
        record.error = None if stopped else str(error).splitlines()[0] if str(error) else type(error).__name__
        record.seconds = time.perf_counter() - begin
        record.next_commands = [f"gradus resume {shlex.quote(str(folder.path))}"]
        folder.write_record(record)
        folder.log(f"{record.status}: {record.error or type(error).__name__}")
        if stopped:
            teller.say(f"  stopped; go on with {record.next_commands[0]}")
        raise


class _Teller:
    """Tell the console and the log what was found and how each rung did."""

    def __init__(self, folder: RunFolder, record: RunRecord, console: Console | None) -> None:
        self.folder, self.record, self.console = folder, record, console

    def say(self, text: str) -> None:
        self.folder.log(text.strip())
        if self.console is not None:
            self.console.print(text, markup=False, soft_wrap=True)

    def begin(self, started: Prepared) -> None:
        opened = started.opened
        self.say(f"data   {opened.describe()}")
        for note in opened.notes:
            self.say(f"note   {note}")
        self.say(f"task   {opened.task}: {opened.why} (change with --task)")
        self.say(f"split  {opened.how}")
        self.say(f"run    {self.folder.path}")

    def rung(self, row: LadderRow) -> None:
        if row.status == "fitting":
            return
        self.record.ladder.append(rung_record(row))
        self.folder.write_record(self.record)
        if row.valid is None:
            self.say(f"rung   {row.name:<30} failed: {row.error}")
        else:
            shown = self.record.ladder[-1].valid
            value = "" if shown is None else shown.show()
            self.say(f"rung   {row.name:<30} validation {value:>7}   {row.fit_seconds or 0:6.2f} s")
        for note in row.notes:
            self.say(f"note   {note}")


class _MetricsFile:
    """Write each epoch's row to ``metrics.jsonl``; a resumed run first drops what it will measure again."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.log: MetricsLog | None = None

    def __call__(self, trainer: Trainer, event: Event) -> None:
        if event == "start":
            self.folder.keep_metrics(len(trainer.history) - 1)
            self.log = self.folder.metrics_log()
        elif event == "epoch" and self.log is not None:
            self.log.append(trainer.history[-1])
        elif event == "stop":
            self.close()

    def close(self) -> None:
        """Close the file, also where training was broken off."""
        if self.log is not None:
            self.log.close()


def _learned(record: RunRecord, ladder: Ladder, started: Prepared, folder: RunFolder) -> None:
    """Keep the chosen model, or the network although it lost, and what is known of its training.

    Of other libraries' models, and of pipelines, nothing is kept: they are made again where they are used.
    """
    chosen, top = ladder.fitted[ladder.chosen], ladder.fitted.get(started.network)
    kept = next((m for m in (chosen, top) if isinstance(m, GradientEstimator)), chosen)
    if not isinstance(kept, Estimator):
        return
    record.kept = ladder.chosen if kept is chosen else started.network
    if isinstance(kept, GradientEstimator):
        kept.checkpoint = None  # the model is to be moved and loaded elsewhere
    kept.save(folder.model)
    if not isinstance(kept, GradientEstimator):
        return
    record.estimator, record.settings = type(kept).__name__, _settings(kept)
    record.history, record.threads = kept.history_, kept.n_threads_
    record.device = str(next(kept.network_.parameters()).device)
    record.parameters = sum(p.numel() for p in kept.network_.parameters())


def _show(record: RunRecord, folder: RunFolder, opened: Opened, ladder: Ladder) -> None:
    """Write report and model card."""
    exhibits = []
    if record.history and record.kept is not None:
        exhibits.append(learning_curves(record.history, ladder.fitted[record.kept].best_epoch_))
    exhibits += opened.exhibits(ladder)
    record.pages = opened.pages(ladder, folder.path)
    write_report(record, exhibits, folder.report)
    write_card(record, folder.card)


def _settings(holder: Any) -> list[SettingRecord]:
    return [
        SettingRecord(
            name=s.name,
            value=_plain(getattr(holder, s.name)),
            default=_plain(s.default),
            meaning=s.help,
            unit=s.unit,
        )
        for s in settings_of(type(holder)).values()
        if s.name != "checkpoint"
    ]


def _named(estimator: str | None) -> SettingRecord:
    return SettingRecord(
        name="estimator", value=estimator, default=estimator, meaning="class of the network's estimator"
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{k}:{v}" for k, v in value.items())
    return list(value) if isinstance(value, tuple) else value


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _check_text(*texts: str | Path | None) -> None:
    """Refuse names that are no text in any encoding: records and reports are UTF-8."""
    for text in texts:
        try:
            str(text).encode()
        except UnicodeEncodeError:
            raise DataError("names in UTF-8", ascii(str(text)), "rename the file, or set LC_ALL=C.UTF-8") from None


def _check_names(settings: Mapping[str, str]) -> None:
    """Refuse settings that the job itself decides, and name the option that asks for them."""
    options = {"source", "target", "task", "text", "group", "time", "seed", "out"}
    for name, text in settings.items():
        if name == "checkpoint":
            mend = "leave it out: a run keeps its checkpoints in its own folder"
            raise SettingError("settings of the network after --set", "'checkpoint'", mend)
        asked = "seed" if name == "random_state" else name
        if asked in options:
            mend = "name the data first" if name == "source" else f"write --{asked} {shlex.quote(text)}"
            raise SettingError("settings of the network after --set", repr(name), mend)


def _command(job: Job, settings: Mapping[str, str], out: str | Path | None) -> str:
    words = ["gradus", "fit", job.source]
    for name in ("target", "task", "text", "group", "time", "seed"):
        value = getattr(job, name)
        if value != settings_of(Job)[name].default:
            words += [f"--{name}", str(value)]
    for name in BY_SET:
        if getattr(job, name) != settings_of(Job)[name].default:
            words += ["--set", f"{name}={getattr(job, name)}"]
    for name, text in settings.items():
        words += ["--set", f"{name}={text}"]
    return shlex.join(words + (["--out", str(out)] if out is not None else []))


def _next(folder: RunFolder, job: Job, opened: Opened) -> list[str]:
    run = shlex.quote(os.path.relpath(folder.path))
    return [*opened.uses(run, shlex.quote(job.source)), f"gradus inspect {run}"]
