"""Newton's method in a region of trust: its model step against a grid, convergence, and ways out of saddles."""

import itertools

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from foundations.numerical.functions import STANDARD, digits, rosenbrock, softmax_regression, vector
from gradus.core.errors import SettingError
from gradus.core.randomness import generator
from gradus.foundations.numerical import minimize, newton_init, newton_step
from gradus.foundations.numerical.newton import _within


def test_on_a_quadratic_one_step_is_the_solution():
    a = torch.randn(5, 5, generator=generator(0), dtype=torch.float64)
    a, b = a @ a.T + torch.eye(5).double(), torch.arange(5.0).double()
    f = lambda x: 0.5 * x @ (a @ x) - b @ x  # noqa: E731
    state, info = newton_step(newton_init(f, torch.zeros(5).double(), radius=1e3), f)
    torch.testing.assert_close(state.point.vector, torch.linalg.solve(a, b))
    assert info.residual < 1e-10 and info.evaluations == 1
    assert info.curvature == pytest.approx(float(torch.linalg.eigvalsh(a)[0]))


@pytest.mark.parametrize("least", [-3.0, -1e-9, 0.0, 0.5])
@pytest.mark.parametrize("pull", [1.0, 1e-9, 0.0])
@pytest.mark.parametrize("radius", [0.01, 1.0, 40.0])
def test_the_model_is_lowest_in_the_region(least, pull, radius):
    """Beside 20,000 drawn points of the region, and its optimality conditions; ``pull`` is zero in the hard case."""
    values = vector(least, 1.0, 4.0)
    slopes = vector(pull, 2.0, -1.0)
    found = _within(values, slopes, radius)
    length = float(found.norm())
    assert length <= radius * (1 + 1e-5)
    model = lambda y: y @ slopes + 0.5 * y.square() @ values  # noqa: E731
    draws = torch.randn(20000, 3, generator=generator(0), dtype=torch.float64)
    draws = radius * draws / draws.norm(dim=1, keepdim=True) * torch.rand(20000, 1, generator=generator(1)).double()
    edge = radius * draws / draws.norm(dim=1, keepdim=True)
    least_drawn = float(torch.cat([model(draws), model(edge)]).min())
    assert float(model(found)) <= least_drawn + 1e-5 * abs(least_drawn)
    if length < radius * (1 - 1e-5):  # inside: a stationary point of a convex model
        assert least >= 0 and float((slopes + values * found)[slopes != 0].abs().max()) < 1e-6
    else:  # at the edge: (H + μ) y = -g with one μ >= -least
        mu = -(slopes + values * found).dot(found) / length**2
        assert mu >= max(0.0, -least) - 1e-6 and (slopes + (values + mu) * found).abs().max() < 1e-4


@pytest.mark.parametrize("name", sorted(set(STANDARD) - {"chained rosenbrock"}))
def test_standard_functions_take_few_steps(name):
    f, start, least = STANDARD[name]
    state, outcome = minimize(lambda s: newton_step(s, f), newton_init(f, start), tolerance=1e-9)
    assert outcome.converged and outcome.steps <= 45
    assert state.point.value == pytest.approx(least, abs=1e-12)


def test_near_the_minimum_digits_double():
    state = newton_init(rosenbrock, vector(1.1, 1.2))
    errors = []
    for _ in range(6):
        state, _ = newton_step(state, rosenbrock)
        errors.append(float((state.point.vector - 1).norm()))
    close = [(a, b) for a, b in itertools.pairwise(errors) if a < 1e-2 and b > 1e-14]
    assert len(close) >= 2 and all(b < 100 * a**2 for a, b in close)


@pytest.mark.parametrize("start", [(0.0, 0.0), (1e-12, 0.0), (0.7, 0.0), (0.0, 1e-300)])
def test_saddle_points_are_left(start):
    """At (0, 0) the gradient is zero, and along the first axis it leads there."""
    f = lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4  # noqa: E731
    state = newton_init(f, vector(*start))
    first, info = newton_step(state, f)
    assert info.curvature == pytest.approx(-2) and info.value < float(f(vector(*start))) - 1e-3 and info.size > 0.1
    state, outcome = minimize(lambda s: newton_step(s, f), first, tolerance=1e-10)
    assert outcome.converged and outcome.steps < 12
    torch.testing.assert_close(state.point.vector.abs(), vector(0.0, 0.5**0.5))


def test_a_network_that_starts_at_its_saddle_learns():
    """All weights zero: the gradient is zero for ever, but for the last bias; negative curvature leads out."""
    x = torch.linspace(-2, 2, 30, dtype=torch.float64)
    y = (2 * x).tanh()

    def loss(w):
        hidden = torch.outer(x, w[:2]) + w[2:4]
        return (hidden.tanh() @ w[4:6] - y).square().mean()

    state = newton_init(loss, torch.zeros(6).double())
    assert not state.point.gradient.any()
    state, outcome = minimize(lambda s: newton_step(s, loss), state, tolerance=1e-9, max_steps=100)
    assert outcome.converged and state.point.value < 1e-8
    assert float(torch.autograd.functional.hessian(loss, state.point.vector).diagonal().min()) > -1e-8


def test_logistic_regression_is_scikit_learns_optimum():
    X, y = digits()
    X, y = X[y < 3][:200, 18:46:2], y[y < 3][:200]
    loss = softmax_regression(X, y, decay=0.01)
    state = newton_init(loss, torch.zeros(45).double())
    state, outcome = minimize(lambda s: newton_step(s, loss), state, tolerance=1e-9)
    assert outcome.converged and outcome.steps < 20
    model = LogisticRegression(C=1 / (0.01 * 200), solver="newton-cg", tol=1e-12, max_iter=1000)
    model.fit(X.numpy(), y.numpy())
    found = state.point.vector.view(3, 15)[:, :14]
    torch.testing.assert_close(found, torch.from_numpy(model.coef_), rtol=0, atol=1e-8)
    assert found.abs().max() > 1


def test_at_a_minimum_and_beyond_the_domain():
    state = newton_init(rosenbrock, torch.ones(2))
    after, info = newton_step(state, rosenbrock)
    assert torch.equal(after.point.vector, torch.ones(2)) and info.size == 0 and info.residual == 0
    f = lambda x: (x - x.log()).sum()  # noqa: E731
    state, outcome = minimize(lambda s: newton_step(s, f), newton_init(f, vector(5.0, 0.01), radius=50.0))
    torch.testing.assert_close(state.point.vector, vector(1.0, 1.0))
    assert outcome.converged
    with pytest.raises(SettingError, match="a radius above 0"):
        newton_init(f, vector(1.0), radius=0.0)
