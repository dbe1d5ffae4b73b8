"""Attacks against closed forms of linear models, and the loss that trains on them."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import generator, isolated
from gradus.networks import MLP, CategoricalHead, HeadedNetwork
from gradus.training.adversarial import adversarial_loss, evaluating, fgsm, pgd
from gradus.training.losses import head_loss
from training.small import classifier, rows


def linear(seed=0, features=5):
    weights = torch.randn(features, generator=generator(seed), dtype=torch.float64)
    x = torch.randn(7, features, generator=generator(seed + 1), dtype=torch.float64)
    y = torch.tensor([1.0, -1, 1, 1, -1, -1, 1], dtype=torch.float64)
    return weights, x, y


def logistic(weights, y):
    """The loss of Goodfellow, Shlens & Szegedy 2015, §5: softplus(-y w·x)."""
    return lambda x: F.softplus(-y * (x @ weights))


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 2.0])
def test_fgsm_is_the_exact_worst_case_of_a_linear_model(epsilon):
    """The maximum over the ball is softplus(ε‖w‖₁ - y w·x): the dual norm, in closed form."""
    weights, x, y = linear()
    moved = fgsm(logistic(weights, y), x, epsilon=epsilon)
    exact = F.softplus(epsilon * weights.abs().sum() - y * (x @ weights))
    torch.testing.assert_close(logistic(weights, y)(moved), exact)
    corners = torch.tensor(list(itertools.product([-epsilon, epsilon], repeat=5)), dtype=torch.float64)
    for row, target, most in zip(x, y, exact, strict=True):
        assert logistic(weights, target)(row + corners).max() <= most * (1 + 1e-12)


@pytest.mark.parametrize("steps", [1, 7])
def test_in_the_euclidean_ball_too(steps):
    weights, x, y = linear()
    exact = F.softplus(0.7 * weights.norm() - y * (x @ weights))
    for moved in (
        fgsm(logistic(weights, y), x, epsilon=0.7, norm="l2"),
        pgd(logistic(weights, y), x, epsilon=0.7, norm="l2", steps=steps, generator=None),
    ):
        torch.testing.assert_close(logistic(weights, y)(moved), exact)


def test_a_radius_for_each_feature_makes_a_box_and_an_ellipsoid():
    weights, x, y = linear()
    radius = torch.tensor([0.1, 0.0, 1.0, 0.5, 2.0], dtype=torch.float64)
    box = fgsm(logistic(weights, y), x, epsilon=radius)
    torch.testing.assert_close((box - x).abs(), radius.expand_as(x))
    ellipsoid = pgd(logistic(weights, y), x, epsilon=radius, norm="l2", generator=generator(0), steps=60, step_size=0.5)
    exact = F.softplus((radius * weights).norm() - y * (x @ weights))  # support function of the ellipsoid
    torch.testing.assert_close(logistic(weights, y)(ellipsoid), exact, rtol=1e-6, atol=1e-6)
    assert (ellipsoid[:, 1] == x[:, 1]).all()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    epsilon=st.floats(0, 3),
    norm=st.sampled_from(["linf", "l2"]),
    steps=st.integers(1, 5),
    size=st.floats(0.1, 10),
    low=st.sampled_from([None, -0.5, -3.0]),
    chance=st.booleans(),
)
def test_pgd_never_leaves_the_ball_or_the_range(seed, epsilon, norm, steps, size, low, chance):
    with isolated(seed):
        network, x = MLP(6, (8, 3)), torch.randn(4, 6)
    x[0] = 5.0  # outside the range already: may stay, but not go further out
    high = None if low is None else 0.5
    source = generator(seed) if chance else None
    moved = pgd(
        lambda z: network(z).sum(1),
        x,
        epsilon=epsilon,
        norm=norm,
        steps=steps,
        step_size=size,
        low=low,
        high=high,
        generator=source,
    )
    change = moved - x
    far = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
    assert (far <= epsilon + 1e-5).all()
    if high is not None:
        assert (moved <= torch.clamp(x, min=high)).all() and (moved >= torch.clamp(x, max=low)).all()


def test_more_steps_and_starts_find_no_easier_place():
    network, batch = classifier(dtype=torch.float64), rows(dtype=torch.float64)

    def objective(x):
        return F.cross_entropy(network.head(network.body(x)), batch["targets"], reduction="none")

    x = batch["inputs"]
    found = [
        objective(move)
        for move in (
            x,
            fgsm(objective, x, epsilon=0.5),
            pgd(objective, x, epsilon=0.5, steps=40, generator=None),
        )
    ]
    assert found[0].mean() < found[1].mean() < found[2].mean() * (1 + 1e-9)
    once = objective(pgd(objective, x, epsilon=2.0, steps=3, generator=generator(0)))
    # the same first start, and more of them: each row keeps its worst
    often = objective(pgd(objective, x, epsilon=2.0, steps=3, generator=generator(0), restarts=4))
    assert (often >= once - 1e-12).all() and (often > once + 1e-6).any()


def test_the_start_is_uniform_in_the_ball():
    """Radii of a uniform ball in d dimensions have mean d / (d + 1); a flat objective never moves from the start."""
    x = torch.zeros(20_000, 3, dtype=torch.float64)
    for norm, mean in (("l2", 3 / 4), ("linf", 3 / 4)):  # the largest of three uniform ones has mean 3/4 as well
        moved = pgd(lambda z: 0 * z.sum(1), x, epsilon=2.0, norm=norm, generator=generator(0), steps=1)
        lengths = moved.norm(dim=1) if norm == "l2" else moved.abs().amax(1)
        # the standard deviation of a length is 0.39; five standard errors are passed by chance once in a million
        assert abs(lengths.mean().item() - 2 * mean) < 5 * 0.39 / 20_000**0.5
        assert abs(moved.mean().item()) < 0.02


def test_attacks_leave_gradients_and_modes_alone():
    network, batch = classifier(dropout=0.5), rows()
    network.head.eval()
    before = [m.training for m in network.modules()]
    adversarial_loss(head_loss(network.head), epsilon=0.1).attack(network, batch, generator(0))
    assert [m.training for m in network.modules()] == before
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    with evaluating(network):
        assert not any(m.training for m in network.modules())


def test_running_means_see_no_attack():
    network = HeadedNetwork(None, MLP(4, (6,), normalization="batch"), CategoricalHead(6, 3))
    norm = next(m for m in network.modules() if isinstance(m, nn.BatchNorm1d))
    adversarial_loss(head_loss(network.head), epsilon=0.1, steps=3).attack(network, rows(), generator(0))
    assert norm.num_batches_tracked == 0


def test_the_loss_is_the_mixture_of_both_sums():
    network, batch = classifier(dtype=torch.float64), rows(dtype=torch.float64)
    batch["weights"] = torch.linspace(0.0, 2, 26, dtype=torch.float64)
    base = head_loss(network.head, metrics=True)
    loss = adversarial_loss(base, epsilon=0.2, mixing=0.3)
    moved = loss.attack(network, batch, generator(0))
    assert (moved["inputs"] - batch["inputs"]).abs().amax() == pytest.approx(0.2)
    mixed, clean, hard = (f(network, b, generator(0)) for f, b in ((loss, batch), (base, batch), (base, moved)))
    torch.testing.assert_close(mixed.total, 0.7 * clean.total + 0.3 * hard.total)
    assert mixed.count == clean.count and mixed.metrics.keys() == clean.metrics.keys()
    assert hard.total > clean.total * 1.01


def test_for_a_linear_model_the_gradient_is_that_of_the_closed_form():
    """Training on the fast gradient sign is training on softplus(ε‖w‖₁ - y w·x), as the paper says."""
    weights, x, y = linear()
    w = weights.clone().requires_grad_()
    moved = fgsm(logistic(weights, y), x, epsilon=0.25)
    through = torch.autograd.grad(logistic(w, y)(moved).sum(), w)[0]
    closed = torch.autograd.grad(F.softplus(0.25 * w.abs().sum() - y * (x @ w)).sum(), w)[0]
    torch.testing.assert_close(through, closed)


def test_bytes_are_attacked_as_numbers():
    images = torch.randint(256, (3, 4), dtype=torch.uint8, generator=generator(0))
    network = HeadedNetwork(None, nn.Identity(), CategoricalHead(4, 3))
    batch = {"inputs": images, "targets": torch.tensor([0, 1, 2])}
    moved = adversarial_loss(head_loss(network.head), epsilon=0.25, high=255.0).attack(network, batch, generator(0))
    assert moved["inputs"].dtype == torch.float32 and moved["inputs"].max() <= 255
    assert (moved["inputs"] != images).any()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"epsilon": -1.0}, "epsilon of 0 or more"),
        ({"epsilon": float("nan")}, "epsilon of 0 or more"),
        ({"epsilon": 1.0, "norm": "linff"}, "did you mean 'linf'"),
        ({"epsilon": 1.0, "low": 1.0, "high": 0.0}, "low below high"),
        ({"epsilon": 1.0, "steps": 0}, "1 step"),
        ({"epsilon": 1.0, "restarts": 2}, "a generator"),
        ({"epsilon": 1.0, "step_size": 0.0}, "step_size above 0"),
    ],
)
def test_wrong_settings_are_refused(wrong, sentence):
    with pytest.raises(SettingError, match=sentence):
        pgd(lambda x: x.sum(1), torch.zeros(2, 3), **{"generator": None, **wrong})


def test_wrong_inputs_and_objectives_are_refused():
    with pytest.raises(InputError, match="floating-point"):
        fgsm(lambda x: x.sum(1), torch.zeros(2, 3, dtype=torch.int64), epsilon=1.0)
    with pytest.raises(InputError, match="losses of shape"):
        pgd(lambda x: x.sum(), torch.zeros(2, 3), epsilon=1.0, generator=generator(0), restarts=2)
    for wrong in ({"mixing": 0.0}, {"mixing": 1.5}, {"steps": 0}):
        with pytest.raises(SettingError):
            adversarial_loss(head_loss(CategoricalHead(2, 2)), **{"epsilon": 0.1, **wrong})
