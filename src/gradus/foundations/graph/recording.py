"""PyTorch's graphs as pictures: a run of any network or function is watched, operation by operation.

What ran is recorded, not what the code says: loops are unrolled, branches taken; nothing has to be traceable. A mode of
PyTorch sees each function called on tensors, hooks of modules tell where, hooks of tensors bring the gradients. The
network is left as it was: parameters, their gradients, buffers, modes and random states.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from gradus.core.errors import InputError
from gradus.foundations.graph.picture import Edge, Group, Kind, Node, Picture, Summary, summarize

__all__ = ["picture_of_function", "picture_of_network"]

LARGEST = 20_000  # operations: beyond that nobody looks, and the page takes long to open
TORCH, HERE = Path(torch.__file__).parent, Path(__file__).parent
# Return what they were given where there is nothing to do; a node would only be noise.
IDLE = {"contiguous", "to", "float", "double", "requires_grad_", "type", "cpu", "type_as", "expand", "view"}
NAMES = {"__getitem__": "index", "__setitem__": "set entries", "__get__": "attribute"}


def picture_of_network(
    network: nn.Module,
    inputs: Any,
    *,
    loss: Callable[[Any], Tensor] | None = None,
    title: str = "",
) -> Picture:
    """Run a network once, forwards and backwards, and return the graph of what happened.

    Parameters
    ----------
    network : nn.Module
        In the mode it should be seen in, training or evaluation.
    inputs : Tensor, sequence or dict
        One tensor, positional arguments, or arguments by name.
    loss : callable, optional
        Makes a scalar of the network's output; without it, gradients are those of the sum of all outputs.
    title : str
        What the picture shows; the network's class by default.

    Returns
    -------
    Picture
        With shapes, values, gradients, times and memory of every operation, grouped by module.

    Raises
    ------
    InputError
        If more operations ran than can be looked at.

    Examples
    --------
    >>> picture = picture_of_network(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), torch.ones(4, 3))
    >>> [(node.kind, node.title) for node in picture.nodes]
    [('input', 'input'), ('parameter', 'weight'), ('parameter', 'bias'), ('operation', 'linear'), ('operation', 'relu')]
    """

    def run(arguments: list[Any], named: dict[str, Any]) -> Any:
        output = network(*arguments, **named)
        return output if loss is None else loss(output)

    named = dict(inputs) if isinstance(inputs, Mapping) else {}
    arguments = [] if named else list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    return _picture(run, arguments, named, network, title or type(network).__name__)


def picture_of_function(
    f: Callable[..., Any],
    *arguments: Any,
    network: nn.Module | None = None,
    names: Sequence[str] = (),
    title: str = "",
) -> Picture:
    """Run a function of tensors once, forwards and backwards, and return the graph of what happened.

    Parameters
    ----------
    f : callable
        Anything that computes with PyTorch.
    *arguments : object
        What to call it with.
    network : nn.Module, optional
        What the function runs, to name its modules and parameters; without it, what the result does not depend on is
        left out.
    names : sequence of str
        Names of the arguments.
    title : str
        What the picture shows; the function's name by default.

    Examples
    --------
    >>> picture = picture_of_function(lambda x: (x * x).sum(), torch.tensor([1.0, 2.0]))
    >>> picture.nodes[0].gradient.values
    [2.0, 4.0]
    """
    title = title or getattr(f, "__name__", type(f).__name__)
    if names:
        given = dict(zip(names, arguments, strict=True))
        return _picture(lambda _, named: f(*named.values()), [], given, network, title)
    return _picture(lambda found, _: f(*found), list(arguments), {}, network, title)


def _picture(run: Any, arguments: list[Any], named: dict[str, Any], network: nn.Module | None, title: str) -> Picture:
    """Record with gradients at the inputs, or without if the function cannot bear them.

    It runs twice, and the second time counts: the first call of an operation takes many times as long as the others.
    """
    for with_gradients in (True, False):
        recorder = _Recorder(network)
        try:
            with _dice_kept(), _buffers_kept(network), torch.enable_grad():
                recorder.run(run, arguments, named, with_gradients)
            recorder = _Recorder(network)
            with _dice_kept(), _buffers_kept(network), torch.enable_grad():
                recorder.run(run, arguments, named, with_gradients)
        except InputError:
            raise
        except Exception:
            if not with_gradients:
                raise
            continue
        break
    places = {node.group for node in recorder.nodes}
    groups = [g for key, g in recorder.groups.items() if any(f"{p}/".startswith(f"{key}/") for p in places)]
    picture = Picture(title, recorder.nodes, recorder.edges, groups, recorder.notes)
    if network is None:
        picture = _used(picture, recorder.ends)
    return picture


class _Recorder(TorchFunctionMode):
    """Write down each operation as it happens."""

    def __init__(self, network: nn.Module | None) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self.groups: dict[str, Group] = {}
        self.notes: list[str] = []
        self.ends: list[int] = []
        self.modules = {} if network is None else {id(m): name for name, m in network.named_modules()}
        self.names = {} if network is None else {id(p): n for n, p in network.named_parameters(remove_duplicate=False)}
        if network is not None:
            self.names |= {id(b): name for name, b in network.named_buffers()}
        self.root = network
        self.stack: list[tuple[str, str]] = []  # key and path of the modules that are running
        self.calls: dict[str, int] = {}
        self.made: dict[int, int] = {}  # tensor to node
        self.alive: list[Any] = []  # an id is a name only as long as its owner lives
        self.steps: dict[Any, int] = {}  # function of the backward pass to node
        self.leaves: dict[int, Tensor] = {}
        self.handles: list[Any] = []

    # ---- the run ----

    def run(self, run: Any, arguments: list[Any], named: dict[str, Any], with_gradients: bool) -> None:
        """Run forwards under the mode, then backwards."""
        many = len(arguments) + len(named) > 1

        def copied(value: Any, title: str) -> Any:
            return _each_tensor(value, lambda t: self._input(t, title, with_gradients))

        arguments = [copied(value, f"input {i}" if many else "input") for i, value in enumerate(arguments)]
        named = {name: copied(value, name) for name, value in named.items()}
        with ExitStack() as open_hooks:
            before = hooks.register_module_forward_pre_hook(self._enter)
            after = hooks.register_module_forward_hook(self._leave, always_call=True)
            open_hooks.callback(before.remove)
            open_hooks.callback(after.remove)
            open_hooks.enter_context(torch.compiler.set_stance("force_eager"))
            with self:
                output = run(arguments, named)
        ends: list[Tensor] = []
        _each_tensor(output, ends.append)
        self.ends = [self.made[id(t)] for t in ends if id(t) in self.made]
        self._backward([t for t in ends if t.requires_grad])

    def _input(self, tensor: Tensor, title: str, with_gradients: bool) -> Tensor:
        given = tensor.detach().clone()
        if with_gradients and (given.is_floating_point() or given.is_complex()):
            given = given.requires_grad_().clone()  # no leaf: it may be changed in place
        node = self._node("input", title, given)
        if given.requires_grad:
            self._watch(given, node)
            self.leaves[node.number] = given
        return given

    def _enter(self, module: nn.Module, _: Any) -> None:
        if module is self.root:
            return
        parent, around = self.stack[-1] if self.stack else ("", "")
        path = self.modules.get(id(module), "")
        title = path.removeprefix(f"{around}.") if path else type(module).__name__
        call = self.calls[f"{parent}/{title}"] = self.calls.get(f"{parent}/{title}", 0) + 1
        key = f"{parent}/{title}#{call}"
        shown = f"{title} (call {call})" if call > 1 else title
        count = sum(p.numel() for p in module.parameters())
        self.groups[key] = Group(key, parent, shown, type(module).__name__, path, count)
        self.stack.append((key, path))

    def _leave(self, module: nn.Module, arguments: Any, answer: Any) -> None:
        """Close the group; what a compiled module did inside is one operation."""
        outputs: list[Tensor] = []
        _each_tensor(answer, outputs.append)
        if any(id(tensor) not in self.made for tensor in outputs):
            with torch.no_grad(), torch._C.DisableTorchFunction():
                self._note(type(module).__name__, arguments, {}, answer, 0.0)
        if module is not self.root and self.stack:
            self.stack.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function, then note what it did."""
        kwargs = kwargs or {}
        start = time.perf_counter()
        answer = func(*args, **kwargs)
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        name = getattr(func, "__name__", str(func))
        if name == "__get__":  # an attribute: .T is an operation, .grad and .shape are none
            name = getattr(getattr(func, "__self__", None), "__name__", name)
            if name in ("grad", "_grad", "data", "_base"):
                return answer
        with torch.no_grad():
            self._note(name, args, kwargs, answer, seconds)
        return answer

    def _note(self, name: str, args: Any, kwargs: Any, answer: Any, seconds: float) -> None:
        inputs: list[Tensor] = []
        _each_tensor((args, kwargs), inputs.append)
        changed = _changed(name, args, kwargs)
        outputs: list[Tensor] = []
        _each_tensor(changed if changed is not None else answer, outputs.append)
        if outputs and name == "requires_grad_":
            self._train(self.nodes[self._source(outputs[0])], outputs[0])
        if not outputs or (inputs and outputs[0] is inputs[0] and name in IDLE):
            return
        if isinstance(changed, nn.Parameter) or (isinstance(changed, Tensor) and self._counts(changed)):
            return  # being initialized, or batch normalization's count of batches
        if len(self.nodes) > LARGEST:
            mend = "draw a part of it, or a shorter sequence"
            raise InputError(f"at most {LARGEST:,} operations to draw", "more", mend)
        sources = [self._source(t) for t in inputs]
        node = self._node("operation", NAMES.get(name, name.strip("_") or name), outputs[0])
        node.seconds, node.detail, node.where = seconds, _call_text(name, args, kwargs), _caller()
        node.others = [s for t in outputs[1:] if (s := _summary(t)) is not None]
        node.memory = _new_bytes(outputs, inputs)
        self.edges += [Edge(s, node.number, tuple(t.shape)) for s, t in zip(sources, inputs, strict=True)]
        if changed is not None:
            self._spread_change(outputs[0], node)
        for k, tensor in enumerate(outputs):
            self._remember(tensor, node)
            if tensor.requires_grad and k == 0:
                self._watch(tensor, node)
            if tensor.grad_fn is not None:
                self._claim(tensor.grad_fn, node)

        if outputs[0].requires_grad and outputs[0].is_leaf:
            self._train(node, outputs[0])

    def _train(self, node: Node, tensor: Tensor) -> None:
        """Note that a tensor made by an operation, such as `torch.zeros`, is a parameter."""
        if tensor.requires_grad and tensor.is_leaf:
            node.kind = "parameter"
            self.leaves[node.number] = tensor

    def _node(self, kind: Kind, title: str, tensor: Tensor) -> Node:
        group = self.stack[-1][0] if self.stack else ""
        node = Node(len(self.nodes), kind, title, group, value=_summary(tensor))
        self.nodes.append(node)
        self._remember(tensor, node)
        return node

    def _remember(self, tensor: Tensor, node: Node) -> None:
        self.made[id(tensor)] = node.number
        self.alive.append(tensor)

    def _counts(self, tensor: Tensor) -> bool:
        return id(tensor) in self.names and not tensor.is_floating_point()

    def _source(self, tensor: Tensor) -> int:
        """Return the node that made a tensor; one from outside is a parameter, a buffer or a constant."""
        if id(tensor) not in self.made:
            name = self.names.get(id(tensor), "")
            trained = isinstance(tensor, nn.Parameter) or tensor.requires_grad
            kind: Kind = "parameter" if trained else "buffer" if name else "constant"
            _, path = self.stack[-1] if self.stack else ("", "")
            node = self._node(kind, name.removeprefix(f"{path}.") if name else kind, tensor)
            node.detail = name
            node.memory = _bytes(tensor)
            if tensor.requires_grad:
                self.leaves[node.number] = tensor
        return self.made[id(tensor)]

    def _spread_change(self, changed: Tensor, node: Node) -> None:
        """Give every tensor that shares memory with one changed in place the node of the change."""
        place = _storage(changed)
        for tensor in self.alive:
            if _storage(tensor) == place:
                self.made[id(tensor)] = node.number

    # ---- gradients ----

    def _watch(self, tensor: Tensor, node: Node) -> None:
        def arrived(gradient: Tensor) -> None:
            node.gradient = _summary(gradient)

        self.handles.append(tensor.register_hook(arrived))

    def _claim(self, function: Any, node: Node) -> None:
        """Count the time of the backward functions behind an output, down to those of earlier nodes, as the node's."""
        queue = [function]
        while queue:
            one = queue.pop()
            if one is None or one in self.steps or type(one).__name__ == "AccumulateGrad":
                continue
            self.steps[one] = node.number
            self._time(one, node)
            queue += [following for following, _ in one.next_functions]

    def _time(self, function: Any, node: Node) -> None:
        begun: list[float] = []

        def before(_: Any) -> None:
            begun.append(time.perf_counter())

        def after(*_: Any) -> None:
            if begun:
                node.backward_seconds = (node.backward_seconds or 0.0) + time.perf_counter() - begun.pop()

        self.handles += [function.register_prehook(before), function.register_hook(after)]

    def _backward(self, ends: Sequence[Tensor]) -> None:
        if not ends or not self.leaves:
            self.notes.append("nothing in this graph has a gradient")
            return
        if len(ends) > 1 or ends[0].numel() > 1:
            self.notes.append("gradients are those of the sum of all outputs")
        numbers = list(self.leaves)
        try:
            found = torch.autograd.grad(
                list(ends),
                [self.leaves[n] for n in numbers],
                [torch.ones_like(t) for t in ends],
                allow_unused=True,
            )
        except RuntimeError as error:
            self.notes.append(f"the backward pass failed: {str(error).splitlines()[0]}")
            return
        finally:
            for handle in self.handles:
                handle.remove()
        for number, gradient in zip(numbers, found, strict=True):
            if gradient is not None:
                self.nodes[number].gradient = _summary(gradient)


@contextmanager
def _dice_kept() -> Iterator[None]:
    """Let the run draw from the generators as they stand, and put them back."""
    ours, arrays = random.getstate(), np.random.get_state()  # noqa: NPY002 (what the run may use)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(ours)
        np.random.set_state(arrays)  # noqa: NPY002


@contextmanager
def _buffers_kept(network: nn.Module | None) -> Iterator[None]:
    """Put buffers back as they were: batch normalization counts in training mode."""
    modules = [] if network is None else list(network.modules())
    kept = [(m, n, b, b.detach().clone()) for m in modules for n, b in m._buffers.items() if b is not None]
    try:
        yield
    finally:
        with torch.no_grad():
            for module, name, buffer, values in kept:
                module._buffers[name] = buffer
                if not torch.equal(buffer, values):
                    buffer.copy_(values)


def _used(picture: Picture, ends: Sequence[int]) -> Picture:
    """Leave out what the result does not depend on, such as the making of a network inside a function."""
    needed = set(ends)
    for edge in reversed(picture.edges):
        if edge.target in needed:
            needed.add(edge.source)
    needed |= {node.number for node in picture.nodes if node.kind == "input"}
    places = {node.group for node in picture.nodes if node.number in needed}
    groups = [g for g in picture.groups if any(p == g.key or p.startswith(g.key + "/") for p in places)]
    numbers = {n: i for i, n in enumerate(sorted(needed))}
    nodes = [node for node in picture.nodes if node.number in needed]
    for node in nodes:
        node.number = numbers[node.number]
    edges = [Edge(numbers[e.source], numbers[e.target], e.shape) for e in picture.edges if e.target in needed]
    return Picture(picture.title, nodes, edges, groups, picture.notes)


# ---- looking at tensors ----


def _each_tensor(tree: Any, f: Callable[[Tensor], Any]) -> Any:
    """Apply a function to each tensor of nested sequences, mappings and objects with named fields."""
    if isinstance(tree, Tensor):
        return f(tree)
    if isinstance(tree, Mapping):
        made = {key: _each_tensor(each, f) for key, each in tree.items()}
        return made if type(tree) is dict else tree
    if isinstance(tree, list | tuple):
        parts = [_each_tensor(each, f) for each in tree]
        if type(tree) in (list, tuple):
            return type(tree)(parts)
        return type(tree)(*parts) if hasattr(tree, "_fields") else tree
    if hasattr(tree, "__dataclass_fields__"):
        for name in tree.__dataclass_fields__:
            _each_tensor(getattr(tree, name, None), f)
    return tree


def _summary(tensor: Tensor) -> Summary | None:
    dtype = str(tensor.dtype).removeprefix("torch.")
    try:
        plain = tensor.detach().abs() if tensor.is_complex() else tensor.detach()
        plain = plain.double() if plain.is_floating_point() else plain
        return summarize(plain.cpu().numpy(), dtype)
    except (RuntimeError, TypeError, NotImplementedError):  # sparse, quantized or without data
        return Summary(tuple(tensor.shape), dtype)


def _storage(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage().data_ptr() or id(tensor)
    except (RuntimeError, NotImplementedError):
        return id(tensor)


def _new_bytes(outputs: Sequence[Tensor], inputs: Sequence[Tensor]) -> int:
    there = {_storage(t) for t in inputs}
    return sum({p: _bytes(t) for t in outputs if (p := _storage(t)) not in there}.values())


def _bytes(tensor: Tensor) -> int:
    try:
        return tensor.nbytes
    except RuntimeError:  # sparse
        return 0


def _changed(name: str, args: Any, kwargs: Any) -> Any:
    """Return what a call changes in place, if anything."""
    if kwargs.get("out") is not None:
        return kwargs["out"]
    if name.endswith("_") and isinstance(kwargs.get("tensor"), Tensor):  # torch.nn.init
        return kwargs["tensor"]
    arithmetic = name.startswith("__i") and name.endswith("__") and name not in ("__invert__", "__index__", "__int__")
    if name == "__setitem__" or arithmetic or (name.endswith("_") and not name.endswith("__")):
        return args[0] if args and isinstance(args[0], Tensor) and name != "requires_grad_" else None
    return None


def _call_text(name: str, args: Any, kwargs: Any) -> str:
    """Return the call as it could be written, tensors as dots."""

    def word(value: Any) -> str:
        if isinstance(value, Tensor):
            return "·"
        if isinstance(value, list | tuple):
            return "[" + ", ".join(map(word, value)) + "]"
        return repr(value) if isinstance(value, int | float | str | bool | slice | type(None)) else str(value)[:40]

    given = [word(a) for a in args] + [f"{k}={word(v)}" for k, v in kwargs.items() if v is not None]
    text = f"{name}({', '.join(given)})"
    return text if len(text) <= 160 else text[:159] + "…"


def _caller() -> str:
    """Return the line outside of PyTorch that called."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        name = _outside(frame.f_code.co_filename)
        if name:
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


@cache
def _outside(file: str) -> str:
    path = Path(file)
    return "" if TORCH in path.parents or HERE in path.parents else path.name
