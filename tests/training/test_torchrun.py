"""The command started twice by torchrun: one run folder, the model of one process, and an end without a hang."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from gradus import load

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="needs torch.distributed")

FIT = ["fit", "digits", "-q", "--set", "dropout=0", "--set", "n_threads=1", "--set", "checkpoint_every=5"]
TWICE = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "gradus"]


def gradus(arguments, launcher=("-m", "gradus")):
    command = [sys.executable, *launcher, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0
    )


def ended(process, seconds=60):
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"a hang: {process.communicate()[0]}")
    return output


def weights(folder):
    return load(folder / "model").network_.state_dict()


def assert_close(one, other):
    for name, value in weights(one).items():
        torch.testing.assert_close(value, weights(other)[name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("shard", ["auto", "on"])
def test_two_processes_fit_the_model_of_one(shard, tmp_path):
    budget = ["--set", "max_epochs=2", "--set", f"shard={shard}"]
    process = gradus([*FIT, *budget, "--out", tmp_path / "two"], TWICE)
    alone = gradus([*FIT, *budget, "--out", tmp_path / "one"])
    output = ended(process)
    ended(alone)
    assert process.returncode == 0, output
    assert output.count("status   finished") == 1  # one of them speaks
    record = json.loads((tmp_path / "two" / "run.json").read_text())
    assert record["status"] == "finished" and len(record["history"]) == 2
    assert len((tmp_path / "two" / "metrics.jsonl").read_text().splitlines()) == 2
    assert_close(tmp_path / "two", tmp_path / "one")
    words = "eager" if shard == "auto" else "eager; sharded over 2 processes"
    assert load(tmp_path / "two" / "model").execution_ == words


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads in /proc")
def test_no_thread_of_the_connections_outlives_them(tmp_path):
    # One that does may ask for the interpreter's lock while it ends, which aborts the process (once in seven runs).
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n"
        "from gradus.training import distribution\n"
        "met = distribution.world()\n"
        "count = [len(os.listdir('/proc/self/task'))]\n"
        "met.gather(met.rank)\n"
        "distribution._part()\n"
        "count.append(len(os.listdir('/proc/self/task')))\n"
        "print('threads', *count, flush=True)\n"
    )
    output = ended(gradus([], [*TWICE[:-2], script]))
    counts = [line.split()[1:] for line in output.splitlines() if line.startswith("threads")]
    assert len(counts) == 2 and all(int(before) > 1 and after == "1" for before, after in counts), output


def children(process):
    return list(map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for children in /proc")
@pytest.mark.parametrize(("which", "shard"), [(0, "auto"), (1, "auto"), (1, "on")])
def test_a_killed_process_ends_the_run_which_then_goes_on(which, shard, tmp_path):
    budget = ["--set", "max_epochs=8", "--set", f"shard={shard}"]
    process = gradus([*FIT, *budget, "--out", tmp_path / "two"], TWICE)
    for _ in range(600):
        if list((tmp_path / "two").glob("checkpoints/*/step_*")):
            break
        time.sleep(0.05)
    os.kill(children(process)[which], signal.SIGKILL)
    killed = time.monotonic()
    output = ended(process)
    assert time.monotonic() - killed < 20 and process.returncode != 0
    assert "error: expected every process of this training at work, got one that is gone" in output
    record = json.loads((tmp_path / "two" / "run.json").read_text())
    assert record["status"] == ("failed" if which else "running")
    process = gradus(["resume", tmp_path / "two", "-q"], TWICE)
    output = ended(process)
    assert process.returncode == 0, output
    alone = gradus([*FIT, *budget, "--out", tmp_path / "one"])
    ended(alone)
    assert json.loads((tmp_path / "two" / "run.json").read_text())["status"] == "finished"
    assert_close(tmp_path / "two", tmp_path / "one")
