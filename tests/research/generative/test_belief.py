"""Sigmoid belief networks and score functions: against enumeration of every state."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from gradus.core.errors import InputError, SettingError
from gradus.research.generative import SigmoidBeliefNet
from gradus.research.generative.belief import BeliefLoss, SigmoidBelief, every_state, exact_log_likelihood
from gradus.research.generative.random_operations import (
    leave_one_out,
    reparameterized_normal,
    score_function,
    straight_through_bernoulli,
    vimco,
)

SMALLEST = 1e-5
BEYOND = 4.5  # standard errors that a right estimate exceeds with a probability below 1e-5


def network_of(features=8, hidden=(4,), seed=0, baseline=0):
    torch.manual_seed(seed)
    network = SigmoidBelief(torch.full((features,), 0.4), hidden, baseline).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, dtype=torch.float64))
    return network


def brute_force(network, rows):
    """log p(x) by listing all states of all layers together."""
    total = []
    for states in itertools.product(*(every_state(width, network.prior) for width in network.widths)):
        total.append(network.log_joint(rows, [state.expand(len(rows), -1) for state in states]))
    return torch.logsumexp(torch.stack(total), 0)


@pytest.mark.parametrize("hidden", [(4,), (3, 2), (2, 3, 2)])
def test_probabilities_sum_to_one_and_equal_brute_force(hidden):
    network = network_of(8, hidden)
    rows = every_state(8, network.prior)
    logs = exact_log_likelihood(network, rows)
    assert logs.exp().sum().item() == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(logs[::17], brute_force(network, rows[::17]).detach())
    with torch.no_grad():
        network.prior[0] += 1  # planted: a prior that is another one than the sum's
        assert (exact_log_likelihood(network, rows) - logs).abs().max() > 0.01


def test_sixteen_bits_sum_to_one():
    network = network_of(16, (6,))
    logs = exact_log_likelihood(network, every_state(16, network.prior))
    assert logs.exp().sum().item() == pytest.approx(1, abs=1e-10)


def test_guesses_sum_to_one_and_are_drawn_as_they_score():
    network = network_of(5, (3, 2))
    row = torch.tensor([[1.0, 0, 1, 1, 0]], dtype=torch.float64)
    pairs = [torch.stack(pair) for pair in zip(*itertools.product(every_state(3), every_state(2)), strict=True)]
    layers = [layer.double().unsqueeze(1) for layer in pairs]
    logs = network.log_guess(row, layers).squeeze(1)
    assert logs.exp().sum().item() == pytest.approx(1, abs=1e-12)
    uniform = torch.rand(20_000, 1, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn, log_q = network.infer(row, uniform)
    torch.testing.assert_close(log_q, network.log_guess(row, drawn))
    places = torch.tensor([16.0, 8, 4, 2, 1], dtype=torch.float64)
    code, known = ((torch.cat(both, -1).squeeze(1) @ places).long() for both in (drawn, layers))
    counts = torch.bincount(code, minlength=32)[known].numpy()
    wanted = logs.exp().detach().numpy() * len(code)
    kept = wanted > 5
    seen, expected = np.append(counts[kept], counts[~kept].sum()), np.append(wanted[kept], wanted[~kept].sum())
    assert chisquare(seen, expected * seen.sum() / expected.sum()).pvalue > SMALLEST
    assert chisquare(seen[::-1], expected * seen.sum() / expected.sum()).pvalue < SMALLEST  # planted


def gradient(network, value):
    found = torch.autograd.grad(value, list(network.parameters()), allow_unused=True)
    parameters = network.parameters()
    return torch.cat(
        [(torch.zeros_like(p) if g is None else g).flatten() for g, p in zip(found, parameters, strict=True)]
    )


def expected(network, row, loss, draws):
    """The expectation of the loss's gradient over every state of ``draws`` draws of three hidden units."""
    states = list(itertools.product(every_state(3, network.prior), repeat=draws))
    layers = [torch.stack([torch.stack(each) for each in states], 1)]
    rows = row.expand(len(states), -1)
    weights = network.log_guess(rows, layers).sum(0).exp().detach()
    return gradient(network, (weights * loss.losses(network, rows, layers)).sum())


def bound(network, row, draws):
    """E log (1/k) Σ w as a function of the weights, by enumeration: what gradients are compared with."""
    states = list(itertools.product(every_state(3, network.prior), repeat=draws))
    layers = [torch.stack([torch.stack(each) for each in states], 1)]
    rows = row.expand(len(states), -1)
    log_q = network.log_guess(rows, layers)
    logs = network.log_joint(rows, layers) - log_q
    return (log_q.sum(0).exp() * (torch.logsumexp(logs, 0) - np.log(draws))).sum()


ROW = torch.tensor([[1.0, 0, 1, 1, 0]], dtype=torch.float64)


@pytest.mark.parametrize("draws", [2, 3])
def test_vimco_gradient_equals_enumeration(draws):
    network = network_of(5, (3,))
    truth = gradient(network, -bound(network, ROW, draws))
    torch.testing.assert_close(expected(network, ROW, BeliefLoss("vimco", draws), draws), truth, rtol=1e-9, atol=1e-11)


def test_nvil_gradient_equals_enumeration_whatever_the_baseline():
    network = network_of(5, (3,), baseline=4).eval()
    network.signal_mean.fill_(-1.7)
    network.signal_square.fill_(1.7**2 + 1)  # a variance of one: the encoder's gradient is not scaled
    truth = gradient(network, -bound(network, ROW, 1))
    found = expected(network, ROW, BeliefLoss("nvil", 1), 1)
    size = sum(p.numel() for p in network.baseline.parameters())
    torch.testing.assert_close(found[:-size], truth[:-size], rtol=1e-9, atol=1e-11)
    assert found[-size:].abs().max() > 1e-3  # the baseline learns, and nothing else asks it to
    value = BeliefLoss("nvil", 1).losses(network, ROW, [torch.ones(1, 1, 3).double()])
    logs = network.log_joint(ROW, [torch.ones(1, 1, 3).double()]) - network.log_guess(
        ROW, [torch.ones(1, 1, 3).double()]
    )
    torch.testing.assert_close(value, -logs[0])


def test_the_check_sees_a_baseline_that_knows_the_draw(monkeypatch):
    network = network_of(5, (3,))
    truth = gradient(network, -bound(network, ROW, 2))
    module = "gradus.research.generative.random_operations.leave_one_out"
    monkeypatch.setattr(module, lambda logs: logs)
    found = expected(network, ROW, BeliefLoss("vimco", 2), 2)
    assert (found - truth).abs().max() > 1e-2


def test_leaving_one_out_equals_its_definition():
    logs = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    for i in range(3):
        others = torch.cat([logs[:i], logs[i + 1 :]])
        mean = torch.logsumexp(torch.cat([others, others.mean()[None]]), 0) - np.log(3)
        assert leave_one_out(logs)[i].item() == pytest.approx(mean.item())
    with pytest.raises(InputError, match="two draws"):
        vimco(logs[:1], logs[:1])


# -- three ways to one gradient -------------------------------------------------------------------------------------


def test_exact_reparameterized_and_score_function_gradients_agree():
    """d/dm and d/ds of E (z³ + z²) for z ~ N(m, s²): 3 m² + 3 s² + 2 m, and 6 m s + 2 s."""
    n, m, s = 200_000, 0.4, 0.7
    noise = torch.randn(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    truth = torch.tensor([3 * m**2 + 3 * s**2 + 2 * m, 6 * m * s + 2 * s])

    def each(surrogate):
        """The gradient of each draw by itself: parameters are repeated."""
        mean = torch.full((n,), m, dtype=torch.float64, requires_grad=True)
        scale = torch.full((n,), s, dtype=torch.float64, requires_grad=True)
        return torch.stack(torch.autograd.grad(surrogate(mean, scale).sum(), [mean, scale]), 1)

    def pathwise(mean, scale):
        draws = reparameterized_normal(mean, scale, noise)
        return draws**3 + draws**2

    def score(mean, scale, baseline=1.0):
        draws = (m + s * noise).detach()
        log_probs = torch.distributions.Normal(mean, scale).log_prob(draws)
        return score_function(draws**3 + draws**2, log_probs, baseline)

    spreads = []
    for surrogate in (pathwise, score):
        found = each(surrogate)
        errors = found.std(0) / n**0.5
        assert ((found.mean(0) - truth).abs() < BEYOND * errors).all()
        spreads.append(found.var(0))
    assert (spreads[0] < spreads[1]).all()  # why one reparameterizes where one can
    found = each(lambda mean, scale: score(mean, scale) / 2 + 0)  # planted: half the gradient
    assert ((found.mean(0) - truth).abs() > 10 * found.std(0) / n**0.5).all()


def test_straight_through_agrees_where_costs_are_linear_and_only_there():
    n = 200_000
    uniform = torch.rand(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    share = torch.sigmoid(torch.tensor(0.8)).double()
    for cost, truth in ((lambda b: 3 * b, 3.0), (lambda b: (b - 0.2) ** 2, 0.6)):  # d/dp of the expected cost
        logits = torch.full((n,), 0.8, dtype=torch.float64, requires_grad=True)
        slope = truth * (share * (1 - share)).item()
        (through,) = torch.autograd.grad(cost(straight_through_bernoulli(logits, uniform)).sum(), logits)
        bits = (uniform < torch.sigmoid(logits)).double().detach()
        log_probs = torch.distributions.Bernoulli(logits=logits).log_prob(bits)
        (scored,) = torch.autograd.grad(score_function(cost(bits), log_probs, 0.3).sum(), logits)
        assert abs(scored.mean().item() - slope) < BEYOND * scored.std().item() / n**0.5
        error = abs(through.mean().item() - slope)
        assert error < 1e-6 if truth == 3.0 else error > 0.05


# -- the estimator --------------------------------------------------------------------------------------------------


def bars(n=1500, seed=0):
    """Rows of eight bits with two causes."""
    rng = np.random.default_rng(seed)
    causes = rng.random((n, 2)) < [0.5, 0.3]
    left, right = np.repeat(causes, 4, axis=1)[:, :4], np.repeat(causes, 4, axis=1)[:, 4:]
    noise = rng.random((n, 8)) < 0.05
    return (np.hstack([left, right]) ^ noise).astype(float)


@pytest.fixture(scope="module", params=["vimco", "nvil"])
def fitted(request):
    return SigmoidBeliefNet(hidden=(3,), gradient=request.param, max_epochs=60, learning_rate=0.02, random_state=0).fit(
        bars()
    )


def test_learned_likelihood_comes_near_the_truth(fitted):
    X = bars(1000, seed=1)
    share = X.mean(0)
    independent = (X * np.log(share) + (1 - X) * np.log(1 - share)).sum(1).mean()
    exact = fitted.exact_score_samples(X).mean()
    entropy = -2.90  # of the source, in nats: two causes (0.693 + 0.611) and eight noisy bits (0.199 each)
    assert independent < -5 and entropy - 0.25 < exact < entropy + 0.15


def test_bound_lies_below_the_likelihood_and_closes(fitted):
    states = every_state(8).numpy().astype(float)  # all different: equal rows share their draws
    exact, many = fitted.exact_score_samples(states), fitted.score_samples(states, 2000)
    shares = np.exp(exact)
    assert shares @ many < shares @ exact + 1e-3
    assert shares @ (exact - many) < (0.01 if fitted.gradient == "vimco" else 0.2)
    ratios = np.exp(many - exact)  # each unbiased
    assert abs(ratios.mean() - 1) < BEYOND * ratios.std() / 16


def test_samples_fit_the_probabilities(fitted):
    states = every_state(8).numpy().astype(float)
    probabilities = np.exp(fitted.exact_score_samples(states))
    assert probabilities.sum() == pytest.approx(1, abs=1e-6)
    drawn = fitted.sample(20_000, random_state=1)
    counts = np.bincount((drawn @ (1 << np.arange(8))).astype(int), minlength=256)

    def fits(wanted):
        kept = wanted * 20_000 > 5
        seen = np.append(counts[kept], counts[~kept].sum() + 1e-9)
        expected = np.append(wanted[kept], wanted[~kept].sum() + 1e-9) * 20_000
        return chisquare(seen, expected * seen.sum() / expected.sum()).pvalue

    assert fits(probabilities) > SMALLEST
    share = states.T @ probabilities  # planted: bits drawn without their causes
    independent = np.prod(np.where(states > 0, share, 1 - share), axis=1)
    assert fits(independent) < SMALLEST


def test_refusals():
    with pytest.raises(SettingError, match="judge each other"):
        SigmoidBeliefNet(samples=1).fit(bars(20))
    with pytest.raises(InputError, match="0 or 1 where the likelihood is Bernoulli"):
        SigmoidBeliefNet(binarize="none").fit(bars(20) / 2)
    model = SigmoidBeliefNet(hidden=(20,), binarize="resample", max_epochs=1).fit(bars(20) / 2)
    with pytest.raises(InputError, match="Bernoulli"):
        model.score_samples(bars(20) / 2)
    with pytest.raises(InputError, match="14 hidden units"):
        model.exact_score_samples(bars(5))
    with pytest.raises(InputError, match="between 0 and 1"):
        SigmoidBeliefNet(binarize="fixed").fit(-bars(20))
