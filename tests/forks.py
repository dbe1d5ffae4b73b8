"""Children made by fork: torch is imported already; they can be killed, starved and stripped of rights."""

import os
import shutil
import signal
import subprocess
import tempfile
import traceback
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest


def fork():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on, where other threads exist
        return os.fork()


def start(work):
    """Run work() in a child, which never returns into the test; give its process id."""
    pid = fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def finish(pid):
    """Wait for a child; its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run(work):
    return finish(start(work))


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    return finish(pid)


def limit_file_size(n_bytes):
    resource = pytest.importorskip("resource")
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def as_nobody():
    """Give up root's rights, before which no folder is read-only."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


def public_folder():
    """Return a folder that another user can reach, which pytest's own temporary folders are not."""
    folder = Path(tempfile.mkdtemp(prefix="gradus-test-"))
    folder.chmod(0o777)
    return folder


@contextmanager
def small_disk(folder):
    """Mount a real file system of one mebibyte; skip the test where that takes rights this user lacks."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs more rights than this user has")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
