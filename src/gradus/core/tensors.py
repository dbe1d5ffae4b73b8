"""Tensors on disk: the safetensors format, checked before a byte of it is allocated.

The format is eight bytes of header length, a JSON header, and the tensors' bytes. It is written and read
here rather than through its library for three reasons: the SHA-256 is computed over exactly the bytes that
become tensors, a full disk is told from a damaged file, and hostile headers are refused in a bounded time.
Files go both ways between this module and the library.

References
----------
The safetensors format, https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gradus.core.arrays import check_npz, load_npy, load_npz
from gradus.core.errors import DamagedFileError, InputError
from gradus.core.storage import Written, atomic_write, memory_limit, storage_errors
from gradus.core.trees import flatten, unflatten

__all__ = [
    "Entry",
    "Header",
    "check_npz",
    "encode_tensors",
    "flatten",
    "inspect_tensors",
    "load_npy",
    "load_npz",
    "load_tensors",
    "read_tensors",
    "save_tensors",
    "unflatten",
]

MAX_HEADER_BYTES = 16 << 20
MAX_TENSORS = 100_000
MAX_HEADER_ITEMS = 10 * MAX_TENSORS + 1000
MAX_DIMS = 64
# An expanded view takes a few bytes in memory and all its elements on disk; for a small tensor that is
# harmless.
MAX_EXPANSION = 16
EXPANSION_BYTES = 64 << 20

_DTYPES: dict[str, torch.dtype] = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3": torch.float8_e4m3fn,
    "I16": torch.int16,
    "U16": torch.uint16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I32": torch.int32,
    "U32": torch.uint32,
    "F32": torch.float32,
    "F64": torch.float64,
    "I64": torch.int64,
    "U64": torch.uint64,
    "C64": torch.complex64,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Where one tensor lies: its dtype, shape, and first and last byte after the header."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a safetensors file says of itself, checked against its size; entries in file order."""

    entries: dict[str, Entry]
    metadata: dict[str, str]
    size: int


def _name_for(name: str, tensor: Tensor) -> str:
    """Check that the tensor can be stored and return its dtype's name in the format."""
    if name == "__metadata__" or not name.isprintable():
        raise InputError("printable tensor names other than __metadata__", repr(name), "rename the tensor")
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
        kind = "meta" if tensor.is_meta else str(tensor.layout)
        raise InputError(f"dense values for tensor {name!r}", kind, "convert it with .to_dense() or fill it")
    if tensor.dtype not in _NAMES:
        raise InputError(f"tensor {name!r} in a dtype that safetensors has", str(tensor.dtype), "convert it with .to()")
    needed, held = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
    if needed > EXPANSION_BYTES and needed > MAX_EXPANSION * held:
        raise InputError(
            f"tensor {name!r} to hold its own elements",
            f"an expanded view that would grow from {held} to {needed} bytes",
            "store the tensor before .expand()",
        )
    return _NAMES[tensor.dtype]


def _notes(metadata: Mapping[str, str]) -> dict[str, str]:
    """Check that the notes are text that every reader of the format accepts."""
    for pair in metadata.items():
        try:
            "".join(pair).encode()
        except (TypeError, UnicodeEncodeError):
            raise InputError("metadata of text", repr(pair)[:80], "convert it with str()") from None
    return dict(metadata)


def _raw(tensor: Tensor) -> memoryview:
    """Bytes of a contiguous tensor in the processor's memory, without a copy."""
    # Not reshape(-1): a tensor of one element counts as contiguous with any stride, and could not be viewed
    # as bytes.
    values: Any = tensor.as_strided((tensor.numel(),), (1,)).view(torch.uint8).numpy()
    return memoryview(values)


def encode_tensors(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a safetensors file piece by piece, one tensor in memory at a time.

    Sliced, transposed and tied tensors are each written whole, with the values they show.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Dense tensors on any device.
    metadata : mapping of str to str, optional
        Notes for the header.

    Raises
    ------
    InputError
        If a tensor cannot be stored: sparse, without values, of a dtype the format lacks, or an expanded view
        that would blow up. Raised before the first piece.
    """
    if len(tensors) > MAX_TENSORS:
        raise InputError(f"at most {MAX_TENSORS} tensors", str(len(tensors)), "stack tensors of equal shape")
    header: dict[str, Any] = {"__metadata__": _notes(metadata)} if metadata else {}
    kinds = {name: _name_for(name, tensor) for name, tensor in tensors.items()}
    # Widest elements first, as the library does: then every tensor begins at a multiple of its element size.
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    begin = 0
    for name in order:
        tensor = tensors[name]
        end = begin + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": kinds[name], "shape": list(tensor.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER_BYTES or _items(text) > MAX_HEADER_ITEMS:
        raise InputError(
            f"a header of at most {MAX_HEADER_BYTES} bytes and {MAX_HEADER_ITEMS} items",
            f"{len(text)} and {_items(text)}",
            "shorten the metadata",
        )
    yield len(text).to_bytes(8, "little") + text
    for name in order:
        dense = tensors[name].detach().resolve_conj().resolve_neg().to("cpu").contiguous()
        if dense.numel():
            yield _raw(dense)


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> Written:
    """Write tensors as a safetensors file, atomically, and return its size and SHA-256.

    Parameters
    ----------
    path : str or Path
        The file to create or replace.
    tensors, metadata
        As in `encode_tensors`.

    Raises
    ------
    InputError
        As from `encode_tensors`; nothing is written.
    StorageError
        If the disk refuses; the old file is intact.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = save_tensors(Path(folder) / "w.safetensors", {"w": torch.eye(2)[:, :1]})
    ...     load_tensors(Path(folder) / "w.safetensors")
    {'w': tensor([[1.],
            [0.]])}
    """
    return atomic_write(path, encode_tensors(tensors, metadata))


def _items(text: bytes) -> int:
    return sum(map(text.count, (b",", b"[", b"{")))


def _damaged(path: str | Path, received: str) -> DamagedFileError:
    return DamagedFileError(f"a safetensors file in {path}", received, "restore it from a copy or remove it")


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _entry(name: str, fields: Any) -> Entry | str:
    """Check one tensor's line of the header; return what is wrong with it, if anything."""
    if not isinstance(fields, dict) or fields.keys() != {"dtype", "shape", "data_offsets"}:
        return f"a header without dtype, shape and data_offsets for {name[:80]!r}"
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        return f"the unknown dtype {str(dtype)[:80]!r} for {name[:80]!r}"
    if not isinstance(shape, list) or len(shape) > MAX_DIMS or not all(map(_count, shape)):
        return f"an impossible shape for {name[:80]!r}"
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_count, offsets)):
        return f"impossible offsets for {name[:80]!r}"
    if math.prod(d for d in shape if d) >= 2**62:  # an empty tensor may still overflow torch's strides
        return f"an impossible shape for {name[:80]!r}"
    begin, end = offsets
    if math.prod(shape) * _DTYPES[dtype].itemsize != end - begin:
        return f"a shape that does not fill its bytes for {name[:80]!r}"
    return Entry(dtype=_DTYPES[dtype], shape=tuple(shape), begin=begin, end=end)


def _parse_header(text: bytes, body: int, path: str | Path) -> Header:
    """Check the JSON header against the number of bytes that follow it."""
    if text.count(b'"dtype"') > MAX_TENSORS:
        raise _damaged(path, f"more than {MAX_TENSORS} tensors")
    if _items(text) > MAX_HEADER_ITEMS:  # bounds the time and memory that parsing can take
        raise _damaged(path, f"a header of more than {MAX_HEADER_ITEMS} items")
    try:
        found = json.loads(text.decode())
    except (ValueError, RecursionError, MemoryError):
        raise _damaged(path, "a header that is no JSON") from None
    if not isinstance(found, dict):
        raise _damaged(path, "a header that is no list of tensors")
    metadata = found.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(note, str) for note in metadata.values()):
        raise _damaged(path, "metadata that is not text")
    entries = {}
    for name, fields in found.items():
        entry = _entry(name, fields)
        if isinstance(entry, str):
            raise _damaged(path, entry)
        entries[name] = entry
    position = 0
    ordered = dict(sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)))
    for name, entry in ordered.items():
        if entry.begin != position:
            raise _damaged(path, f"a gap or an overlap before tensor {name[:80]!r}")
        position = entry.end
    if position != body:
        raise _damaged(path, f"{body} bytes of tensors where the header says {position}")
    return Header(entries=ordered, metadata=metadata, size=body)


def _read_header(file: BufferedIOBase, size: int, path: str | Path) -> tuple[Header, bytes]:
    """Read and check everything before the tensors, from a file of ``size`` bytes."""
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or length > size - 8:
        raise _damaged(path, f"{size} bytes, too few for its header")
    if length > MAX_HEADER_BYTES:
        raise _damaged(path, f"a header of {length} bytes (the limit is {MAX_HEADER_BYTES})")
    text = file.read(length)
    if len(text) != length or not text.startswith(b"{"):
        raise _damaged(path, "a header that is no JSON")
    return _parse_header(text, size - 8 - length, path), prefix + text


def inspect_tensors(path: str | Path) -> Header:
    """Return the checked header of a safetensors file without reading a tensor.

    Raises
    ------
    StorageError, DamagedFileError
        As from `read_tensors`, but for the limit.
    """
    with storage_errors(path, "to read"), Path(path).open("rb") as file:
        return _read_header(file, Path(path).stat().st_size, path)[0]


def read_tensors(
    path: str | Path, *, device: str | torch.device = "cpu", limit_bytes: int | None = None
) -> tuple[dict[str, Tensor], Header, Written]:
    """Read a safetensors file with its header and the SHA-256 of exactly the bytes that were read.

    Parameters
    ----------
    path : str or Path
        The file.
    device : str or torch.device
        Where the tensors go.
    limit_bytes : int, optional
        Refuse more tensor bytes than this; the memory of the machine by default.

    Raises
    ------
    StorageError
        If the file cannot be read.
    DamagedFileError
        If it is not a consistent safetensors file, or larger than the limit.
    """
    limit = memory_limit() if limit_bytes is None else limit_bytes
    digest = hashlib.sha256()
    tensors: dict[str, Tensor] = {}
    with storage_errors(path, "to read"), Path(path).open("rb") as file:
        size = Path(path).stat().st_size
        header, start = _read_header(file, size, path)
        if header.size > limit:
            raise _damaged(path, f"{header.size} bytes of tensors (the limit is {limit})")
        digest.update(start)
        for name, entry in header.entries.items():
            tensor = torch.empty(entry.shape, dtype=entry.dtype)
            if entry.end > entry.begin:
                raw = _raw(tensor)
                if file.readinto(raw) != len(raw):
                    raise _damaged(path, "a file that became shorter while it was read")
                digest.update(raw)
                if entry.dtype == torch.bool and int(tensor.view(torch.uint8).max()) > 1:
                    raise _damaged(path, f"truth values other than 0 and 1 for {name[:80]!r}")
            tensors[name] = tensor.to(device)
    return tensors, header, Written(size, digest.hexdigest())


def load_tensors(
    path: str | Path, device: str | torch.device = "cpu", limit_bytes: int | None = None
) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file; each owns its memory.

    Parameters, and what is raised, are those of `read_tensors`, which returns the header and the checksum too.
    """
    return read_tensors(path, device=device, limit_bytes=limit_bytes)[0]
