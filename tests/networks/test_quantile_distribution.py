import numpy as np
import pytest
import torch
from scipy import integrate, stats

from gradus.core.errors import InputError
from gradus.networks.heads import QuantileDistribution, QuantileHead

LEVELS = torch.tensor([0.1, 0.25, 0.5, 0.8, 0.95], dtype=torch.float64)
VALUES = torch.tensor([[-3.0, -1.0, 0.0, 4.0, 5.0], [10.0, 11.0, 13.0, 13.5, 20.0]], dtype=torch.float64)


def made(values=VALUES):
    return QuantileDistribution(LEVELS, values)


def test_it_has_the_quantiles_it_was_given_and_is_linear_between():
    distribution = made()
    torch.testing.assert_close(distribution.icdf(LEVELS.unsqueeze(1)), VALUES.T)
    torch.testing.assert_close(distribution.cdf(VALUES.T), LEVELS.unsqueeze(1).expand(5, 2))
    assert distribution.icdf(torch.tensor(0.65, dtype=torch.float64)).tolist() == pytest.approx([2.0, 13.25])


def test_icdf_and_cdf_undo_each_other_tails_included():
    u = torch.linspace(1e-6, 1 - 1e-6, 1001, dtype=torch.float64).unsqueeze(1)
    distribution = made()
    x = distribution.icdf(u)
    assert (x.diff(dim=0) > 0).all()
    torch.testing.assert_close(distribution.cdf(x), u.expand_as(x))


def test_the_density_is_the_derivative_of_the_cdf():
    x = torch.linspace(-30, 60, 997, dtype=torch.float64).unsqueeze(1).requires_grad_()
    x = x.expand(-1, 2).clone().detach().requires_grad_()
    distribution = made()
    (slope,) = torch.autograd.grad(distribution.cdf(x).sum(), x)
    torch.testing.assert_close(distribution.log_prob(x).exp(), slope)


def test_tails_start_at_the_density_beside_them():
    distribution, eps = made(), 1e-9
    for edge in (VALUES[:, 0], VALUES[:, -1]):
        torch.testing.assert_close(
            distribution.log_prob(edge - eps), distribution.log_prob(edge + eps), atol=1e-6, rtol=0
        )


@pytest.mark.parametrize("row", [0, 1])
def test_moments_are_the_integrals_of_the_inverse_cdf(row):
    distribution = QuantileDistribution(LEVELS, VALUES[row])

    def power(k):
        value, _ = integrate.quad(
            lambda u: distribution.icdf(torch.tensor(u, dtype=torch.float64)).item() ** k,
            0, 1, points=LEVELS.tolist(), limit=500,
        )  # fmt: skip
        return value

    assert distribution.mean.item() == pytest.approx(power(1), rel=1e-6)
    assert distribution.variance.item() == pytest.approx(power(2) - power(1) ** 2, rel=1e-5)


def test_draws_follow_the_cdf():
    distribution = made()
    draws = distribution.sample((20_000,))
    assert draws.shape == (20_000, 2)
    for column in range(2):
        uniform = distribution.cdf(draws)[:, column].numpy()
        assert stats.kstest(uniform, "uniform").pvalue > 1e-5


def test_draws_are_differentiable_in_the_quantiles():
    values = VALUES.clone().requires_grad_()
    made(values).rsample((100,)).sum().backward()
    # Moving all quantiles moves every draw along.
    torch.testing.assert_close(values.grad.sum(1), torch.full((2,), 100.0, dtype=torch.float64))


def test_ties_and_single_precision_far_from_zero_stay_consistent():
    values = torch.tensor([[1e6, 1e6, 1e6 + 1, 1e6 + 1, 1e6 + 1]])
    distribution = QuantileDistribution(LEVELS.float(), values)
    assert distribution.log_prob(values.T).isfinite().all()
    assert distribution.icdf(torch.tensor([0.5])).item() == pytest.approx(1e6 + 1, abs=0.5)
    assert (distribution.sample((1000,)) - 1e6).abs().max() < 20


def test_it_expands_like_any_distribution():
    wide = QuantileDistribution(LEVELS, VALUES[0]).expand((3,))
    assert wide.batch_shape == (3,) and wide.sample((2,)).shape == (2, 3)


def test_quantiles_never_cross_whatever_the_weights_and_the_median_is_interpolated():
    head = QuantileHead(4, 2, quantiles=(0.1, 0.4, 0.8))
    head.set_scale(torch.tensor([5.0, -1e3]), torch.tensor([0.1, 10.0]))
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(std=5)
    parameters = head(torch.randn(100, 4))
    assert (parameters.diff(dim=-1) >= 0).all()
    wanted = np.array([np.interp(0.5, [0.1, 0.4, 0.8], q) for q in parameters.detach().reshape(-1, 3).numpy()])
    np.testing.assert_allclose(head.point(parameters).detach().reshape(-1), wanted, rtol=1e-4)
    assert head.distribution(parameters).log_prob(torch.zeros(100, 2)).shape == (100,)


def test_a_head_without_levels_around_the_median_predicts_its_nearest_quantile():
    head = QuantileHead(4, quantiles=(0.7, 0.9))
    parameters = head(torch.randn(5, 4))
    assert torch.equal(head.point(parameters), parameters[:, 0])


def test_one_level_is_no_distribution():
    head = QuantileHead(4, quantiles=(0.5,))
    parameters = head(torch.zeros(2, 4))
    assert head.losses(parameters, torch.tensor([1.0, -1.0])).tolist() == [1.0, 1.0]  # the absolute error
    with pytest.raises(InputError, match="two or more levels"):
        head.distribution(parameters)
