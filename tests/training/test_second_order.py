"""Curvature against autograd's own Hessians, solvers against torch.linalg, steps against closed forms."""

import pytest
import torch
from torch.nn import functional as F

from gradus.core.errors import NonFiniteError, SettingError
from gradus.core.randomness import generator, isolated
from gradus.foundations.numerical import parameter_vector
from gradus.networks import MLP, BinaryHead, CategoricalHead, GaussianHead, HeadedNetwork, OrdinalHead
from gradus.training.second_order import (
    fisher_matrix,
    hessian_free_init,
    hessian_free_step,
    natural_gradient_init,
    natural_gradient_step,
    output_curvature,
)
from gradus.training.semi_supervised import divergence

HEADS = {
    "categorical": lambda: CategoricalHead(3, 3),
    "binary": lambda: BinaryHead(3),
    "ordinal": lambda: OrdinalHead(3, 3),
    "gaussian": lambda: GaussianHead(3, 2),
    "learned": lambda: GaussianHead(3, variance="learned"),
}


def problem(kind="categorical", n=20, hidden=(3,)):
    """A tiny network as a function of its parameters, and the mean loss of its outputs."""
    with isolated(0):
        network = HeadedNetwork(None, MLP(2, hidden, activation="tanh"), HEADS[kind]()).double()
    x = torch.randn(n, 2, generator=generator(1), dtype=torch.float64)
    shape = (n, 2) if kind == "gaussian" else (n,)
    y = torch.randint(2, shape, generator=generator(2))
    y = y if kind in ("categorical", "ordinal") else y.double()
    vector, _, call = parameter_vector(network)
    head = network.head
    return vector, lambda v: call(v, x), lambda z: head.losses(z, y).mean(), head


def test_hessian_free_solves_least_squares_in_one_step():
    a = torch.randn(30, 6, generator=generator(0), dtype=torch.float64)
    b = torch.randn(30, generator=generator(1), dtype=torch.float64)
    state = hessian_free_init(torch.zeros(6).double(), damping=1e-12)
    state, info = hessian_free_step(state, lambda w: a @ w - b, lambda z: z.square().mean() / 2, tolerance=0)
    torch.testing.assert_close(state.vector, torch.linalg.lstsq(a, b).solution, rtol=1e-6, atol=1e-8)
    assert info.size == 1.0 and info.trust == pytest.approx(1.0) and info.after < info.before
    assert state.damping < 1e-12


def test_the_damped_step_is_the_ridge_solution():
    a = torch.randn(30, 6, generator=generator(0), dtype=torch.float64)
    b = torch.randn(30, generator=generator(1), dtype=torch.float64)
    state = hessian_free_init(torch.zeros(6).double(), damping=0.5)
    state, _ = hessian_free_step(state, lambda w: a @ w - b, lambda z: z.square().sum() / 2, tolerance=0)
    exact = torch.linalg.solve(a.T @ a + 0.5 * torch.eye(6).double(), a.T @ b)
    torch.testing.assert_close(state.vector, exact, rtol=1e-6, atol=1e-8)


def test_hessian_free_never_rises_and_beats_gradient_descent():
    vector, predict, objective, _ = problem("categorical", n=60)
    state, values = hessian_free_init(vector), []
    for _ in range(40):
        state, info = hessian_free_step(state, predict, objective)
        values.append(info.before)
        assert info.after <= info.before
    plain = vector.clone()
    for _ in range(1000):
        plain = plain - 0.3 * torch.func.grad(lambda v: objective(predict(v)))(plain)
    assert objective(predict(state.vector)) < objective(predict(plain)) < values[0]


def test_a_step_that_the_model_cannot_foresee_is_shortened_and_damped():
    state = hessian_free_init(torch.tensor([3.0, 3.0]).double(), damping=1e-9)

    def predict(w):  # a valley: Rosenbrock's residuals
        return torch.stack([10 * (w[1] - w[0] ** 2), 1 - w[0]])

    lengths = []
    for _ in range(200):
        state, info = hessian_free_step(state, predict, lambda z: z.square().sum() / 2)
        lengths.append((info.size, info.trust, state.damping))
    torch.testing.assert_close(state.vector, torch.ones(2).double(), rtol=1e-4, atol=1e-4)
    stuck = hessian_free_init(torch.zeros(1).double())
    stuck, info = hessian_free_step(stuck, lambda w: w, lambda z: (z**2).sum())  # at the minimum already
    assert info.after == info.before == 0.0 and stuck.vector.item() == 0.0


def test_each_examples_curvature():
    z = torch.randn(7, 3, generator=generator(0), dtype=torch.float64)
    y = torch.arange(7) % 3
    found = output_curvature(lambda v: F.cross_entropy(v, y, reduction="none"), z)
    p = z.softmax(1)
    torch.testing.assert_close(found, torch.diag_embed(p) - p[:, :, None] * p[:, None, :])
    flat = output_curvature(lambda v: 3 * v[:, 0], z)  # no curvature at all
    assert flat.shape == (7, 3, 3) and not flat.any()


def test_the_fisher_matrix_is_the_mean_outer_product_of_per_example_gradients():
    """E over the inputs and over answers drawn from the network itself, enumerated."""
    vector, predict, _, head = problem("categorical")
    found = fisher_matrix(predict, lambda p, q: divergence(head, p, q), vector)
    expected = torch.zeros_like(found)
    probabilities = predict(vector).softmax(1)
    for i in range(20):
        for c in range(3):
            g = torch.func.grad(lambda v, i=i, c=c: predict(v)[i].log_softmax(0)[c])(vector)
            expected += probabilities[i, c] * torch.outer(g, g) / 20
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", HEADS)
def test_the_fisher_matrix_is_the_hessian_of_the_divergence(kind):
    vector, predict, _, head = problem(kind)
    found = fisher_matrix(predict, lambda p, q: divergence(head, p, q), vector)
    fixed = predict(vector).detach()
    hessian = torch.autograd.functional.hessian(lambda v: divergence(head, fixed, predict(v)).mean(), vector)
    torch.testing.assert_close(found, hessian)


def test_the_natural_gradient_of_a_linear_gaussian_model_is_newtons_step():
    with isolated(0):
        head = GaussianHead(3).double()
    x = torch.randn(25, 3, generator=generator(1), dtype=torch.float64)
    y = x @ torch.tensor([1.0, -2.0, 3.0]).double() + 0.1 * torch.randn(25, generator=generator(2)).double() + 4
    vector, _, call = parameter_vector(head)
    predict, objective = lambda v: call(v, x), lambda z: head.losses(z, y).mean()
    state, info = natural_gradient_step(
        natural_gradient_init(vector), predict, objective, lambda p, q: divergence(head, p, q), damping=0.0
    )
    hessian = torch.autograd.functional.hessian(lambda v: objective(predict(v)), vector)
    gradient = torch.func.grad(lambda v: objective(predict(v)))(vector)
    torch.testing.assert_close(state.vector, vector - torch.linalg.solve(hessian, gradient))
    exact = torch.linalg.lstsq(torch.cat([x, torch.ones(25, 1).double()], 1), y).solution
    torch.testing.assert_close(state.vector, exact, rtol=1e-8, atol=1e-8)
    assert state.steps == 1 and info.before > float(objective(predict(state.vector)))


def test_it_does_not_depend_on_the_parametrization():
    """Exactly under a linear map of the parameters, to first order in the step under any; plain gradients do depend."""
    vector, predict, objective, head = problem("binary", n=40)  # no two of its weights do the same
    kl = lambda p, q: divergence(head, p, q)  # noqa: E731
    size = len(vector)
    a = torch.randn(size, size, generator=generator(3), dtype=torch.float64) + 3 * torch.eye(size).double()
    start = torch.linalg.solve(a, vector)
    direct, _ = natural_gradient_step(natural_gradient_init(vector), predict, objective, kl, damping=0.0)
    mapped, _ = natural_gradient_step(
        natural_gradient_init(start), lambda v: predict(a @ v), objective, kl, damping=0.0
    )
    moved = predict(direct.vector) - predict(vector)
    torch.testing.assert_close(predict(a @ mapped.vector) - predict(vector), moved, rtol=1e-3, atol=1e-4)
    assert moved.abs().max() > 0.1

    def bent(v):
        return torch.sinh(v)

    errors = []
    for rate in (1e-2, 1e-3):
        settings = {"learning_rate": rate, "damping": 0.0}
        direct, _ = natural_gradient_step(natural_gradient_init(vector), predict, objective, kl, **settings)
        curved, _ = natural_gradient_step(
            natural_gradient_init(torch.asinh(vector)), lambda v: predict(bent(v)), objective, kl, **settings
        )
        errors.append((predict(bent(curved.vector)) - predict(direct.vector)).abs().max().item() / rate)
    assert errors[1] < errors[0] / 5  # the error falls with the square of the step
    slope = torch.func.grad(lambda v: objective(predict(v)))(vector)
    scaled = torch.func.grad(lambda v: objective(predict(a @ v)))(start)
    assert not torch.allclose(predict(vector - 0.1 * slope), predict(a @ (start - 0.1 * scaled)), atol=1e-3)


def test_natural_gradients_train_and_keep_to_their_trust():
    vector, predict, objective, head = problem("categorical", n=60)
    kl = lambda p, q: divergence(head, p, q)  # noqa: E731
    state = natural_gradient_init(vector)
    values = []
    for _ in range(40):
        before = predict(state.vector)
        state, info = natural_gradient_step(state, predict, objective, kl, damping=1e-3, trust=0.1)
        values.append(info.before)
        assert info.length <= 0.1 + 1e-9
        moved = divergence(head, before, predict(state.vector)).mean().item()
        assert (2 * moved) ** 0.5 < 0.2
    assert values[-1] < 0.8 * values[0]


def test_numbers_that_are_none_end_it_with_a_sentence():
    vector, predict, objective, head = problem()
    broken = lambda z: objective(z) / 0  # noqa: E731
    with pytest.raises(NonFiniteError, match="a finite objective, got inf; raise damping"):
        hessian_free_step(hessian_free_init(vector), predict, broken)
    with pytest.raises(NonFiniteError, match="a gradient that is not finite"):
        hessian_free_step(hessian_free_init(torch.zeros(1)), lambda w: w, lambda z: z.sqrt().sum())
    with pytest.raises(NonFiniteError, match="got inf"):
        natural_gradient_step(natural_gradient_init(vector), predict, broken, lambda p, q: divergence(head, p, q))


def test_wrong_settings_are_refused():
    with pytest.raises(SettingError, match="damping above 0"):
        hessian_free_init(torch.zeros(2), damping=0.0)
    vector, predict, objective, head = problem()
    for wrong in ({"learning_rate": 0.0}, {"damping": -1.0}, {"trust": 0.0}):
        with pytest.raises(SettingError, match="positive learning_rate"):
            natural_gradient_step(
                natural_gradient_init(vector), predict, objective, lambda p, q: divergence(head, p, q), **wrong
            )
