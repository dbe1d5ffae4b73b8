"""Scripts that fail, print, leave, hang or return the wrong things: one sentence, with the line at fault."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gradus.core.errors import GradusError
from gradus.core.scripts import split_place
from gradus.practice.doctor.script import examine_script

GOOD = """
import torch
from torch import nn
from sklearn.datasets import load_iris
print("a line that goes nowhere")

def build(seed=0):
    torch.manual_seed(seed)
    X, y = load_iris(return_X_y=True)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    order = torch.randperm(150, generator=torch.Generator().manual_seed(0))
    X, y = (X[order] - X.mean(0)) / X.std(0), y[order]
    net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(X[:100], y[:100]), valid=(X[100:], y[100:]),
                optimizer=torch.optim.Adam(net.parameters(), lr=0.02), batch_size=20, epochs=15)
"""


def written(folder: Path, text: str) -> str:
    file = folder / "mine.py"
    file.write_text(text, "utf-8")
    return str(file)


def test_a_good_script_is_healthy_and_leaves_nothing_behind(tmp_path):
    found = examine_script(written(tmp_path, GOOD), max_time=20)
    assert found.verdict == "healthy"
    assert [p.name for p in tmp_path.iterdir()] == ["mine.py"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import torch\nx = 1 / 0\n", ["ZeroDivisionError", "line 2 of mine.py"]),
        ("def build(seed=0)\n    return {}\n", ["SyntaxError", "line 1 of mine.py"]),
        ("def build(seed=0):\n    import sys\n    sys.exit(3)\n", ["leaves", "line 3 of mine.py"]),
        ("def build(seed=0):\n    return [1, 2]\n", ["a dict", "list"]),
        ("def build(seed=0):\n    return {}\n", ["'network'"]),
        ("def make():\n    return {}\n", ["function 'build'", "make"]),
        ("import os\nos._exit(7)\n", ["leaves", "line 2 of mine.py"]),
        (
            "def build(seed=0):\n    return dict(\n        network=3, train=2,\n        optimizer=1, loss=len)\n",
            ["an nn.Module as network", "line 2 of mine.py"],
        ),
        ("def build(seed=0):\n    input('your name? ')\n", ["EOFError at line 2 of mine.py"]),
        ("import os\ndef build(seed=0):\n    os.remove(__file__)\n", ["'", "mine.py' removed at line 3 of mine.py"]),
        ("import os\ndef build(seed=0):\n    os.rename(__file__, '/dev/shm/mine.py')\n", ["renamed at line 3"]),
        (
            "import numpy as np\ndef build(seed=0):\n    np.save('rows.npy', np.ones(3))\n",
            ["'rows.npy' written at line 3 of mine.py"],
        ),
        ("import torch\ndef build(seed=0):\n    return torch.zeros(1).to('cuda:7')\n", ["line 3 of mine.py"]),
    ],
)
def test_one_sentence_with_the_line(tmp_path, text, words):
    with pytest.raises(GradusError) as caught:
        examine_script(written(tmp_path, text), max_time=10)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.py"]


def test_a_step_that_writes_is_no_fault_of_the_network(tmp_path, monkeypatch):
    """A program that logs is refused with its line; nobody calls it faulty, and the file is not there."""
    monkeypatch.chdir(tmp_path)
    step = """
def step(network, batch, optimizer, loss):
    optimizer.zero_grad()
    value = loss(network(batch[0]), batch[1])
    value.backward()
    optimizer.step()
    with open("log.txt", "a") as log:
        log.write(f"{value}")
"""
    text = GOOD.replace("epochs=15)", "epochs=15, step=step)") + step
    with pytest.raises(GradusError, match=r"'log.txt' written at line 22 of mine.py"):
        examine_script(written(tmp_path, text), max_time=10)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.py"]


def test_temporary_files_are_the_script_s_own(tmp_path):
    text = (
        GOOD.replace("    torch.manual_seed(seed)\n", "    torch.manual_seed(seed)\n    keep()\n")
        + """
def keep():
    import tempfile
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("kept for a while")
"""
    )
    assert examine_script(written(tmp_path, text), max_time=10).verdict == "healthy"


def test_a_script_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr("gradus.practice.doctor.script.GRACE", 5.0)
    begin = time.monotonic()
    with pytest.raises(GradusError, match=r"goes on and on at line [12] of mine\.py"):
        examine_script(written(tmp_path, "while True:\n    pass\n"), max_time=1)
    assert time.monotonic() - begin < 60


def test_a_program_that_fails_in_training_is_faulty_with_its_line(tmp_path):
    text = GOOD.replace("nn.Linear(16, 3)", "nn.Linear(17, 3)")
    found = examine_script(written(tmp_path, text), max_time=10)
    assert found.verdict == "faulty"
    assert found.findings[0].cause == "program_fails"


def test_the_command_answers_in_json(tmp_path):
    place = written(tmp_path, GOOD.replace("lr=0.02", "lr=1e-7"))
    done = subprocess.run(
        [sys.executable, "-m", "gradus", "doctor", place, "--json", "--max-time", "20"],
        capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["verdict"] == "faulty"
    assert found["findings"][0]["cause"] == "learning_rate_too_low"


def test_the_command_refuses_what_is_not_there(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "gradus", "doctor", str(tmp_path / "none.py")],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(("place", "name"), [("a.py", "build"), ("a.py:make", "make"), ("C:/x/a.py", "build")])
def test_places(place, name):
    assert split_place(place)[1] == name
