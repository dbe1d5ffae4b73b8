"""Conjugate gradients against torch.linalg, and SciPy's iterates and counts."""

import pytest
import torch
from scipy.optimize import minimize as oracle
from scipy.sparse.linalg import LinearOperator, cg

from foundations.numerical.functions import STANDARD, digits, rosenbrock, softmax_regression, vector
from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import generator
from gradus.foundations.numerical import conjugate_gradients, evaluate, minimize, nonlinear_cg_init, nonlinear_cg_step


def system(n=12, seed=0):
    a = torch.randn(n, n, generator=generator(seed), dtype=torch.float64)
    return a @ a.T + torch.eye(n).double(), torch.randn(n, generator=generator(seed + 1), dtype=torch.float64)


def test_conjugate_gradients_solve_in_as_many_steps_as_dimensions():
    a, b = system()
    exact = torch.linalg.solve(a, b)
    found = conjugate_gradients(lambda v: a @ v, b, iterations=12, tolerance=0)
    torch.testing.assert_close(found.solution, exact, rtol=1e-6, atol=1e-8)
    assert found.iterations <= 12
    assert found.value == pytest.approx(float(-0.5 * b @ exact))
    early = conjugate_gradients(lambda v: a @ v, b, iterations=4, tolerance=0).solution
    same, _ = cg(a.numpy(), b.numpy(), maxiter=4, rtol=0)
    torch.testing.assert_close(early, torch.from_numpy(same))
    warm = conjugate_gradients(lambda v: a @ v, b, start=exact + 1e-3, iterations=12, tolerance=0)
    torch.testing.assert_close(warm.solution, exact, rtol=1e-6, atol=1e-7)


def test_conjugate_gradients_need_a_step_for_each_different_eigenvalue():
    values = vector(*[1.0, 5.0, 9.0] * 20)
    found = conjugate_gradients(lambda v: values * v, torch.ones(60).double(), iterations=3, tolerance=0)
    torch.testing.assert_close(found.solution, 1 / values)
    early = conjugate_gradients(lambda v: values * v, torch.ones(60).double(), iterations=2, tolerance=0)
    assert (early.solution - 1 / values).norm() > 0.01


def test_conjugate_gradients_stop_where_little_is_gained():
    spectrum = torch.logspace(0, -6, 200, dtype=torch.float64)
    b = torch.ones(200, dtype=torch.float64)
    loose = conjugate_gradients(lambda v: spectrum * v, b, iterations=2000, tolerance=1e-2)
    tight = conjugate_gradients(lambda v: spectrum * v, b, iterations=2000, tolerance=1e-6)
    assert loose.iterations < tight.iterations <= 2000 and tight.value < loose.value
    none = conjugate_gradients(lambda v: v, torch.zeros(3), iterations=5)
    assert none.iterations == 0 and none.solution.tolist() == [0, 0, 0]


def test_a_preconditioner_is_that_of_scipy_and_saves_products():
    a, b = system(40)
    scale = torch.logspace(0, 4, 40, dtype=torch.float64)
    a = scale[:, None] * a * scale  # what the diagonal mends
    diagonal = a.diagonal()
    early = conjugate_gradients(lambda v: a @ v, b, precondition=lambda r: r / diagonal, iterations=5, tolerance=0)
    inverse = LinearOperator((40, 40), matvec=lambda r: r / diagonal.numpy(), dtype=float)
    same, _ = cg(a.numpy(), b.numpy(), M=inverse, maxiter=5, rtol=0)
    torch.testing.assert_close(early.solution, torch.from_numpy(same))
    exact = torch.linalg.solve(a, b)
    helped = conjugate_gradients(lambda v: a @ v, b, precondition=lambda r: r / diagonal, iterations=60, tolerance=0)
    plain = conjugate_gradients(lambda v: a @ v, b, iterations=60, tolerance=0)
    assert (helped.solution - exact).norm() < 1e-6 * exact.norm() < 1e-2 * (plain.solution - exact).norm()


def test_on_a_quadratic_the_nonlinear_method_is_the_linear_one():
    """With line searches as good as exact, the points are those of the linear method."""
    a, b = system(8)
    f = lambda x: 0.5 * x @ (a @ x) - b @ x  # noqa: E731
    state = nonlinear_cg_init(f, torch.zeros(8).double())
    for k in range(1, 6):
        state, _ = nonlinear_cg_step(state, f, curvature=1e-3)
        linear = conjugate_gradients(lambda v: a @ v, b, iterations=k, tolerance=0).solution
        assert (state.point.vector - linear).norm() < 0.02 * linear.norm()


@pytest.mark.parametrize("name", STANDARD)
def test_standard_functions_are_minimized(name):
    f, start, least = STANDARD[name]
    state, outcome = minimize(
        lambda s: nonlinear_cg_step(s, f), nonlinear_cg_init(f, start), tolerance=1e-6, max_steps=2000
    )
    assert outcome.converged
    assert state.point.value == pytest.approx(least, abs=1e-8)

    def both(x):
        at = evaluate(f, torch.from_numpy(x.copy()))
        return at.value, at.gradient.numpy()

    theirs = oracle(both, start.numpy(), jac=True, method="CG", options={"gtol": 1e-6, "maxiter": 5000})
    assert outcome.evaluations < 3 * theirs.nfev


def test_the_value_never_rises_and_a_real_loss_is_minimized():
    X, y = digits()
    loss = softmax_regression(X[:300], y[:300], 1e-2)
    state = nonlinear_cg_init(loss, torch.zeros(650).double())
    last = state.point.value
    for _ in range(60):
        state, info = nonlinear_cg_step(state, loss)
        assert info.value <= last and info.value == state.point.value
        last = info.value
    assert info.residual == float(state.point.gradient.abs().max()) < 1e-4


def test_at_the_minimum_it_stays():
    state, info = nonlinear_cg_step(nonlinear_cg_init(rosenbrock, torch.ones(3)), rosenbrock)
    assert (info.residual, info.size, info.evaluations) == (0, 0, 0) and state.point.vector.tolist() == [1, 1, 1]


def test_bad_input_is_refused():
    with pytest.raises(SettingError, match="1 iteration"):
        conjugate_gradients(lambda v: v, torch.ones(2), iterations=0)
    with pytest.raises(InputError, match=r"a product of shape \(2,\), got \(3,\)"):
        conjugate_gradients(lambda v: torch.ones(3), torch.ones(2))
    with pytest.raises(InputError, match=r"vector of floating-point numbers, got shape \(2,\) of torch\.int64"):
        conjugate_gradients(lambda v: v, torch.arange(2))
    with pytest.raises(InputError, match="finite value and gradient at the start, got the value nan"):
        nonlinear_cg_init(lambda x: x.log().sum(), -torch.ones(2))
