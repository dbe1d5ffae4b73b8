"""Batches of data larger than memory, at a position that is still a pair of integers.

A Parquet file is read by row groups. The order of an epoch is a function of (seed, epoch): the row groups are
permuted, their rows cut into windows of a bounded number, and the rows of each window permuted. To start in the
middle of an epoch, the row groups before are counted, not read. Image files are random access, so their whole
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

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch

from gradus.core.errors import DataError, InputError, SettingError, nearest
from gradus.core.randomness import derive, generator
from gradus.data.batches import Batch, Batches
from gradus.data.images import decode, with_channels
from gradus.data.parquet import ParquetSource, RowGroup

__all__ = ["ImageFolderBatches", "ParquetBatches", "WeightedBatches"]

T = TypeVar("T")


class ParquetBatches:
    """Batches from Parquet files, which never lie in memory as a whole.

    Memory holds about two windows, one being used and one being read, whatever the number of rows and the size of the
    row groups. A window holds rows of the row groups that are next in the epoch's order, shuffled together.

    Parameters
    ----------
    paths : path, sequence of paths, or ParquetSource
        Parquet files of the same columns; a folder stands for the ``.parquet`` files in it.
    columns : sequence of str or None
        The inputs: columns of numbers or booleans, by default all of them but the target. With ``encode`` columns of
        any kind.
    target : str or None
        The target's column.
    classes : sequence or None
        The target's values in the order of their class numbers; then ``targets`` are int64. Without it, whole
        numbers stay int64 and others become float32.
    encode : callable or None
        ``frame -> tensors``: makes one tensor row of each row of a frame of ``columns`` and ``target``. By default
        ``inputs``, float32, and ``targets``.
    keep : sequence of uint8 arrays, or None
        The rows to use: for each row group the mask of its rows as `numpy.packbits` packs it.
    batch_size : int
        Examples a step; the last batch of an epoch may be smaller.
    shuffle : bool
        Draw a new order each epoch.
    seed : int
        Source of the orders.
    window : int
        Rows to shuffle together, at least; rounded up to whole batches.
    drop_last : bool
        Leave out an incomplete last batch.

    Raises
    ------
    DataError
        If a file is missing or damaged, or their columns differ.
    InputError
        If a column does not exist or holds no numbers, or no row is kept.
    """

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path] | ParquetSource,
        *,
        columns: Sequence[str] | None = None,
        target: str | None = None,
        classes: Sequence[Any] | None = None,
        encode: Callable[[pd.DataFrame], Batch] | None = None,
        keep: Sequence[np.ndarray] | None = None,
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
        self.source = paths if isinstance(paths, ParquetSource) else ParquetSource(paths)
        self.target, self.classes = target, None if classes is None else pd.Index(list(classes))
        self.batch_size, self.shuffle, self.seed, self.drop_last = batch_size, shuffle, seed, drop_last
        self.window = -(-window // batch_size) * batch_size
        self.keep = keep
        if not self.source.n_rows:
            raise DataError("at least one row", "none", "check how the files were written")
        if keep is not None and len(keep) != len(self.source.groups):
            expected = f"{len(self.source.groups)} masks, one a row group"
            raise InputError(expected, str(len(keep)), "pass one for each row group that holds rows")
        self._counts = [group.rows if mask is None else int(mask.sum()) for group, mask in self._masks()]
        self.n_examples = sum(self._counts)
        if not self.n_examples:
            raise InputError("at least one row to keep", "none", "check the masks")
        self.columns = _checked_columns(self.source, columns, target, numbers=encode is None)
        self._encode = self._as_numbers if encode is None else encode

    def _masks(self) -> Iterator[tuple[RowGroup, np.ndarray | None]]:
        for i, group in enumerate(self.source.groups):
            yield group, None if self.keep is None else np.unpackbits(self.keep[i], count=group.rows).view(bool)

    def __len__(self) -> int:
        """Return the steps of one epoch."""
        full, rest = divmod(self.n_examples, self.batch_size)
        return full if (self.drop_last and full) or not rest else full + 1

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of ``epoch`` from step ``start`` on; row groups before it are skipped unread."""
        left = len(self) - start
        if left <= 0:
            return
        # Windows are whole numbers of batches, so that none lies in two of them.
        first, low = divmod(start * self.batch_size, self.window)
        for block in _ahead(self._windows(epoch, first)):
            size = len(next(iter(block.values())))
            for at in range(low, size, self.batch_size):
                if left == 0:
                    return
                left -= 1
                yield {name: t[at : at + self.batch_size] for name, t in block.items()}
            low = 0

    def _windows(self, epoch: int, first: int) -> Iterator[Batch]:
        """Yield the windows of an epoch from one on, each shuffled."""
        parts: list[Batch] = []
        held, number = 0, first
        for part in self._encoded(epoch, first * self.window):
            size, at = len(next(iter(part.values()))), 0
            while at < size:
                n = min(self.window - held, size - at)
                parts.append({name: t[at : at + n] for name, t in part.items()})
                held, at = held + n, at + n
                if held == self.window:
                    yield self._shuffled(parts, epoch, number)
                    parts, held, number = [], 0, number + 1
        if parts:
            yield self._shuffled(parts, epoch, number)

    def _shuffled(self, parts: list[Batch], epoch: int, number: int) -> Batch:
        whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        parts.clear()
        if not self.shuffle:
            return whole
        n = len(next(iter(whole.values())))
        order = torch.randperm(n, generator=generator(derive(self.seed, "window", epoch, number)))
        return {name: t[order] for name, t in whole.items()}

    def _encoded(self, epoch: int, skip: int) -> Iterator[Batch]:
        """Yield pieces of the rows kept as tensors, in the epoch's order of row groups, ``skip`` rows left out."""
        order: Iterable[int] = range(len(self.source.groups))
        if self.shuffle:
            draws = generator(derive(self.seed, "groups", epoch))
            order = torch.randperm(len(self.source.groups), generator=draws).tolist()
        names = [*self.columns, *([self.target] if self.target else [])]
        for number in order:
            if skip >= self._counts[number]:
                skip -= self._counts[number]
                continue
            for table in self._kept(number, names):
                if skip < len(table):
                    yield self._encode(self.source.frame(table.slice(skip)))
                skip = max(0, skip - len(table))

    def _kept(self, number: int, names: list[str]) -> Iterator[Any]:
        group, at = self.source.groups[number], 0
        mask = None if self.keep is None else np.unpackbits(self.keep[number], count=group.rows).view(bool)
        for table in self.source.pieces(group, names):
            n = len(table)
            yield table if mask is None else table.filter(mask[at : at + n])
            at += n

    def _as_numbers(self, frame: pd.DataFrame) -> Batch:
        inputs = np.empty((len(frame), len(self.columns)), dtype=np.float32)
        for j, name in enumerate(self.columns):
            inputs[:, j] = pd.to_numeric(frame[name]).to_numpy(dtype=np.float64, na_value=np.nan)
        batch = {"inputs": torch.from_numpy(inputs)}
        if self.target is not None:
            batch["targets"] = torch.from_numpy(self._targets(frame[self.target]))
        return batch

    def _targets(self, values: pd.Series) -> np.ndarray:
        if values.isna().any():
            received = f"{int(values.isna().sum())} missing in one part of the rows"
            raise DataError(f"a target in every row of {self.target!r}", received, "drop those rows")
        if self.classes is not None:
            codes = self.classes.get_indexer(pd.Index(values.astype(object)))
            if (codes < 0).any():
                received = repr(values[codes < 0].iloc[0])
                mend = "name every class in classes"
                raise DataError(f"targets among {len(self.classes)} classes", received, mend)
            return codes.astype(np.int64)
        if values.dtype.kind in "biu":
            return values.to_numpy(dtype=np.int64, copy=True)
        if values.dtype.kind == "f":
            return values.to_numpy(dtype=np.float32, copy=True)
        received = f"{values.dtype} in {self.target!r}"
        raise DataError("a target of numbers, or the classes' names", received, "pass classes=[...]")


def _checked_columns(
    source: ParquetSource, columns: Sequence[str] | None, target: str | None, *, numbers: bool
) -> list[str]:
    import pyarrow.types as types

    for name in (*(columns or ()), *([target] if target else ())):
        if name not in source.names:
            hint = nearest(name, source.names)
            raise InputError("one of the columns", repr(name), f"{hint}there are: {', '.join(source.names[:12])}")
    fit = {
        name: not numbers or source.is_number(name) or types.is_boolean(source.type_of(name)) for name in source.names
    }
    if columns is None:
        return [name for name in source.names if name != target and fit[name]]
    for name in columns:
        if not fit[name]:
            received = f"{source.type_of(name)} in {name!r}"
            raise InputError("columns of numbers to stream", received, "encode it as numbers first, or pass encode")
    return list(columns)


class WeightedBatches:
    """Batches of another source with a weight for each example by its class.

    Parameters
    ----------
    batches : Batches
        The source; ``targets`` are class numbers.
    class_weights : sequence of float
        Weight of each class, by its number.

    Examples
    --------
    >>> from gradus.data.batches import TensorBatches
    >>> source = TensorBatches({"targets": torch.tensor([0, 1, 1])}, batch_size=3, shuffle=False)
    >>> [batch["weights"].tolist() for batch in WeightedBatches(source, [2.0, 0.5]).epoch(0)]
    [[2.0, 0.5, 0.5]]
    """

    def __init__(self, batches: Batches, class_weights: Sequence[float]) -> None:
        self.batches, self.seed = batches, getattr(batches, "seed", None)
        self._table = torch.tensor(list(class_weights), dtype=torch.float32)

    def __len__(self) -> int:
        """Return the steps of one epoch."""
        return len(self.batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the source's batches of ``epoch`` from step ``start`` on."""
        for batch in self.batches.epoch(epoch, start):
            yield {**batch, "weights": self._table[batch["targets"]]}


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
        self.files = [os.fspath(file) for file in files]  # a path object takes ten times the memory of its text
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
        yield from _ahead(self._load(rows) for rows in steps)

    def _load(self, rows: torch.Tensor) -> Batch:
        out = np.empty((len(rows), *self.image_size, self.channels), dtype=np.uint8)
        for i, row in enumerate(rows.tolist()):
            out[i] = self._decode(Path(self.files[row]))
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
        return with_channels(image, self.channels)


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield what an iterator does, in order, the next one already being made in one other thread."""
    pool, end = ThreadPoolExecutor(1, thread_name_prefix="gradus-read-ahead"), object()
    try:
        coming: Future[Any] = pool.submit(next, items, end)
        while (ready := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield ready
            ready = None  # or three windows would lie in memory while the next is awaited
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        if isinstance(items, Generator):
            items.close()
