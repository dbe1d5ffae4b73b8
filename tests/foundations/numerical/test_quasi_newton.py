"""L-BFGS: its matrix against BFGS written out, its minima against closed forms, scikit-learn and SciPy."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize as oracle
from sklearn.linear_model import LogisticRegression

from foundations.numerical.functions import STANDARD, digits, rosenbrock, softmax_regression, vector
from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import generator
from gradus.foundations.numerical import evaluate, inverse_hessian_product, lbfgs_init, lbfgs_step, minimize


def pairs(count, n=6, seed=0):
    """Steps, and changes of gradient of a positive definite curvature that is not the same everywhere."""
    draw = torch.randn(count, 2, n, generator=generator(seed), dtype=torch.float64)
    return [(s, s * (1 + y.square())) for s, y in draw]


@pytest.mark.parametrize("count", [0, 1, 4])
def test_the_product_is_that_of_the_bfgs_matrix_written_out(count):
    n, known = 6, pairs(count)
    initial = torch.diag(torch.arange(1.0, 7.0).double())
    matrix = initial
    for s, y in known:
        v = torch.eye(n).double() - torch.outer(y, s) / y.dot(s)
        matrix = v.T @ matrix @ v + torch.outer(s, s) / y.dot(s)
    g = torch.randn(n, generator=generator(9), dtype=torch.float64)
    torch.testing.assert_close(inverse_hessian_product(g, known, lambda q: initial @ q), matrix @ g)
    shaped = [(s.view(2, 3), y.view(2, 3)) for s, y in known]
    found = inverse_hessian_product(g.view(2, 3), shaped, lambda q: (initial @ q.flatten()).view(2, 3))
    torch.testing.assert_close(found, (matrix @ g).view(2, 3))
    if count:
        s, y = known[-1]
        torch.testing.assert_close(inverse_hessian_product(y, known), s)  # the secant equation
    else:
        torch.testing.assert_close(inverse_hessian_product(g, []), g)


@pytest.mark.parametrize("name", STANDARD)
def test_standard_functions_take_no_more_evaluations_than_scipy_by_far(name):
    f, start, least = STANDARD[name]
    step = lambda s: lbfgs_step(s, f)  # noqa: E731
    state, outcome = minimize(step, lbfgs_init(f, start), tolerance=1e-6, max_steps=1000)
    assert outcome.converged and state.point.value == pytest.approx(least, abs=1e-8)

    def both(x):
        at = evaluate(f, torch.from_numpy(x.copy()))
        return at.value, at.gradient.numpy()

    options = {"gtol": 1e-6, "ftol": 0, "maxcor": 10, "maxfun": 10000, "maxiter": 10000}
    theirs = oracle(both, start.numpy(), jac=True, method="L-BFGS-B", options=options)
    assert outcome.evaluations + 1 <= 1.3 * theirs.nfev  # the start is an evaluation too


def test_logistic_regression_on_digits_is_scikit_learns_optimum():
    X, y = digits()
    X, y = X[:600], y[:600]
    loss = softmax_regression(X, y, decay=0.1)
    state, outcome = minimize(
        lambda s: lbfgs_step(s, loss), lbfgs_init(loss, torch.zeros(650).double()), tolerance=1e-12
    )
    assert outcome.converged
    model = LogisticRegression(C=1 / (0.1 * 600), solver="newton-cg", tol=1e-12, max_iter=1000)
    model.fit(X.numpy(), y.numpy())
    theirs = np.column_stack([model.coef_, model.intercept_])
    ours = state.point.vector.view(10, 65).numpy()
    assert np.abs(ours - theirs)[:, :64].max() < 1e-8
    assert np.abs((ours - ours.mean(0)) - (theirs - theirs.mean(0))).max() < 1e-8  # biases up to a common shift
    assert np.abs(ours).max() > 0.1


def test_memory_is_bounded_and_states_are_pure():
    start = lbfgs_init(rosenbrock, vector(-1.2, 1.0, -1.2, 1.0), memory=3)
    state, values = start, [start.point.value]
    for k in range(30):
        state, info = lbfgs_step(state, rosenbrock)
        assert len(state.pairs) == min(3, k + 1)
        values.append(info.value)
        assert info.value == state.point.value == float(rosenbrock(state.point.vector))
        assert info.residual == float(state.point.gradient.abs().max())
    assert values == sorted(values, reverse=True)
    assert start.point.vector.tolist() == [-1.2, 1.0, -1.2, 1.0] and start.pairs == ()
    again, _ = lbfgs_step(start, rosenbrock)
    once, _ = lbfgs_step(start, rosenbrock)
    assert torch.equal(again.point.vector, once.point.vector)


def test_a_memory_that_misleads_is_dropped():
    state = lbfgs_init(rosenbrock, vector(-1.2, 1.0))
    upside_down = ((vector(1.0, 0.0), vector(-1.0, 0.0)), (vector(0.0, 1.0), vector(0.0, -1.0)))
    state, info = lbfgs_step(state._replace(pairs=upside_down), rosenbrock)
    assert info.size > 0 and info.value < 24.2 and len(state.pairs) == 1


def test_at_the_minimum_it_stays_and_the_loop_ends():
    state = lbfgs_init(rosenbrock, torch.ones(2))
    after, info = lbfgs_step(state, rosenbrock)
    assert after is state and (info.residual, info.size, info.evaluations) == (0, 0, 0)
    _, outcome = minimize(lambda s: lbfgs_step(s, rosenbrock), state)
    assert outcome == (1, 0, 0.0, True)
    # in single precision no step is found in the end, and the loop ends there too
    state, outcome = minimize(
        lambda s: lbfgs_step(s, rosenbrock), lbfgs_init(rosenbrock, torch.tensor([-1.2, 1.0])), tolerance=0.0
    )
    assert outcome.steps < 1000 and state.point.vector.dtype == torch.float32
    torch.testing.assert_close(state.point.vector, torch.ones(2), atol=1e-3, rtol=0)


def test_bad_input_is_refused():
    with pytest.raises(SettingError, match="a memory of 1"):
        lbfgs_init(rosenbrock, torch.ones(2), memory=0)
    with pytest.raises(InputError, match=r"a vector of floating-point numbers, got shape \(2, 1\) of torch\.float32"):
        lbfgs_init(rosenbrock, torch.ones(2, 1))
    with pytest.raises(InputError, match=r"got shape \(2,\) of torch\.int64; .*double"):
        lbfgs_init(rosenbrock, torch.ones(2).long())
    with pytest.raises(InputError, match=r"a tensor with one number, got shape \(2,\)"):
        lbfgs_init(lambda x: x**2, torch.ones(2))
    with pytest.raises(InputError, match="a tensor with one number, got float"):
        lbfgs_init(lambda x: 3.0, torch.ones(2))
    with pytest.raises(InputError, match="without a gradient"):
        lbfgs_init(lambda x: x.detach().sum(), torch.ones(2))
    with pytest.raises(InputError, match="finite numbers in the vector"):
        lbfgs_init(rosenbrock, torch.tensor([1.0, float("nan")]))
    with pytest.raises(InputError, match="at the start, got the value inf"):
        lbfgs_init(lambda x: (x / 0).sum(), torch.ones(2))
    with pytest.raises(InputError, match="a gradient that is not finite"):
        lbfgs_init(lambda x: x.sqrt().sum(), torch.zeros(2))
    with pytest.raises(SettingError, match="a tolerance of 0"):
        minimize(lambda s: lbfgs_step(s, rosenbrock), lbfgs_init(rosenbrock, torch.ones(2)), tolerance=-1)
    with pytest.raises(SettingError, match="1 step"):
        minimize(lambda s: lbfgs_step(s, rosenbrock), lbfgs_init(rosenbrock, torch.ones(2)), max_steps=0)
