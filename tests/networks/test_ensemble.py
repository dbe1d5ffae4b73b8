"""Mixtures against their definition, and members that train as they would alone."""

import copy

import pytest
import torch
from torch.distributions import MixtureSameFamily, Normal

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import generator, isolated
from gradus.networks import (
    MLP,
    BinaryHead,
    CategoricalHead,
    GaussianHead,
    HeadedNetwork,
    MixtureDensityHead,
    MultiLabelHead,
    NegativeBinomialHead,
    OrdinalHead,
    PoissonHead,
    QuantileHead,
)
from gradus.networks.ensemble import ensemble, mixture
from gradus.training.losses import head_loss

CLASSES = {
    "categorical": lambda: CategoricalHead(5, 3),
    "binary": lambda: BinaryHead(5),
    "ordinal": lambda: OrdinalHead(5, 4),
    "labels": lambda: MultiLabelHead(5, 2),
}
NUMBERS = {
    "gaussian": lambda: GaussianHead(5),
    "gaussians": lambda: GaussianHead(5, 2),
    "learned": lambda: GaussianHead(5, 2, variance="learned"),
    "density": lambda: MixtureDensityHead(5, components=2),
    "densities": lambda: MixtureDensityHead(5, 2, components=3),
    "poisson": lambda: PoissonHead(5),
    "negative": lambda: NegativeBinomialHead(5),
}
HEADS = CLASSES | NUMBERS


def members(kind, n=3):
    with isolated(0):
        return [HeadedNetwork(None, MLP(4, (5,), activation="tanh"), HEADS[kind]()).double() for _ in range(n)]


def batch(kind, n=6):
    x = torch.randn(n, 4, generator=generator(1), dtype=torch.float64)
    shape = (n, 2) if kind in ("labels", "gaussians", "learned", "densities") else (n,)
    y = torch.randint(2, shape, generator=generator(2))
    return {"inputs": x, "targets": y if kind in ("categorical", "ordinal") else y.double()}


@pytest.mark.parametrize("kind", HEADS)
def test_the_mixture_has_the_mean_density_of_its_members(kind):
    alone, data = members(kind), batch(kind)
    if kind == "gaussian":  # variances of their own
        for i, network in enumerate(alone):
            network.head.set_variance(1.0 + i)
    both = ensemble(alone)
    parameters = both(data["inputs"])
    found = both.head.distribution(parameters)
    assert found.batch_shape == (6,)
    each = torch.stack([n.head.distribution(n(data["inputs"])).log_prob(data["targets"]) for n in alone])
    torch.testing.assert_close(found.log_prob(data["targets"]), each.exp().mean(0).log())
    torch.testing.assert_close(
        both.head.negative_log_likelihood(parameters, data["targets"]), -each.exp().mean(0).log()
    )
    if kind in CLASSES:
        mean = torch.stack([n.head.probabilities(n(data["inputs"])) for n in alone]).mean(0)
        torch.testing.assert_close(both.head.probabilities(parameters), mean)
    else:
        torch.testing.assert_close(both.head.point(parameters), found.mean)


@pytest.mark.parametrize("kind", [*HEADS, "quantile"])
def test_each_member_gets_the_gradient_it_gets_alone(kind, monkeypatch):
    monkeypatch.setitem(HEADS, "quantile", lambda: QuantileHead(5))
    alone = members(kind)
    both, data = ensemble(copy.deepcopy(alone)), batch(kind)
    loss = head_loss(both.head)(both, data, generator(0))
    losses = [head_loss(n.head)(n, data, generator(0)).total for n in alone]
    torch.testing.assert_close(loss.total, torch.stack(losses).mean())
    loss.total.backward()
    for i, (network, one) in enumerate(zip(alone, losses, strict=True)):
        one.backward()
        for p, q in zip(network.body.parameters(), both.body.members[i].parameters(), strict=True):
            torch.testing.assert_close(q.grad, p.grad)
        for p, q in zip(network.head.parameters(), both.head.members[i].parameters(), strict=True):
            torch.testing.assert_close(q.grad, p.grad)
    weights = {**data, "weights": torch.linspace(0, 2, 6, dtype=torch.float64)}
    torch.testing.assert_close(
        head_loss(both.head)(both, weights, generator(0)).total,
        torch.stack([head_loss(n.head)(n, weights, generator(0)).total for n in alone]).mean(),
    )


@pytest.mark.parametrize("kind", HEADS)
def test_scores_are_those_of_the_joint_answer(kind):
    both, data = ensemble(members(kind)), batch(kind)
    parameters = both(data["inputs"])
    found = both.head.scores(parameters, data["targets"])
    point = both.head.point(parameters)
    if kind in NUMBERS:
        error = (point - data["targets"]).square()
        torch.testing.assert_close(found["squared_error"], error.mean(1) if error.ndim > 1 else error)
    else:
        right = (point == data["targets"]).double()
        torch.testing.assert_close(found["correct"], right.mean(1) if right.ndim > 1 else right)
    copies = ensemble([members(kind)[0]] * 3)
    first = members(kind)[0]
    assert found.keys() == first.head.scores(first(data["inputs"]), data["targets"]).keys()
    for name, values in first.head.scores(first(data["inputs"]), data["targets"]).items():
        torch.testing.assert_close(copies.head.scores(copies(data["inputs"]), data["targets"])[name], values)


def test_quantiles_are_averaged_level_by_level():
    head = QuantileHead(2, quantiles=(0.1, 0.5, 0.9))
    parameters = torch.tensor([[[0.0, 1.0, 2.0], [2.0, 5.0, 6.0]]])
    assert mixture([head], parameters).icdf(torch.tensor([0.5])).tolist() == [3.0]


def test_a_scale_reaches_every_member():
    both = ensemble(members("learned"))
    both.head.set_scale(torch.tensor([100.0, -5.0]), torch.tensor([10.0, 0.1]))
    mean = both.head.distribution(both(torch.zeros(1, 4, dtype=torch.float64))).mean
    assert torch.allclose(mean, torch.tensor([[100.0, -5.0]]).double(), atol=30)
    assert all(torch.equal(head.scale, both.head.members[0].scale) for head in both.head.members)


def test_one_head_serves_all_answers_and_a_wrong_number_is_refused():
    head = GaussianHead(2)
    head.set_variance(4.0)
    found = mixture([head], torch.tensor([[0.0, 2.0]]))
    assert isinstance(found, MixtureSameFamily) and isinstance(found.component_distribution, Normal)
    assert found.variance.item() == pytest.approx(4 + 1)
    with pytest.raises(InputError, match="1 or 3 heads"):
        mixture([head, head], torch.zeros(1, 3))
    for wrong in ([], [torch.nn.Linear(2, 2)]):
        with pytest.raises(SettingError, match="preparation, body and head"):
            ensemble(wrong)
