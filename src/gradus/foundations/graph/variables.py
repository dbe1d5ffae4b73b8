"""A computational graph that writes itself: variables, and the operations that join them (§6.5.1).

A `Variable` is a node: an array, and how it came to be. An `Operation` stands between nodes: a function on arrays, and
two rules that say how a small change passes through it, backwards (`bprop`) and forwards (`jvp`). Both rules are
written with variables and operations, not with arrays; so a derivative is a graph too, and has derivatives.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from gradus.core.errors import InputError

RECORDING: ContextVar[bool] = ContextVar("recording", default=True)  # whether outputs remember their inputs
_SCOPE: ContextVar[tuple[tuple[str, int], ...]] = ContextVar("scope", default=())
_numbers = itertools.count()  # inputs exist before outputs: the order of making is a topological order


def _operator(name: str, order: int = 1) -> Any:
    return lambda *values: globals()[name](*values[::order])


def _answer(f: Any) -> Any:
    return lambda *values: f(*(variable(x).value for x in values))


class Variable:
    """One node of a computational graph: an array of float64 that knows its `operation` and `inputs` (§6.5.1).

    Operators, comparisons, indexing and NumPy's own functions (``np.exp(x)``) work on it. Comparisons give plain arrays
    of booleans, so `if` and `while` are Python's; the graph holds what was in fact computed.

    Parameters
    ----------
    value : array-like
        Numbers of any shape.
    name : str
        What to call it in pictures.

    Examples
    --------
    >>> x = Variable([1.0, 2.0])
    >>> y = (3 * x**2).sum()
    >>> y, y.operation.name, y.inputs[0].operation.name
    (Variable(15.), 'sum', 'multiply')
    """

    __slots__ = ("__weakref__", "inputs", "name", "number", "operation", "scope", "settings", "value")

    def __init__(self, value: Any, name: str = "") -> None:
        try:
            self.value: np.ndarray = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError("real numbers in rows of one length", repr(value)[:80], "pass an array") from error
        self.name, self.number, self.scope = name, next(_numbers), _SCOPE.get()
        self.operation: Operation | None = None
        self.inputs: tuple[Variable, ...] = ()
        self.settings: dict[str, Any] = {}

    shape = property(lambda self: self.value.shape, doc="Lengths of the axes.")
    ndim = property(lambda self: self.value.ndim, doc="Number of axes.")
    size = property(lambda self: self.value.size, doc="Number of entries.")
    T = property(lambda self: self.transpose(), doc="Axes in reverse order.")

    def sum(self, axis: Any = None, keepdims: bool = False) -> Variable:
        """Return the sum over axes."""
        return _reduced(total, self, axis, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Variable:
        """Return the largest entry along axes; equals share the gradient."""
        return _reduced(largest, self, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Variable:
        """Return the mean over axes."""
        summed = self.sum(axis, keepdims)
        return summed * (summed.size / self.size)

    def reshape(self, *shape: Any) -> Variable:
        """Return the same entries in another shape."""
        return reshape(self, shape=shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: int) -> Variable:
        """Return the axes in another order, reversed by default."""
        return transpose(self, axes=tuple(axis % self.ndim for axis in axes) or tuple(reversed(range(self.ndim))))

    __add__ = __radd__ = _operator("add")
    __sub__, __rsub__ = _operator("subtract"), _operator("subtract", -1)
    __mul__ = __rmul__ = _operator("multiply")
    __truediv__, __rtruediv__ = _operator("divide"), _operator("divide", -1)
    __pow__, __rpow__ = _operator("power"), _operator("power", -1)
    __matmul__, __rmatmul__ = _operator("matmul"), _operator("matmul", -1)
    __neg__, __abs__ = _operator("negative"), _operator("absolute")
    __lt__, __le__, __eq__ = _answer(np.less), _answer(np.less_equal), _answer(np.equal)
    __gt__, __ge__, __ne__ = _answer(np.greater), _answer(np.greater_equal), _answer(np.not_equal)
    __len__, __bool__, __float__, __hash__ = _answer(len), _answer(bool), _answer(float), object.__hash__

    def __getitem__(self, key: Any) -> Variable:
        return index(self, key=key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise InputError("variables that stay as they are", "an assignment to entries", "use where or concatenate")

    def __iter__(self) -> Iterator[Variable]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Variable({np.array2string(self.value, separator=', ')})"

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Variable:
        """Answer ``np.exp(x)`` and ``array * x``."""
        known = UFUNCS.get(ufunc)
        if known is None or method != "__call__" or settings:
            names = ", ".join(f.__name__ for f in UFUNCS)
            raise InputError(f"a NumPy function among {names}", f"np.{ufunc.__name__}", "build it from those")
        return known(*inputs)

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise InputError("an array", "a Variable, whose history an array would lose", "use its .value")


def variable(value: Any) -> Variable:
    """Return the value as a node: itself, or a constant."""
    return value if isinstance(value, Variable) else Variable(value)


@contextmanager
def held(setting: ContextVar[Any], value: Any) -> Iterator[None]:
    """Let a setting have a value inside the block."""
    token = setting.set(value)
    try:
        yield
    finally:
        setting.reset(token)


def scope(name: str) -> AbstractContextManager[None]:
    """Group what is computed inside the block under one name, for pictures."""
    return held(_SCOPE, (*_SCOPE.get(), (name, next(_numbers))))


@dataclass(frozen=True, eq=False)
class Operation:
    """A function on arrays with the two rules of its derivative; calling it is one turn of algorithm 6.1.

    ``f`` takes arrays and returns an array. ``bprop(i, G, y, *inputs)`` is the gradient of input ``i`` where ``G`` is
    that of the output ``y``: Σ_k G_k ∂y_k/∂x (``op.bprop(inputs, X, G)`` of §6.5.6). ``jvp(tangents, y, *inputs)`` is
    how fast ``y`` moves as each input moves along its tangent, or rests (None). ``needs`` is what inputs have to be.
    """

    name: str
    f: Callable[..., Any]
    bprop: Callable[..., Variable]
    jvp: Callable[..., Variable]
    needs: str = "shapes and settings that fit together"

    def __call__(self, *values: Any, **settings: Any) -> Variable:
        """Compute the output, and remember how."""
        inputs = tuple(variable(value) for value in values)
        try:
            output = Variable(self.f(*(x.value for x in inputs), **settings))
        except (ValueError, IndexError, TypeError) as error:
            shapes = " and ".join(str(x.shape) for x in inputs)
            with_these = "".join(f", {name}={value!r}" for name, value in settings.items())
            mend = f"check the shapes that go into {self.name}"
            raise InputError(f"{self.needs} for {self.name}", shapes + with_these, mend) from error
        if RECORDING.get():
            output.operation, output.inputs, output.settings = self, inputs, settings
        return output


def elementwise(name: str, f: Any, *slopes: Callable[..., Any]) -> Operation:
    """Make an operation on each entry by itself; ``slopes[i](y, *inputs)`` is ∂y/∂x_i."""

    def bprop(i: int, G: Variable, y: Variable, *inputs: Variable) -> Variable:
        return sum_to(G * slopes[i](y, *inputs), inputs[i].shape)

    def jvp(tangents: Any, y: Variable, *inputs: Variable) -> Variable:
        moved = (t * slope(y, *inputs) for t, slope in zip(tangents, slopes, strict=True) if t is not None)
        return spread(added(moved), y.shape)

    return Operation(name, f, bprop, jvp, "shapes that broadcast together")


def linear(name: str, f: Any, bprop: Any) -> Operation:
    """Make an operation that is linear in all its inputs at once: its change is itself, of the changes."""

    def jvp(tangents: Any, y: Variable, *inputs: Variable, **settings: Any) -> Variable:
        moved = (np.zeros(x.shape) if t is None else t for t, x in zip(tangents, inputs, strict=True))
        return operation(*moved, **settings)

    operation = Operation(name, f, bprop, jvp)
    return operation


def product(name: str, f: Any, bprop: Any) -> Operation:
    """Make an operation that is linear in each input by itself: the rule of products."""

    def jvp(tangents: Any, y: Variable, *inputs: Variable, **settings: Any) -> Variable:
        moved = ((*inputs[:i], t, *inputs[i + 1 :]) for i, t in enumerate(tangents) if t is not None)
        return added(operation(*terms, **settings) for terms in moved)

    operation = Operation(name, f, bprop, jvp)
    return operation


def added(terms: Iterable[Variable]) -> Variable:
    """Return the sum of several variables."""
    first, *others = terms
    for term in others:
        first = first + term
    return first


def sum_to(x: Variable, shape: tuple[int, ...]) -> Variable:
    """Undo broadcasting: sum over every axis along which ``shape`` was repeated."""
    if x.shape == shape:
        return x
    lead = x.ndim - len(shape)
    axes = tuple(i for i in range(x.ndim) if i < lead or (shape[i - lead] == 1 and x.shape[i] != 1))
    return total(x, axis=axes, keepdims=True).reshape(shape)


def spread(x: Variable, shape: tuple[int, ...]) -> Variable:
    """Broadcast where needed."""
    return x if x.shape == shape else broadcast_to(x, shape=shape)


def _reduced(operation: Operation, x: Variable, axis: Any, keepdims: bool) -> Variable:
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return operation(x, axis=tuple(axes), keepdims=keepdims)


def _kept(G: Variable, x: Variable, axis: tuple[int, ...]) -> Variable:
    """Give the axes that a sum has dropped back, with length 1."""
    gone = {a % x.ndim for a in axis}
    return G.reshape(tuple(1 if a in gone else n for a, n in enumerate(x.shape)))


def _share(x: Variable, axis: tuple[int, ...]) -> np.ndarray:
    """Return which entries are the largest, those that are equal in equal parts."""
    at_top = x.value == x.value.max(axis, keepdims=True)
    return at_top / at_top.sum(axis, keepdims=True)


def _scattered(g: np.ndarray, *, key: Any, shape: tuple[int, ...]) -> np.ndarray:
    out = np.zeros(shape)
    parts = key if isinstance(key, tuple) else (key,)
    if all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts):
        out[key] = g
    else:
        np.add.at(out, key, g)  # an index may name an entry twice
    return out


def _windows(x: np.ndarray, *, size: Any, stride: Any, dilation: Any) -> np.ndarray:
    reach = tuple((k - 1) * d + 1 for k, d in zip(size, dilation, strict=True))
    view = sliding_window_view(x, reach, axis=tuple(range(-len(size), 0)))
    steps: Any = (..., *(slice(None, None, step) for step in (*stride, *dilation)))
    return view[steps]


def _folded(g: np.ndarray, *, shape: Any, size: Any, stride: Any, dilation: Any) -> np.ndarray:
    out, counts = np.zeros(shape), g.shape[-2 * len(size) : -len(size)]
    for offset in np.ndindex(*size):
        starts = [o * d for o, d in zip(offset, dilation, strict=True)]
        ends = [a + (n - 1) * s + 1 for a, n, s in zip(starts, counts, stride, strict=True)]
        place: Any = (..., *map(slice, starts, ends, stride))
        out[place] += g[(..., *offset)]
    return out


def _unjoin(i: int, G: Variable, y: Variable, *xs: Variable, axis: int) -> Variable:
    start = sum(x.shape[axis] for x in xs[:i])
    return G[(slice(None),) * (axis % G.ndim) + (slice(start, start + xs[i].shape[axis]),)]


# Shapes: each operation is the transpose of another.
total = linear(
    "sum",
    lambda x, *, axis, keepdims: x.sum(axis, keepdims=keepdims),
    lambda i, G, y, x, axis, keepdims: spread(_kept(G, x, axis), x.shape),
)
broadcast_to = linear("broadcast", np.broadcast_to, lambda i, G, y, x, shape: sum_to(G, x.shape))
reshape = linear("reshape", lambda x, *, shape: x.reshape(shape), lambda i, G, y, x, shape: G.reshape(x.shape))
transpose = linear("transpose", np.transpose, lambda i, G, y, x, axes: G.transpose(*np.argsort(axes)))
index = linear("index", lambda x, *, key: x[key], lambda i, G, y, x, key: scatter(G, key=key, shape=x.shape))
scatter: Operation = linear("scatter", _scattered, lambda i, G, y, g, key, shape: index(G, key=key))
windows = linear("windows", _windows, lambda i, G, y, x, **at: fold(G, shape=x.shape, **at))
fold: Operation = linear("fold", _folded, lambda i, G, y, g, shape, **at: windows(G, **at))
joined = linear("concatenate", lambda *xs, axis: np.concatenate(xs, axis), _unjoin)
largest = Operation(
    "max",
    lambda x, *, axis, keepdims: x.max(axis, keepdims=keepdims),
    lambda i, G, y, x, axis, keepdims: _kept(G, x, axis) * _share(x, axis),
    lambda tangents, y, x, axis, keepdims: total(tangents[0] * _share(x, axis), axis=axis, keepdims=keepdims),
)

# Arithmetic.
identity = linear("identity", lambda x: x, lambda i, G, y, x: G)
add = linear("add", np.add, lambda i, G, y, *x: sum_to(G, x[i].shape))
subtract = linear("subtract", np.subtract, lambda i, G, y, *x: sum_to(-G if i else G, x[i].shape))
negative = linear("negative", np.negative, lambda i, G, y, x: -G)
choice = linear(
    "where",
    lambda a, b, *, condition: np.where(condition, a, b),
    lambda i, G, y, *x, condition: sum_to(G * (condition != bool(i)), x[i].shape),
)
multiply = elementwise("multiply", np.multiply, lambda y, a, b: b, lambda y, a, b: a)
divide = elementwise("divide", np.divide, lambda y, a, b: 1 / b, lambda y, a, b: -y / b)
power = elementwise(
    "power",
    np.power,
    lambda y, a, b: b * a ** choice(1.0, b - 1, condition=b == 0),  # a**0 is flat, at a = 0 too
    lambda y, a, b: y * log(choice(1.0, a, condition=a == 0)),
)
maximum = elementwise("maximum", np.maximum, lambda y, a, b: _won(a, b), lambda y, a, b: _won(b, a))
minimum = elementwise("minimum", np.minimum, lambda y, a, b: _won(b, a), lambda y, a, b: _won(a, b))
logaddexp = elementwise("logaddexp", np.logaddexp, lambda y, a, b: exp(a - y), lambda y, a, b: exp(b - y))
exp: Operation = elementwise("exp", np.exp, lambda y, x: y)
log: Operation = elementwise("log", np.log, lambda y, x: 1 / x)
sqrt = elementwise("sqrt", np.sqrt, lambda y, x: 0.5 / y)
sin = elementwise("sin", np.sin, lambda y, x: cos(x))
cos: Operation = elementwise("cos", np.cos, lambda y, x: -sin(x))
tanh = elementwise("tanh", np.tanh, lambda y, x: 1 - y * y)
absolute = elementwise("absolute", np.absolute, lambda y, x: np.sign(x.value))
relu = elementwise("relu", lambda x: np.maximum(x, 0.0), lambda y, x: (x.value > 0) * 1.0)
_matmul = product(
    "matmul", np.matmul, lambda i, G, y, a, b: sum_to(_flip(a) @ G if i else G @ _flip(b), (b if i else a).shape)
)


def _won(a: Variable, b: Variable) -> np.ndarray:
    return (a > b) + 0.5 * (a == b)


def _flip(x: Variable) -> Variable:
    return x.transpose(*range(x.ndim - 2), -1, -2)


def matmul(a: Any, b: Any) -> Variable:
    """Return the product of matrices, of stacks of them, or of vectors, as ``a @ b`` does."""
    a, b = variable(a), variable(b)
    if a.ndim == 1 and b.ndim:
        return matmul(a.reshape(1, -1), b)[(..., 0, slice(None)) if b.ndim > 1 else 0]
    return _matmul(a, b.reshape(-1, 1))[..., 0] if b.ndim == 1 else _matmul(a, b)


_ALIKE = (add, subtract, negative, multiply, divide, power, maximum, minimum, logaddexp, exp, log, sqrt, sin, cos, tanh)
UFUNCS = {operation.f: operation for operation in (*_ALIKE, absolute)} | {np.matmul: matmul}
