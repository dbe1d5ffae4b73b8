"""Train every program by the contract's plain loop, with two seeds, and keep what the trained networks are worth.

    GRADUS_DATA=... python benchmarks/doctor/measure.py [--again] [--only TEXT] [--check]

A faulty program must end clearly worse than its mended twin (or, where its fault is in what it reports, report
something else than is true); a healthy one must clearly beat the trivial answer. Results are kept in
benchmarks/results/doctor_programs.json by the program's checksum: only what has changed is trained again.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import io
import json
import math
import sys
import time
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

PROGRAMS = Path(__file__).resolve().parent / "programs"
RESULTS = Path(__file__).resolve().parent.parent / "results" / "doctor_programs.json"
SEEDS = (0, 1)


def manifest() -> list[dict[str, Any]]:
    """Return the rows of both manifests."""
    return [r for p in (PROGRAMS, PROGRAMS / "held_out") for r in json.loads((p / "manifest.json").read_text("utf-8"))]


def load(path: Path) -> ModuleType:
    """Import a program afresh."""
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def batches(part: Any, size: int, generator: torch.Generator | None):
    """Batches of a loader, or of (inputs, targets), in random order where a generator is given."""
    if not isinstance(part, (tuple, list)):
        yield from part
        return
    x, y = part
    n = len(x)
    order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
    for at in range(0, n, size):
        rows = order[at : at + size]
        yield x[rows], y[rows]


def loss_of(parts: dict[str, Any], batch: Any) -> torch.Tensor:
    """Return the loss that is to be minimized."""
    if "objective" in parts:
        return parts["objective"](parts["network"], batch)
    return parts["loss"](parts["network"](batch[0]), batch[1])


def train(parts: dict[str, Any], seed: int) -> None:
    """Run the contract's plain loop: the program's own `step` where it has one."""
    generator = torch.Generator().manual_seed(seed)
    network, optimizer, step = parts["network"], parts["optimizer"], parts.get("step")
    for _ in range(parts["epochs"]):
        network.train()
        for batch in batches(parts["train"], parts["batch_size"], generator):
            if step is not None:
                step(network, batch, optimizer, parts.get("loss", parts.get("objective")))
                continue
            optimizer.zero_grad()
            loss_of(parts, batch).backward()
            optimizer.step()


def own_score(parts: dict[str, Any]) -> float:
    """Return what the program itself reports: its evaluation, or the negative loss on its validation rows."""
    if "evaluate" in parts:
        return float(parts["evaluate"](parts["network"], parts["valid"]))
    parts["network"].eval()
    total = count = 0.0
    with torch.no_grad():
        for batch in batches(parts["valid"], parts["batch_size"], None):
            total += float(loss_of(parts, batch)) * len(batch[0])
            count += len(batch[0])
    return -total / count


def answers(parts: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return outputs and targets on the validation rows, in evaluation mode."""
    parts["network"].eval()
    out, want = [], []
    with torch.no_grad():
        for x, y in batches(parts["valid"], parts["batch_size"], None):
            got = parts["network"](x)
            out.append(got[0] if isinstance(got, tuple) else got)
            want.append(y)
    return torch.cat(out), torch.cat(want)


def as_classes(out: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (rows, classes) and labels (rows,), whatever the axes."""
    if y.shape == out.shape:  # one-hot or soft targets
        return out.reshape(-1, out.shape[-1]), y.reshape(-1, out.shape[-1]).argmax(-1)
    if out.ndim == 3 and out.shape[:2] != y.shape:
        out = out.transpose(1, 2)
    return out.reshape(-1, out.shape[-1]), y.reshape(-1).long()


def auc(score: torch.Tensor, label: torch.Tensor) -> float:
    """Area under the ROC curve, by ranks; the mean over columns where there are several."""
    if score.ndim == 2 and score.shape[1] > 1:
        return float(sum(auc(score[:, k], label[:, k]) for k in range(score.shape[1])) / score.shape[1])
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score((label.reshape(-1) > 0.5).numpy(), torch.nan_to_num(score).reshape(-1).numpy()))


def cross_entropy(out: torch.Tensor, y: torch.Tensor) -> float:
    """Negative mean cross-entropy of what the outputs are: probabilities, log-probabilities or logits."""
    if bool((out >= 0).all()) and bool(((out.sum(-1) - 1).abs() < 1e-3).all()):
        out = out.clamp_min(1e-9).log()
    out, y = as_classes(out, y)
    return -float(torch.nn.functional.cross_entropy(out, y))


def apart(parts: dict[str, Any], row: dict[str, Any]) -> tuple[float, float | None]:
    """Measure apart from the program's own evaluation: (score, score of the trivial answer where it is known)."""
    measure = row["measure"]
    if measure in ("loss", "evaluate"):
        asked = parts if measure == "evaluate" else {k: v for k, v in parts.items() if k != "evaluate"}
        return own_score(asked), None
    out, y = answers(parts)
    if measure in ("accuracy", "xent"):
        scores, labels = as_classes(out, y)
        if "ignore" in row:
            kept = labels != row["ignore"]
            scores, labels = scores[kept], labels[kept]
        share = torch.bincount(labels).double() / len(labels)
        if measure == "accuracy":
            return float((scores.argmax(-1) == labels).float().mean()), float(share.max())
        return cross_entropy(scores, labels), float((share * share.clamp_min(1e-12).log()).sum())
    if measure == "auc":
        return auc(out.float(), y.float()), 0.5
    if measure == "binacc":
        label = y.reshape(-1) > 0.5
        cut = 0.5 if bool((out >= 0).all()) and bool((out <= 1).all()) else 0.0
        share = float(label.float().mean())
        return float(((out.reshape(-1) > cut) == label).float().mean()), max(share, 1 - share)
    out, y = out.reshape(len(out), -1).double(), y.reshape(len(y), -1).double()
    if out.shape != y.shape:
        out = out.reshape(y.shape)
    return 1 - float(((out - y) ** 2).sum() / ((y - y.mean(0)) ** 2).sum()), 0.0


def run(row: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train one program once."""
    started = time.perf_counter()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        module = load(PROGRAMS / row["file"])
        parts = module.build(seed=seed)
        before, trivial = apart(parts, row)
        begun = time.perf_counter()
        train(parts, seed)
        seconds = time.perf_counter() - begun
        score, _ = apart(parts, row)
        own = own_score(parts)
    tidy = {"score": score, "own": own, "before": before, "trivial": trivial}
    return {k: v if v is None or math.isfinite(v) else str(v) for k, v in tidy.items()} | {
        "train_seconds": round(seconds, 2),
        "seconds": round(time.perf_counter() - started, 2),
    }


def mean(kept: dict[str, Any], what: str) -> float:
    """Mean over seeds; a number that is not finite counts as minus infinity, an absent one as not a number."""
    values = [r[what] for r in kept["runs"]]
    if any(v is None for v in values):
        return math.nan
    return sum(-math.inf if isinstance(v, str) else v for v in values) / len(values)


def floor(kept: dict[str, Any]) -> float:
    """Return the score of the trivial answer, or of the untrained network where there is none."""
    trivial = mean(kept, "trivial")
    return mean(kept, "before") if math.isnan(trivial) else trivial


def judged(rows: list[dict[str, Any]], kept: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a pair or healthy program: the scores, and whether it shows what the manifest says."""
    pairs: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        if row["file"] in kept:
            pairs.setdefault(row["pair"], {})[row["kind"]] = row
    found = []
    for pair, by in sorted(pairs.items()):
        if "healthy" in by:
            k = kept[by["healthy"]["file"]]
            score, base = mean(k, "score"), floor(k)
            found.append(
                {
                    "pair": pair,
                    "kind": "healthy",
                    "measure": by["healthy"]["measure"],
                    "score": score,
                    "floor": base,
                    "shown": gain(by["healthy"]["measure"], score, base) >= 0.1,
                }
            )
        elif len(by) == 2:
            bad, good = kept[by["faulty"]["file"]], kept[by["mended"]["file"]]
            found.append(judged_pair(pair, by["faulty"], bad, good))
    return found  # fmt: skip


def gain(measure: str, score: float, base: float) -> float:
    """Return the share of the way from the trivial answer to perfection, or the relative gain where there is no end."""
    if measure in ("accuracy", "auc", "binacc", "r2"):
        return (score - base) / max(1 - base, 1e-9)
    return (score - base) / max(abs(base), 1e-9)


def judged_pair(pair: str, row: dict[str, Any], bad: dict[str, Any], good: dict[str, Any]) -> dict[str, Any]:
    """Return whether the faulty twin is worse, or wrong in the way the manifest states."""
    f, m, base = mean(bad, "score"), mean(good, "score"), floor(good)
    spread = max(abs(a - b) for k in (bad, good) for a, b in [span(k)])
    if row["effect"] == "report":  # what it says of itself is not so
        shown = abs(mean(bad, "own") - mean(good, "own")) > 0.02 * max(abs(mean(good, "own")), 1e-9)
    elif row["effect"] == "too_good":
        shown = f > m
    elif math.isinf(f):
        shown = True
    elif row["measure"] in ("accuracy", "auc", "binacc", "r2"):
        shown = m - f >= 0.03 or (1 - f) / max(1 - m, 1e-9) >= 1.5
    else:
        shown = m - f >= 0.08 * max(abs(m - base), 1e-9)
    return {"pair": pair, "kind": "pair", "measure": row["measure"], "effect": row["effect"], "faulty": f, "mended": m,
            "floor": base, "faulty_own": mean(bad, "own"), "mended_own": mean(good, "own"), "spread": spread,
            "shown": bool(shown), "mended_learns": gain(row["measure"], m, base) >= 0.1}  # fmt: skip


def span(kept: dict[str, Any]) -> tuple[float, float]:
    """Smallest and largest score, zeros where one is not finite."""
    values = [r["score"] for r in kept["runs"] if not isinstance(r["score"], str)] or [0.0]
    return min(values), max(values)


def main() -> None:
    """Read the command, measure, keep and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--again", action="store_true", help="train all anew")
    parser.add_argument("--only", default="", help="files whose names contain this")
    parser.add_argument("--check", action="store_true", help="print what is kept, train nothing")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = manifest()
    before = json.loads(RESULTS.read_text("utf-8"))["programs"] if RESULTS.exists() else {}
    known = {found["checksum"]: found for found in before.values()}  # a program that is moved stays the same
    marks = {row["file"]: checksum(row) for row in rows}
    kept = {file: known[mark] for file, mark in marks.items() if mark in known}
    for row in rows:
        mark = marks[row["file"]]
        stale = given.again or row["file"] not in kept
        if given.check or given.only not in row["file"] or not stale:
            continue
        try:
            kept[row["file"]] = {"checksum": mark, "runs": [run(row, seed) for seed in SEEDS]}
        except Exception as error:  # a program that fails is a result too
            kept.pop(row["file"], None)
            print(f"{row['file']}: {type(error).__name__}: {error}", flush=True)
        keep(rows, kept)
    for line in judged(rows, kept):
        text = " ".join(f"{k}={v:.3f}" if isinstance(v, float) else f"{k}={v}" for k, v in line.items())
        print(text + ("" if line["shown"] and line.get("mended_learns", True) else "   <--"))


def checksum(row: dict[str, Any]) -> str:
    """Return what changes with a program or the way it is measured."""
    return hashlib.sha256((PROGRAMS / row["file"]).read_bytes() + row["measure"].encode()).hexdigest()[:16]


def rounded(value: Any) -> Any:
    """Return a number that JSON can hold, to four places."""
    if not isinstance(value, float):
        return value
    return round(value, 4) if math.isfinite(value) else str(value)


def keep(rows: list[dict[str, Any]], kept: dict[str, Any]) -> None:
    """Write the table."""
    RESULTS.parent.mkdir(exist_ok=True)
    shown = [{k: rounded(v) for k, v in line.items()} for line in judged(rows, kept)]
    command = "python benchmarks/doctor/measure.py"
    head = json.dumps({"command": command, "torch": torch.__version__, "seeds": SEEDS})[:-1]
    pairs = ",\n".join(json.dumps(line) for line in shown)
    programs = ",\n".join(f"{json.dumps(file)}: {json.dumps(found)}" for file, found in sorted(kept.items()))
    RESULTS.write_text(f'{head}, "judged": [\n{pairs}\n], "programs": {{\n{programs}\n}}}}\n', "utf-8")


if __name__ == "__main__":
    main()
