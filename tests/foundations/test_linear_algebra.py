"""Linear algebra with tolerances: against LAPACK's own answers, the defining equations, and stated error bounds."""

import math

import numpy as np
import pytest
import torch

from gradus.core.errors import InputError, SettingError
from gradus.foundations.linear_algebra import condition_number, pseudo_inverse, randomized_svd, rank


def matrix(m, n, values, seed=0):
    """A matrix with the given singular values."""
    g = torch.Generator().manual_seed(seed)
    u, _ = torch.linalg.qr(torch.randn(m, len(values), generator=g, dtype=torch.float64))
    v, _ = torch.linalg.qr(torch.randn(n, len(values), generator=g, dtype=torch.float64))
    return (u * torch.as_tensor(values, dtype=torch.float64)) @ v.T


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_rank_counts_what_is_above_the_tolerance():
    a = matrix(30, 20, [5.0, 1.0, 1e-3, 1e-9])
    assert rank(a) == 4
    assert rank(a.float()) == 3  # 1e-9 lies below 30 * 1.2e-7 * 5
    assert rank(a, rtol=1e-3) == 2
    assert rank(a, atol=0.5) == 2 and rank(a, atol=2.0) == 1 and rank(a, atol=6.0) == 0
    assert rank(torch.zeros(3, 4)) == 0 and rank(torch.zeros(0, 4)) == 0
    assert rank(torch.eye(4)) == 4


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5)])
@pytest.mark.parametrize("values", [[3.0, 1.0, 0.2, 0.1], [3.0, 1.0]])
def test_pseudo_inverse_meets_penroses_four_equations(shape, values):
    a = matrix(*shape, values)
    p = pseudo_inverse(a)
    torch.testing.assert_close(a @ p @ a, a)
    torch.testing.assert_close(p @ a @ p, p)
    torch.testing.assert_close((a @ p).T, a @ p)
    torch.testing.assert_close((p @ a).T, p @ a)
    np.testing.assert_allclose(p.numpy(), np.linalg.pinv(a.numpy(), rcond=1e-10), atol=1e-10)


def test_pseudo_inverse_leaves_out_what_the_tolerance_says():
    a = torch.diag(torch.tensor([2.0, 1e-4], dtype=torch.float64))
    assert pseudo_inverse(a)[1, 1] == pytest.approx(1e4)
    for cut in (pseudo_inverse(a, rtol=1e-3), pseudo_inverse(a, atol=1e-3)):
        assert cut.tolist() == [[0.5, 0.0], [0.0, 0.0]]
    assert pseudo_inverse(torch.zeros(2, 3)).tolist() == [[0.0] * 2] * 3


def test_condition_number():
    assert condition_number(matrix(9, 3, [8.0, 3.0, 0.5])) == pytest.approx(16.0)
    hilbert = 1 / (torch.arange(5.0, dtype=torch.float64)[:, None] + torch.arange(5) + 1)
    assert condition_number(hilbert) == pytest.approx(476607.25, rel=1e-6)  # the published value for n = 5
    assert condition_number(torch.zeros(2, 2)) == math.inf


def test_randomized_svd_is_exact_on_low_rank():
    a = matrix(60, 40, [9.0, 5.0, 2.0])
    for given in (a, a.T):
        found = randomized_svd(given, 3, generator=generator(), power_iterations=0)
        torch.testing.assert_close(found.values, torch.tensor([9.0, 5.0, 2.0], dtype=torch.float64))
        torch.testing.assert_close(found.matrix(), given)
        torch.testing.assert_close(found.left.T @ found.left, torch.eye(3, dtype=torch.float64))
        torch.testing.assert_close(found.right.T @ found.right, torch.eye(3, dtype=torch.float64))


def test_power_iterations_bring_it_near_the_best_approximation():
    """A spectrum that falls like 1/i: the tail's energy is large, and without powers the error is too."""
    values = 1 / np.arange(1, 201)
    a = matrix(300, 200, values)
    best = math.sqrt((values[10:] ** 2).sum())
    excess = []
    for q in (0, 1, 2, 6):
        found = randomized_svd(a, 10, generator=generator(), oversampling=5, power_iterations=q)
        excess.append(float(torch.linalg.norm(a - found.matrix())) / best - 1)
    assert excess[0] > 0.03 and excess[0] > excess[1] > excess[2] > excess[3] >= 0
    assert excess[3] < 1e-4
    exact = randomized_svd(a, 10, generator=generator(), oversampling=190, power_iterations=0)
    np.testing.assert_allclose(exact.values.numpy(), values[:10], rtol=1e-10)


def test_oversampling_helps():
    a = matrix(300, 200, 1 / np.arange(1, 201))
    error = [
        float(
            torch.linalg.norm(
                a - randomized_svd(a, 10, generator=generator(), oversampling=p, power_iterations=0).matrix()
            )
        )
        for p in (0, 10, 60)
    ]
    assert error[0] > 1.05 * error[1] and error[1] > 1.02 * error[2]


def test_the_generator_decides():
    a = matrix(50, 30, 1 / np.arange(1, 31))
    same = [randomized_svd(a, 4, generator=generator(s), power_iterations=0).values for s in (0, 0, 1)]
    assert torch.equal(same[0], same[1]) and not torch.equal(same[0], same[2])
    state = torch.get_rng_state()
    randomized_svd(a, 4, generator=generator())
    assert torch.equal(state, torch.get_rng_state())


def test_dtype_and_sign_follow():
    found = randomized_svd(matrix(20, 10, [3.0, 2.0, 1.0]).float(), 2, generator=generator())
    assert {t.dtype for t in found} == {torch.float32}
    assert bool((found.right.gather(0, found.right.abs().argmax(0, keepdim=True)) > 0).all())


@pytest.mark.parametrize(
    ("act", "error", "said"),
    [
        (lambda: rank(torch.zeros(3)), InputError, "two axes"),
        (lambda: rank(torch.zeros(3, 3, dtype=torch.int64)), InputError, "real numbers"),
        (lambda: pseudo_inverse(torch.full((2, 2), math.nan)), InputError, "finite"),
        (lambda: rank(torch.eye(2), rtol=-1.0), SettingError, "rtol of 0 or more"),
        (lambda: rank(torch.eye(2), atol=math.nan), SettingError, "atol of 0 or more"),
        (lambda: condition_number(torch.zeros(0, 2)), InputError, "elements"),
        (lambda: randomized_svd(torch.eye(3), 4, generator=generator()), SettingError, "k from 1 to 3"),
        (lambda: randomized_svd(torch.eye(3), 1, generator=generator(), oversampling=-1), SettingError, "oversampling"),
    ],
)
def test_bad_input_gets_one_sentence(act, error, said):
    with pytest.raises(error, match=said):
        act()
