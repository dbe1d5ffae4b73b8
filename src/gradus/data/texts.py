"""Texts as data: the column of a table that holds them, and files of plain text."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gradus.core.errors import DataError, nearest
from gradus.data.columns import infer_columns
from gradus.data.dataset import Dataset, Note
from gradus.data.delimited import DELIMITERS
from gradus.data.files import COMPRESSIONS, kind_of, must_exist, read_text

__all__ = ["Corpus", "is_prose", "lines_of", "read_corpus", "text_column", "with_texts"]

PROSE = (".txt", ".md", ".rst")
# So many columns beside a text may be left aside; a table with more is better read as a table.
MOST_OTHERS = 2
OF_COLUMNS = ("columns of many values", "constant columns")


def text_column(data: Dataset) -> str | None:
    """Return the column of texts that a table is about, or None where it is a table of more than that.

    There is one column of texts, and beside it and the target at most two columns that could tell something.

    Examples
    --------
    >>> import pandas as pd
    >>> said = [f"this is the sentence of number {i} here" for i in range(30)]
    >>> frame = pd.DataFrame({"said": said, "mood": ["up", "down"] * 15})
    >>> text_column(Dataset(name="moods", kind="table", X=frame[["said"]], y=frame["mood"], target="mood"))
    'said'
    """
    kinds = {column.name: column.kind for column in infer_columns(data.X)}
    texts = [name for name, kind in kinds.items() if kind == "text"]
    others = [name for name, kind in kinds.items() if kind in ("number", "category", "boolean", "date")]
    return texts[0] if len(texts) == 1 and len(others) <= MOST_OTHERS else None


def with_texts(data: Dataset, column: str, *, asked: bool = False) -> Dataset:
    """Return a table's column of texts as a data set of texts; missing ones are empty.

    Parameters
    ----------
    data : Dataset
        A table.
    column : str
        The column.
    asked : bool
        Whether the column was named, and not recognised.

    Raises
    ------
    DataError
        If there is no such column, or it holds numbers.
    """
    table: Any = data.X
    names = list(table.columns)
    if column not in names:
        hint = nearest(column, names)
        raise DataError(f"a column {column!r} of texts", f"none of that name in {data.name}", f"{hint}check --text")
    values = table[column]
    present = values.notna().to_numpy()
    if not all(isinstance(value, str) for value in values[present]):
        raise DataError(f"texts in column {column!r}", "other values", "name another column with --text")
    X = np.array([value if there else "" for value, there in zip(values, present, strict=True)], dtype=object)
    others = [name for name in names if name != column]
    notes = [] if asked else [Note(f"column {column!r}", "holds texts, which are read; --text none reads the table")]
    if others:
        notes.append(Note("columns", f"left aside, only the texts are read: {', '.join(others)}", len(others)))
    if not present.all():
        notes.append(Note("missing texts", "taken as empty", int((~present).sum())))
    # What was said of a column of many values, or of one that is left aside, no longer matters.
    before = [note for note in data.notes if note.what not in OF_COLUMNS]
    return replace(data, kind="texts", X=X, notes=(*before, *notes))


# ---- plain text ----


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Plain text, one piece or several.

    Attributes
    ----------
    name, origin : str
        What to call it, and where it came from.
    texts : list of str
        One for each file.
    names : list of str
        The files' names.
    notes : tuple of Note
        What was changed in reading.
    """

    name: str
    origin: str
    texts: list[str]
    names: list[str]
    notes: tuple[Note, ...] = ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the number of texts, their lengths and contents."""
        digest = hashlib.sha256(f"corpus {len(self.texts)};".encode())
        for text in self.texts:
            content = text.encode("utf-8", "surrogatepass")
            digest.update(f"{len(content)};".encode())
            digest.update(content)
        return digest.hexdigest()


def is_prose(path: Path) -> bool:
    """Tell whether a file is plain text rather than a table: a text's lines do not have the same number of columns.

    Only files called .txt, .md or .rst are looked at (.gz, .bz2 and .xz around them); others are what they say.
    """
    if not path.is_file() or kind_of(path) not in PROSE:
        return False
    if kind_of(path) != ".txt":
        return True
    text = read_text(path)[0][: 1 << 16].decode("utf-8", "replace")
    lines = [line for line in text.splitlines() if line.strip()][:200]
    if sum(len(line.split()) for line in lines) < max(20, 2 * len(lines)) or not any(map(str.isalpha, text)):
        return False  # too little, or one value a line
    if len(lines) < 2:
        return True
    return not any(_regular(lines, mark) for mark in (*DELIMITERS, " ") if mark in lines[0])


def _regular(lines: Sequence[str], mark: str) -> bool:
    if mark == " ":  # words stand between spaces too, and a poem's lines may be of equally many
        words = " ".join(lines[1:]).split()
        if sum(word.strip("+-").replace(".", "", 1).isdecimal() for word in words) < len(words) / 4:
            return False
    counts = [len(line.split()) if mark == " " else line.count(mark) + 1 for line in lines]
    return min(counts) > 1 and sum(n == counts[0] for n in counts) >= 0.9 * len(counts)


def read_corpus(source: str | Path) -> Corpus:
    """Read a text file, or every .txt, .md and .rst file of a folder and those in it, in the order of their names.

    Raises
    ------
    DataError
        If there is no text, or something else than text.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "poem.txt").write_text("so much depends")
    ...     read_corpus(folder).texts
    ['so much depends']
    """
    path = Path(source).expanduser()
    must_exist(path)
    if path.is_dir():
        files = sorted(f for f in path.rglob("*") if f.is_file() and kind_of(f) in PROSE)
        if not files:
            raise DataError(f"a folder of {', '.join(PROSE)} files", f"{str(path)!r} without one", "name another")
    else:
        files = [path]
    texts, notes = [], []
    for file in files:
        content, said = read_text(file)
        texts.append(content.decode().replace("\r\n", "\n"))
        notes += said
    name = path.name
    while Path(name).suffix.lower() in (*COMPRESSIONS, *PROSE):
        name = Path(name).stem
    names = [str(file.relative_to(path)) if path.is_dir() else file.name for file in files]
    return Corpus(name=name or path.name, origin=str(path), texts=texts, names=names, notes=tuple(notes))


def lines_of(path: Path, column: str) -> Dataset | None:
    """Return the lines of a plain text file as texts to predict, empty ones left out.

    None where it is another kind of file, or a table with a column of that name in its first line.

    Raises
    ------
    DataError
        If there is none.
    """
    if not path.is_file() or kind_of(path) not in PROSE:
        return None
    content, notes = read_text(path)
    head = content.split(b"\n", 1)[0].decode()
    if any(column in [word.strip(' "\r') for word in head.split(mark)] for mark in DELIMITERS if mark in head):
        return None
    lines = [line for line in content.decode().splitlines() if line.strip()]
    if not lines:
        raise DataError("lines of text", f"none in {path.name}", "write a text a line")
    said = Note("lines", f"each line of {path.name} is a text", len(lines))
    X = np.array(lines, dtype=object)
    return Dataset(name=path.stem, kind="texts", X=X, notes=(*notes, said), origin=str(path))
