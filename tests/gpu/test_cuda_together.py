"""Two processes on cuda: they share one GPU by gloo, or take one each by NCCL, and learn what one process does."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gradus.core.tensors import read_tensors

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

SCRIPT = """
import sys
from gradus.core.devices import choose_device
from gradus.core.tensors import save_tensors
from training.small import classifier, measured, rows, trainer

place, device = sys.argv[1], choose_device(sys.argv[2])
data, valid = ({name: t.to(device) for name, t in part.items()} for part in (rows(27), rows(20, 1)))
network = classifier(normalization="batch").to(device)
run = trainer(network=network, data=data, evaluate=measured(valid), watch=True, max_epochs=6, optimizer="momentum",
              learning_rate=0.05, gradient_clip=1.0, average_decay=0.5)
run.run()
save_tensors(place, {name: value.cpu() for name, value in network.state_dict().items()})
print(run.players[0].execution)
"""


def started(place, device, **named):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **named}
    paths = [str(Path(__file__).parents[2] / "src"), str(Path(__file__).parents[1])]
    environment["PYTHONPATH"] = os.pathsep.join([*paths, environment.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", SCRIPT, str(place), device]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def learned_together(folder, device):
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    common = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        started(folder / f"{rank}.safetensors", device, RANK=str(rank), LOCAL_RANK=str(rank), **common)
        for rank in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    alone = started(folder / "alone.safetensors", device)
    said.append(alone.communicate(timeout=120)[0])
    assert alone.returncode == 0, said[-1]
    return [read_tensors(folder / f"{name}.safetensors")[0] for name in ("0", "1", "alone")], said


def test_two_processes_on_cuda_learn_what_one_does(tmp_path):
    (one, other, alone), said = learned_together(tmp_path, "cuda")
    assert "no CUDA graph: several processes train" in said[0] and "CUDA graph: " in said[2]
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
        torch.testing.assert_close(value, alone[name], rtol=1e-4, atol=1e-5, msg=name)
