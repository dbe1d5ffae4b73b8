"""Batches of data larger than memory, at a position that is still a pair of integers.

A Parquet file is read by row groups. The order of an epoch is a function of (seed, epoch): the row groups are
permuted, cut into windows of a bounded number of rows, and the rows of each window permuted. To start in the
middle of an epoch, the windows before are counted, not read. Image files are random access, so their whole
order is permuted and nothing before the start is opened. One thread reads ahead, which no order depends on.

Examples
--------
>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     path = Path(folder) / "rows.parquet"
...     pd.DataFrame({"a": [1.0, 2.0, 3.0], "y": [0, 1, 0]}).to_parquet(path)
...     data = ParquetBatches(path, target="y", batch_size=2, shuffle=False)
...     [batch["inputs"].tolist() for batch in data.epoch(0)]
[[[1.0], [2.0]], [[3.0]]]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import torch

from gradus.core.errors import DataError, InputError, SettingError, nearest
from gradus.core.randomness import derive, generator
from gradus.data.batches import Batch
from gradus.data.files import must_exist
from gradus.data.images import decode
from gradus.data.records import open_parquet

__all__ = ["ImageFolderBatches", "ParquetBatches"]

T = TypeVar("T")


class _RowGroup(NamedTuple):
    path: Path
    number: int
    rows: int


class ParquetBatches:
    """Batches from Parquet files, which never lie in memory as a whole.

    Memory holds about two windows, one being used and one being read, whatever the number of rows.

    Parameters
    ----------
    paths : path or sequence of paths
        Parquet files of the same columns; a folder stands for the ``.parquet`` files in it.
    columns : sequence of str or None
        Columns of numbers or booleans, the inputs; by default all of them but the target.
    target : str or None
        The target's column.
    classes : sequence or None
        The target's values in the order of their class numbers; then ``targets`` are int64. Without it, whole
        numbers stay int64 and others become float32.
    batch_size : int
        Examples a step; the last batch of an epoch may be smaller.
    shuffle : bool
        Draw a new order each epoch.
    seed : int
        Source of the orders.
    window : int
        Rows to shuffle together, at least; rounded up to whole row groups.
    drop_last : bool
        Leave out an incomplete last batch.

    Raises
    ------
    DataError
        If a file is missing or damaged, or their columns differ.
    InputError
        If a column does not exist or holds no numbers.
    """

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        columns: Sequence[str] | None = None,
        target: str | None = None,
        classes: Sequence[Any] | None = None,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        window: int = 65536,
        drop_last: bool = False,
    ) -> None:
        if batch_size < 1:
            raise SettingError("batch_size to be 1 or more", str(batch_size), "set for example batch_size=256")
        if window < 1:
            raise SettingError("window to be 1 row or more", str(window), "set for example window=65536")
        self.target, self.classes = target, None if classes is None else pd.Index(list(classes))
        self.batch_size, self.shuffle, self.seed, self.window = batch_size, shuffle, seed, window
        self.drop_last = drop_last
        self._groups: list[_RowGroup] = []
        schema = None
        for path in _parquet_files(paths):
            with open_parquet(path) as source:
                if schema is not None and source.schema_arrow.names != schema.names:
                    raise DataError(f"the same columns in {path.name}", "others", "stream such files apart")
                schema = source.schema_arrow if schema is None else schema
                metadata = source.metadata
                counts = (metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
                self._groups.extend(_RowGroup(path, i, rows) for i, rows in enumerate(counts) if rows)
        self.n_examples = sum(group.rows for group in self._groups)
        if schema is None or not self.n_examples:
            raise DataError("at least one row", "none", "check how the files were written")
        self.columns = _number_columns(schema, columns, target)

    def __len__(self) -> int:
        """Return the steps of one epoch."""
        full, rest = divmod(self.n_examples, self.batch_size)
        return full if (self.drop_last and full) or not rest else full + 1

    def windows(self, epoch: int) -> list[list[_RowGroup]]:
        """Return the row groups of each window of an epoch, in the order they are read."""
        order: Iterable[int] = range(len(self._groups))
        if self.shuffle:
            order = torch.randperm(len(self._groups), generator=generator(derive(self.seed, "groups", epoch))).tolist()
        windows: list[list[_RowGroup]] = []
        rows = self.window
        for number in order:
            if rows >= self.window:
                windows.append([])
                rows = 0
            windows[-1].append(self._groups[number])
            rows += self._groups[number].rows
        return windows

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of ``epoch`` from step ``start`` on; windows before it are skipped unread."""
        skip = start * self.batch_size
        plan = []
        for number, groups in enumerate(self.windows(epoch)):
            rows = sum(group.rows for group in groups)
            if skip >= rows:
                skip -= rows
            else:
                plan.append((number, groups, skip))
                skip = 0
        loads = [partial(self._load, epoch, *window) for window in plan]
        rest: Batch = {}
        left = len(self) - start
        for block in _ahead(loads):
            low, size = 0, len(block["inputs"])
            if rest:  # only the batch that lies in two windows is put together by copying
                low = min(self.batch_size - len(rest["inputs"]), size)
                rest = {name: torch.cat([rest[name], t[:low]]) for name, t in block.items()}
                if len(rest["inputs"]) < self.batch_size:
                    continue
                left -= 1
                yield rest
            while low + self.batch_size <= size:
                left -= 1
                yield {name: t[low : low + self.batch_size] for name, t in block.items()}
                low += self.batch_size
            # A copy, so that a few rows do not keep their whole window in memory.
            rest = {name: t[low:].clone() for name, t in block.items()} if low < size else {}
        if rest and left > 0:
            yield rest

    def _load(self, epoch: int, number: int, groups: list[_RowGroup], skip: int) -> Batch:
        parts = [self._read(group) for group in groups]
        inputs = torch.from_numpy(np.concatenate([part[0] for part in parts]))
        order = torch.arange(len(inputs))
        if self.shuffle:
            order = torch.randperm(len(inputs), generator=generator(derive(self.seed, "window", epoch, number)))
        order = order[skip:]
        batch = {"inputs": inputs[order]}
        if self.target is not None:
            batch["targets"] = torch.from_numpy(np.concatenate([part[1] for part in parts]))[order]
        return batch

    def _read(self, group: _RowGroup) -> tuple[np.ndarray, np.ndarray]:
        import pyarrow as pa

        names = [*self.columns, *([self.target] if self.target else [])]
        try:
            with open_parquet(group.path) as source:
                table = source.read_row_group(group.number, columns=names, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            where = f"row group {group.number} of {group.path.name}"
            raise DataError(f"a whole {where}", f"a damaged one ({error})", "write or fetch it again") from None
        inputs = np.empty((table.num_rows, len(self.columns)), dtype=np.float32)
        for j, name in enumerate(self.columns):
            inputs[:, j] = _numbers(table.column(name))
        if self.target is None:
            return inputs, np.empty(0)
        return inputs, self._targets(table.column(self.target).to_pandas(), group)

    def _targets(self, values: pd.Series, group: _RowGroup) -> np.ndarray:
        if values.isna().any():
            received = f"{int(values.isna().sum())} missing in row group {group.number} of {group.path.name}"
            raise DataError(f"a target in every row of {self.target!r}", received, "drop those rows")
        if self.classes is not None:
            codes = self.classes.get_indexer(pd.Index(values.astype(object)))
            if (codes < 0).any():
                raise DataError(
                    f"targets among {len(self.classes)} classes",
                    f"{values[codes < 0].iloc[0]!r} in {group.path.name}",
                    "name every class in classes",
                )
            return codes.astype(np.int64)
        if values.dtype.kind in "biu":
            return values.to_numpy(dtype=np.int64)
        if values.dtype.kind == "f":
            return values.to_numpy(dtype=np.float32)
        received = f"{values.dtype} in {self.target!r}"
        raise DataError("a target of numbers, or the classes' names", received, "pass classes=[...]")


def _parquet_files(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    found: list[Path] = []
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        must_exist(path)
        if path.is_dir():
            inside = sorted(path.glob("*.parquet"))
            if not inside:
                raise DataError(f"Parquet files in {str(path)!r}", "none", "check the path")
            found.extend(inside)
        else:
            found.append(path)
    if not found:
        raise InputError("at least one Parquet file", "none", "pass a path")
    return found


def _number_columns(schema: Any, columns: Sequence[str] | None, target: str | None) -> list[str]:
    import pyarrow.types as types

    def holds_numbers(name: str) -> bool:
        kind = schema.field(name).type
        return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))

    for name in (*(columns or ()), *([target] if target else ())):
        if name not in schema.names:
            hint = nearest(name, schema.names)
            raise InputError("one of the columns", repr(name), f"{hint}there are: {', '.join(schema.names[:12])}")
    if columns is None:
        return [name for name in schema.names if name != target and holds_numbers(name)]
    for name in columns:
        if not holds_numbers(name):
            received = f"{schema.field(name).type} in {name!r}"
            raise InputError("columns of numbers to stream", received, "encode it as numbers first")
    return list(columns)


def _numbers(column: Any) -> np.ndarray:
    """Return a column as numbers, missing ones as NaN."""
    import pyarrow as pa

    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return column.cast(pa.float64(), safe=False).to_numpy()


class ImageFolderBatches:
    """Batches of images decoded as they are needed, uint8 of shape (batch, height, width, channels).

    Parameters
    ----------
    files : sequence of path
        The images.
    labels : sequence or None
        One label a file; numbers stay as they are, names become their place among the sorted different ones.
    image_size : (height, width)
        Pixels to scale every image to.
    channels : 1 or 3
        Grey or colour.
    batch_size : int
        Images a step; the last batch of an epoch may be smaller.
    shuffle : bool
        Draw a new order each epoch.
    seed : int
        Source of the orders.
    drop_last : bool
        Leave out an incomplete last batch.

    Raises
    ------
    InputError
        If there is no file, or another number of labels.
    """

    def __init__(
        self,
        files: Sequence[str | Path],
        labels: Sequence[Any] | np.ndarray | None = None,
        *,
        image_size: tuple[int, int],
        channels: int = 3,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if not len(files):
            raise InputError("at least one image file", "none", "check the folder")
        if labels is not None and len(labels) != len(files):
            raise InputError(f"{len(files)} labels, one a file", str(len(labels)), "pass one label for each file")
        if batch_size < 1:
            raise SettingError("batch_size to be 1 or more", str(batch_size), "set for example batch_size=32")
        if channels not in (1, 3):
            raise SettingError("channels to be 1 (grey) or 3 (colour)", str(channels), "set channels=3")
        self.files = [Path(file) for file in files]
        self.image_size, self.channels = image_size, channels
        self.batch_size, self.shuffle, self.seed, self.drop_last = batch_size, shuffle, seed, drop_last
        self.n_examples = len(self.files)
        self.classes: np.ndarray | None = None
        self._targets: torch.Tensor | None = None
        if labels is not None:
            values = np.asarray(labels)
            if values.dtype.kind not in "biuf":
                self.classes, values = np.unique(values.astype(str), return_inverse=True)
            whole = values.dtype.kind != "f"
            self._targets = torch.from_numpy(values.astype(np.int64 if whole else np.float32))

    def __len__(self) -> int:
        """Return the steps of one epoch."""
        full, rest = divmod(self.n_examples, self.batch_size)
        return full if (self.drop_last and full) or not rest else full + 1

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of ``epoch`` from step ``start`` on; no file before it is opened."""
        order = torch.arange(self.n_examples)
        if self.shuffle:
            order = torch.randperm(self.n_examples, generator=generator(derive(self.seed, "order", epoch)))
        steps = order.split(self.batch_size)[start : len(self)]
        yield from _ahead([partial(self._load, rows) for rows in steps])

    def _load(self, rows: torch.Tensor) -> Batch:
        out = np.empty((len(rows), *self.image_size, self.channels), dtype=np.uint8)
        for i, row in enumerate(rows.tolist()):
            out[i] = self._decode(self.files[row])
        batch = {"inputs": torch.from_numpy(out)}
        if self._targets is not None:
            batch["targets"] = self._targets[rows]
        return batch

    def _decode(self, file: Path) -> np.ndarray:
        try:
            image = decode(file, size=self.image_size)
        except DataError:
            raise
        except OSError as error:
            raise DataError(f"a whole image in {str(file)!r}", f"a damaged one ({error})", "remove it") from None
        if self.channels == 1 and image.shape[2] == 3:
            # The luma of ITU-R 601, as Pillow turns colour to grey.
            return np.round(image @ np.array([0.299, 0.587, 0.114]))[:, :, None]
        return image


def _ahead(loads: Sequence[Callable[[], T]]) -> Iterator[T]:
    """Yield what each function returns, in order, the next one already running in one other thread."""
    if not loads:
        return
    pool = ThreadPoolExecutor(1, thread_name_prefix="gradus-read-ahead")
    try:
        coming = pool.submit(loads[0])
        for load in loads[1:]:
            ready = coming.result()
            coming = pool.submit(load)
            yield ready
            del ready  # or three windows would lie in memory while the next is awaited
        yield coming.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
