"""Ctrl-C, SIGTERM, kills and pipes that close: exit codes, records, and what can be gone on with."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import forks
from clumsy import QUICK, gradus, table, wait_for
from gradus.cli.main import run

pytestmark = pytest.mark.usefixtures("here")


def begin(*arguments, patch=lambda: None):
    """Run the command in a child of its own, its words in ``said``; return the process id."""

    def work():
        # A shell starts what runs in the background with Ctrl-C ignored, and a test run may be there.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        patch()
        with Path("said").open("w", buffering=1) as said, contextlib.redirect_stderr(said):
            with contextlib.redirect_stdout(io.StringIO()):
                code = run(list(arguments))
        os._exit(code)

    return forks.start(work)


LONG = ["fit", "a.csv", "--out", "run", *QUICK[2:], "--set", "max_epochs=1000000", "--set", "early_stopping=false"]


def epochs():
    path = Path("run/metrics.jsonl")
    return path.read_bytes().count(b"\n") if path.exists() else 0


def status():
    return json.loads(Path("run/run.json").read_text())["status"]


def test_ctrl_c_while_the_network_trains_keeps_the_best_so_far(capsys):
    Path("a.csv").write_text(table())
    pid = begin(*LONG)
    wait_for(lambda: epochs() >= 3)
    os.kill(pid, signal.SIGINT)
    assert forks.finish(pid) == 0
    assert status() == "finished" and Path("run/report.html").exists()
    assert gradus(capsys, "predict", "run", "a.csv")[0] == 0


def slow_regression():
    from gradus.practice import baselines

    baselines.LogisticRegression.fit = lambda self, X, y: time.sleep(60)


@pytest.mark.parametrize(("signals", "code"), [([signal.SIGINT], 130), ([signal.SIGTERM] * 3, 143)])
def test_a_signal_while_a_classical_rung_is_fitted_stops_the_run(signals, code, capsys):
    Path("a.csv").write_text(table())
    pid = begin(*LONG[:-4], "--set", "max_epochs=1", patch=slow_regression)
    wait_for(lambda: Path("said").exists() and "most frequent class" in Path("said").read_text())
    time.sleep(0.2)
    for number in signals:
        os.kill(pid, number)
    assert forks.finish(pid) == code
    assert status() == "stopped"
    said = Path("said").read_text()
    assert "gradus resume run" in said and "stopped" in said.splitlines()[-1] and "Traceback" not in said
    assert gradus(capsys, "resume", "run")[0] == 0
    assert status() == "finished"


def test_a_second_sigterm_changes_nothing(capsys):
    Path("a.csv").write_text(table())
    pid = begin(*LONG)
    wait_for(lambda: epochs() >= 3)
    for _ in range(3):
        os.kill(pid, signal.SIGTERM)
    assert forks.finish(pid) == 143
    assert status() == "stopped"
    assert list(Path("run/checkpoints/main").glob("step_*")) and not list(Path("run").rglob("*gradus-tmp*"))


def test_a_killed_run_is_listed_as_stopped(capsys):
    Path("a.csv").write_text(table())
    pid = begin(*LONG)
    wait_for(lambda: epochs() >= 1)
    assert "running" in gradus(capsys, "runs", ".", "--json")[1]
    forks.kill(pid)
    assert status() == "running"
    (row,) = json.loads(gradus(capsys, "runs", ".", "--json")[1])
    assert row["status"] == "stopped"


def test_the_help_says_what_signals_do(capsys):
    _, out, _ = gradus(capsys, "fit", "--help")
    assert "Ctrl-C" in out and "130" in out and "143" in out


def shell(script):
    code = "import sys; from gradus.cli.main import main; sys.argv[0] = 'gradus'; main()"
    gradus = f"{sys.executable} -c {json.dumps(code)}"
    environment = {**os.environ, "PYTHONPATH": str(Path(__import__("gradus").__file__).parents[1])}
    return subprocess.run(
        ["bash", "-c", script.replace("gradus", gradus)], capture_output=True, text=True, env=environment
    )


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_pipes_that_close_and_streams_that_are_closed():
    Path("a.csv").write_text(table())
    assert shell("gradus book | true; exit ${PIPESTATUS[0]}").returncode == 1
    assert shell("gradus book >&-").returncode == 0
    assert shell("gradus book 2>&- <&-").returncode == 0
    full = shell("gradus book > /dev/full")
    assert full.returncode == 2 and full.stderr.startswith("error: expected to read or write, got no space left")
    latin = shell("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 gradus book 8.5")
    assert latin.returncode == 0 and r"\xa7" in latin.stdout
    for done in (full, latin):
        assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_run_through_pipes():
    Path("a.csv").write_text(table())
    fit = f"gradus fit a.csv {' '.join(QUICK)}"
    done = shell(f"{fit} --out one <&-")
    assert done.returncode == 0 and "report" in done.stdout
    assert shell(f"{fit} --out two >&-").returncode == 0
    assert shell(f"{fit} --out three | true; exit ${{PIPESTATUS[0]}}").returncode == 1
    for name in ("one", "two", "three"):
        assert json.loads(Path(name, "run.json").read_text())["status"] == "finished"
    assert shell("gradus fit nowhere.csv").returncode == 2
