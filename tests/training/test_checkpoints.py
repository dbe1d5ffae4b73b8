import hashlib
import json
import logging
import math
import os
import random
import shutil
import signal
import stat
import struct
import time
from pathlib import Path

import pytest
import torch

import forks
from gradus.core.errors import DamagedFileError, DataError, InputError, SettingError, StorageError
from gradus.core.storage import TEMPORARY_SUFFIX, sha256
from gradus.core.strict_json import dump_json
from gradus.core.tensors import load_tensors
from gradus.training import checkpoints
from gradus.training.checkpoints import CheckpointStore

FILES = ["manifest.json", "model.json", "model.safetensors", "state.json", "state.safetensors"]


def parts_of(step, size=7):
    """Content that tells its step in each file, so that a mixture of two checkpoints would show."""
    return {
        "model": {"w": torch.full((size,), float(step)), "n": step},
        "state": {"step": step, "moments": {0: (torch.arange(3) + step, None)}, "seed": [step] * 3},
    }


def assert_content(loaded, step, size=7):
    assert loaded.step == step
    model, state = loaded.parts["model"], loaded.parts["state"]
    assert set(loaded.parts) == {"model", "state"}
    assert model["n"] == step
    assert torch.equal(model["w"], torch.full((size,), float(step)))
    assert state["step"] == step
    assert state["seed"] == [step] * 3
    assert torch.equal(state["moments"][0][0], torch.arange(3) + step)


def orphans(folder):
    return [p.name for p in Path(folder).iterdir() if p.name.endswith(TEMPORARY_SUFFIX)]


@pytest.fixture
def store(tmp_path):
    store = CheckpointStore(tmp_path / "checkpoints")
    for step in (1, 2):
        store.save(step, parts_of(step))
    return store


# --- saving and loading


def test_layout_and_manifest(store):
    folder = store.folder / "step_2"
    assert sorted(p.name for p in folder.iterdir()) == FILES
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["format"], manifest["step"], manifest["score"]) == (1, 2, None)
    assert sorted(manifest["files"]) == FILES[1:]
    for name, facts in manifest["files"].items():
        assert facts == {"size": (folder / name).stat().st_size, "sha256": sha256(folder / name)}
    assert load_tensors(folder / "model.safetensors")["w"].tolist() == [2.0] * 7
    assert orphans(store.folder) == []


def test_every_step_loads_as_it_was_saved(store):
    assert store.steps() == [1, 2]
    assert_content(store.load(), 2)
    assert_content(store.load(1), 1)
    assert store.load().skipped == []
    assert_content(CheckpointStore(store.folder).latest(), 2)


def test_an_empty_store(tmp_path):
    store = CheckpointStore(tmp_path / "no")
    assert store.steps() == []
    assert store.best() is None
    assert store.latest() is None
    with pytest.raises(DataError, match=r"expected a checkpoint in .*, got none"):
        store.load()
    assert not (tmp_path / "no").exists()


def test_a_step_that_is_not_there(store):
    with pytest.raises(DataError, match=r"a checkpoint of step 7 in .*, got 1, 2; train first"):
        store.load(7)


def test_saving_the_same_step_replaces_it(store):
    store.save(2, {"model": [torch.ones(1)]}, score=0.5)
    assert store.steps() == [1, 2]
    loaded = store.load()
    assert loaded.score == 0.5
    assert list(loaded.parts) == ["model"]
    assert sorted(p.name for p in store.folder.iterdir()) == ["step_1", "step_2"]


def test_the_last_n_and_the_best_are_kept(tmp_path):
    store = CheckpointStore(tmp_path, keep_last=2, keep_best=2)
    scores = [0.5, 0.9, math.nan, 0.9, 0.95, 0.1, None, 0.2]
    for step, score in enumerate(scores):
        store.save(step, parts_of(step), score=score)
    assert store.steps() == [1, 4, 6, 7]  # 0.9 first reached at step 1, 0.95 at 4
    assert store.best() == 4
    assert store.load(4).score == 0.95
    assert_content(store.load(1), 1)


@pytest.mark.parametrize(("keep_last", "keep_best", "kept"), [(1, 0, [5]), (3, 0, [3, 4, 5]), (1, 1, [0, 5])])
def test_how_many_are_kept(tmp_path, keep_last, keep_best, kept):
    store = CheckpointStore(tmp_path, keep_last=keep_last, keep_best=keep_best)
    for step in range(6):
        store.save(step, parts_of(step), score=-step)
    assert store.steps() == kept


def test_infinite_scores_rank(tmp_path):
    store = CheckpointStore(tmp_path, keep_last=1, keep_best=1)
    for step, score in enumerate([-math.inf, math.inf, 3.0, -math.inf]):
        store.save(step, parts_of(step), score=score)
    assert store.steps() == [1, 3]
    assert store.load(1).score == math.inf


def test_what_was_just_saved_is_never_pruned(tmp_path):
    store = CheckpointStore(tmp_path, keep_last=1, keep_best=0)
    store.save(20, parts_of(20))
    store.save(15, parts_of(15))  # a run that went back
    assert_content(store.load(15), 15)
    store.save(30, parts_of(30))
    assert store.steps() == [30]


def test_nothing_is_removed_or_renamed_before_the_new_is_on_the_disk(tmp_path, monkeypatch):
    store = CheckpointStore(tmp_path, keep_last=1, keep_best=0)
    store.save(1, parts_of(1))
    events = []
    real_sync, real_rename = os.fsync, os.rename

    def fsync(descriptor):
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        name = Path(f"/proc/self/fd/{descriptor}").readlink()
        events.append(f"sync {kind} {'new' if name.parent == tmp_path else name.name}")
        real_sync(descriptor)

    def rename(a, b, **more):
        events.append(f"rename {Path(a).suffix or Path(a).name} to {Path(b).suffix or Path(b).name}")
        real_rename(a, b, **more)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    store.save(2, parts_of(2))
    assert sorted(events[:5]) == sorted(f"sync file {name}" for name in FILES)
    assert events[5:] == [
        "sync folder new",
        f"rename {TEMPORARY_SUFFIX} to step_2",
        f"sync folder {tmp_path.name}",
        f"rename step_1 to {TEMPORARY_SUFFIX}",
    ]
    assert store.steps() == [2]


@pytest.mark.parametrize("name", ["", "Model", "a/b", "../x", "a.b", "manifest", "1a", "a" * 65, "é"])
def test_part_names_that_are_no_file_names_are_refused(store, name):
    with pytest.raises(InputError, match="part names"):
        store.save(3, {name: 1})
    assert store.steps() == [1, 2]


def test_what_cannot_be_stored_is_refused_and_nothing_is_written(store):
    with pytest.raises(InputError, match=r"set at tree\['x'\]\[0\]"):
        store.save(3, {"model": {"x": [{1}]}})
    with pytest.raises(InputError, match="expanded view"):
        store.save(3, {"model": torch.ones(1).expand(2**40)})
    with pytest.raises(InputError, match="a step from 0 on, got -1"):
        store.save(-1, parts_of(1))
    assert sorted(p.name for p in store.folder.iterdir()) == ["step_1", "step_2"]


@pytest.mark.parametrize("settings", [{"keep_last": 0}, {"keep_best": -1}])
def test_settings_out_of_range(tmp_path, settings):
    with pytest.raises(SettingError, match="keep_"):
        CheckpointStore(tmp_path, **settings)


def test_training_goes_on_bit_by_bit_from_a_checkpoint(tmp_path):
    def build():
        torch.manual_seed(3)
        net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
        return net, torch.optim.Adam(net.parameters())

    def train(net, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            net(torch.randn(5, 4)).square().mean().backward()
            optimizer.step()

    with torch.random.fork_rng():
        net, optimizer = build()
        train(net, optimizer, 3)
        state = {"optimizer": optimizer.state_dict(), "random": torch.get_rng_state()}
        CheckpointStore(tmp_path).save(3, {"model": net.state_dict(), "state": state})
        train(net, optimizer, 3)
        other, restored = build()
        loaded = CheckpointStore(tmp_path).load()
        other.load_state_dict(loaded.parts["model"])
        restored.load_state_dict(loaded.parts["state"]["optimizer"])
        torch.set_rng_state(loaded.parts["state"]["random"])
        train(other, restored, 3)
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


# --- damage


def damage_is_noticed(store, name, data):
    """Put data in place of a file of the newest checkpoint: the one before is used and the file named."""
    path = store.folder / "step_2" / name
    kept = path.read_bytes()
    path.write_bytes(data)
    loaded = CheckpointStore(store.folder).load()
    if loaded.step == 2:  # harmless: only white space and line ends of the manifest
        assert name == "manifest.json"
        assert json.loads(data) == json.loads(kept)
        assert loaded.skipped == []
        assert_content(loaded, 2)
    else:
        assert_content(loaded, 1)
        [skipped] = loaded.skipped
        assert skipped.startswith(f"step_2/{name} as it was saved: ")
    path.write_bytes(kept)


def flipped(data, i, mask):
    return data[:i] + bytes([data[i] ^ mask]) + data[i + 1 :]


@pytest.mark.parametrize("name", FILES)
def test_a_sample_of_flipped_bytes_is_noticed(store, name):
    data = (store.folder / "step_2" / name).read_bytes()
    rng = random.Random(name)
    for i in rng.sample(range(len(data)), min(25, len(data))):
        damage_is_noticed(store, name, flipped(data, i, rng.choice([1, 2, 4, 8, 16, 32, 64, 128, 255])))
    assert_content(store.load(), 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_each_flipped_byte_is_noticed(store, name):
    data = (store.folder / "step_2" / name).read_bytes()
    for i in range(len(data)):
        for mask in (1, 32, 255):  # the last bit, upper against lower case, all bits
            damage_is_noticed(store, name, flipped(data, i, mask))
    assert_content(store.load(), 2)


@pytest.mark.parametrize("name", FILES)
def test_a_sample_of_truncations_is_noticed(store, name):
    data = (store.folder / "step_2" / name).read_bytes()
    lengths = {0, 1, 7, 8, 9, len(data) // 2, len(data) - 1}
    for length in sorted(n for n in lengths if n < len(data)):
        damage_is_noticed(store, name, data[:length])
    for more in (b"\0", b" ", data):
        damage_is_noticed(store, name, data + more)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_each_truncation_is_noticed(store, name):
    data = (store.folder / "step_2" / name).read_bytes()
    for length in range(len(data)):
        damage_is_noticed(store, name, data[:length])


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone_or_a_folder_is_named(store, name):
    path = store.folder / "step_2" / name
    path.unlink()
    assert_content(store.load(), 1)
    assert store.load().skipped == [f"step_2/{name} as it was saved: no such file or folder"]
    path.mkdir()
    assert_content(store.load(), 1)
    assert [s.split(" ")[0] for s in store.load().skipped] == [f"step_2/{name}"]


def test_files_of_two_checkpoints_are_not_mixed(store):
    for name in FILES:
        damage_is_noticed(store, name, (store.folder / "step_1" / name).read_bytes())
    shutil.rmtree(store.folder / "step_2")
    shutil.copytree(store.folder / "step_1", store.folder / "step_2")
    assert_content(store.load(), 1)
    assert store.load().skipped == ["step_2/manifest.json as it was saved: the manifest of step 1"]


def test_what_was_passed_over_is_logged(store, caplog):
    (store.folder / "step_2" / "model.safetensors").unlink()
    with caplog.at_level(logging.WARNING):
        store.load()
    assert "step_2/model.safetensors" in caplog.text


def test_without_an_intact_checkpoint_all_damaged_files_are_named(store):
    (store.folder / "step_1" / "manifest.json").write_text("{}")
    (store.folder / "step_2" / "state.json").unlink()
    for load in (store.load, store.latest):
        with pytest.raises(DamagedFileError) as caught:
            load()
        assert "step_1/manifest.json" in str(caught.value)
        assert "step_2/state.json" in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(DamagedFileError, match=r"step_2/state\.json"):
        store.load(2)


def test_a_damaged_best_is_not_the_best(tmp_path):
    store = CheckpointStore(tmp_path, keep_last=3)
    for step in (1, 2, 3):
        store.save(step, parts_of(step), score=-step)
    (tmp_path / "step_1" / "manifest.json").write_text("[]")
    assert store.best() == 2


def test_a_newer_format_is_told_and_not_passed_over(store, monkeypatch):
    monkeypatch.setattr(checkpoints, "FORMAT_VERSION", 2)
    store.save(3, parts_of(3))
    monkeypatch.undo()
    for load in (store.load, store.latest):
        with pytest.raises(DataError, match=r"format 1 or older in .*step_3, got format 2; update Gradus"):
            load()
    assert_content(store.load(2), 2)


def with_checksum(facts):
    """A manifest as an attacker would write it: the checksum is no secret."""
    return dump_json({**facts, "sha256": hashlib.sha256(dump_json(facts, sort_keys=True)).hexdigest()})


@pytest.mark.parametrize(
    "change",
    [
        {"format": None},
        {"format": [1]},
        {"step": "x"},
        {"score": {}},
        {"files": []},
        {"files": {"model.json": 3}},
        {"files": {"model.json": {"size": "x", "sha256": ""}}},
        {"files": {"model.safetensors": {"size": 2**60, "sha256": ""}}},
    ],
    ids=str,
)
def test_a_forged_manifest_is_refused(store, change):
    path = store.folder / "step_2" / "manifest.json"
    facts = json.loads(path.read_text())
    del facts["sha256"]
    path.write_bytes(with_checksum({**facts, **change}))
    loaded = store.load()
    assert_content(loaded, 1)
    assert loaded.skipped[0].startswith("step_2/manifest.json")


def test_a_manifest_cannot_name_files_elsewhere(store):
    path = store.folder / "step_2" / "manifest.json"
    facts = json.loads(path.read_text())
    del facts["sha256"]
    facts["files"] = {f"../step_1/{k}": v for k, v in facts["files"].items()}
    path.write_bytes(with_checksum(facts))
    assert store.load().parts == {}


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x80\x04\x8c\x05posix\x8c\x05mkdir\x93\x8c\x03ran\x85R.",
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 16) + b"[" * 16,
    ],
    ids=["pickle", "2^60", "deep"],
)
@pytest.mark.parametrize("name", FILES)
def test_a_bomb_whose_hash_is_right_is_refused_at_once(store, tmp_path, monkeypatch, bomb, name):
    monkeypatch.chdir(tmp_path)
    (store.folder / "step_2" / name).write_bytes(bomb)
    if name != "manifest.json":
        path = store.folder / "step_2" / "manifest.json"
        facts = json.loads(path.read_text())
        del facts["sha256"]
        facts["files"][name] = {"size": len(bomb), "sha256": hashlib.sha256(bomb).hexdigest()}
        path.write_bytes(with_checksum(facts))
    begin = time.process_time()
    loaded = store.load()
    assert time.process_time() - begin < 1
    assert_content(loaded, 1)
    assert len(loaded.skipped) == 1
    assert not (tmp_path / "ran").exists()


# --- killed


def crash_points():
    """System calls that change the disk; the process dies before the n-th of them."""
    return ["open", "fsync", "rename", "replace", "mkdir", "rmdir", "unlink"]


def die_before_call(n):
    count = [0]

    def wrap(real):
        def call(*arguments, **more):
            count[0] += 1
            if count[0] == n:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **more)

        return call

    for name in crash_points():
        setattr(os, name, wrap(getattr(os, name)))


@pytest.mark.parametrize("step", [2, 3], ids=["replacing", "adding and pruning"])
def test_killed_before_every_single_change_of_the_disk(tmp_path, step):
    """At each point there is a complete checkpoint, the old content or the new, and the next save works."""
    outcomes, n = [], 0
    while True:
        n += 1
        folder = tmp_path / str(n)
        store = CheckpointStore(folder, keep_last=2, keep_best=0)
        store.save(1, parts_of(1))
        store.save(2, parts_of(2))

        def save(n=n, store=store):
            die_before_call(n)
            new = parts_of(3)
            store.save(step, {**new, "round": 2})

        code = forks.run(save)
        reader = CheckpointStore(folder)
        loaded = reader.load()
        assert loaded.skipped == []
        fresh = "round" in loaded.parts
        outcomes.append(fresh)
        loaded.parts.pop("round", None)
        assert loaded.step == (step if fresh else 2)
        assert loaded.parts["state"]["step"] == (3 if fresh else 2)
        assert torch.equal(loaded.parts["model"]["w"], torch.full((7,), 3.0 if fresh else 2.0))
        store = CheckpointStore(folder, keep_last=2, keep_best=0)  # what a resumed run does
        assert orphans(folder) == []
        store.save(step, parts_of(step))
        store.save(9, parts_of(9))
        assert sorted(p.name for p in folder.iterdir()) == [f"step_{step}", "step_9"]
        assert_content(store.load(step), step)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert n > 15  # at least: the folder, five files written and synced, two renames
    assert outcomes == sorted(outcomes)  # first the old content, from one point on the new
    assert not outcomes[0]
    assert outcomes[-1]


def kill_at_random(folder, rounds, seed):
    """Children save in a loop and report each step that is safe; each is killed after 0 to 30 ms."""
    rng = random.Random(seed)
    safe, died_saving = 0, 0
    for _ in range(rounds):
        reader, writer = os.pipe()

        def work(reader=reader, writer=writer):
            os.close(reader)
            store = CheckpointStore(folder, keep_last=2, keep_best=1)
            loaded = store.latest()
            step = loaded.step if loaded else 0
            os.write(writer, struct.pack("<q", step))
            while True:
                step += 1
                for _ in range(2):  # the second time it replaces the first
                    store.save(step, parts_of(step, 20_000), score=-abs(step - 10))
                os.write(writer, struct.pack("<q", step))

        pid = forks.start(work)
        os.close(writer)
        [resumed] = struct.unpack("<q", os.read(reader, 8))
        assert resumed >= safe
        safe = resumed
        time.sleep(rng.uniform(0, 0.03))
        assert forks.kill(pid) == -signal.SIGKILL
        with os.fdopen(reader, "rb") as told:
            reported = told.read()
        if reported:
            safe = struct.unpack("<q", reported[-8:])[0]
        died_saving += bool(orphans(folder)) if Path(folder).exists() else 0
        store = CheckpointStore(folder)
        assert not Path(folder).exists() or orphans(folder) == []
        loaded = store.latest()
        if loaded is None:
            assert safe == 0
            continue
        assert loaded.skipped == []
        assert safe <= loaded.step <= safe + 1
        assert_content(loaded, loaded.step, 20_000)
        for step in store.steps():
            assert_content(store.load(step), step, 20_000)
    return safe, died_saving


def test_killed_at_eight_random_moments(tmp_path):
    kill_at_random(tmp_path / "checkpoints", 8, seed=0)


@pytest.mark.slow
def test_killed_at_a_hundred_random_moments(tmp_path):
    safe, died_saving = kill_at_random(tmp_path / "checkpoints", 100, seed=1)
    assert safe > 20  # the children did get work done
    assert died_saving > 20  # and were hit in the middle of it


def test_readers_are_not_disturbed_by_a_writer(tmp_path):
    """A reader lists, reads and sweeps while another process saves, replaces and prunes."""
    CheckpointStore(tmp_path).save(0, parts_of(0))

    def work():
        store = CheckpointStore(tmp_path, keep_last=1, keep_best=0)
        for step in range(1, 25):
            store.save(step, parts_of(step))
            store.save(step, parts_of(step))

    pid = forks.start(work)
    last, reads = 0, 0
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        loaded = CheckpointStore(tmp_path).load()
        assert loaded.skipped == []
        assert loaded.step >= last
        assert_content(loaded, loaded.step)
        last = loaded.step
        reads += 1
        if ended:
            break
    assert status == 0
    assert last == 24
    assert reads > 5


# --- a disk that refuses


def test_a_file_size_limit_leaves_the_old_checkpoints(store):
    def work():
        forks.limit_file_size(50_000)
        with pytest.raises(StorageError, match=r"expected to write .*step_3, got a file-size limit; raise it"):
            store.save(3, parts_of(3, 100_000))
        assert orphans(store.folder) == []
        with pytest.raises(StorageError, match="file-size limit"):
            store.save(2, parts_of(2, 100_000))
        store.save(3, parts_of(3))  # what fits is saved

    assert forks.run(work) == 0
    assert sorted(p.name for p in store.folder.iterdir()) == ["step_2", "step_3"]
    assert_content(store.load(2), 2)
    assert_content(store.load(3), 3)


@pytest.fixture
def small_disk(tmp_path):
    """Yield a real file system of one mebibyte."""
    with forks.small_disk(tmp_path / "disk") as folder:
        yield folder


def test_a_full_disk_leaves_the_old_checkpoints(small_disk):
    store = CheckpointStore(small_disk / "c", keep_last=2, keep_best=0)
    store.save(1, parts_of(1, 70_000))
    store.save(2, parts_of(2, 70_000))
    for step in (3, 2):
        with pytest.raises(StorageError, match=r"got a full disk; free some space"):
            store.save(step, parts_of(step, 150_000))
        assert store.steps() == [1, 2]
        assert orphans(store.folder) == []
        assert_content(store.load(), 2, 70_000)
        assert_content(store.load(1), 1, 70_000)
    store.save(3, parts_of(3, 70_000))
    assert_content(store.load(), 3, 70_000)


@pytest.mark.parametrize("call", ["fsync", "mkdir", "open", "rename"])
def test_a_refused_system_call_leaves_the_old_checkpoints(store, call):
    """Refuse the first, second, third ... call: the old checkpoints are whole and nothing is left over."""

    def attempt(n, step):
        count, real = [0], getattr(os, call)

        def refuse(*arguments, **more):
            count[0] += 1
            if count[0] == n:
                raise OSError(28, "No space left on device")
            return real(*arguments, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, call, refuse)
            store.save(step, parts_of(step))
        return count[0] >= n

    for step in (2, 3):
        n, refused = 0, 0
        while True:
            n += 1
            before = store.steps()
            try:
                if not attempt(n, step):
                    break
            except StorageError as error:
                assert "full disk" in str(error)
                refused += 1
                assert store.steps() in (before, [1, 2, 3])
                assert orphans(store.folder) == []
            else:  # refused while an old one was removed: no reason to fail, and the next store sweeps
                CheckpointStore(store.folder)
                assert orphans(store.folder) == []
            loaded = store.load()
            assert loaded.skipped == []
            assert_content(loaded, loaded.step)
            for kept in before[-1:]:
                assert_content(store.load(kept), kept)
        assert refused > 0
        assert step in store.steps()


def test_a_read_only_store_can_be_read(tmp_path):
    folder = forks.public_folder()
    store = CheckpointStore(folder / "c")
    store.save(1, parts_of(1))
    (folder / "c").chmod(0o555)

    def work():
        forks.as_nobody()
        other = CheckpointStore(folder / "c")
        assert_content(other.load(), 1)
        with pytest.raises(StorageError, match="got no permission"):
            other.save(2, parts_of(2))

    assert forks.run(work) == 0
    assert store.steps() == [1]
    shutil.rmtree(folder)
