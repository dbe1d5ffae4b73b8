"""Plain text, opened: language models that count beside one that learns, judged by the bits they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gradus.applications.base import Candidate
from gradus.applications.language.corpus import corpus_network, corpus_rungs, language_exhibits
from gradus.core.errors import DataError
from gradus.core.randomness import derive
from gradus.data.dataset import Note
from gradus.data.files import kind_of
from gradus.data.images import IMAGE_SUFFIXES, list_images
from gradus.data.named import NAMED
from gradus.data.parquet import PARQUET, is_parquet_folder
from gradus.data.texts import Corpus, is_prose, read_corpus
from gradus.estimators.exhibit import Exhibit
from gradus.practice.contests import TextContest
from gradus.practice.ladder import Ladder, Rung
from gradus.runs.opened import Opened
from gradus.runs.record import DataRecord, SplitRecord

if TYPE_CHECKING:
    from gradus.runs.job import Job

__all__ = ["OpenedCorpus", "is_corpus", "open_corpus"]

SHARE = 0.1  # of a text, for validation and for test, unless a job says otherwise
ROWS = (".csv", ".tsv", ".tab", ".data", ".jsonl", ".ndjson", ".npz", ".npy", *PARQUET, *IMAGE_SUFFIXES)
LEAST = 2000  # characters: less than that tells models from each other by chance


def is_corpus(source: str | Path, task: str) -> bool:
    """Tell whether a source is plain text to learn from: it looks like prose, or is to be generated and is no rows."""
    named = not str(source).strip() or (isinstance(source, str) and source in NAMED)
    path = Path(source).expanduser()
    if task == "generate":
        return not named and not _is_rows(path)
    return task == "auto" and not named and is_prose(path)


def _is_rows(path: Path) -> bool:
    """Tell whether a path holds a table, arrays or images, by its name or by those of its files."""
    if path.is_file():
        return kind_of(path) in ROWS
    return path.is_dir() and (is_parquet_folder(path) or bool(list_images(path)[0]))


@dataclass(frozen=True, kw_only=True)
class OpenedCorpus(Opened):
    """A text or several, cut into three parts."""

    corpus: Corpus
    parts: dict[str, list[str]]
    divided: str
    reason: str
    kind: ClassVar[str] = "corpus"
    task: ClassVar[str] = "generate"

    @property
    def name(self) -> str:
        """What the text is called."""
        return self.corpus.name

    @property
    def why(self) -> str:
        """Why it is taken for a text."""
        return self.reason

    @property
    def how(self) -> str:
        """How the parts were cut."""
        return self.divided

    @property
    def notes(self) -> list[Note]:
        """What was changed in reading."""
        return list(self.corpus.notes)

    def describe(self) -> str:
        """Return name and size in words."""
        n, characters = len(self.corpus.texts), sum(map(len, self.corpus.texts))
        return f"{self.name!r}, {'a text' if n == 1 else f'{n:,} texts'} of {characters:,} characters"

    def network(self, settings: Mapping[str, str], seed: int) -> Candidate:
        """Return the network for the top of the ladder."""
        return corpus_network(self._characters("train"), settings, random_state=seed)

    def rungs(self, seed: int) -> list[Rung]:
        """Return the models that count."""
        kinds = ("trivial", "classical")
        return [Rung(c.name, kind, c.estimator, c.why) for kind, c in zip(kinds, corpus_rungs(), strict=True)]  # type: ignore[arg-type]

    @cached_property
    def _contest(self) -> TextContest:
        return TextContest(self.parts["train"], self.parts["valid"], self.parts["test"])

    def contest(self) -> TextContest:
        """Return how models are fitted and judged."""
        return self._contest

    def exhibits(self, ladder: Ladder) -> Iterator[Exhibit]:
        """Yield samples, the most surprising passages, and where attention goes."""
        yield from language_exhibits(ladder.fitted, ladder.chosen, self.parts["test"], ladder.answers[ladder.chosen])

    def record(self) -> DataRecord:
        """Return what a run keeps of its data."""
        sizes = {part: self._characters(part) for part in ("train", "valid", "test")}
        return DataRecord(
            name=self.name, kind=self.kind, rows=sum(sizes.values()), counted="characters", origin=self.corpus.origin,
            fingerprint=self.fingerprint, notes=[str(note) for note in self.notes],
            split=SplitRecord(**sizes, how=self.how),
        )  # fmt: skip

    def uses(self, run: str, source: str) -> list[str]:
        """Return commands that use the model."""
        return [f"gradus sample {run}", f"gradus predict {run} {source}"]

    def _characters(self, part: str) -> int:
        return sum(map(len, self.parts[part]))


def open_corpus(job: Job) -> OpenedCorpus:
    """Read and divide the text of a job: one text by its length, several whole, at random.

    Raises
    ------
    DataError
        If there is too little text, or the job asks for what a text does not have.
    """
    for role in ("target", "group", "time"):
        if getattr(job, role) is not None:
            raise DataError(f"no {role} for a text", repr(getattr(job, role)), f"leave out --{role}")
    corpus = read_corpus(job.source)
    size = sum(map(len, corpus.texts))
    if size < LEAST:
        raise DataError(f"a text of {LEAST:,} characters or more", f"{size:,} in {corpus.name}", "add text")
    test, valid = job.test_fraction or SHARE, job.valid_fraction or SHARE
    if test + valid >= 1:
        raise DataError("parts that leave text to learn from", f"{test} and {valid}", "set smaller fractions")
    texts = corpus.texts
    if len(texts) >= 10:
        order = np.random.default_rng(derive(job.seed, "split")).permutation(len(texts))
        n_test, n_valid = max(1, round(len(texts) * test)), max(1, round(len(texts) * valid))
        cuts = {"test": order[:n_test], "valid": order[n_test : n_test + n_valid], "train": order[n_test + n_valid :]}
        parts = {name: [texts[i] for i in sorted(rows)] for name, rows in cuts.items()}
        how = f"{len(parts['train'])} texts for training, {n_valid} for validation, {n_test} for test, seed {job.seed}"
    else:
        cut = [_cut(text, valid, test) for text in texts]
        parts = {name: [c[k] for c in cut if c[k]] for k, name in enumerate(("train", "valid", "test"))}
        of = "the text" if len(texts) == 1 else "each text"
        how = f"in order: the last {test:.0%} of {of} for test, the {valid:.0%} before for validation"
    return OpenedCorpus(
        corpus=corpus, parts=parts, divided=how, fingerprint=corpus.fingerprint,
        reason="as asked" if job.task == "generate" else f"{Path(job.source).name} is plain text, not a table",
    )  # fmt: skip


def _cut(text: str, valid: float, test: float) -> tuple[str, str, str]:
    """Cut a text in three, at the ends of lines where there are some nearby."""
    ends = []
    for share in (1 - valid - test, 1 - test):
        at = round(len(text) * share)
        line = text.find("\n", at, at + 200)
        ends.append(at if line < 0 else line + 1)
    return text[: ends[0]], text[ends[0] : ends[1]], text[ends[1] :]
