"""Projections: against SciPy's solver of the nearest point, and what makes a point the nearest one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize as oracle

from gradus.core.errors import SettingError
from gradus.foundations.numerical import project_l1_ball, project_l2_ball, project_simplex

numbers = st.lists(st.floats(-5, 5), min_size=1, max_size=8)
sizes = st.floats(0.01, 10)

SETS = {
    "simplex": (project_simplex, lambda p, r: p.min() >= 0 and abs(p.sum() - r) < 1e-9 * (1 + r)),
    "l1": (project_l1_ball, lambda p, r: p.abs().sum() <= r * (1 + 1e-9)),
    "l2": (project_l2_ball, lambda p, r: p.norm() <= r * (1 + 1e-9)),
}


def corners(name, n, radius, p):
    """Points of the set towards which every way of leaving ``p`` within it can be judged."""
    eye = torch.eye(n, dtype=torch.float64) * radius
    return {"simplex": eye, "l1": torch.cat([eye, -eye])}.get(name)


@pytest.mark.parametrize("name", SETS)
@given(x=numbers, radius=sizes)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_no_point_of_the_set_is_nearer(name, x, radius):
    """The nearest point p of a convex set has ``(x - p)ᵀ (z - p) <= 0`` for all of its points z, or all corners."""
    project, inside = SETS[name]
    x = torch.tensor(x, dtype=torch.float64)
    p = project(x, radius)
    assert inside(p, radius)
    away = x - p
    if name == "l2":  # the farthest point along x - p
        highest = radius * away.norm()
    else:
        highest = (corners(name, len(x), radius, p) @ away).max()
    assert highest - away.dot(p) <= 1e-8 * (1 + radius) * (1 + x.norm())
    torch.testing.assert_close(project(p, radius), p)
    if inside(x, radius * (1 - 1e-6)) and name != "simplex":
        assert torch.equal(p, x)


@pytest.mark.parametrize("name", SETS)
def test_scipy_finds_the_same_point(name):
    x = np.array([1.3, -0.4, 0.9, 0.1, -2.0])
    constraint = {
        "simplex": [
            {"type": "eq", "fun": lambda z: z.sum() - 1.5},
            {"type": "ineq", "fun": lambda z: z},
        ],
        "l2": [{"type": "ineq", "fun": lambda z: 1.5**2 - z @ z}],
    }
    if name == "l1":  # in twice as many nonnegative numbers the ball is a polytope
        both = oracle(
            lambda z: ((z[:5] - z[5:] - x) ** 2).sum(),
            np.zeros(10),
            bounds=[(0, None)] * 10,
            constraints=[{"type": "ineq", "fun": lambda z: 1.5 - z.sum()}],
            options={"ftol": 1e-14},
        ).x
        found = both[:5] - both[5:]
    else:
        start = np.full(5, 0.3)
        found = oracle(lambda z: ((z - x) ** 2).sum(), start, constraints=constraint[name], options={"ftol": 1e-14}).x
    np.testing.assert_allclose(SETS[name][0](torch.from_numpy(x), 1.5).numpy(), found, atol=1e-6)


@pytest.mark.parametrize("name", SETS)
def test_every_row_is_projected_for_itself(name):
    project, _ = SETS[name]
    x = torch.tensor([[[1.0, 2.0, -1.0], [0.1, 0.1, 0.2]], [[5.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    found = project(x, 0.7)
    assert found.shape == x.shape and found.dtype == torch.float32
    for i in range(2):
        for j in range(2):
            assert torch.equal(found[i, j], project(x[i, j], 0.7))


def test_small_entries_become_exactly_zero_and_signs_stay():
    found = project_l1_ball(torch.tensor([3.0, -2.9, 0.1, -0.1]), 2.0)
    assert found[2:].tolist() == [0, 0] and found[0] > 0 > found[1]
    assert project_l2_ball(torch.zeros(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("radius", [0.0, -1.0, float("nan"), float("inf")])
def test_a_size_that_is_none_is_refused(name, radius):
    with pytest.raises(SettingError, match=r"expected a (radius|total) above 0"):
        SETS[name][0](torch.ones(2), radius)
