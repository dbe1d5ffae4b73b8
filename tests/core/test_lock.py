import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import forks
from gradus.core.errors import LockedError, StorageError
from gradus.core.lock import RunLock


class Holder:
    """A child that holds the lock until it is told to leave or is killed."""

    def __init__(self, folder, before=lambda: None, inside=lambda: None):
        self.ready, ready = os.pipe()
        leave, self.leave = os.pipe()

        def hold():
            before()
            os.close(self.leave)
            with RunLock(folder):
                inside()
                os.write(ready, b"x")
                os.read(leave, 1)

        self.pid = forks.start(hold)
        os.close(ready)
        os.close(leave)
        assert os.read(self.ready, 1) == b"x"

    def end(self):
        os.close(self.leave)
        return forks.finish(self.pid)


def test_the_second_process_is_told_who_holds_the_lock(tmp_path):
    holder = Holder(tmp_path)
    with pytest.raises(LockedError) as caught:
        RunLock(tmp_path).acquire()
    text = str(caught.value)
    assert text.startswith(f"expected to be the only writer of {tmp_path}, got process {holder.pid} on ")
    assert platform.node() in text
    assert time.strftime("%Y-", time.gmtime()) in text
    assert "\n" not in text
    assert holder.end() == 0
    with RunLock(tmp_path) as lock:
        assert lock.held
    assert not lock.held


def test_kill_9_frees_the_lock_at_once(tmp_path):
    for _ in range(3):
        holder = Holder(tmp_path)
        lock = RunLock(tmp_path)
        with pytest.raises(LockedError):
            lock.acquire()
        assert forks.kill(holder.pid) == -9
        with lock:
            assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


def test_a_forked_child_does_not_keep_the_lock_of_a_killed_parent(tmp_path):
    grandchild_ready, ready = os.pipe()
    grandchild_leave, leave = os.pipe()

    def spawn_worker():
        def work():
            os.close(leave)
            os.write(ready, str(os.getpid()).encode())
            os.read(grandchild_leave, 1)  # lives on, as a data worker does, until the test ends

        forks.start(work)

    holder = Holder(tmp_path, inside=spawn_worker)
    worker = int(os.read(grandchild_ready, 20))
    with pytest.raises(LockedError):
        RunLock(tmp_path).acquire()
    forks.kill(holder.pid)
    os.kill(worker, 0)  # still there
    with RunLock(tmp_path) as lock:
        assert lock.held
    os.close(leave)


def test_a_child_that_ends_does_not_free_its_parents_lock(tmp_path):
    with RunLock(tmp_path) as lock:

        def work():
            assert not lock.held
            lock.release()
            with pytest.raises(LockedError):
                RunLock(tmp_path).acquire()

        assert forks.run(work) == 0
        assert lock.held
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


def test_a_program_started_meanwhile_does_not_keep_the_lock_of_a_killed_parent(tmp_path):
    told, tell = os.pipe()

    def start_program():
        code = f"import os, time; os.write({tell}, b'%d' % os.getpid()); time.sleep(60)"
        os.set_inheritable(tell, True)
        subprocess.Popen([sys.executable, "-c", code], close_fds=False)
        os.set_inheritable(tell, False)

    holder = Holder(tmp_path, inside=start_program)
    program = int(os.read(told, 20))  # it runs, so whatever is closed at its start is closed
    forks.kill(holder.pid)
    try:
        with RunLock(tmp_path) as lock:
            assert lock.held
    finally:
        os.kill(program, signal.SIGKILL)


def test_release_frees_the_lock_whoever_else_has_the_file_open(tmp_path):
    """A child that was forked without Python's knowledge shares the open file and lives on."""
    lock = RunLock(tmp_path).acquire()
    copy = os.dup(lock._descriptor)
    lock.release()
    with RunLock(tmp_path):
        os.close(copy)


def test_one_process_cannot_take_it_twice(tmp_path):
    with RunLock(tmp_path):
        with pytest.raises(LockedError, match="got this process, which writes there already"):
            RunLock(tmp_path).acquire()
    with RunLock(tmp_path), RunLock(tmp_path.parent):
        pass


def test_acquiring_again_keeps_the_lock_and_releasing_again_does_nothing(tmp_path):
    lock = RunLock(tmp_path).acquire()
    assert lock.acquire() is lock
    lock.release()
    lock.release()
    RunLock(tmp_path).acquire().release()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x", "host": 1, "started": 2}', b"[" * 5000])
def test_a_holder_that_cannot_be_read_is_another_process(tmp_path, content):
    holder = Holder(tmp_path)
    (tmp_path / ".lock").write_bytes(content)
    with pytest.raises(LockedError, match="got another process"):
        RunLock(tmp_path).acquire()
    assert holder.end() == 0


def test_what_an_earlier_holder_wrote_does_not_lock(tmp_path):
    (tmp_path / ".lock").write_text(json.dumps({"pid": os.getppid(), "host": "h", "started": "s" * 500}))
    with RunLock(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


def test_the_lock_is_on_the_file_that_is_there(tmp_path, monkeypatch):
    """Someone removes the file between our opening and locking it; that lock would be worth nothing."""
    real, calls = os.open, []

    def open_and_lose(path, *arguments, **more):
        descriptor = real(path, *arguments, **more)
        if not calls:
            Path(path).unlink()
        calls.append(path)
        return descriptor

    monkeypatch.setattr(os, "open", open_and_lose)
    with RunLock(tmp_path):
        assert len(calls) == 2
        with pytest.raises(LockedError):
            RunLock(tmp_path).acquire()


def test_a_read_only_folder_is_told():
    folder = forks.public_folder()
    folder.chmod(0o555)

    def work():
        forks.as_nobody()
        with pytest.raises(StorageError, match=r"expected to write .*\.lock, got no permission; change"):
            RunLock(folder).acquire()

    assert forks.run(work) == 0
    shutil.rmtree(folder)


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(StorageError, match="got no such file or folder"):
        RunLock(tmp_path / "no").acquire()
