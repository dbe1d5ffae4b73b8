"""CSV, TSV and their relatives: delimiter and header found out, every row checked for its length."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gradus.core.errors import DataError
from gradus.data.columns import are_codes
from gradus.data.dataset import Note, brief
from gradus.data.files import kind_of, read_text

__all__ = ["read_delimited", "sniff"]

DELIMITERS = (",", "\t", ";", "|")
# "None" and "-" are left out: they are values in many tables, and missing only among numbers (STRAY_MARKS).
MISSING = ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "#N/A", "<NA>"]
STRAY_MARKS = {"?", "-", "--", ".", "none", "missing", "unknown", "na", "#value!", "#div/0!"}
BLOCK = 1 << 24
# From 3.1 on pandas reads numbers to the last bit by itself, and warns of the option that asked for it.
EXACT: dict[str, Any] = (
    {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}
)


def read_delimited(path: Path) -> tuple[pd.DataFrame, list[Note]]:
    """Read a delimited text file, packed or not.

    Returns
    -------
    tuple of DataFrame and list of Note
        The table with the types its values show, and what was guessed or changed.

    Raises
    ------
    DataError
        If the file is empty, binary, has no rows, a ragged row or two columns of one name.
    """
    data, notes = read_text(path)
    if b"\n" not in data and b"\r" in data:
        data = data.replace(b"\r", b"\n")
    sep = sniff(data[:65536].decode("utf-8", "ignore"), "\t" if kind_of(path) == ".tsv" else ",")
    names = _header(data, sep)
    if names is None:
        raise DataError("a header line", f"none that can be read in {path.name}", "put the column names in line 1")
    # A row of numbers is no header; one lone number, or repeated ones, are column names as good as any.
    headless = all(_is_number(name) for name in names)
    if headless:
        names = [f"column_{i + 1}" for i in range(len(names))]
        why = f"line 1 of {path.name} holds numbers, so the columns were named column_1 to column_{len(names)}"
        notes.append(Note("header", why))
    else:
        names = _distinct(names, path)
    n_rows, literal = _count_rows(data, sep, len(names), path, notes)
    if n_rows <= (not headless):
        raise DataError("rows below the header", f"a header only in {path.name}", "check how it was written")
    how: dict[str, Any] = {
        "sep": sep,
        "header": None if headless else 0,
        "names": names,
        "index_col": False,
        "na_values": MISSING,
        "keep_default_na": False,
        "skipinitialspace": True,
        "low_memory": False,
        "quoting": csv.QUOTE_NONE if literal else csv.QUOTE_MINIMAL,
        "encoding": "utf-8",
    }
    try:
        frame = pd.read_csv(io.BytesIO(data), **how, **EXACT)
        _restore_codes(frame, data, how)
    except (pd.errors.ParserError, ValueError, OverflowError) as error:
        raise DataError(f"a delimited table in {path.name}", str(error).strip(), "correct that line") from None
    notes.extend(_repair_numbers(frame, decimal_comma=sep == ";"))
    return frame, notes


def sniff(head: str, default: str = ",") -> str:
    r"""Return the delimiter among comma, tab, semicolon and bar that cuts the first lines most evenly.

    Examples
    --------
    >>> sniff("id;text\n1;one, two\n2;three\n")
    ';'
    """
    lines = [line for line in head.splitlines() if line.strip()][:30]
    if len(lines) > 2 and len(head) >= 65000:
        lines.pop()  # cut in the middle
    best, best_key = default, (False, 1, False)
    for sep in DELIMITERS:
        try:
            widths = [len(row) for row in csv.reader(lines, delimiter=sep, skipinitialspace=True) if row]
        except csv.Error:
            continue
        if widths and widths[0] > 1:
            key = (len(set(widths)) == 1, widths[0], sep == default)
            if key > best_key:
                best, best_key = sep, key
    return best


def _reader(data: bytes, sep: str) -> Any:
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="")
    return csv.reader(text, delimiter=sep, skipinitialspace=True)


def _header(data: bytes, sep: str) -> list[str] | None:
    try:
        return next((row for row in _reader(data, sep) if row), None)
    except csv.Error:
        return None


def _distinct(names: list[str], path: Path) -> list[str]:
    names = [name.strip() or f"Unnamed: {i}" for i, name in enumerate(names)]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError(
            f"different column names in {path.name}",
            f"{', '.join(map(repr, twice))} more than once",
            "rename one",
        )
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.strip().lower() not in {"nan", "inf", "infinity"}


def _plain_widths(data: bytes, sep: str) -> Iterator[tuple[list[int] | range, np.ndarray]]:
    """Yield, for blocks of lines, their numbers and widths (0 if blank); quotation marks are characters."""
    start, number, mark = 0, 1, ord(sep)
    while start < len(data):
        stop = len(data) if start + BLOCK >= len(data) else data.rfind(b"\n", start, start + BLOCK) + 1
        stop = stop if stop > start else (data.find(b"\n", start) + 1 or len(data))
        block = np.frombuffer(data, dtype=np.uint8, count=stop - start, offset=start)
        ends = np.flatnonzero(block == 10)
        if not len(ends) or ends[-1] != len(block) - 1:
            ends = np.append(ends, len(block))
        starts = np.concatenate([[0], ends[:-1] + 1])
        cuts = np.flatnonzero(block == mark)
        widths = np.searchsorted(cuts, ends) - np.searchsorted(cuts, starts) + 1
        last = block[np.minimum(starts, len(block) - 1)]
        widths[(starts == ends) | ((ends - starts == 1) & (last == 13))] = 0
        yield range(number, number + len(ends)), widths
        start, number = stop, number + len(ends)


def _quoted_widths(data: bytes, sep: str) -> Iterator[tuple[list[int] | range, np.ndarray]]:
    """Yield, for blocks of rows, each row's first line and width, quotes respected."""
    reader = _reader(data, sep)
    lines, widths, line = [], [], 1
    try:
        for row in reader:
            lines.append(line)
            widths.append(len(row))
            line = reader.line_num + 1
            if len(lines) == 1 << 16:
                yield lines, np.array(widths)
                lines, widths = [], []
    except csv.Error as error:
        raise DataError("a delimited table", f"line {line} with {error}", "correct its quotes") from None
    yield lines, np.array(widths, dtype=np.int64)


def _count_rows(data: bytes, sep: str, width: int, path: Path, notes: list[Note]) -> tuple[int, bool]:
    """Check every row's width; return their number and whether quotation marks are mere characters."""
    if b'"' not in data:
        return _check_widths(_plain_widths(data, sep), width, path), False
    try:
        plain = _check_widths(_plain_widths(data, sep), width, path)
    except DataError:
        plain = None
    try:
        quoted = _check_widths(_quoted_widths(data, sep), width, path)
    except DataError:
        if plain is None:
            raise
        quoted = -1
    # Where every line is whole as it stands, marks that would join lines are inches or speech, not quotes.
    if plain is not None and plain != quoted:
        notes.append(Note("quotation marks", f"read as they stand: in {path.name} they enclose no fields"))
        return plain, True
    return quoted, False


def _check_widths(blocks: Iterator[tuple[list[int] | range, np.ndarray]], width: int, path: Path) -> int:
    """Return the number of rows that are not blank, all ``width`` fields wide."""
    count = 0
    for lines, widths in blocks:
        wrong = np.flatnonzero((widths != width) & (widths != 0))
        # The one field of a one-column table may be empty, which is no blank line to anybody but us.
        if len(wrong):
            line, found = lines[int(wrong[0])], int(widths[wrong[0]])
            mend = "correct that line, quote fields that hold the delimiter, and give every column a name"
            raise DataError(
                f"{width} field{'s' * (width > 1)} in every row of {path.name}",
                f"{found} in line {line}",
                mend if width > 1 else "remove what stands above the header, or correct that line",
            )
        count += int(np.count_nonzero(widths))
    return count


def _restore_codes(frame: pd.DataFrame, data: bytes, how: dict[str, Any]) -> None:
    """Put back as text the columns of numbers that are codes: pandas drops their leading zeros."""
    mark = re.escape(how["sep"].encode())
    if not re.search(rb"(?:^|[\s\"]|%b)0[0-9]" % mark, data, re.MULTILINE):
        return
    whole = [name for name in frame.columns if _is_whole(frame[name])]
    if not whole:
        return
    texts = pd.read_csv(io.BytesIO(data), usecols=whole, dtype=str, **how)
    for name in whole:
        if are_codes(texts[name]):
            frame[name] = texts[name].str.strip()


def _is_whole(series: pd.Series) -> bool:
    """Whether a column holds numbers without a fraction, as it also does with gaps and so as floats."""
    if pd.api.types.is_float_dtype(series.dtype):
        values = series.dropna()
        return bool(len(values) and (values == np.floor(values)).all())
    return pd.api.types.is_integer_dtype(series.dtype)


def _repair_numbers(frame: pd.DataFrame, *, decimal_comma: bool) -> list[Note]:
    """Turn text columns into numbers where only a mark for "missing" or a decimal comma is in the way."""
    notes = []
    for position, name in enumerate(frame.columns):
        series = frame.iloc[:, position]
        if pd.api.types.is_numeric_dtype(series.dtype) or series.isna().all():
            continue
        texts = series.dropna()
        if not texts.map(lambda v: isinstance(v, str)).all():
            continue
        unique = pd.Series(texts.unique(), dtype=object)
        if are_codes(unique):
            continue
        if decimal_comma and unique.str.fullmatch(r"\s*[+-]?[0-9]+(,[0-9]+)?\s*").all():
            frame[name] = pd.to_numeric(series.astype(object).str.replace(",", ".", regex=False))
            notes.append(Note(f"column {name!r}", "decimal commas were read as points", len(texts)))
            continue
        odd = unique[pd.to_numeric(unique, errors="coerce").isna()]
        if 0 < len(odd) < len(unique) and set(odd.str.strip().str.lower()) <= STRAY_MARKS:
            marks = texts.isin(odd)
            codes = are_codes(unique[~unique.isin(odd)])
            numbers = pd.to_numeric(series.astype(object), errors="coerce")
            frame[name] = series.where(numbers.notna()) if codes else numbers
            why = f"{brief(sorted(odd))} among {'codes' if codes else 'numbers'} was taken as missing"
            notes.append(Note(f"column {name!r}", why, int(marks.sum())))
    return notes
