import io
import json
import math
import os
import pickle
import struct
import time
import tracemalloc
import zipfile
from collections import OrderedDict, namedtuple
from enum import IntEnum

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradus.core import arrays
from gradus.core.arrays import check_npz, load_npy, load_npz
from gradus.core.errors import DamagedFileError, DataError, GradusError, InputError, StorageError
from gradus.core.storage import sha256
from gradus.core.strict_json import dump_json, parse_json
from gradus.core.tensors import MAX_HEADER_BYTES, inspect_tensors, load_tensors, read_tensors, save_tensors
from gradus.core.trees import MAX_TREE_DEPTH, flatten, unflatten

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.uint16,
    torch.uint32,
    torch.uint64,
    torch.bool,
    torch.complex64,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
]
SHAPES = [(), (0,), (1,), (7,), (3, 5), (0, 4), (2, 3, 1, 2)]


def bits(tensor):
    return tensor.dtype, tuple(tensor.shape), tensor.contiguous().reshape(-1).view(torch.uint8).tolist()


def sample(dtype, shape, seed=0):
    """Random bits, so that NaN payloads, infinities and negative zeros are among the values."""
    n_bytes = math.prod(shape) * dtype.itemsize
    high = 2 if dtype == torch.bool else 256
    raw = torch.randint(high, (n_bytes,), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return raw.view(dtype).reshape(shape)


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def refused_fast(error, read, *arguments, match=None):
    """Check one clear sentence, in under a second, without memory to speak of."""
    begin = time.process_time()
    with pytest.raises(error, match=match) as caught:
        read(*arguments)
    assert time.process_time() - begin < 1
    tracemalloc.start()
    try:
        with pytest.raises(error):
            read(*arguments)
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()
    assert isinstance(caught.value, GradusError)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 600


# --- safetensors


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_and_shape_goes_both_ways_with_the_library(tmp_path, dtype):
    tensors = {f"t{i}": sample(dtype, shape, i) for i, shape in enumerate(SHAPES)}
    save_tensors(tmp_path / "ours", tensors)
    safetensors.torch.save_file(tensors, tmp_path / "theirs")
    expected = {name: bits(t) for name, t in tensors.items()}
    assert {n: bits(t) for n, t in safetensors.torch.load_file(tmp_path / "ours").items()} == expected
    assert {n: bits(t) for n, t in load_tensors(tmp_path / "theirs").items()} == expected
    assert {n: bits(t) for n, t in load_tensors(tmp_path / "ours").items()} == expected


def test_a_mixed_file_is_the_librarys_byte_for_byte(tmp_path):
    tensors = {f"{i}/é {dtype}": sample(dtype, (i + 1, 3), i) for i, dtype in enumerate(DTYPES)}
    written = save_tensors(tmp_path / "ours", tensors, {"note": 'a "b"\n'})
    assert written == ((tmp_path / "ours").stat().st_size, sha256(tmp_path / "ours"))
    loaded, header, read = read_tensors(tmp_path / "ours")
    assert read == written
    assert header.metadata == {"note": 'a "b"\n'} == inspect_tensors(tmp_path / "ours").metadata
    with safetensors.safe_open(tmp_path / "ours", "pt") as file:
        assert file.metadata() == header.metadata
        assert {n: bits(file.get_tensor(n)) for n in file.keys()} == {n: bits(t) for n, t in loaded.items()}
    for entry in header.entries.values():
        assert entry.begin % entry.dtype.itemsize == 0


def test_views_are_stored_with_the_values_they_show(tmp_path):
    base = torch.arange(24.0).reshape(4, 6)
    tied = torch.nn.Linear(3, 3)
    tensors = {
        "slice": base[1:3, ::2],
        "transposed": base.T,
        "row": base[2],
        "expanded": torch.arange(3.0).expand(5, 3),
        "conjugate": torch.tensor([1 + 2j]).conj(),
        "negative": torch.tensor([1 + 2j]).conj().imag,
        "parameter": tied.weight,
        "tied": tied.weight,
        "flipped": base.flip(0),
    }
    save_tensors(tmp_path / "a", tensors)
    loaded = load_tensors(tmp_path / "a")
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], tensor.detach().resolve_conj().resolve_neg()), name
        assert not loaded[name].requires_grad
    loaded["tied"].zero_()
    assert torch.equal(loaded["parameter"], tied.weight)  # each owns its memory


def test_loading_outlives_the_file(tmp_path):
    save_tensors(tmp_path / "a", {"w": torch.ones(5)})
    loaded = load_tensors(tmp_path / "a")
    save_tensors(tmp_path / "a", {"w": torch.zeros(5)})
    (tmp_path / "a").write_bytes(b"")
    assert loaded["w"].tolist() == [1.0] * 5


def test_an_expanded_view_that_would_blow_up_is_refused_at_once(tmp_path):
    (tmp_path / "a").write_text("old")
    huge = torch.ones(1).expand(2**40)
    refused_fast(
        InputError,
        save_tensors,
        tmp_path / "a",
        {"w": huge},
        match=r"expanded view .* from 4 to 2\*\*|4398046511104",
    )
    strided = torch.as_strided(torch.ones(100), (2**20, 64), (0, 1))
    refused_fast(InputError, save_tensors, tmp_path / "a", {"w": strided}, match="before .expand")
    assert (tmp_path / "a").read_text() == "old"


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.eye(2).to_sparse(), "dense values for tensor 'w', got torch.sparse_coo"),
        (torch.empty(2, device="meta"), "dense values for tensor 'w', got meta"),
        (torch.zeros(2, dtype=torch.complex128), "got torch.complex128"),
    ],
    ids=["sparse", "meta", "complex128"],
)
def test_what_the_format_lacks_is_refused(tmp_path, tensor, message):
    with pytest.raises(InputError, match=message):
        save_tensors(tmp_path / "a", {"v": torch.ones(1), "w": tensor})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["__metadata__", "a\nb", "\udc80"])
def test_names_the_format_lacks_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="tensor names"):
        save_tensors(tmp_path / "a", {name: torch.ones(1)})


def test_metadata_must_be_text_for_every_reader(tmp_path):
    with pytest.raises(InputError, match="metadata of text"):
        save_tensors(tmp_path / "a", {}, {"k": "\udc80"})


def test_what_could_not_be_read_back_is_not_written(tmp_path):
    with pytest.raises(InputError, match="at most 100000 tensors"):
        save_tensors(tmp_path / "a", dict.fromkeys(map(str, range(100_001)), torch.ones(0)))
    with pytest.raises(InputError, match="a header of at most"):
        save_tensors(tmp_path / "a", {}, {"note": "x" * MAX_HEADER_BYTES})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_most_tensors_allowed_round_trip(tmp_path):
    tensors = dict(zip(map(str, range(100_000)), torch.arange(100_000).split(1), strict=True))
    save_tensors(tmp_path / "a", tensors)
    assert len(inspect_tensors(tmp_path / "a").entries) == 100_000
    assert load_tensors(tmp_path / "a")["77"].tolist() == [77]


def raw_file(path, header, body=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + body)
    return path


def field(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


DAMAGED = {
    "2^60 header": ({"a": field()}, b"1234", 2**60),
    "header longer than file": ({"a": field()}, b"1234", 100),
    "2^60 shape": ({"a": field(shape=(2**60,))}, b"1234", None),
    "2^60 offsets": ({"a": field(shape=(2**58,), offsets=(0, 2**60))}, b"1234", None),
    "overflowing product": ({"a": field(shape=(2**32, 2**32), offsets=(0, 0))}, b"", None),
    "overflowing empty": ({"a": field(shape=(2**40, 0, 2**40), offsets=(0, 0))}, b"", None),
    "negative shape": ({"a": field(shape=(-1,))}, b"1234", None),
    "truth value as shape": ({"a": field(shape=(True,))}, b"1234", None),
    "fraction": ({"a": field(shape=(1.0,))}, b"1234", None),
    "backwards": ({"a": field(shape=(1,), offsets=(4, 0))}, b"1234", None),
    "three offsets": ({"a": field(offsets=(0, 4, 4))}, b"1234", None),
    "many dimensions": ({"a": field(shape=(1,) * 65)}, b"1234", None),
    "gap": ({"a": field(), "b": field(offsets=(8, 12))}, b"123412341234", None),
    "overlap": ({"a": field(), "b": field(offsets=(0, 4))}, b"1234", None),
    "overlap of two": (
        {"a": field(shape=(2,), offsets=(0, 8)), "b": field(offsets=(4, 8))},
        b"12341234",
        None,
    ),
    "trailing bytes": ({"a": field()}, b"12345", None),
    "cut short": ({"a": field()}, b"123", None),
    "unknown dtype": ({"a": field(dtype="O")}, b"1234", None),
    "list as dtype": ({"a": field(dtype=["F32"])}, b"1234", None),
    "missing field": ({"a": {"dtype": "F32", "shape": [1]}}, b"1234", None),
    "extra field": ({"a": {**field(), "pickle": "x"}}, b"1234", None),
    "no object": ({"a": 3}, b"", None),
    "a list": ([1], b"", None),
    "metadata of numbers": ({"__metadata__": {"a": 1}}, b"", None),
    "no JSON": (b"{x}", b"", None),
    "not UTF-8": (b'{"\xff": 1}', b"", None),
    "deep": (b'{"a":' * 200_000, b"", None),
    "deep list": (b'{"a":' + b"[" * 200_000, b"", None),
    "bool of two": ({"a": field(dtype="BOOL", shape=(4,))}, b"\x00\x01\x02\x00", None),
    "a million tensors": (
        b"{"
        + b",".join(b'"%07d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % i for i in range(1_000_000))
        + b"}",
        b"",
        None,
    ),
    "many tensors": (
        b"{" + b",".join(b'"%d":{"dtype":"U8","shape":[],"data_offsets":[]}' % i for i in range(300_000)) + b"}",
        b"",
        None,
    ),
    "most numbers": (b'{"a":[' + b"0," * 1_000_000 + b"0]}", b"", None),
    "many lists": (b'{"a":[' + b"[]," * 5_000_000 + b"0]}", b"", None),
    "many numbers": (b'{"a":[' + b"0," * 8_000_000 + b"0]}", b"", None),
    "digits": (b'{"a":' + b"1" * 5_000_000 + b"}", b"", None),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_hostile_headers_are_refused_within_a_second(tmp_path, kind):
    path = raw_file(tmp_path / "a.safetensors", *DAMAGED[kind])
    refused_fast(DamagedFileError, load_tensors, path, match=r"^expected a safetensors file in .*; restore it")


@pytest.mark.parametrize("length", range(8 + 56 + 12))
def test_no_truncation_is_taken_for_a_file(tmp_path, length):
    save_tensors(tmp_path / "a", {"a": torch.ones(3)})
    data = (tmp_path / "a").read_bytes()
    if length >= len(data):
        pytest.fail("the file is shorter than this test assumes")
    (tmp_path / "a").write_bytes(data[:length])
    with pytest.raises(DamagedFileError):
        load_tensors(tmp_path / "a")


def test_a_sparse_file_of_a_tebibyte_is_refused(tmp_path):
    size = 2**40
    path = raw_file(tmp_path / "a", {"a": field(dtype="U8", shape=(size,), offsets=(0, size))})
    os.truncate(path, path.stat().st_size + size)
    refused_fast(DamagedFileError, load_tensors, path, match=r"the limit is \d+")
    save_tensors(tmp_path / "b", {"a": torch.zeros(1000)})
    with pytest.raises(DamagedFileError, match="the limit is 3999"):
        load_tensors(tmp_path / "b", limit_bytes=3999)
    assert load_tensors(tmp_path / "b", limit_bytes=4000)["a"].shape == (1000,)


@pytest.mark.parametrize("load", [load_tensors, load_npy, load_npz, check_npz], ids=lambda f: f.__name__)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_under_any_name_never_runs(tmp_path, load, protocol):
    marker = tmp_path / "ran"
    path = tmp_path / "bomb"
    path.write_bytes(pickle.dumps(Bomb(marker), protocol=protocol))
    refused_fast((DamagedFileError, DataError), load, path)
    assert not marker.exists()
    pickle.loads(path.read_bytes())
    assert marker.exists()  # the bomb is a live one


def test_pickled_objects_inside_arrays_never_run(tmp_path):
    marker = tmp_path / "ran"
    objects = np.array([Bomb(marker), None], dtype=object)
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "a.npz", good=np.ones(2), bad=objects, allow_pickle=True)
    fields = np.zeros(2, dtype=[("x", "f4"), ("y", "O")])
    np.save(tmp_path / "b.npy", fields, allow_pickle=True)
    refused_fast(DataError, load_npy, tmp_path / "a.npy", match="pickled Python objects")
    refused_fast(DataError, load_npy, tmp_path / "b.npy", match="pickled Python objects")
    refused_fast(DataError, load_npz, tmp_path / "a.npz", match="a.npz:bad.npy, got pickled Python objects")
    refused_fast(DataError, check_npz, tmp_path / "a.npz", match="pickled Python objects")
    assert not marker.exists()


# --- NumPy's files

ARRAYS = {
    "f4": np.arange(6, dtype="f4").reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big endian": np.arange(3, dtype=">i8"),
    "empty": np.zeros((0, 5)),
    "scalar": np.array(3.5),
    "text": np.array(["a", "bß"]),
    "bytes": np.array([b"a", b"bc"]),
    "bool": np.array([True, False]),
    "dates": np.array(["2026-01-01"], dtype="M8[D]"),
    "complex": np.array([1j]),
    "fields": np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
    "half": np.arange(4, dtype="f2"),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_read_as_numpy_reads_them(tmp_path, save):
    save(tmp_path / "a.npz", **ARRAYS)
    headers, loaded = check_npz(tmp_path / "a.npz"), load_npz(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as oracle:
        assert list(headers) == list(loaded) == list(oracle)
        for name in oracle:
            np.testing.assert_array_equal(loaded[name], oracle[name])
            assert (headers[name].shape, headers[name].dtype) == (oracle[name].shape, oracle[name].dtype)
            assert loaded[name].dtype == oracle[name].dtype
            assert headers[name].nbytes == oracle[name].nbytes


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_arrays_read_as_numpy_reads_them(tmp_path, name, version):
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, ARRAYS[name], version=version)
    loaded = load_npy(tmp_path / "a.npy")
    np.testing.assert_array_equal(loaded, ARRAYS[name])
    assert loaded.dtype == ARRAYS[name].dtype


def npy(shape="(1,)", descr="'<f4'", body=b"1234", length=None, version=1):
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    size = struct.pack("<H" if version == 1 else "<I", len(text) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + body


HOSTILE_NPY = {
    "2^60 elements": npy(shape="(1152921504606846976,)"),
    "overflowing product": npy(shape="(4294967296, 4294967296)"),
    "overflowing empty": npy(shape="(9223372036854775807, 0)", body=b""),
    "huge nothing": npy(shape="(1152921504606846976,)", descr="'<U0'", body=b""),
    "negative": npy(shape="(-1,)"),
    "text shape": npy(shape="'a'"),
    "no tuple": npy(shape="1"),
    "4 GiB header": npy(version=2, length=2**32 - 1),
    "version 3": npy(version=3),
    "version 255": npy(version=255),
    "code as dtype": npy(descr="__import__('os').getcwd()"),
    "no dtype": npy(descr="'<q99'"),
    "deep": npy(shape="(" * 5000 + ")" * 5000),
    "deeper": npy(shape="-" * 9000 + "1"),
    "trailing": npy(body=b"12345"),
    "cut": npy(body=b"123"),
    "empty": b"",
    "magic only": b"\x93NUMPY",
    "text": b"a,b\n1,2\n" * 10,
}


@pytest.mark.parametrize("kind", HOSTILE_NPY)
def test_hostile_arrays_are_refused_within_a_second(tmp_path, kind):
    (tmp_path / "a.npy").write_bytes(HOSTILE_NPY[kind])
    refused_fast(DataError, load_npy, tmp_path / "a.npy")
    for how in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "a.npz", "w", how) as archive:
            archive.writestr("x.npy", HOSTILE_NPY[kind])
        refused_fast(DataError, check_npz, tmp_path / "a.npz")
        refused_fast(DataError, load_npz, tmp_path / "a.npz")


def test_a_sparse_array_over_the_limit_is_refused(tmp_path):
    head = npy(shape=f"({2**40},)", descr="'|u1'", body=b"")
    (tmp_path / "a.npy").write_bytes(head)
    os.truncate(tmp_path / "a.npy", len(head) + 2**40)
    refused_fast(DataError, load_npy, tmp_path / "a.npy", match="at most")


def million_members(directory_size, count):
    """An archive that lists the same member a million times; count is what its end record claims."""
    name = b"a.npy"
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0) + name
    directory = entry * 1_000_000
    size = len(directory) if directory_size is None else directory_size
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 10**6, 10**6, len(directory), 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(directory), 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, size, 0, 0)
    return directory + (end64 + locator if size == 0xFFFFFFFF else b"") + end


@pytest.mark.parametrize("honest", [True, False])
def test_a_million_members_are_refused_within_a_second(tmp_path, honest):
    data = million_members(0xFFFFFFFF, 0xFFFF) if honest else million_members(None, 1)
    (tmp_path / "a.npz").write_bytes(data)
    refused_fast(DataError, load_npz, tmp_path / "a.npz", match="at most 10000 arrays")


def test_members_are_counted_below_the_directory_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "MAX_MEMBERS", 3)
    np.savez(tmp_path / "a.npz", *[np.ones(1)] * 3)
    assert len(load_npz(tmp_path / "a.npz")) == 3
    np.savez(tmp_path / "a.npz", *[np.ones(1)] * 4)
    with pytest.raises(DataError, match="at most 3 arrays"):
        load_npz(tmp_path / "a.npz")


@pytest.fixture(scope="module")
def bomb(tmp_path_factory):
    """An honest deflated archive: 200 MB of zeros in 200 kB."""
    path = tmp_path_factory.mktemp("bomb") / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("x.npy", npy(shape="(200000000,)", descr="'|u1'", body=bytes(200_000_000)))
    return path


def test_a_deflate_bomb_is_refused_within_a_second(bomb):
    assert bomb.stat().st_size < 2_000_000
    refused_fast(DataError, load_npz, bomb, 100_000_000, match="at most 100000000 bytes of arrays in .*, got 2000000")
    assert check_npz(bomb)["x"].nbytes == 200_000_000  # within the default limit, and true


def rewritten(path, change, how=zipfile.ZIP_DEFLATED, body=None):
    """An archive of one member whose directory entry was changed before it was written."""
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr("x.npy", npy() if body is None else body)
        change(archive.filelist[0])
    return path


def test_sizes_that_deflate_cannot_reach_are_refused(tmp_path):
    claim = 3 << 30
    body = npy(shape=f"({claim},)", descr="'|u1'", body=b"x" * 100)
    taken = len(body) - 100

    def lie(member):
        member.file_size = claim + taken

    path = rewritten(tmp_path / "a.npz", lie, body=body)
    refused_fast(DataError, load_npz, path, match="sizes that deflate can reach")
    path = rewritten(tmp_path / "a.npz", lie, how=zipfile.ZIP_STORED, body=body)
    refused_fast(DataError, load_npz, path)


def test_a_claim_that_the_content_does_not_keep_is_refused(tmp_path):
    content = os.urandom(50_000)
    body = npy(shape="(100000,)", descr="'|u1'", body=content)

    def lie(member):
        member.file_size = len(body) + 50_000

    refused_fast(DataError, load_npz, rewritten(tmp_path / "a.npz", lie, body=body), match="a complete array")


@pytest.mark.parametrize("field_name", ["CRC", "header_offset", "compress_type", "flag_bits"])
def test_a_damaged_directory_is_refused(tmp_path, field_name):
    path = rewritten(tmp_path / "a.npz", lambda m: setattr(m, field_name, getattr(m, field_name) ^ 1))
    refused_fast(DataError, load_npz, path)


def test_overlapping_members_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", npy(shape="(100000,)", descr="'|u1'", body=bytes(100_000)))
        first = archive.filelist[0]
        for i in range(200):
            again = zipfile.ZipInfo(f"{i}.npy")
            for name in ("CRC", "compress_size", "file_size", "header_offset", "flag_bits"):
                setattr(again, name, getattr(first, name))
            archive.filelist.append(again)
    refused_fast(DataError, load_npz, tmp_path / "a.npz", match="overlapping")


@pytest.mark.parametrize("names", [["x.npy", "readme.txt"], ["x.npy", "x.npy"]])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_other_members_are_refused(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name in names:
            archive.writestr(name, npy())
    refused_fast(DataError, load_npz, tmp_path / "a.npz", match="other or repeated members")


def test_every_flipped_byte_is_refused_or_harmless(tmp_path):
    stream = io.BytesIO()
    np.savez_compressed(stream, x=np.arange(5), y=np.ones(2))
    data = stream.getvalue()
    expected = {"x": list(range(5)), "y": [1.0, 1.0]}
    refused = 0
    for i in range(0, len(data)):
        (tmp_path / "a.npz").write_bytes(data[:i] + bytes([data[i] ^ 0xFF]) + data[i + 1 :])
        try:
            loaded = load_npz(tmp_path / "a.npz")
        except DataError:
            refused += 1
        else:  # times and attributes of members, and their names, which no checksum covers
            assert [a.tolist() for a in loaded.values()] == list(expected.values())
    assert refused > len(data) / 2


def test_missing_files_are_told(tmp_path):
    for load in (load_tensors, inspect_tensors, load_npy, load_npz, check_npz):
        with pytest.raises(StorageError, match=r"expected to read .*no, got no such file"):
            load(tmp_path / "no")


# --- trees

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.builds(sample, st.sampled_from(DTYPES), st.sampled_from(SHAPES), st.integers(0, 5))
    | st.floats(width=32).map(np.float32)
    | st.floats().map(np.float64)
    | st.integers(-(2**63), 2**63 - 1).map(np.int64)
    | st.integers(0, 255).map(np.uint8)
    | st.booleans().map(np.bool_)
    | st.complex_numbers().map(np.complex128)
    | st.text().map(np.str_)
    | st.binary().map(np.bytes_)
    | st.integers(-(2**62), 2**62).map(lambda n: np.datetime64(n, "ns"))
    | st.integers(-(2**62), 2**62).map(lambda n: np.timedelta64(n, "us"))
)
KEYS = st.text(st.characters()) | st.integers() | st.sampled_from(["0", 0, "__metadata__", "a/b", "a", "b"])
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(KEYS, inner),
    max_leaves=25,
)


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return bits(a) == bits(b)
    if isinstance(a, np.str_ | np.bytes_):
        return a == b
    if isinstance(a, np.generic):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return struct.pack(">d", a) == struct.pack(">d", b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        keys = [(type(k), k) for k in a] == [(type(k), k) for k in b]
        return keys and all(same(a[k], b[k]) for k in a)
    return a == b


@given(TREES)
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None)
def test_trees_survive_flattening_and_both_files(tmp_path, tree):
    tensors, structure = flatten(tree)
    save_tensors(tmp_path / "a", tensors)
    assert safetensors.torch.load_file(tmp_path / "a").keys() == tensors.keys()  # names every reader accepts
    assert same(unflatten(parse_json(dump_json(structure)), load_tensors(tmp_path / "a")), tree)


def test_floats_keep_every_bit():
    payload = struct.unpack(">d", bytes.fromhex("7ff4000000000123"))[0]
    values = [payload, -payload, math.inf, -math.inf, -0.0, 5e-324, 0.1 + 0.2, 1e22]
    tensors, structure = flatten(values)
    back = unflatten(parse_json(dump_json(structure)), tensors)
    assert [struct.pack(">d", v) for v in back] == [struct.pack(">d", v) for v in values]


def test_string_and_integer_keys_stay_apart_and_in_order():
    tree = {1: "int", "1": "str", 10**30: 0, -1: torch.ones(1), "-1": torch.zeros(1)}
    tensors, structure = flatten(tree)
    back = unflatten(parse_json(dump_json(structure)), tensors)
    assert list(back) == [1, "1", 10**30, -1, "-1"]
    assert back[1] == "int"
    assert back[-1].item() == 1.0
    assert back["-1"].item() == 0.0


def test_an_optimizers_state_goes_back_into_it():
    def build():
        torch.manual_seed(0)
        net = torch.nn.Linear(3, 2)
        return net, torch.optim.AdamW(net.parameters(), lr=0.01)

    (net, optimizer), (other, restored) = build(), build()
    x = torch.arange(12.0).reshape(4, 3)

    def step(net, optimizer):
        optimizer.zero_grad()
        net(x).square().sum().backward()
        optimizer.step()

    for _ in range(3):
        step(net, optimizer)
    tensors, structure = flatten({"net": net.state_dict(), "optimizer": optimizer.state_dict()})
    back = unflatten(parse_json(dump_json(structure)), {k: v.detach().clone() for k, v in tensors.items()})
    other.load_state_dict(back["net"])
    restored.load_state_dict(back["optimizer"])
    step(net, optimizer)
    step(other, restored)
    assert torch.equal(net.weight, other.weight)


class Colour(IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": [1, {2}]}, r"set at tree\['a'\]\[1\]"),
        ({"a": {2: object()}}, r"object at tree\['a'\]\[2\]"),
        ({"a": {True: 1}}, r"True in tree\['a'\]"),
        ({"a": {None: 1}}, r"None in tree\['a'\]"),
        ({"a": {(1, 2): 1}}, r"\(1, 2\) in tree\['a'\]"),
        ([namedtuple("Point", "x")(1)], r"Point at tree\[0\]"),
        ([Colour.RED], r"Colour at tree\[0\]"),
        ([np.zeros(2)], r"ndarray at tree\[0\]"),
        ([b"x"], r"bytes at tree\[0\]"),
        ([torch.Size([1])], r"Size at tree\[0\]"),
        ([lambda: 0], r"function at tree\[0\]"),
        ([np.zeros(1, dtype=[("a", "i4")])[0]], r"at tree\[0\]"),
    ],
)
def test_anything_else_is_refused_with_its_place(tree, message):
    with pytest.raises(InputError, match=message):
        flatten(tree)


def test_a_cycle_is_refused():
    tree = []
    tree.append(tree)
    with pytest.raises(InputError, match=f"at most {MAX_TREE_DEPTH} levels"):
        flatten(tree)


def test_an_ordered_dict_comes_back_as_a_dict():
    tensors, structure = flatten(OrderedDict(b=1, a=2))
    back = unflatten(structure, tensors)
    assert type(back) is dict
    assert list(back.items()) == [("b", 1), ("a", 2)]


@pytest.mark.parametrize(
    "structure",
    [
        [],
        ["unknown"],
        ["tensor"],
        ["tensor", "no"],
        ["tensor", ["w"]],
        ["list"],  # the tensor has no place
        {"a": 1},
        ["dict", "key"],
        ["dict", ["list"], 1],
        ["dict", 1.5, 1],
        ["int", "x"],
        ["int", 3],
        ["float", "00"],
        ["numpy", "O", "00"],
        ["numpy", "<f4", "0000"],
        ["numpy", "no", "00"],
        ["numpy", "<f4"],
        [["list"]],
    ],
    ids=str,
)
def test_a_structure_not_of_our_making_is_refused(structure):
    with pytest.raises(DamagedFileError, match="a structure that fits its tensors"):
        unflatten(["list", structure] if structure != ["list"] else structure, {"w": torch.ones(1)})
