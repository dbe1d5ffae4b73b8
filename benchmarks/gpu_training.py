"""Training steps a second on a GPU: the residual dial on MNIST, plain, recorded as a CUDA graph, compiled, in bf16.

The sides take turns; each trains its own copy of one network on the same batches, through the library's loop. Before
a speed is written, every side must have learned: the mean loss of its first measured turn may lie no more than a tenth
above that of the plain float32 side. A plain torch loop (fused Adam, no library) runs beside them.

Run on an idle GPU: ``GRADUS_DATA=... python benchmarks/gpu_training.py``. It takes under two minutes and writes
``benchmarks/results/gpu_training.json``. Without GRADUS_DATA, random pixels of MNIST's shape take the place of MNIST;
the result says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.randomness import derive, generator, isolated
from gradus.data.batches import TensorBatches
from gradus.networks import CategoricalHead, HeadedNetwork, PixelScale
from gradus.networks.convolutional import ResNet
from gradus.training.loop import Trainer
from gradus.training.losses import head_loss
from gradus.training.options import TrainingOptions
from gradus.training.player import Player

RESULTS = Path(__file__).parent / "results" / "gpu_training.json"
BATCH, TURN, TURNS, WARM_UP, SEED = 128, 200, 5, 20, 0
# Compiling is left out once this much time is gone, so that the whole ends in time.
LATEST_COMPILATION = 70.0


def images() -> tuple[Tensor, Tensor, str]:
    """Return uint8 images (n, 28, 28, 1), classes, and what they are."""
    home = os.environ.get("GRADUS_DATA")
    if home is None:
        source = generator(SEED)
        pixels = torch.randint(0, 256, (BATCH * TURN, 28, 28, 1), generator=source, dtype=torch.uint8)
        return pixels, torch.randint(10, (len(pixels),), generator=source), "random pixels of MNIST's shape"
    with np.load(Path(home) / "vision" / "mnist.npz", allow_pickle=False) as stored:
        x, y = stored["x_train"][: BATCH * TURN], stored["y_train"][: BATCH * TURN]
    return torch.from_numpy(x)[..., None], torch.from_numpy(y.astype(np.int64)), "MNIST"


def network(pixels: Tensor, device: torch.device) -> HeadedNetwork:
    """Return the small setting of the dial: 2 blocks a stage, 16 channels in the first."""
    with isolated(SEED):
        body = ResNet(1, depth=2, width=16)
        return HeadedNetwork(PixelScale.from_data(pixels), body, CategoricalHead(body.out_features, 10)).to(device)


class Gradus:
    """One side: a player that keeps its network, optimizer and recording from turn to turn."""

    def __init__(self, model: HeadedNetwork, tensors: dict[str, Tensor], **settings: object) -> None:
        self.options = TrainingOptions(batch_size=BATCH, max_epochs=1, **settings)  # type: ignore[arg-type]
        self.network, self.tensors, self.turns = model.train(), tensors, 0
        self.player = Player("network", model, head_loss(model.head), self.options, seed=SEED)

    def turn(self, steps: int) -> float:
        """Take steps; return the mean loss."""
        self.turns += 1
        rows = {name: tensor[: steps * BATCH] for name, tensor in self.tensors.items()}
        batches = TensorBatches(rows, batch_size=BATCH, seed=derive(SEED, self.turns))
        trainer = Trainer(self.network, [self.player], batches, self.options, seed=SEED)
        trainer.run()
        return trainer.history[-1]["loss"]

    @property
    def execution(self) -> str:
        """What the library says of how it computed."""
        return self.player.execution


class Plain:
    """The other side: a loop as anyone writes it."""

    execution = "plain torch loop"

    def __init__(self, model: nn.Module, tensors: dict[str, Tensor], *, bf16: bool) -> None:
        self.network, self.tensors, self.bf16, self.turns = model.train(), tensors, bf16, 0
        self.optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def turn(self, steps: int) -> float:
        """Take steps; return the mean loss."""
        self.turns += 1
        device = self.tensors["inputs"].device
        order = torch.randperm(steps * BATCH, generator=generator(derive(SEED, self.turns))).to(device)
        losses = []
        for rows in order.split(BATCH):
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.bf16):
                logits = self.network(self.tensors["inputs"][rows])
            loss = F.cross_entropy(logits.float(), self.tensors["targets"][rows])
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())


def sides(pixels: Tensor, tensors: dict[str, Tensor], device: torch.device) -> dict[str, Callable[[], Gradus | Plain]]:
    """Return what makes each side, by its name."""
    made: dict[str, Callable[[], Gradus | Plain]] = {}
    for precision in ("float32", "bf16"):
        half = precision == "bf16"
        made[f"plain torch, {precision}"] = lambda half=half: Plain(network(pixels, device), tensors, bf16=half)
        for compiled in ("off", "on"):
            for graphs in (False, True):
                words = ["compiled"] * (compiled == "on") + ["CUDA graph"] * graphs
                made[f"{' + '.join(words) or 'eager'}, {precision}"] = lambda p=precision, c=compiled, g=graphs: Gradus(
                    network(pixels, device), tensors, precision=p, compile=c, cuda_graphs=g
                )
    return made


def synchronized(device: torch.device) -> float:
    """Return the time once the device is idle."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def measure(device: torch.device, turns: int, steps: int) -> dict[str, object]:
    """Warm every side up, let them take turns, and return what was measured."""
    begin = time.perf_counter()
    pixels, classes, data = images()
    tensors = {"inputs": pixels.to(device), "targets": classes.to(device)}
    ready: dict[str, Gradus | Plain] = {}
    rows: dict[str, dict] = {}
    for name, make in sides(pixels, tensors, device).items():
        start = synchronized(device)
        if "compiled" in name and start - begin > LATEST_COMPILATION:
            rows[name] = {"left_out": f"not begun before {LATEST_COMPILATION:.0f} s"}
            continue
        ready[name] = make()
        ready[name].turn(WARM_UP)
        rows[name] = {"warm_up_seconds": synchronized(device) - start, "seconds": [], "loss": []}
    for _ in range(turns):
        for name, side in ready.items():
            start = synchronized(device)
            rows[name]["loss"].append(side.turn(steps))
            rows[name]["seconds"].append(synchronized(device) - start)
    reference = rows["eager, float32"]
    for name, side in ready.items():
        row = rows[name]
        row["execution"] = side.execution
        row["steps_per_second"] = steps / median(row["seconds"])
        row["times_eager_float32"] = median(reference["seconds"]) / median(row["seconds"])
        ratios = sorted(a / b for a, b in zip(reference["seconds"], row["seconds"], strict=True))
        row["spread_of_ratio"] = [ratios[0], ratios[-1]]
        row["learned"] = row["loss"][0] <= 1.1 * reference["loss"][0]
    return {
        "what": f"training steps of ResNet(1, depth=2, width=16), batch {BATCH}, Adam; the sides take turns",
        "data": data,
        "protocol": f"{turns} turns of {steps} steps each, medians; seed {SEED}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda},
        "command": "python benchmarks/gpu_training.py",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": time.perf_counter() - begin,
        "sides": rows,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--device", default="cuda", help="cpu tries the script out")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--steps", type=int, default=TURN)
    given = parser.parse_args()
    if given.device != "cpu" and not torch.cuda.is_available():
        raise SystemExit("error: expected a CUDA device, got none; run this where there is one")
    device = torch.device("cpu") if given.device == "cpu" else torch.device("cuda", torch.cuda.current_device())
    found = measure(device, given.turns, given.steps)
    rows: dict[str, dict] = found["sides"]  # type: ignore[assignment]
    for name, row in rows.items():
        if "left_out" in row:
            print(f"{name:<32} left out: {row['left_out']}")
            continue
        speed, ratio = row["steps_per_second"], row["times_eager_float32"]
        print(f"{name:<32} {speed:8.1f} steps/s  {ratio:5.2f} x eager  loss {row['loss'][0]:.4f}  {row['execution']}")
    if not all(row.get("learned", True) for row in rows.values()):
        raise SystemExit("error: expected every side to learn alike, got a loss a tenth higher; look at the rows above")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
