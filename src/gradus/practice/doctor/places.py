"""Which line of a script makes what a finding speaks of: a layer, the optimizer, the loss, a statement of the step.

A guess that is wrong is worse than none. So a line is told where one statement alone can be meant, and left out where
the source is missing, several would do, or the finding speaks of the whole training.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gradus.practice.doctor.findings import Diagnosis, Finding
from gradus.practice.doctor.guide import WIDTHS, Guide, of_self
from gradus.practice.doctor.patient import optimizers_of
from gradus.practice.doctor.program import Function, Program, argument, called, only

__all__ = ["with_lines"]

RECURRENT = {
    "LSTM": 4, "GRU": 4, "RNN": 4, "MultiheadAttention": -1, "TransformerEncoderLayer": -1,
    "TransformerDecoderLayer": -1, "Transformer": -1,
}  # fmt: skip  # and where batch_first stands
CUTS = {"detach", "numpy", "item", "tolist", "from_numpy", "no_grad", "inference_mode"}
STEPPED = {"argmax", "round", "floor", "ceil", "sign", "heaviside", "bernoulli", "multinomial", "topk"}
OVER_ROWS = {
    "softmax", "log_softmax", "max", "amax", "min", "mean", "sum", "std", "var", "norm", "normalize", "cumsum", "cat",
    "Softmax", "LogSoftmax", "logsumexp", "argmax",
}  # fmt: skip
RISKY = {"sqrt", "log", "exp", "pow", "acos", "asin", "norm", "rsqrt", "log2", "log10", "reciprocal"}
DRAWN = {
    "normal_", "uniform_", "constant_", "zeros_", "ones_", "fill_", "zero_", "trunc_normal_", "eye_", "xavier_uniform_",
    "xavier_normal_", "kaiming_uniform_", "kaiming_normal_", "orthogonal_",
}  # fmt: skip
SCHEDULES = {name for name in vars(torch.optim.lr_scheduler) if name.endswith(("LR", "Restarts", "Plateau"))}
HEAVY, SPARSE = 0.01, 0.6  # weight decay and dropout that are likely to be too much
MIXING = {"randperm", "permutation", "shuffle", "sort_values", "argsort", "sample", "sort"}
DROPOUT = {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"}


def with_lines(diagnosis: Diagnosis, path: Path, build: Callable[..., Any], given: Mapping[str, Any]) -> Diagnosis:
    """Give each finding the line of the script at fault, where that can be told.

    Parameters
    ----------
    diagnosis : Diagnosis
        Changed in place.
    path : Path
        The script, as its functions' code names it.
    build : callable
        Its function.
    given : mapping
        What that returned.
    """
    try:
        guide = Guide(Program(path), build, given)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return diagnosis
    for k, finding in enumerate(diagnosis.findings):
        try:
            line = _line(guide, finding)
        except Exception:  # of a program that is written as nobody foresaw
            continue
        if line is not None:
            diagnosis.findings[k] = dataclasses.replace(finding, line=f"{path.name}:{line}")
    return diagnosis


def _line(guide: Guide, finding: Finding) -> int | None:
    told = re.fullmatch(r"line (\d+) of (.*)", finding.place)
    if told:
        return int(told[1]) if told[2] == guide.program.path.name else None
    for way in WAYS.get(finding.cause, (_by_place,)):
        found = way(guide, finding)
        if found is not None:
            return found
    return None


# ---- ways from a finding to a line, the first that knows one is taken ----

Way = Callable[[Guide, Finding], int | None]


def _by_place(guide: Guide, finding: Finding) -> int | None:
    place = finding.place
    known: dict[str, Way] = {
        "optimizer": _optimizer, "loss": _loss, "output": _output, "output and target": _output,
        "train inputs": _rows("train", 0), "train targets": _rows("train", -1), "targets": _rows("train", -1),
        "valid inputs": _rows("valid", 0, follow=False), "valid targets": _rows("valid", -1, follow=False),
        "train": _entry("train"), "train and valid": _rows("train", 0),
    }  # fmt: skip
    if place in known:
        return known[place](guide, finding)
    if place.startswith("column "):
        return guide.rows("train", 0)
    return guide.layer(place)


def _rows(part: str, what: int, *, follow: bool = True) -> Way:
    return lambda guide, _: guide.rows(part, what, follow=follow)


def _entry(key: str) -> Way:
    return lambda guide, _: guide.entry(key)


def _optimizer(guide: Guide, _: Finding) -> int | None:
    call = guide.optimizer()
    return None if call is None else call.lineno


def _option(place: int, name: str) -> Way:
    return lambda guide, _: guide.setting(guide.optimizer(), place, name)


def _loss(guide: Guide, _: Finding) -> int | None:
    if guide.loss is not None:
        ends = [r for r in ast.walk(guide.loss) if isinstance(r, ast.Return)]
        return guide.loss.lineno if isinstance(guide.loss, ast.Lambda) else only(ends)
    given = guide.given.get("loss")
    calls = guide.program.calls(type(given).__name__) if isinstance(given, nn.Module) else []
    return only(calls) if calls else guide.entry("loss")


def _summed(guide: Guide, _: Finding) -> int | None:
    return only(k.value for k in _keywords(guide, "reduction") if getattr(k.value, "value", None) == "sum")


def _keywords(guide: Guide, name: str) -> Iterator[ast.keyword]:
    return (k for k in ast.walk(guide.program.tree) if isinstance(k, ast.keyword) and k.arg == name)


def _output(guide: Guide, _: Finding) -> int | None:
    return guide.answer()


def _clearing(guide: Guide, _: Finding) -> int | None:
    found = guide.within(guide.step, "zero_grad")
    return only(found) if found else _first(guide.within(guide.step, "backward"))


def _first(found: list[ast.Call]) -> int | None:
    return found[0].lineno if found else None


def _last(*names: str) -> Way:
    def way(guide: Guide, _: Finding) -> int | None:
        found = guide.within(guide.step, *names)
        return found[-1].lineno if found else None

    return way


def _order(guide: Guide, _: Finding) -> int | None:
    """Find a clearing between backward and step; else a step before backward."""
    back = [c.lineno for c in guide.within(guide.step, "backward")]
    steps = [c.lineno for c in guide.within(guide.step, "step")]
    if not back or not steps:
        return None
    between = [c.lineno for c in guide.within(guide.step, "zero_grad") if back[-1] < c.lineno < steps[-1]]
    return between[0] if between else (steps[0] if steps[0] < back[0] else None)


def _modes(part: str, name: str) -> Way:
    def way(guide: Guide, finding: Finding) -> int | None:
        if part == "evaluate" and finding.place != "evaluate":
            return None
        node = guide.step if part == "step" else guide.evaluate
        other = [c for c in guide.within(node, "train" if name == "eval" else "eval") if _off(c)]
        return only([*(c for c in guide.within(node, name) if not _off(c)), *other])

    return way


def _off(call: ast.Call) -> bool:
    return bool(call.args) and isinstance(call.args[0], ast.Constant) and call.args[0].value is False


def _always_drops(guide: Guide, _: Finding) -> int | None:
    """Find a functional dropout in forward that is not told of the mode."""
    found = [c for name in DROPOUT for c in guide.program.calls(name, guide.forwards)]
    return only(c for c in found if len(c.args) < 3 and all(k.arg != "training" for k in c.keywords))


def _clip(guide: Guide, _: Finding) -> int | None:
    found = guide.within(guide.step, "clip_grad_norm_", "clip_grad_value_")
    if len(found) != 1:
        return None
    name = "max_norm" if called(found[0]) == "clip_grad_norm_" else "clip_value"
    return guide.setting(found[0], 1, name)


def _cut(guide: Guide, finding: Finding) -> int | None:
    """Find what cuts the graph: on the way to backward in the step or the loss, or in forward."""
    if finding.place in ("step", "loss"):
        node = guide.step if finding.place == "step" else guide.loss
        return None if node is None else only(_cuts(_to_backward(guide.program, node), CUTS))
    for names in (CUTS, STEPPED):
        found = list(_cuts(guide.forwards, names))
        if found:  # one function may leave the graph in several lines, of which the first does it
            homes = {guide.program.scope(node) for node in found}
            return min(node.lineno for node in found) if len(homes) == 1 else None  # type: ignore[attr-defined]
    return None


def _cuts(nodes: Iterable[ast.AST], names: set[str]) -> Iterator[ast.AST]:
    for node in (n for top in nodes for n in ast.walk(top)):
        match node:
            case ast.Call() if called(node) in names:
                yield node
            case ast.Call(func=ast.Attribute(value=ast.Name(id="torch")), args=[first, *_]) if names is CUTS:
                if called(node) in ("tensor", "as_tensor") and not isinstance(first, ast.Constant | ast.List):
                    yield node
            case ast.Attribute(attr="data", value=value) if names is CUTS and not isinstance(value, ast.Attribute):
                yield node


def _to_backward(program: Program, node: Function) -> list[ast.AST]:
    """Return the expressions on the way from the loss that is differentiated, or returned, back to its origins."""
    ends = [c.func.value for c in program.calls("backward", [node]) if isinstance(c.func, ast.Attribute)]
    if not ends:
        ends = [r.value for r in ast.walk(node) if isinstance(r, ast.Return) and r.value is not None]
    found: list[ast.AST] = []
    waiting: list[ast.AST] = list(ends)
    seen: set[str] = set()
    while waiting:
        expr = waiting.pop()
        found.append(expr)
        for name in {n.id for n in ast.walk(expr) if isinstance(n, ast.Name)} - seen:
            seen.add(name)
            waiting += [s.value for s in program.assignments(name, node) if isinstance(s, ast.Assign | ast.AugAssign)]
    return found


def _frozen(guide: Guide, _: Finding) -> int | None:
    found: list[ast.AST] = [c for c in guide.program.calls("requires_grad_") if _off(c)]
    for node in ast.walk(guide.program.tree):
        match node:
            case ast.Assign(targets=[ast.Attribute(attr="requires_grad")], value=ast.Constant(value=False)):
                found.append(node)
    return only(found)


def _over_rows(guide: Guide, _: Finding) -> int | None:
    """Find something that runs over the first axis, where examples lie; else a recurrence that takes it for time."""
    found = [c for name in OVER_ROWS for c in guide.program.calls(name, guide.forwards) if _axis(c) == 0]
    if found:
        return only(found)
    made = [c for name, place in RECURRENT.items() for c in guide.program.calls(name) if not _first_axis(c, place)]
    turned = [c for name in ("t", "transpose", "permute") for c in guide.program.calls(name, guide.forwards)]
    if made and not turned:
        return only(made)
    return only(guide.program.calls("reshape", guide.forwards) + guide.program.calls("view", guide.forwards))


def _axis(call: ast.Call) -> Any:
    method = isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") not in ("torch", "F")
    if called(call)[:1].isupper():
        method = True
    found = argument(call, 0 if method else 1, "dim") or argument(call, -1, "axis")
    return found.value if isinstance(found, ast.Constant) and not isinstance(found.value, bool) else None


def _first_axis(call: ast.Call, place: int) -> bool:
    found = argument(call, place, "batch_first")
    return found is not None and not (isinstance(found, ast.Constant) and found.value is False)


def _ahead(guide: Guide, finding: Finding) -> int | None:
    """Find what lets a sequence see ahead: a backward half, or how the mask is made."""
    if finding.place == "targets":
        return guide.rows("train", -1)
    both = [k.value for k in _keywords(guide, "bidirectional") if getattr(k.value, "value", None) is True]
    return only(both) if both else only(guide.program.calls("triu") + guide.program.calls("tril"))


def _padding(guide: Guide, finding: Finding) -> int | None:
    """Find how padding is told apart in forward; without that, where the recurrent layer reads it."""
    if finding.place == "loss":
        return _loss(guide, finding)
    masks = [
        n for node in guide.forwards for n in ast.walk(node)
        if isinstance(n, ast.Compare) and isinstance(n.ops[0], ast.Eq | ast.NotEq)
        and isinstance(n.comparators[0], ast.Constant) and n.comparators[0].value == 0
    ]  # fmt: skip
    if masks:
        return only(masks)
    kinds = {n for n, m in guide.network.named_children() if isinstance(m, nn.RNNBase)}
    return only(
        c for node in guide.forwards for c in ast.walk(node) if isinstance(c, ast.Call) and of_self(c.func) in kinds
    )


def _kept(guide: Guide, finding: Finding) -> int | None:
    """Find state that outlives a pass, or rows that are changed in place."""
    if finding.place in ("train", "train loader"):
        nodes = [] if guide.step is None else [guide.step]
        items = [m for c in guide.program.classes.values() for m in c.body if getattr(m, "name", "") == "__getitem__"]
        changed = [
            n for node in [*nodes, *items] for n in ast.walk(node)
            if isinstance(n, ast.AugAssign)
            and (node in items or (isinstance(n.target, ast.Name) and not isinstance(n.value, ast.Constant)))
        ]  # fmt: skip
        return min((n.lineno for n in changed), default=None)
    if finding.place != "network":
        return guide.layer(finding.place)
    held: dict[str, int] = {}
    for node in (n for top in guide.forwards for n in ast.walk(top) if isinstance(n, ast.Assign | ast.AugAssign)):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            name = of_self(target.value if isinstance(target, ast.Subscript) else target)
            if name is not None:
                held[name] = min(node.lineno, held.get(name, node.lineno))
    return next(iter(held.values())) if len(held) == 1 else None


def _order_of_rows(guide: Guide, finding: Finding) -> int | None:
    """Find where rows that were sorted are divided, or else what hands them on."""
    return guide.rows("train", 0, follow=False) if finding.place == "train and valid" else guide.entry("train")


def _apart(guide: Guide, finding: Finding) -> int | None:
    """Find the only statement that puts rows in another order."""
    return only(c for name in MIXING for c in guide.program.calls(name))


def _risky(guide: Guide, _: Finding) -> int | None:
    """Find the only logarithm, root or exponential of the loss, or of forward."""
    for nodes in ([guide.loss] if guide.loss is not None else [], guide.forwards):
        found = [c for name in RISKY for c in guide.program.calls(name, guide.program.reached(nodes))]
        if found:
            return only(found)
    return None


def _backward(guide: Guide, finding: Finding) -> int | None:
    source = guide.program.classes.get(finding.place)
    methods = [m for m in source.body if getattr(m, "name", "") == "backward"] if source is not None else []
    return only(r for m in methods for r in ast.walk(m) if isinstance(r, ast.Return))


def _schedule(guide: Guide, finding: Finding) -> int | None:
    """Find where the schedule is stepped, if that is in the step and too often; else where it is made."""
    made = [c for name in SCHEDULES for c in guide.program.calls(name)]
    names = {t.id for c in made for t in getattr(guide.program.statement(c), "targets", []) if isinstance(t, ast.Name)}
    stepped = [
        c for c in guide.within(guide.step, "step")
        if isinstance(c.func, ast.Attribute) and getattr(c.func.value, "id", None) in names
    ]  # fmt: skip
    return only(made) if "grow" in finding.evidence or "rise" in finding.evidence or not stepped else only(stepped)


def _penalty(guide: Guide, finding: Finding) -> int | None:
    """Find the weight decay, or the dropout, if one of them alone is strong."""
    if "objective" in finding.evidence:
        return None
    groups = [group for o in optimizers_of(guide.given["optimizer"]) for group in o.param_groups]
    decays = any(group.get("weight_decay", 0) >= HEAVY for group in groups)
    drops = [m for m in guide.network.modules() if isinstance(m, nn.modules.dropout._DropoutNd) and m.p >= SPARSE]
    if decays == bool(drops):
        return None
    if decays:
        return guide.setting(guide.optimizer(), -1, "weight_decay")
    lines = {guide.setting(c, 0, "p") for kind in {type(m).__name__ for m in drops} for c in guide.program.calls(kind)}
    return lines.pop() if len(lines) == 1 else None


def _narrow(guide: Guide, finding: Finding) -> int | None:
    made = guide.made(finding.place)
    if isinstance(made, ast.Call) and called(made) in WIDTHS:
        return guide.setting(made, WIDTHS[called(made)], "out_features")
    return guide.layer(finding.place)


def _unbent(guide: Guide, finding: Finding) -> int | None:
    """Find where forward calls the layer after which a nonlinearity is missing; else where it is made."""
    calls = [
        c for node in guide.forwards for c in ast.walk(node)
        if isinstance(c, ast.Call) and of_self(c.func) == finding.place
    ]  # fmt: skip
    return only(calls) if calls else guide.layer(finding.place)


def _drawn(guide: Guide, finding: Finding) -> int | None:
    """Find the only statement that sets initial weights, zero biases aside; of a layer, its own."""
    made = [c for name in DRAWN for c in guide.program.calls(name)]
    made = [c for c in made if not (c.args and "bias" in ast.unparse(c.args[0]) and _zeros(c))]
    own = finding.place.rpartition(".")[2]
    named = [c for c in made if own and not own.isdigit() and f".{own}." in ast.unparse(c)]
    if named or made:
        return only(named or made)
    return guide.layer(finding.place) if finding.cause == "symmetric_initialization" else None


def _zeros(call: ast.Call) -> bool:
    if called(call) in ("zeros_", "zero_"):
        return True
    value = call.args[1] if len(call.args) > 1 else None
    return isinstance(value, ast.Constant) and value.value == 0


def _scored(guide: Guide, finding: Finding) -> int | None:
    """Find what decides in the evaluation: a sum begun anew in a loop, a rounding, an argmax; or its end."""
    node = guide.evaluate
    if node is None or finding.place != "evaluate":
        return None
    for loop in (n for n in ast.walk(node) if isinstance(n, ast.For)):
        begun = [s for s in loop.body if isinstance(s, ast.Assign) and isinstance(s.value, ast.Constant)]
        for statement in begun:
            added = {
                n.target.id for n in ast.walk(loop) if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name)
            }
            if any(isinstance(t, ast.Name) and t.id in added for t in statement.targets):
                return statement.lineno
    found = guide.within(node, "argmax", "round", "topk")
    inside = [c for c in found if guide.program.scope(c) is node]
    if inside:
        return only(inside)
    return node.lineno if isinstance(node, ast.Lambda) else only(r for r in ast.walk(node) if isinstance(r, ast.Return))


WAYS: dict[str, tuple[Way, ...]] = {
    "accumulation_unscaled": (_last("backward"),),
    "bottleneck": (_narrow,),
    "causality_leak": (_ahead,),
    "eval_in_training": (_modes("step", "eval"),),
    "excessive_regularization": (_penalty,),
    "frozen_parameters": (_frozen,),
    "gradient_clip": (_clip,),
    "initial_loss": (_drawn,),
    "initialization_scale": (_drawn,),
    "label_imbalance": (_loss,),
    "label_order": (_order_of_rows,),
    "leaking_rows": (_rows("train", 0, follow=False),),
    "learning_rate_too_high": (_option(1, "lr"),),
    "learning_rate_too_low": (_option(1, "lr"),),
    "loss_activation_mismatch": (_output,),
    "misplaced_layer": (_output,),
    "missing_backward": (_last("step"),),
    "missing_nonlinearity": (_unbent,),
    "missing_step": (_last("backward", "clip_grad_norm_", "clip_grad_value_", "unscale_"),),
    "missing_zero_grad": (_clearing,),
    "mixed_examples": (_over_rows,),
    "no_gradient": (_cut,),
    "non_finite": (_risky,),
    "not_in_optimizer": (_optimizer,),
    "optimizer_settings": (_optimizer,),
    "overfitting": (),
    "padding_leak": (_padding,),
    "schedule": (_schedule,),
    "shared_state": (_kept,),
    "shuffled_pairs": (_apart,),
    "sum_reduction": (_summed, _loss),
    "symmetric_initialization": (_drawn,),
    "target_scale": (_rows("train", -1),),
    "tiny_batch_norm": (_entry("batch_size"),),
    "too_few_updates": (_entry("batch_size"),),
    "train_in_evaluation": (_modes("evaluate", "train"), _always_drops),
    "unbalanced_players": (),
    "underfitting": (),
    "unnormalized_inputs": (_rows("train", 0),),
    "wrong_evaluation": (_scored,),
    "wrong_gradient": (_backward,),
    "wrong_loss": (_loss,),
    "wrong_step_order": (_order,),
}
