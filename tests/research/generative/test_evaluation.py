"""Judging generative models: closed forms, planted collapse, planted copies, honest likelihoods."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import kstest
from scipy.stats import t as student
from sklearn.datasets import load_digits

from gradus.applications.vision import ImageClassifier
from gradus.core.errors import InputError
from gradus.research.autoregressive import FVBN, MADE, NADE, PixelCNN
from gradus.research.generative import GAN, VAE, SigmoidBeliefNet
from gradus.research.generative.evaluation import (
    bits_per_dimension,
    covered_rows,
    dequantize,
    features_of,
    frechet_between,
    frechet_distance,
    held_out_likelihood,
    kernel_distance,
    memorization,
    nearest_rows,
    precision_recall,
)
from gradus.research.inference import BernoulliMixture, GaussianMixture


def clusters(n, which=range(6), seed=0):
    """Points around the corners of a hexagon."""
    rng = np.random.default_rng(seed)
    angles = rng.choice(list(which), n) * math.pi / 3
    return 5 * np.stack([np.cos(angles), np.sin(angles)], 1) + 0.3 * rng.normal(size=(n, 2))


# -- distances --------------------------------------------------------------------------------------------------------


def test_frechet_of_gaussians_equals_closed_forms():
    rng = np.random.default_rng(0)
    m, n = rng.normal(size=(2, 4))
    left, right = rng.normal(size=(2, 4, 4))
    a, b = left @ left.T, right @ right.T
    oracle = ((m - n) ** 2).sum() + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    assert frechet_between(m, a, n, b) == pytest.approx(oracle, rel=1e-6)
    # covariances with common axes: the distance of the standard deviations
    s, t = np.array([1.0, 2.0, 0.0]), np.array([3.0, 0.5, 1.0])
    assert frechet_between(np.zeros(3), np.diag(s**2), np.ones(3), np.diag(t**2)) == pytest.approx(
        3 + ((s - t) ** 2).sum()
    )
    with pytest.raises(InputError, match=r"shape \(d,\)"):
        frechet_between([0.0], [[1.0]], [0.0, 0.0], [[1.0]])


def test_frechet_of_samples_comes_near_that_of_their_sources():
    rng = np.random.default_rng(1)
    X, Y = rng.normal(0, 1, (40_000, 3)), rng.normal(1, 2, (40_000, 3))
    assert frechet_distance(X, Y) == pytest.approx(3 * (1 + 1), rel=0.03)
    assert frechet_distance(X, X) == pytest.approx(0, abs=1e-9)
    assert 0 < frechet_distance(X[:200], X[200:400]) > frechet_distance(X[:20_000], X[20_000:])  # biased by few rows
    with pytest.raises(InputError, match="one width"):
        frechet_distance(X, Y[:, :2])
    with pytest.raises(InputError, match="finite"):
        frechet_distance(X, np.full((3, 3), np.nan))


def test_kernel_distance_is_zero_on_average_and_its_interval_holds():
    rng = np.random.default_rng(2)
    found = [kernel_distance(rng.normal(size=(80, 3)), rng.normal(size=(80, 3)), blocks=8) for _ in range(300)]
    values = np.array([each.value for each in found])
    assert abs(values.mean()) < 4.5 * values.std() / 300**0.5
    assert (values < 0).mean() > 0.3  # unbiased: below zero about half the time
    holds = np.mean([each.low < 0 < each.high for each in found])
    assert 0.88 < holds < 1  # of 300 that hold 95 of 100 times, all do once in millions: of wider ones they would
    shifted = np.mean([each.low < 3 * values.std() < each.high for each in found])
    assert shifted < 0.5  # planted: a value three deviations off
    far = kernel_distance(rng.normal(size=(400, 3)), rng.normal(0.5, 1, (400, 3)))
    assert far.low > 0
    with pytest.raises(InputError, match="two blocks"):
        kernel_distance(np.zeros((5, 2)), np.zeros((50, 2)))


def test_kernel_distance_equals_the_polynomials_moments():
    """Of one dimension, (xy + 1)³ sees the differences of the first three moments, three times the first and second."""
    rng = np.random.default_rng(3)
    X, Y = rng.normal(0, 1, 200_0), rng.normal(0.7, 1.5, 200_0)
    truth = sum(c * (np.mean(X**p) - np.mean(Y**p)) ** 2 for p, c in ((1, 3), (2, 3), (3, 1)))
    found = kernel_distance(X[:, None], Y[:, None], blocks=2)
    assert found.value == pytest.approx(truth, rel=0.2) and truth > 5


# -- neighbours -------------------------------------------------------------------------------------------------------


def test_lost_modes_lower_recall_and_coverage_but_not_precision():
    real = clusters(600)
    good = precision_recall(real, clusters(600, seed=1))
    assert min(good.precision, good.recall, good.coverage) > 0.9 and 0.85 < good.density < 1.15
    collapsed = precision_recall(real, clusters(600, which=[0, 1, 2], seed=1))
    assert collapsed.precision > 0.9
    assert 0.4 < collapsed.recall < 0.6 and 0.4 < collapsed.coverage < 0.6


def test_samples_beside_the_data_lower_precision_and_density_but_not_recall():
    real = clusters(600)
    samples = np.concatenate([clusters(300, seed=1), 20 + np.random.default_rng(0).random((300, 2))])
    found = precision_recall(real, samples)
    assert 0.45 < found.precision < 0.55 and 0.4 < found.density < 0.6
    assert found.recall > 0.85 and found.coverage > 0.7


def test_precision_and_coverage_equal_their_definitions():
    rng = np.random.default_rng(4)
    real, drawn, k = rng.normal(size=(30, 2)), rng.normal(0.5, 1, (25, 2)), 3

    def radii(points):
        apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
        return np.sort(apart, axis=1)[:, k]  # the first is the point itself

    apart = np.linalg.norm(real[:, None] - drawn[None], axis=-1)
    inside = apart <= radii(real)[:, None]
    found = precision_recall(real, drawn, k=k)
    assert found.precision == pytest.approx(inside.any(0).mean()) and found.coverage == pytest.approx(
        inside.any(1).mean()
    )
    assert found.density == pytest.approx(inside.sum() / (k * 25))
    assert found.recall == pytest.approx((apart <= radii(drawn)[None]).any(1).mean())
    with pytest.raises(InputError, match="below the number of rows"):
        precision_recall(real, drawn, k=25)


def test_planted_copies_are_flagged_and_fresh_samples_are_not():
    rng = np.random.default_rng(5)
    train, fresh, drawn = (rng.normal(size=(400, 6)) for _ in range(3))
    honest = memorization(drawn, train, fresh)
    assert not honest.flagged and 0.4 < honest.nearer < 0.6 and honest.copies < 0.05
    all_copied = memorization(train[:200] + 0.05 * rng.normal(size=(200, 6)), train, fresh)
    assert all_copied.flagged and all_copied.nearer > 0.95 and all_copied.copies > 0.9
    assert (all_copied.rows == np.arange(200)).mean() > 0.99
    tenth = np.concatenate([drawn[:360], train[:40] + 1e-3])
    some = memorization(tenth, train, fresh)
    assert some.flagged and 0.07 < some.copies < 0.13
    assert (some.ratios[360:] < 0.01).all() and (some.rows[360:] == np.arange(40)).all()


def test_p_value_of_fresh_samples_is_uniform():
    rng = np.random.default_rng(6)
    train = rng.normal(size=(200, 3))
    values = [memorization(rng.normal(size=(60, 3)), train, rng.normal(size=(60, 3))).p_value for _ in range(200)]
    assert kstest(values, "uniform").pvalue > 1e-5
    assert kstest(np.square(values), "uniform").pvalue < 1e-5  # planted


def test_nearest_rows_equal_a_search():
    rng = np.random.default_rng(7)
    train, drawn = rng.normal(size=(50, 2, 3)), rng.normal(size=(9, 2, 3))
    distances, numbers = nearest_rows(drawn, train, k=2)
    apart = np.sqrt(((drawn[:, None] - train[None]) ** 2).sum((2, 3)))
    np.testing.assert_array_equal(numbers, np.argsort(apart, axis=1)[:, :2])
    np.testing.assert_allclose(distances, np.sort(apart, axis=1)[:, :2])


# -- likelihoods ------------------------------------------------------------------------------------------------------


def test_bits_and_dequantization():
    assert bits_per_dimension(-10 * math.log(2), 10) == pytest.approx(1)
    assert bits_per_dimension(-5.0, 4, step=0.1) == pytest.approx(5 / (4 * math.log(2)) + math.log2(10))
    X = np.random.default_rng(0).integers(0, 16, (200, 3))
    found = dequantize(X, levels=16, random_state=1)
    np.testing.assert_array_equal(np.floor(found * 16), X)
    assert kstest((found * 16 - X).ravel(), "uniform").pvalue > 1e-5
    # the exact density of uniformly dequantized uniform values costs as many bits as their number does
    assert bits_per_dimension(0.0, 3, step=1 / 16) == pytest.approx(4)
    with pytest.raises(InputError, match="whole numbers from 0 to 15"):
        dequantize(X + 0.5, levels=16)


def test_held_out_likelihood_says_what_it_is():
    X = load_digits().images
    vae = VAE(n_components=2, hidden=(16,), binarize="resample", max_epochs=2, random_state=0).fit(X[:300])
    bits = vae.binarized(X[300:400], random_state=0)
    found = held_out_likelihood(vae, bits, samples=20)
    assert found.kind == "lower bound by 20 draws on the log-probability"
    each = vae.score_samples(bits, samples=20)
    half = student.ppf(0.975, 99) * each.std(ddof=1) / 10
    assert (found.low, found.nats, found.high) == pytest.approx((each.mean() - half, each.mean(), each.mean() + half))
    assert found.bits == pytest.approx(-each.mean() / (64 * math.log(2)))
    assert found.gain == pytest.approx(each.mean() - vae.score_samples(bits, samples=10).mean())
    with pytest.raises(InputError, match="Bernoulli"):
        held_out_likelihood(vae, X[:5])
    gaussian = VAE(n_components=2, hidden=(16,), max_epochs=1, random_state=0).fit(X[:100])
    found = held_out_likelihood(gaussian, X[100:110], samples=5)
    assert found.kind.endswith("log-density in the units of the rows") and found.bits is None
    belief = SigmoidBeliefNet(hidden=(4,), max_epochs=1, random_state=0).fit(X[:100])
    assert held_out_likelihood(belief, X[100:110], exact=True).kind == "exact log-probability"
    gan = GAN(hidden=(8,), max_epochs=1, random_state=0).fit(X[:100].reshape(100, -1))
    with pytest.raises(InputError, match="an estimator with score_samples"):
        held_out_likelihood(gan, X[:5].reshape(5, -1))


BITS = (load_digits().images > 7).astype(float)
ONCE = {"max_epochs": 1, "random_state": 0}


@pytest.mark.parametrize(
    "model",
    [
        FVBN(**ONCE),
        NADE(hidden=4, **ONCE),
        MADE(hidden=(4,), **ONCE),
        PixelCNN(features=4, depth=1, first=3, **ONCE),
        BernoulliMixture(n_components=2, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_exact_likelihoods_of_bits_are_probabilities(model):
    found = held_out_likelihood(model.fit(BITS[:100]), BITS[100:130])
    assert found.kind == "exact log-probability" and found.gain is None
    assert found.bits == pytest.approx(-model.score(BITS[100:130]) / (64 * math.log(2)))
    with pytest.raises(InputError, match="step for densities alone"):
        held_out_likelihood(model, BITS[100:130], step=1.0)


def test_dequantization_is_stated_and_asked_for():
    X = load_digits().images.reshape(-1, 64)
    rows = dequantize(X, levels=17, random_state=0)
    model = GaussianMixture(covariance="diag", random_state=0).fit(rows[:1000])
    assert held_out_likelihood(model, rows[1000:]).kind == "exact log-density in the units of the rows"
    found = held_out_likelihood(model, rows[1000:], step=1 / 17)
    assert found.kind.endswith("rows dequantized by steps of 0.0588235")
    # the same in other units: bits do not depend on them, and are more than none
    other = GaussianMixture(covariance="diag", random_state=0).fit(rows[:1000] * 17)
    assert held_out_likelihood(other, rows[1000:] * 17, step=1.0).bits == pytest.approx(found.bits, abs=1e-6)
    assert found.bits == pytest.approx(-found.nats / (64 * math.log(2)) + math.log2(17)) and 0 < found.bits < 5
    with pytest.raises(InputError, match="dequantized rows where step is given"):
        held_out_likelihood(model, X[1000:] / 17, step=1 / 17)


def test_features_of_a_classifier_tell_digits_from_noise():
    data = load_digits()
    model = ImageClassifier(max_epochs=3, random_state=0).fit(data.images[:900], data.target[:900])
    first, second = features_of(model, data.images[900:1300]), features_of(model, data.images[1300:1700])
    noise = features_of(model, np.random.default_rng(0).uniform(0, 16, (400, 8, 8)))
    assert frechet_distance(first, noise) > 5 * frechet_distance(first, second)
    assert kernel_distance(first, noise).low > kernel_distance(first, second).high
    head = model.network_.head
    with torch.no_grad():
        parameters = head(torch.from_numpy(first).float())
        torch.testing.assert_close(
            head.probabilities(parameters).double(),
            torch.from_numpy(model.predict_proba(data.images[900:1300])).double(),
            rtol=1e-3,
            atol=1e-4,
        )
    with pytest.raises(InputError, match="network has features"):
        features_of(VAE(n_components=2, hidden=(4,), max_epochs=1).fit(data.images[:50]), data.images[:5])


def test_rows_covered_are_those_of_the_coverage():
    rng = np.random.default_rng(3)
    real, samples = rng.normal(size=(300, 3)), 0.6 * rng.normal(size=(200, 3))
    found = covered_rows(real, samples)
    assert found.mean() == precision_recall(real, samples).coverage
    assert 0.2 < found.mean() < 0.95
    with pytest.raises(InputError, match="k of 1 or more"):
        covered_rows(real[:5], samples)
