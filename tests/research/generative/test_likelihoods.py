"""Likelihoods: equal to torch's distributions, normalized, and drawn as they score."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from gradus.core.errors import SettingError
from gradus.research.generative.likelihoods import (
    BernoulliLikelihood,
    CategoricalLikelihood,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
)

SMALLEST = 1e-5  # probability with which a right sampler fails


def outputs_for(likelihood, n=3, seed=0):
    noise = torch.randn(n, likelihood.outputs, generator=torch.Generator().manual_seed(seed))
    return (likelihood.start() + noise).double()


def test_bernoulli_equals_torch_in_the_units_of_full_pixels():
    likelihood = BernoulliLikelihood(torch.tensor([0.2, 0.5, 0.9]), full=255.0).double()
    outputs = outputs_for(likelihood)
    bits = torch.tensor([[0.0, 1, 1], [1, 1, 0], [0, 0, 0]], dtype=torch.float64)
    oracle = torch.distributions.Bernoulli(logits=outputs).log_prob(bits).sum(-1)
    torch.testing.assert_close(likelihood.log_prob(outputs, 255 * bits), oracle, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(torch.sigmoid(likelihood.start()), torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64))
    torch.testing.assert_close(likelihood.point(outputs), 255 * torch.sigmoid(outputs))


@pytest.mark.parametrize("spread", ["shared", "columns", "learned"])
def test_gaussian_is_a_density_in_the_units_of_the_data(spread):
    location, scale = torch.tensor([100.0, -3.0]), torch.tensor([15.0, 0.1])
    likelihood = GaussianLikelihood(location, scale, spread).double()
    outputs = outputs_for(likelihood)
    rows = torch.tensor([[90.0, -3.1], [120.0, -2.9], [100.0, -3.0]], dtype=torch.float64)
    deviation = likelihood.deviation(outputs)
    oracle = torch.distributions.Normal(location + scale * outputs[:, :2], scale * deviation)
    torch.testing.assert_close(likelihood.log_prob(outputs, rows), oracle.log_prob(rows).sum(-1))
    assert deviation.shape == {"shared": (), "columns": (2,), "learned": (3, 2)}[spread]
    started = likelihood.deviation(likelihood.start()[None].double())
    torch.testing.assert_close(started, torch.ones_like(started), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("spread", ["shared", "columns", "learned"])
@pytest.mark.parametrize("shift", [0.0, 30.0, -30.0])
def test_discretized_logistic_sums_to_one_and_equals_the_difference_of_sigmoids(spread, shift):
    likelihood = DiscretizedLogisticLikelihood(torch.tensor([100.0]), 256, spread).double()
    outputs = outputs_for(likelihood, 1) + torch.tensor([shift] + [0.0] * (likelihood.outputs - 1)) / 20
    values = torch.arange(256.0, dtype=torch.float64)[:, None]
    logs = likelihood.log_prob(outputs.expand(256, -1), values)
    assert abs(logs.exp().sum().item() - 1) < 1e-10
    scale, half = likelihood._scale(outputs).reshape(-1, 1), 127.5
    below = torch.sigmoid((values[1:-1] / half - 1 - 0.5 / half - outputs[..., :1]) / scale)
    above = torch.sigmoid((values[1:-1] / half - 1 + 0.5 / half - outputs[..., :1]) / scale)
    torch.testing.assert_close(logs[1:-1].exp(), (above - below).squeeze(-1), rtol=1e-6, atol=1e-12)


def test_categories_equal_torch_and_unknown_values_have_no_probability():
    values = [torch.tensor([1.0, 4.0]), torch.tensor([-2.0, 0.0, 7.0])]
    shares = [torch.tensor([0.5, 0.5]), torch.tensor([0.2, 0.3, 0.5])]
    likelihood = CategoricalLikelihood(values, shares).double()
    outputs = outputs_for(likelihood, 2)
    rows = torch.tensor([[4.0, -2.0], [1.0, 7.0]], dtype=torch.float64)
    first = torch.distributions.Categorical(logits=outputs[:, :2]).log_prob(torch.tensor([1, 0]))
    second = torch.distributions.Categorical(logits=outputs[:, 2:]).log_prob(torch.tensor([0, 2]))
    torch.testing.assert_close(likelihood.log_prob(outputs, rows), first + second)
    assert likelihood.log_prob(outputs, rows + 0.5).tolist() == [-np.inf, -np.inf]
    assert likelihood.prepare(rows).shape == (2, 5)
    torch.testing.assert_close(likelihood.prepare(rows)[0], torch.tensor([-0.5, 0.5, 0.8, -0.3, -0.5]).double())
    with pytest.raises(SettingError, match="a value or more"):
        CategoricalLikelihood([torch.zeros(0)], [torch.zeros(0)])


def goodness(counts, probabilities):
    kept = probabilities * counts.sum() > 5
    seen = np.append(counts[kept], counts[~kept].sum())
    wanted = np.append(probabilities[kept], probabilities[~kept].sum()) * counts.sum()
    return chisquare(seen[wanted > 0], wanted[wanted > 0]).pvalue


MAKERS = {
    "bernoulli": (lambda: BernoulliLikelihood(torch.tensor([0.3])), [0.0, 1.0]),
    "logistic": (lambda: DiscretizedLogisticLikelihood(torch.tensor([3.0]), 8), list(range(8))),
    "categorical": (
        lambda: CategoricalLikelihood([torch.tensor([2.0, 5.0, 9.0])], [torch.tensor([0.2, 0.7, 0.1])]),
        [2.0, 5.0, 9.0],
    ),
}


@pytest.mark.parametrize("name", MAKERS)
def test_draws_fit_the_probabilities(name):
    make, values = MAKERS[name]
    likelihood = make().double().requires_grad_(False)
    outputs = outputs_for(likelihood, 1)
    drawn = likelihood.draw(outputs.expand(20_000, -1), torch.Generator().manual_seed(1)).flatten().numpy()
    assert set(drawn) <= set(values)
    counts = np.array([(drawn == value).sum() for value in values])
    each = likelihood.log_prob(outputs.expand(len(values), -1), torch.tensor(values).double()[:, None])
    probabilities = each.exp().detach().numpy()
    assert goodness(counts, probabilities) > SMALLEST
    # planted: the neighbour's probability
    assert goodness(counts, np.roll(probabilities, 1)) < SMALLEST


def test_gaussian_draws_have_their_moments():
    likelihood = GaussianLikelihood(torch.tensor([10.0]), torch.tensor([2.0]))
    drawn = likelihood.draw(torch.full((40_000, 1), 1.5), torch.Generator().manual_seed(0))
    error = 2 / 200  # of the mean, at a deviation of 2

    def fits(values):
        return (
            abs(values.mean().item() - 13) < 4.5 * error
            and abs(values.var().item() / 4 - 1) < 4.5 * (2 / 40_000) ** 0.5
        )

    assert fits(drawn)
    # planted: the unit left out of the noise, the mean left in other units, a deviation off by a twentieth
    assert not any(map(fits, (13 + (drawn - 13) / 2, drawn - 10, 13 + (drawn - 13) * 1.05)))
