"""What a run leaves behind: its record, its settings, its log of metrics, and where each file lies.

Everything is text or safetensors, written whole or not at all; the one file that grows, ``metrics.jsonl``,
may be torn at its end by a kill and is read as if the torn line had never been begun.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from io import BufferedWriter
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gradus.core.errors import DamagedFileError, DataError, GradusError, InputError, StorageError
from gradus.core.storage import atomic_write, read_bytes, read_json, storage_errors, write_json
from gradus.core.strict_json import dump_json, parse_json
from gradus.practice.wording import show_value

__all__ = [
    "DataRecord",
    "MetricRecord",
    "MetricsLog",
    "RunFolder",
    "RunRecord",
    "RungRecord",
    "ScoreRecord",
    "SettingRecord",
    "SplitRecord",
    "config_yaml",
    "read_metrics",
    "rung_record",
    "versions",
]

FORMAT = 1
MAX_METRICS_BYTES = 1 << 30
MAX_LIST = 10_000
Scalar = bool | int | float | str | None


class _Record(BaseModel):
    # Unknown fields of a newer minor release are kept out, not refused; the format number guards the rest.
    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class ScoreRecord(_Record):
    """A score with its 95 % interval, the rows it was measured on, and the interval's method."""

    value: float
    low: float
    high: float
    n: int
    how: str = ""
    unit: str = ""

    def show(self) -> str:
        """Write the value for people."""
        return show_value(self.value, self.unit)

    def interval(self) -> str:
        """Write the interval for people."""
        return f"{show_value(self.low, self.unit)} to {show_value(self.high, self.unit)}"


class MetricRecord(_Record):
    """What a run was judged by."""

    name: str
    higher_is_better: bool
    unit: str = ""
    meaning: str = ""
    counted: str = "rows"


class RungRecord(_Record):
    """One rung of the ladder: scores, times in seconds, notes, or the reason it failed."""

    name: str
    kind: str
    why: str = ""
    status: Literal["fitting", "done", "failed"] = "done"
    valid: ScoreRecord | None = None
    test: ScoreRecord | None = None
    fit_seconds: float | None = None
    predict_seconds: float | None = None
    notes: list[str] = Field(default_factory=list)
    error: str | None = None


class SplitRecord(_Record):
    """Rows in each part (characters of a text, values of series), and how they were parted."""

    train: int
    valid: int
    test: int
    how: str = ""


class DataRecord(_Record):
    """What the run learned from."""

    name: str
    kind: str
    rows: int
    counted: str = "rows"
    roles: dict[str, str] = Field(default_factory=dict)
    columns: int | None = None
    names: list[str] = Field(default_factory=list)
    steps: dict[str, float] = Field(default_factory=dict)  # of columns whose values were rounded
    bounds: dict[str, tuple[float, float]] = Field(default_factory=dict)  # of the same: samples stay within
    levels: int | None = None  # of brightness, of pixels
    shape: list[int] | None = None
    classes: list[str] | None = None
    origin: str = ""
    fingerprint: str = ""
    notes: list[str] = Field(default_factory=list)
    split: SplitRecord | None = None


class SettingRecord(_Record):
    """One setting: its value in this run beside its default, with meaning and unit."""

    name: str
    value: Scalar | list[Scalar]
    default: Scalar | list[Scalar] = None
    meaning: str = ""
    unit: str | None = None

    @property
    def changed(self) -> bool:
        """Whether the value differs from the default."""
        return self.value != self.default or type(self.value) is not type(self.default)


class RunRecord(_Record):
    """Everything worth knowing about a run, apart from weights and predictions.

    Examples
    --------
    >>> record = RunRecord(name="first", task="classification", target="kind")
    >>> RunRecord.from_dict(record.to_dict()) == record
    True
    """

    format: int = FORMAT
    name: str
    created: str = Field(default_factory=lambda: datetime.now().astimezone().isoformat(timespec="seconds"))
    status: Literal["running", "finished", "stopped", "failed"] = "running"
    error: str | None = None
    command: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    device: str = "cpu"
    threads: int | None = None
    seed: int | None = None
    task: str
    target: str | None = None
    data: DataRecord | None = None
    metric: MetricRecord | None = None
    ladder: list[RungRecord] = Field(default_factory=list)
    chosen: str | None = None
    kept: str | None = None  # the rung whose model lies in the folder
    verdict: str = ""
    ties: list[str] = Field(default_factory=list)
    test_scores: dict[str, ScoreRecord] = Field(default_factory=dict)
    estimator: str | None = None
    parameters: int | None = None
    history: list[dict[str, Any]] = Field(default_factory=list)
    settings: list[SettingRecord] = Field(default_factory=list)
    seconds: float | None = None
    next_commands: list[str] = Field(default_factory=list)
    pages: dict[str, str] = Field(default_factory=dict)  # what further pages in the folder show, and their files

    def to_dict(self) -> dict[str, Any]:
        """Return plain dictionaries and lists."""
        return self.model_dump()

    @classmethod
    def from_dict(cls, value: Any, where: str | Path = "the record") -> RunRecord:
        """Check plain data and return the record.

        Raises
        ------
        DataError
            If a newer version wrote it.
        DamagedFileError
            If a field is missing or of the wrong type.
        """
        found = value.get("format") if isinstance(value, dict) else None
        if isinstance(found, int) and found > FORMAT:
            mend = "upgrade with `pip install --upgrade gradus-dl`"
            raise DataError(f"a run of format {FORMAT} or older in {where}", f"format {found}", mend)
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the whole"
            mend = "restore the file or fit again"
            raise DamagedFileError(f"a run's record in {where}", f"{place}: {first['msg']}", mend) from error

    def climbed(self, ladder: Any) -> RunRecord:
        """Take in a climbed `gradus.practice.ladder.Ladder`; returns self."""
        metric = ladder.metric
        self.metric = MetricRecord(
            name=metric.name,
            higher_is_better=metric.higher_is_better,
            unit=metric.unit,
            meaning=metric.meaning,
            counted=ladder.counted,
        )
        self.ladder = [rung_record(row, metric.unit) for row in ladder.rows]
        self.chosen, self.verdict, self.ties = ladder.chosen, ladder.verdict(), list(ladder.ties)
        self.test_scores = {n: _score(s, ladder.units[n]) for n, s in ladder.test_scores.items()}
        return self

    def rung(self, name: str | None) -> RungRecord | None:
        """Return the rung of that name, if there is one."""
        return next((r for r in self.ladder if r.name == name), None)


def _score(score: Any, unit: str) -> ScoreRecord:
    return ScoreRecord(**score._asdict(), unit=unit)


def rung_record(row: Any, unit: str = "") -> RungRecord:
    """Turn a `gradus.practice.ladder.LadderRow` into a record."""
    found: dict[str, Any] = {k: getattr(row, k) for k in RungRecord.model_fields}
    for part in ("valid", "test"):
        found[part] = None if found[part] is None else _score(found[part], unit)
    return RungRecord(**found)


def versions() -> dict[str, str]:
    """Return the versions that decide a result: Python, the system, and the packages computed with."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for package in ("gradus-dl", "torch", "numpy", "scikit-learn", "pandas"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a source tree on the path is not installed
            module = sys.modules.get("gradus" if package == "gradus-dl" else package)
            found[package] = str(getattr(module, "__version__", "not installed"))
    return found


# ---- settings as YAML ----

_BARE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(-[A-Za-z0-9_]+)*")
_YAML_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "none", "y", "n"}


def _yaml(value: Any) -> str:
    """Write one value on one line, so that a comment can stand beside it and nothing is folded."""
    import yaml

    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_yaml, value))}]"
    if getattr(value, "shape", None) == ():
        value = value.item()  # a NumPy number
    if isinstance(value, str):
        if _BARE.fullmatch(value) and value.lower() not in _YAML_WORDS:
            return value
        text: str = yaml.safe_dump(value, default_style='"', width=sys.maxsize)
        return text.strip()
    if value is None or isinstance(value, bool | int | float):
        return str(yaml.safe_dump(value)).removesuffix("\n").removesuffix("...").strip()
    raise InputError("a number, text, true, false, none or a list of them", repr(value), "convert the setting")


def _is_setting(value: Any) -> bool:
    """Tell what `_yaml` writes from what can stand for gigabytes: lists in lists, named once and used often."""
    if isinstance(value, list):
        return len(value) <= MAX_LIST and all(isinstance(v, Scalar) for v in value)
    return isinstance(value, Scalar)


def _comment(text: str) -> str:
    """Leave out what YAML forbids even in a comment, or takes for the end of a line."""
    return "".join(c if c.isprintable() else " " for c in text)


def config_yaml(settings: Sequence[SettingRecord], head: str = "") -> str:
    """Write settings as YAML, each with its meaning, unit and default above it.

    Parameters
    ----------
    settings : sequence of SettingRecord
        In the order they should appear.
    head : str
        Lines to put on top as comments.

    Returns
    -------
    str
        ``yaml.safe_load`` gives the values back, tuples as lists.

    Examples
    --------
    >>> print(config_yaml([SettingRecord(name="patience", value=5, default=8, meaning="wait")]))
    # wait; default 8
    patience: 5
    <BLANKLINE>
    """
    lines = [f"# {_comment(line)}".rstrip() for line in head.splitlines()]
    for setting in settings:
        note = " ".join(setting.meaning.split()) + (f" ({setting.unit})" if setting.unit else "")
        note += f"; default {_yaml(setting.default)}" if setting.changed else ""
        note = _comment(note).strip(" ;")
        lines += ([f"# {note}"] if note else []) + [f"{_yaml(setting.name)}: {_yaml(setting.value)}"]
    return "\n".join(lines) + "\n"


# ---- the log of metrics ----


class MetricsLog:
    """Append rows to ``metrics.jsonl``, one whole line a write.

    Opening cuts off a line that a kill left torn, so that the next row does not join it.

    Parameters
    ----------
    path : str or Path
        The file; made if absent.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with storage_errors(path):
            _cut_torn_line(self.path)
            self._file: BufferedWriter = self.path.open("ab")

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row and hand it to the system."""
        with storage_errors(self.path):
            self._file.write(dump_json(dict(row)) + b"\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _cut_torn_line(path: Path) -> None:
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """Return the rows of ``metrics.jsonl``; a torn last line is left out.

    Raises
    ------
    DamagedFileError
        If a line before the last is no JSON object.
    StorageError
        If the file cannot be read.
    """
    lines = read_bytes(path, MAX_METRICS_BYTES).split(b"\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line, path)
        except GradusError as error:
            if number >= len(lines) - 1:  # the last line: torn by a kill or a power cut
                continue
            where = f"a row of metrics in line {number} of {path}"
            raise DamagedFileError(where, "no JSON", "delete that line") from error
        if not isinstance(row, dict):
            where = f"a row of metrics in line {number} of {path}"
            raise DamagedFileError(where, type(row).__name__, "delete that line")
        rows.append(row)
    return rows


# ---- the folder ----


class RunFolder:
    """Where the files of a run lie.

    Parameters
    ----------
    path : str or Path
        The run's folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.record_file = self.path / "run.json"
        self.config = self.path / "config.yaml"
        self.data = self.path / "data.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        self.report = self.path / "report.html"
        self.card = self.path / "README.md"
        self.log_file = self.path / "log.txt"

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @classmethod
    def create(cls, root: str | Path = "runs", name: str = "run", *, exact: bool = False) -> RunFolder:
        """Make a new folder under ``root``, named after the data and the time, or exactly ``name``.

        Parameters
        ----------
        root : str or Path
            Folder of the runs; made if absent.
        name : str
            What the run is about; what a file system could stumble over is replaced.
        exact : bool
            Use ``name`` as it is, and refuse a folder that is there and not empty.

        Raises
        ------
        StorageError
            If the folder cannot be made, or ``exact`` was asked for and it is taken.

        Examples
        --------
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     RunFolder.create(root, "my data.csv").path.name[:12]
        'my-data-csv-'
        """
        root = Path(root)
        if exact:
            with storage_errors(root / name):
                (root / name).mkdir(parents=True, exist_ok=True)
                if any((root / name).iterdir()):
                    raise StorageError(f"an empty folder {root / name}", "one with files", "choose another name")
            return cls(root / name)
        slug = re.sub(r"[^\w]+", "-", name).strip("-_")[:40].lower() or "run"
        stem = f"{slug}-{datetime.now():%Y-%m-%d-%H%M%S}"
        with storage_errors(root / stem):
            root.mkdir(parents=True, exist_ok=True)
            for count in range(1, 10_000):
                path = root / (stem if count == 1 else f"{stem}-{count}")
                try:
                    path.mkdir()  # fails if another process was first: the name is then its own
                except FileExistsError:
                    continue
                return cls(path)
        raise StorageError(f"a free name under {root}", "10,000 runs of one second", "tidy the folder")

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Return an existing run's folder.

        Raises
        ------
        DataError
            If the folder is missing or holds no run.
        """
        folder = cls(path)
        if not folder.path.is_dir():
            received = f"{str(path)!r}, which is {'a file' if folder.path.exists() else 'not there'}"
            raise DataError("the folder of a run", received, "list the runs with `gradus runs`")
        if not folder.record_file.is_file():
            raise DataError(f"the folder of a run, with {folder.record_file.name}", f"{str(path)!r} without it",
                            "list the runs with `gradus runs`")  # fmt: skip
        return folder

    @staticmethod
    def all(root: str | Path = "runs") -> list[RunFolder]:
        """Return the runs under ``root``, the newest first; other folders are passed over."""
        root = Path(root)
        if not root.is_dir():
            return []
        with storage_errors(root, "to read"):
            found = [RunFolder(p) for p in root.iterdir() if (p / "run.json").is_file()]
        return sorted(found, key=lambda f: (f.record_file.stat().st_mtime_ns, f.path.name), reverse=True)

    def write_record(self, record: RunRecord) -> None:
        """Write ``run.json``, and with it ``data.json`` where the data are known."""
        write_json(self.record_file, record.to_dict())
        if record.data is not None:
            write_json(self.data, record.data.model_dump())

    def read_record(self) -> RunRecord:
        """Read ``run.json``.

        Raises
        ------
        DamagedFileError
            If it is not what a run writes.
        DataError
            If a newer version wrote it.
        """
        return RunRecord.from_dict(read_json(self.record_file), self.record_file)

    def write_config(self, settings: Sequence[SettingRecord], head: str = "") -> None:
        """Write ``config.yaml``: every setting with its value, meaning and unit."""
        atomic_write(self.config, config_yaml(settings, head))

    def read_config(self) -> dict[str, Any]:
        """Read ``config.yaml``.

        Raises
        ------
        DamagedFileError
            If it is no YAML mapping of names to values.
        """
        import yaml

        try:
            found = yaml.safe_load(read_bytes(self.config, 1 << 20))
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            mark, said = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
            problem = " ".join(f"{f'line {mark.line + 1}: ' if mark else ''}{said}".split())[:120]
            raise DamagedFileError(f"settings as YAML in {self.config}", problem, "restore the file") from error
        found = {} if found is None else found
        if isinstance(found, dict) and not all(map(_is_setting, found.values())):
            mend = "restore the file"
            raise DamagedFileError(f"values and lists of values in {self.config}", "deeper nesting", mend)
        if not isinstance(found, dict) or not all(isinstance(k, str) for k in found):
            raise DamagedFileError(f"`name: value` lines in {self.config}", type(found).__name__, "restore the file")
        return found

    def metrics_log(self) -> MetricsLog:
        """Open ``metrics.jsonl`` for appending."""
        return MetricsLog(self.metrics)

    def read_metrics(self) -> list[dict[str, Any]]:
        """Read ``metrics.jsonl``; no file means no rows."""
        return read_metrics(self.metrics) if self.metrics.exists() else []

    def keep_metrics(self, through_epoch: int) -> None:
        """Drop the rows after an epoch: what a resumed run is about to measure again."""
        rows = [row for row in self.read_metrics() if row.get("epoch", -1) <= through_epoch]
        atomic_write(self.metrics, b"".join(dump_json(row) + b"\n" for row in rows))

    def log(self, text: str) -> None:
        """Append a line with the time to ``log.txt``."""
        stamp = datetime.now().isoformat(sep=" ", timespec="seconds")
        with storage_errors(self.log_file), self.log_file.open("a", encoding="utf-8") as file:
            file.write(f"{stamp}  {' '.join(text.splitlines())}\n")
