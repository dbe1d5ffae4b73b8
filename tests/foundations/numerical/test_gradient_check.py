"""The gradient check: right gradients pass it by far, every planted bug fails it, and it says where."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from foundations.numerical.functions import digits
from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import generator, isolated
from gradus.foundations.numerical import check_gradient


def point(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


class Cube(torch.autograd.Function):
    """x³ with a derivative by hand: that times a factor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return x**3

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return upstream * 3 * x**2 * ctx.factor, None


RIGHT = {
    "smooth": lambda x: (x.sin() * x.exp()).sum(),
    "softmax": lambda x: F.cross_entropy(x, torch.arange(3)),
    "kinked": lambda x: F.relu(x).square().sum() + x.abs().sum(),
    "norm": lambda x: x.norm() * x[0, 0],
    "matrices": lambda x: torch.linalg.slogdet(x @ x.T + torch.eye(3).double())[1],
    "large": lambda x: 1e8 * (x**2).sum() + x.sum(),
    "small": lambda x: 1e-12 * (x**2).sum(),
    "constant in disguise": lambda x: (x.sin() ** 2 + x.cos() ** 2).sum() + 1e-9 * x[0, 0],
    "by hand": lambda x: Cube.apply(x, 1.0).sum(),
    "partly flat": lambda x: x[0].tanh().sum() + 5,
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("seed", range(5))
def test_right_gradients_pass_by_far(name, seed):
    check = check_gradient(RIGHT[name], point(3, 4, seed=seed))
    assert check.error < 1e-4 and check.compared == 12
    assert check_gradient(RIGHT[name], point(3, 4), directions=3, generator=generator(0)).error < 1e-4


def test_only_smooth_functions_that_compute_with_complex_numbers_permit_the_complex_step():
    permitted = {name: check_gradient(f, point(3, 4)).complex_step is not None for name, f in RIGHT.items()}
    assert permitted["smooth"] and permitted["by hand"] and permitted["partly flat"] and permitted["small"]
    assert not permitted["kinked"] and not permitted["norm"]


BUGS = {  # a backward, and the error that it has to show at least
    "factor 2": (lambda x: Cube.apply(x, 2.0).sum(), 0.49),
    "factor 1.001": (lambda x: Cube.apply(x, 1.001).sum(), 9e-4),
    "sign": (lambda x: Cube.apply(x, -1.0).sum(), 1.99),
    "zero": (lambda x: Cube.apply(x, 0.0).sum(), 0.99),
    "dropped term": (lambda x: (x.sin() * x.exp().detach()).sum(), 0.05),
    "dropped entry": (lambda x: x[:2].square().sum() + x[2].detach().square().sum(), 0.99),
    "sum for mean": (lambda x: (x.square().mean() - x.square().sum()).detach() + x.square().sum(), 0.9),
}


@pytest.mark.parametrize("name", BUGS)
def test_planted_bugs_are_caught(name):
    f, least = BUGS[name]
    assert check_gradient(f, point(3, 4)).error > least
    seen = check_gradient(f, point(3, 4), directions=4, generator=generator(0))
    assert seen.error > least / 10 and seen.compared == 4


def test_a_tiny_derivative_that_differences_cannot_judge_is_judged_by_the_complex_step():
    """Beside a value of 1e6, a derivative of 1e-6 is lost in rounding; of 1e6 alone it would not be."""

    def wrong(x):
        return 1e6 + 1e-6 * Cube.apply(x, 2.0).sum()

    check = check_gradient(wrong, point(2))
    assert check.complex_step == pytest.approx(3e-6 * point(2)[int(check.where[1])].item() ** 2, rel=1e-12)
    assert check.error == pytest.approx(0.5)
    real = check_gradient(lambda x: wrong(x) + F.relu(x - 100).sum(), point(2))  # relu takes no complex numbers
    assert real.complex_step is None and real.error < 0.5


def test_differences_judge_derivatives_a_millionth_of_the_value():
    check = check_gradient(lambda x: 1 + 1e-6 * Cube.apply(x, 2.0).sum() + F.relu(x - 100).sum(), point(2))
    assert check.complex_step is None and check.error == pytest.approx(0.5, abs=1e-3)


def test_the_place_is_named():
    with isolated(0):
        network = nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10)).double()
    X, y = digits()
    parameters = {name: p.detach() for name, p in network.named_parameters()}

    def loss(p):
        return F.cross_entropy(torch.func.functional_call(network, p, X[:50].double()), y[:50])

    def cut(p):
        return loss({**p, "2.bias": p["2.bias"].detach()})

    right = check_gradient(loss, parameters, directions=2, generator=generator(0))
    assert right.error < 1e-6 and right.compared == 8
    wrong = check_gradient(cut, parameters, directions=2, generator=generator(0))
    assert wrong.error == 1.0 and wrong.where.startswith("['2.bias'] direction") and wrong.gradient == 0.0
    entry = check_gradient(cut, {"2.bias": parameters["2.bias"], "0.bias": parameters["0.bias"]} | parameters)
    assert entry.where.startswith("['2.bias'][") and entry.compared == sum(p.numel() for p in parameters.values())
    scalar = check_gradient(lambda x: x.detach() ** 2 + 0 * x, torch.tensor(3.0, dtype=torch.float64))
    assert (scalar.where, scalar.gradient) == ("", 0.0) and scalar.difference == pytest.approx(6)


def test_at_a_kink_no_gradient_is_right_and_beside_it_both_are_spared():
    zero = torch.zeros(1, dtype=torch.float64)
    assert check_gradient(lambda x: F.relu(x).sum(), zero).error == 1.0
    assert check_gradient(lambda x: F.relu(x).sum(), zero + 1e-6).error < 1e-2
    assert check_gradient(lambda x: F.relu(x).sum(), zero + 1e-3).error < 1e-8


def test_bad_input_is_refused():
    with pytest.raises(InputError, match=r"a point in float64, got torch\.float32"):
        check_gradient(lambda x: x.sum(), torch.ones(2))
    with pytest.raises(InputError, match="a point in float64, got list"):
        check_gradient(lambda x: x.sum(), {"a": [1.0, 2.0]})
    with pytest.raises(InputError, match=r"one number, got shape \(3, 4\)"):
        check_gradient(lambda x: x**2, point(3, 4))
    with pytest.raises(InputError, match="finite numbers"):
        check_gradient(lambda x: x.sum(), point(2) / 0)
    with pytest.raises(InputError, match="a finite value at the point, got nan"):
        check_gradient(lambda x: x.sqrt().sum(), -point(2).abs())
    with pytest.raises(InputError, match="a point with entries"):
        check_gradient(lambda x: x.sum(), point(0))
    with pytest.raises(SettingError, match="1 direction or more and a generator"):
        check_gradient(lambda x: x.sum(), point(2), directions=3)
    with pytest.raises(InputError, match="without a gradient"):
        check_gradient(lambda x: x.sum().detach(), point(2))
