"""Line searches: their conditions on drawn functions and directions, checked apart from them, beside SciPy's search."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import line_search
from torch.nn import functional as F

from foundations.numerical.functions import beale, rosenbrock, vector, wood
from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import generator
from gradus.foundations.numerical import armijo, evaluate, wolfe

FUNCTIONS = {
    "quadratic": lambda x: (x * x * torch.tensor([1.0, 50.0, 0.01, 3.0], dtype=x.dtype)).sum() + x.sum(),
    "rosenbrock": rosenbrock,
    "wood": wood,
    "beale": lambda x: beale(x[:2]) + x[2:].square().sum(),
    "wavy": lambda x: (x.square() / 10 + x.sin()).sum(),
    "barrier": lambda x: -(1 - x.square()).log().sum() + x.sum(),  # not finite outside the cube
    "logistic": lambda x: F.softplus(-x).sum() + 0.01 * x.square().sum(),
    "quartic": lambda x: (x - 0.3).pow(4).sum(),
}
drawn = st.floats(-0.9, 0.9).map(lambda x: round(x, 3))
problems = st.tuples(
    st.sampled_from(sorted(FUNCTIONS)),
    st.lists(drawn, min_size=4, max_size=4),
    st.integers(0, 10**6),
    st.floats(-4, 3),
)


def situation(problem):
    """A function, a point, and a direction that is downhill there, of any length."""
    name, x, seed, scale = problem
    f, start = FUNCTIONS[name], evaluate(FUNCTIONS[name], vector(*x))
    direction = torch.randn(4, generator=generator(seed), dtype=torch.float64)
    slope = direction.dot(start.gradient)
    direction = direction * -slope.sign() * 10**scale
    assume(abs(slope) > 1e-3 * start.gradient.norm() * direction.norm() / 10**scale and start.gradient.norm() > 1e-4)
    return f, start, direction, float(start.gradient.dot(direction))


@given(problems, st.sampled_from([1e-4, 1e-2, 0.3]))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_armijo_ends_low_enough(problem, decrease):
    f, start, direction, slope = situation(problem)
    found = armijo(f, start, direction, decrease=decrease)
    assert found.met and found.size > 0
    at = start.vector + found.size * direction
    assert torch.equal(found.point.vector, at) and found.point.value == float(f(at))
    torch.testing.assert_close(found.point.gradient, evaluate(f, at).gradient)
    slack = 1e-13 * abs(start.value)
    assert found.point.value <= start.value + decrease * found.size * slope + slack
    if found.evaluations == 1:
        assert found.size == 1.0


@given(problems, st.sampled_from([(1e-4, 0.9), (1e-4, 0.1), (0.1, 0.2), (1e-3, 1e-2)]))
@settings(max_examples=250, deadline=None, derandomize=True)
def test_strong_wolfe_conditions_hold(problem, constants):
    f, start, direction, slope = situation(problem)
    decrease, curvature = constants
    found = wolfe(f, start, direction, decrease=decrease, curvature=curvature, max_evaluations=60)
    assert found.met and found.size > 0
    at = evaluate(f, start.vector + found.size * direction)
    assert at.value == found.point.value
    slack = 1e-13 * abs(start.value)
    assert at.value <= start.value + decrease * found.size * slope + slack
    assert abs(float(at.gradient.dot(direction))) <= curvature * abs(slope) * (1 + 1e-12)


def test_scipy_needs_about_as_many_evaluations():
    """Over the same searches; some of SciPy's fail, from long directions, and ours do not."""
    ours, theirs, failures = 0, 0, 0
    for name in ("quadratic", "rosenbrock", "wood", "beale", "logistic", "quartic"):
        for seed in range(15):
            x = torch.rand(4, generator=generator(seed), dtype=torch.float64) * 1.8 - 0.9
            f, start = FUNCTIONS[name], evaluate(FUNCTIONS[name], x)
            direction = -start.gradient * 10 ** (seed % 5 - 2) / start.gradient.norm()
            found = wolfe(f, start, direction)
            assert found.met
            size, evaluations, more, *_ = line_search(
                lambda x, f=f: float(f(torch.from_numpy(x))),
                lambda x, f=f: evaluate(f, torch.from_numpy(x)).gradient.numpy(),
                start.vector.numpy(),
                direction.numpy(),
                start.gradient.numpy(),
                start.value,
            )
            if size is None:
                failures += 1
                continue
            ours, theirs = ours + found.evaluations, theirs + max(evaluations, more)
    assert failures < 20 and 0.5 < ours / theirs < 1.3


def test_lengths_on_a_parabola_are_known():
    f = lambda x: (x - 3).square().sum()  # noqa: E731
    start = evaluate(f, vector(0.0))
    found = wolfe(f, start, vector(1.0), decrease=1e-7, curvature=1e-6)
    assert found.size == pytest.approx(3, abs=1e-5) and found.evaluations <= 4
    back = armijo(f, start, vector(12.0))
    assert back.size == pytest.approx(0.25) and back.evaluations == 2  # 12 a = 3 at the lowest point
    assert armijo(f, start, vector(300.0)).size == pytest.approx(0.01)  # no tenth at a time
    assert armijo(f, start, vector(1.0)).size == 1.0  # the first that will do


def test_of_a_cubic_the_lowest_point_is_found_at_once():
    f = lambda x: (x**3 / 3 - x).sum()  # noqa: E731
    found = wolfe(f, evaluate(f, vector(0.0)), vector(1.0), first=3.0, decrease=1e-9, curvature=1e-8)
    assert found.met and found.evaluations == 2 and found.size == pytest.approx(1)


def test_beyond_the_domain_it_turns_back():
    f = lambda x: -x.log().sum() - (1 - x).log().sum() * 1e-3  # noqa: E731
    start = evaluate(f, vector(0.2))
    for search in (armijo, wolfe):
        found = search(f, start, vector(40.0), max_evaluations=60)
        assert found.met and 0.2 < found.point.vector.item() < 1


def test_where_rounding_hides_every_fall_the_slopes_decide():
    """Near its minimum a function with a large value is level to the last digit, but its gradient still points down."""
    f = lambda x: 1e6 + (x - 1).square().sum()  # noqa: E731
    start = evaluate(f, vector(1 + 1e-6))
    assert float(f(vector(1.0))) == start.value
    found = wolfe(f, start, -start.gradient)
    assert found.met and abs(found.point.vector.item() - 1) < 1e-6
    no = armijo(f, start, vector(-1.0) * 1e4)  # too long by far: shortened until level
    assert no.met and abs(no.point.vector.item() - 1) <= 1e-6


def test_a_search_that_finds_nothing_stays_and_says_so():
    lying = evaluate(rosenbrock, vector(0.0, 0.0))._replace(gradient=vector(2.0, 0.0))  # points uphill
    for search in (armijo, wolfe):
        found = search(rosenbrock, lying, vector(-1.0, 0.0), max_evaluations=20)
        assert found.size == 0 and not found.met and found.point is lying and found.evaluations <= 20
    endless = wolfe(lambda x: -x.sum(), evaluate(lambda x: -x.sum(), vector(0.0)), vector(1.0), max_evaluations=8)
    assert not endless.met and endless.evaluations == 8 and endless.size > 1e4  # a straight line has no flat place


def test_single_precision_follows_the_input():
    start = evaluate(rosenbrock, torch.tensor([-1.2, 1.0]))
    for search in (armijo, wolfe):
        found = search(rosenbrock, start, -start.gradient)
        assert found.met and found.point.vector.dtype == found.point.gradient.dtype == torch.float32


def test_bad_input_is_refused():
    start = evaluate(rosenbrock, vector(-1.2, 1.0))
    for search in (armijo, wolfe):
        with pytest.raises(InputError, match=r"a direction of descent.*got a slope of"):
            search(rosenbrock, start, start.gradient)
        with pytest.raises(InputError, match="a slope of 0"):
            search(rosenbrock, start, torch.zeros(2).double())
        with pytest.raises(SettingError, match="a first length above 0"):
            search(rosenbrock, start, -start.gradient, first=np.inf)
        with pytest.raises(SettingError, match="decrease inside"):
            search(rosenbrock, start, -start.gradient, decrease=0.5)
        with pytest.raises(SettingError, match="1 evaluation"):
            search(rosenbrock, start, -start.gradient, max_evaluations=0)
    with pytest.raises(SettingError, match="curvature between"):
        wolfe(rosenbrock, start, -start.gradient, decrease=0.1, curvature=0.05)
