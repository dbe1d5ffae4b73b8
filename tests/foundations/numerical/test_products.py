"""Products with matrices never formed, against the matrices formed by torch.autograd.functional."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradus.core.errors import InputError
from gradus.core.randomness import generator, isolated
from gradus.foundations.numerical import (
    gauss_newton_product,
    hessian_vector_product,
    jacobian_vector_product,
    parameter_vector,
    vector_jacobian_product,
)
from gradus.networks import MLP, BinaryHead, CategoricalHead, GaussianHead, HeadedNetwork, OrdinalHead

HEADS = {
    "categorical": lambda: CategoricalHead(3, 3),
    "binary": lambda: BinaryHead(3),
    "ordinal": lambda: OrdinalHead(3, 3),
    "gaussian": lambda: GaussianHead(3, 2),
    "learned": lambda: GaussianHead(3, variance="learned"),
}


def draw(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def bent(x):
    """A function of a matrix with a matrix for answer, no derivative of which is zero or symmetric."""
    return torch.stack([x[0].sin() * x[1], x[0] ** 3 - x[1].exp(), x.prod() * x[0]])


def cost(x):
    return bent(x).square().sum()


def problem(kind):
    """A tiny network as a function of its parameters, and the mean loss of its outputs."""
    with isolated(0):
        network = HeadedNetwork(None, MLP(2, (3,), activation="tanh"), HEADS[kind]()).double()
    y = torch.randint(2, (20, 2) if kind == "gaussian" else (20,), generator=generator(2))
    y = y if kind in ("categorical", "ordinal") else y.double()
    vector, _, call = parameter_vector(network)
    x = draw(20, 2, seed=1)
    return vector, lambda v: call(v, x), lambda z: network.head.losses(z, y).mean()


def test_products_are_those_of_torch():
    x, v, u = draw(2, 4), draw(2, 4, seed=1), draw(3, 4, seed=2)
    value, push = jacobian_vector_product(bent, x)
    torch.testing.assert_close((value, push(v)), torch.autograd.functional.jvp(bent, x, v))
    value, pull = vector_jacobian_product(bent, x)
    torch.testing.assert_close((value, pull(u)), torch.autograd.functional.vjp(bent, x, u))
    value, curve = hessian_vector_product(cost, x)
    torch.testing.assert_close((value, curve(v)), torch.autograd.functional.hvp(cost, x, v))
    again = curve(u[:2])  # the same point serves another direction
    torch.testing.assert_close(again, torch.autograd.functional.hvp(cost, x, u[:2])[1])
    torch.testing.assert_close((u * push(v)).sum(), (pull(u) * v).sum())  # one is the transpose of the other


def test_of_a_networks_parameters_by_name():
    with isolated(0):
        network = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 2)).double()
    x, y = draw(6, 3), torch.arange(6) % 2
    parameters = dict(network.named_parameters())
    call = lambda p: torch.func.functional_call(network, p, x)  # noqa: E731
    direction = {name: draw(*p.shape, seed=i) for i, (name, p) in enumerate(parameters.items())}
    flat = parameter_vector(network)
    row = torch.cat([d.flatten() for d in direction.values()])
    jacobian = torch.func.jacrev(lambda w: flat.call(w, x))(flat.vector)
    _, push = jacobian_vector_product(call, parameters)
    torch.testing.assert_close(push(direction), jacobian @ row)
    _, pull = vector_jacobian_product(call, parameters)
    pulled = pull(draw(6, 2))
    assert list(pulled) == list(parameters)
    flat_pulled = torch.cat([p.flatten() for p in pulled.values()])
    torch.testing.assert_close(flat_pulled, torch.einsum("nc,ncp->p", draw(6, 2), jacobian))
    _, curve = hessian_vector_product(lambda p: F.cross_entropy(call(p), y), parameters)
    curved = torch.cat([p.flatten() for p in curve(direction).values()])
    hessian = torch.autograd.functional.hessian(lambda w: F.cross_entropy(flat.call(w, x), y), flat.vector)
    torch.testing.assert_close(curved, hessian @ row)
    assert hessian.abs().max() > 1e-2


def test_products_are_differentiable_further_where_gradients_are_enabled():
    x, v = draw(2, 4).requires_grad_(), draw(2, 4, seed=1)
    _, curve = hessian_vector_product(lambda x: (x**4).sum(), x)
    (third,) = torch.autograd.grad(curve(v).sum(), x)
    torch.testing.assert_close(third, 24 * x * v)
    _, push = jacobian_vector_product(bent, x)
    (second,) = torch.autograd.grad(push(v).sum(), x)
    torch.testing.assert_close(second, torch.autograd.functional.hvp(lambda x: bent(x).sum(), x.detach(), v)[1])
    with torch.no_grad():
        assert not curve(v).requires_grad and not push(v).requires_grad


def test_where_nothing_changes_products_are_zero():
    x = draw(3)
    assert hessian_vector_product(lambda x: 3 * x.sum(), x)[1](x).tolist() == [0, 0, 0]
    _, pull = vector_jacobian_product(lambda p: p["a"] * 2, {"a": x, "b": x})
    assert pull(x)["b"].tolist() == [0, 0, 0] and pull(x)["a"].tolist() == (2 * x).tolist()
    _, curve = hessian_vector_product(lambda p: (p["a"] ** 2).sum() + p["b"].sum(), {"a": x, "b": x})
    assert curve({"a": x, "b": x})["b"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("kind", HEADS)
def test_the_gauss_newton_product_is_that_of_the_matrix_written_out(kind):
    vector, predict, objective = problem(kind)
    product = gauss_newton_product(predict, objective, vector)
    found = torch.stack([product(e) for e in torch.eye(len(vector), dtype=torch.float64)])
    jacobian = torch.autograd.functional.jacobian(predict, vector).reshape(-1, len(vector))
    outputs = predict(vector).detach()
    hessian = torch.autograd.functional.hessian(lambda z: objective(z.view_as(outputs)), outputs.reshape(-1))
    torch.testing.assert_close(found, jacobian.T @ hessian @ jacobian)
    assert found.abs().max() > 1e-3


def test_for_a_linear_model_it_is_the_hessian():
    with isolated(0):
        network = CategoricalHead(2, 3).double()
    x, y = draw(20, 2, seed=1), torch.arange(20) % 3
    vector, _, call = parameter_vector(network)
    product = gauss_newton_product(lambda v: call(v, x), lambda z: F.cross_entropy(z, y), vector)
    hessian = torch.autograd.functional.hessian(lambda v: F.cross_entropy(call(v, x), y), vector)
    found = torch.stack([product(e) for e in torch.eye(len(vector), dtype=torch.float64)])
    torch.testing.assert_close(found, hessian)
    linear = gauss_newton_product(lambda v: call(v, x), lambda z: z.sum(), vector)
    assert not linear(vector).any()


def test_a_module_as_a_function_of_its_vector():
    with isolated(0):
        network = MLP(3, (4, 2), normalization="layer")
    x = torch.randn(5, 3, generator=generator(0))
    parts = parameter_vector(network)
    assert parts.vector.shape == (sum(p.numel() for p in network.parameters()),)
    torch.testing.assert_close(parts.call(parts.vector, x), network(x))
    other = parts.vector + 0.1
    moved = parts.call(other, x)
    assert not torch.allclose(moved, network(x))
    parts.assign(network, other)
    torch.testing.assert_close(network(x), moved)
    with pytest.raises(InputError, match="trainable"):
        parameter_vector(nn.ReLU())


def test_bad_input_is_refused():
    x = draw(3)
    with pytest.raises(InputError, match=r"floating-point numbers, got torch\.int64"):
        jacobian_vector_product(lambda x: x, torch.arange(3))
    with pytest.raises(InputError, match=r"one number, got shape \(3,\)"):
        hessian_vector_product(lambda x: x**2, x)
    with pytest.raises(InputError, match="depends on the inputs, got one without a gradient"):
        vector_jacobian_product(lambda x: x.detach(), x)
    with pytest.raises(InputError, match=r"a direction of shape \(3,\), got \(2,\)"):
        jacobian_vector_product(lambda x: x**2, x)[1](x[:2])
    with pytest.raises(InputError, match=r"weights of shape \(3,\), got \(1,\)"):
        vector_jacobian_product(lambda x: x**2, x)[1](x[:1])
