"""Look inside a training at a few moments: histograms of activations and gradients, movement, and the graph.

Nothing is computed for the recorder's sake. Hooks take an even sample of what passes through a layer, or back into a
parameter, while the program takes one of its own steps; between those steps they return at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradus.core.errors import GradusError, InputError
from gradus.core.randomness import isolated
from gradus.core.threads import threads
from gradus.practice.doctor.findings import Diagnosis
from gradus.practice.doctor.patient import Patient
from gradus.practice.doctor.trial import quiet, run_trial

__all__ = ["Recorder", "built", "look_inside", "moments"]

SAMPLE = 4096  # numbers kept of a tensor at a moment
LAYERS = 18  # histograms beyond that nobody looks at
MOMENTS = 8
BINS = 40
SECONDS = 8.0
ROWS = 8  # shown in the graph
FAINT = 1e-12  # gradients below it count as this large where their size is drawn


def moments(steps: int, count: int = MOMENTS) -> list[int]:
    """Return a handful of steps, most of them early, where most changes.

    Examples
    --------
    >>> moments(100)
    [0, 1, 2, 5, 10, 21, 46, 99]
    >>> moments(3)
    [0, 1, 2]
    """
    last = max(0, steps - 1)
    if last < count:
        return list(range(last + 1))
    rest = np.geomspace(1, last, count - 1).round().astype(int)
    return sorted({0, *rest.tolist()})


@dataclass
class Recorder:
    """Collects samples while a patient trains; hand its `watch` to `run_trial`.

    Parameters
    ----------
    at : iterable of int
        Steps to look at.

    Examples
    --------
    >>> from torch import nn, ones
    >>> network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> patient = Patient.of({"network": network, "train": (ones(8, 2), ones(8, 1)), "loss": nn.MSELoss(), "epochs": 2,
    ...                       "optimizer": torch.optim.SGD(network.parameters(), lr=0.1), "batch_size": 4})
    >>> recorder = Recorder([0, 3])
    >>> trial = run_trial(patient, seconds=10, watch=recorder.watch)
    >>> recorder.close()
    >>> sorted(recorder.activations), [step for step, _, _ in recorder.activations["0"]]
    (['0', '1', '2'], [0, 3])
    """

    at: Iterable[int]
    activations: dict[str, list[tuple[int, NDArray[np.float64], int]]] = field(default_factory=dict)
    gradients: dict[str, list[tuple[int, NDArray[np.float64], int]]] = field(default_factory=dict)
    movement: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._at = frozenset(self.at)
        self._step: int | None = None
        self._handles: list[Any] | None = None
        self._seen: set[str] = set()
        self._before: dict[str, Tensor] = {}
        self._parameters: dict[str, nn.Parameter] = {}
        self._kinds: dict[str, str] = {}

    def watch(self, patient: Patient, step: int, batch: Any) -> None:
        """Be told that a step is about to be taken."""
        if self._handles is None:
            self._hook(patient.network)
        self._measure_movement()
        self._step = step if step in self._at else None
        self._seen.clear()
        if self._step is not None:
            self._before = {name: p.detach().clone() for name, p in self._parameters.items()}

    def close(self) -> None:
        """Take the hooks away."""
        self._measure_movement()
        self._step = None
        for handle in self._handles or ():
            handle.remove()
        self._handles = None

    def _hook(self, network: nn.Module) -> None:
        leaves = [(n, m) for n, m in network.named_modules() if not any(True for _ in m.children())]
        self._kinds = {n or "network": type(m).__name__ for n, m in leaves}
        self._handles = [m.register_forward_hook(self._look(n or "network")) for n, m in _some(leaves)]
        weights = [(n, p) for n, p in network.named_parameters() if p.requires_grad]
        matrices = [(n, p) for n, p in weights if p.ndim > 1] or weights
        self._parameters = dict(_some(matrices))
        self._handles += [p.register_hook(self._feel(n)) for n, p in self._parameters.items()]

    def _look(self, name: str) -> Callable[..., None]:
        def look(module: nn.Module, given: Any, output: Any) -> None:
            found = output[0] if isinstance(output, tuple | list) and output else output
            self._keep(self.activations, "a " + name, name, found)

        return look

    def _feel(self, name: str) -> Callable[[Tensor], None]:
        def feel(gradient: Tensor) -> None:
            self._keep(self.gradients, "g " + name, name, gradient)

        return feel

    def _keep(self, into: dict[str, list[Any]], key: str, name: str, found: Any) -> None:
        """Keep an even sample of a tensor, of the first call in a step."""
        if self._step is None or key in self._seen or not isinstance(found, Tensor) or not found.is_floating_point():
            return
        self._seen.add(key)
        found = found.detach()
        flat = (found.coalesce().values() if found.is_sparse else found).reshape(-1)
        if flat.numel() == 0:
            return
        values = flat[:: max(1, flat.numel() // SAMPLE)].double().cpu().numpy()
        finite = values[np.isfinite(values)]
        into.setdefault(name, []).append((self._step, finite, len(values) - len(finite)))

    def _measure_movement(self) -> None:
        """Take the length of the step that was watched, relative to the parameter's size."""
        if self._step is None or not self._before:
            return
        for name, p in self._parameters.items():
            size = float(self._before[name].norm())
            way = float((p.detach() - self._before[name]).norm())
            self.movement.setdefault(name, []).append((self._step, way / max(size, FAINT)))
        self._before = {}

    def facts(self) -> dict[str, Any]:
        """Return histograms with common bins for each layer, as plain data."""
        return {
            "activations": [
                {"kind": self._kinds.get(name, "")} | _histograms(name, rows) for name, rows in self.activations.items()
            ],
            "gradients": [  # in the order of the network, not of the way back
                _histograms(name, self.gradients[name], powers=True)
                for name in self._parameters
                if name in self.gradients
            ],
            "movement": [
                {"parameter": name, "steps": [s for s, _ in rows], "ratios": [_number(r) for _, r in rows]}
                for name, rows in self.movement.items()
            ],
        }


def _some(named: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return an even choice with the first and the last."""
    if len(named) <= LAYERS:
        return named
    return [named[round(k)] for k in np.linspace(0, len(named) - 1, LAYERS)]


def _number(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _histograms(name: str, rows: list[tuple[int, NDArray[np.float64], int]], *, powers: bool = False) -> dict[str, Any]:
    """Count values in bins common to all moments; the outermost thousandths lie in the bins at the ends.

    With ``powers`` the sizes of the values are counted by powers of ten, and zeros apart. Values that are of very
    different sizes are counted by asinh(value / unit).
    """
    zeros = [float((values == 0).mean()) if len(values) else 0.0 for _, values, _ in rows]
    kept = [values for _, values, _ in rows]
    if powers:
        kept = [np.log10(np.maximum(np.abs(values[values != 0]), FAINT)) for values in kept]
    every = np.concatenate(kept) if kept else np.empty(0)
    unit = None
    if not powers and len(sizes := np.abs(every[every != 0])) and sizes.max() > 300 * (middle := np.median(sizes)):
        unit, kept = float(middle), [np.arcsinh(values / middle) for values in kept]
        every = np.arcsinh(every / middle)
    low, high = np.quantile(every, [0.001, 0.999]) if len(every) else (0.0, 1.0)
    if not np.isfinite(high - low) or high - low < 1e-9 * max(1.0, abs(low), abs(high)):
        margin = 0.5 * max(1.0, abs(float(low)) * 0.1)
        low, high = low - margin, high + margin
    counts = [np.histogram(values.clip(low, high), BINS, (low, high))[0].tolist() for values in kept]
    return {
        "layer": name, "low": _number(float(low)), "high": _number(float(high)), "steps": [s for s, _, _ in rows],
        "counts": counts, "zeros": [round(z, 4) for z in zeros], "broken": [n for _, _, n in rows],
        "scale": "power of ten" if powers else "value", "unit": None if unit is None else _number(unit),
    }  # fmt: skip


# ---- all that a page shows beyond the diagnosis ----


def built(build: Callable[..., Mapping[str, Any]], seed: int = 0) -> Patient:
    """Return the patient that a function ``build(seed=0)``, or ``build()``, makes."""
    try:
        given = build(seed=seed)
    except TypeError as error:
        if "seed" not in str(error):
            raise
        given = build()
    return Patient.of(given, seed)


def look_inside(
    build: Callable[..., Mapping[str, Any]], diagnosis: Diagnosis, *, seed: int = 0, seconds: float = SECONDS
) -> dict[str, Any]:
    """Train once more with a recorder, and draw the graph with what was found marked in it.

    Parameters
    ----------
    build : callable
        As `examine_build` takes it; it is built anew, so nothing of the caller's is changed.
    diagnosis : Diagnosis
        What `examine_build` said of it.
    seed : int
        Handed to ``build``.
    seconds : float
        Most time for the training.

    Returns
    -------
    dict
        ``activations`` and ``gradients`` (histograms by layer and step), ``movement`` (length of a step relative to
        the parameter), and ``graph`` (an HTML page, or empty where the program's graph could not be recorded).

    Examples
    --------
    >>> from torch import nn, ones
    >>> def build(seed=0):
    ...     network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    ...     return {"network": network, "train": (ones(8, 2), ones(8, 1)), "loss": nn.MSELoss(), "epochs": 2,
    ...             "optimizer": torch.optim.SGD(network.parameters(), lr=0.1)}
    >>> sorted(look_inside(build, Diagnosis([])))
    ['activations', 'gradients', 'graph', 'movement']
    """
    found: dict[str, Any] = {"activations": [], "gradients": [], "movement": [], "graph": ""}
    with quiet(), threads(1), isolated(seed):
        # what cannot be shown of a broken program is left out; the findings say what broke it
        with suppress(Exception, SystemExit):
            torch.manual_seed(seed)
            patient = built(build, seed)
            recorder = Recorder(moments(int(diagnosis.measures.get("steps") or patient.epochs * patient.train.steps)))
            run_trial(patient, seconds=seconds, watch=recorder.watch)
            recorder.close()
            found |= recorder.facts()
        with suppress(Exception, SystemExit):
            torch.manual_seed(seed)
            found["graph"] = _graph(built(build, seed), diagnosis)
    return found


def _graph(patient: Patient, diagnosis: Diagnosis) -> str:
    from gradus.foundations.graph.page import render_page
    from gradus.foundations.graph.picture import Picture
    from gradus.foundations.graph.recording import picture_of_function

    batch = next(iter(patient.train.batches()))
    if isinstance(batch, tuple | list):
        batch = type(batch)(part[:ROWS] if isinstance(part, Tensor) and part.ndim else part for part in batch)
    elif isinstance(batch, Tensor):
        batch = batch[:ROWS]
    parts = list(batch) if isinstance(batch, tuple | list) else [batch]
    whole = isinstance(batch, tuple | list)
    names = [f"input {i + 1}" if i else "input" for i in range(len(parts) - 1)] + ["target"] if whole else ["batch"]
    patient.network.train()

    def loss(*given: Any) -> Tensor:
        return patient.measure(given if whole else given[0])

    def output(*given: Any) -> Any:
        return patient.forward(given if whole else given[0])

    picture: Picture | None = None
    for run in (loss, output):
        try:
            picture = picture_of_function(run, *parts, network=patient.network, names=names, title="network and loss")
            break
        except GradusError:
            raise
        except Exception:  # a loss that fails still leaves a network to look at
            continue
    if picture is None:
        return ""
    for rank, finding in enumerate(diagnosis.findings, 1):
        _mark(picture, patient, finding.place, f"{rank}. {finding.as_dict()['what']}")
    return render_page(picture)


def _mark(picture: Any, patient: Patient, place: str, words: str) -> None:
    """Mark the place of a finding, where it is one of the network's."""
    last = [name for name, _ in patient.network.named_modules() if name]
    operations = [str(node.number) for node in picture.nodes if node.kind == "operation"]
    known: dict[str, list[str]] = {
        "output": [last[-1]] if last else operations[-1:],
        "loss": operations[-1:],
        "output and target": operations[-1:],
        "targets": ["target"],
        "train targets": ["target"],
        "train inputs": ["input"],
    }
    for one in known.get(place, [place, place.partition(" ")[0]]):
        try:
            picture.marked({one: words})
            return
        except InputError:
            continue
