"""Functions of logarithms against arithmetic of 340 digits, and slopes that stay finite."""

import math
from decimal import Decimal, getcontext

import pytest
import torch

from gradus.foundations.log_space import inverse_softplus, log1mexp, log_mean_exp, log_subtract_exp

getcontext().prec = 340
POINTS = [1e-300, 1e-20, 1e-8, 0.1, 0.6931, math.log(2), 0.6932, 1.0, 20.0, 50.0, 700.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_against_many_digits(dtype):
    x = torch.tensor(POINTS if dtype == torch.float64 else POINTS[1:-1], dtype=dtype)
    rounding = 4 * torch.finfo(dtype).eps
    exact = torch.tensor([float((1 - (-Decimal(v)).exp()).ln()) for v in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(log1mexp(x).double(), exact, rtol=rounding, atol=0)
    inverse = torch.tensor([float((Decimal(v).exp() - 1).ln()) for v in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(inverse_softplus(x).double(), inverse, rtol=rounding, atol=rounding)


def test_edges():
    assert log1mexp(torch.tensor(0.0)) == -math.inf
    assert log1mexp(torch.tensor(math.inf)) == 0
    assert log_subtract_exp(torch.tensor(2.0), torch.tensor(2.0)) == -math.inf
    assert log_subtract_exp(torch.tensor(2.0), torch.tensor(-math.inf)) == 2
    assert log_subtract_exp(torch.tensor(1.0), torch.tensor(2.0)).isnan()
    large = torch.tensor([1e4, 88.8, 1e30])
    torch.testing.assert_close(inverse_softplus(large), large)


def test_slopes():
    x = torch.tensor([0.01, 0.5, 0.7, 3.0, 30.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(log1mexp, x)
    assert torch.autograd.gradcheck(inverse_softplus, x)
    assert torch.autograd.gradcheck(lambda v: log_subtract_exp(v + 1, 0.5 * v), x)
    wide = torch.tensor([1e-30, 1e-8, 1e3, 1e30], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(log1mexp(wide).sum(), wide)
    expected = torch.tensor([1e30, 1e8, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(slope, expected, rtol=1e-6, atol=1e-12)


def test_log_mean_exp():
    values = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for axis in (0, 1, -1):
        torch.testing.assert_close(log_mean_exp(values, axis), values.exp().mean(axis).log())
    torch.testing.assert_close(log_mean_exp(values - 2000), log_mean_exp(values) - 2000)
    assert log_mean_exp(torch.tensor([0.0, -math.inf])).item() == pytest.approx(-math.log(2))
