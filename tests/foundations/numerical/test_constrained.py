"""Constrained minima: closed forms, the book's example, and SciPy's solvers; and the residuals that tell them."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, lsq_linear, nnls
from scipy.optimize import minimize as oracle
from sklearn.datasets import load_diabetes

from foundations.numerical.functions import digits, rosenbrock, softmax_regression, vector
from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import generator
from gradus.foundations.numerical import (
    augmented_lagrangian_init,
    augmented_lagrangian_step,
    evaluate,
    kkt_residual,
    minimize,
    project_l1_ball,
    project_l2_ball,
    project_simplex,
    projected_gradient_init,
    projected_gradient_step,
)


def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return torch.from_numpy(X / X.std(0)), torch.from_numpy((y - y.mean()) / y.std())


def squares(A, b):
    return lambda x: 0.5 * (A @ x - b).square().sum()


def projected(f, start, project, tolerance=1e-8, max_steps=5000):
    state = projected_gradient_init(f, start, project)
    return minimize(lambda s: projected_gradient_step(s, f, project), state, tolerance=tolerance, max_steps=max_steps)


def lagrangian(f, start, tolerance=1e-7, **constraints):
    state = augmented_lagrangian_init(f, start, **constraints)
    step = lambda s: augmented_lagrangian_step(s, f, **constraints)  # noqa: E731
    return minimize(step, state, tolerance=tolerance, max_steps=60)


def test_nonnegative_least_squares_is_scipys():
    A, b = diabetes()
    state, outcome = projected(squares(A, b), torch.zeros(10).double(), lambda x: x.clamp(min=0))
    exact, _ = nnls(A.numpy(), b.numpy())
    assert outcome.converged and 0 < (exact == 0).sum() < 10
    np.testing.assert_allclose(state.point.vector.numpy(), exact, atol=1e-8)


def test_least_squares_in_a_box_is_scipys():
    A, b = diabetes()
    state, outcome = projected(squares(A, b), torch.zeros(10).double(), lambda x: x.clamp(-0.1, 0.2))
    exact = lsq_linear(A.numpy(), b.numpy(), (-0.1, 0.2), tol=1e-14).x
    assert outcome.converged
    np.testing.assert_allclose(state.point.vector.numpy(), exact, atol=1e-7)
    assert (np.abs(exact - 0.2) < 1e-9).any() and (np.abs(exact) < 0.09).any()


def test_least_squares_on_the_simplex_is_slsqps():
    A, b = diabetes()
    f = squares(A, b)
    state, outcome = projected(f, torch.zeros(10).double(), project_simplex)
    found = oracle(
        lambda x: float(f(torch.from_numpy(x))) / 442,
        np.full(10, 0.1),
        jac=lambda x: evaluate(f, torch.from_numpy(x)).gradient.numpy() / 442,
        bounds=[(0, 1)] * 10,
        constraints=[{"type": "eq", "fun": lambda x: x.sum() - 1, "jac": lambda x: np.ones(10)}],
        options={"ftol": 1e-15, "maxiter": 500},
    )
    assert outcome.converged and found.success
    np.testing.assert_allclose(state.point.vector.numpy(), found.x, atol=1e-5)
    assert state.point.value <= 442 * found.fun + 1e-9


def test_in_the_l1_ball_least_squares_is_the_lasso():
    """Of the ball, the answer is the lasso's for one penalty; that is known from the answer's own gradient."""
    from sklearn.linear_model import Lasso

    A, b = diabetes()
    state, outcome = projected(squares(A, b), torch.zeros(10).double(), lambda x: project_l1_ball(x, 0.6), 1e-7)
    penalty = float(state.point.gradient.abs().max()) / len(b)
    lasso = Lasso(alpha=penalty, fit_intercept=False, tol=1e-14, max_iter=100000).fit(A.numpy(), b.numpy()).coef_
    assert outcome.converged and 0 < (lasso == 0).sum() < 9
    np.testing.assert_allclose(state.point.vector.numpy(), lasso, atol=1e-7)


def shortened(A, b):
    """Linear least squares with xᵀx <= 1, by its multiplier: x = (AᵀA + 2λI)⁻¹ Aᵀb (eq. 4.27)."""
    gram, target, eye = A.T @ A, A.T @ b, torch.eye(A.shape[1]).double()
    of = lambda lam: torch.linalg.solve(gram + 2 * lam * eye, target)  # noqa: E731
    lam = brentq(lambda lam: float(of(lam).norm()) - 1, 0, 1e6, xtol=1e-14) if of(0).norm() > 1 else 0.0
    return of(lam), lam


@pytest.mark.parametrize("scale", [5.0, 0.5])
def test_the_books_example(scale):
    """§4.5: active, with a positive multiplier, or not, with none; both methods meet the closed form."""
    A, b = diabetes()
    b = scale * b
    exact, lam = shortened(A, b)
    assert (lam > 1) == (scale == 5.0)
    f, start = squares(A, b), torch.zeros(10).double()
    state, outcome = projected(f, start, project_l2_ball)
    assert outcome.converged
    torch.testing.assert_close(state.point.vector, exact, rtol=0, atol=1e-8)
    state, outcome = lagrangian(f, start, inequality=lambda x: x.square().sum() - 1)
    assert outcome.converged and outcome.residual < 1e-7
    torch.testing.assert_close(state.vector, exact, rtol=0, atol=1e-8)
    assert float(state.inequality_multipliers) == pytest.approx(lam, rel=1e-6, abs=1e-9)


def test_a_quadratic_with_equalities_is_a_linear_system():
    a = torch.randn(6, 6, generator=generator(0), dtype=torch.float64)
    a, b = a @ a.T + torch.eye(6).double(), torch.randn(6, generator=generator(1), dtype=torch.float64)
    C, d = torch.randn(2, 6, generator=generator(2), dtype=torch.float64), vector(1.0, -2.0)
    system = torch.cat([torch.cat([a, C.T], 1), torch.cat([C, torch.zeros(2, 2).double()], 1)])
    exact = torch.linalg.solve(system, torch.cat([b, d]))
    f = lambda x: 0.5 * x @ (a @ x) - b @ x  # noqa: E731
    state, outcome = lagrangian(f, torch.zeros(6).double(), equality=lambda x: C @ x - d)
    assert outcome.converged
    torch.testing.assert_close(state.vector, exact[:6], rtol=0, atol=1e-7)
    torch.testing.assert_close(state.equality_multipliers, exact[6:], rtol=0, atol=1e-6)


CURVED = {
    # Hock & Schittkowski 1981, problems 6, 7, 39 and 65 (as published), and Rosenbrock's function in a disc
    "HS6": (lambda x: (1 - x[0]) ** 2, (-1.2, 1.0), lambda x: 10 * (x[1] - x[0] ** 2), None, 0.0),
    "HS7": (lambda x: (1 + x[0] ** 2).log() - x[1], (2.0, 2.0),
            lambda x: (1 + x[0] ** 2) ** 2 + x[1] ** 2 - 4, None, -(3**0.5)),
    "HS39": (lambda x: -x[0], (2.0, 2.0, 2.0, 2.0),
             lambda x: torch.stack([x[1] - x[0] ** 3 - x[2] ** 2, x[0] ** 2 - x[1] - x[3] ** 2]), None, -1.0),
    "HS65": (lambda x: (x[0] - x[1]) ** 2 + (x[0] + x[1] - 10) ** 2 / 9 + (x[2] - 5) ** 2, (-5.0, 5.0, 0.0), None,
             lambda x: torch.cat([(x.square().sum() - 48)[None], x.abs() - vector(4.5, 4.5, 5.0)]), 0.9535288567),
    "disc": (rosenbrock, (-1.2, 1.0), None, lambda x: x.square().sum() - 1, None),
}  # fmt: skip


@pytest.mark.parametrize("name", CURVED)
def test_published_problems(name):
    f, start, equality, inequality, least = CURVED[name]
    constraints = {k: c for k, c in {"equality": equality, "inequality": inequality}.items() if c is not None}
    state, outcome = lagrangian(f, vector(*start), tolerance=1e-6, **constraints)
    assert outcome.converged
    if least is None:
        within = {"type": "ineq", "fun": lambda x: -float(inequality(torch.from_numpy(x)))}
        found = oracle(
            lambda x: float(f(torch.from_numpy(x))), np.zeros(2), constraints=within, options={"ftol": 1e-12}
        )
        least = found.fun
    assert float(f(state.vector)) == pytest.approx(least, abs=1e-6)


def test_both_kinds_of_constraints_on_a_real_loss():
    """Softmax regression whose class scores sum to nothing, with weights in a ball: SLSQP's minimum."""
    X, y = digits()
    X, y = X[y < 3][:150, 18:46:4], y[y < 3][:150]
    loss = softmax_regression(X, y, 0.0)
    constraints = {
        "equality": lambda w: w.view(3, -1).sum(0),
        "inequality": lambda w: w.square().sum() - 9,
    }
    state, outcome = lagrangian(loss, torch.zeros(24).double(), tolerance=1e-6, **constraints)
    assert outcome.converged and float(state.inequality_multipliers) > 1e-3
    found = oracle(
        lambda w: float(loss(torch.from_numpy(w))),
        np.zeros(24),
        jac=lambda w: evaluate(loss, torch.from_numpy(w)).gradient.numpy(),
        constraints=[
            {"type": "eq", "fun": lambda w: w.reshape(3, -1).sum(0)},
            {"type": "ineq", "fun": lambda w: 9 - w @ w, "jac": lambda w: -2 * w},
        ],
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(state.vector.numpy(), found.x, atol=1e-4)
    assert float(loss(state.vector)) == pytest.approx(found.fun, abs=1e-8)


def test_a_penalty_too_low_is_raised_before_the_function_falls_for_ever():
    """x³ with x >= -1: beside a penalty of 10 the cube wins, and there is no minimum."""
    f, bound = (lambda x: (x**3).sum()), lambda x: -1 - x
    start = augmented_lagrangian_init(f, vector(-0.5), inequality=bound)
    state, info = augmented_lagrangian_step(start, f, inequality=bound)
    assert torch.equal(state.vector, start.vector) and state.penalty == 100 and info.size > 0
    state, outcome = lagrangian(f, vector(-0.5), inequality=bound)
    assert outcome.converged
    assert float(state.vector) == pytest.approx(-1) and float(state.inequality_multipliers) == pytest.approx(3)


def test_what_cannot_be_met_is_not_said_to_be():
    f, apart = (lambda x: x.square().sum()), lambda x: torch.stack([x[0] - 1, x[0] + 1])
    _, outcome = lagrangian(f, torch.zeros(2).double(), equality=apart)
    assert not outcome.converged and outcome.residual > 0.9


def test_the_residual_sees_each_condition_broken():
    """At the book's example, solved in closed form, each condition is broken in turn."""
    A, b = diabetes()
    b = 5 * b
    x, lam = shortened(A, b)
    f, ball = squares(A, b), lambda x: x.square().sum() - 1
    right = {"inequality": ball, "inequality_multipliers": vector(lam)}
    assert kkt_residual(f, x, **right).worst < 1e-9 * lam
    for wrong, name in (
        ({"inequality_multipliers": vector(2 * lam)}, "stationarity"),  # a factor of two
        ({"inequality_multipliers": vector(-lam)}, "sign"),
        ({"inequality": lambda x: ball(x) + 0.5}, "feasibility"),
        ({"inequality": lambda x: ball(x) - 0.5}, "complementarity"),
    ):
        found = kkt_residual(f, x, **(right | wrong))
        assert getattr(found, name) > 0.1 and found.worst > 0.1
    free = kkt_residual(f, torch.linalg.lstsq(A, b).solution)
    assert free.worst < 1e-9
    off = kkt_residual(f, x, equality=lambda x: x[:1] - 2, equality_multipliers=vector(0.0))
    assert off.feasibility == pytest.approx(abs(float(x[0]) - 2)) and off.complementarity == 0


def test_steps_stay_in_the_set_and_never_rise():
    f = lambda x: rosenbrock(x) + x.sum()  # noqa: E731
    state = projected_gradient_init(f, vector(3.0, -1.0, 2.0), project_simplex)
    values = [state.point.value]
    for _ in range(50):
        state, info = projected_gradient_step(state, f, project_simplex)
        x = state.point.vector
        assert float(x.min()) >= 0 and float(x.sum()) == pytest.approx(1)
        values.append(info.value)
        assert info.value == float(f(x))
    assert values == sorted(values, reverse=True) and values[-1] < values[0]


def test_states_are_pure_and_a_solution_is_kept():
    f, g = lambda x: x.square().sum(), lambda x: x.sum() - 1
    start = augmented_lagrangian_init(f, torch.zeros(2).double(), equality=g)
    one, info = augmented_lagrangian_step(start, f, equality=g)
    two, _ = augmented_lagrangian_step(start, f, equality=g)
    assert torch.equal(one.vector, two.vector) and start.equality_multipliers.tolist() == [0]
    assert info.value == float(f(one.vector)) and info.residual == info.kkt.worst
    assert info.kkt == kkt_residual(f, one.vector, equality=g, equality_multipliers=one.equality_multipliers)
    inside = projected_gradient_init(f, torch.zeros(2), project_l2_ball)
    after, info = projected_gradient_step(inside, f, project_l2_ball)
    assert after is inside and (info.residual, info.size) == (0, 0)


def test_bad_input_is_refused():
    f, x = lambda x: x.square().sum(), torch.ones(2)
    with pytest.raises(InputError, match="a constraint, got none"):
        augmented_lagrangian_init(f, x)
    with pytest.raises(InputError, match="finite constraints"):
        augmented_lagrangian_init(f, x, equality=lambda x: x / 0)
    with pytest.raises(SettingError, match="a penalty above 0"):
        augmented_lagrangian_init(f, x, equality=lambda x: x, penalty=0.0)
    with pytest.raises(InputError, match=r"shape \(1, 2\)"):
        augmented_lagrangian_init(f, x[None], equality=lambda x: x)
    with pytest.raises(InputError, match="one multiplier for each of 2 values of equality, got 0"):
        kkt_residual(f, x, equality=lambda x: x)
    with pytest.raises(InputError, match="one multiplier for each of 0 values of inequality, got 1"):
        kkt_residual(f, x, inequality_multipliers=x[:1])
    with pytest.raises(InputError, match=r"torch\.int64"):
        projected_gradient_init(f, x.long(), project_simplex)
    with pytest.raises(InputError, match="at the start"):
        projected_gradient_init(lambda x: x.log().sum(), -x, lambda x: x)
