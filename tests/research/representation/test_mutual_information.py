"""A trained critic against the information of Gaussians, ceilings, and the halves of real digits."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from gradus.core.errors import InputError, SettingError
from gradus.foundations.information import info_nce
from gradus.research.representation.mutual_information import BoundLoss, PairCritic, estimate_mutual_information
from gradus.training.options import TrainingOptions
from gradus.training.player import Player

QUICK = TrainingOptions(max_epochs=15, batch_size=128, learning_rate=3e-3, gradient_clip=1.0)
TRUTH = -0.5 * math.log(1 - 0.8**2)


def pairs(n=2500, d=1, rho=0.8, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return 5 + 3 * x, rho * x + (1 - rho**2) ** 0.5 * rng.normal(size=(n, d))


class Exact(nn.Module):
    """The best critic there is, up to two numbers to be trained: a factor and a constant."""

    def __init__(self):
        super().__init__()
        self.strength, self.shift = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))

    def forward(self, x, y):
        x, y = (x - 5) / 3, y.T
        return self.strength * (TRUTH - (0.64 * (x**2 + y**2) - 1.6 * x * y) / 0.72) + self.shift


@pytest.mark.parametrize("bound", ["info_nce", "nwj", "donsker_varadhan"])
def test_gaussians(bound):
    """Within five standard errors above, and as much and 0.08 nats below, for what the critic has not learned."""
    found = estimate_mutual_information(*pairs(), bound=bound, hidden=(32,), options=QUICK)
    assert TRUTH - 0.08 - 5 * found.standard_error < found.estimate < TRUTH + 5 * found.standard_error
    assert found.standard_error < 0.08
    losses = [row["valid_loss"] for row in found.history]
    assert -min(losses) > 0.3 > -losses[0]  # it was learned
    assert found.ceiling == (math.log(128) if bound == "info_nce" else math.inf)


@pytest.mark.parametrize("bound", ["nwj", "donsker_varadhan"])
def test_a_perfect_critic_is_found_and_judged_right(bound):
    critic = Exact()
    options = TrainingOptions(max_epochs=40, batch_size=250, learning_rate=0.05, patience=40)
    found = estimate_mutual_information(*pairs(10_000), bound=bound, critic=critic, options=options)
    assert found.critic is critic
    assert abs(found.estimate - TRUTH) < 5 * found.standard_error < 0.15
    assert critic.strength.item() == pytest.approx(1.0, abs=0.1)
    if bound == "nwj":  # of the other, constants drift, and are set on the validation pairs
        assert critic.shift.item() == pytest.approx(1.0, abs=0.1)


def test_the_ceiling_of_info_nce():
    x, y = pairs(2000, d=8, rho=0.95)  # 9.3 nats
    low = TrainingOptions(max_epochs=10, batch_size=8, learning_rate=3e-3, gradient_clip=1.0)
    found = estimate_mutual_information(x, y, hidden=(32,), options=low)
    assert 0.6 * math.log(8) < found.estimate <= found.ceiling == math.log(8)


def test_halves_of_digits_share_what_shuffled_ones_do_not():
    images = load_digits().images / 16
    found = estimate_mutual_information(images[:, :4], images[:, 4:], hidden=(64,), options=QUICK)
    assert 1.0 < found.estimate < found.ceiling
    others = images[np.random.default_rng(0).permutation(len(images))]
    nothing = estimate_mutual_information(images[:, :4], others[:, 4:], hidden=(64,), options=QUICK)
    assert abs(nothing.estimate) < 0.05


def test_seeds_decide_everything():
    x, y = pairs(300)
    few = TrainingOptions(max_epochs=2, batch_size=32)
    first, again, other = (
        estimate_mutual_information(x, y, hidden=(8,), options=few, random_state=seed) for seed in (0, 0, 1)
    )
    assert first[:2] == again[:2] != other[:2]
    state = torch.get_rng_state()
    estimate_mutual_information(x, y, hidden=(8,), options=few)
    assert torch.equal(torch.get_rng_state(), state) and few.batch_size == 32


def test_the_critic_scores_every_pair():
    torch.manual_seed(0)
    from gradus.networks.preparation import Standardize

    critic = PairCritic(*(Standardize(torch.ones(n), 2 * torch.ones(n)) for n in (3, 4)), hidden=(8, 5))
    x, y = torch.randn(6, 3), torch.randn(7, 2, 2)
    scores = critic(x, y)
    assert scores.shape == (6, 7)
    for i, j in ((0, 0), (2, 5), (5, 6)):
        torch.testing.assert_close(critic(x[i : i + 1], y[j : j + 1])[0, 0], scores[i, j])


def test_a_contrast_is_not_cut_into_parts():
    critic = Exact()
    loss = BoundLoss(info_nce)(critic, {"x": torch.zeros(4, 1), "y": torch.zeros(4, 1)}, torch.Generator())
    assert loss.count == 4 and loss.total.item() == 0
    with pytest.raises(SettingError, match="accumulate"):
        Player("critic", critic, BoundLoss(info_nce), TrainingOptions(accumulate=2))


def test_bad_pairs():
    x, y = pairs(200)
    with pytest.raises(InputError, match="200 and 150"):
        estimate_mutual_information(x, y[:150])
    with pytest.raises(InputError, match="100 or more"):
        estimate_mutual_information(x[:50], y[:50])
    with pytest.raises(InputError, match="finite numbers in y"):
        estimate_mutual_information(x, y * np.nan)
    with pytest.raises(SettingError, match="info_nce, nwj"):
        estimate_mutual_information(x, y, bound="mine")
    with pytest.raises(SettingError, match="hidden layer"):
        estimate_mutual_information(x, y, hidden=())
