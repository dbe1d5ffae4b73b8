"""Lanczos and his quadrature against all eigenvalues, of drawn matrices and of a small network's Hessian on digits."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from foundations.numerical.functions import digits
from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import generator, isolated
from gradus.foundations.numerical import (
    gauss_newton_product,
    hessian_spectrum,
    hessian_vector_product,
    lbfgs_init,
    lbfgs_step,
    minimize,
    parameter_vector,
)


def symmetric(n, seed=0):
    a = torch.randn(n, n, generator=generator(seed), dtype=torch.float64)
    return (a + a.T) / math.sqrt(2 * n)


def test_with_as_many_steps_as_dimensions_the_nodes_are_the_eigenvalues():
    a = symmetric(20)
    exact = torch.linalg.eigvalsh(a)
    found = hessian_spectrum(lambda v: a @ v, exact, generator=generator(1), steps=20, probes=1)
    torch.testing.assert_close(found.values, exact, rtol=0, atol=1e-10)
    assert float(found.weights.sum()) == pytest.approx(1)
    assert found.smallest == pytest.approx(float(exact[0])) and found.largest == pytest.approx(float(exact[-1]))


@pytest.mark.parametrize("shift", [0.0, 5.0, -5.0])
def test_extreme_eigenvalues_and_how_far_they_can_be_trusted(shift):
    a = symmetric(300) + shift * torch.eye(300).double()
    exact = torch.linalg.eigvalsh(a)
    for steps in (10, 30, 80):
        found = hessian_spectrum(lambda v: a @ v, exact, generator=generator(1), steps=steps, probes=2)
        assert float(exact[0]) - 1e-12 <= found.smallest < found.largest <= float(exact[-1]) + 1e-12
        assert float((exact - found.smallest).abs().min()) <= found.smallest_error + 1e-12
        assert float((exact - found.largest).abs().min()) <= found.largest_error + 1e-12
    assert found.smallest == pytest.approx(float(exact[0]), abs=1e-5)
    assert found.largest == pytest.approx(float(exact[-1]), abs=1e-5)
    assert max(found.smallest_error, found.largest_error) < 1e-2


def test_no_eigenvalue_comes_twice():
    """Without reorthogonalization a large eigenvalue that has converged comes back: the trap of plain Lanczos."""
    values = torch.linspace(0, 1, 400, dtype=torch.float64)
    values[-2:] = torch.tensor([5.0, 10.0])
    found = hessian_spectrum(lambda v: values * v, values, generator=generator(0), steps=120, probes=1)
    assert int((found.values > 9).sum()) == 1 and int(((found.values > 4) & (found.values < 6)).sum()) == 1
    weight = float(found.weights[found.values > 9])
    assert 0 < weight < 20 / 400  # of one probe: χ² over 400


def test_moments_are_those_of_the_spectrum():
    """The quadrature of one probe is exact for its polynomials; over probes their mean is tr(A^k) / n."""
    a = symmetric(60, seed=3) + torch.eye(60).double()
    exact = torch.linalg.eigvalsh(a)
    found = hessian_spectrum(lambda v: a @ v, exact, generator=generator(5), steps=6, probes=400)
    for power in (1, 2, 3, 8):
        one = torch.linalg.eigvalsh(a) ** power
        mean = float(found.weights @ found.values**power)
        # ± 5 deviations of the mean of 400 quadratic forms over directions drawn evenly: 2 Σ (λ - mean)² / n (n + 2)
        bound = 5 * math.sqrt(2 * float((one - one.mean()).square().sum()) / (60 * 62) / 400)
        assert abs(mean - float(one.mean())) < bound
        assert bound < 0.2 * float(one.mean())


def test_the_density_is_the_semicircle():
    """A large symmetric matrix of random numbers has Wigner's density: sqrt(4 - x²) / 2π."""
    a = symmetric(1000)
    found = hessian_spectrum(lambda v: a @ v, a[0], generator=generator(2), steps=60, probes=40)
    at = torch.linspace(-1.8, 1.8, 50, dtype=torch.float64)
    density = found.density(at, 0.15)
    assert (density - (4 - at.square()).sqrt() / (2 * math.pi)).abs().max() < 0.03
    wide = torch.linspace(-4, 4, 801, dtype=torch.float64)
    assert float(torch.trapezoid(found.density(wide, 0.15), wide)) == pytest.approx(1, abs=1e-6)


def test_where_directions_are_few_it_ends_early():
    """Of a matrix with three different eigenvalues, three steps hold everything; their shares are known."""
    values = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64).repeat(100)
    found = hessian_spectrum(lambda v: values * v, values, generator=generator(0), steps=50, probes=200)
    assert len(found.values) == 600 and found.smallest_error == found.largest_error == 0
    for eigenvalue in (-1, 0, 2):
        near = (found.values - eigenvalue).abs() < 1e-10
        assert int(near.sum()) == 200
        assert float(found.weights[near].sum()) == pytest.approx(1 / 3, abs=0.015)
    zero = hessian_spectrum(torch.zeros_like, values, generator=generator(0))
    assert not zero.values.any() and zero.largest == 0
    assert float(zero.weights.sum()) == pytest.approx(1)


def trained():
    """A network of 170 weights on 8 principal pixels of digits, its loss, and the weights where training ended."""
    X, y = digits()
    X, y = X[:400, 18:46:2], y[:400] % 4
    with isolated(0):
        network = nn.Sequential(nn.Linear(14, 8), nn.Tanh(), nn.Linear(8, 4)).double()
    start, _, call = parameter_vector(network)
    objective = lambda z: F.cross_entropy(z, y)  # noqa: E731
    loss = lambda w: objective(call(w, X)) + 1e-3 * w.square().sum()  # noqa: E731
    state, _ = minimize(lambda s: lbfgs_step(s, loss), lbfgs_init(loss, start), max_steps=150)
    return start, state.point.vector, loss, lambda w: call(w, X), objective


@pytest.mark.parametrize("single", [False, True])
def test_the_hessian_of_a_network_trained_on_digits(single):
    start, end, loss, predict, objective = trained()
    negatives = []
    for w in (start, end):
        hessian = torch.autograd.functional.hessian(loss, w)
        exact = torch.linalg.eigvalsh(hessian)
        _, product = hessian_vector_product(loss, w)
        take = (lambda v, product=product: product(v.double()).float()) if single else product
        like = w.float() if single else w
        found = hessian_spectrum(take, like, generator=generator(0), steps=60, probes=8)
        close = 1e-4 if single else 1e-6
        assert found.largest == pytest.approx(float(exact[-1]), rel=close)
        assert found.smallest == pytest.approx(float(exact[0]), abs=2e-2 * float(exact[-1]))
        mean = float(exact.mean())
        assert float(found.weights @ found.values) == pytest.approx(mean, rel=0.35)
        share = float(found.weights[found.values > 0.1 * exact[-1]].sum())
        assert share == pytest.approx(float((exact > 0.1 * exact[-1]).double().mean()), abs=0.05)
        negatives.append(float(exact[0]))
    assert negatives[0] < -1e-3  # where it starts the loss is not convex
    curved = gauss_newton_product(predict, objective, end)
    assert hessian_spectrum(curved, end, generator=generator(0), steps=60).smallest > -1e-8


def test_bad_input_is_refused():
    like = torch.ones(3)
    with pytest.raises(SettingError, match="1 step or more"):
        hessian_spectrum(lambda v: v, like, generator=generator(0), steps=0)
    with pytest.raises(InputError, match=r"products of 3 finite numbers, got shape \(2,\)"):
        hessian_spectrum(lambda v: v[:2], like, generator=generator(0))
    with pytest.raises(InputError, match="infinite or missing"):
        hessian_spectrum(lambda v: v / 0, like, generator=generator(0))
    with pytest.raises(InputError, match=r"torch\.int64"):
        hessian_spectrum(lambda v: v, like.long(), generator=generator(0))
    with pytest.raises(SettingError, match="a width above 0"):
        hessian_spectrum(lambda v: v, like, generator=generator(0)).density(like, 0.0)
