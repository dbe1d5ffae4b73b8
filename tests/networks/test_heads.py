"""What holds for every head, and each head's numbers against scipy's, scikit-learn's and torch's."""

import copy
import inspect
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from scipy import stats
from scipy.special import log_softmax
from sklearn.metrics import mean_pinball_loss
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.networks import heads
from gradus.networks.heads import (
    HEADS,
    BinaryHead,
    CategoricalHead,
    GaussianHead,
    Head,
    MixtureDensityHead,
    MultiLabelHead,
    NegativeBinomialHead,
    OrdinalHead,
    PoissonHead,
    QuantileHead,
)

B, D = 40, 6
LEVELS = (0.05, 0.3, 0.5, 0.9)


def classes(k):
    return lambda: torch.arange(B) % k


def reals(*event):
    return lambda: 1000 + 50 * torch.randn(B, *event, dtype=torch.float64)


def counts(*event):
    return lambda: torch.poisson(torch.full((B, *event), 30.0, dtype=torch.float64))


def bits(*event):
    return lambda: (torch.rand(B, *event) < 0.4).double()


CASES = {
    "categorical": (lambda: CategoricalHead(D, 4), classes(4)),
    "binary": (lambda: BinaryHead(D), bits()),
    "multilabel": (lambda: MultiLabelHead(D, 3), bits(3)),
    "ordinal": (lambda: OrdinalHead(D, 5), classes(5)),
    "ordinal-2": (lambda: OrdinalHead(D, 2), classes(2)),
    "gaussian": (lambda: GaussianHead(D), reals()),
    "gaussian-k": (lambda: GaussianHead(D, 3), reals(3)),
    "gaussian-1": (lambda: GaussianHead(D, 1), reals(1)),
    "learned": (lambda: GaussianHead(D, variance="learned"), reals()),
    "learned-k": (lambda: GaussianHead(D, 3, "learned"), reals(3)),
    "mixture": (lambda: MixtureDensityHead(D, components=4), reals()),
    "mixture-k": (lambda: MixtureDensityHead(D, 2, 3), reals(2)),
    "quantile": (lambda: QuantileHead(D, quantiles=LEVELS), reals()),
    "quantile-k": (lambda: QuantileHead(D, 2, LEVELS), reals(2)),
    "poisson": (lambda: PoissonHead(D), counts()),
    "poisson-k": (lambda: PoissonHead(D, 2), counts(2)),
    "negative_binomial": (lambda: NegativeBinomialHead(D), counts()),
    "negative_binomial-k": (lambda: NegativeBinomialHead(D, 2), counts(2)),
}
LIKELIHOODS = [name for name in CASES if not name.startswith("quantile")]


def made(name):
    """A head in double precision that knows its targets' scale, its features and targets."""
    head, targets = CASES[name][0]().double(), CASES[name][1]()
    if hasattr(head, "set_scale"):
        head.set_scale(targets.mean(0), targets.std(0))
    return head, torch.randn(B, D, dtype=torch.float64), targets


def test_the_table_of_heads_is_complete():
    concrete = {c for _, c in inspect.getmembers(heads, inspect.isclass) if issubclass(c, Head)}
    assert set(HEADS.values()) == {c for c in concrete if not inspect.isabstract(c)}


@pytest.mark.parametrize("name", CASES)
def test_the_negative_log_likelihood_is_that_of_the_torch_distribution(name):
    head, features, targets = made(name)
    parameters = head(features)
    distribution = head.distribution(parameters)
    assert distribution.batch_shape == (B,) and distribution.event_shape == head.event_shape
    expected = -distribution.log_prob(targets)
    torch.testing.assert_close(head.negative_log_likelihood(parameters, targets), expected)
    if name in LIKELIHOODS:  # the fast path computes it by its own formula
        torch.testing.assert_close(head.losses(parameters, targets), expected)


@pytest.mark.parametrize("name", CASES)
def test_the_total_is_the_sum_and_gradients_are_those_of_finite_differences(name):
    head, features, targets = made(name)
    smoothing = 0.1 if head.smooths else 0.0
    total = head.total_loss(head(features), targets, label_smoothing=smoothing)
    torch.testing.assert_close(total, head.losses(head(features), targets, label_smoothing=smoothing).sum())
    names, weights = zip(*head.named_parameters(), strict=True)
    inputs = (features[:5].clone().requires_grad_(), *(w.detach().clone().requires_grad_() for w in weights))

    def losses(features, *weights):
        parameters = torch.func.functional_call(head, dict(zip(names, weights, strict=True)), features)
        return head.losses(parameters, targets[:5], label_smoothing=smoothing)

    assert torch.autograd.gradcheck(losses, inputs, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_predictions_scores_and_shapes(name):
    head, features, targets = made(name)
    parameters = head(features)
    point = head.point(parameters)
    assert point.shape == targets.shape
    scores = head.scores(parameters, targets)
    assert all(score.shape == (B,) for score in scores.values())
    wanted = "squared_error" if head.task in {"regression", "count"} else "correct"
    hit = (point.double() - targets).square() if wanted == "squared_error" else (point == targets).double()
    torch.testing.assert_close(scores[wanted], hit.reshape(B, -1).mean(1))
    perfect = torch.as_tensor(point).to(targets.dtype)
    best = head.scores(parameters, perfect)[wanted]
    torch.testing.assert_close(best, torch.full_like(best, 0.0 if wanted == "squared_error" else 1.0))


@pytest.mark.parametrize("name", CASES)
def test_stored_and_loaded_it_gives_the_same_answers(name):
    head, features, targets = made(name)
    if name.startswith("gaussian"):
        head.set_variance(7.0)
    other = CASES[name][0]().double()
    other.load_state_dict(load(save({k: v.contiguous() for k, v in head.state_dict().items()})))
    for one, two in ((head, other), (head, copy.deepcopy(head))):
        torch.testing.assert_close(
            one.negative_log_likelihood(one(features), targets),
            two.negative_log_likelihood(two(features), targets), atol=0, rtol=0,
        )  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_wrong_target_shapes_are_refused(name):
    head, features, targets = made(name)
    parameters = head(features)
    for wrong in (targets.unsqueeze(-1), targets.unsqueeze(0), targets[:-1], targets.sum()):
        for method in (head.losses, head.total_loss, head.negative_log_likelihood):
            with pytest.raises(InputError, match="targets of shape"):
                method(parameters, wrong)


REGRESSIONS = [n for n in CASES if n.startswith(("gaussian", "learned", "mixture", "quantile"))]


@pytest.mark.parametrize("name", REGRESSIONS)
def test_units_of_the_user_outside_and_standardized_targets_inside(name):
    """With a scale set, gradients are those of a head without one on standardized targets."""
    head, features, targets = made(name)
    plain = CASES[name][0]().double()
    plain.linear.load_state_dict(head.linear.state_dict())
    mean, std = targets.mean(0), targets.std(0)
    ours = head.total_loss(head(features), targets)
    theirs = plain.total_loss(plain(features), (targets - mean) / std)
    jacobian = 0.0 if name.startswith("quantile") else B * std.log().sum()
    torch.testing.assert_close(ours, theirs + jacobian)
    for one, other in zip(
        torch.autograd.grad(ours, list(head.parameters())),
        torch.autograd.grad(theirs, list(plain.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(head.point(head(features)), mean + std * plain.point(plain(features)))


def numbers(tensor):
    return tensor.detach().numpy()


def oracle(name, head, parameters, targets):
    """The loss of each example by scipy or scikit-learn."""
    p, y = numbers(parameters), numbers(targets)
    if name == "categorical":
        return -log_softmax(p, 1)[np.arange(B), y]
    if name in {"binary", "multilabel"}:
        return -stats.bernoulli.logpmf(y, 1 / (1 + np.exp(-p))).reshape(B, -1).sum(1)
    if name == "ordinal":
        cdf = np.hstack([np.zeros((B, 1)), stats.logistic.cdf(p), np.ones((B, 1))])
        return -np.log(np.diff(cdf)[np.arange(B), y])
    if name == "gaussian":
        return -stats.norm.logpdf(y, p, numbers(head.scale))
    if name == "learned-k":
        return -stats.norm.logpdf(y, p[..., 0], p[..., 1]).sum(1)
    if name == "mixture-k":
        share = np.exp(log_softmax(p[..., 0], 1))
        density = stats.norm.pdf(y[:, None], p[..., 1:3], p[..., 3:]).prod(-1)
        return -np.log((share * density).sum(1))
    if name == "poisson":
        return -stats.poisson.logpmf(y, np.exp(p))
    mean, dispersion = np.exp(p[..., 0]), p[..., 1]
    return -stats.nbinom.logpmf(y, 1 / dispersion, 1 / (1 + dispersion * mean))


@pytest.mark.parametrize(
    "name",
    ["categorical", "binary", "multilabel", "ordinal", "gaussian", "learned-k", "mixture-k", "poisson",
     "negative_binomial"],
)  # fmt: skip
def test_losses_equal_scipys(name):
    head, features, targets = made(name)
    parameters = head(2 * features)
    np.testing.assert_allclose(
        numbers(head.losses(parameters, targets)), oracle(name, head, parameters, targets), rtol=1e-9
    )


def test_the_pinball_loss_equals_scikit_learns():
    head, features, targets = made("quantile")
    parameters = head(features)
    each = [mean_pinball_loss(targets, numbers(parameters[:, i]), alpha=level) for i, level in enumerate(LEVELS)]
    total = head.total_loss(parameters, targets).item()
    assert total == pytest.approx(2 * np.mean(each) * B / head.scale.item(), rel=1e-6)


@pytest.mark.parametrize("name", ["gaussian", "learned", "mixture", "quantile"])
def test_densities_integrate_to_one(name):
    head, features, _ = made(name)
    if name == "gaussian":
        head.set_variance(123.0)
    distribution = head.distribution(head(features[:3]))
    grid = torch.linspace(-4000, 6000, 400_001, dtype=torch.float64).unsqueeze(1)
    area = torch.trapezoid(distribution.log_prob(grid).exp(), grid, dim=0)
    torch.testing.assert_close(area, torch.ones(3, dtype=torch.float64), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["poisson", "negative_binomial"])
def test_probabilities_of_counts_sum_to_one_and_their_moments_are_as_stated(name):
    head, features, _ = made(name)
    parameters = head(features[:3])
    counts = torch.arange(20_000.0, dtype=torch.float64)
    logs = [-head.losses(p.expand(20_000, *p.shape), counts) for p in parameters]
    mass = torch.stack(logs, 1).exp()
    torch.testing.assert_close(mass.sum(0), torch.ones(3, dtype=torch.float64))
    mean = (counts @ mass).detach()
    torch.testing.assert_close(mean, head.point(parameters).detach())
    variance = (counts.square() @ mass).detach() - mean**2
    extra = parameters[:, 1].detach() * mean**2 if name == "negative_binomial" else 0.0
    torch.testing.assert_close(variance, mean + extra)


def fitted(head, targets, steps=200):
    """Minimize the mean loss over a constant feature: what the scoring rule recovers."""
    head = head.double()
    features = torch.ones(len(targets), D, dtype=torch.float64)
    optimizer = torch.optim.LBFGS(
        head.parameters(), max_iter=steps, line_search_fn="strong_wolfe", tolerance_grad=1e-10,
        tolerance_change=1e-14,
    )  # fmt: skip

    def closure():
        optimizer.zero_grad()
        loss = head.total_loss(head(features), targets) / len(targets)
        loss.backward()
        return loss

    optimizer.step(closure)
    return head, head(features[:1]).detach()


@pytest.mark.parametrize("maker", [CategoricalHead, OrdinalHead])
def test_the_minimum_over_classes_is_at_their_frequencies(maker):
    targets = torch.tensor([0] * 10 + [1] * 30 + [2] * 5 + [3] * 55)
    head, parameters = fitted(maker(D, 4), targets)
    wanted = torch.tensor([[0.1, 0.3, 0.05, 0.55]], dtype=torch.float64)
    torch.testing.assert_close(head.probabilities(parameters), wanted, atol=1e-5, rtol=0)


def test_the_minimum_over_labels_is_at_their_frequencies():
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    head, parameters = fitted(MultiLabelHead(D, 2), targets)
    torch.testing.assert_close(head.probabilities(parameters).tolist(), [[0.75, 0.25]], atol=1e-6, rtol=0)
    head, parameters = fitted(BinaryHead(D), targets[:, 0])
    torch.testing.assert_close(head.probabilities(parameters).tolist(), [[0.25, 0.75]], atol=1e-6, rtol=0)


def test_the_minimum_of_a_gaussian_is_at_mean_and_standard_deviation():
    targets = torch.tensor([980.0, 1000.0, 1050.0, 1100.0], dtype=torch.float64)
    head = GaussianHead(D, variance="learned")
    head.set_scale(1000.0, 100.0)
    head, parameters = fitted(head, targets)
    assert parameters[0].tolist() == pytest.approx([1032.5, np.std(targets.numpy())], rel=1e-5)


def test_the_minimum_of_counts_is_at_their_mean_and_dispersion():
    targets = torch.tensor(stats.nbinom.rvs(2.0, 0.2, size=4000, random_state=0), dtype=torch.float64)
    head, parameters = fitted(PoissonHead(D), targets)
    assert head.point(parameters).item() == pytest.approx(targets.mean().item(), rel=1e-5)
    head, parameters = fitted(NegativeBinomialHead(D), targets)
    assert head.point(parameters).item() == pytest.approx(targets.mean().item(), rel=1e-4)
    # True dispersion 1 / 2; its standard error over 4000 draws is about 0.015.
    assert parameters[0, 1].item() == pytest.approx(0.5, abs=0.08)


def test_the_minimum_of_the_pinball_loss_is_at_the_quantiles():
    targets = torch.tensor(stats.expon.rvs(size=999, random_state=0), dtype=torch.float64)
    head = QuantileHead(D, quantiles=LEVELS).double()
    head.set_scale(targets.mean(), targets.std())
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    features = torch.ones(999, D, dtype=torch.float64)
    for _ in range(800):
        optimizer.zero_grad()
        head.total_loss(head(features), targets).div(999).backward()
        optimizer.step()
        schedule.step()
    found = head(features[:1])[0].detach().numpy()
    # Levels found, not values: the data between two order statistics are all minimizers.
    np.testing.assert_allclose(stats.percentileofscore(targets, found) / 100, LEVELS, atol=0.004)


def test_the_minimum_of_a_mixture_finds_two_clusters():
    draws = np.random.default_rng(0)
    targets = torch.tensor(np.concatenate([draws.normal(-50, 2, 3000), draws.normal(30, 5, 1000)]))
    head = MixtureDensityHead(D, components=2)
    head.set_scale(targets.mean(), targets.std())
    _, parameters = fitted(head, targets)
    logit, mean, std = parameters[0].unbind(-1)
    # Standard errors: 0.04 and 0.16 for the means, 0.03 and 0.11 for the deviations.
    assert mean.tolist() == pytest.approx([-50, 30], abs=0.8)
    assert std.tolist() == pytest.approx([2, 5], rel=0.1)
    assert logit.softmax(0).tolist() == pytest.approx([0.75, 0.25], abs=1e-3)


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_label_smoothing_is_torchs(smoothing):
    head, features, targets = made("categorical")
    logits = head(features)
    torch.testing.assert_close(
        head.losses(logits, targets, label_smoothing=smoothing),
        F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing),
    )
    head, features, targets = made("binary")
    logits = head(features)
    pair = torch.stack([torch.zeros_like(logits), logits], 1)  # the same model as two classes
    torch.testing.assert_close(
        head.losses(logits, targets, label_smoothing=smoothing),
        F.cross_entropy(pair, targets.long(), reduction="none", label_smoothing=smoothing),
    )
    head, features, targets = made("multilabel")
    logits = head(features)
    singly = [BinaryHead(D).losses(z, t, label_smoothing=smoothing) for z, t in zip(logits.T, targets.T, strict=True)]
    torch.testing.assert_close(head.losses(logits, targets, label_smoothing=smoothing), sum(singly))


def test_smoothing_a_regression_is_refused():
    head, features, targets = made("gaussian")
    with pytest.raises(SettingError, match="no label_smoothing"):
        head.losses(head(features), targets, label_smoothing=0.1)


def test_ordinal_classes_stay_in_order_whatever_the_weights():
    head = OrdinalHead(D, 6)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(std=8)
    parameters = head(3 * torch.randn(200, D))
    assert (parameters.diff() > 0).all() and (head.thresholds.diff() > 0).all()
    probabilities = head.probabilities(parameters)
    assert (probabilities >= 0).all()
    torch.testing.assert_close(probabilities.sum(1), torch.ones(200), atol=1e-4, rtol=0)
    # A larger w·h moves all cumulative probabilities down, that is the class up.
    rising = head.probabilities(head.thresholds - torch.linspace(-40, 40, 100).unsqueeze(1))
    assert ((rising @ torch.arange(6.0)).diff() >= -1e-5).all()


def test_ordinal_far_in_the_tails_keeps_its_logarithms():
    head = OrdinalHead(D, 3)
    parameters = torch.tensor([[40.0, 42.0], [-42.0, -40.0]], requires_grad=True)
    each = head.losses(parameters, torch.tensor([2, 0]))
    assert each.tolist() == pytest.approx([42.0, 42.0])
    each.sum().backward()
    assert parameters.grad.isfinite().all() and parameters.grad.abs().sum() == pytest.approx(2.0)


def test_two_ordered_classes_are_logistic_regression():
    head, features, targets = made("ordinal-2")
    parameters = head(features)
    binary = BinaryHead(D).losses(-parameters.squeeze(1), targets.double())
    torch.testing.assert_close(head.losses(parameters, targets), binary)


@pytest.mark.parametrize("dispersion", [2e-4, 0.01, 0.049, 0.051, 1.0, 50.0])
@pytest.mark.parametrize("mean", [0.1, 30.0, 2000.0])
def test_negative_binomial_in_single_precision_keeps_its_digits(dispersion, mean):
    y = np.array([0, 1, 7, int(mean), int(2 * mean)])
    parameters = torch.tensor([[math.log(mean), dispersion]]).expand(len(y), 2)
    ours = NegativeBinomialHead(D).losses(parameters, torch.tensor(y, dtype=torch.float32))
    r, m = 1 / parameters[0, 1].double().item(), parameters[0, 0].double().exp().item()
    np.testing.assert_allclose(ours, -stats.nbinom.logpmf(y, r, r / (r + m)), rtol=1e-4, atol=3e-3)


@pytest.mark.parametrize("count", [19.9, 20.1, 35.0])
def test_negative_binomial_agrees_on_both_sides_of_its_change_of_formula(count):
    y = torch.tensor([0.0, 1.0, 5.0, 300.0], dtype=torch.float64)
    parameters = torch.tensor([[math.log(40.0), 1 / count]], dtype=torch.float64).expand(4, 2)
    wanted = -stats.nbinom.logpmf(y.numpy(), count, count / (count + 40.0))
    np.testing.assert_allclose(NegativeBinomialHead(D).losses(parameters, y), wanted, rtol=0, atol=1e-9)


def test_extreme_logits_stay_finite_and_linear():
    head = BinaryHead(D)
    assert head.losses(torch.tensor([1e4, -1e4]), torch.tensor([0.0, 1.0])).tolist() == [1e4, 1e4]
    head = CategoricalHead(D, 2)
    assert head.losses(torch.tensor([[1e4, 0.0]]), torch.tensor([1])).tolist() == [1e4]


def test_fitting_the_variance_makes_the_distribution_honest_and_leaves_training_alone():
    head, features, targets = made("gaussian-k")
    parameters = head(features).detach()
    before = head.total_loss(parameters, targets)
    weights = torch.rand(B, dtype=torch.float64)
    head.fit_variance(parameters, targets, weights)
    residual = np.average((targets - parameters).numpy() ** 2, axis=0, weights=weights)
    np.testing.assert_allclose(head.distribution(parameters).variance[7], residual)
    assert torch.equal(head.total_loss(parameters, targets), before)
    # The fitted variance maximizes the weighted likelihood: any other is worse.
    best = (weights * head.negative_log_likelihood(parameters, targets)).sum()
    for factor in (0.9, 1.1):
        head.set_variance(residual * factor)
        assert (weights * head.negative_log_likelihood(parameters, targets)).sum() > best


def test_a_perfect_fit_still_has_a_density_and_a_constant_target_a_scale():
    head = GaussianHead(D)
    head.set_scale(5.0, 0.0)
    targets = torch.full((4,), 5.0)
    head.fit_variance(targets, targets)
    assert head.scale.item() == 1.0
    assert head.negative_log_likelihood(targets, targets).isfinite().all()


def test_heads_start_at_the_spread_of_the_targets():
    zero = torch.zeros(1, D)
    for head in (GaussianHead(D, variance="learned"), QuantileHead(D, quantiles=(0.05, 0.5, 0.95))):
        head.set_scale(100.0, 15.0)
        distribution = head.distribution(head(zero))
        assert distribution.cdf(torch.tensor([100 + 1.6449 * 15])).item() == pytest.approx(0.95, abs=1e-4)
    head = NegativeBinomialHead(D, 2)
    head.set_scale(np.array([4.0, 100.0]), np.array([6.0, 11.0]))
    torch.testing.assert_close(head.distribution(head(zero)).variance, torch.tensor([[36.0, 121.0]]), rtol=1e-2, atol=0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: GaussianHead(D).set_scale(float("nan"), 1.0), "finite mean"),
        (lambda: GaussianHead(D).set_scale(0.0, -1.0), "finite std"),
        (lambda: GaussianHead(D, 2).set_scale(torch.zeros(3), 1.0), r"mean of shape \(2,\)"),
        (lambda: PoissonHead(D).set_scale(-1.0, 1.0), "counts of a mean of 0 or more, got -1.0"),
        (lambda: PoissonHead(D).set_scale(1.0, -1.0), "finite std"),
        (lambda: NegativeBinomialHead(D, 2).set_scale(np.array([1.0, np.inf]), 1.0), "finite mean"),
        (lambda: NegativeBinomialHead(D, 2).set_scale(np.ones(3), 1.0), r"mean of shape \(2,\), got \(3,\)"),
        (lambda: PoissonHead(D, 3).set_scale(1.0, np.ones(2)), r"std of shape \(3,\), got \(2,\)"),
        (lambda: QuantileHead(D, 2).set_scale(1.0, np.ones(3)), r"std of shape \(2,\), got \(3,\)"),
        (lambda: GaussianHead(D).set_variance(0.0), "positive finite variance"),
    ],
)
def test_impossible_scales_are_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: CategoricalHead(D, 1),
        lambda: OrdinalHead(D, 1),
        lambda: GaussianHead(0),
        lambda: GaussianHead(D, 0),
        lambda: GaussianHead(D, variance="free"),
        lambda: GaussianHead(D, minimum_scale=0.0),
        lambda: GaussianHead(D, variance="learned").set_variance(1.0),
        lambda: MixtureDensityHead(D, components=0),
        lambda: QuantileHead(D, quantiles=()),
        lambda: QuantileHead(D, quantiles=(0.5, 0.1)),
        lambda: QuantileHead(D, quantiles=(0.0, 0.5)),
    ],
)
def test_impossible_heads_are_refused(call):
    with pytest.raises(SettingError, match=r"expected .*; "):
        call()
