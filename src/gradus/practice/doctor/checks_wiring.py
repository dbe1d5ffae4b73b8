"""Stage two: how network, loss and optimizer are wired, before any training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from gradus.practice.doctor.findings import Finding
from gradus.practice.doctor.patient import Patient
from gradus.practice.doctor.task import LossKind, OutputKind, Task, loss_kind, output_kind
from gradus.practice.doctor.weights import put_back, redraw

__all__ = ["check_reach", "check_wiring", "is_affine"]

FAR = 5.0  # times the loss of chance, from which a loss before training is told
LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_WANTS = {
    "softmax": "raw scores (it applies the softmax itself)",
    "sigmoid": "raw scores (it applies the sigmoid itself)",
    "log_probabilities": "log-probabilities",
    "probabilities": "probabilities",
    "rates": "positive numbers",
}


def check_wiring(patient: Patient, task: Task, batch: Any) -> Iterator[Finding]:
    """Yield what is wrong with the wiring; ``batch`` is a training batch."""
    if patient.criterion is not None:
        yield from _outputs(patient, task, batch)
    yield from _one_for_all(patient, batch)
    yield from _gradients(patient, batch)
    yield from _optimized(patient, batch)


# -- outputs against targets and loss ----------------------------------------------------------------------------


def _outputs(patient: Patient, task: Task, batch: Any) -> Iterator[Finding]:
    network, loss, linear = patient.network, patient.criterion, False
    network.eval()
    with torch.no_grad():
        output, target = patient.forward(batch), patient.target(batch)
        with put_back(network.parameters()):
            shaken = _shaken(patient, batch)
            linear = is_affine(patient, batch, task)
    if not isinstance(output, Tensor) or not isinstance(target, Tensor) or loss is None:
        return
    if target.is_floating_point() and not bool(torch.isfinite(target).all()):
        return  # what is missing would hide what the loss does
    yield from _shapes(loss, output, target)
    if shaken is not None and len(shaken) > 1 and bool((shaken == shaken.reshape(-1)[0]).all()):
        seen = f"every output is {float(shaken.reshape(-1)[0]):.3g}, whatever the weights and the inputs are"
        single = task.classes <= 1 and output[0].numel() == 1
        yield Finding("output_width" if single else "collapse", "output", seen, 0.96)
        return
    out, wants = output_kind(output, task, shaken), loss_kind(loss, output, target, task)
    if not _enough(loss, out, wants, task, output, target):
        yield from _mismatch(out, wants, task, output, target)
    yield from _axis(output, task)
    yield from _targets(patient, output, target, task, wants)
    if wants == "distance":
        yield from _nominal(patient, output, task)
    if out == "positive":
        yield from _log_rates(loss, output, target)
    if wants != "other" or task.kind == "classes" or _known_reversed(loss, output, target, task):
        yield from _direction(loss, output, target, task)
    if out == "free" and wants != "constant":
        yield from _floor(loss, output, target, task)
    yield from _one_number(loss, output, target)
    yield from _weighed(loss, output, target, task)
    yield from _last_layer(patient, batch, output)
    if linear:
        yield from _linear(patient, task, batch)
    yield from _start(patient, task, batch, wants)


@torch.no_grad()
def _one_for_all(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Find answers of several heads that are always equal, since all of them are one module."""
    several = [
        (place, [name for name, m in parent._modules.items() if m is child])
        for place, parent in patient.network.named_modules()
        for child in {id(m): m for m in parent._modules.values() if m is not None}.values()
        if any(True for _ in child.parameters())
    ]
    several = [(place, names) for place, names in several if len(names) > 1]
    if not several:
        return
    patient.network.eval()
    output = patient.forward(batch)
    sets: list[Any]
    if isinstance(output, Tensor):
        sets = [output.unbind(axis) for axis in range(1, output.ndim) if 1 < output.shape[axis] <= len(several[0][1])]
    else:
        sets = [output] if isinstance(output, tuple | list) and all(isinstance(o, Tensor) for o in output) else []
    for answers in sets:
        if len(answers) > 1 and all(torch.equal(answers[0], other) for other in answers[1:]):
            place, names = several[0]
            seen = f"{', '.join(names)} are one and the same module, and their answers are equal whatever is asked"
            yield Finding("shared_state", place or names[0], seen, 0.93)
            return


def _shaken(patient: Patient, batch: Any) -> Tensor | None:
    """Return outputs under other weights: what still holds of them is the last activation's doing."""
    generator = torch.Generator().manual_seed(0)
    outputs = []
    for scale in (0.5, 2.0, 2.0, 2.0):
        redraw(patient.network, scale, generator)
        try:
            found = patient.forward(batch)
        except Exception:
            return None
        if isinstance(found, Tensor) and bool(torch.isfinite(found).all()):
            outputs.append(found)
    return torch.cat(outputs) if outputs else None


@torch.no_grad()
def _start(patient: Patient, task: Task, batch: Any, wants: LossKind) -> Iterator[Finding]:
    """Compare the loss before training with the loss of equal scores for all classes, ln K."""
    if patient.criterion is None or wants not in ("softmax", "sigmoid") or task.kind not in ("classes", "binary"):
        return
    patient.network.train()  # statistics of a batch are taken as training takes them
    output, target = patient.forward(batch), patient.target(batch)
    found, chance = float(patient.criterion(output, target)), float(patient.criterion(torch.zeros_like(output), target))
    if chance > 0 and found > FAR * chance:
        seen = f"before training the loss is {found:.3g}, and {chance:.3g} where all scores are zero"
        yield Finding("initial_loss", "loss", seen, 0.46)


def _shapes(loss: Any, output: Tensor, target: Tensor) -> Iterator[Finding]:
    """Find a loss that meets every answer with every target: it does not change if targets are exchanged."""
    if output.shape != target.shape and output.is_floating_point() and target.is_floating_point():
        if output.numel() == target.numel() and output.numel() > 1 and output.ndim != target.ndim:
            try:
                whole = torch.broadcast_shapes(output.shape, target.shape)
            except RuntimeError:
                return
            with torch.no_grad():
                one, other = float(loss(output, target)), float(loss(output, target.flip(0)))
            if math.prod(whole) > output.numel() and abs(one - other) <= 1e-4 * max(abs(one), 1e-12):
                seen = f"outputs {tuple(output.shape)} and targets {tuple(target.shape)} become {tuple(whole)}"
                yield Finding("target_broadcast", "output and target", seen, 0.97)


def _enough(loss: Any, out: OutputKind, wants: LossKind, task: Task, output: Tensor, target: Tensor) -> bool:
    """Whether the best answers within the activation's reach make the loss small: a factor widens them."""
    if task.kind != "classes" or wants != "softmax" or out not in ("sigmoid", "tanh", "softmax") or task.sequence:
        return False
    index = target.reshape(-1).long()
    if output.ndim != 2 or len(index) != len(output) or int(index.min()) < 0 or int(index.max()) >= output.shape[1]:
        return False
    best = nn.functional.one_hot(index, output.shape[1]).to(output)
    with torch.no_grad():
        return float(loss(2 * best - 1 if out == "tanh" else best, target)) < 0.15


def _mismatch(out: OutputKind, wants: LossKind, task: Task, output: Tensor, target: Tensor) -> Iterator[Finding]:
    """Compare what the last activation gives, and what the loss takes."""
    place = "output"
    if wants == "constant":
        seen = "the loss is the same whatever the outputs are"
        if task.kind in ("classes", "soft") and task.classes == 1:
            seen = "a softmax over a single output is always 1, so the loss never changes"
            yield Finding("output_width", place, seen, 0.97)
        else:
            yield Finding("wrong_loss", "loss", seen, 0.9)
        return
    pairs = {
        ("softmax", "softmax"), ("sigmoid", "softmax"), ("tanh", "softmax"), ("rectified", "softmax"),
        ("sigmoid", "sigmoid"), ("softmax", "sigmoid"), ("tanh", "sigmoid"), ("rectified", "sigmoid"),
        ("log_softmax", "sigmoid"),
        ("softmax", "log_probabilities"), ("sigmoid", "log_probabilities"), ("free", "log_probabilities"),
        ("rectified", "log_probabilities"), ("tanh", "log_probabilities"),
        ("free", "rates"), ("tanh", "rates"),
        ("log_softmax", "probabilities"), ("free", "probabilities"), ("tanh", "probabilities"),
    }  # fmt: skip
    if (out, wants) in pairs:
        words = {
            "free": "unbounded", "positive": "always positive", "rectified": "never negative, often 0",
            "sigmoid": "in (0, 1)", "tanh": "in (-1, 1)", "softmax": "a softmax", "log_softmax": "a log-softmax",
        }[out]  # fmt: skip
        sure = 0.96 if out not in ("rectified", "tanh") else 0.85
        seen = f"outputs are {words}, but the loss takes {_WANTS[wants]}"
        yield Finding("loss_activation_mismatch", place, seen, sure)
    if task.kind == "binary" and out in ("softmax", "log_softmax") and output.ndim == 2 and output.shape[1] > 1:
        other = float((target.reshape(output.shape).double().sum(1) != 1).double().mean())
        if other > 0.1:
            seen = f"outputs compete for one whole, and {other:.0%} of the rows have no label or several"
            yield Finding("loss_activation_mismatch", place, seen, 0.96)
    if wants == "softmax" and task.kind == "binary" and output.ndim == 2 and output.shape[1] > 1:
        many = float((target.reshape(output.shape).sum(1) != 1).double().mean())
        if many > 0.1:
            seen = f"the loss spreads one whole over the outputs, and {many:.0%} of the rows have none or several ones"
            yield Finding("wrong_loss", "loss", seen, 0.9)
    if wants == "distance" and task.kind in ("numbers", "reconstruction"):
        yield from check_reach(out, output, target)


def check_reach(out: OutputKind, output: Tensor, target: Tensor) -> Iterator[Finding]:
    """Yield a last activation that ends before the targets do."""
    reach = {
        "sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "tanh": (-1.0, 1.0), "rectified": (0.0, math.inf),
        "positive": (0.0, math.inf), "log_softmax": (-math.inf, 0.0),
    }  # fmt: skip
    low, high = reach.get(out, (-math.inf, math.inf))
    t = target.double()
    beyond = float(((t < low - 1e-6) | (t > high + 1e-6)).double().mean())
    if beyond > 0.02:
        seen = (
            f"{beyond:.0%} of the targets, from {float(t.min()):.3g} to {float(t.max()):.3g}, "
            f"lie outside [{low:g}, {high:g}]"
        )
        yield Finding("output_range", "output", seen, 0.95 if beyond > 0.1 else 0.75)


def _axis(output: Tensor, task: Task) -> Iterator[Finding]:
    """Find a softmax over the examples, or over positions, in place of the classes."""
    if task.kind not in ("classes", "soft") or output.ndim < 2:
        return
    o = output.double()
    for kind, sums in (("softmax", lambda d: o.sum(d) - 1), ("log-softmax", lambda d: o.logsumexp(d))):
        if kind == "softmax" and not (float(o.min()) >= 0 and float(o.max()) <= 1 + 1e-6):
            continue
        right = float(sums(task.axis).abs().max()) < 1e-3
        wrong = [d for d in range(o.ndim) if d != task.axis and float(sums(d).abs().max()) < 1e-3 and o.shape[d] > 1]
        if wrong and not right:
            seen = f"the {kind} sums to 1 over axis {wrong[0]}, not over the classes on axis {task.axis}"
            yield Finding("wrong_axis", "output", seen, 0.98)


def _targets(patient: Patient, output: Tensor, target: Tensor, task: Task, wants: LossKind) -> Iterator[Finding]:
    """Targets coded otherwise than the loss reads them."""
    seen_all = patient.train.rows(4000)
    whole = seen_all[-1] if len(seen_all) > 1 else target
    t = whole.double()
    low, high = float(t.min()), float(t.max())
    numeric = task.kind in ("binary", "soft", "numbers", "other") and whole.is_floating_point()
    if wants in ("sigmoid", "probabilities") and numeric and (low < -1e-6 or high > 1 + 1e-6):
        seen = f"targets lie in [{low:.3g}, {high:.3g}], the loss takes them from [0, 1]"
        yield Finding("wrong_target_coding", "targets", seen, 0.95)
    elif wants in ("sigmoid", "probabilities") and numeric and low == 0 and 0 < high < 0.2 and len(t.unique()) == 2:
        seen = f"targets are 0 or {high:.3g}, and nothing is ever 1: marks that were scaled like inputs?"
        yield Finding("wrong_target_coding", "targets", seen, 0.95)
    if task.kind == "reconstruction" and wants in ("sigmoid", "probabilities") and (low < -0.01 or high > 1.01):
        seen = f"targets lie in [{low:.3g}, {high:.3g}], the loss takes them from [0, 1]"
        yield Finding("wrong_target_coding", "targets", seen, 0.9)
    if task.kind == "classes" and not whole.is_floating_point():
        valued = whole[whole >= 0]
        for value in task.ignored:
            valued = valued[valued != value] if value >= task.classes else valued
        if len(valued) == 0:
            return
        found, top = len(valued.unique()), int(valued.max()) + 1
        if top > task.classes:
            seen = f"class {top - 1} among the targets, and {task.classes} outputs"
            yield Finding("output_width", "output", seen, 0.95)
        elif not task.sequence and found < 50 and task.classes > max(2 * found, found + 3):
            yield Finding("output_width", "output", f"{task.classes} outputs for {found} classes", 0.45)
        if not task.sequence and int(valued.min()) == 1 and task.classes == top and found == top - 1 and found >= 2:
            seen = f"classes are numbered from 1 to {top - 1}; output 0 is never right"
            yield Finding("wrong_target_coding", "targets", seen, 0.45)


def _nominal(patient: Patient, output: Tensor, task: Task) -> Iterator[Finding]:
    """Find classes taken for numbers: targets whose order helps a linear model no more than any other numbering."""
    from sklearn.linear_model import RidgeCV

    parts = patient.train.rows(1000)
    if task.kind != "numbers" or len(parts) != 2 or output[0].numel() != 1 or not parts[0].is_floating_point():
        return
    y = parts[1].reshape(-1)
    values, counts = y.unique(return_counts=True)
    if not 3 <= len(values) <= 30 or int(counts.min()) < 10 or not torch.equal(values, values.round()):
        return
    if float(values[-1] - values[0]) != len(values) - 1 or float(values[0]) not in (0.0, 1.0):
        return
    X = parts[0].reshape(len(y), -1).double().numpy()
    if X.shape[1] > 1000:
        return
    generator = torch.Generator().manual_seed(0)
    index = torch.searchsorted(values, y)
    orders = [torch.arange(len(values)), *(torch.randperm(len(values), generator=generator) for _ in range(5))]
    found = []
    for order in orders:
        numbers, half = order[index].double().numpy(), len(y) // 2
        line = RidgeCV((1e-2, 1.0, 1e2)).fit(X[:half], numbers[:half])
        found.append(float(line.score(X[half:], numbers[half:])))
    if max(found) > 0.15 and found[0] < sum(found[1:]) / len(found[1:]) + 0.08:
        seen = f"squared error on {len(values)} class numbers, whose order means nothing: a linear model explains "
        seen += f"{found[0]:.0%} of their variance, and {sum(found[1:]) / len(found[1:]):.0%} if they are renumbered"
        yield Finding("wrong_loss", "loss", seen, 0.8)


def _one_number(loss: Any, output: Tensor, target: Tensor) -> Iterator[Finding]:
    """Find a class number that each of a row's outputs is to equal, one output a class."""
    if output.ndim != 2 or output.shape[1] < 3 or target.numel() != len(output):
        return
    values = target.double().reshape(-1, 1)
    top = float(values.max())
    if not torch.equal(values, values.round()) or float(values.min()) < 0 or top != output.shape[1] - 1:
        return
    aim = values.to(output).expand_as(output)
    with torch.no_grad():
        at, low, high = (float(loss(aim + d, target)) for d in (0.0, -0.5, 0.5))
    if abs(at) < 1e-6 and low > 1e-3 and high > 1e-3:
        seen = f"no loss is left where all {output.shape[1]} outputs of a row equal the number of its class"
        yield Finding("wrong_target_coding", "loss", seen, 0.93)


def _log_rates(loss: Any, output: Tensor, target: Tensor) -> Iterator[Finding]:
    """Find a loss of logarithms under outputs that are exponentials: its best constant is the logarithm of the mean."""
    if output.numel() != target.numel() or not target.is_floating_point() or target.numel() < 20:
        return
    flat = target.double()
    mean, spread = float(flat.mean()), float(flat.std())
    if float(flat.min()) < 0 or mean < 1.5 or spread == 0:
        return
    aim = math.log(mean)
    with torch.no_grad():
        costs = [float(loss(torch.full_like(output, aim + d), target)) for d in (-0.2, -0.02, 0.0, 0.02, 0.2)]
        plain = float(loss(torch.full_like(output, mean), target))
    if all(map(math.isfinite, [*costs, plain])) and costs[2] < min(costs[1], costs[3]) < min(costs[0], costs[4]):
        if costs[2] < plain - 1e-6 * abs(plain) and costs[2] == min(costs):
            seen = f"the loss is least at {aim:.3g}, the logarithm of the targets' mean {mean:.3g}, and outputs are "
            yield Finding("loss_activation_mismatch", "output", f"{seen}always positive, as exponentials are", 0.95)


def _known_reversed(loss: Any, output: Tensor, target: Tensor, task: Task) -> bool:
    """Whether a loss with its sign turned is one of the usual ones."""
    return loss_kind(lambda o, t: -loss(o, t), output, target, task) not in ("other", "constant")


def _direction(loss: Any, output: Tensor, target: Tensor, task: Task) -> Iterator[Finding]:
    """Find a loss that is lower for wrong answers than for right ones."""
    with torch.no_grad():
        if task.kind == "classes" and not task.sequence and output.ndim == 2 and target.numel() == len(output):
            index = target.reshape(-1).long()
            if int(index.min()) < 0 or int(index.max()) >= output.shape[1]:
                return
            hot = nn.functional.one_hot(index, output.shape[1]).to(output)
            right, wrong = hot, (1 - hot) / max(1, output.shape[1] - 1)
        elif task.kind in ("binary", "soft") and target.numel() == output.numel():
            right = (target.reshape(output.shape) > 0.5).to(output)
            wrong = 1 - right
        elif task.kind in ("numbers", "reconstruction") and target.numel() == output.numel():
            right = target.reshape(output.shape).to(output)
            wrong = right.flip(0)
            if torch.equal(right, wrong):
                return
        else:
            return
        values = []
        for form in (lambda p: p, lambda p: p * 0.9 + 0.05, lambda p: torch.log(p * 0.9 + 0.05)):
            try:
                a, b = float(loss(form(right), target)), float(loss(form(wrong), target))
            except Exception:
                continue
            if math.isfinite(a) and math.isfinite(b):
                values.append((a, b))
    if values and all(a > b + 1e-9 for a, b in values):
        a, b = values[0]
        yield Finding("wrong_loss", "loss", f"it is {a:.3g} for right answers and {b:.3g} for wrong ones", 0.95)


def _floor(loss: Any, output: Tensor, target: Tensor, task: Task) -> Iterator[Finding]:
    """Find a loss that no answer makes small, however right and sure, nor large: it squashes them once too often."""
    if task.kind == "classes" and not task.sequence and output.ndim == 2 and target.numel() == len(output):
        index = target.reshape(-1).long()
        if int(index.min()) < 0 or int(index.max()) >= output.shape[1] or output.shape[1] < 2:
            return
        right = 2.0 * nn.functional.one_hot(index, output.shape[1]).to(output) - 1
        wrong = right.roll(1, 1)
    elif task.kind == "binary" and target.numel() == output.numel():
        right = torch.where(target.reshape(output.shape) > 0.5, 1.0, -1.0).to(output)
        wrong = -right
    else:
        return
    try:
        with torch.no_grad():
            good, better, bad, worse = (float(loss(k * o, target)) for o in (right, wrong) for k in (50.0, 100.0))
    except Exception:
        return
    still = abs(good - better) < 1e-3 * abs(good) and abs(bad - worse) < 1e-3 * abs(bad)
    if math.isfinite(worse) and still and good > 0.2 and bad - good < 2.5 and bad > good + 0.1:
        seen = f"the loss of sure answers is {good:.3g} where they are right and {bad:.3g} where they are wrong"
        yield Finding("loss_activation_mismatch", "loss", f"{seen}: something squashes them before", 0.93)


def _weighed(loss: Any, output: Tensor, target: Tensor, task: Task) -> Iterator[Finding]:
    """Find class weights that make common classes weigh more than rare ones."""
    if task.kind != "classes" or task.sequence or output.ndim != 2 or target.numel() != len(output):
        return
    free = torch.zeros_like(output).requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(loss(free, target), free)
    size, flat = gradient.abs().sum(1), target.reshape(-1)
    kinds, counts = flat.unique(return_counts=True)
    if len(kinds) < 2 or int(counts.max()) < 3 * int(counts.min()):
        return
    weights = [float(size[flat == kind].mean()) for kind in kinds]
    common, rare = weights[int(counts.argmax())], weights[int(counts.argmin())]
    if rare > 0 and common > 2 * rare:
        seen = f"a row of the commonest class weighs {common / rare:.1f} times as much as one of the rarest"
        yield Finding("label_imbalance", "loss", f"{seen}: weights are the wrong way round", 0.85)


def _last_layer(patient: Patient, batch: Any, output: Tensor) -> Iterator[Finding]:
    """Dropout on the outputs: zeros at random places in training that are not there in evaluation."""
    network = patient.network
    network.train()
    with torch.no_grad():
        state = [buffer.clone() for buffer in network.buffers()]
        first, second = patient.forward(batch), patient.forward(batch)
        for buffer, kept in zip(network.buffers(), state, strict=True):
            buffer.copy_(kept)
    network.eval()
    if not isinstance(first, Tensor) or first.shape != output.shape or not first.is_floating_point():
        return
    whole = (first == 0).reshape(len(first), -1).all(1)  # all that is hidden was dropped, not the outputs
    zeros = ((first == 0) & (second != 0))[~whole].double().mean()
    if float(zeros) > 0.02 and float((output == 0).double().mean()) < 0.01:
        share = float((first == 0).double().mean())
        yield Finding(
            "misplaced_layer", "output", f"{share:.0%} of the outputs are set to 0 at random in training", 0.93
        )


@torch.no_grad()
def is_affine(patient: Patient, batch: Any, task: Task) -> bool:
    """Whether the answer to a mixture is the mixture of the answers, for random inputs and weights."""
    inputs = patient.inputs(batch)
    if len(inputs) != 1 or not isinstance(inputs[0], Tensor) or not inputs[0].is_floating_point():
        return False
    generator = torch.Generator().manual_seed(0)
    k = min(16, len(inputs[0]))
    first, second = (torch.randn(inputs[0][:k].shape, generator=generator).to(inputs[0]) for _ in range(2))
    try:
        answers = [patient.forward((rows, None)) for rows in (first, second, 0.3 * first + 0.7 * second)]
    except Exception:  # inputs that are numbers of something
        return False
    if not all(isinstance(a, Tensor) for a in answers):
        return False
    if task.kind in ("classes", "soft") and answers[0].ndim > 1:  # a log-softmax takes the same from each class
        answers = [a - a.narrow(task.axis, 0, 1) for a in answers]
    one, two, mixed = (a.double() for a in answers)
    gap = float((mixed - 0.3 * one - 0.7 * two).abs().max())
    return gap < 1e-4 * float((one - two).abs().mean())


def _linear(patient: Patient, task: Task, batch: Any) -> Iterator[Finding]:
    """Find several layers with weights that together are one."""
    layers = [n for n, m in patient.network.named_modules() if isinstance(m, LINEAR)]
    if len(layers) >= 2 and task.kind != "reconstruction" and _in_series(patient, batch):
        seen = f"{len(layers)} layers with weights, and the whole is linear in its inputs"
        yield Finding("missing_nonlinearity", layers[0], seen, 0.9)


def _in_series(patient: Patient, batch: Any) -> bool:
    """Whether one layer's output goes into another through no narrower place, as a factorization has on purpose."""
    given: list[tuple[Tensor, Tensor]] = []
    layers = [m for m in patient.network.modules() if isinstance(m, LINEAR)]
    handles = [m.register_forward_pre_hook(lambda m, i: given.append((m.weight, i[0]))) for m in layers]
    try:
        patient.forward(batch)
    finally:
        for handle in handles:
            handle.remove()
    for k, (after, entering) in enumerate(given):
        if not entering.requires_grad:
            continue
        for before, _ in given[:k]:
            found = torch.autograd.grad(entering.sum(), before, retain_graph=True, allow_unused=True)[0]
            first, inner, last = before[0].numel(), len(before), len(after)
            if found is not None and inner >= min(first, last):
                return True
    return False


# -- gradients and parameters -------------------------------------------------------------------------------------


def _gradients(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Parameters of layers that are used and get no gradient."""
    if patient.loss is None and patient.objective is None:
        return
    network = patient.network
    network.train()
    used: set[int] = set()
    handles = [m.register_forward_hook(lambda m, *_: used.add(id(m))) for m in network.modules()]
    held = {id(p) for o in patient.optimizers for group in o.param_groups for p in group["params"]}
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad and id(p) in held]
    trained = trained or [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    try:
        loss = patient.measure(batch)
    finally:
        for handle in handles:
            handle.remove()
    if not loss.requires_grad:
        if trained:
            seen = "the loss does not depend on any parameter: its graph is cut"
            yield Finding("no_gradient", "loss", seen, 0.97)
        return
    found = list(torch.autograd.grad(loss, [p for _, p in trained], allow_unused=True))
    if any(g is None for g in found):  # each of several tasks may have batches of its own
        for other in islice(patient.train.batches(torch.Generator().manual_seed(1)), 6):
            again = patient.measure(other)
            more = (
                torch.autograd.grad(again, [p for _, p in trained], allow_unused=True) if again.requires_grad else found
            )
            found = [a if a is not None else b for a, b in zip(found, more, strict=True)]
    owners = {id(p): m for m in network.modules() for p in m.parameters(recurse=False)}
    cut = [
        name
        for (name, p), g in zip(trained, found, strict=True)
        if g is None and id(p) in owners and id(owners[id(p)]) in used
    ]
    if patient.objective is not None and any(g is not None for g in found) and len(patient.optimizers) > 1:
        return  # two players: each loss reaches its own
    if cut and patient.step is not None:
        moved = _moved_by_step(patient)
        cut = [name for name in cut if name not in moved]
    if cut:
        names = ", ".join(cut[:3]) + (" ..." if len(cut) > 3 else "")
        seen = f"{len(cut)} of {len(trained)} parameters that are used get no gradient: {names}"
        yield Finding("no_gradient", cut[0].rpartition(".")[0] or cut[0], seen, 0.93)
    idle = [
        name
        for (name, p), g in zip(trained, found, strict=True)
        if g is None and id(p) in owners and id(owners[id(p)]) not in used and "weight" in name
    ]
    if idle and not cut and len(idle) >= 1:
        seen = f"{', '.join(idle[:3])} takes no part in the loss"
        yield Finding("no_gradient", idle[0].rpartition(".")[0] or idle[0], seen, 0.45)


def _moved_by_step(patient: Patient) -> set[str]:
    """Return the parameters that a few steps of the user's own move: its loss need not be the objective."""
    before = {n: p.detach().clone() for n, p in patient.network.named_parameters()}
    patient.network.train()
    for batch in islice(patient.train.batches(torch.Generator().manual_seed(2)), 3):
        patient.advance(batch)
    return {n for n, p in patient.network.named_parameters() if not torch.equal(p.detach(), before[n])}


def _optimized(patient: Patient, batch: Any) -> Iterator[Finding]:
    """Parameters that no optimizer moves, and frozen ones."""
    held = {id(p) for o in patient.optimizers for group in o.param_groups for p in group["params"]}
    trained = [(n, p) for n, p in patient.network.named_parameters() if p.requires_grad]
    absent = [n for n, p in trained if id(p) not in held]
    own = {id(p) for p in patient.network.parameters()}
    strange = [p for o in patient.optimizers for group in o.param_groups for p in group["params"] if id(p) not in own]
    foreign = [p for p in strange if isinstance(p, nn.Parameter) and p.requires_grad and p.ndim > 1]
    if absent and foreign and len(absent) < len(trained) and not _reached(patient, batch, foreign):
        names = ", ".join(absent[:3]) + (" ..." if len(absent) > 3 else "")
        seen = f"it holds {len(foreign)} matrices that are not the network's (any more), and lacks {names}"
        yield Finding("not_in_optimizer", absent[0].rpartition(".")[0] or absent[0], seen, 0.97)
        return
    if patient.step is not None and len(absent) < len(trained):
        return  # the step may have optimizers of its own: what it moves is watched there
    if trained and len(absent) == len(trained):
        seen = "the optimizer holds none of the network's parameters"
        seen += f", but {len(strange)} of something else" if strange else ""
        yield Finding("not_in_optimizer", "optimizer", seen, 0.98)
    elif absent:
        names = ", ".join(absent[:3]) + (" ..." if len(absent) > 3 else "")
        seen = f"{len(absent)} of {len(trained)} parameters are not in it: {names}"
        yield Finding("not_in_optimizer", absent[0].rpartition(".")[0] or absent[0], seen, 0.49)


def _reached(patient: Patient, batch: Any, parameters: list[nn.Parameter]) -> bool:
    """Whether the loss depends on parameters outside the network, such as those of a loss with weights of its own."""
    try:
        found = torch.autograd.grad(patient.measure(batch), parameters, allow_unused=True)
    except Exception:  # the loss depends on no parameter at all
        return False
    return any(gradient is not None for gradient in found)
