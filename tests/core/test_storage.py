import errno
import json
import math
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import forks
from gradus.core import storage
from gradus.core.errors import DamagedFileError, InputError, StorageError
from gradus.core.storage import (
    TEMPORARY_SUFFIX,
    atomic_write,
    free_name,
    memory_limit,
    read_json,
    sha256,
    sweep,
    temporary_beside,
    write_json,
)
from gradus.core.strict_json import MAX_JSON_DEPTH, dump_json, parse_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["$", "$float", "$$int"]), inner),
)


def same(a, b):
    """Equal to the bit: types, order of keys, sign of zero; one NaN is as good as another."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or struct.pack(">d", a) == struct.pack(">d", b)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return a == b


# --- atomic writes


def test_content_size_and_hash_agree_with_the_system(tmp_path):
    written = atomic_write(tmp_path / "a", "Grüße")
    assert (tmp_path / "a").read_bytes() == "Grüße".encode()
    assert written.size == (tmp_path / "a").stat().st_size == 7
    # FIPS 180-2, appendix B.1
    atomic_write(tmp_path / "abc", [b"a", memoryview(b"bc")])
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert written.sha256 == sha256(tmp_path / "a")
    assert {p.name for p in tmp_path.iterdir()} == {"a", "abc"}


def test_replacing_keeps_permissions_and_follows_links(tmp_path):
    target = tmp_path / "real" / "a"
    target.parent.mkdir()
    target.write_text("old")
    target.chmod(0o640)
    (tmp_path / "link").symlink_to(target)
    atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_reader_never_sees_a_mixture(tmp_path):
    path = tmp_path / "a"
    contents = [bytes([i]) * 300_000 for i in (1, 2)]
    atomic_write(path, contents[0])

    def write():
        for i in range(60):
            atomic_write(path, contents[i % 2])

    pid = forks.start(write)
    reads = 0
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        assert path.read_bytes() in contents
        reads += 1
    assert reads > 5


def test_synced_before_renamed_and_the_folder_after(tmp_path, monkeypatch):
    events, real = [], {"fsync": os.fsync, "replace": os.replace}

    def fsync(descriptor):
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real["fsync"](descriptor)

    def replace(a, b):
        events.append("rename")
        real["replace"](a, b)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    atomic_write(tmp_path / "a", b"x")
    assert events == ["file", "rename", "folder"]


def test_an_interrupted_write_leaves_nothing(tmp_path):
    (tmp_path / "a").write_text("old")

    def chunks():
        yield b"new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "a", chunks())
    assert (tmp_path / "a").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_size_limit_leaves_the_old_file(tmp_path):
    atomic_write(tmp_path / "a", b"old")

    def work():
        forks.limit_file_size(10_000)
        with pytest.raises(StorageError, match=r"expected to write .*a, got a file-size limit; raise it"):
            atomic_write(tmp_path / "a", b"n" * 50_000)

    assert forks.run(work) == 0
    assert (tmp_path / "a").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.fixture
def small_disk(tmp_path):
    """Yield a real file system of one mebibyte."""
    with forks.small_disk(tmp_path / "disk") as folder:
        yield folder


def test_a_full_disk_leaves_the_old_file(small_disk):
    atomic_write(small_disk / "a", b"o" * 400_000)
    with pytest.raises(StorageError, match="got a full disk; free some space"):
        atomic_write(small_disk / "a", b"n" * 900_000)
    assert (small_disk / "a").read_bytes() == b"o" * 400_000
    assert len(list(small_disk.iterdir())) == 1
    atomic_write(small_disk / "a", b"n" * 500_000)  # the space of the failed attempt is free again


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_a_refusal_at_sync_leaves_the_old_file(tmp_path, monkeypatch, number):
    (tmp_path / "a").write_text("old")

    def fsync(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageError, match=r"^expected to write .*, got .*; .*") as caught:
        write_json(tmp_path / "a", {"x": 1})
    assert "\n" not in str(caught.value)
    assert (tmp_path / "a").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_read_only_folder_is_told():
    folder = forks.public_folder()
    (folder / "a").write_text("old")
    folder.chmod(0o555)

    def work():
        forks.as_nobody()
        with pytest.raises(StorageError, match="got no permission; change the permissions"):
            atomic_write(folder / "a", b"new")

    assert forks.run(work) == 0
    assert [p.read_text() for p in folder.iterdir()] == ["old"]
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("name", "received"),
    [("no/a", "no such file or folder"), ("file/a", "a file where"), ("folder", "a folder")],
)
def test_impossible_paths_are_told(tmp_path, name, received):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match=f"got {received}"):
        atomic_write(tmp_path / name, b"x")
    assert len(list(tmp_path.rglob("*"))) == 2


# --- orphans


def test_what_a_killed_writer_leaves_is_swept(tmp_path):
    (tmp_path / "a").write_text("old")

    def write_until_killed():
        def chunks():
            yield b"x" * (2 << 20)
            os.kill(os.getpid(), signal.SIGKILL)

        atomic_write(tmp_path / "a", chunks())

    assert forks.run(write_until_killed) == -signal.SIGKILL
    [orphan] = [p for p in tmp_path.iterdir() if p.name.endswith(TEMPORARY_SUFFIX)]
    assert sweep(tmp_path) == [orphan.name]
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_only_orphans_are_swept(tmp_path):
    mine = free_name()
    alive = mine.replace(f"-{os.getpid()}-", f"-{os.getppid()}-")
    elsewhere = "." + "0" * 8 + mine[9:]
    old = (
        mine.replace(f"-{os.getpid()}-", f"-{os.getppid()}-")[: -len(TEMPORARY_SUFFIX) - 8] + "0" * 8 + TEMPORARY_SUFFIX
    )
    names = [alive, elsewhere, old, "a" + TEMPORARY_SUFFIX, ".x" + TEMPORARY_SUFFIX, "a.tmp"]
    for name in names:
        (tmp_path / name).touch()
    two_days_ago = time.time() - 2 * 24 * 3600
    for name in (old, "a.tmp", "a" + TEMPORARY_SUFFIX):
        os.utime(tmp_path / name, (two_days_ago, two_days_ago))
    (tmp_path / mine).mkdir()  # of an earlier process that had our process id, and a folder
    (tmp_path / mine / "part").touch()
    with temporary_beside(tmp_path / "b") as in_use:
        in_use.touch()
        assert sorted(sweep(tmp_path)) == sorted([mine, old])
        assert {p.name for p in tmp_path.iterdir()} == {*names, in_use.name} - {old}


def test_sweeping_a_folder_that_is_not_there_does_nothing(tmp_path):
    assert sweep(tmp_path / "no") == []


# --- JSON


@given(JSON)
def test_json_round_trip(value):
    assert same(parse_json(dump_json(value)), value)


def test_written_json_is_standard(tmp_path):
    write_json(tmp_path / "a.json", {"loss": [0.1, math.nan, -math.inf], "n": 2**70, "t": (1, 2), "ä": "\udc80"})

    def refuse(name):
        raise AssertionError(name)

    assert json.loads((tmp_path / "a.json").read_text("ascii"), parse_constant=refuse) == {
        "loss": [0.1, {"$float": "nan"}, {"$float": "-inf"}],
        "n": {"$int": "0x400000000000000000"},
        "t": [1, 2],
        "ä": "\udc80",
    }


def test_numpy_numbers_are_written_as_numbers():
    values = [np.float32(0.5), np.float64(math.inf), np.int64(-3), np.bool_(True), np.array(2.0)]
    assert same(parse_json(dump_json(values)), [0.5, math.inf, -3, True, 2.0])


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": [1, {2}]}, r"set at \$\['a'\]\[1\]"),
        ({"a": {3: 0}}, r"3 at \$\['a'\]"),
        ([np.zeros(2)], r"ndarray at \$\[0\]"),
        ([np.datetime64("2026-01-01")], r"datetime64 at \$\[0\]"),
        (b"x", r"bytes at \$"),
    ],
)
def test_what_json_lacks_is_refused_with_its_place(tmp_path, value, place):
    (tmp_path / "a").write_text("old")
    with pytest.raises(InputError, match=place):
        write_json(tmp_path / "a", value)
    assert (tmp_path / "a").read_text() == "old"


def test_the_deepest_tree_that_can_be_written_can_be_read():
    value = []
    for _ in range(MAX_JSON_DEPTH - 1):
        value = [value]
    assert parse_json(dump_json(value)) == value
    with pytest.raises(InputError, match="levels of nesting"):
        dump_json([value])
    with pytest.raises(DamagedFileError, match="nested deeper"):
        parse_json(b"[" + dump_json(value) + b"]")


@pytest.mark.parametrize(
    "bomb",
    [
        b"[" * 200_000,
        b'{"a":' * 200_000 + b"0" + b"}" * 200_000,
        b"[" * 900 + b"]" * 900,
        b"[" + b"[]," * 5_000_000 + b"0]",
        b"[" + b"[[[[]]]]," * 1_000_000 + b"0]",
        b"[" + b'{"":0},' * 499_999 + b"0",
        b"1" * 5_000_000,
    ],
    ids=["open", "closed", "moderate", "many", "many-deep", "many-dicts", "digits"],
)
def test_json_bombs_are_refused_within_a_second(tmp_path, bomb):
    (tmp_path / "a").write_bytes(bomb)
    begin = time.process_time()
    with pytest.raises(DamagedFileError, match=r"^expected JSON in .*; restore") as caught:
        read_json(tmp_path / "a")
    assert time.process_time() - begin < 1
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("text", [b"", b"{", b"NaN", b'{"a": Infinity}', b'"\xff"', b"\x80\x04K\x01.", b"{} {}"])
def test_what_is_no_json_is_refused(tmp_path, text):
    (tmp_path / "a").write_bytes(text)
    with pytest.raises(DamagedFileError, match="expected JSON"):
        read_json(tmp_path / "a")


def test_a_missing_and_an_oversized_file_are_told(tmp_path):
    with pytest.raises(StorageError, match=r"expected to read .*no.json, got no such file"):
        read_json(tmp_path / "no.json")
    write_json(tmp_path / "a", "x" * 100)
    with pytest.raises(DamagedFileError, match="at most 100 bytes"):
        read_json(tmp_path / "a", max_bytes=100)


def test_storage_needs_no_torch():
    code = "import sys, gradus.core.storage, gradus.core.lock; sys.exit('torch' in sys.modules)"
    source = Path(storage.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(source)}).returncode == 0


def test_memory_limit_is_what_the_machine_has():
    psutil = pytest.importorskip("psutil")
    assert 0 < memory_limit() <= psutil.virtual_memory().total
