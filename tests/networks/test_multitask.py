"""Several heads on the same features: sums of their own losses, with targets that are not known left out."""

import pytest
import torch
from torch.distributions import Categorical, Normal

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import generator, isolated
from gradus.networks import MLP, BinaryHead, CategoricalHead, GaussianHead, HeadedNetwork, OrdinalHead
from gradus.networks.multitask import Joint, MultiTaskHead
from gradus.training.losses import head_loss

NAN = float("nan")


def made(weights=None):
    with isolated(0):
        heads = [
            CategoricalHead(5, 3),
            GaussianHead(5),
            BinaryHead(5),
            GaussianHead(5, variance="learned"),
            OrdinalHead(5, 4),
        ]
        return HeadedNetwork(None, MLP(2, (5,), activation="tanh"), MultiTaskHead(heads, weights)).double()


def batch(n=8):
    x = torch.randn(n, 2, generator=generator(1), dtype=torch.float64)
    y = torch.rand(n, 5, generator=generator(2), dtype=torch.float64)
    y[:, 0], y[:, 2], y[:, 4] = (3 * y[:, 0]).floor(), (2 * y[:, 2]).floor(), (4 * y[:, 4]).floor()
    return {"inputs": x, "targets": y}


def column(head, values):
    return values.long() if head.integer_targets else values


def test_the_loss_is_the_weighted_sum_of_each_heads():
    weights = [1.0, 0.5, 2.0, 3.0, 0.1]
    network, data = made(weights), batch()
    parameters = network(data["inputs"])
    features = network.features(data["inputs"])
    expected = sum(
        w * head.losses(head(features), column(head, data["targets"][:, k]))
        for k, (w, head) in enumerate(zip(weights, network.head.heads, strict=True))
    )
    torch.testing.assert_close(network.head.losses(parameters, data["targets"]), expected)
    torch.testing.assert_close(network.head.total_loss(parameters, data["targets"]), expected.sum())
    log = network.head.distribution(parameters).log_prob(data["targets"])
    assert log.shape == (8,)
    even = made()
    even.load_state_dict(network.state_dict())
    for one, head in ((0, network.head.heads[0]), (3, network.head.heads[3])):
        likelihood = head.distribution(head(features)).log_prob(column(head, data["targets"][:, one]))
        left = data["targets"].clone()
        left[:, one] = NAN
        partial = network.head.distribution(parameters).log_prob(left)
        torch.testing.assert_close(log - partial, likelihood)


def test_a_target_that_is_not_known_gives_no_gradient():
    network, data = made(), batch()
    data["targets"][:, 1] = NAN
    data["targets"][:4, 0] = NAN
    loss = head_loss(network.head)(network, data, generator(0))
    assert loss.total.isfinite()
    loss.total.backward()
    assert all(p.grad is None or not p.grad.any() for p in network.head.heads[1].parameters())
    known = network.head.heads[0].linear.weight.grad
    head, features = network.head.heads[0], network.features(data["inputs"][4:])
    direct = head.losses(head(features), data["targets"][4:, 0].long()).sum()
    torch.testing.assert_close(known, torch.autograd.grad(direct, head.linear.weight)[0])


def test_points_and_scores_are_each_heads():
    network, data = made(), batch()
    data["targets"][2, :] = NAN
    parameters = network(data["inputs"])
    features = network.features(data["inputs"])
    point, scores = network.head.point(parameters), network.head.scores(parameters, data["targets"])
    for k, head in enumerate(network.head.heads):
        torch.testing.assert_close(point[:, k], head.point(head(features)).double())
        name = "squared_error" if isinstance(head, GaussianHead) else "correct"
        own = head.scores(head(features), column(head, data["targets"][:, k].nan_to_num()))[name]
        own[2] = 0
        torch.testing.assert_close(scores[f"{name}_{k}"], own)
        assert scores[f"known_{k}"].sum() == 7


def test_a_joint_distribution_samples_columns():
    joint = Joint([Normal(torch.tensor([100.0, -100.0]), 1.0), Categorical(logits=torch.tensor([[0.0, 50.0]] * 2))])
    with isolated(0):
        draws = joint.sample((7,))
    assert draws.shape == (7, 2, 2) and (draws[..., 1] == 1).all()
    assert (draws[:, 0, 0] > 90).all() and (draws[:, 1, 0] < -90).all()


def test_wrong_heads_and_targets_are_refused():
    for heads in ([], [GaussianHead(3, 2)], [GaussianHead(3), GaussianHead(4)]):
        with pytest.raises(SettingError, match="single targets"):
            MultiTaskHead(heads)
    for weights in ([1.0], [1.0, 0.0], [1.0, -2.0]):
        with pytest.raises(SettingError, match="2 positive weights"):
            MultiTaskHead([GaussianHead(3), BinaryHead(3)], weights)
    head = MultiTaskHead([GaussianHead(3), BinaryHead(3)])
    with pytest.raises(InputError, match="targets of shape"):
        head.total_loss(head(torch.zeros(4, 3)), torch.zeros(4))
