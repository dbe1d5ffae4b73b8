"""NICE: an exact inverse, a density that autograd and quadrature confirm, and curved data straightened."""

import numpy as np
import pytest
import torch
from scipy import stats

from gradus.core.errors import InputError
from gradus.research.linear_factors import ICA, NICE
from gradus.research.linear_factors.nice import NICENetwork, nice_loss


def stirred(columns=5, prior="logistic", seed=0):
    """A network whose shifts are no longer zero."""
    torch.manual_seed(seed)
    where = torch.linspace(-1, 1, columns).double(), torch.linspace(0.5, 2, columns).double()
    network = NICENetwork(columns, (16, 16), 4, prior, *where).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network


def bent(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return np.stack([x, x**2 + 0.2 * rng.normal(size=n)], 1)


@pytest.mark.parametrize("columns", [1, 2, 5, 8])
@pytest.mark.parametrize("prior", ["logistic", "gaussian"])
def test_inverse_and_determinant_are_exact(columns, prior):
    network = stirred(columns, prior)
    rows = torch.randn(20, columns, dtype=torch.float64)
    z = network(rows)
    torch.testing.assert_close(network.inverse(z), rows, atol=1e-10, rtol=0)
    law = stats.logistic if prior == "logistic" else stats.norm
    for row, found in zip(rows, network.log_prob(rows).detach(), strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda r: network(r[None])[0], row)
        expected = law.logpdf(network(row[None])[0].detach().numpy()).sum() + float(torch.linalg.slogdet(jacobian)[1])
        assert float(found) == pytest.approx(expected, abs=1e-9)
    if columns > 1:
        assert (z - (rows - network.location) / network.scale * network.log_stretch.exp()).abs().max() > 0.1


def test_density_integrates_to_one():
    network = stirred(2)
    axis = torch.linspace(-60, 60, 1201, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        mass = network.log_prob(grid).exp().sum() * (axis[1] - axis[0]) ** 2
    assert float(mass) == pytest.approx(1, abs=1e-3)


def test_loss_is_a_weighted_sum():
    network, rows = stirred(), torch.randn(6, 5, dtype=torch.float64)
    weights = torch.tensor([1.0, 2, 0, 1, 1, 3], dtype=torch.float64)
    drawing = torch.Generator()
    network.requires_grad_(False)
    plain = nice_loss(network, {"inputs": rows}, drawing)
    assert plain.count == 6 and float(plain.total) == pytest.approx(-float(network.log_prob(rows).sum()))
    repeated = nice_loss(network, {"inputs": rows.repeat_interleave(weights.long(), 0)}, drawing)
    weighted = nice_loss(network, {"inputs": rows, "weights": weights}, drawing)
    assert float(weighted.total) == pytest.approx(float(repeated.total))
    assert float(weighted.count) == repeated.count == 8


def test_curved_data_are_straightened(tmp_path):
    X, fresh = bent(), bent(seed=1)
    model = NICE(hidden=(64,), max_epochs=60, learning_rate=3e-3, random_state=0).fit(X)
    truth = (stats.norm.logpdf(fresh[:, 0]) + stats.norm.logpdf(fresh[:, 1], fresh[:, 0] ** 2, 0.2)).mean()
    assert truth - 0.35 < model.score(fresh) < truth + 0.05
    assert ICA(random_state=0).fit(X).score(fresh) < truth - 0.5
    Z = model.transform(fresh)
    np.testing.assert_allclose(model.inverse_transform(Z), fresh, atol=1e-4)
    drawn = model.sample(3000, random_state=0)

    # two-sample Kolmogorov-Smirnov at 1e-6 of what bends; rows with columns shuffled apart are told from them
    def off(rows):
        return rows[:, 1] - rows[:, 0] ** 2

    assert stats.ks_2samp(drawn[:, 0], fresh[:, 0]).pvalue > 1e-6
    assert stats.ks_2samp(drawn[:, 0] + 0.2, fresh[:, 0]).pvalue < 1e-6
    # samples fit the density: their components have the prior's law; wider ones (planted) have not
    for column in model.transform(drawn).T:
        assert stats.kstest(column, stats.logistic.cdf).pvalue > 1e-5
        assert stats.kstest(1.35 * column, stats.logistic.cdf).pvalue < 1e-5
    apart = np.stack([fresh[:, 0], np.random.default_rng(0).permutation(fresh[:, 1])], 1)
    gap = [stats.ks_2samp(off(rows), off(fresh)).statistic for rows in (drawn, apart)]
    assert gap[0] < 0.15 < 0.3 < gap[1]
    again = NICE.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.score_samples(fresh), model.score_samples(fresh))
    with pytest.raises(InputError, match=r"codes of shape \(n, 2\)"):
        model.inverse_transform(np.zeros((3, 5)))


def test_pictures_keep_their_shape():
    X = np.random.default_rng(0).normal(size=(60, 3, 3))
    model = NICE(hidden=(8,), max_epochs=2, random_state=0).fit(X)
    assert model.sample(2, random_state=0).shape == (2, 3, 3)
    assert model.inverse_transform(model.transform(X)).shape == X.shape
    shown = {exhibit.title: exhibit for exhibit in model.exhibits(X)}
    assert {"Learning curves", "Samples", "Likelihoods", "Nearest rows"} <= set(shown) and shown["Samples"].pictures
