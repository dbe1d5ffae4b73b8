"""Closed forms of information: against scipy, torch's own tables, sums over outcomes and integrals."""

import math

import numpy as np
import pytest
import scipy.spatial
import scipy.special
import scipy.stats
import torch
from scipy.integrate import quad
from torch import distributions as td

from gradus.core.errors import InputError, SettingError
from gradus.foundations.information import (
    cross_entropy,
    entropy,
    js_divergence,
    kl_divergence,
    mutual_information,
)
from gradus.foundations.information.families import family_of, mean_statistics


def f64(*values):
    return torch.tensor(values, dtype=torch.float64)


def tables(*shape, seed=0, zeros=0.0):
    """Random tables of probabilities over the last axis, some of them zero."""
    g = torch.Generator().manual_seed(seed)
    raw = torch.rand(*shape, generator=g, dtype=torch.float64)
    raw = raw * (torch.rand(*shape, generator=g) >= zeros)
    raw[..., 0] += 0.1
    return raw / raw.sum(-1, keepdim=True)


# -- tables -------------------------------------------------------------------------------------------------------


def test_tables_agree_with_scipy():
    p, q = tables(3, 4, 7, zeros=0.3), tables(3, 4, 7, seed=1)
    np.testing.assert_allclose(entropy(p), scipy.stats.entropy(p, axis=-1), rtol=1e-12)
    np.testing.assert_allclose(kl_divergence(p, q), scipy.stats.entropy(p, q, axis=-1), rtol=1e-12)
    np.testing.assert_allclose(cross_entropy(p, q), -(p * q.log()).sum(-1), rtol=1e-12)
    js = [
        [scipy.spatial.distance.jensenshannon(a, b) ** 2 for a, b in zip(*rows, strict=True)]
        for rows in zip(p, q, strict=True)
    ]
    np.testing.assert_allclose(js_divergence(p, q), js, rtol=1e-10)
    np.testing.assert_allclose(js_divergence(p, q), js_divergence(q, p), rtol=1e-12)


def test_tables_broadcast():
    p, q = tables(5, 1, 3), tables(4, 3, seed=1)
    assert kl_divergence(p, q).shape == (5, 4)
    assert kl_divergence(p, q)[2, 3] == kl_divergence(p[2, 0], q[3])


def test_what_cannot_be_is_infinitely_surprising():
    p, q = f64(0.5, 0.5, 0.0), f64(1.0, 0.0, 0.0)
    assert kl_divergence(p, q) == math.inf and cross_entropy(p, q) == math.inf
    assert kl_divergence(q, p) == pytest.approx(math.log(2)) == cross_entropy(q, p).item()
    assert entropy(q) == 0
    assert js_divergence(q, f64(0.0, 0.0, 1.0)) == pytest.approx(math.log(2))


def test_weighted_js_is_information_about_the_source():
    p, q = tables(6), tables(6, seed=1)
    joint = torch.stack([0.2 * p, 0.8 * q])
    assert js_divergence(p, q, weight=0.2).item() == pytest.approx(mutual_information(joint).item(), rel=1e-12)
    mixture = 0.2 * p + 0.8 * q
    by_entropies = entropy(mixture) - 0.2 * entropy(p) - 0.8 * entropy(q)
    assert js_divergence(p, q, weight=0.2).item() == pytest.approx(by_entropies.item(), rel=1e-10)


def test_mutual_information_of_tables():
    joint = tables(2, 30, zeros=0.4).reshape(2, 5, 6)
    parts = entropy(joint.sum(-1)) + entropy(joint.sum(-2)) - entropy(joint.flatten(1))
    np.testing.assert_allclose(mutual_information(joint), parts, rtol=1e-10)
    np.testing.assert_allclose(mutual_information(joint.mT), parts, rtol=1e-10)
    assert mutual_information(tables(4)[:, None] * tables(3, seed=1)).item() == pytest.approx(0, abs=1e-15)


def test_near_tables_keep_their_digits():
    """In single precision, of tables that differ in the fourth digit, a sum of p log(p / q) has none left."""
    p = torch.full((1000,), 1e-3)
    tilt = 1e-4 * torch.linspace(-1, 1, 1000)
    q = p * (1 + tilt)
    exact = -(p.double() * tilt.double().log1p()).sum().item()
    assert kl_divergence(p, q).item() == pytest.approx(exact, rel=2e-3)
    naive = (p * (p / q).log()).sum().item()
    assert abs(naive - exact) > 0.02 * exact


@pytest.mark.parametrize("measure", [kl_divergence, cross_entropy, js_divergence])
def test_slopes_of_tables(measure):
    logits = torch.randn(2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    near = logits + 0.01 * logits.flip(0)
    for other in (logits.flip(0), near):
        start = (logits.clone().requires_grad_(), other.clone().requires_grad_())
        assert torch.autograd.gradcheck(lambda a, b: measure(a.softmax(-1), b.softmax(-1)), start)
    start = logits.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda a: mutual_information(a.flatten().softmax(0).reshape(2, 5)), start)
    zero = torch.tensor([1.0, 0.0], requires_grad=True)
    measure(zero, torch.tensor([0.4, 0.6])).backward()
    assert zero.grad.isfinite().all()


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (torch.tensor([0.5, 0.6]), "sums to 1"),
        (torch.tensor([1.5, -0.5]), "0 or more"),
        (torch.tensor([math.nan, 1.0]), "0 or more"),
        (torch.tensor([0, 1]), "float"),
        (torch.tensor(1.0), "shape"),
        ([0.5, 0.5], "a distribution"),
        (td.MixtureSameFamily(td.Categorical(torch.ones(2)), td.Normal(torch.zeros(2), 1.0)), "exponential family"),
    ],
)
def test_bad_tables(bad, words):
    with pytest.raises(InputError, match=words):
        entropy(bad)


def test_bad_pairs():
    with pytest.raises(InputError, match="3 outcomes"):
        kl_divergence(tables(3), tables(4))
    with pytest.raises(InputError, match="one family"):
        kl_divergence(td.Normal(0.0, 1.0), td.LogNormal(0.0, 1.0))
    with pytest.raises(InputError, match="same loc"):
        kl_divergence(td.Laplace(0.0, 1.0), td.Laplace(1.0, 1.0))
    with pytest.raises(InputError, match="same total_count"):
        cross_entropy(td.Binomial(3, torch.tensor(0.5)), td.Binomial(4, torch.tensor(0.5)))
    with pytest.raises(InputError, match="one of each"):
        kl_divergence(tables(3), td.Categorical(tables(3)))
    with pytest.raises(InputError, match="sampled_js"):
        js_divergence(td.Normal(0.0, 1.0), td.Normal(1.0, 1.0))
    with pytest.raises(SettingError, match="weight"):
        js_divergence(tables(3), tables(3), weight=1.0)
    with pytest.raises(SettingError, match="split from 1 to 2"):
        mutual_information(td.MultivariateNormal(torch.zeros(3), torch.eye(3)))
    with pytest.raises(SettingError, match="no split"):
        mutual_information(torch.full((2, 2), 0.25), split=1)
    with pytest.raises(InputError, match="20 million"):
        entropy(td.Poisson(torch.full((1000,), 1e8)))


# -- exponential families -----------------------------------------------------------------------------------------

TORCH_HAS = {
    "bernoulli": (td.Bernoulli(f64(0.2, 0.9)), td.Bernoulli(f64(0.5, 0.3))),
    "bernoulli by logits": (td.Bernoulli(logits=f64(-30.0, 0.9)), td.Bernoulli(logits=f64(0.5, 0.3))),
    "categorical": (td.Categorical(f64(0.2, 0.8, 0.0)), td.Categorical(f64(0.5, 0.25, 0.25))),
    "geometric": (td.Geometric(f64(0.2, 0.9)), td.Geometric(f64(0.5, 0.3))),
    "normal": (td.Normal(f64(0, 1), f64(2, 3)), td.Normal(f64(1, -1), f64(0.5, 4))),
    "normal far away": (td.Normal(f64(1e6), f64(1e-3)), td.Normal(f64(1e6 + 1e-3), f64(2e-3))),
    "log-normal": (td.LogNormal(f64(1, 0), f64(0.1, 3)), td.LogNormal(f64(1.1, 1), f64(0.2, 2))),
    "half-normal": (td.HalfNormal(f64(1, 2)), td.HalfNormal(f64(3, 0.1))),
    "exponential": (td.Exponential(f64(1, 2)), td.Exponential(f64(3, 0.1))),
    "laplace": (td.Laplace(f64(1, 2), f64(1, 3)), td.Laplace(f64(1, 2), f64(2, 0.3))),
    "gamma": (td.Gamma(f64(1, 2), f64(1, 3)), td.Gamma(f64(1.5, 2.3), f64(2, 0.3))),
    "chi-squared": (td.Chi2(f64(3.0)), td.Gamma(f64(2.0), f64(1.0))),
    "inverse gamma": (td.InverseGamma(f64(1, 2), f64(1, 3)), td.InverseGamma(f64(1.5, 2.3), f64(2, 0.3))),
    "beta": (td.Beta(f64(0.5, 2), f64(1, 3)), td.Beta(f64(1.5, 2.3), f64(2, 0.3))),
    "dirichlet": (td.Dirichlet(f64(1, 2, 4)), td.Dirichlet(f64(1.5, 2.3, 0.2))),
    "poisson": (td.Poisson(f64(0.2, 90)), td.Poisson(f64(3.0, 100))),
    "binomial": (td.Binomial(f64(10, 40), f64(0.2, 0.9)), td.Binomial(f64(10, 40), f64(0.5, 0.3))),
    "independent": (
        td.Independent(td.Normal(torch.zeros(2, 3).double(), 1.0), 1),
        td.Independent(td.Normal(torch.ones(2, 3).double(), 2.0), 1),
    ),
    "gaussian": (
        td.MultivariateNormal(f64(1, 2), f64([2, 0.5], [0.5, 1])),
        td.MultivariateNormal(f64(0, 2.5), f64([1, -0.3], [-0.3, 3])),
    ),
    "low-rank gaussian": (
        td.LowRankMultivariateNormal(f64(1, 2), f64([2], [1]), f64(0.5, 1)),
        td.LowRankMultivariateNormal(f64(0, 2), f64([-1], [1]), f64(1.5, 1)),
    ),
}
TORCH_LACKS = {
    "negative binomial": (
        td.NegativeBinomial(f64(0.5, 40), f64(0.2, 0.9)),
        td.NegativeBinomial(f64(0.5, 40), f64(0.5, 0.3)),
    ),
    "von Mises": (td.VonMises(f64(0, 2), f64(1e-9, 3)), td.VonMises(f64(1, 2.5), f64(2, 40))),
}
NO_ENTROPY = {"poisson", "binomial"}


@pytest.mark.parametrize("name", TORCH_HAS)
def test_one_formula_is_torchs_table(name):
    p, q = TORCH_HAS[name]
    torch.testing.assert_close(kl_divergence(p, q), td.kl_divergence(p, q), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(kl_divergence(q, p), td.kl_divergence(q, p), rtol=1e-9, atol=1e-9)
    if name not in NO_ENTROPY:
        torch.testing.assert_close(entropy(p), p.entropy(), rtol=1e-9, atol=1e-9)
        expected = p.entropy() + td.kl_divergence(p, q)
        torch.testing.assert_close(cross_entropy(p, q), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["poisson", "binomial", "negative binomial"])
def test_counts_against_sums(name):
    p, q = (TORCH_HAS | TORCH_LACKS)[name]
    counts = torch.arange(12_000 if name == "negative binomial" else 400, dtype=torch.float64)[:, None]
    if name == "binomial":
        counts = torch.minimum(counts[:41], p.total_count)
        once = (torch.arange(41)[:, None] <= p.total_count).double()
    else:
        once = 1.0
    mass = p.log_prob(counts).exp() * once
    torch.testing.assert_close(mass.sum(0), torch.ones(2).double())
    torch.testing.assert_close(entropy(p), -(mass * p.log_prob(counts)).sum(0), rtol=1e-9, atol=0)
    torch.testing.assert_close(cross_entropy(p, q), -(mass * q.log_prob(counts)).sum(0), rtol=1e-9, atol=0)
    torch.testing.assert_close(kl_divergence(p, q), cross_entropy(p, q) - entropy(p), rtol=1e-8, atol=0)


@pytest.mark.parametrize("rate", [1e-3, 3.0, 1e6])
def test_poisson_entropy_is_scipys(rate):
    expected = float(scipy.stats.poisson(rate).entropy()) if rate < 1e4 else 0.5 * math.log(2 * math.pi * math.e * rate)
    assert entropy(td.Poisson(f64(rate))).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("r", "success"), [(1e-3, 0.99), (3.0, 0.001), (200.0, 0.5)])
def test_tails_of_counts_are_summed(r, success):
    p = td.NegativeBinomial(f64(r), f64(success))
    expected = scipy.stats.nbinom(r, 1 - success)
    x = np.arange(60_000)
    mass = expected.pmf(x)
    assert entropy(p).item() == pytest.approx(-(mass * expected.logpmf(x)).sum(), rel=1e-9)


def test_von_mises_against_integrals():
    for p, q in (((0.5, 3.0), (0.7, 40.0)), ((0.0, 1.0), (2.0, 0.1))):
        one, other = td.VonMises(*f64(*p)), td.VonMises(*f64(*q))

        def against(log, one=one):
            return quad(lambda x: math.exp(one.log_prob(f64(x))) * log.log_prob(f64(x)).item(), -math.pi, math.pi)[0]

        assert entropy(one).item() == pytest.approx(-against(one), rel=1e-6)
        assert cross_entropy(one, other).item() == pytest.approx(-against(other), rel=1e-6)


@pytest.mark.parametrize("name", TORCH_HAS | TORCH_LACKS)
def test_mean_statistics_reproduce_the_density(name):
    """``log p(x) = η·t(x) - A + log h`` on average: the entropy of a family is that of its own log-densities."""
    p, _ = (TORCH_HAS | TORCH_LACKS)[name]
    torch.manual_seed(0)
    x = p.sample((20_000,))
    logs = -p.log_prob(x)
    z = (logs.mean(0) - entropy(p)) / (logs.std(0) / 20_000**0.5).clamp_min(1e-12)
    assert (z.abs() < 5.3).all()  # 1e-5 for all of them together


def test_means_of_gamma():
    p = td.Gamma(f64(3.0), f64(2.0))
    family = family_of(p)
    log_x, x = mean_statistics(family, family.natural(p, p))
    assert x.item() == pytest.approx(1.5)
    assert log_x.item() == pytest.approx(scipy.special.digamma(3.0) - math.log(2.0))


SLOPES = {
    "normal": lambda a, b: td.Normal(a, b.exp()),
    "gamma": lambda a, b: td.Gamma(a.exp(), b.exp()),
    "poisson": lambda a, b: td.Poisson((a + b).exp()),
    "negative binomial": lambda a, b: td.NegativeBinomial(3.0, logits=a + b),
    "von Mises": lambda a, b: td.VonMises(a, b.exp()),
}


@pytest.mark.parametrize("name", SLOPES)
def test_slopes_of_families(name):
    make = SLOPES[name]
    start = [x.requires_grad_() for x in (f64(0.3, -0.4), f64(0.1, 0.2), f64(0.5, 0.4), f64(-0.3, 0.7))]
    for measure in (kl_divergence, cross_entropy):
        assert torch.autograd.gradcheck(lambda a, b, c, d, of=measure: of(make(a, b), make(c, d)), start)
    assert torch.autograd.gradcheck(lambda a, b: entropy(make(a, b)), start[:2])
    with torch.no_grad():
        assert not kl_divergence(make(*start[:2]), make(*start[2:])).requires_grad


def test_single_precision_in_and_out():
    found = kl_divergence(td.Normal(torch.tensor(0.0), 1.0), td.Normal(torch.zeros(3, 2), 2.0))
    assert found.dtype == torch.float32 and found.shape == (3, 2)


def test_sure_outcomes():
    coin = td.Bernoulli(f64(0.0, 1.0, 0.5))
    assert entropy(coin).tolist() == pytest.approx([0.0, 0.0, math.log(2)])
    assert kl_divergence(coin, td.Bernoulli(f64(0.5, 0.5, 0.0))).tolist() == pytest.approx(
        [math.log(2)] * 2 + [math.inf]
    )
    for sure in (td.Poisson(f64(0.0)), td.Binomial(f64(3.0), f64(1.0)), td.Geometric(f64(1.0))):
        with pytest.raises(InputError, match="not sure"):
            entropy(sure)


def test_js_of_coins_and_of_categories():
    p, q = td.Bernoulli(f64(0.2)[0]), td.Bernoulli(f64(0.7)[0])
    expected = js_divergence(f64(0.8, 0.2), f64(0.3, 0.7))
    assert js_divergence(p, q).item() == pytest.approx(expected.item(), rel=1e-12)
    assert js_divergence(td.Categorical(f64(0.8, 0.2)), td.Categorical(f64(0.3, 0.7))) == expected


# -- gaussian mutual information ----------------------------------------------------------------------------------


def test_gaussian_mutual_information():
    rho = f64(0.0, 0.5, -0.9, 0.999999)
    covariance = torch.stack([torch.stack([torch.ones(4), rho], -1), torch.stack([rho, torch.ones(4)], -1)], -2)
    found = mutual_information(td.MultivariateNormal(torch.zeros(2).double(), covariance), split=1)
    torch.testing.assert_close(found, -0.5 * torch.log1p(-(rho**2)), rtol=1e-9, atol=1e-15)


def test_gaussian_mutual_information_by_entropies():
    root = torch.randn(3, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    joint = td.MultivariateNormal(torch.zeros(5).double(), root @ root.mT)
    c = joint.covariance_matrix
    x = td.MultivariateNormal(torch.zeros(2).double(), c[:, :2, :2])
    y = td.MultivariateNormal(torch.zeros(3).double(), c[:, 2:, 2:])
    expected = x.entropy() + y.entropy() - joint.entropy()
    torch.testing.assert_close(mutual_information(joint, split=2), expected)
