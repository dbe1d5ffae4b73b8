"""Every operation of the engine beside torch in float64, on shapes drawn at random: values, gradients, second
derivatives, forward mode; and beside differences of values, which know nothing of derivatives."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from gradus.foundations import graph as g
from gradus.foundations.graph import variables

CLOSE = {"rtol": 1e-10, "atol": 1e-10}
quick = settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def numbers(rng, shape, away=0.0):
    """Normal numbers; ``away`` from zero where a function has a kink or an end there."""
    x = rng.normal(size=shape)
    return np.where(x < 0, x - away, x + away)


def compare(ours, theirs, *arrays, seed=0):
    """Value, gradient in every input, forward mode, and the gradient of a function of the gradient."""
    rng = np.random.default_rng(seed)
    tensors = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in arrays]
    answer = theirs(*tensors)
    value, pull = g.vjp(lambda xs: ours(*xs), list(arrays))
    np.testing.assert_allclose(value, answer.detach().numpy(), **CLOSE)
    G = rng.normal(size=answer.shape)
    first = torch.autograd.grad(answer, tensors, torch.tensor(G), create_graph=True, materialize_grads=True)
    for mine, yours in zip(pull(G), first, strict=True):
        np.testing.assert_allclose(mine, yours.detach().numpy(), **CLOSE)

    directions = [rng.normal(size=a.shape) for a in arrays]
    moved = g.jvp(lambda xs: ours(*xs), list(arrays), directions)[1]
    # <G, J t> = <Gᵀ J, t>: torch's answer for the right-hand side
    expected = sum(float((a.detach() * torch.tensor(t)).sum()) for a, t in zip(first, directions, strict=True))
    assert float((moved * G).sum()) == pytest.approx(expected, rel=1e-9, abs=1e-9)

    def along(xs):
        slopes = g.grad(lambda ys: (ours(*ys) * G).sum())(xs)
        return sum((slope * t).sum() for slope, t in zip(slopes, directions, strict=True))

    scalar = sum((a * torch.tensor(t)).sum() for a, t in zip(first, directions, strict=True))
    if scalar.requires_grad:
        second = torch.autograd.grad(scalar, tensors, materialize_grads=True, allow_unused=True)
        for mine, yours in zip(g.grad(along)(list(arrays)), second, strict=True):
            np.testing.assert_allclose(mine, yours.numpy(force=True), **CLOSE)
    else:  # linear: torch keeps no graph, and the second derivative is zero
        for mine in g.grad(along)(list(arrays)):
            np.testing.assert_array_equal(mine, np.zeros(mine.shape))


# ---- entry by entry ----

UNARY = {
    "exp": (g.exp, torch.exp, 0.0),
    "log": (lambda x: g.log(abs(x)), lambda x: torch.log(x.abs()), 0.3),
    "sqrt": (lambda x: g.sqrt(x * x + 0.1), lambda x: torch.sqrt(x * x + 0.1), 0.0),
    "sin": (g.sin, torch.sin, 0.0),
    "cos": (g.cos, torch.cos, 0.0),
    "tanh": (g.tanh, torch.tanh, 0.0),
    "sigmoid": (g.sigmoid, torch.sigmoid, 0.0),
    "softplus": (g.softplus, F.softplus, 0.0),
    "relu": (g.relu, F.relu, 0.1),
    "absolute": (g.absolute, torch.abs, 0.1),
    "negative": (lambda x: -x, torch.neg, 0.0),
    "square": (lambda x: x**2, lambda x: x**2, 0.0),
    "power below zero": (lambda x: x**-3, lambda x: x**-3, 0.5),
    "ufunc": (np.tanh, torch.tanh, 0.0),
    "reversed": (lambda x: 2.0 / (3.0 - x * x - 9.0), lambda x: 2.0 / (3.0 - x * x - 9.0), 0.0),
}
BINARY = {
    "add": (lambda a, b: a + b, lambda a, b: a + b),
    "subtract": (lambda a, b: a - b, lambda a, b: a - b),
    "multiply": (lambda a, b: a * b, lambda a, b: a * b),
    "divide": (lambda a, b: a / b, lambda a, b: a / b),
    "power": (lambda a, b: abs(a) ** b, lambda a, b: a.abs() ** b),
    "maximum": (g.maximum, torch.maximum),
    "minimum": (g.minimum, torch.minimum),
    "logaddexp": (g.logaddexp, torch.logaddexp),
    "where": (lambda a, b: g.where(a > b, a * b, b), lambda a, b: torch.where(a > b, a * b, b)),
}
shapes = st.lists(st.integers(1, 4), max_size=3).map(tuple)


@st.composite
def two_shapes(draw):
    """Two shapes that broadcast together."""
    full = draw(shapes)
    cut = draw(st.integers(0, len(full)))
    other = tuple(1 if draw(st.booleans()) else n for n in full[cut:])
    return (full, other) if draw(st.booleans()) else (other, full)


@pytest.mark.parametrize("name", UNARY)
@quick
@given(shape=shapes, seed=st.integers(0, 99))
def test_functions_of_one_input(name, shape, seed):
    ours, theirs, away = UNARY[name]
    compare(ours, theirs, numbers(np.random.default_rng(seed), shape, away), seed=seed)


@pytest.mark.parametrize("name", BINARY)
@quick
@given(pair=two_shapes(), seed=st.integers(0, 99))
def test_functions_of_two_inputs_broadcast(name, pair, seed):
    rng = np.random.default_rng(seed)
    compare(*BINARY[name], *(numbers(rng, shape, 0.3) for shape in pair), seed=seed)


# ---- reductions and shapes ----


@pytest.mark.parametrize("name", ["sum", "mean", "max"])
@quick
@given(data=st.data())
def test_reductions(name, data):
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple))
    axes = data.draw(st.none() | st.sets(st.integers(0, len(shape) - 1), min_size=1).map(lambda s: tuple(sorted(s))))
    axes = axes if axes is None or data.draw(st.booleans()) else tuple(a - len(shape) for a in axes)
    keep = data.draw(st.booleans())
    theirs = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax}[name]
    dims = tuple(range(len(shape))) if axes is None else axes
    compare(
        lambda x: getattr(x, name)(axes, keep),
        lambda x: theirs(x, dim=dims, keepdim=keep),
        np.random.default_rng(0).normal(size=shape),
    )


def test_equals_share_the_gradient_of_a_maximum():
    x = np.array([[3.0, 3.0, 1.0], [2.0, 5.0, 5.0]])
    compare(lambda x: x.max(1), lambda x: torch.amax(x, 1), x)
    compare(g.maximum, torch.maximum, x, x[::-1].copy())


INDICES = [
    1,
    -1,
    (slice(None), 2),
    (..., slice(None, None, 2)),
    (None, slice(1, 3)),
    ([0, 2, 2, 0],),
    (slice(None), [1, 1, 3]),
    ([0, 1], [2, 2]),
    (np.arange(12).reshape(3, 4) % 3 == 0,),
]


@pytest.mark.parametrize("key", INDICES, ids=str)
def test_indexing(key):
    x = np.random.default_rng(0).normal(size=(3, 4))
    torch_key = (
        tuple(torch.tensor(k) if isinstance(k, np.ndarray) else k for k in key) if isinstance(key, tuple) else key
    )
    compare(lambda x: x[key] * x[key], lambda x: x[torch_key] * x[torch_key], x)


@quick
@given(shape=st.lists(st.integers(1, 3), min_size=2, max_size=4).map(tuple), data=st.data())
def test_shapes_move_and_join(shape, data):
    rng = np.random.default_rng(0)
    order = data.draw(st.permutations(range(len(shape))))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    a, b = rng.normal(size=shape), rng.normal(size=shape)
    compare(lambda x: x.transpose(*order) * 2, lambda x: x.permute(*order) * 2, a)
    compare(lambda x: x.reshape(-1) ** 2, lambda x: x.reshape(-1) ** 2, a)
    compare(lambda a, b: g.concatenate([a, b, a], axis), lambda a, b: torch.cat([a, b, a], axis), a, b)
    compare(lambda a, b: g.stack([a, b], axis) ** 2, lambda a, b: torch.stack([a, b], axis) ** 2, a, b)
    compare(lambda x: x.T.sum(0), lambda x: x.permute(*reversed(range(x.ndim))).sum(0), a)


# ---- products ----

PRODUCTS = [
    ((3,), (3,)),
    ((3,), (3, 2)),
    ((4, 3), (3,)),
    ((4, 3), (3, 2)),
    ((5, 4, 3), (3, 2)),
    ((4, 3), (5, 3, 2)),
    ((2, 1, 4, 3), (5, 3, 2)),
    ((3,), (5, 3, 2)),
    ((5, 2, 3), (3,)),
]


@pytest.mark.parametrize(("left", "right"), PRODUCTS)
def test_matrix_products(left, right):
    rng = np.random.default_rng(1)
    compare(lambda a, b: a @ b, torch.matmul, rng.normal(size=left), rng.normal(size=right))


SUMS = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,kj->", (2, 3), (4, 3)),
    ("ij->ji", (2, 3)),
    ("ij->", (2, 3)),
    ("ij->j", (2, 3)),
    ("ii->i", (3, 3)),
    ("ii", (3, 3)),
    ("ij,jk", (2, 3), (3, 4)),
    ("i,j->ij", (2,), (3,)),
    ("bi,ijk,bk->bj", (2, 3), (3, 4, 5), (2, 5)),
    ("...ij,...jk->...ik", (2, 2, 3), (2, 3, 4)),
    ("...ij,jk->...ik", (2, 2, 3), (3, 4)),
    ("b...d,d->b...", (2, 3, 4, 5), (5,)),
    ("...i->...", (2, 3)),
    ("iij->j", (3, 3, 2)),
    ("ij,ij->", (3, 2), (3, 2)),
]


@pytest.mark.parametrize(("subscripts", "sizes"), [(s[0], s[1:]) for s in SUMS])
def test_einsum(subscripts, sizes):
    arrays = [np.random.default_rng(2).normal(size=size) for size in sizes]
    compare(lambda *xs: g.einsum(subscripts, *xs), lambda *xs: torch.einsum(subscripts, *xs), *arrays)


@quick
@given(
    n=st.integers(1, 3),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    data=st.data(),
)
def test_convolution(n, stride, padding, dilation, data):
    rng = np.random.default_rng(3)
    size = tuple(data.draw(st.integers(1, 3)) for _ in range(n))
    length = tuple((k - 1) * dilation + 1 + data.draw(st.integers(0, 3)) for k in size)
    theirs = (F.conv1d, F.conv2d, F.conv3d)[n - 1]
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    x, w = rng.normal(size=(2, 2, *length)), rng.normal(size=(3, 2, *size))
    compare(lambda x, w: g.convolve(x, w, **options), lambda x, w: theirs(x, w, **options), x, w)


# ---- softmax and friends ----


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
@quick
@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple), data=st.data())
def test_softmax(name, shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = np.random.default_rng(4).normal(size=shape) * 3
    compare(lambda x: getattr(g, name)(x, axis), lambda x: getattr(torch, name)(x, axis), x)


def test_large_numbers_do_not_overflow():
    x = np.array([[1e4, 1e4 - 1, -1e4], [-800.0, -801.0, -802.0]])
    compare(g.log_softmax, lambda x: torch.log_softmax(x, -1), x)
    compare(g.logsumexp, lambda x: torch.logsumexp(x, -1), x)
    compare(g.softplus, F.softplus, np.array([-900.0, 900.0]))
    compare(g.sigmoid, torch.sigmoid, np.array([-700.0, 700.0]))
    assert g.sigmoid(-700.0).value > 0  # not rounded away: its logarithm is -700
    top = np.array([-np.inf, 0.0, 1.0])
    assert g.logsumexp(top).value == pytest.approx(np.log(1 + np.e))


def test_powers_at_zero():
    zero = np.zeros(2)
    assert g.grad(lambda x: (x**2).sum())(zero).tolist() == [0, 0]
    assert g.grad(lambda x: (x**0).sum())(zero).tolist() == [0, 0]
    assert g.grad(lambda x: (x**1).sum())(zero).tolist() == [1, 1]
    assert g.grad(lambda p: (zero**p).sum())(np.ones(2)).tolist() == [0, 0]


# ---- the check by differences ----

PROGRAMS = {
    "network": lambda x: g.log_softmax(np.tanh(x.reshape(2, 3) @ np.arange(12.0).reshape(3, 4) / 9))[:, 1].sum(),
    "convolution": lambda x: (g.convolve(x.reshape(1, 2, 3), np.ones((2, 2, 2)) / 3, padding=1) ** 3).sum(),
    "einsum": lambda x: g.einsum("i,ij,j->", x, np.arange(36.0).reshape(6, 6) / 20, x * x),
    "attention": lambda x: (g.softmax(x.reshape(3, 2) @ x.reshape(2, 3)) @ x.reshape(3, 2)).sum(),
    "control flow": lambda x: sum((xi**3 if xi > 0 else 2 * xi) for xi in x),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_against_differences(name):
    f = PROGRAMS[name]
    x = np.random.default_rng(5).normal(size=6)
    np.testing.assert_allclose(g.grad(f)(x), g.numerical_gradient(lambda x: f(g.Variable(x)), x), rtol=1e-6, atol=1e-8)
    # each column of the Hessian by differences of gradients
    columns = [(np.asarray(g.grad(f)(x + e / 2)) - np.asarray(g.grad(f)(x - e / 2))) / 1e-5 for e in np.eye(6) * 1e-5]
    np.testing.assert_allclose(g.hessian(f)(x), np.transpose(columns), rtol=1e-5, atol=1e-6)


def test_the_check_by_differences_sees_a_wrong_gradient():
    wrong = variables.elementwise("wrong", np.sin, lambda y, x: -np.cos(x.value))
    x = np.array([0.3, 1.0])
    by_differences = g.numerical_gradient(lambda x: wrong(x).sum(), x)
    np.testing.assert_allclose(by_differences, np.cos(x), rtol=1e-9)
    assert np.abs(g.grad(lambda x: wrong(x).sum())(x) - by_differences).min() > 0.5


# ---- derivatives of functions ----


def rosenbrock(x):
    return ((1 - x[:-1]) ** 2 + 100 * (x[1:] - x[:-1] ** 2) ** 2).sum()


def test_hessians_and_their_products_as_scipy_writes_them():
    from scipy import optimize

    x, v = np.random.default_rng(6).normal(size=(2, 5))
    np.testing.assert_allclose(g.grad(rosenbrock)(x), optimize.rosen_der(x), rtol=1e-12)
    np.testing.assert_allclose(g.hessian(rosenbrock)(x), optimize.rosen_hess(x), rtol=1e-12, atol=1e-10)
    np.testing.assert_allclose(g.hvp(rosenbrock, x, v), optimize.rosen_hess_prod(x, v), rtol=1e-10)


def test_reverse_over_forward_over_reverse():
    cube = g.grad(lambda t: g.jvp(lambda x: g.grad(lambda y: y**4)(x), t, 1.0)[1])
    assert float(cube(2.0)) == 48.0  # the third derivative of x⁴ is 24 x


@pytest.mark.parametrize("wide", [True, False])
def test_jacobians_by_rows_and_by_columns(wide):
    matrix = np.random.default_rng(7).normal(size=(2, 5) if wide else (5, 2))
    x = np.random.default_rng(8).normal(size=matrix.shape[1])
    theirs = torch.autograd.functional.jacobian(lambda x: torch.tanh(torch.tensor(matrix) @ x), torch.tensor(x))
    np.testing.assert_allclose(g.jacobian(lambda x: np.tanh(matrix @ x))(x), theirs.numpy(), **CLOSE)
    assert g.jacobian(lambda x: x.reshape(1, -1) * matrix)(x).shape == (*matrix.shape, matrix.shape[1])


def test_derivatives_inside_derivatives_are_not_confused():
    assert g.grad(lambda x: x * g.grad(lambda y: x + y)(x))(3.0) == 1.0
    assert g.grad(lambda x: g.grad(lambda y: x * y**2)(3.0))(2.0) == 6.0
    assert g.grad(lambda x: x * g.jvp(lambda y: x * y, x, 1.0)[1])(3.0) == 6.0


def test_arguments_are_built_as_the_caller_likes():
    def f(scale, p):
        return scale * (p["a"][0] * p["a"][1]).sum() + p["b"] ** 2

    p = {"a": (np.array([1.0, 2.0]), np.array([3.0, 5.0])), "b": 4.0}
    value, slopes = g.value_and_grad(f, wrt=1)(2.0, p)
    assert value == 2 * 13 + 16
    assert slopes["a"][0].tolist() == [6, 10] and slopes["a"][1].tolist() == [2, 4] and slopes["b"] == 8
    assert isinstance(slopes["a"], tuple) and type(slopes["a"][0]) is np.ndarray
    assert g.grad(f)(2.0, p) == 13


def test_a_function_that_ignores_its_argument_has_no_slope():
    assert g.grad(lambda x: 3.0)(np.ones(2)).tolist() == [0, 0]
    assert g.jvp(lambda x: np.ones(3), 1.0, 1.0)[1].tolist() == [0, 0, 0]
    y, x = g.Variable(2.0), g.Variable(3.0)
    table = g.backpropagate(x * x, [x, y])
    assert float(table[x]) == 6 and float(table[y]) == 0


def test_every_node_between_has_its_gradient():
    x = g.Variable([1.0, 2.0])
    square = x * x
    unrelated = g.exp(x)
    z = (3 * square).sum()
    table = g.backpropagate(z, [x])
    assert table[square].value.tolist() == [3, 3] and table[x].value.tolist() == [6, 12]
    assert unrelated not in table and all(not node.inputs for node in table.values())


def test_a_deep_graph_needs_no_deep_stack():
    depth = 20_000
    value, slope = g.value_and_grad(lambda x: _chain(x, depth))(1.0)
    assert value == depth + 1 and slope == 1
    assert g.jvp(lambda x: _chain(x, depth), 1.0, 2.0)[1] == 2


def _chain(x, depth):
    for _ in range(depth):
        x = x + 1
    return x


def test_shared_nodes_are_visited_once():
    """2⁶⁰ paths, sixty nodes: the gradient table makes it linear."""

    def doubled(x):
        for _ in range(60):
            x = x + x
        return x

    assert g.grad(doubled)(1.0) == 2.0**60


def test_algorithm_6_4_by_hand_is_what_backpropagation_does():
    rng = np.random.default_rng(9)
    W = [rng.normal(size=s) for s in ((4, 3), (5, 4), (2, 5))]
    b = [rng.normal(size=(s, 1)) for s in (4, 5, 2)]
    x, y = rng.normal(size=(3, 1)), rng.normal(size=(2, 1))

    def cost(p):
        h = x
        for W, b in p:
            h = np.tanh(W @ h + b)
        return 0.5 * ((h - y) ** 2).sum()

    found = g.grad(cost)(list(zip(W, b, strict=True)))
    h = [x]
    for k in range(3):
        h.append(np.tanh(W[k] @ h[k] + b[k]))
    G = h[3] - y
    for k in reversed(range(3)):
        G = G * (1 - h[k + 1] ** 2)
        np.testing.assert_allclose(found[k][0], G @ h[k].T, **CLOSE)
        np.testing.assert_allclose(found[k][1], G, **CLOSE)
        G = W[k].T @ G


# ---- what goes wrong ----

MISTAKES = {
    "add": (lambda x: x + np.ones(4), ["add", "(2, 3) and (4,)"]),
    "matmul": (lambda x: x @ np.ones((4, 2)), ["matmul", "(2, 3) and (4, 2)"]),
    "einsum": (lambda x: g.einsum("ij,jk->ik", x, np.ones((4, 2))), ["einsum", "(2, 3) and (4, 2)", "ij,jk->ik"]),
    "einsum terms": (lambda x: g.einsum("ij,jk->ik", x), ["2 inputs", "got 1"]),
    "reshape": (lambda x: x.reshape(5), ["reshape", "(2, 3)", "shape=5"]),
    "sum": (lambda x: x.sum(2), ["sum", "(2, 3)", "axis=(2,)"]),
    "index": (lambda x: x[7], ["index", "(2, 3)", "key=7"]),
    "convolve": (lambda x: g.convolve(x, np.ones((1, 1, 2))), ["convolve", "(2, 3) and (1, 1, 2)"]),
    "windows": (lambda x: g.convolve(x.reshape(1, 2, 3), np.ones((1, 2, 4))), ["windows", "(1, 2, 3)"]),
    "concatenate": (lambda x: g.concatenate([x, np.ones((3, 2))]), ["concatenate", "(2, 3) and (3, 2)"]),
    "assignment": (lambda x: x.__setitem__(0, 1.0), ["assignment", "where"]),
    "unknown": (lambda x: np.cbrt(x), ["np.cbrt", "sqrt"]),
    "array": (lambda x: np.asarray(x), [".value"]),
    "text": (lambda x: x + "a", ["numbers", "'a'"]),
    "no scalar": (lambda x: x, ["a scalar", "(2, 3)", "jacobian"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_errors_name_operation_and_shapes(name):
    f, words = MISTAKES[name]
    with pytest.raises(ValueError, match=r"^expected .*, got .*; ") as caught:
        g.grad(f)(np.ones((2, 3)))
    for word in words:
        assert word in str(caught.value)


def test_directions_and_seeds_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"tangent of shape \(2,\), got \(3,\)"):
        g.jvp(np.sin, np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match=r"shape \(2,\), got \(\)"):
        g.vjp(np.sin, np.ones(2))[1](1.0)
    with pytest.raises(ValueError, match="an argument number 1"):
        g.grad(lambda x: x, wrt=1)(1.0)


def test_the_engine_is_short():
    files = [Path(inspect.getfile(variables)).parent / f"{n}.py" for n in ("variables", "derivatives", "functions")]
    assert sum(len(file.read_text("utf-8").splitlines()) for file in files) < 700  # words and blank lines included
